// The store: one growing revision over keys and bytes. It knows nothing of Pods. Engines (memory, LMDB, etcd) differ
// in where the bytes live; one test suite holds all of them to this contract.
//
// Worked example. put(a)=5, put(b)=6, put(a)=7, delete(b)=8. At revision 6 a list shows a@5 and b@6; now it shows a@7.
// A watch from revision 7 delivers a@7 and the deletion of b at 8, in that order. compact(7) forgets a@5 and keeps what
// a reader at 7 or later can see; a list below 7, or a watch from 7 or below, is then answered with CompactedError.

export interface KeyValue {
  readonly key: string
  readonly value: Uint8Array
  /** Revision of the key's first write since it last did not exist. */
  readonly createRevision: number
  /** Revision of this version. */
  readonly modRevision: number
  /** Number of writes since creation, 1 for the first. */
  readonly version: number
  /** Set by a layer above the engine: the value lies in the store in another form than it would be written in today. */
  readonly stale?: boolean
}

export type StoreEvent =
  /** `previous` is read when it is asked for: ask within the call that delivers the event. */
  | { readonly type: 'put'; readonly kv: KeyValue; readonly previous: KeyValue | undefined }
  /** `revision` is the deletion's own; `previous` is what was there (always known while not compacted). */
  | { readonly type: 'delete'; readonly key: string; readonly revision: number; readonly previous: KeyValue }

/** Holds when the key's modRevision equals `modRevision`; 0 means that the key does not exist. */
export interface Compare {
  readonly key: string
  readonly modRevision: number
}
/** At most one per key in a transaction. The store keeps `value` as it is: never change it afterwards. */
export type Operation =
  | { readonly type: 'put'; readonly key: string; readonly value: Uint8Array; readonly lease?: LeaseId }
  | { readonly type: 'delete'; readonly key: string }
export type LeaseId = string

export type TxnResult =
  /** All writes of one transaction share one revision. Resolved only when durable. */
  | { readonly ok: true; readonly revision: number }
  /** Some compare failed: the current state of every compared key, in order. Nothing was written. */
  | { readonly ok: false; readonly current: readonly (KeyValue | undefined)[]; readonly revision: number }

export interface ListOptions {
  /** Read as of this revision; default: now. Throws CompactedError or FutureRevisionError. */
  readonly revision?: number
  readonly limit?: number
  /** Start with the first key greater than this one (a full key). */
  readonly after?: string
}
export interface ListResult {
  readonly items: readonly KeyValue[]
  /** The revision that was read. */
  readonly revision: number
  /** How many keys of the prefix follow the last item; exact. */
  readonly remaining: number
}

export interface Watch {
  /** Stops delivery; idempotent. */
  close(): void
}
export interface WatchOptions {
  /** First revision to deliver; must be greater than the compacted revision. Default: what comes after now. */
  readonly fromRevision?: number
  /** Called in revision order; the events of one revision are never split over two calls. */
  readonly onEvents: (events: readonly StoreEvent[], revision: number) => void
  /** The watch has ended: CompactedError, or a broken connection to a remote engine. */
  readonly onError: (error: Error) => void
  /** Called when everything up to `revision` is delivered although nothing matched (for bookmarks). */
  readonly onProgress?: (revision: number) => void
}

export interface Store {
  /** The latest revision this process knows to be durable. */
  currentRevision(): number
  compactedRevision(): number
  /** The latest revision of the store as a whole, whoever wrote it: what a consistent read must have seen. The same as
   * `currentRevision` where this process is the only one that writes. */
  latestRevision(): Promise<number>
  get(key: string, revision?: number): Promise<KeyValue | undefined>
  list(prefix: string, options?: ListOptions): Promise<ListResult>
  /** Count of live keys under a prefix. */
  count(prefix: string): Promise<number>
  /** Atomic compare and write. */
  txn(compares: readonly Compare[], operations: readonly Operation[]): Promise<TxnResult>
  /** Watches every key that begins with `prefix`. */
  watch(prefix: string, options: WatchOptions): Watch
  /** Forgets history below `revision` (see the example above). */
  compact(revision: number): Promise<void>
  /** A lease: keys put with it are deleted when it is not kept alive for `ttlSeconds`. */
  grantLease(ttlSeconds: number): Promise<LeaseId>
  keepAlive(lease: LeaseId): Promise<boolean>
  revokeLease(lease: LeaseId): Promise<void>
  /** Size figures for metrics and `cox status`. */
  stats(): Promise<{ readonly keys: number; readonly bytes: number; readonly historyBytes: number }>
  close(): Promise<void>
}

/** A store that cannot be opened: one line that says what is wrong and what to do. */
export class StoreOpenError extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'StoreOpenError'
  }
}
/** The asked revision is older than what is kept. */
export class CompactedError extends Error {
  readonly compactedRevision: number
  constructor(compactedRevision: number) {
    super(`required revision has been compacted (kept from ${compactedRevision})`)
    this.name = 'CompactedError'
    this.compactedRevision = compactedRevision
  }
}
/** The asked revision has not happened yet. */
export class FutureRevisionError extends Error {
  readonly currentRevision: number
  constructor(currentRevision: number) {
    super(`required revision is a future revision (now ${currentRevision})`)
    this.name = 'FutureRevisionError'
    this.currentRevision = currentRevision
  }
}
