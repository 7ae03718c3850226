// Schemas as OpenAPI definitions, for both dialects: v2 refers with a bare $ref, v3 wraps it in allOf and publishes
// defaults. Named objects become definitions that others refer to; what is used is collected on the way.
import { solid } from './compile.ts'
import { publishedRoot } from './openapi-custom.ts'
import type { ArraySchema, Constraints, Field, Json, JsonObject, ObjectSchema, Schema } from './schema.ts'

export type Dialect = 'v2' | 'v3'
export interface GroupVersionKind {
  readonly group: string
  readonly version: string
  readonly kind: string
}
type Out = Record<string, Json>

const MACHINERY = 'io.k8s.apimachinery.pkg.'
const timeName = `${MACHINERY}apis.meta.v1.Time`
const microTimeName = `${MACHINERY}apis.meta.v1.MicroTime`
const quantityName = `${MACHINERY}api.resource.Quantity`
const intOrStringName = `${MACHINERY}util.intstr.IntOrString`

/** Definitions that are no objects with fields. */
const scalarDefinitions: Readonly<Record<string, Readonly<Record<Dialect, JsonObject>>>> = {
  [timeName]: both({ type: 'string', format: 'date-time' }),
  [microTimeName]: both({ type: 'string', format: 'date-time' }),
  [quantityName]: { v2: { type: 'string' }, v3: { oneOf: [{ type: 'string' }, { type: 'number' }] } },
  [intOrStringName]: {
    v2: { type: 'string', format: 'int-or-string' },
    v3: { format: 'int-or-string', oneOf: [{ type: 'integer' }, { type: 'string' }] },
  },
}
function both(definition: JsonObject): Readonly<Record<Dialect, JsonObject>> {
  return { v2: definition, v3: definition }
}

export interface Definitions {
  /** A reference to a named schema, or the schema itself in place. */
  refer(schema: Schema): JsonObject
  /** A reference to a schema under a name that it does not carry itself (the root of a custom resource). */
  referAs(name: string, schema: ObjectSchema): JsonObject
  /** Everything referred to so far, sorted by name. */
  all(): JsonObject
}

/** What a type ('' for `field`) or one of its fields is for, in a sentence. */
export type Describe = (definition: string, field: string) => string | undefined

/** `kindsOf` answers which kinds a definition is, for x-kubernetes-group-version-kind. */
export function createDefinitions(
  dialect: Dialect,
  kindsOf: (definition: string) => readonly GroupVersionKind[],
  textOf: Describe,
): Definitions {
  const found = new Map<string, JsonObject>()
  const prefix = dialect === 'v2' ? '#/definitions/' : '#/components/schemas/'

  function named(name: string, make: () => JsonObject): JsonObject {
    if (!found.has(name)) {
      // the name is taken before its members are visited: types may refer to themselves
      found.set(name, {})
      const kinds = kindsOf(name)
      found.set(name, {
        ...make(),
        ...(kinds.length === 0
          ? {}
          : { 'x-kubernetes-group-version-kind': kinds.map(({ group, kind, version }) => ({ group, kind, version })) }),
      })
    }
    return { $ref: `${prefix}${name}` }
  }
  const scalar = (name: string): JsonObject => named(name, () => scalarDefinitions[name]?.[dialect] ?? {})

  function refer(schema: Schema): JsonObject {
    const it = solid(schema)
    const extra = { ...describe(it.description), ...constraintKeys(it.constraints, dialect) }
    switch (it.type) {
      case 'string':
        if (it.format === 'date-time') return scalar(timeName)
        if (it.format === 'micro-time') return scalar(microTimeName)
        return {
          type: 'string',
          ...(it.format === 'byte' ? { format: it.format } : {}),
          ...(it.enum !== undefined && dialect === 'v3' ? { enum: [...it.enum] } : {}),
          ...extra,
        }
      case 'integer':
        return { type: 'integer', format: it.format, ...extra }
      case 'number':
        return { type: 'number', format: 'double', ...extra }
      case 'boolean':
        return { type: 'boolean', ...extra }
      case 'quantity':
        return scalar(quantityName)
      case 'int-or-string':
        return it.constraints === undefined ? scalar(intOrStringName) : { 'x-kubernetes-int-or-string': true, ...extra }
      case 'any':
        return it.name === undefined
          ? { 'x-kubernetes-preserve-unknown-fields': true, ...embedded(it.embeddedResource), ...extra }
          : named(it.name, () =>
              /\.(RawExtension|FieldsV1|CustomResourceSubresourceStatus|StorageVersionSpec|BasicSchedulingPolicy)$/.test(
                it.name ?? '',
              )
                ? { type: 'object' }
                : {},
            )
      case 'array':
        return { type: 'array', items: refer(it.items), ...listKeys(it), ...extra }
      case 'map':
        return { type: 'object', additionalProperties: refer(it.values), ...mapKey(it.mapType), ...extra }
      case 'object':
        return it.name === ''
          ? { ...objectBody(it), ...extra }
          : named(it.name, () => ({ ...objectBody(it), ...extra }))
    }
  }

  function objectBody(schema: ObjectSchema): JsonObject {
    if (schema.published !== undefined) return publishedRoot(schema.published, dialect, { refer })
    const properties: Out = {}
    const required: string[] = [...(schema.constraints?.requiredKeys ?? [])]
    for (const [name, field] of Object.entries(schema.fields)) {
      properties[name] = property(name, field, schema)
      const demanded = field.presence === 'required' && !(field.tag === 0 && isTypeMeta(name))
      if (demanded || field.listed === true) required.push(name)
    }
    return {
      ...describe(schema.description ?? textOf(schema.name, '')),
      ...(Object.keys(properties).length > 0 ? { properties } : {}),
      ...(required.length > 0 ? { required: [...new Set(required)] } : {}),
      type: 'object',
      ...mapKey(schema.mapType),
      ...embedded(schema.embeddedResource),
      ...(schema.preserveUnknown ? { 'x-kubernetes-preserve-unknown-fields': true } : {}),
      ...unionKeys(schema),
    }
  }

  function property(name: string, field: Field, owner: ObjectSchema): JsonObject {
    const body = refer(field.schema)
    const text = field.description ?? textOf(owner.name, name)
    // kubectl explain prints the field's text and then the type's.
    const typeText = typeof body.$ref === 'string' ? textOf(body.$ref.slice(prefix.length), '') : undefined
    const extra: Out = {
      ...describe(text === typeText ? undefined : text),
      ...(field.patchStrategy === undefined ? {} : { 'x-kubernetes-patch-strategy': field.patchStrategy }),
      ...mapKey(field.mapType),
      ...field.extensions,
    }
    if (dialect === 'v2') return { ...body, ...extra }
    const value = field.tag === 0 && isTypeMeta(name) ? undefined : publishedDefault(field, owner)
    const withDefault = value === undefined ? extra : { ...extra, default: value }
    return '$ref' in body ? { allOf: [body], ...withDefault } : { ...body, ...withDefault }
  }

  return {
    refer,
    referAs: (name, schema) => named(name, () => objectBody(schema)),
    all: () => Object.fromEntries([...found].sort(([a], [b]) => (a < b ? -1 : 1))),
  }
}

