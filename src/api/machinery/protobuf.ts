// application/vnd.kubernetes.protobuf in both directions, driven by the field numbers of the schemas. An object is
// enveloped: "k8s\0", then runtime.Unknown with its apiVersion, kind and bytes. Compiled to closures once per schema.
import { perSchema, solid } from './compile.ts'
import { formatDuration, parseDuration } from './duration.ts'
import { maxDepth, setKey } from './freeze.ts'
import { FIXED64, fromBase64, LENGTH, Reader, toBase64, VARINT, WireError, Writer } from './protobuf-wire.ts'
import type { AnySchema, ArraySchema, Field, Json, JsonObject, MapSchema, ObjectSchema, Schema } from './schema.ts'
import { formatTime, parseTime } from './time.ts'

export const protobufMediaType = 'application/vnd.kubernetes.protobuf'
const magic = Uint8Array.of(0x6b, 0x38, 0x73, 0)

/** Bytes that are no object of ours; the message says why. */
export class ProtobufError extends Error {}

export interface Enveloped {
  readonly apiVersion: string
  readonly kind: string
  /** The object's message, without apiVersion and kind. */
  readonly raw: Uint8Array
}

/** An object's message without the envelope. */
export function encodeMessage(schema: ObjectSchema, object: unknown): Uint8Array {
  const writer = new Writer()
  messageOf(schema).write(writer, object as JsonObject)
  return writer.bytes()
}
/** Puts the envelope around a message. */
export function envelope(apiVersion: string, kind: string, raw: Uint8Array): Uint8Array {
  const writer = new Writer()
  // contentEncoding and contentType are always written, empty
  writer.varint(0)
  writer.tag(4, LENGTH)
  writer.varint(0)
  writer.tag(3, LENGTH)
  writer.raw(raw)
  writer.varint(raw.length)
  writer.tag(2, LENGTH)
  const typeMeta = writer.mark()
  writeText(writer, 2, kind)
  writeText(writer, 1, apiVersion)
  writer.header(1, typeMeta)
  writer.raw(magic)
  return writer.bytes()
}
/** An object as clients want it. */
export const encodeProtobuf = (
  schema: ObjectSchema,
  object: { readonly apiVersion: string; readonly kind: string },
): Uint8Array => envelope(object.apiVersion, object.kind, encodeMessage(schema, object))

/** A list from the messages of its items, which were encoded when they were written. */
export function encodeList(
  listMeta: ObjectSchema,
  metadata: unknown,
  items: readonly Uint8Array[],
  apiVersion: string,
  kind: string,
): Uint8Array {
  const writer = new Writer()
  for (let i = items.length - 1; i >= 0; i--) {
    const item = items[i] as Uint8Array
    writer.raw(item)
    writer.varint(item.length)
    writer.tag(2, LENGTH)
  }
  const mark = writer.mark()
  messageOf(listMeta).write(writer, metadata as JsonObject)
  writer.header(1, mark)
  return envelope(apiVersion, kind, writer.bytes())
}
/** One frame of a watch: four bytes of length, then a WatchEvent around an enveloped object. */
export function encodeWatchFrame(type: string, object: Uint8Array): Uint8Array {
  const writer = new Writer()
  writer.raw(object)
  writer.varint(object.length)
  writer.tag(1, LENGTH)
  writer.header(2, 0)
  writeText(writer, 1, type)
  const event = writer.bytes()
  const frame = new Uint8Array(event.length + 4)
  new DataView(frame.buffer).setUint32(0, event.length)
  frame.set(event, 4)
  return frame
}
function writeText(writer: Writer, tag: number, value: string): void {
  const mark = writer.mark()
  writer.string(value)
  writer.header(tag, mark)
}

