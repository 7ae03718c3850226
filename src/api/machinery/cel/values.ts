// What CEL computes with. Numbers are bigint for int and number for double, as CEL tells them apart; JSON is never copied:
// lists and maps over it convert a member when it is read, by its schema. Errors are values, for || and && absorb them.
import { solid } from '../compile.ts'
import { equal as equalJson } from '../equal.ts'
import { ownMember } from '../freeze.ts'
import type { Quantity } from '../quantity.ts'
import type { Json, JsonObject, Schema } from '../schema.ts'
import { parseDuration } from '../duration.ts'

export class CelError {
  readonly message: string
  constructor(message: string) {
    this.message = message
  }
}
export const noSuchKey = (key: string): CelError => new CelError(`no such key: ${key}`)
export const noSuchOverload = (): CelError => new CelError('no such overload')

export class Uint {
  readonly value: bigint
  constructor(value: bigint) {
    this.value = value
  }
}
/** Nanoseconds since 1970. */
export class Timestamp {
  readonly nanos: bigint
  constructor(nanos: bigint) {
    this.nanos = nanos
  }
}
export class Duration {
  readonly nanos: bigint
  constructor(nanos: bigint) {
    this.nanos = nanos
  }
}
export class TypeValue {
  readonly name: string
  constructor(name: string) {
    this.name = name
  }
}
export class Optional {
  readonly value: Value | undefined
  constructor(value: Value | undefined) {
    this.value = value
  }
}
export const none = new Optional(undefined)
/** A value of one of Kubernetes' own types. */
export class Opaque<T = unknown> {
  readonly type: string
  readonly value: T
  constructor(type: string, value: T) {
    this.type = type
    this.value = value
  }
}

export type Value =
  | null
  | boolean
  | bigint
  | number
  | string
  | Uint8Array
  | Uint
  | Timestamp
  | Duration
  | TypeValue
  | Optional
  | Opaque
  | ListValue
  | MapValue
export type Result = Value | CelError

export class ListValue {
  readonly items: readonly Value[]
  constructor(items: readonly Value[]) {
    this.items = items
  }
  get size(): number {
    return this.items.length
  }
  at(index: number): Value {
    return this.items[index] as Value
  }
  /** Order does not count when two such lists are compared (list types set and map). */
  readonly unordered: boolean = false
}
class JsonList extends ListValue {
  private readonly source: readonly Json[]
  private readonly schema: Schema | undefined
  override readonly unordered: boolean
  constructor(source: readonly Json[], schema: Schema | undefined) {
    super([])
    this.source = source
    const list = schema === undefined ? undefined : solid(schema)
    this.schema = list?.type === 'array' ? list.items : undefined
    const listType = list?.type === 'array' ? list.list?.listType : undefined
    this.unordered = listType === 'set' || listType === 'map'
  }
  override get size(): number {
    return this.source.length
  }
  override at(index: number): Value {
    return fromJson(this.source[index] as Json, this.schema)
  }
}

/** Keys that are equal in CEL have the same text: 1, 1u and 1.0. */
function keyText(key: Value): string | undefined {
  if (typeof key === 'string') return `s${key}`
  if (typeof key === 'boolean') return `b${key}`
  if (typeof key === 'bigint') return `n${key}`
  if (key instanceof Uint) return `n${key.value}`
  if (typeof key === 'number') return Number.isInteger(key) ? `n${BigInt(key)}` : `d${key}`
  return undefined
}
export const isKey = (key: Value): boolean =>
  typeof key === 'string' || typeof key === 'boolean' || typeof key === 'bigint' || key instanceof Uint

