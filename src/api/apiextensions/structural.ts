// From a CRD's JSON schema to the schema language of ours, so that a custom resource takes the same path through the
// server as a built-in kind. What has no place there as a type becomes a constraint.
import { objectMeta } from '../machinery/meta.ts'
import type { Constraints, Field, Json, Schema } from '../machinery/schema.ts'
import type { JsonSchemaProps } from './json-schema-props.ts'

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

const copied = [
  'nullable',
  'pattern',
  'format',
  'minimum',
  'maximum',
  'exclusiveMinimum',
  'exclusiveMaximum',
  'multipleOf',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
  'uniqueItems',
  'minProperties',
  'maxProperties',
] as const

/** The value rules of one level, without descending into what the type says. */
function constraintsOf(props: JsonSchemaProps): Constraints | undefined {
  const out: Mutable<Constraints> = {}
  for (const key of copied) {
    const value = props[key]
    if (value !== undefined) Object.assign(out, { [key]: value })
  }
  if (props.enum !== undefined) out.enumValues = props.enum
  if (props.required !== undefined && props.required.length > 0) out.requiredKeys = props.required
  if (props.allOf !== undefined) out.allOf = props.allOf.map(nestedConstraints)
  if (props.anyOf !== undefined) out.anyOf = props.anyOf.map(nestedConstraints)
  if (props.oneOf !== undefined) out.oneOf = props.oneOf.map(nestedConstraints)
  if (props.not !== undefined) out.not = nestedConstraints(props.not)
  const rules = props['x-kubernetes-validations']
  if (rules !== undefined && rules.length > 0) out.rules = rules as NonNullable<Constraints['rules']>
  return Object.keys(out).length === 0 ? undefined : out
}

/** Constraints inside allOf, anyOf, oneOf and not: value rules all the way down, no types. */
export function nestedConstraints(props: JsonSchemaProps): Constraints {
  const out: Mutable<Constraints> = { ...constraintsOf(props) }
  if (props.properties !== undefined)
    out.properties = Object.fromEntries(Object.entries(props.properties).map(([k, v]) => [k, nestedConstraints(v)]))
  if (props.items !== undefined && !Array.isArray(props.items))
    out.items = nestedConstraints(props.items as JsonSchemaProps)
  if (typeof props.additionalProperties === 'object')
    out.additionalProperties = nestedConstraints(props.additionalProperties)
  return out
}

const withConstraints = <S extends Schema>(schema: S, props: JsonSchemaProps): S => {
  const constraints = constraintsOf(props)
  return {
    ...schema,
    ...(constraints === undefined ? {} : { constraints }),
    ...(props.description === undefined ? {} : { description: props.description }),
  }
}

function listOptions(props: JsonSchemaProps) {
  const listType = props['x-kubernetes-list-type']
  if (listType !== 'set' && listType !== 'map' && listType !== 'atomic') return undefined
  const keys = props['x-kubernetes-list-map-keys']
  return { listType, ...(keys === undefined ? {} : { listMapKeys: keys }) } as const
}

/** The schema of a value. Everything not typed, or typed with unknown fields kept below it and no properties, is any JSON. */
export function toSchema(props: JsonSchemaProps): Schema {
  if (props['x-kubernetes-int-or-string'] === true) return withConstraints({ type: 'int-or-string' }, props)
  const preserve = props['x-kubernetes-preserve-unknown-fields'] === true
  const embedded = props['x-kubernetes-embedded-resource'] === true
  switch (props.type) {
    case 'string':
      return withConstraints({ type: 'string' }, props)
    case 'integer':
      return withConstraints({ type: 'integer', format: props.format === 'int32' ? 'int32' : 'int64' }, props)
    case 'number':
      return withConstraints({ type: 'number' }, props)
    case 'boolean':
      return withConstraints({ type: 'boolean' }, props)
    case 'array': {
      const list = listOptions(props)
      const items: Schema =
        props.items === undefined || Array.isArray(props.items)
          ? { type: 'any' }
          : toSchema(props.items as JsonSchemaProps)
      return withConstraints({ type: 'array', items, ...(list === undefined ? {} : { list }) }, props)
    }
    case 'object': {
      const mapType = props['x-kubernetes-map-type'] === 'atomic' ? ({ mapType: 'atomic' } as const) : {}
      if (props.properties === undefined && typeof props.additionalProperties === 'object')
        return withConstraints({ type: 'map', values: toSchema(props.additionalProperties), ...mapType }, props)
      if (props.properties === undefined && props.additionalProperties === true)
        return withConstraints({ type: 'map', values: { type: 'any' }, ...mapType }, props)
      return withConstraints(
        {
          type: 'object',
          name: '',
          structural: true,
          fields: embedded ? { ...embeddedFields(props), ...withoutMeta(fieldsOf(props)) } : fieldsOf(props),
          ...(preserve ? { preserveUnknown: true } : {}),
          ...(embedded ? { embeddedResource: true } : {}),
          ...mapType,
        },
        props,
      )
    }
    case undefined:
    default:
      return withConstraints({ type: 'any', ...(embedded ? { embeddedResource: true } : {}) }, props)
  }
}

/** What an embedded object has of every object: its author may only add rules. */
function embeddedFields(props: JsonSchemaProps): Record<string, Field> {
  const field = (schema: Schema): Field => ({ tag: 0, schema, presence: 'optional', present: false })
  const metadata = props.properties?.['metadata']
  return {
    apiVersion: field({ type: 'string' }),
    kind: field({ type: 'string' }),
    metadata: field(metadata === undefined ? objectMeta : { ...objectMeta, constraints: nestedConstraints(metadata) }),
  }
}
const withoutMeta = (fields: Readonly<Record<string, Field>>): Record<string, Field> =>
  Object.fromEntries(Object.entries(fields).filter(([name]) => !['apiVersion', 'kind', 'metadata'].includes(name)))

/** Fields of an object schema; presence stays optional because requiredKeys reports what is missing. */
export function fieldsOf(props: JsonSchemaProps): Record<string, Field> {
  const fields: Record<string, Field> = {}
  for (const [name, property] of Object.entries(props.properties ?? {})) {
    const field: Field = { tag: 0, schema: toSchema(property), presence: 'optional', present: false }
    const value: Json | undefined = property.default
    fields[name] = value === undefined ? field : { ...field, default: value, publishDefault: true }
  }
  return fields
}
