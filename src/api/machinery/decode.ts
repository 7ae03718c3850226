// JSON in, an API object out: one walk prunes what the schema does not name, checks types, brings quantities and times
// into canonical form and builds a fresh object. It follows Go's reading of JSON: null is absence, a struct is always
// there, an absent required value is the zero value of its type. Each schema is compiled to closures once.
import { perSchema, solid } from './compile.ts'
import { maxDepth, setKey } from './freeze.ts'
import { canonicalQuantity, QuantityError, quantityFormat } from './quantity.ts'
import type {
  AnySchema,
  ArraySchema,
  Draft,
  Field,
  Json,
  JsonObject,
  MapSchema,
  ObjectSchema,
  Schema,
} from './schema.ts'
import { normalizeMicroTime, normalizeTime, timeError } from './time.ts'

/** The value does not fit the schema; the message is Go's ("json: cannot unmarshal string into ..."). */
export class DecodeError extends Error {}

export interface Decoded<T = JsonObject> {
  readonly value: Draft<T>
  /** Paths such as spec.containers[0].images, in the order of the input; at most 100. */
  readonly unknownFields: readonly string[]
}

interface Context {
  readonly root: Schema
  readonly path: (string | number)[]
  depth: number
  readonly unknown: string[]
  /** Nothing is filled in and no zero dropped: what the sender did not say is not there. */
  readonly sparse: boolean
}
type Decoder = (value: Json, context: Context) => Json
const maxUnknown = 100

/** Decodes a JSON value. Throws DecodeError at the first value of a wrong type. The input is not changed or kept. */
export function decode<T = JsonObject>(schema: Schema, value: unknown): Decoded<T> {
  return run(schema, value, false)
}
/** Like decode, but holds only what the input says: an apply configuration, of which every field is a claim. */
export function decodeSparse<T = JsonObject>(schema: Schema, value: unknown): Decoded<T> {
  return run(schema, value, true)
}
function run<T>(schema: Schema, value: unknown, sparse: boolean): Decoded<T> {
  const context: Context = { root: schema, path: [], depth: 0, unknown: [], sparse }
  const decoded = decoderOf(schema)(value as Json, context)
  return { value: decoded as Draft<T>, unknownFields: context.unknown }
}

const decoderOf: (schema: Schema) => Decoder = perSchema<Decoder>((schema): Decoder => {
  if (schema.type === 'lazy') return (value, context) => decoderOf(solid(schema))(value, context)
  switch (schema.type) {
    case 'string':
      return stringDecoder(schema.format)
    case 'integer':
      return schema.format === 'int32' ? int32 : int64
    case 'number':
      return (value, context) => (typeof value === 'number' ? value : mismatch(value, 'float64', context))
    case 'boolean':
      return (value, context) => (typeof value === 'boolean' ? value : mismatch(value, 'bool', context))
    case 'quantity':
      return quantity
    case 'int-or-string':
      return (value, context) => (typeof value === 'string' ? value : int32(value, context))
    case 'any':
      return anyDecoder(schema)
    case 'array':
      return arrayDecoder(schema)
    case 'map':
      return mapDecoder(schema)
    case 'object':
      return schema.structural ? structuralDecoder(schema) : objectDecoder(schema)
  }
})

function int32(value: Json, context: Context): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value > 2147483647 || value < -2147483648) {
    return mismatch(value, 'int32', context)
  }
  return value
}
function int64(value: Json, context: Context): number {
  return typeof value === 'number' && Number.isSafeInteger(value) ? value : mismatch(value, 'int64', context)
}
function quantity(value: Json): string {
  const text = typeof value === 'number' ? String(value) : value
  if (typeof text !== 'string') return fail(quantityFormat)
  try {
    return canonicalQuantity(text)
  } catch (error) {
    if (error instanceof QuantityError) return fail(error.message)
    throw error
  }
}

function stringDecoder(format: 'byte' | 'date-time' | 'micro-time' | 'duration' | undefined): Decoder {
  const text = (value: Json, context: Context): string =>
    typeof value === 'string' ? value : mismatch(value, 'string', context)
  switch (format) {
    case undefined:
    case 'duration':
      return text
    case 'byte':
      return (value, context) => base64(typeof value === 'string' ? value : mismatch(value, '[]uint8', context))
    case 'date-time':
      return (value, context) => {
        const raw = text(value, context)
        return normalizeTime(raw) ?? fail(timeError(raw))
      }
    case 'micro-time':
      return (value, context) => {
        const raw = text(value, context)
        return normalizeMicroTime(raw) ?? fail(timeError(raw))
      }
  }
}

/** Checks standard base64; line breaks are dropped as Go drops them. */
function base64(raw: string): string {
  const text = raw.includes('\n') || raw.includes('\r') ? raw.replace(/[\r\n]/g, '') : raw
  let end = text.length
  if (end % 4 === 0 && text.endsWith('=')) end -= text.endsWith('==') ? 2 : 1
  for (let i = 0; i < end; i++) {
    const c = text.charCodeAt(i)
    const known = (c >= 97 && c <= 122) || (c >= 65 && c <= 90) || (c >= 48 && c <= 57) || c === 43 || c === 47
    if (!known) return fail(`illegal base64 data at input byte ${i}`)
  }
  if (text.length % 4 !== 0) return fail(`illegal base64 data at input byte ${text.length - (text.length % 4)}`)
  return text
}

