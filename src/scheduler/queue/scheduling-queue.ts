// The pods that wait. Active ones are tried in order of priority; refused ones lie in a parking place until an event comes
// that one of the plugins which refused them says may help, then pass through a back-off of 1 s doubling to 10 s. Nothing
// polls: the only timers are the end of the next back-off and the flush of what was parked for five minutes.
import type { Clock, Timer } from '../../ports/clock.ts'
import type { Hints, Rejection } from '../framework.ts'
import type { PodInfo } from '../state/pod-info.ts'
import type { SchedulingEvent } from './events.ts'
import { Heap } from './heap.ts'
import type { QueuedPod } from './queued-pod.ts'

/** How a pod waits: to be tried, for its back-off, for an event that may help, for a gate; or it is being tried. */
export type Waiting = 'active' | 'backoff' | 'unschedulable' | 'gated' | 'scheduling'

export interface QueueOptions {
  readonly clock: Clock
  readonly less: (a: QueuedPod, b: QueuedPod) => boolean
  /** Who keeps the pod out of the queue, if anybody. */
  readonly gate: (pod: PodInfo) => { readonly plugin: string; readonly rejection: Rejection } | undefined
  /** Hints of a plugin in the profile of the pod; undefined where every event may help. */
  readonly hints: (pod: PodInfo, plugin: string) => Hints | undefined
  /** A pod became active. */
  readonly onActive: () => void
  readonly initialBackoffMs?: number
  readonly maxBackoffMs?: number
  /** Parked pods are tried again after this long whatever happens. */
  readonly flushAfterMs?: number
}
const noPlugins: ReadonlySet<string> = new Set()
const flushCheckMs = 30_000
/** Back-offs that end within the same second end together: then priority decides. */
const windowMs = 1000

const windowEnd = (untilMs: number): number => (Math.floor(untilMs / windowMs) + 1) * windowMs

export class SchedulingQueue {
  private readonly options: QueueOptions
  private readonly entries = new Map<string, QueuedPod>()
  private readonly active: Heap<QueuedPod>
  /** Refused pods in their back-off; when nothing is active the next of them is tried early. */
  private readonly backoff: Heap<QueuedPod>
  /** Pods whose attempt broke; these always wait. */
  private readonly errorBackoff = new Heap<QueuedPod>((a, b) => a.backoffUntilMs < b.backoffUntilMs)
  /** Refused pods by the plugins that refused them; a pod refused by two is in two sets. */
  private readonly parked = new Map<string, Set<QueuedPod>>()
  private readonly parkedPods = new Set<QueuedPod>()
  private readonly gated = new Set<QueuedPod>()
  /** Pods that are being tried, with the events that came meanwhile. */
  private readonly inFlight = new Map<QueuedPod, SchedulingEvent[]>()
  private backoffTimer: { readonly timer: Timer; readonly dueMs: number } | undefined
  private flushTimer: Timer | undefined
  private sequence = 0

  constructor(options: QueueOptions) {
    this.options = options
    this.active = new Heap(options.less)
    this.backoff = new Heap((a, b) => {
      const [first, second] = [Math.floor(a.backoffUntilMs / windowMs), Math.floor(b.backoffUntilMs / windowMs)]
      return first === second ? options.less(a, b) : first < second
    })
  }
  /** Pods that `pop` would give. */
  get ready(): number {
    return this.active.size + this.backoff.size
  }
  /** How many pods are where; for metrics and tests. */
  get sizes(): {
    readonly active: number
    readonly backoff: number
    readonly unschedulable: number
    readonly gated: number
  } {
    return {
      active: this.active.size,
      backoff: this.backoff.size + this.errorBackoff.size,
      unschedulable: this.parkedPods.size,
      gated: this.gated.size,
    }
  }
  whereabouts(uid: string): Waiting | 'unknown' {
    const entry = this.entries.get(uid)
    if (entry === undefined) return 'unknown'
    if (this.active.has(entry)) return 'active'
    if (this.backoff.has(entry) || this.errorBackoff.has(entry)) return 'backoff'
    if (this.gated.has(entry)) return 'gated'
    return this.parkedPods.has(entry) ? 'unschedulable' : 'scheduling'
  }
  get(uid: string): QueuedPod | undefined {
    return this.entries.get(uid)
  }
  pods(): Iterable<QueuedPod> {
    return this.entries.values()
  }

