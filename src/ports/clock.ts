// Time as a port. The host's clock is the system's; the simulation's advances only when nothing else can run.

/** A pending call; `cancel` is idempotent. */
export interface Timer {
  cancel(): void
}
export interface Clock {
  /** Wall time, milliseconds since 1970. */
  now(): number
  /** Milliseconds from an arbitrary start; never goes back. */
  monotonic(): number
  /** Calls `run` once after at least `delayMs`. Does not keep the process alive by itself. */
  after(delayMs: number, run: () => void): Timer
  /** Calls `set` soon after somebody has set the wall clock forth or back by more than a second (by hand, by NTP, by a
   * machine that slept): whoever waits for a moment of the wall clock plans anew. */
  onSet(set: () => void): Timer
}

/** Resolves after `delayMs`; resolves at once (without throwing) when `signal` aborts: look at the signal after it. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((done) => {
    if (signal?.aborted) return done()
    const finish = () => {
      timer.cancel()
      signal?.removeEventListener('abort', finish)
      done()
    }
    const timer = clock.after(delayMs, finish)
    signal?.addEventListener('abort', finish)
  })
}

/** Waits for `done`, and no longer than `timeoutMs`: false when the time was up first. */
export function within(clock: Clock, timeoutMs: number, done: Promise<void>): Promise<boolean> {
  return new Promise((answer) => {
    const timer = clock.after(timeoutMs, () => answer(false))
    void done.then(() => {
      timer.cancel()
      answer(true)
    })
  })
}

/** Calls `run` every `periodMs`, the first time after one period. A run is never overlapped by the next. */
export function every(clock: Clock, periodMs: number, run: () => void | Promise<void>): Timer {
  let cancelled = false
  let timer: Timer
  const arm = () => {
    timer = clock.after(periodMs, () => {
      if (cancelled) return
      void Promise.resolve(run()).finally(() => {
        if (!cancelled) arm()
      })
    })
  }
  arm()
  return {
    cancel() {
      cancelled = true
      timer.cancel()
    },
  }
}

/** RFC 3339 with whole seconds, as metav1.Time is written. */
export function rfc3339(ms: number): string {
  const second = Math.floor(ms / 1000)
  if (second !== lastSecond) {
    lastText = `${new Date(second * 1000).toISOString().slice(0, 19)}Z`
    lastSecond = second
  }
  return lastText
}
/** Thousands of objects are written within one second. */
let lastSecond = Number.NaN
let lastText = ''
/** RFC 3339 with microseconds, as metav1.MicroTime is written. */
export const rfc3339Micro = (ms: number): string => `${new Date(ms).toISOString().slice(0, 23)}000Z`
