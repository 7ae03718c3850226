// That a schema is structural (KEP-1111): every place has one type, and what allOf and its kin say is nothing but rules
// upon it. This is what makes pruning and defaulting well defined.
import { RE2JS } from 're2js'
import { decode } from '../machinery/decode.ts'
import { equal } from '../machinery/equal.ts'
import { type FieldError, forbiddenField, invalidField, notSupportedField, requiredField } from '../machinery/errors.ts'
import type { Json } from '../machinery/schema.ts'
import { validateSchema } from '../machinery/validate-schema.ts'
import type { JsonSchemaProps } from './json-schema-props.ts'
import { toSchema } from './structural.ts'

const types = ['array', 'boolean', 'integer', 'number', 'object', 'string']
type Props = JsonSchemaProps & Readonly<Record<string, unknown>>
type Place = 'root' | 'field' | 'items'
const words: Readonly<Record<Place, string>> = {
  root: 'must not be empty at the root',
  field: 'must not be empty for specified object fields',
  items: 'must not be empty for specified array items',
}

/** What is wrong with the schema of a version, which stands at `at`. */
export function validateStructural(props: JsonSchemaProps, at: string): FieldError[] {
  const errors: FieldError[] = []
  checkTyped(props as Props, at, 'root', errors)
  checkRoot(props as Props, at, errors)
  return errors
}

function checkRoot(s: Props, at: string, errors: FieldError[]): void {
  if (s.type !== undefined && s.type !== 'object')
    errors.push(invalidField(`${at}.type`, s.type, 'must be object at the root'))
  if (s.nullable === true) errors.push(forbiddenField(`${at}.nullable`, 'nullable cannot be true at the root'))
  if (s.additionalProperties !== undefined && s.additionalProperties !== false)
    errors.push(forbiddenField(`${at}.additionalProperties`, 'must not be used at the root'))
  for (const name of ['apiVersion', 'kind']) {
    const type = s.properties?.[name]?.type
    if (type !== undefined && type !== 'string')
      errors.push(invalidField(`${at}.properties[${name}].type`, type, 'must be string'))
  }
  const metadata = s.properties?.['metadata']
  if (metadata === undefined) return
  const here = `${at}.properties[metadata]`
  if (metadata.type !== undefined && metadata.type !== 'object')
    errors.push(invalidField(`${here}.type`, metadata.type, 'must be object'))
  if (Object.keys(metadata.properties ?? {}).some((name) => name !== 'name' && name !== 'generateName'))
    errors.push(
      forbiddenField(
        here,
        'must not specify anything other than name and generateName, but metadata is implicitly specified',
      ),
    )
  for (const [name, property] of Object.entries(metadata.properties ?? {}))
    if (property.default !== undefined)
      errors.push(forbiddenField(`${here}.properties[${name}].default`, 'must not be set in top-level metadata'))
}

const unsupported = ['definitions', 'dependencies', 'id', '$ref', 'patternProperties', 'additionalItems'] as const

/** A schema that stands for a value. */
function checkTyped(s: Props, at: string, place: Place, errors: FieldError[]): void {
  for (const name of unsupported)
    if (s[name] !== undefined && s[name] !== '')
      errors.push(forbiddenField(`${at}.${name}`, `${name} is not supported`))
  if (s.uniqueItems === true)
    errors.push(
      forbiddenField(
        `${at}.uniqueItems`,
        'uniqueItems cannot be set to true since the runtime complexity becomes quadratic',
      ),
    )
  checkType(s, at, place, errors)
  if (s['x-kubernetes-preserve-unknown-fields'] === false)
    errors.push(invalidField(`${at}.x-kubernetes-preserve-unknown-fields`, false, 'must be true or undefined'))
  checkEmbedded(s, at, errors)
  checkListType(s, at, errors)
  checkMapType(s, at, errors)
  checkPattern(s, at, errors)
  checkDefault(s, at, errors)
  if (s.properties !== undefined && typeof s.additionalProperties === 'object')
    errors.push(
      forbiddenField(`${at}.additionalProperties`, 'additionalProperties and properties are mutual exclusive'),
    )
  for (const [name, property] of Object.entries(s.properties ?? {}))
    checkTyped(property as Props, `${at}.properties[${name}]`, 'field', errors)
  if (typeof s.additionalProperties === 'object')
    checkTyped(s.additionalProperties as Props, `${at}.additionalProperties`, 'field', errors)
  if (Array.isArray(s.items))
    errors.push(forbiddenField(`${at}.items`, 'items must be a schema object and not an array'))
  else if (s.items !== undefined) checkTyped(s.items as Props, `${at}.items`, 'items', errors)
  const free = s['x-kubernetes-int-or-string'] === true
  for (const name of ['allOf', 'anyOf', 'oneOf'] as const)
    s[name]?.forEach((rule, i) => {
      // The two types of an int-or-string may be spelled out, alone or as the first of several rules.
      const both = name === 'anyOf' && free && isBothTypes(s.anyOf)
      const first = name === 'allOf' && free && i === 0 && isBothTypes(rule.anyOf)
      if (!both) checkRules(rule as Props, `${at}.${name}[${i}]`, errors, first)
    })
  if (s.not !== undefined) checkRules(s.not as Props, `${at}.not`, errors, false)
}

