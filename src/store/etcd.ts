// The etcd engine: the same contract over a real etcd (3.4 and later), so that several servers can share one store. A watch
// here always watches everything and keeps what concerns it: then every revision, whoever made it, tells how far the watch
// has come, and nobody depends on etcd's progress notifications.
import type { Clock } from '../ports/clock.ts'
import {
  detailsOf,
  EtcdConnection,
  type EtcdStream,
  type EtcdTls,
  isCancelled,
  isUnavailable,
} from './etcd-connection.ts'
import {
  type EtcdEvent,
  type EtcdKeyValue,
  type RangeRequest,
  readLease,
  readRange,
  readStatus,
  readTxn,
  readWatch,
  type RequestOp,
  type WatchResponse,
  writeCompact,
  writeLeaseGrant,
  writeLeaseId,
  writeRange,
  writeTxn,
  writeWatch,
} from './etcd-messages.ts'
import { checkOperations } from './operations.ts'
import {
  CompactedError,
  type Compare,
  FutureRevisionError,
  type KeyValue,
  type LeaseId,
  type ListOptions,
  type ListResult,
  type Operation,
  type Store,
  type StoreEvent,
  StoreOpenError,
  type TxnResult,
  type Watch,
  type WatchOptions,
} from './store.ts'

export interface EtcdStoreOptions {
  /** http://host:port or https://host:port; the first that answers is used. */
  readonly endpoints: readonly string[]
  readonly tls?: EtcdTls
  readonly clock: Clock
}

/** Keys in one answer: a list of any length comes in pages at one revision. */
const pageSize = 2000
const kv = '/etcdserverpb.KV/'
const lease = '/etcdserverpb.Lease/'

/** Connects. Throws StoreOpenError with one line that says what to do. */
export async function openEtcdStore(options: EtcdStoreOptions): Promise<Store> {
  const { endpoints, tls, clock } = options
  if (endpoints.length === 0) throw new StoreOpenError('no etcd endpoint was given: name one as etcd=http://HOST:2379')
  try {
    const connection = new EtcdConnection(endpoints, tls, () => clock.now())
    try {
      const store = new EtcdStore(connection)
      await store.start()
      return store
    } catch (error) {
      connection.close()
      throw error
    }
  } catch (error) {
    const reason = detailsOf(error)
    throw new StoreOpenError(
      `cannot use etcd at ${endpoints.join(', ')} (${reason}): start it, or name other endpoints`,
      {
        cause: error,
      },
    )
  }
}

class EtcdStore implements Store {
  private readonly connection: EtcdConnection
  private readonly watches = new Set<EtcdWatch>()
  private revision = 0
  private compacted = 0
  private closed = false

  constructor(connection: EtcdConnection) {
    this.connection = connection
  }

  async start(): Promise<void> {
    const { revision } = await this.connection.call(
      '/etcdserverpb.Maintenance/Status',
      new Uint8Array(),
      readStatus,
      true,
    )
    this.revision = revision
    this.compacted = await this.findCompacted()
  }

  currentRevision(): number {
    return this.revision
  }
  compactedRevision(): number {
    return this.compacted
  }
  async latestRevision(): Promise<number> {
    // A linearizable read of nothing: its header is as new as any write that was answered before.
    const { revision } = await this.range({ key: '/', limit: 1, countOnly: true })
    return revision
  }

  async get(key: string, revision?: number): Promise<KeyValue | undefined> {
    if (revision !== undefined && revision < this.compacted) throw new CompactedError(this.compacted)
    const { kvs } = await this.range({ key, ...(revision === undefined ? {} : { revision }) })
    return kvs[0]
  }

  async list(prefix: string, options: ListOptions = {}): Promise<ListResult> {
    const limit = options.limit === undefined || options.limit <= 0 ? Number.POSITIVE_INFINITY : options.limit
    let { revision, after } = options
    const items: KeyValue[] = []
    for (;;) {
      const page = await this.range({
        key: after !== undefined && after >= prefix ? `${after}\0` : startOf(prefix),
        rangeEnd: endOf(prefix),
        limit: Math.min(pageSize, limit - items.length),
        ...(revision === undefined ? {} : { revision }),
      })
      revision ??= page.revision
      items.push(...page.kvs)
      const remaining = page.count - page.kvs.length
      after = page.kvs[page.kvs.length - 1]?.key
      if (remaining <= 0 || after === undefined || items.length >= limit)
        return { items, revision, remaining: Math.max(0, remaining) }
    }
  }