const isTypeMeta = (name: string): boolean => name === 'apiVersion' || name === 'kind'
const describe = (text: string | undefined): Out => (text === undefined ? {} : { description: text })
const embedded = (is: boolean | undefined): Out => (is === true ? { 'x-kubernetes-embedded-resource': true } : {})
const mapKey = (type: string | undefined): Out => (type === undefined ? {} : { 'x-kubernetes-map-type': type })
function listKeys(schema: ArraySchema): Out {
  const { listType, listMapKeys, patchStrategy, patchMergeKey } = schema.list ?? {}
  return {
    ...(listType === undefined ? {} : { 'x-kubernetes-list-type': listType }),
    ...(listMapKeys === undefined ? {} : { 'x-kubernetes-list-map-keys': listMapKeys }),
    ...(patchStrategy === undefined ? {} : { 'x-kubernetes-patch-strategy': patchStrategy }),
    ...(patchMergeKey === undefined ? {} : { 'x-kubernetes-patch-merge-key': patchMergeKey }),
  }
}
function unionKeys(schema: ObjectSchema): Out {
  if (schema.unions === undefined) return {}
  return {
    'x-kubernetes-unions': schema.unions.map(({ discriminator, fields }) => ({
      ...(discriminator === undefined ? {} : { discriminator }),
      'fields-to-discriminateBy': fields,
    })),
  }
}

/** v3 publishes the zero value of what is always written, and `{}` for structs. */
function publishedDefault(field: Field, owner: ObjectSchema): Json | undefined {
  if (field.publishedDefault !== undefined) return field.publishedDefault
  if (field.publishDefault === true) return field.default ?? zeroDefault(field)
  if (field.presence === 'struct') return zeroDefault(field)
  if (field.presence !== 'required' || field.pointer === true || owner.structural === true) return undefined
  return zeroDefault(field)
}
function zeroDefault(field: Field): Json | undefined {
  const schema = solid(field.schema)
  switch (schema.type) {
    case 'string':
      return schema.format === undefined ? '' : undefined
    case 'integer':
    case 'number':
      return 0
    case 'boolean':
      return false
    case 'object':
      return {}
    case 'quantity':
    case 'int-or-string':
    case 'any':
    case 'array':
    case 'map':
      return undefined
  }
}

/** JSON Schema keywords of a custom resource; v2 knows only some of them. */
function constraintKeys(c: Constraints | undefined, dialect: Dialect): Out {
  if (c === undefined) return {}
  const simple: Out = {
    ...pick(c, ['pattern', 'format', 'minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf']),
    ...pick(c, ['minLength', 'maxLength', 'minItems', 'maxItems', 'uniqueItems', 'minProperties', 'maxProperties']),
    ...(c.enumValues === undefined ? {} : { enum: c.enumValues }),
  }
  if (dialect === 'v2') return simple
  const nested = (list: readonly Constraints[]): Json[] => list.map((one) => nestedKeys(one))
  return {
    ...simple,
    ...pick(c, ['nullable']),
    ...(c.allOf === undefined ? {} : { allOf: nested(c.allOf) }),
    ...(c.anyOf === undefined ? {} : { anyOf: nested(c.anyOf) }),
    ...(c.oneOf === undefined ? {} : { oneOf: nested(c.oneOf) }),
    ...(c.not === undefined ? {} : { not: nestedKeys(c.not) }),
    ...(c.rules === undefined ? {} : { 'x-kubernetes-validations': c.rules.map((rule) => ({ ...rule })) }),
  }
}
function nestedKeys(c: Constraints): Out {
  return {
    ...constraintKeys(c, 'v3'),
    ...(c.requiredKeys === undefined ? {} : { required: c.requiredKeys }),
    ...(c.properties === undefined
      ? {}
      : { properties: Object.fromEntries(Object.entries(c.properties).map(([name, one]) => [name, nestedKeys(one)])) }),
    ...(c.items === undefined ? {} : { items: nestedKeys(c.items) }),
    ...(c.additionalProperties === undefined ? {} : { additionalProperties: nestedKeys(c.additionalProperties) }),
  }
}
function pick<K extends keyof Constraints>(c: Constraints, keys: readonly K[]): Out {
  return Object.fromEntries(keys.flatMap((key) => (c[key] === undefined ? [] : [[key, c[key] as Json] as const])))
}
