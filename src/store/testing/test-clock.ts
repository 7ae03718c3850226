// A clock that a store's tests move by hand.
import type { Clock, Timer } from '../../ports/clock.ts'

export class TestClock implements Clock {
  private nowMs = 0
  private readonly timers = new Set<{ readonly atMs: number; readonly run: () => void }>()

  now(): number {
    return this.nowMs
  }
  monotonic(): number {
    return this.nowMs
  }
  after(delayMs: number, run: () => void): Timer {
    const timer = { atMs: this.nowMs + delayMs, run }
    this.timers.add(timer)
    return { cancel: () => void this.timers.delete(timer) }
  }
  onSet(): Timer {
    return { cancel: () => {} }
  }
  /** Fires what is due on the way, in order. */
  advance(ms: number): void {
    const end = this.nowMs + ms
    for (;;) {
      const due = [...this.timers].filter((t) => t.atMs <= end).sort((a, b) => a.atMs - b.atMs)[0]
      if (due === undefined) break
      this.timers.delete(due)
      this.nowMs = Math.max(this.nowMs, due.atMs)
      due.run()
    }
    this.nowMs = end
  }
}
