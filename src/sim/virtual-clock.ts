// A clock that moves only when nothing else can run. Before a timer fires, every promise that is ready has been followed to
// its end, so what happens "at the same time" is done before time goes on, and a run is a function of its seed.
import type { Clock, Timer } from '../ports/clock.ts'

/** Resolves in a turn of its own: after every promise job that was waiting, and those that they made. */
export type Drain = () => Promise<void>

interface Pending {
  readonly atMs: number
  /** Timers of the same moment fire in the order in which they were set. */
  readonly order: number
  readonly run: () => void
  cancelled: boolean
}

/** Where every simulation begins, unless told otherwise. */
export const simulationEpochMs = Date.UTC(2026, 0, 1)

export class VirtualClock implements Clock {
  private readonly startMs: number
  private readonly drain: Drain
  private elapsedMs = 0
  /** How far somebody has set the wall clock, all in all. */
  private shiftedMs = 0
  private readonly listeners = new Set<() => void>()
  private order = 0
  /** A binary heap by time, then order. */
  private readonly heap: Pending[] = []
  private cancelled = 0
  private busy = false
  /** Resolves when nobody lets time pass any more. */
  private idle: Promise<void> = Promise.resolve()
  /** Called after every step, with time standing still: where checkers look. */
  onStep: (() => void) | undefined

  constructor(options: { readonly startMs?: number; readonly drain?: Drain } = {}) {
    this.startMs = options.startMs ?? simulationEpochMs
    this.drain = options.drain ?? hostDrain()
  }

  now(): number {
    return this.startMs + this.elapsedMs + this.shiftedMs
  }
  monotonic(): number {
    return this.elapsedMs
  }

  /** Sets the wall clock forth, or back where `byMs` is negative, as an operator or NTP does. No time passes. */
  shift(byMs: number): void {
    this.shiftedMs += byMs
    for (const set of this.listeners) set()
  }
  onSet(set: () => void): Timer {
    const own = () => set()
    this.listeners.add(own)
    return { cancel: () => this.listeners.delete(own) }
  }

  after(delayMs: number, run: () => void): Timer {
    const atMs = this.elapsedMs + Math.max(0, Number.isFinite(delayMs) ? delayMs : 0)
    const pending: Pending = { atMs, order: this.order++, run, cancelled: false }
    push(this.heap, pending)
    return {
      cancel: () => {
        if (pending.cancelled) return
        pending.cancelled = true
        this.cancelled++
        if (this.cancelled > 1000 && this.cancelled > this.heap.length / 2) this.sweep()
      },
    }
  }

  /** Timers that have not fired. */
  get pendingTimers(): number {
    return this.heap.reduce((count, timer) => count + Number(!timer.cancelled), 0)
  }

  /** Lets everything happen that needs no time. */
  settle(): Promise<void> {
    return this.advance(0)
  }

  /** Lets `ms` of virtual time pass, with everything that happens in it. */
  async advance(ms: number): Promise<void> {
    const endMs = this.elapsedMs + ms
    await this.fireUntil(endMs, () => false)
    this.elapsedMs = endMs
  }

  /** Lets time pass until `done` answers true, looked at after every step; answers whether that came within `maxMs`. */
  async advanceUntil(done: () => boolean, maxMs: number): Promise<boolean> {
    const endMs = this.elapsedMs + maxMs
    if (await this.fireUntil(endMs, done)) return true
    this.elapsedMs = endMs
    return done()
  }

  /** Lets time pass until the promise is settled. Throws when that would take longer than `maxMs`. Where somebody else
   * lets time pass already, it goes along. */
  async run<T>(promise: Promise<T>, maxMs = 3_600_000): Promise<T> {
    let settled = false
    const note = () => {
      settled = true
    }
    const noted = promise.then(note, note)
    const endMs = this.elapsedMs + maxMs
    while (this.busy && !settled) await Promise.race([noted, this.idle])
    if (!settled && !(await this.advanceUntil(() => settled, Math.max(0, endMs - this.elapsedMs))))
      throw new Error(`nothing came of it within ${maxMs} ms of virtual time`)
    return promise
  }

  private async fireUntil(endMs: number, done: () => boolean): Promise<boolean> {
    if (this.busy) throw new Error('the virtual clock is being advanced already')
    this.busy = true
    let rest = () => {}
    this.idle = new Promise((done) => {
      rest = done
    })
    try {
      await this.drain()
      for (;;) {
        this.onStep?.()
        if (done()) return true
        const next = this.next()
        if (next === undefined || next.atMs > endMs) return false
        pop(this.heap)
        this.elapsedMs = Math.max(this.elapsedMs, next.atMs)
        next.cancelled = true
        next.run()
        await this.drain()
      }
    } finally {
      this.busy = false
      rest()
    }
  }

  private next(): Pending | undefined {
    while (this.heap[0]?.cancelled === true) {
      pop(this.heap)
      this.cancelled--
    }
    return this.heap[0]
  }

  private sweep(): void {
    const live = this.heap.filter((timer) => !timer.cancelled)
    this.heap.length = 0
    this.cancelled = 0
    for (const timer of live) push(this.heap, timer)
  }
}

/** A turn of the host's event loop, found without asking which host this is. */
export function hostDrain(): Drain {
  if (typeof globalThis.setImmediate === 'function') {
    const { setImmediate } = globalThis
    return () => new Promise((done) => setImmediate(done))
  }
  if (typeof globalThis.MessageChannel === 'function') {
    return () =>
      new Promise((done) => {
        const { port1, port2 } = new MessageChannel() as unknown as Channel
        port1.onmessage = () => {
          port1.close()
          done()
        }
        port2.postMessage(null)
      })
  }
  throw new Error('this host has no macrotasks to drain promises with: pass `drain`')
}

/** A message channel as every host has it. */
interface Channel {
  readonly port1: { onmessage: (() => void) | null; close(): void }
  readonly port2: { postMessage(message: unknown): void }
}

const before = (a: Pending, b: Pending): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)

function push(heap: Pending[], timer: Pending): void {
  let at = heap.length
  heap.push(timer)
  while (at > 0) {
    const parent = (at - 1) >> 1
    const above = heap[parent] as Pending
    if (!before(timer, above)) break
    heap[at] = above
    at = parent
  }
  heap[at] = timer
}

function pop(heap: Pending[]): void {
  const last = heap.pop()
  if (last === undefined || heap.length === 0) return
  let at = 0
  for (;;) {
    let child = 2 * at + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && before(heap[child + 1] as Pending, heap[child] as Pending)) child++
    if (!before(heap[child] as Pending, last)) break
    heap[at] = heap[child] as Pending
    at = child
  }
  heap[at] = last
}
