// The part of etcd's v3 API that a store needs (https://etcd.io/docs/v3.4/learning/api/): messages as plain objects, written
// and read field by field. Revisions are int64 on the wire and numbers here; leases stay bigints, they use all 64 bits.
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire'

export interface EtcdKeyValue {
  readonly key: string
  readonly createRevision: number
  readonly modRevision: number
  readonly version: number
  readonly value: Uint8Array
}
export interface RangeRequest {
  readonly key: string
  readonly rangeEnd?: Uint8Array
  readonly limit?: number
  readonly revision?: number
  readonly countOnly?: boolean
}
export interface RangeResponse {
  readonly revision: number
  readonly kvs: readonly EtcdKeyValue[]
  readonly count: number
}
export type RequestOp =
  | { readonly type: 'range'; readonly key: string }
  | { readonly type: 'put'; readonly key: string; readonly value: Uint8Array; readonly lease: bigint }
  | { readonly type: 'delete'; readonly key: string }
export interface TxnRequest {
  readonly compares: readonly { readonly key: string; readonly modRevision: number }[]
  readonly success: readonly RequestOp[]
  readonly failure: readonly RequestOp[]
}
export interface TxnResponse {
  readonly revision: number
  readonly succeeded: boolean
  /** Of each operation: what a range found, or what a put or a delete found before it. */
  readonly found: readonly (EtcdKeyValue | undefined)[]
}
export interface WatchResponse {
  readonly revision: number
  readonly created: boolean
  readonly canceled: boolean
  readonly compactRevision: number
  readonly cancelReason: string
  readonly events: readonly EtcdEvent[]
}
export interface EtcdEvent {
  readonly deleted: boolean
  readonly kv: EtcdKeyValue
  readonly previous: EtcdKeyValue | undefined
}

const text = new TextDecoder()
const utf8 = new TextEncoder()

type Field = readonly [number, WireType]
const fieldTag = (field: number, type: WireType): Field => [field, type]

/** Reads a message field by field; what `read` does not take is skipped. */
function eachField(bytes: Uint8Array, read: (field: number, reader: BinaryReader) => boolean): void {
  const reader = new BinaryReader(bytes)
  while (reader.pos < reader.len) {
    const [field, type]: Field = reader.tag()
    const before = reader.pos
    if (read(field, reader)) continue
    if (reader.pos !== before) throw new Error('a field was read by half')
    reader.skip(type)
  }
}
const varint = (writer: BinaryWriter, field: number, value: number | bigint): void => {
  if (Number(value) !== 0) writer.tag(...fieldTag(field, WireType.Varint)).int64(value)
}
const flag = (writer: BinaryWriter, field: number, value: boolean | undefined): void => {
  if (value === true) writer.tag(...fieldTag(field, WireType.Varint)).bool(true)
}
const binary = (writer: BinaryWriter, field: number, value: Uint8Array | undefined): void => {
  if (value !== undefined && value.length > 0) writer.tag(...fieldTag(field, WireType.LengthDelimited)).bytes(value)
}
const message = (writer: BinaryWriter, field: number, content: Uint8Array): void => {
  writer.tag(...fieldTag(field, WireType.LengthDelimited)).bytes(content)
}
const number = (reader: BinaryReader): number => Number(reader.int64())

function revisionOf(header: Uint8Array): number {
  let revision = 0
  eachField(header, (field, reader) => {
    if (field !== 3) return false
    revision = number(reader)
    return true
  })
  return revision
}

function readKeyValue(bytes: Uint8Array): EtcdKeyValue {
  const kv = { key: '', createRevision: 0, modRevision: 0, version: 0, value: new Uint8Array() }
  eachField(bytes, (field, reader) => {
    if (field === 1) kv.key = text.decode(reader.bytes())
    else if (field === 2) kv.createRevision = number(reader)
    else if (field === 3) kv.modRevision = number(reader)
    else if (field === 4) kv.version = number(reader)
    else if (field === 5) kv.value = Uint8Array.from(reader.bytes())
    else return false
    return true
  })
  return kv
}

export function writeRange(request: RangeRequest): Uint8Array {
  const writer = new BinaryWriter()
  binary(writer, 1, utf8.encode(request.key))
  binary(writer, 2, request.rangeEnd)
  varint(writer, 3, request.limit ?? 0)
  varint(writer, 4, request.revision ?? 0)
  flag(writer, 9, request.countOnly)
  return writer.finish()
}
export function readRange(bytes: Uint8Array): RangeResponse {
  const kvs: EtcdKeyValue[] = []
  let revision = 0
  let count = 0
  eachField(bytes, (field, reader) => {
    if (field === 1) revision = revisionOf(reader.bytes())
    else if (field === 2) kvs.push(readKeyValue(reader.bytes()))
    else if (field === 4) count = number(reader)
    else return false
    return true
  })
  return { revision, kvs, count }
}