/** Opens the envelope. Throws ProtobufError. */
export function openEnvelope(bytes: Uint8Array): Enveloped {
  if (bytes.length < 4 || magic.some((byte, i) => bytes[i] !== byte)) {
    throw new ProtobufError('provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]')
  }
  return guarded(() => {
    let apiVersion = ''
    let kind = ''
    let raw = new Uint8Array(0)
    const reader = new Reader(bytes, 4)
    while (!reader.done()) {
      const tag = reader.tag()
      if (tag === 8 + LENGTH) {
        const meta = reader.nested()
        while (!meta.done()) {
          const inner = meta.tag()
          if (inner === 8 + LENGTH) apiVersion = meta.string()
          else if (inner === 16 + LENGTH) kind = meta.string()
          else meta.skip(inner & 7)
        }
      } else if (tag === 16 + LENGTH) raw = reader.bytes() as Uint8Array<ArrayBuffer>
      else reader.skip(tag & 7)
    }
    return { apiVersion, kind, raw }
  })
}
/** A message as JSON, still to be decoded by the schema (which fills structs and drops zeros). Throws ProtobufError. */
export function decodeMessage(schema: ObjectSchema, raw: Uint8Array): JsonObject {
  return guarded(() => {
    const out: Record<string, Json> = {}
    messageOf(schema).read(new Reader(raw), out, 0)
    return out
  })
}
function guarded<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof WireError) throw new ProtobufError(error.message)
    throw error
  }
}

interface Message {
  /** Writes the members backwards, first member last. */
  readonly write: (writer: Writer, value: JsonObject) => void
  readonly read: (reader: Reader, out: Record<string, Json>, depth: number) => void
}
/** One value on the wire. */
interface Codec {
  readonly wire: number
  /** For LENGTH without the length, which the caller writes. */
  readonly write: (writer: Writer, value: Json) => void
  readonly read: (reader: Reader, depth: number) => Json | undefined
}

interface Plan {
  readonly fields: (readonly [string, Field])[]
  readonly embedded: Map<number, Plan>
}
const emptyPlan = (): Plan => ({ fields: [], embedded: new Map() })
const messageOf: (schema: ObjectSchema) => Message = (schema) => compiled(schema)
const compiled = perSchema<Message>((schema): Message => {
  const object = solid(schema) as ObjectSchema
  const plan = emptyPlan()
  for (const [name, field] of Object.entries(object.fields)) {
    if (field.tag === 0) continue
    let at = plan
    for (const tag of field.within ?? []) {
      const next = at.embedded.get(tag) ?? emptyPlan()
      at.embedded.set(tag, next)
      at = next
    }
    at.fields.push([name, field])
  }
  return compilePlan(plan, object)
})

type Write = (writer: Writer, value: JsonObject) => void
function compilePlan(plan: Plan, owner: ObjectSchema): Message {
  const named = new Map<string, Write>()
  const embedded: Write[] = []
  const readers = new Map<number, (reader: Reader, wire: number, out: Record<string, Json>, depth: number) => void>()
  for (const [name, field] of plan.fields) {
    const member = memberCodec(name, field, owner)
    named.set(name, member.write)
    readers.set(field.tag, member.read)
  }
  for (const [tag, inner] of plan.embedded) {
    const message = compilePlan(inner, owner)
    embedded.push((writer, value) => {
      const mark = writer.mark()
      message.write(writer, value)
      if (writer.mark() > mark) writer.header(tag, mark)
    })
    readers.set(tag, (reader, wire, out, depth) => {
      expectWire(wire, LENGTH)
      message.read(reader.nested(), out, depth + 1)
    })
  }
  return {
    // what is there is written, in the object's order: readers take fields in any order
    write: (writer, value) => {
      for (const name in value) named.get(name)?.(writer, value)
      for (const write of embedded) write(writer, value)
    },
    read: (reader, out, depth) => {
      if (depth > maxDepth) throw new WireError('exceeded max depth')
      while (!reader.done()) {
        const tag = reader.tag()
        const read = readers.get(tag >>> 3)
        if (read === undefined) reader.skip(tag & 7)
        else read(reader, tag & 7, out, depth)
      }
    },
  }
}
function expectWire(wire: number, wanted: number): void {
  if (wire !== wanted) throw new WireError(`proto: wrong wireType = ${wire}`)
}