  add(info: PodInfo): void {
    if (this.entries.has(info.uid)) return this.update(info)
    const entry: QueuedPod = {
      info,
      queuedMs: this.options.clock.monotonic(),
      sequence: ++this.sequence,
      attempts: 0,
      rejections: 0,
      errors: 0,
      rejectedBy: noPlugins,
      gatedBy: undefined,
      removed: false,
      backoffUntilMs: 0,
    }
    this.entries.set(info.uid, entry)
    this.activate(entry)
  }
  /** A newer object of a waiting pod. It leaves its parking place only if its change may help. */
  update(info: PodInfo): void {
    const entry = this.entries.get(info.uid)
    if (entry === undefined) return this.add(info)
    const old = entry.info
    if (old === info) return
    entry.info = info
    const event: SchedulingEvent = { what: 'pod', pod: info, old }
    if (this.inFlight.has(entry)) this.inFlight.get(entry)?.push(event)
    else if (this.gated.has(entry)) this.activate(entry)
    else if (this.parkedPods.has(entry)) {
      if (this.mayHelp(entry, event)) this.requeue(entry)
    } else if (this.active.remove(entry)) this.active.push(entry)
  }
  remove(uid: string): void {
    const entry = this.entries.get(uid)
    if (entry === undefined) return
    entry.removed = true
    this.entries.delete(uid)
    this.inFlight.delete(entry)
    this.leave(entry)
  }
  /** Takes the next pod; it is in flight until `done` or `reject` or `fail`. */
  pop(): QueuedPod | undefined {
    const entry = this.active.pop() ?? this.backoff.pop()
    if (entry === undefined) return undefined
    entry.attempts++
    entry.rejectedBy = noPlugins
    this.inFlight.set(entry, [])
    return entry
  }
  /** The pod is on its way to a node: nothing more to do unless binding fails. */
  done(entry: QueuedPod): void {
    this.inFlight.delete(entry)
    if (this.entries.get(entry.info.uid) === entry) this.entries.delete(entry.info.uid)
  }
  /** The pod was refused, perhaps after `done`: it is parked, or queued again where a missed event may help. */
  reject(entry: QueuedPod, plugins: ReadonlySet<string>): void {
    if (plugins.size === 0) return this.fail(entry)
    this.reinstate(entry)
    const missed = this.inFlight.get(entry)
    if (!this.comeBack(entry)) return
    entry.rejections++
    entry.errors = 0
    entry.rejectedBy = plugins
    if (missed?.some((event) => this.mayHelp(entry, event))) this.requeue(entry)
    else this.park(entry)
  }
  /** The attempt broke, perhaps after `done`: it is tried again after a back-off. */
  fail(entry: QueuedPod): void {
    this.reinstate(entry)
    if (!this.comeBack(entry)) return
    entry.errors++
    entry.rejectedBy = noPlugins
    this.requeue(entry)
  }
  /** Binding failed after `done`: the pod is ours again. */
  private reinstate(entry: QueuedPod): void {
    const { uid } = entry.info
    if (entry.removed || this.entries.has(uid)) return
    this.entries.set(uid, entry)
    this.inFlight.set(entry, [])
  }
  /** False when the pod was removed meanwhile. */
  private comeBack(entry: QueuedPod): boolean {
    if (!this.inFlight.delete(entry) || this.entries.get(entry.info.uid) !== entry) return false
    this.stamp(entry)
    return true
  }
  private stamp(entry: QueuedPod): void {
    entry.queuedMs = this.options.clock.monotonic()
    entry.sequence = ++this.sequence
  }

  /** Something happened: parked pods that it may help are queued again. */
  wake(event: SchedulingEvent): void {
    for (const missed of this.inFlight.values()) missed.push(event)
    if (this.parkedPods.size === 0) return
    if (event.what === 'any') {
      for (const entry of this.parkedPods) this.requeue(entry)
      return
    }
    const woken = new Set<QueuedPod>()
    for (const [plugin, entries] of this.parked)
      for (const entry of entries) if (!woken.has(entry) && this.pluginHelps(entry, plugin, event)) woken.add(entry)
    for (const entry of woken) this.requeue(entry)
  }
  /** Tries a waiting pod now, back-off or not. */
  promote(uid: string): void {
    const entry = this.entries.get(uid)
    if (entry === undefined || this.inFlight.has(entry) || this.active.has(entry)) return
    this.leave(entry)
    this.activate(entry)
  }
  /** Asks again about a pod that PreEnqueue kept out. */
  ungate(uid: string): void {
    const entry = this.entries.get(uid)
    if (entry !== undefined && this.gated.has(entry)) this.activate(entry)
  }
  stop(): void {
    this.backoffTimer?.timer.cancel()
    this.flushTimer?.cancel()
    this.entries.clear()
  }