function writeOperation(operation: RequestOp): Uint8Array {
  const inner = new BinaryWriter()
  binary(inner, 1, utf8.encode(operation.key))
  if (operation.type === 'put') {
    binary(inner, 2, operation.value)
    varint(inner, 3, operation.lease)
    flag(inner, 4, true)
  }
  if (operation.type === 'delete') flag(inner, 3, true)
  const outer = new BinaryWriter()
  message(outer, { range: 1, put: 2, delete: 3 }[operation.type], inner.finish())
  return outer.finish()
}
const equal = 0
const modTarget = 2
export function writeTxn(request: TxnRequest): Uint8Array {
  const writer = new BinaryWriter()
  for (const { key, modRevision } of request.compares) {
    const compare = new BinaryWriter()
    varint(compare, 1, equal)
    varint(compare, 2, modTarget)
    binary(compare, 3, utf8.encode(key))
    // A member of a oneof: written even when it is zero.
    compare.tag(...fieldTag(6, WireType.Varint)).int64(modRevision)
    message(writer, 1, compare.finish())
  }
  for (const operation of request.success) message(writer, 2, writeOperation(operation))
  for (const operation of request.failure) message(writer, 3, writeOperation(operation))
  return writer.finish()
}
export function readTxn(bytes: Uint8Array): TxnResponse {
  const found: (EtcdKeyValue | undefined)[] = []
  let revision = 0
  let succeeded = false
  eachField(bytes, (field, reader) => {
    if (field === 1) revision = revisionOf(reader.bytes())
    else if (field === 2) succeeded = reader.bool()
    else if (field === 3) found.push(readOperation(reader.bytes()))
    else return false
    return true
  })
  return { revision, succeeded, found }
}
function readOperation(bytes: Uint8Array): EtcdKeyValue | undefined {
  let found: EtcdKeyValue | undefined
  eachField(bytes, (field, reader) => {
    if (field < 1 || field > 3) return false
    // Where the key-value pairs stand: kvs of a range, prev_kv of a put, prev_kvs of a delete.
    const at = { 1: 2, 2: 2, 3: 3 }[field]
    eachField(reader.bytes(), (inner, innerReader) => {
      if (inner !== at) return false
      found = readKeyValue(innerReader.bytes())
      return true
    })
    return true
  })
  return found
}

export function writeCompact(revision: number): Uint8Array {
  const writer = new BinaryWriter()
  varint(writer, 1, revision)
  flag(writer, 2, true)
  return writer.finish()
}

/** A watch over everything from `startRevision`. */
export function writeWatch(startRevision: number): Uint8Array {
  const all = new Uint8Array(1)
  const create = new BinaryWriter()
  binary(create, 1, all)
  binary(create, 2, all)
  varint(create, 3, startRevision)
  flag(create, 6, true)
  const writer = new BinaryWriter()
  message(writer, 1, create.finish())
  return writer.finish()
}
export function readWatch(bytes: Uint8Array): WatchResponse {
  const events: EtcdEvent[] = []
  const out = { revision: 0, created: false, canceled: false, compactRevision: 0, cancelReason: '', events }
  eachField(bytes, (field, reader) => {
    if (field === 1) out.revision = revisionOf(reader.bytes())
    else if (field === 3) out.created = reader.bool()
    else if (field === 4) out.canceled = reader.bool()
    else if (field === 5) out.compactRevision = number(reader)
    else if (field === 6) out.cancelReason = reader.string()
    else if (field === 11) events.push(readEvent(reader.bytes()))
    else return false
    return true
  })
  return out
}
function readEvent(bytes: Uint8Array): EtcdEvent {
  let deleted = false
  let kv: EtcdKeyValue | undefined
  let previous: EtcdKeyValue | undefined
  eachField(bytes, (field, reader) => {
    if (field === 1) deleted = reader.int32() === 1
    else if (field === 2) kv = readKeyValue(reader.bytes())
    else if (field === 3) previous = readKeyValue(reader.bytes())
    else return false
    return true
  })
  if (kv === undefined) throw new Error('etcd sent an event without a key')
  return { deleted, kv, previous }
}

export function writeLeaseGrant(ttlSeconds: number): Uint8Array {
  const writer = new BinaryWriter()
  varint(writer, 1, ttlSeconds)
  return writer.finish()
}
export function writeLeaseId(id: bigint): Uint8Array {
  const writer = new BinaryWriter()
  varint(writer, 1, id)
  return writer.finish()
}
/** Of a grant or a keep-alive. */
export function readLease(bytes: Uint8Array): { readonly id: bigint; readonly ttlSeconds: number } {
  const out = { id: 0n, ttlSeconds: 0 }
  eachField(bytes, (field, reader) => {
    if (field === 2) out.id = BigInt(reader.int64())
    else if (field === 3) out.ttlSeconds = number(reader)
    else return false
    return true
  })
  return out
}

/** Of Maintenance/Status. */
export function readStatus(bytes: Uint8Array): {
  readonly revision: number
  readonly version: string
  readonly bytes: number
} {
  const out = { revision: 0, version: '', bytes: 0 }
  eachField(bytes, (field, reader) => {
    if (field === 1) out.revision = revisionOf(reader.bytes())
    else if (field === 2) out.version = reader.string()
    else if (field === 3) out.bytes = number(reader)
    else return false
    return true
  })
  return out
}
