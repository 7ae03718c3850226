// The watchers of one collection. Watchers that ask the same question in the same format share a channel: an event is
// matched once per channel, turned into bytes once per format, and the same bytes go to every watcher. Channels lie in
// buckets by what they ask for (a name, a field, a label, a namespace), so that an event meets only those it may match.
import type { Change, Collection, Entry } from '../storage/collection.ts'
import type { Filter } from './filter.ts'

export type EventType = 'ADDED' | 'MODIFIED' | 'DELETED'

/** Makes frames of events; `id` names it for sharing. */
export interface EventFormat<F> {
  readonly id: string
  /** `revision` is the event's; it differs from the entry's for objects that were deleted or left a selector. */
  event(type: EventType, entry: Entry, revision: number): F
  bookmark(revision: number, initialEventsEnd: boolean): F
  /** One frame out of several, in order. */
  join(frames: readonly F[]): F
  error(error: unknown): F
  sizeOf(frame: F): number
}

/** Takes frames; false means that it is behind. */
export interface Receiver<F> {
  deliver(frame: F): void
  /** No more events: the watch is cut off. `error` is sent as an ERROR event where it is given. */
  cutOff(error?: unknown): void
}

interface Channel {
  readonly id: string
  readonly filter: Filter
  readonly format: EventFormat<unknown>
  readonly bucket: string
  readonly receivers: Set<Receiver<unknown>>
  pending: unknown[]
}

/** Runs a flush a little later, when more events of the same moment have arrived. */
export type Defer = (run: () => void) => void

export class WatchHub {
  private readonly collection: Collection
  private readonly defer: Defer
  private readonly channels = new Map<string, Channel>()
  private readonly buckets = new Map<string, Set<Channel>>()
  private readonly dirty = new Set<Channel>()
  private flushing = false

  constructor(collection: Collection, defer: Defer) {
    this.collection = collection
    this.defer = defer
    collection.listen({
      changed: (changes) => {
        for (const change of changes) this.publish(change)
      },
      reset: () => this.cutAll(),
    })
  }

  /** Number of receivers. */
  get size(): number {
    let count = 0
    for (const channel of this.channels.values()) count += channel.receivers.size
    return count
  }

  /** Delivers every later event that passes `filter`. Answers a function that stops it. */
  subscribe<F>(filter: Filter, format: EventFormat<F>, receiver: Receiver<F>): () => void {
    const id = `${format.id}\n${filter.id}`
    let channel = this.channels.get(id)
    if (channel === undefined) {
      channel = {
        id,
        filter,
        format: format as EventFormat<unknown>,
        bucket: filter.bucket,
        receivers: new Set(),
        pending: [],
      }
      this.channels.set(id, channel)
      const bucket = this.buckets.get(channel.bucket)
      if (bucket === undefined) this.buckets.set(channel.bucket, new Set([channel]))
      else bucket.add(channel)
    } else {
      this.flush(channel)
    }
    const joined = channel
    joined.receivers.add(receiver as Receiver<unknown>)
    return () => this.unsubscribe(joined, receiver as Receiver<unknown>)
  }

  private unsubscribe(channel: Channel, receiver: Receiver<unknown>): void {
    channel.receivers.delete(receiver)
    if (channel.receivers.size > 0) return
    this.channels.delete(channel.id)
    this.dirty.delete(channel)
    const bucket = this.buckets.get(channel.bucket)
    bucket?.delete(channel)
    if (bucket?.size === 0) this.buckets.delete(channel.bucket)
  }

  private publish(change: Change): void {
    if (this.channels.size === 0) return
    const frames = new Map<string, unknown>()
    const visited = new Set<string>()
    for (const entry of [change.entry, change.previous]) {
      if (entry === undefined) continue
      for (const bucket of this.bucketsOf(entry)) {
        if (visited.has(bucket)) continue
        visited.add(bucket)
        const channels = this.buckets.get(bucket)
        if (channels !== undefined) for (const channel of channels) this.offer(channel, change, frames)
      }
    }
  }

  private offer(channel: Channel, change: Change, frames: Map<string, unknown>): void {
    const event = transition(channel.filter, change)
    if (event === undefined) return
    const key = `${event.type}\n${channel.format.id}`
    let frame = frames.get(key)
    if (frame === undefined) {
      frame = channel.format.event(event.type, event.entry, change.revision)
      frames.set(key, frame)
    }
    channel.pending.push(frame)
    this.dirty.add(channel)
    if (this.flushing) return
    this.flushing = true
    this.defer(() => this.flushAll())
  }

  private flushAll(): void {
    this.flushing = false
    const channels = [...this.dirty]
    this.dirty.clear()
    for (const channel of channels) this.flush(channel)
  }

  private flush(channel: Channel): void {
    if (channel.pending.length === 0) return
    const frames = channel.pending
    channel.pending = []
    const joined = frames.length === 1 ? frames[0] : channel.format.join(frames)
    for (const receiver of channel.receivers) receiver.deliver(joined)
  }

  /** Every bucket in which a channel could lie that this entry matches. */
  private bucketsOf(entry: Entry): string[] {
    const out = ['', `n:${entry.namespace}`, `o:${entry.namespace}/${entry.name}`, `o:/${entry.name}`]
    const { fieldNames } = this.collection
    for (let i = 0; i < fieldNames.length; i++) out.push(`f:${fieldNames[i]}=${entry.fields[i]}`)
    if (entry.labels !== undefined) for (const key in entry.labels) out.push(`l:${key}=${entry.labels[key]}`)
    return out
  }

  private cutAll(): void {
    this.flushAll()
    const receivers = [...this.channels.values()].flatMap((channel) => [...channel.receivers])
    for (const receiver of receivers) receiver.cutOff()
  }
}

/** What a change means to somebody who sees only what passes `filter`: objects that enter appear as added, objects that
 * leave as deleted, in their last visible form. */
export function transition(filter: Filter, change: Change): { type: EventType; entry: Entry } | undefined {
  const { entry, previous } = change
  const now = entry !== undefined && filter.matches(entry)
  const before = previous !== undefined && filter.matches(previous)
  if (now) return { type: before ? 'MODIFIED' : 'ADDED', entry }
  return before ? { type: 'DELETED', entry: previous } : undefined
}