interface Member {
  readonly write: (writer: Writer, value: JsonObject) => void
  readonly read: (reader: Reader, wire: number, out: Record<string, Json>, depth: number) => void
}
function memberCodec(name: string, field: Field, owner: ObjectSchema): Member {
  const schema = solid(field.schema)
  const { tag } = field
  if (schema.type === 'array' && schema.list?.wrapped !== true) return listMember(name, tag, schema, owner)
  if (schema.type === 'map') return mapMember(name, tag, schema, owner)
  const codec = codecOf(schema, owner)
  const keepsEmpty = field.pointer === true || field.presence === 'required'
  return {
    write: (writer, value) => {
      const member = value[name]
      if (member !== undefined && member !== null) writeField(writer, tag, codec, member)
    },
    read: (reader, wire, out, depth) => {
      expectWire(wire, codec.wire)
      const value = codec.read(reader, depth)
      if (value !== undefined && (value !== '' || keepsEmpty)) out[name] = value
    },
  }
}
function writeField(writer: Writer, tag: number, codec: Codec, value: Json): void {
  const mark = writer.mark()
  codec.write(writer, value)
  if (codec.wire === LENGTH) writer.header(tag, mark)
  else writer.tag(tag, codec.wire)
}

function listMember(name: string, tag: number, schema: ArraySchema, owner: ObjectSchema): Member {
  const codec = codecOf(solid(schema.items), owner)
  return {
    write: (writer, value) => {
      const list = value[name]
      if (!Array.isArray(list)) return
      const items = list as readonly Json[]
      for (let i = items.length - 1; i >= 0; i--) writeField(writer, tag, codec, items[i] as Json)
    },
    read: (reader, wire, out, depth) => {
      const list = (out[name] ??= []) as Json[]
      if (wire === LENGTH && codec.wire !== LENGTH) {
        // packed numbers
        const inner = reader.nested()
        while (!inner.done()) list.push(codec.read(inner, depth) ?? null)
        return
      }
      expectWire(wire, codec.wire)
      list.push(codec.read(reader, depth) ?? null)
    },
  }
}
function mapMember(name: string, tag: number, schema: MapSchema, owner: ObjectSchema): Member {
  const values = solid(schema.values)
  const codec = codecOf(values, owner)
  return {
    write: (writer, value) => {
      const map = value[name]
      if (typeof map !== 'object' || map === null || Array.isArray(map)) return
      const entries = Object.entries(map as JsonObject).sort(([a], [b]) => (a < b ? 1 : -1))
      for (const [key, member] of entries) {
        if (member === undefined) continue
        const mark = writer.mark()
        writeField(writer, 2, codec, member)
        writeText(writer, 1, key)
        writer.header(tag, mark)
      }
    },
    read: (reader, wire, out, depth) => {
      expectWire(wire, LENGTH)
      const map = (out[name] ??= {}) as Record<string, Json>
      const entry = reader.nested()
      let key = ''
      let value: Json | undefined
      while (!entry.done()) {
        const inner = entry.tag()
        if (inner === 8 + LENGTH) key = entry.string()
        else if (inner === 16 + codec.wire) value = codec.read(entry, depth + 1)
        else entry.skip(inner & 7)
      }
      setKey(map, key, value ?? null)
    },
  }
}

const bad = (what: string, value: Json): never => {
  throw new TypeError(`cannot write ${JSON.stringify(value)} as ${what}`)
}
const number = (value: Json): number => (typeof value === 'number' ? value : bad('a number', value))
const string = (value: Json): string => (typeof value === 'string' ? value : bad('text', value))

const textCodec: Codec = {
  wire: LENGTH,
  write: (writer, value) => writer.string(string(value)),
  read: (reader) => reader.string(),
}
const integerCodec: Codec = {
  wire: VARINT,
  write: (writer, value) => writer.varint(number(value)),
  read: (reader) => reader.signed(),
}
const doubleCodec: Codec = {
  wire: FIXED64,
  write: (writer, value) => writer.double(number(value)),
  read: (reader) => reader.double(),
}
const booleanCodec: Codec = {
  wire: VARINT,
  write: (writer, value) => writer.varint(value === true ? 1 : 0),
  read: (reader) => reader.unsigned() !== 0,
}
const bytesCodec: Codec = {
  wire: LENGTH,
  write: (writer, value) => writer.raw(fromBase64(string(value))),
  read: (reader) => toBase64(reader.bytes()),
}