function anyDecoder(schema: AnySchema): Decoder {
  const objectOnly = schema.name?.endsWith('.FieldsV1') || schema.name?.endsWith('.RawExtension')
  return (value, context) =>
    objectOnly && (typeof value !== 'object' || Array.isArray(value))
      ? mismatch(value, goType(schema), context)
      : copyAny(value, 0)
}
/** A fresh copy of any JSON; throws DecodeError where it nests too deep. */
function copyAny(value: Json | undefined, depth: number): Json {
  if (value === undefined) return null
  if (typeof value !== 'object' || value === null) return value
  if (depth >= maxDepth) return fail('exceeded max depth')
  if (Array.isArray(value)) return (value as readonly Json[]).map((item) => copyAny(item, depth + 1))
  const source = value as JsonObject
  const out: Record<string, Json> = {}
  for (const key in source) if (source[key] !== undefined) setKey(out, key, copyAny(source[key], depth + 1))
  return out
}

function arrayDecoder(schema: ArraySchema): Decoder {
  const item = decoderOf(schema.items)
  const zero = zeroOf(schema.items)
  return (value, context) => {
    if (!Array.isArray(value)) return mismatch(value, goType(schema), context)
    const source = value as readonly Json[]
    const out = new Array<Json>(source.length)
    const at = context.depth++
    for (let i = 0; i < source.length; i++) {
      const member = source[i]
      context.path[at] = i
      out[i] = member === null || member === undefined ? zero(context) : item(member, context)
    }
    context.depth = at
    return out
  }
}

function mapDecoder(schema: MapSchema): Decoder {
  const item = decoderOf(schema.values)
  const zero = zeroOf(schema.values)
  return (value, context) => {
    if (!isObject(value)) return mismatch(value, goType(schema), context)
    const out: Record<string, Json> = {}
    const at = context.depth++
    for (const key in value) {
      const member = value[key]
      if (member === undefined) continue
      context.path[at] = key
      setKey(out, key, member === null ? zero(context) : item(member, context))
    }
    context.depth = at
    return out
  }
}

interface FieldPlan {
  readonly decode: Decoder
  readonly omitZero: boolean
  /** An optional list or map that is empty is as good as absent: Go writes neither (omitempty). */
  readonly omitEmpty: boolean
}
function objectDecoder(schema: ObjectSchema): Decoder {
  const plans = new Map<string, FieldPlan>()
  const filled: (readonly [string, (context: Context) => Json])[] = []
  for (const [name, field] of Object.entries(schema.fields)) {
    plans.set(name, {
      decode: decoderOf(field.schema),
      omitZero: field.omitZero === true,
      omitEmpty: field.presence === 'optional' && (field.schema.type === 'array' || field.schema.type === 'map'),
    })
    if (field.presence === 'struct') filled.push([name, zeroOf(field.schema)])
    else if (field.presence === 'required' && field.tag !== 0 && hasZero(field)) {
      filled.push([name, zeroOf(field.schema)])
    }
  }
  return (value, context) => {
    if (!isObject(value)) return mismatch(value, goType(schema), context)
    if (context.depth > maxDepth) return fail('exceeded max depth')
    const out: Record<string, Json> = {}
    const at = context.depth++
    for (const key in value) {
      const member = value[key]
      const plan = plans.get(key)
      if (plan === undefined) {
        if (schema.preserveUnknown) setKey(out, key, copyAny(member, 0))
        else reportUnknown(context, at, key)
        continue
      }
      if (member === null || member === undefined) continue
      context.path[at] = key
      const decoded = plan.decode(member, context)
      if (plan.omitZero && !context.sparse && (decoded === '' || decoded === 0 || decoded === false)) continue
      if (plan.omitEmpty && !context.sparse && isEmptyContainer(decoded)) continue
      out[key] = decoded
    }
    context.depth = at
    if (!context.sparse) for (const [name, zero] of filled) if (out[name] === undefined) out[name] = zero(context)
    return out
  }
}

function isEmptyContainer(value: Json): boolean {
  if (Array.isArray(value)) return value.length === 0
  for (const _ in value as JsonObject) return false
  return true
}

function reportUnknown(context: Context, at: number, key: string): void {
  if (context.unknown.length >= maxUnknown) return
  context.path[at] = key
  context.unknown.push(printPath(context.path.slice(0, at + 1)))
}
function printPath(path: readonly (string | number)[]): string {
  let text = ''
  for (const element of path) {
    text += typeof element === 'number' ? `[${element}]` : text === '' ? element : `.${element}`
  }
  return text
}