const isBothTypes = (list: readonly JsonSchemaProps[] | undefined): boolean =>
  list?.length === 2 && equal(list[0], { type: 'integer' }) && equal(list[1], { type: 'string' })

function checkType(s: Props, at: string, place: Place, errors: FieldError[]): void {
  const free =
    (s['x-kubernetes-int-or-string'] === true || s['x-kubernetes-preserve-unknown-fields'] === true) && place !== 'root'
  const type = s.type ?? ''
  if (s['x-kubernetes-int-or-string'] === true && type !== '' && type !== 'string' && type !== 'integer') {
    errors.push(forbiddenField(`${at}.type`, 'must be empty if x-kubernetes-int-or-string is true'))
  }
  if (type === '') {
    if (!free) errors.push(requiredField(`${at}.type`, words[place]))
  } else if (!types.includes(type)) errors.push(notSupportedField(`${at}.type`, type, types))
  if (type === 'array' && s.items === undefined) errors.push(requiredField(`${at}.items`, 'must be specified'))
}

function checkEmbedded(s: Props, at: string, errors: FieldError[]): void {
  if (s['x-kubernetes-embedded-resource'] !== true) return
  if (s['x-kubernetes-preserve-unknown-fields'] !== true && Object.keys(s.properties ?? {}).length === 0)
    errors.push(
      requiredField(
        `${at}.properties`,
        'must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields',
      ),
    )
  if (s.type !== 'object')
    errors.push(invalidField(`${at}.type`, s.type ?? '', 'must be object if x-kubernetes-embedded-resource is true'))
}

function checkListType(s: Props, at: string, errors: FieldError[]): void {
  const listType = s['x-kubernetes-list-type']
  const keys = s['x-kubernetes-list-map-keys'] ?? []
  const items = Array.isArray(s.items) ? undefined : (s.items as JsonSchemaProps | undefined)
  const keysAt = `${at}.x-kubernetes-list-map-keys`
  if (listType !== undefined && s.type !== 'array')
    errors.push(
      s.type === undefined
        ? requiredField(`${at}.type`, 'must be array if x-kubernetes-list-type is specified')
        : invalidField(`${at}.type`, s.type, 'must be array if x-kubernetes-list-type is specified'),
    )
  if (listType !== undefined && !['atomic', 'set', 'map'].includes(listType)) {
    const message = `Unsupported value: ${JSON.stringify(listType)}: supported values: "atomic", "set", "map"`
    errors.push({ type: 'FieldValueNotSupported', field: `${at}.x-kubernetes-list-type`, message })
  }
  if (keys.length > 0 && listType !== 'map')
    errors.push(requiredField(`${at}.x-kubernetes-list-type`, 'must be map if x-kubernetes-list-map-keys is non-empty'))
  if ((listType === 'set' || listType === 'map') && items?.nullable === true)
    errors.push(forbiddenField(`${at}.items.nullable`, `cannot be nullable when x-kubernetes-list-type is ${listType}`))
  if (listType === 'set' && items?.type === 'object' && items['x-kubernetes-map-type'] !== 'atomic')
    errors.push(
      invalidField(
        `${at}.items.x-kubernetes-map-type`,
        items['x-kubernetes-map-type'] ?? null,
        'must be atomic as item of a list with x-kubernetes-list-type=set',
      ),
    )
  if (listType === 'set' && items?.type === 'array' && !['atomic', undefined].includes(items['x-kubernetes-list-type']))
    errors.push(
      invalidField(
        `${at}.items.x-kubernetes-list-type`,
        items['x-kubernetes-list-type'] ?? null,
        'must be atomic as item of a list with x-kubernetes-list-type=set',
      ),
    )
  if (listType !== 'map') return
  if (keys.length === 0) errors.push(requiredField(keysAt, 'must not be empty if x-kubernetes-list-type is map'))
  if (items !== undefined && items.type !== 'object')
    errors.push(
      invalidField(
        `${at}.items.type`,
        items.type ?? '',
        "must be object if parent array's x-kubernetes-list-type is map",
      ),
    )
  if (new Set(keys).size < keys.length)
    errors.push(invalidField(keysAt, [...keys], 'must not contain duplicate entries'))
  checkKeys(items, keys, at, keysAt, errors)
}
function checkKeys(
  items: JsonSchemaProps | undefined,
  keys: readonly string[],
  at: string,
  keysAt: string,
  errors: FieldError[],
): void {
  if (items?.type !== 'object') return
  let unknown = false
  for (const key of new Set(keys)) {
    const property = items.properties?.[key]
    const here = `${at}.items.properties[${key}]`
    if (property === undefined) {
      unknown = true
      continue
    }
    if (property.type === 'array' || property.type === 'object')
      errors.push(
        invalidField(
          `${here}.type`,
          property.type,
          "must be a scalar type if parent array's x-kubernetes-list-type is map",
        ),
      )
    if (property.nullable === true)
      errors.push(
        forbiddenField(`${here}.nullable`, 'this property is in x-kubernetes-list-map-keys, so it cannot be nullable'),
      )
    if (!(items.required ?? []).includes(key) && property.default === undefined)
      errors.push(
        requiredField(
          `${here}.default`,
          'this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property',
        ),
      )
  }
  if (unknown) errors.push(invalidField(keysAt, [...keys], 'entries must all be names of item properties'))
}