  async count(prefix: string): Promise<number> {
    return (await this.range({ key: startOf(prefix), rangeEnd: endOf(prefix), countOnly: true })).count
  }

  async txn(compares: readonly Compare[], operations: readonly Operation[]): Promise<TxnResult> {
    this.checkOpen()
    checkOperations(operations)
    const request = writeTxn({
      compares,
      success: operations.map(requestOf),
      failure: compares.map(({ key }) => ({ type: 'range', key })),
    })
    const { revision, succeeded, found } = await this.call(`${kv}Txn`, request, readTxn, false)
    this.saw(revision)
    return succeeded ? { ok: true, revision } : { ok: false, revision, current: found }
  }

  watch(prefix: string, options: WatchOptions): Watch {
    this.checkOpen()
    const watch = new EtcdWatch(prefix, options, options.fromRevision ?? this.revision + 1, {
      saw: (revision) => this.saw(revision),
      ended: () => this.watches.delete(watch),
      broken: () => this.connection.next(),
    })
    this.watches.add(watch)
    if (watch.next <= this.compacted) queueMicrotask(() => watch.fail(new CompactedError(this.compacted)))
    else watch.start(this.connection.stream('/etcdserverpb.Watch/Watch'))
    return watch
  }

  async compact(revision: number): Promise<void> {
    this.checkOpen()
    if (revision <= this.compacted) return
    try {
      await this.call(`${kv}Compact`, writeCompact(revision), () => ({}), false)
    } catch (error) {
      // Another server has compacted as far already: what was asked for is so.
      if (!(error instanceof CompactedError)) throw error
    }
    this.compacted = Math.max(this.compacted, revision)
  }

  async grantLease(ttlSeconds: number): Promise<LeaseId> {
    this.checkOpen()
    const { id } = await this.call(`${lease}LeaseGrant`, writeLeaseGrant(Math.ceil(ttlSeconds)), readLease, false)
    return String(id)
  }
  async keepAlive(id: LeaseId): Promise<boolean> {
    this.checkOpen()
    const stream = this.connection.stream(`${lease}LeaseKeepAlive`)
    const answer = new Promise<boolean>((done, failed) => {
      stream.once('data', (bytes: Uint8Array) => done(readLease(bytes).ttlSeconds > 0))
      stream.on('error', failed)
      stream.once('end', () => failed(new Error('etcd ended the call')))
    })
    stream.write(writeLeaseId(BigInt(id)))
    stream.end()
    return answer
  }
  async revokeLease(id: LeaseId): Promise<void> {
    this.checkOpen()
    try {
      const { revision } = await this.call(`${lease}LeaseRevoke`, writeLeaseId(BigInt(id)), readRange, false)
      this.saw(revision)
    } catch (error) {
      if (!detailsOf(error).includes('requested lease not found')) throw error
    }
  }

  async stats(): Promise<{ keys: number; bytes: number; historyBytes: number }> {
    const [{ bytes }, keys] = await Promise.all([
      this.call('/etcdserverpb.Maintenance/Status', new Uint8Array(), readStatus, true),
      this.count(''),
    ])
    // etcd does not say which of its bytes are history.
    return { keys, bytes, historyBytes: 0 }
  }

  async close(): Promise<void> {
    if (this.closed) return
    this.closed = true
    for (const watch of this.watches) watch.fail(new Error('the store is closed'))
    this.connection.close()
  }

  private async range(request: RangeRequest) {
    this.checkOpen()
    const response = await this.call(`${kv}Range`, writeRange(request), readRange, true)
    this.saw(response.revision)
    return response
  }

  private async call<T>(
    path: string,
    request: Uint8Array,
    read: (bytes: Uint8Array) => T,
    isRead: boolean,
  ): Promise<T> {
    try {
      return await this.connection.call(path, request, read, isRead)
    } catch (error) {
      const details = detailsOf(error)
      if (details.includes('required revision has been compacted')) throw new CompactedError(this.compacted)
      if (details.includes('required revision is a future revision')) throw new FutureRevisionError(this.revision)
      throw new Error(details, { cause: error })
    }
  }

  private saw(revision: number): void {
    if (revision > this.revision) this.revision = revision
  }
  private checkOpen(): void {
    if (this.closed) throw new Error('the store is closed')
  }