  private mayHelp(entry: QueuedPod, event: SchedulingEvent): boolean {
    if (event.what === 'any') return true
    for (const plugin of entry.rejectedBy) if (this.pluginHelps(entry, plugin, event)) return true
    return false
  }
  private pluginHelps(entry: QueuedPod, plugin: string, event: SchedulingEvent): boolean {
    const hints = this.options.hints(entry.info, plugin)
    if (hints === undefined) return true
    switch (event.what) {
      case 'assignedPod':
        return hints.assignedPod?.(entry.info, event) ?? false
      case 'pod':
        return hints.pod?.(entry.info, event) ?? false
      case 'node':
        return hints.node?.(entry.info, event) ?? false
      case 'object':
        return hints.object?.(entry.info, event) ?? false
      case 'any':
        return true
    }
  }

  private leave(entry: QueuedPod): void {
    this.active.remove(entry)
    this.backoff.remove(entry)
    this.errorBackoff.remove(entry)
    this.gated.delete(entry)
    if (!this.parkedPods.delete(entry)) return
    for (const [plugin, entries] of this.parked)
      if (entries.delete(entry) && entries.size === 0) this.parked.delete(plugin)
  }
  private activate(entry: QueuedPod): void {
    if (this.isGated(entry)) return
    this.active.push(entry)
    this.options.onActive()
  }
  private isGated(entry: QueuedPod): boolean {
    const held = this.options.gate(entry.info)
    entry.gatedBy = held?.plugin
    if (held === undefined) this.gated.delete(entry)
    else this.gated.add(entry)
    return held !== undefined
  }
  private requeue(entry: QueuedPod): void {
    this.leave(entry)
    if (this.isGated(entry)) return
    const { clock, initialBackoffMs = 1000, maxBackoffMs = 10_000 } = this.options
    const count = entry.errors > 0 ? entry.errors : entry.rejections
    const delayMs = count === 0 ? 0 : Math.min(maxBackoffMs, initialBackoffMs * 2 ** (count - 1))
    entry.backoffUntilMs = entry.queuedMs + delayMs
    if (entry.backoffUntilMs <= clock.monotonic()) return this.activate(entry)
    const heap = entry.errors > 0 ? this.errorBackoff : this.backoff
    heap.push(entry)
    this.armBackoff()
    if (heap === this.backoff) this.options.onActive()
  }
  private armBackoff(): void {
    const { clock } = this.options
    const window = this.backoff.peek()?.backoffUntilMs
    const dueMs = Math.min(
      window === undefined ? Number.POSITIVE_INFINITY : windowEnd(window),
      this.errorBackoff.peek()?.backoffUntilMs ?? Number.POSITIVE_INFINITY,
    )
    if (dueMs === Number.POSITIVE_INFINITY) return
    if (this.backoffTimer !== undefined) {
      if (this.backoffTimer.dueMs <= dueMs) return
      this.backoffTimer.timer.cancel()
    }
    const timer = clock.after(dueMs - clock.monotonic(), () => {
      this.backoffTimer = undefined
      for (const heap of [this.backoff, this.errorBackoff])
        for (let next = heap.peek(); next !== undefined; next = heap.peek()) {
          const endMs = heap === this.backoff ? windowEnd(next.backoffUntilMs) : next.backoffUntilMs
          if (endMs > clock.monotonic()) break
          heap.remove(next)
          this.activate(next)
        }
      this.armBackoff()
    })
    this.backoffTimer = { timer, dueMs }
  }
  private park(entry: QueuedPod): void {
    this.parkedPods.add(entry)
    for (const plugin of entry.rejectedBy) {
      const entries = this.parked.get(plugin)
      if (entries === undefined) this.parked.set(plugin, new Set([entry]))
      else entries.add(entry)
    }
    this.armFlush()
  }
  private armFlush(): void {
    if (this.flushTimer !== undefined || this.parkedPods.size === 0) return
    const { clock, flushAfterMs = 300_000 } = this.options
    this.flushTimer = clock.after(flushCheckMs, () => {
      this.flushTimer = undefined
      const dueMs = clock.monotonic() - flushAfterMs
      for (const entry of this.parkedPods) if (entry.queuedMs <= dueMs) this.requeue(entry)
      this.armFlush()
    })
  }
}