export class MapValue {
  protected readonly entries: ReadonlyMap<string, readonly [Value, Value]>
  constructor(entries: readonly (readonly [Value, Value])[]) {
    this.entries = new Map(entries.map((entry) => [keyText(entry[0]) ?? '', entry] as const))
  }
  get size(): number {
    return this.entries.size
  }
  get(key: Value): Value | undefined {
    const text = keyText(key)
    return text === undefined ? undefined : this.entries.get(text)?.[1]
  }
  keys(): Value[] {
    return [...this.entries.values()].map(([key]) => key)
  }
  /** The struct type's name, where it is one. */
  readonly type: string | undefined = undefined
}
/** A struct whose fields are worked out when they are read, and may fail. */
export class ComputedStruct extends MapValue {
  override readonly type: string
  readonly read: (field: string) => Result | undefined
  constructor(type: string, read: (field: string) => Result | undefined) {
    super([])
    this.type = type
    this.read = read
  }
}
/** A JSON object: a struct by its schema, or a map. */
export class JsonMap extends MapValue {
  readonly source: JsonObject
  private readonly schema: Schema | undefined
  constructor(source: JsonObject, schema: Schema | undefined) {
    super([])
    this.source = source
    this.schema = schema === undefined ? undefined : solid(schema)
  }
  override get size(): number {
    return Object.keys(this.source).length
  }
  override get(key: Value): Value | undefined {
    if (typeof key !== 'string') return undefined
    const name = ownMember(this.source, key) === undefined ? unescapeName(key) : key
    const member = ownMember(this.source, name)
    if (member === undefined) return undefined
    const { schema } = this
    if (schema?.type === 'object') return fromJson(member, ownMember(schema.fields, name)?.schema)
    return fromJson(member, schema?.type === 'map' ? schema.values : undefined)
  }
  override keys(): Value[] {
    return Object.keys(this.source)
  }
}

/** Property names that are no CEL identifiers are written with these in their place. */
const escapesInNames: readonly (readonly [string, string])[] = [
  ['__dot__', '.'],
  ['__dash__', '-'],
  ['__slash__', '/'],
  ['__underscores__', '__'],
]
const keywords =
  'true false null in as break const continue else for function if import let loop package namespace return var void while'.split(
    ' ',
  )
/** The property that a name in an expression means. */
export function unescapeName(name: string): string {
  if (!name.includes('__')) return name
  const keyword = /^__(.+)__$/.exec(name)?.[1]
  if (keyword !== undefined && keywords.includes(keyword)) return keyword
  return name.replace(
    /__(?:dot|dash|slash|underscores)__/g,
    (escaped) => escapesInNames.find(([e]) => e === escaped)?.[1] ?? escaped,
  )
}

const unixNanos = (ms: number): bigint => BigInt(Math.round(ms)) * 1_000_000n
/** A timestamp from RFC 3339 text, to the nanosecond; undefined where it is none. */
export function parseTimestamp(text: string): Timestamp | undefined {
  const match = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?(Z|[+-]\d{2}:\d{2})$/.exec(text)
  if (match === null) return undefined
  const ms = Date.parse(`${match[1]}${match[3]}`)
  if (Number.isNaN(ms)) return undefined
  const nanos = unixNanos(ms) + BigInt((match[2] ?? '').padEnd(9, '0'))
  return inTimeRange(nanos) ? new Timestamp(nanos) : undefined
}
export const inTimeRange = (nanos: bigint): boolean =>
  nanos >= -62135596800_000000000n && nanos <= 253402300799_999999999n

/** JSON as a CEL value. Without a schema whole numbers are ints. */
export function fromJson(json: Json, schema: Schema | undefined): Value {
  if (json === null || typeof json === 'boolean') return json
  const it = schema === undefined ? undefined : solid(schema)
  if (typeof json === 'number') {
    return it?.type === 'number' || !Number.isInteger(json) ? json : BigInt(json)
  }
  if (typeof json === 'string')
    return it?.type === 'string' ? fromText(json, it.format ?? it.constraints?.format) : json
  if (Array.isArray(json)) return new JsonList(json as readonly Json[], it)
  return new JsonMap(json as JsonObject, it)
}
function fromText(text: string, format: string | undefined): Value {
  if (format === 'byte') return Uint8Array.from(atob(text), (c) => c.charCodeAt(0))
  if (format === 'date-time' || format === 'micro-time') return parseTimestamp(text) ?? text
  if (format === 'date') return parseTimestamp(`${text}T00:00:00Z`) ?? text
  if (format !== 'duration') return text
  const ms = parseDuration(text)
  return ms === undefined ? text : new Duration(BigInt(Math.round(ms * 1e6)))
}

/** A CEL value as JSON, for message expressions and mutations; undefined where it has no JSON form. */
export function toJson(value: Value): Json | undefined {
  if (value === null || typeof value === 'boolean' || typeof value === 'string' || typeof value === 'number')
    return value
  if (typeof value === 'bigint') return Number(value)
  if (value instanceof Uint) return Number(value.value)
  if (value instanceof JsonMap) return value.source
  if (value instanceof ListValue) {
    const items = Array.from({ length: value.size }, (_, i) => toJson(value.at(i)))
    return items.some((item) => item === undefined) ? undefined : (items as Json[])
  }
  if (value instanceof MapValue) {
    const out: Record<string, Json> = {}
    for (const key of value.keys()) {
      const member = toJson(value.get(key) as Value)
      if (typeof key !== 'string' || member === undefined) return undefined
      out[key] = member
    }
    return out
  }
  if (value instanceof Optional) return value.value === undefined ? undefined : toJson(value.value)
  return undefined
}