function codecOf(schema: Exclude<Schema, { type: 'lazy' }>, owner: ObjectSchema): Codec {
  switch (schema.type) {
    case 'string':
      if (schema.format === 'byte') return bytesCodec
      if (schema.format === 'date-time' || schema.format === 'micro-time')
        return timeCodec(schema.format === 'micro-time')
      return schema.format === 'duration' ? durationCodec : textCodec
    case 'integer':
      return integerCodec
    case 'number':
      return doubleCodec
    case 'boolean':
      return booleanCodec
    case 'quantity':
      return quantityCodec
    case 'int-or-string':
      return intOrStringCodec
    case 'any':
      return anyCodec(schema, owner)
    case 'array':
      return wrappedListCodec
    case 'map':
      return bad('protobuf', 'a map inside a list or a map')
    case 'object':
      return {
        wire: LENGTH,
        write: (writer, value) => messageOf(schema).write(writer, value as JsonObject),
        read: (reader, depth) => {
          const out: Record<string, Json> = {}
          messageOf(schema).read(reader.nested(), out, depth + 1)
          return out
        },
      }
  }
}

/** Reads the fields of a small message by number. */
function fieldsOf(reader: Reader, read: (tag: number, inner: Reader) => boolean): void {
  const inner = reader.nested()
  while (!inner.done()) {
    const tag = inner.tag()
    if (!read(tag, inner)) inner.skip(tag & 7)
  }
}

/** metav1.Time: seconds and nanoseconds since 1970; the empty message is no time at all. */
function timeCodec(micro: boolean): Codec {
  return {
    wire: LENGTH,
    write: (writer, value) => {
      const time = string(value)
      const ms = parseTime(time)
      if (ms === undefined) return bad('a time', value)
      const fraction = micro ? Number((/\.(\d{1,6})/.exec(time)?.[1] ?? '').padEnd(6, '0')) * 1000 : 0
      writer.varint(fraction)
      writer.tag(2, VARINT)
      writer.varint(Math.floor(ms / 1000))
      writer.tag(1, VARINT)
    },
    read: (reader) => {
      let seconds = 0
      let nanos = 0
      fieldsOf(reader, (tag, inner) => {
        if (tag === 8 + VARINT) seconds = inner.signed()
        else if (tag === 16 + VARINT) nanos = inner.signed()
        else return false
        return true
      })
      if (seconds === 0 && nanos === 0) return undefined
      if (Math.abs(seconds) > 253_402_300_799) throw new WireError('time is out of range')
      const whole = formatTime(seconds * 1000)
      return micro ? `${whole.slice(0, -1)}.${String(Math.floor(nanos / 1000) % 1_000_000).padStart(6, '0')}Z` : whole
    },
  }
}
const durationCodec: Codec = {
  wire: LENGTH,
  write: (writer, value) => {
    writer.varint(Math.round((parseDuration(string(value)) ?? 0) * 1e6))
    writer.tag(1, VARINT)
  },
  read: (reader) => {
    let nanos = 0
    fieldsOf(reader, (tag, inner) => {
      if (tag !== 8 + VARINT) return false
      nanos = inner.signed()
      return true
    })
    return formatDuration(nanos / 1e6)
  },
}
const quantityCodec: Codec = {
  wire: LENGTH,
  write: (writer, value) => writeText(writer, 1, string(value)),
  read: (reader) => {
    let value = '0'
    fieldsOf(reader, (tag, inner) => {
      if (tag !== 8 + LENGTH) return false
      value = inner.string()
      return true
    })
    return value
  },
}
const intOrStringCodec: Codec = {
  wire: LENGTH,
  write: (writer, value) => {
    writeText(writer, 3, typeof value === 'string' ? value : '')
    writer.varint(typeof value === 'number' ? value : 0)
    writer.tag(2, VARINT)
    writer.varint(typeof value === 'string' ? 1 : 0)
    writer.tag(1, VARINT)
  },
  read: (reader) => {
    let isText = false
    let integer = 0
    let value = ''
    fieldsOf(reader, (tag, inner) => {
      if (tag === 8 + VARINT) isText = inner.unsigned() !== 0
      else if (tag === 16 + VARINT) integer = inner.signed()
      else if (tag === 24 + LENGTH) value = inner.string()
      else return false
      return true
    })
    return isText ? value : integer
  },
}
/** A list of texts in a message of its own. */
const wrappedListCodec: Codec = {
  wire: LENGTH,
  write: (writer, value) => {
    const items = Array.isArray(value) ? (value as readonly Json[]) : bad('a list', value)
    for (let i = items.length - 1; i >= 0; i--) writeText(writer, 1, string(items[i] as Json))
  },
  read: (reader) => {
    const out: Json[] = []
    fieldsOf(reader, (tag, inner) => {
      if (tag !== 8 + LENGTH) return false
      out.push(inner.string())
      return true
    })
    return out
  },
}