/** CRDs: JSON stays as it is (wrong types are validation's), unknown fields go, null goes where it is not allowed. */
function structuralDecoder(schema: ObjectSchema): Decoder {
  const plans = new Map<string, { readonly decode: Decoder; readonly nullable: boolean }>()
  for (const [name, field] of Object.entries(schema.fields)) {
    plans.set(name, {
      decode: tolerant(field.schema),
      nullable: solid(field.schema).constraints?.nullable === true,
    })
  }
  const embedded = schema.embeddedResource === true
  return (value, context) => {
    if (!isObject(value)) return copyAny(value, context.depth)
    if (context.depth > maxDepth) return fail('exceeded max depth')
    const out: Record<string, Json> = {}
    const at = context.depth++
    for (const key in value) {
      const member = value[key]
      if (member === undefined) continue
      const plan = plans.get(key)
      if (plan === undefined) {
        const kept = schema.preserveUnknown || (embedded && ['apiVersion', 'kind', 'metadata'].includes(key))
        if (kept) setKey(out, key, copyAny(member, at))
        else reportUnknown(context, at, key)
        continue
      }
      if (member === null && !plan.nullable) continue
      context.path[at] = key
      setKey(out, key, member === null ? null : plan.decode(member, context))
    }
    context.depth = at
    return out
  }
}
/** Decodes what has the right shape and keeps the rest for validation to complain about. */
function tolerant(schema: Schema): Decoder {
  if (schema.type === 'lazy') return (value, context) => tolerant(solid(schema))(value, context)
  if (schema.type === 'object') return decoderOf(schema)
  if (schema.type === 'array') {
    const item = tolerant(schema.items)
    return (value, context) => {
      if (!Array.isArray(value)) return copyAny(value, context.depth)
      const at = context.depth++
      const out = (value as readonly Json[]).map((member, i) => {
        context.path[at] = i
        return item(member, context)
      })
      context.depth = at
      return out
    }
  }
  if (schema.type === 'map') {
    const item = tolerant(schema.values)
    return (value, context) => {
      if (!isObject(value)) return copyAny(value, context.depth)
      const out: Record<string, Json> = {}
      const at = context.depth++
      for (const key in value) {
        context.path[at] = key
        const member = value[key]
        if (member !== undefined) setKey(out, key, item(member, context))
      }
      context.depth = at
      return out
    }
  }
  return (value, context) => copyAny(value, context.depth)
}

/** Whether an absent required field has a zero value to be filled with: pointers to structs and times have none. */
function hasZero({ schema, pointer }: Field): boolean {
  switch (schema.type) {
    case 'string':
      return schema.format === undefined
    case 'object':
      return pointer !== true
    case 'lazy':
    case 'any':
    case 'map':
      return false
    case 'integer':
    case 'number':
    case 'boolean':
    case 'array':
    case 'quantity':
    case 'int-or-string':
      return true
  }
}
/** What Go has where JSON has null or nothing. */
function zeroOf(schema: Schema): (context: Context) => Json {
  switch (schema.type) {
    case 'string':
      return () => ''
    case 'integer':
    case 'number':
    case 'int-or-string':
      return () => 0
    case 'boolean':
      return () => false
    case 'quantity':
      return () => '0'
    case 'array':
      return () => []
    case 'any':
      return () => null
    case 'map':
      return () => ({})
    case 'object':
    case 'lazy':
      return (context) => decoderOf(schema)({}, context)
  }
}

const isObject = (value: Json): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function fail(message: string): never {
  throw new DecodeError(message)
}
/** Go's name of a JSON value in its messages. */
function goValue(value: Json, type: string): string {
  if (typeof value === 'number') return type.startsWith('int') ? `number ${value}` : 'number'
  if (typeof value === 'boolean') return 'bool'
  return Array.isArray(value) ? 'array' : typeof value === 'string' ? 'string' : 'object'
}
/** Go's name of a type: v1.PodSpec, []v1.Container, map[string]string. */
function goType(schema: Schema): string {
  const it = solid(schema)
  switch (it.type) {
    case 'string':
      return it.format === 'byte' ? '[]uint8' : it.format === 'date-time' ? 'v1.Time' : 'string'
    case 'integer':
      return it.format
    case 'number':
      return 'float64'
    case 'boolean':
      return 'bool'
    case 'quantity':
      return 'resource.Quantity'
    case 'int-or-string':
      return 'intstr.IntOrString'
    case 'array':
      return `[]${goType(it.items)}`
    case 'map':
      return `map[string]${goType(it.values)}`
    case 'any':
    case 'object':
      return it.name === undefined || it.name === '' ? 'interface {}' : it.name.split('.').slice(-2).join('.')
  }
}
function mismatch(value: Json, type: string, context: Context): never {
  const fields: string[] = []
  let schema = solid(context.root)
  let struct = ''
  for (const element of context.path.slice(0, context.depth)) {
    if (schema.type === 'object') {
      struct = goType(schema).split('.').at(-1) ?? ''
      fields.push(String(element))
      schema = solid(schema.fields[element]?.schema ?? { type: 'any' })
    } else if (schema.type === 'array') schema = solid(schema.items)
    else if (schema.type === 'map') schema = solid(schema.values)
  }
  const into = struct === '' ? 'Go value' : `Go struct field ${struct}.${fields.join('.')}`
  return fail(`json: cannot unmarshal ${goValue(value, type)} into ${into} of type ${type}`)
}