function checkMapType(s: Props, at: string, errors: FieldError[]): void {
  const mapType = s['x-kubernetes-map-type']
  if (mapType === undefined) return
  if (s.type !== 'object')
    errors.push(invalidField(`${at}.type`, s.type ?? '', 'must be object if x-kubernetes-map-type is specified'))
  if (!['atomic', 'granular'].includes(mapType))
    errors.push(notSupportedField(`${at}.x-kubernetes-map-type`, mapType, ['atomic', 'granular']))
}

function checkPattern(s: Props, at: string, errors: FieldError[]): void {
  if (s.pattern === undefined || s.pattern === '') return
  try {
    RE2JS.compile(s.pattern)
  } catch (error) {
    if (!(error instanceof Error)) throw error
    const why = error.message.startsWith('error parsing regexp')
      ? error.message
      : `error parsing regexp: ${error.message}`
    errors.push(invalidField(`${at}.pattern`, s.pattern, `must be a valid regular expression, but isn't: ${why}`))
  }
}

/** A default must be what a client could have written. */
function checkDefault(s: Props, at: string, errors: FieldError[]): void {
  const value = s.default
  if (value === undefined || value === null) return
  const here = `${at}.default`
  const schema = toSchema(s)
  if (typeof value === 'object' && !Array.isArray(value) && s.type !== 'object')
    errors.push(invalidField(here, value, 'must not have unknown fields'))
  else if (schema.type === 'object' || schema.type === 'array' || schema.type === 'map') {
    const wrapped = { tag: 0, schema, presence: 'optional', present: false } as const
    const root = { type: 'object', name: '', structural: true, fields: { value: wrapped } } as const
    const { value: pruned } = decode<{ value: Json }>(root, { value })
    if (!equal(pruned.value, value)) errors.push(invalidField(here, value, 'must not have unknown fields'))
  }
  for (const error of validateSchema(typedRoot(schema), { value }).filter((e) => e.field.startsWith('value'))) {
    const path = error.field.slice('value'.length)
    errors.push({ ...error, field: `${here}${path}`, message: error.message.replaceAll('value in body', ' in body') })
  }
}
const typedRoot = (schema: ReturnType<typeof toSchema>) =>
  ({
    type: 'object',
    name: '',
    structural: true,
    fields: { value: { tag: 0, schema, presence: 'optional', present: false } },
  }) as const

const emptyInRules = {
  description: 'must be empty to be structural',
  title: 'must be empty to be structural',
  type: 'must be empty to be structural',
  default: 'must be undefined to be structural',
  additionalProperties: 'must be undefined to be structural',
  nullable: 'must be false to be structural',
  'x-kubernetes-preserve-unknown-fields': 'must be false to be structural',
  'x-kubernetes-embedded-resource': 'must be false to be structural',
  'x-kubernetes-int-or-string': 'must be false to be structural',
  'x-kubernetes-list-type': 'must be undefined to be structural',
  'x-kubernetes-list-map-keys': 'must be empty to be structural',
  'x-kubernetes-map-type': 'must be undefined to be structural',
  'x-kubernetes-validations': 'must be empty to be structural',
} as const

/** Inside allOf, anyOf, oneOf and not: rules upon values, nothing that says what is there. */
function checkRules(s: Props, at: string, errors: FieldError[], bothTypes: boolean): void {
  for (const name of Object.keys(emptyInRules).sort() as (keyof typeof emptyInRules)[]) {
    const value = s[name]
    if (value !== undefined && value !== '' && value !== false)
      errors.push(forbiddenField(`${at}.${name}`, emptyInRules[name]))
  }
  checkListType(s, at, errors)
  checkPattern(s, at, errors)
  for (const [name, property] of Object.entries(s.properties ?? {}))
    checkRules(property as Props, `${at}.properties[${name}]`, errors, false)
  if (s.items !== undefined && !Array.isArray(s.items)) checkRules(s.items as Props, `${at}.items`, errors, false)
  for (const name of ['allOf', 'anyOf', 'oneOf'] as const) {
    if (name === 'anyOf' && bothTypes) continue
    s[name]?.forEach((rule, i) => checkRules(rule as Props, `${at}.${name}[${i}]`, errors, false))
  }
  if (s.not !== undefined) checkRules(s.not as Props, `${at}.not`, errors, false)
}
