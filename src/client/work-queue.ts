// A queue of keys with one worker function. A key is queued at most once, never runs twice at a time, and what is added
// while it runs makes it run once more. A failed run comes back after an exponential delay (5 ms doubling to 1000 s).
import type { Clock, Timer } from '../ports/clock.ts'

export interface WorkQueueOptions<K> {
  readonly clock: Clock
  /** Runs at most this many keys at once. Default 5. */
  readonly parallel?: number
  readonly baseDelayMs?: number
  readonly maxDelayMs?: number
  /** Works one key. A number answered means: again after that many milliseconds; a throw: again after back-off.
   * 'not-now' means that nothing was done: the count of failures stays, and whoever knows when will add the key. */
  readonly run: (key: K) => Promise<number | 'not-now' | void>
  /** Told of every failed run; `failures` counts the runs that failed one after another, 1 for the first. */
  readonly onError: (key: K, error: unknown, failures: number) => void
}

export interface WorkQueue<K> {
  /** Runs the key as soon as a worker is free. */
  add(key: K): void
  /** Adds the key after a delay; of several delays for one key the earliest counts. */
  addAfter(key: K, delayMs: number): void
  /** Keys that wait for a worker. */
  readonly length: number
  /** No key waits, runs, or is due later. */
  readonly idle: boolean
  /** Takes no more keys; resolves when the running ones are done. */
  stop(): Promise<void>
}

/** A key that runs more often than this in a second is slowed down: two loops that undo each other's work, one of them
 * blind because its watch is broken, must not burn a processor until it sees again. */
const hotRuns = 200
const hotDelayMs = 10

export function createWorkQueue<K>(options: WorkQueueOptions<K>): WorkQueue<K> {
  const { clock, run, onError, parallel = 5, baseDelayMs = 5, maxDelayMs = 1_000_000 } = options
  const waiting = new Set<K>()
  const running = new Set<K>()
  /** Added while running: to run again afterwards. */
  const dirty = new Set<K>()
  const delayed = new Map<K, { readonly dueMs: number; readonly timer: Timer }>()
  const failures = new Map<K, number>()
  let stopped = false
  let onDrained: (() => void) | undefined
  let scheduled = false
  /** Runs of each key in the current second, and when the last one began. */
  const recent = new Map<K, { runs: number; lastMs: number }>()
  let windowStartMs = 0

  /** Notes a run of the key; false when it must wait because it runs too often. */
  function mayRun(key: K): boolean {
    const nowMs = clock.monotonic()
    if (nowMs - windowStartMs >= 1000) {
      windowStartMs = nowMs
      recent.clear()
    }
    const before = recent.get(key)
    if (before === undefined) recent.set(key, { runs: 1, lastMs: nowMs })
    else if (before.runs > hotRuns && nowMs - before.lastMs < hotDelayMs) return false
    else {
      before.runs++
      before.lastMs = nowMs
    }
    return true
  }
  /** Starts work in a microtask, so that a burst of events in one turn makes one run. */
  function schedule(): void {
    if (scheduled) return
    scheduled = true
    queueMicrotask(() => {
      scheduled = false
      while (!stopped && running.size < parallel) {
        const next = waiting.values().next()
        if (next.done) return
        waiting.delete(next.value)
        if (!mayRun(next.value)) {
          addAfter(next.value, hotDelayMs)
          continue
        }
        running.add(next.value)
        void work(next.value)
      }
    })
  }
  async function work(key: K): Promise<void> {
    try {
      const again = await run(key)
      if (again === 'not-now') return
      failures.delete(key)
      if (typeof again === 'number') addAfter(key, again)
    } catch (error) {
      const count = (failures.get(key) ?? 0) + 1
      failures.set(key, count)
      onError(key, error, count)
      addAfter(key, Math.min(maxDelayMs, baseDelayMs * 2 ** (count - 1)))
    } finally {
      running.delete(key)
      if (dirty.delete(key) && !stopped) waiting.add(key)
      if (stopped && running.size === 0) onDrained?.()
      schedule()
    }
  }
  function add(key: K): void {
    if (stopped) return
    if (running.has(key)) dirty.add(key)
    else {
      waiting.add(key)
      schedule()
    }
  }
  // What was to come at a moment of the wall clock is looked at again: the moment may be now, or further away.
  const watching = clock.onSet(() => {
    for (const [key, { timer }] of delayed) {
      timer.cancel()
      delayed.delete(key)
      add(key)
    }
  })
  function addAfter(key: K, delayMs: number): void {
    if (stopped) return
    if (delayMs <= 0) return add(key)
    const dueMs = clock.monotonic() + delayMs
    const pending = delayed.get(key)
    if (pending !== undefined) {
      if (pending.dueMs <= dueMs) return
      pending.timer.cancel()
    }
    const timer = clock.after(delayMs, () => {
      delayed.delete(key)
      add(key)
    })
    delayed.set(key, { dueMs, timer })
  }
  return {
    add,
    addAfter,
    get length() {
      return waiting.size
    },
    get idle() {
      return waiting.size === 0 && running.size === 0 && delayed.size === 0
    },
    stop() {
      stopped = true
      watching.cancel()
      waiting.clear()
      dirty.clear()
      for (const { timer } of delayed.values()) timer.cancel()
      delayed.clear()
      return running.size === 0 ? Promise.resolve() : new Promise<void>((done) => (onDrained = done))
    },
  }
}