/** JSON inside protobuf: its text in field 1, but for the three unions of JSONSchemaProps. */
function anyCodec(schema: AnySchema, owner: ObjectSchema): Codec {
  const props = /JSONSchemaPropsOr(Bool|Array|StringArray)$/.exec(schema.name ?? '')
  if (props !== null) return unionCodec(props[1] as UnionKind, owner)
  return {
    wire: LENGTH,
    write: (writer, value) => {
      const mark = writer.mark()
      writer.string(JSON.stringify(value))
      writer.header(1, mark)
    },
    read: (reader) => {
      let value: Json | undefined
      fieldsOf(reader, (tag, inner) => {
        if (tag !== 8 + LENGTH) return false
        value = parseRaw(inner.bytes())
        return true
      })
      return value
    },
  }
}
function parseRaw(bytes: Uint8Array): Json | undefined {
  if (bytes.length === 0) return undefined
  // a nested object may come in an envelope of its own
  if (magic.every((byte, i) => bytes[i] === byte)) throw new WireError('nested protobuf objects are not supported')
  try {
    return JSON.parse(new TextDecoder().decode(bytes)) as Json
  } catch (error) {
    if (error instanceof SyntaxError) throw new WireError(`embedded JSON: ${error.message}`)
    throw error
  }
}

type UnionKind = 'Bool' | 'Array' | 'StringArray'
/** A schema, or a boolean, a list of schemas or a list of texts; `owner` is JSONSchemaProps itself. */
function unionCodec(kind: UnionKind, owner: ObjectSchema): Codec {
  const schemaTag = kind === 'Bool' ? 2 : 1
  const writeProps = (writer: Writer, tag: number, value: JsonObject) => {
    const mark = writer.mark()
    messageOf(owner).write(writer, value)
    writer.header(tag, mark)
  }
  const readProps = (reader: Reader, depth: number): JsonObject => {
    const out: Record<string, Json> = {}
    messageOf(owner).read(reader.nested(), out, depth + 1)
    return out
  }
  return {
    wire: LENGTH,
    write: (writer, value) => {
      if (Array.isArray(value)) {
        const items = [...(value as readonly Json[])].reverse()
        if (kind === 'StringArray') for (const item of items) writeText(writer, 2, string(item))
        else for (const item of items) writeProps(writer, 2, item as JsonObject)
      } else if (typeof value === 'object' && value !== null) {
        writeProps(writer, schemaTag, value as JsonObject)
        if (kind !== 'Bool') return
        writer.varint(1)
        writer.tag(1, VARINT)
      } else {
        writer.varint(value === true ? 1 : 0)
        writer.tag(1, VARINT)
      }
    },
    read: (reader, depth) => {
      let allows = false
      let props: JsonObject | undefined
      const list: Json[] = []
      fieldsOf(reader, (tag, inner) => {
        if (kind === 'Bool' && tag === 8 + VARINT) allows = inner.unsigned() !== 0
        else if (tag === schemaTag * 8 + LENGTH) props = readProps(inner, depth)
        else if (tag === 16 + LENGTH) list.push(kind === 'StringArray' ? inner.string() : readProps(inner, depth))
        else return false
        return true
      })
      if (props !== undefined) return props
      return kind === 'Bool' ? allows : list
    },
  }
}
