// One store watch for the whole server, dealt out to the collections by key prefix. Because it sees every revision, the
// server always knows how fresh its collections are: a write answers when the feed has passed it, and a read of "the
// most recent" state waits for the store's current revision.
import type { Clock } from '../../ports/clock.ts'
import type { Log } from '../../ports/log.ts'
import { CompactedError, type Store, type StoreEvent, type Watch } from '../../store/store.ts'

/** Receives the events of one prefix; all events of one revision in one call. */
export interface FeedListener {
  apply(events: readonly StoreEvent[], revision: number): void
  /** Events were lost (the store was compacted while the connection was broken): start over. */
  reset(): void
}

const root = '/registry/'
/** Pause before a broken watch is opened again. */
const retryMs = 200

export class Feed {
  private readonly listeners = new Map<string, FeedListener>()
  private readonly store: Store
  private readonly clock: Clock
  private readonly log: Log
  private waiters: { readonly revision: number; readonly done: () => void }[] = []
  private watch: Watch | undefined
  private closed = false
  private seen: number

  constructor(store: Store, clock: Clock, log: Log) {
    this.store = store
    this.clock = clock
    this.log = log
    this.seen = store.currentRevision()
    this.open()
  }

  /** Everything up to this revision has been delivered. */
  get revision(): number {
    return this.seen
  }

  /** Delivers the events under `prefix` (without a slash at the end) from now on. */
  attach(prefix: string, listener: FeedListener): void {
    this.listeners.set(prefix, listener)
  }
  detach(prefix: string): void {
    this.listeners.delete(prefix)
  }

  /** Resolves when everything up to `revision` has been delivered. */
  reached(revision: number): Promise<void> {
    if (this.seen >= revision) return Promise.resolve()
    return new Promise((done) => this.waiters.push({ revision, done }))
  }

  close(): void {
    this.closed = true
    this.watch?.close()
    this.advance(Number.MAX_SAFE_INTEGER)
  }

  private open(): void {
    this.watch = this.store.watch(root, {
      fromRevision: this.seen + 1,
      onEvents: (events, revision) => this.deliver(events, revision),
      onProgress: (revision) => this.advance(revision),
      onError: (error) => this.recover(error),
    })
  }

  private deliver(events: readonly StoreEvent[], revision: number): void {
    const first = events[0]
    if (first !== undefined) {
      const prefix = this.prefixOf(first)
      if (events.every((event) => this.prefixOf(event) === prefix)) this.listener(prefix)?.apply(events, revision)
      else {
        const dealt = new Map<string, StoreEvent[]>()
        for (const event of events) {
          const key = this.prefixOf(event)
          const list = dealt.get(key)
          if (list === undefined) dealt.set(key, [event])
          else list.push(event)
        }
        for (const [key, list] of dealt) this.listener(key)?.apply(list, revision)
      }
    }
    this.advance(revision)
  }

  private listener(prefix: string): FeedListener | undefined {
    return this.listeners.get(prefix)
  }

  /** "/registry/pods" of "/registry/pods/default/web"; resources of API groups may use one more element. */
  private prefixOf(event: StoreEvent): string {
    const key = event.type === 'put' ? event.kv.key : event.key
    let end = key.indexOf('/', root.length)
    while (end > 0) {
      const prefix = key.slice(0, end)
      if (this.listeners.has(prefix)) return prefix
      end = key.indexOf('/', end + 1)
    }
    return ''
  }

  private advance(revision: number): void {
    if (revision <= this.seen) return
    this.seen = revision
    if (this.waiters.length === 0) return
    const ready = this.waiters.filter((w) => w.revision <= revision)
    if (ready.length === 0) return
    this.waiters = this.waiters.filter((w) => w.revision > revision)
    for (const waiter of ready) waiter.done()
  }

  private recover(error: Error): void {
    if (this.closed) return
    if (error instanceof CompactedError) {
      this.log.warn('the store was compacted past the watch; reloading', { compacted: error.compactedRevision })
      this.seen = Math.max(this.seen, error.compactedRevision, this.store.currentRevision())
      this.open()
      for (const listener of this.listeners.values()) listener.reset()
      return
    }
    this.log.warn('the store watch broke; resuming', { error: error.message, revision: this.seen })
    this.clock.after(retryMs, () => {
      if (!this.closed) this.open()
    })
  }
}
