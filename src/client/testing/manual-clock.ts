// A clock for unit tests: time moves only by `advance`, which lets pending promises settle before each timer fires.
import type { Clock } from '../../ports/clock.ts'

export interface ManualClock extends Clock {
  /** Fires what is due within the next `ms`, in order. */
  advance(ms: number): Promise<void>
  /** Sets the wall clock, by so much; timers and monotonic time go on as they were. */
  shift(ms: number): void
}

/** Lets promises that depend on each other settle; a macrotask beats any count of microtasks. */
export const settle = (): Promise<void> => new Promise((done) => setImmediate(done))

export function manualClock(startMs = Date.UTC(2026, 0, 1)): ManualClock {
  let nowMs = startMs
  let order = 0
  let shiftMs = 0
  const listeners = new Set<() => void>()
  const timers = new Set<{ readonly dueMs: number; readonly order: number; readonly run: () => void }>()
  const next = (untilMs: number) =>
    [...timers].filter((t) => t.dueMs <= untilMs).sort((a, b) => a.dueMs - b.dueMs || a.order - b.order)[0]
  return {
    now: () => nowMs + shiftMs,
    monotonic: () => nowMs - startMs,
    after(delayMs, run) {
      const timer = { dueMs: nowMs + Math.max(0, delayMs), order: order++, run }
      timers.add(timer)
      return { cancel: () => timers.delete(timer) }
    },
    onSet(set) {
      const own = () => set()
      listeners.add(own)
      return { cancel: () => listeners.delete(own) }
    },
    shift(ms) {
      shiftMs += ms
      for (const set of listeners) set()
    },
    async advance(ms) {
      const untilMs = nowMs + ms
      await settle()
      for (let timer = next(untilMs); timer !== undefined; timer = next(untilMs)) {
        timers.delete(timer)
        nowMs = timer.dueMs
        timer.run()
        await settle()
      }
      nowMs = untilMs
    },
  }
}
