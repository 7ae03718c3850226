// The only places where objects enter and leave the store. A write answers when this server's own collections have seen
// it, so that whoever reads next through this server reads it.
import type { KubeObject } from '../../api/machinery/meta.ts'
import type { Compare, KeyValue, Operation, Store, TxnResult } from '../../store/store.ts'
import type { Collection, Entry } from './collection.ts'
import type { Feed } from './feed.ts'
import { encodeValue } from './layout.ts'

export interface Writer {
  readonly store: Store
  readonly feed: Feed
}
/** A record that is written in the same transaction as an object. */
export interface Companion {
  readonly key: string
  /** Undefined removes the record. */
  readonly value: Uint8Array | undefined
}
const none: readonly Companion[] = []

export type WriteResult =
  | { readonly ok: true; readonly entry: Entry }
  /** Somebody else was first: what is there now, undefined when nothing is. */
  | { readonly ok: false; readonly taken: false; readonly current: Entry | undefined }
  /** A companion that was to be new exists. */
  | { readonly ok: false; readonly taken: true }

/** Puts an object whose key must not exist, and companions whose keys must not exist either. */
export const createObject = (
  writer: Writer,
  collection: Collection,
  key: string,
  object: KubeObject,
  companions: readonly Companion[] = none,
): Promise<WriteResult> => put(writer, collection, key, object, 0, companions)

/** Replaces `previous`. Writes nothing when not a byte would change. */
export const replaceObject = (
  writer: Writer,
  collection: Collection,
  previous: Entry,
  object: KubeObject,
  companions: readonly Companion[] = none,
): Promise<WriteResult> => put(writer, collection, previous.key, object, previous.modRevision, companions, previous)

async function put(
  writer: Writer,
  collection: Collection,
  key: string,
  object: KubeObject,
  modRevision: number,
  companions: readonly Companion[],
  previous?: Entry,
): Promise<WriteResult> {
  const value = encodeValue(collection.layout, object)
  if (
    previous !== undefined &&
    companions.length === 0 &&
    previous.stale !== true &&
    sameBytes(previous.value, value)
  ) {
    return { ok: true, entry: previous }
  }
  collection.expect(value, object)
  try {
    const result = await writer.store.txn(
      [{ key, modRevision }, ...comparesOf(companions)],
      [{ type: 'put', key, value }, ...operationsOf(companions)],
    )
    if (!result.ok) return lost(collection, result, modRevision)
    if (writer.feed.revision < result.revision) await writer.feed.reached(result.revision)
    const entry = collection.get(key)
    if (entry !== undefined && entry.modRevision === result.revision) return { ok: true, entry }
    const kv: KeyValue = { key, value, modRevision: result.revision, createRevision: 0, version: 0 }
    return { ok: true, entry: collection.entryOf(kv) }
  } finally {
    collection.expected(value)
  }
}

export type RemoveResult =
  | { readonly ok: true; readonly revision: number }
  | { readonly ok: false; readonly current: Entry | undefined }

/** Deletes exactly `previous`, and companions with it. */
export async function removeObject(
  writer: Writer,
  collection: Collection,
  previous: Entry,
  companions: readonly Companion[] = none,
): Promise<RemoveResult> {
  const { key, modRevision } = previous
  const result = await writer.store.txn([{ key, modRevision }], [{ type: 'delete', key }, ...operationsOf(companions)])
  if (!result.ok) return { ok: false, current: currentOf(collection, result) }
  if (writer.feed.revision < result.revision) await writer.feed.reached(result.revision)
  return { ok: true, revision: result.revision }
}

const comparesOf = (companions: readonly Companion[]): Compare[] =>
  companions.filter((c) => c.value !== undefined).map(({ key }) => ({ key, modRevision: 0 }))
const operationsOf = (companions: readonly Companion[]): Operation[] =>
  companions.map(({ key, value }) => (value === undefined ? { type: 'delete', key } : { type: 'put', key, value }))

type Lost = Extract<TxnResult, { ok: false }>

function lost(collection: Collection, result: Lost, modRevision: number): WriteResult {
  if ((result.current[0]?.modRevision ?? 0) === modRevision) return { ok: false, taken: true }
  return { ok: false, taken: false, current: currentOf(collection, result) }
}
function currentOf(collection: Collection, result: Lost): Entry | undefined {
  const kv = result.current[0]
  return kv === undefined ? undefined : collection.entryOf(kv)
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}
