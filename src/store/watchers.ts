// Who watches what. Watchers lie in buckets by prefix, so an event meets only those it concerns, however many there are.
import { CompactedError, type StoreEvent, type Watch, type WatchOptions } from './store.ts'

/** One watch. It is `live` when it has been given everything durable; until then it reads the past on its own. */
export class Watcher implements Watch {
  readonly prefix: string
  readonly options: WatchOptions
  /** The next revision to deliver. */
  next: number
  closed = false
  private readonly onClose: (watcher: Watcher) => void

  constructor(prefix: string, options: WatchOptions, next: number, onClose: (watcher: Watcher) => void) {
    this.prefix = prefix
    this.options = options
    this.next = next
    this.onClose = onClose
  }

  close(): void {
    if (this.closed) return
    this.closed = true
    this.onClose(this)
  }

  /** Hands over the events of one revision. A callback that throws ends its own watch and nothing else. */
  deliver(events: readonly StoreEvent[], revision: number): void {
    if (this.closed || revision < this.next) return
    this.next = revision + 1
    try {
      this.options.onEvents(events, revision)
    } catch (error) {
      this.fail(error instanceof Error ? error : new Error(String(error)))
    }
  }

  /** Says that nothing up to `revision` is missing. */
  progress(revision: number): void {
    if (this.closed || revision < this.next || this.options.onProgress === undefined) return
    this.next = revision + 1
    this.options.onProgress(revision)
  }

  fail(error: Error): void {
    if (this.closed) return
    this.close()
    this.options.onError(error)
  }

  /** Ends the watch if what it needs next was compacted. */
  checkCompacted(compacted: number): boolean {
    if (this.next > compacted) return false
    this.fail(new CompactedError(compacted))
    return true
  }
}

export class Watchers {
  private readonly buckets = new Map<string, Set<Watcher>>()
  /** How many buckets there are of each prefix length. */
  private readonly lengths = new Map<number, number>()
  private readonly withProgress = new Set<Watcher>()

  add(watcher: Watcher): void {
    const { prefix } = watcher
    const bucket = this.buckets.get(prefix)
    if (bucket === undefined) {
      this.buckets.set(prefix, new Set([watcher]))
      this.lengths.set(prefix.length, (this.lengths.get(prefix.length) ?? 0) + 1)
    } else bucket.add(watcher)
    if (watcher.options.onProgress !== undefined) this.withProgress.add(watcher)
  }

  delete(watcher: Watcher): void {
    const { prefix } = watcher
    this.withProgress.delete(watcher)
    const bucket = this.buckets.get(prefix)
    if (bucket === undefined || !bucket.delete(watcher) || bucket.size > 0) return
    this.buckets.delete(prefix)
    const left = (this.lengths.get(prefix.length) ?? 1) - 1
    if (left === 0) this.lengths.delete(prefix.length)
    else this.lengths.set(prefix.length, left)
  }

  /** Delivers the events of one revision, each watcher's in one call. */
  publish(events: readonly StoreEvent[], revision: number): void {
    if (this.buckets.size === 0) return
    const only = events.length === 1 ? events[0] : undefined
    if (only !== undefined) {
      for (const watcher of this.watching(keyOf(only))) watcher.deliver(events, revision)
      return
    }
    const dealt = new Map<Watcher, StoreEvent[]>()
    for (const event of events) {
      for (const watcher of this.watching(keyOf(event))) {
        const list = dealt.get(watcher)
        if (list === undefined) dealt.set(watcher, [event])
        else list.push(event)
      }
    }
    for (const [watcher, list] of dealt) watcher.deliver(list, revision)
  }

  /** Tells everybody who wants to know that nothing up to `revision` is missing. */
  progress(revision: number): void {
    for (const watcher of this.withProgress) watcher.progress(revision)
  }

  failAll(error: Error): void {
    for (const bucket of this.buckets.values()) for (const watcher of bucket) watcher.fail(error)
  }

  private watching(key: string): Watcher[] {
    const found: Watcher[] = []
    for (const length of this.lengths.keys()) {
      if (length > key.length) continue
      const bucket = this.buckets.get(key.slice(0, length))
      if (bucket !== undefined) for (const watcher of bucket) found.push(watcher)
    }
    return found
  }
}

export const keyOf = (event: StoreEvent): string => (event.type === 'put' ? event.kv.key : event.key)