/** CEL equality: numbers by value across their types, everything else within its type. */
export function equals(a: Value, b: Value): boolean {
  if (a === b) return true
  const [x, y] = [numeric(a), numeric(b)]
  if (x !== undefined && y !== undefined) return compareNumbers(x, y) === 0
  if (a instanceof JsonMap && b instanceof JsonMap && equalJson(a.source, b.source)) return true
  if (a instanceof ListValue && b instanceof ListValue) return equalLists(a, b)
  if (a instanceof MapValue && b instanceof MapValue) return equalMaps(a, b)
  if (a instanceof Uint8Array && b instanceof Uint8Array)
    return a.length === b.length && a.every((byte, i) => byte === b[i])
  if (a instanceof Timestamp && b instanceof Timestamp) return a.nanos === b.nanos
  if (a instanceof Duration && b instanceof Duration) return a.nanos === b.nanos
  if (a instanceof TypeValue && b instanceof TypeValue) return a.name === b.name
  if (a instanceof Optional && b instanceof Optional) {
    if (a.value === undefined || b.value === undefined) return a.value === b.value
    return equals(a.value, b.value)
  }
  if (a instanceof Opaque && b instanceof Opaque) return a.type === b.type && equalOpaque(a.value, b.value)
  return false
}
function equalOpaque(a: unknown, b: unknown): boolean {
  if (typeof a === 'object' && a !== null && 'nanos' in a) return a.nanos === (b as Quantity).nanos
  if (a instanceof URL) return a.href === (b as URL).href
  if (typeof a !== 'object' || a === null || typeof b !== 'object' || b === null) return a === b
  const [x, y] = [a as Record<string, unknown>, b as Record<string, unknown>]
  return Object.keys(x).every((key) => x[key] === y[key])
}
function equalLists(a: ListValue, b: ListValue): boolean {
  if (a.size !== b.size) return false
  if (a.unordered && b.unordered) {
    const rest = Array.from({ length: b.size }, (_, i) => b.at(i))
    for (let i = 0; i < a.size; i++) {
      const at = rest.findIndex((item) => equals(a.at(i), item))
      if (at < 0) return false
      rest.splice(at, 1)
    }
    return true
  }
  for (let i = 0; i < a.size; i++) if (!equals(a.at(i), b.at(i))) return false
  return true
}
function equalMaps(a: MapValue, b: MapValue): boolean {
  if (a.size !== b.size || a.type !== b.type) return false
  return a.keys().every((key) => {
    const other = b.get(key)
    return other !== undefined && equals(a.get(key) as Value, other)
  })
}

/** The number in a value of one of the three numeric types. */
export function numeric(value: Value): bigint | number | undefined {
  if (typeof value === 'bigint' || typeof value === 'number') return value
  return value instanceof Uint ? value.value : undefined
}
/** NaN is neither less nor more nor equal: undefined. */
export function compareNumbers(a: bigint | number, b: bigint | number): -1 | 0 | 1 | undefined {
  // an int meets a double as a double, as upstream's engine does it
  const [x, y] = typeof a === typeof b ? [a, b] : [Number(a), Number(b)]
  if (x < y) return -1
  if (x > y) return 1
  return x === y ? 0 : undefined
}

/** The name that type() answers. */
export function typeName(value: Value): string {
  if (value === null) return 'null_type'
  if (typeof value === 'boolean') return 'bool'
  if (typeof value === 'bigint') return 'int'
  if (typeof value === 'number') return 'double'
  if (typeof value === 'string') return 'string'
  if (value instanceof Uint8Array) return 'bytes'
  if (value instanceof Uint) return 'uint'
  if (value instanceof Timestamp) return 'google.protobuf.Timestamp'
  if (value instanceof Duration) return 'google.protobuf.Duration'
  if (value instanceof TypeValue) return 'type'
  if (value instanceof Optional) return 'optional_type'
  if (value instanceof ListValue) return 'list'
  if (value instanceof MapValue) return value.type ?? 'map'
  return value.type
}