  /** etcd tells how far it is compacted only to a watch that comes too late. */
  private async findCompacted(): Promise<number> {
    const stream = this.connection.stream('/etcdserverpb.Watch/Watch')
    try {
      return await new Promise<number>((done, failed) => {
        stream.on('data', (bytes: Uint8Array) => {
          const { compactRevision, events, created, revision } = readWatch(bytes)
          if (compactRevision > 0) done(compactRevision)
          else if (events.length > 0 || (created && revision <= 1)) done(0)
        })
        stream.on('error', failed)
        stream.write(writeWatch(1))
      })
    } finally {
      stream.cancel()
    }
  }
}

interface WatchHost {
  saw(revision: number): void
  ended(): void
  /** The endpoint does not answer. */
  broken(): void
}

class EtcdWatch implements Watch {
  next: number
  private readonly prefix: string
  private readonly options: WatchOptions
  private readonly host: WatchHost
  private stream: EtcdStream | undefined
  private closed = false

  constructor(prefix: string, options: WatchOptions, next: number, host: WatchHost) {
    this.prefix = prefix
    this.options = options
    this.next = next
    this.host = host
  }

  start(stream: EtcdStream): void {
    this.stream = stream
    stream.on('data', (bytes: Uint8Array) => this.take(readWatch(bytes)))
    stream.on('error', (error) => {
      if (isCancelled(error) && this.closed) return
      if (isUnavailable(error)) this.host.broken()
      this.fail(new Error(`the watch broke: ${detailsOf(error)}`, { cause: error }))
    })
    stream.on('end', () => this.fail(new Error('the watch broke: etcd ended it')))
    stream.write(writeWatch(this.next))
  }

  close(): void {
    if (this.closed) return
    this.closed = true
    this.host.ended()
    this.stream?.cancel()
  }

  fail(error: Error): void {
    if (this.closed) return
    this.close()
    this.options.onError(error)
  }

  private take(response: WatchResponse): void {
    if (response.compactRevision > 0) this.fail(new CompactedError(response.compactRevision))
    else if (response.canceled) this.fail(new Error(`the watch broke: ${response.cancelReason}`))
    const { events } = response
    for (let from = 0; from < events.length && !this.closed; ) {
      const revision = events[from]?.kv.modRevision ?? 0
      let to = from + 1
      while (to < events.length && events[to]?.kv.modRevision === revision) to++
      this.deliver(events.slice(from, to), revision)
      from = to
    }
  }

  private deliver(events: readonly EtcdEvent[], revision: number): void {
    if (revision < this.next) return
    this.next = revision + 1
    this.host.saw(revision)
    const mine = events.filter((event) => event.kv.key.startsWith(this.prefix))
    try {
      if (mine.length > 0) this.options.onEvents(mine.map(eventOf), revision)
      else this.options.onProgress?.(revision)
    } catch (error) {
      this.fail(error instanceof Error ? error : new Error(String(error)))
    }
  }
}

function eventOf({ deleted, kv: now, previous }: EtcdEvent): StoreEvent {
  if (!deleted) return { type: 'put', kv: now, previous }
  const { key, modRevision: revision } = now
  // What was deleted is unknown only when it has been compacted meanwhile.
  const before: EtcdKeyValue = previous ?? {
    key,
    createRevision: 0,
    modRevision: 0,
    version: 0,
    value: new Uint8Array(),
  }
  return { type: 'delete', key, revision, previous: before }
}

function requestOf(operation: Operation): RequestOp {
  if (operation.type === 'delete') return operation
  const { key, value } = operation
  return { type: 'put', key, value, lease: operation.lease === undefined ? 0n : BigInt(operation.lease) }
}

/** etcd knows no empty key: the first key of all is a zero byte. */
const startOf = (prefix: string): string => (prefix === '' ? '\0' : prefix)

/** The first key that no longer begins with the prefix; a single zero byte means the end of all keys. */
function endOf(prefix: string): Uint8Array {
  const bytes = new TextEncoder().encode(prefix)
  for (let i = bytes.length - 1; i >= 0; i--) {
    const byte = bytes[i] ?? 0
    if (byte < 0xff) {
      const end = bytes.slice(0, i + 1)
      end[i] = byte + 1
      return end
    }
  }
  return new Uint8Array(1)
}
