// Random objects that fit a schema, for property tests over every kind.
import fc from 'fast-check'
import { solid } from '../compile.ts'
import type { Json, JsonObject, ObjectSchema, Schema } from '../schema.ts'
import { formatMicroTime, formatTime } from '../time.ts'

const text = fc.oneof(fc.string({ maxLength: 8 }), fc.constantFrom('a', 'name-1', 'é€😀', '__proto__', 'x'.repeat(200)))
const key = fc.oneof(fc.string({ maxLength: 6 }), fc.constantFrom('app', 'kubernetes.io/x', '__proto__', 'constructor'))
const second = fc.integer({ min: 1, max: 4_000_000_000 })
const quantities = ['0', '1', '100m', '1500m', '2Gi', '1k', '512', '3e6', '-5', '1536', '100E']
const base64 = fc.uint8Array({ maxLength: 12 }).map((bytes) => btoa(String.fromCharCode(...bytes)))

/** Values of a schema as the server stores them. */
export function arbitraryOf(schema: Schema, depth = 0): fc.Arbitrary<Json> {
  const it = solid(schema)
  switch (it.type) {
    case 'string':
      if (it.format === 'byte') return base64
      if (it.format === 'date-time') return second.map((s) => formatTime(s * 1000))
      if (it.format === 'micro-time') return second.map((s) => formatMicroTime(s * 1000 + 7))
      if (it.format === 'duration') return fc.constantFrom('1h0m0s', '250ms', '0s')
      return it.enum === undefined ? text : fc.constantFrom(...it.enum)
    case 'integer':
      return it.format === 'int32'
        ? fc.integer({ min: -2147483648, max: 2147483647 })
        : fc.integer({ min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER })
    case 'number':
      return fc.integer({ min: -1000, max: 1000 }).map((n) => n / 8)
    case 'boolean':
      return fc.boolean()
    case 'quantity':
      return fc.constantFrom(...quantities)
    case 'int-or-string':
      return fc.oneof(fc.nat(65535), fc.constantFrom('http', '25%'))
    case 'any':
      return anyValue(it.name)
    case 'array':
      return depth > 6 ? fc.constant([]) : fc.array(arbitraryOf(it.items, depth + 1), { maxLength: 3 })
    case 'map':
      return depth > 6
        ? fc.constant({})
        : fc.dictionary(key, arbitraryOf(it.values, depth + 1), { maxKeys: 3, noNullPrototype: true })
    case 'object':
      return objectOf(it, depth)
  }
}

function anyValue(name: string | undefined): fc.Arbitrary<Json> {
  const kind = /JSONSchemaPropsOr(Bool|Array|StringArray)$/.exec(name ?? '')?.[1]
  if (kind === 'Bool') return fc.oneof(fc.boolean(), fc.constant({ type: 'string' }))
  if (kind === 'Array') return fc.constantFrom<Json>({ type: 'string' }, [{ type: 'string' }, { type: 'integer' }])
  if (kind === 'StringArray') return fc.constantFrom<Json>({ type: 'string' }, ['a', 'b'])
  return fc.constantFrom<Json>({}, { a: [1, 'x', null, { b: true }] }, { __proto__x: 1 })
}

function objectOf(schema: ObjectSchema, depth: number): fc.Arbitrary<Json> {
  const names = Object.keys(schema.fields).filter((name) => !(schema.fields[name]?.tag === 0 && depth === 0))
  if (depth > 8 || names.length === 0) return fc.constant({})
  // a few fields at a time: all of them at every depth would never end
  return fc.subarray(names, { maxLength: depth === 0 ? names.length : Math.min(4, names.length) }).chain((chosen) => {
    const members = chosen.map(
      (name) => [name, arbitraryOf((schema.fields[name] as { schema: Schema }).schema, depth + 1)] as const,
    )
    return fc.record(Object.fromEntries(members), { noNullPrototype: true }) as fc.Arbitrary<Json>
  })
}

/** A value as it is after a trip over protobuf, which knows no empty lists, maps and (mostly) texts. */
export function onTheWire(schema: Schema, value: Json | undefined): Json | undefined {
  const it = solid(schema)
  if (it.type === 'array' && Array.isArray(value)) {
    const items = value as readonly Json[]
    if (it.list?.wrapped === true) return items
    return items.length === 0 ? undefined : items.map((item) => onTheWire(it.items, item) ?? emptyOf(it.items, item))
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  if (it.type === 'map') {
    const entries = Object.entries(value as JsonObject)
    if (entries.length === 0) return undefined
    return Object.fromEntries(
      entries.map(([name, member]) => [name, onTheWire(it.values, member) ?? emptyOf(it.values, member)]),
    )
  }
  if (it.type !== 'object') return value
  const out: Record<string, Json> = {}
  for (const [name, member] of Object.entries(value as JsonObject)) {
    const field = it.fields[name]
    if (field === undefined) continue
    const dropped = member === '' && field.pointer !== true && field.presence !== 'required'
    const kept = dropped ? undefined : onTheWire(field.schema, member)
    // decoding fills what is always there
    if (kept !== undefined) out[name] = kept
    else if (Array.isArray(member) && field.presence === 'required') out[name] = []
    else if (field.presence === 'struct') out[name] = member as Json
  }
  return out
}
const emptyOf = (schema: Schema, value: Json | undefined): Json =>
  solid(schema).type === 'array' ? [] : (value ?? null)
