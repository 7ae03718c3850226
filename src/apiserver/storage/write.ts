// The only places where objects enter and leave the store. A write answers when this server's own collections have seen
// it, so that whoever reads next through this server reads it.
import type { KubeObject } from '../../api/machinery/meta.ts'
import type { KeyValue, Store, TxnResult } from '../../store/store.ts'
import type { Collection, Entry } from './collection.ts'
import type { Feed } from './feed.ts'
import { encodeValue } from './layout.ts'

export interface Writer {
  readonly store: Store
  readonly feed: Feed
}
export type WriteResult =
  | { readonly ok: true; readonly entry: Entry }
  /** Somebody else was first: what is there now, undefined when nothing is. */
  | { readonly ok: false; readonly current: Entry | undefined }

/** Puts an object whose key must not exist. */
export const createObject = (writer: Writer, collection: Collection, key: string, object: KubeObject) =>
  put(writer, collection, key, object, 0)

/** Replaces `previous`. Writes nothing when not a byte would change. */
export function replaceObject(
  writer: Writer,
  collection: Collection,
  previous: Entry,
  object: KubeObject,
): Promise<WriteResult> {
  return put(writer, collection, previous.key, object, previous.modRevision, previous)
}

async function put(
  writer: Writer,
  collection: Collection,
  key: string,
  object: KubeObject,
  modRevision: number,
  previous?: Entry,
): Promise<WriteResult> {
  const value = encodeValue(collection.layout, object)
  if (previous !== undefined && sameBytes(previous.value, value)) return { ok: true, entry: previous }
  collection.expect(value, object)
  try {
    const result = await writer.store.txn([{ key, modRevision }], [{ type: 'put', key, value }])
    if (!result.ok) return lost(collection, result)
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

/** Deletes exactly `previous`. */
export async function removeObject(writer: Writer, collection: Collection, previous: Entry): Promise<RemoveResult> {
  const { key, modRevision } = previous
  const result = await writer.store.txn([{ key, modRevision }], [{ type: 'delete', key }])
  if (!result.ok) return lost(collection, result)
  if (writer.feed.revision < result.revision) await writer.feed.reached(result.revision)
  return { ok: true, revision: result.revision }
}

function lost(
  collection: Collection,
  result: Extract<TxnResult, { ok: false }>,
): { readonly ok: false; readonly current: Entry | undefined } {
  const kv = result.current[0]
  return { ok: false, current: kv === undefined ? undefined : collection.entryOf(kv) }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}
