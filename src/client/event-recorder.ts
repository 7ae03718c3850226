// Records core/v1 Events the way users of `kubectl describe` know them: the same event again raises a count by a patch,
// ten different messages of one reason are combined, and an object that spams is held back (25 at once, then one in five
// minutes). Recording never waits and never fails its caller: events are written in the background, a few at once.
import { ApiError, isReason } from '../api/machinery/errors.ts'
import { formatTime } from '../api/machinery/time.ts'
import type { KubeObject } from '../api/machinery/meta.ts'
import { type Event, events } from '../api/core/event.ts'
import { type Clock, sleep } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { Client, Resource } from './client.ts'

/** What an event is about. */
export interface EventSubject {
  readonly apiVersion: string
  readonly kind: string
  readonly name: string
  readonly namespace?: string
  readonly uid?: string
  readonly resourceVersion?: string
  /** Such as spec.containers{web}. */
  readonly fieldPath?: string
}
export interface EventRecorder {
  /** Records an event about an object or a reference to one. */
  event(about: KubeObject | EventSubject, type: 'Normal' | 'Warning', reason: string, message: string): void
  /** Resolves when everything recorded until now is written or given up. */
  flush(): Promise<void>
  /** Takes no more events and gives up what waits for a retry. */
  stop(): void
}
export interface EventRecorderOptions {
  readonly client: Client
  readonly clock: Clock
  readonly log: Log
  /** Shown as the event's source: deployment-controller, kubelet ... */
  readonly component: string
  /** The node, for components of a node. */
  readonly host?: string
}

const combineAfter = 10
const combineWindowMs = 600_000
const spamBurst = 25
const spamRefillMs = 300_000
const rememberedKeys = 4096
/** What waits at most: a few megabytes. */
const queueLimit = 8192
const attempts = 12
/** One writer writes while few events wait, one more for each of these many, up to the limit: the things that are told of
 * come before the telling, and a burst still costs few commits of the store. */
const perWriter = 512
const parallel = 8
const retryMs = 10_000

/** A map that forgets what was not touched for longest. */
class RecentMap<V> {
  private readonly entries = new Map<string, V>()
  /** Does not count as touching: whoever reads here sets afterwards. */
  get(key: string): V | undefined {
    return this.entries.get(key)
  }
  set(key: string, value: V): void {
    this.entries.delete(key)
    this.entries.set(key, value)
    if (this.entries.size <= rememberedKeys) return
    const oldest = this.entries.keys().next()
    if (!oldest.done) this.entries.delete(oldest.value)
  }
}

export const subjectOf = (object: KubeObject): EventSubject => ({
  apiVersion: object.apiVersion,
  kind: object.kind,
  name: object.metadata.name,
  uid: object.metadata.uid,
  resourceVersion: object.metadata.resourceVersion,
  ...(object.metadata.namespace === undefined ? {} : { namespace: object.metadata.namespace }),
})
const isObject = (about: KubeObject | EventSubject): about is KubeObject => 'metadata' in about

/** What is to be written: a new event, or one more of a known one. */
interface Write {
  readonly name: string
  readonly namespace: string
  readonly subject: EventSubject
  readonly type: string
  readonly reason: string
  readonly message: string
  readonly count: number
  readonly firstMs: number
  readonly lastMs: number
}

/** Decides what becomes of each event. Pure but for its memory. */
export class EventCorrelator {
  private readonly groups = new RecentMap<{ messages: Set<string>; lastMs: number }>()
  private readonly known = new RecentMap<{ name: string; count: number; firstMs: number }>()
  private readonly buckets = new RecentMap<{ tokens: number; atMs: number }>()
  private sequence: number
  /** Components count from places of their own: they may tell of objects of one name within one millisecond. */
  constructor(component = '') {
    this.sequence = 0
    for (const letter of component) this.sequence = (this.sequence * 31 + letter.charCodeAt(0)) % 1_000_000
  }

  /** The write to do, or undefined when the subject spams. */
  correlate(subject: EventSubject, type: string, reason: string, text: string, nowMs: number): Write | undefined {
    const { kind, name, namespace, uid, apiVersion, fieldPath } = subject
    const about = [kind, namespace, name, uid, apiVersion].join('\0')
    const groupKey = [about, type, reason].join('\0')
    const combined = this.isCombined(groupKey, text, nowMs)
    const message = combined ? `(combined from similar events): ${text}` : text
    const key = combined ? groupKey : [groupKey, fieldPath, text].join('\0')
    const before = this.known.get(key)
    // The nanoseconds since 1970 in hexadecimal; the counter keeps events of one millisecond apart.
    const stamp = () => (BigInt(Math.floor(nowMs)) * 1_000_000n + BigInt(this.sequence++ % 1_000_000)).toString(16)
    const entry = {
      name: before?.name ?? `${name}.${stamp()}`,
      count: (before?.count ?? 0) + 1,
      firstMs: before?.firstMs ?? nowMs,
    }
    this.known.set(key, entry)
    if (!this.mayWrite(about, nowMs)) return undefined
    return { ...entry, namespace: namespace ?? 'default', subject, type, reason, message, lastMs: nowMs }
  }
  private isCombined(groupKey: string, text: string, nowMs: number): boolean {
    let group = this.groups.get(groupKey)
    if (group === undefined || nowMs - group.lastMs > combineWindowMs) group = { messages: new Set(), lastMs: nowMs }
    group.lastMs = nowMs
    group.messages.add(text)
    this.groups.set(groupKey, group)
    if (group.messages.size < combineAfter) return false
    const oldest = group.messages.values().next()
    if (!oldest.done) group.messages.delete(oldest.value)
    return true
  }
  private mayWrite(about: string, nowMs: number): boolean {
    const bucket = this.buckets.get(about) ?? { tokens: spamBurst, atMs: nowMs }
    const tokens = Math.min(spamBurst, bucket.tokens + (nowMs - bucket.atMs) / spamRefillMs)
    const may = tokens >= 1
    this.buckets.set(about, { tokens: may ? tokens - 1 : tokens, atMs: nowMs })
    return may
  }
}

export function createEventRecorder(options: EventRecorderOptions): EventRecorder {
  const { client, clock, log, component, host } = options
  const resource: Resource<Event> = client.resource(events)
  const correlator = new EventCorrelator(options.component)
  const stopping = new AbortController()
  const queue: Write[] = []
  /** Names of the events that are being written: one more of the same waits for its turn. */
  const busy = new Set<string>()
  let writers = 0
  /** Of the writers, those who wait before they try again. */
  let asleep = 0
  let lost = 0
  let waiting: (() => void)[] = []

  const create = (write: Write) =>
    resource.create({
      metadata: { name: write.name, namespace: write.namespace },
      involvedObject: { ...write.subject },
      reason: write.reason,
      message: write.message,
      source: { component, ...(host === undefined ? {} : { host }) },
      firstTimestamp: formatTime(write.firstMs),
      lastTimestamp: formatTime(write.lastMs),
      count: write.count,
      type: write.type,
      reportingComponent: component,
      reportingInstance: host ?? '',
    })
  async function writeOnce(write: Write): Promise<void> {
    if (write.count > 1) {
      const patch = { count: write.count, lastTimestamp: formatTime(write.lastMs), message: write.message }
      try {
        await resource.patch(write.name, write.namespace, 'merge', patch)
        return
      } catch (error) {
        // The event has outlived its hour: begin anew under the same name.
        if (!isReason(error, 'NotFound')) throw error
      }
    }
    await create(write)
  }
  function next(): Write | undefined {
    const at = queue.findIndex(({ name }) => !busy.has(name))
    return at === -1 ? undefined : queue.splice(at, 1)[0]
  }
  /** Boundary: an event that cannot be written is logged and dropped, never the caller's failure. */
  async function writeSome(): Promise<void> {
    for (let write = next(); write !== undefined; write = next()) {
      busy.add(write.name)
      for (let attempt = 1; !stopping.signal.aborted; attempt++)
        try {
          await writeOnce(write)
          break
        } catch (error) {
          const refused = error instanceof ApiError && error.code < 500 && error.reason !== 'TooManyRequests'
          if (refused || attempt === attempts) {
            log.debug('event dropped', { reason: write.reason, message: write.message, error: String(error) })
            break
          }
          asleep++
          startWriters()
          await sleep(clock, retryMs, stopping.signal)
          asleep--
        }
      busy.delete(write.name)
    }
  }
  function startWriters(): void {
    const wanted = queue.length === 0 ? 0 : 1 + Math.floor(queue.length / perWriter)
    if (writers < parallel && writers - asleep < wanted) void write()
  }
  async function write(): Promise<void> {
    writers++
    await writeSome()
    writers--
    if (writers > 0) return
    if (lost > 0) log.warn('events dropped: too many waited to be written', { events: lost })
    lost = 0
    for (const done of waiting) done()
    waiting = []
  }
  return {
    event(about, type, reason, message) {
      if (stopping.signal.aborted) return
      const subject = isObject(about) ? subjectOf(about) : about
      const write = correlator.correlate(subject, type, reason, message, clock.now())
      if (write === undefined) return
      if (queue.length >= queueLimit) {
        lost++
        return
      }
      queue.push(write)
      startWriters()
    },
    flush: () => (writers === 0 ? Promise.resolve() : new Promise((done) => waiting.push(done))),
    stop: () => stopping.abort(),
  }
}
