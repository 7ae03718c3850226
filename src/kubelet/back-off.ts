// Waiting times that double from failure to failure and are forgotten after a long quiet. The first failure costs no
// wait: an entry is made when something is started again, and tells how long after the next failure one has to wait.
// Times of failures are the wall clock's, which may be set: one from the future counts from when it was first seen.
import type { Clock } from '../ports/clock.ts'

interface Entry {
  delayMs: number
  /** When the entry last grew. */
  updatedAtMs: number
  /** The failure whose wait is over: a new try of the same thing need not wait again. */
  served?: string
}
/** What ended badly, and when. Two failures may have the same time. */
export interface Failure {
  readonly id: string
  readonly atMs: number
}

export class BackOff {
  readonly #clock: Clock
  readonly #initialMs: number
  readonly #maxMs: number
  readonly #entries = new Map<string, Entry>()
  /** Failures from the future: when each was first seen, on the monotonic clock. */
  readonly #ahead = new Map<string, { readonly id: string; readonly seenMs: number }>()
  constructor(clock: Clock, initialMs: number, maxMs: number) {
    this.#clock = clock
    this.#initialMs = initialMs
    this.#maxMs = maxMs
  }
  /** The wait that holds for `key`, 0 when it never failed or its last failure is long past. */
  delayMs(key: string, { id, atMs }: Failure): number {
    const entry = this.#entries.get(key)
    if (entry === undefined || entry.served === id || this.#forgotten(entry, atMs)) return 0
    return entry.delayMs
  }
  /** Milliseconds still to wait after the last failure; 0 or less: go. */
  remainingMs(key: string, failure: Failure): number {
    const delayMs = this.delayMs(key, failure)
    if (delayMs === 0) return 0
    const passedMs = this.#clock.now() - failure.atMs
    return delayMs - (passedMs < 0 ? this.#sinceSeen(key, failure) : passedMs)
  }
  #sinceSeen(key: string, { id }: Failure): number {
    const nowMs = this.#clock.monotonic()
    const known = this.#ahead.get(key)
    if (known?.id === id) return nowMs - known.seenMs
    this.#ahead.set(key, { id, seenMs: nowMs })
    return 0
  }
  /** What failed is started again now: counted once, also when the start does not get as far as to run. */
  restart(key: string, failure: Failure): void {
    if (this.#entries.get(key)?.served === failure.id) return
    this.advance(key, failure.atMs)
    const entry = this.#entries.get(key)
    if (entry !== undefined) entry.served = failure.id
  }
  /** The thing is tried again now: the next failure waits twice as long. */
  advance(key: string, failedAtMs: number): void {
    const entry = this.#entries.get(key)
    const known = entry !== undefined && !this.#forgotten(entry, failedAtMs)
    this.#entries.set(key, {
      delayMs: known ? Math.min(entry.delayMs * 2, this.#maxMs) : this.#initialMs,
      updatedAtMs: this.#clock.now(),
    })
  }
  /** Takes over a wait that was in force before a restart of the kubelet. */
  restore(key: string, delayMs: number): void {
    if (!this.#entries.has(key)) this.#entries.set(key, { delayMs, updatedAtMs: this.#clock.now() })
  }
  forget(prefix: string): void {
    for (const map of [this.#entries, this.#ahead])
      for (const key of map.keys()) if (key.startsWith(prefix)) map.delete(key)
  }
  #forgotten(entry: Entry, failedAtMs: number): boolean {
    return failedAtMs - entry.updatedAtMs > this.#maxMs * 2
  }
}

/** Go's way to print a duration of whole seconds: 10s, 1m20s, 5m0s. */
export function formatSeconds(ms: number): string {
  const seconds = Math.round(ms / 1000)
  if (seconds < 60) return `${seconds}s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m${seconds % 60}s`
  return `${Math.floor(seconds / 3600)}h${Math.floor((seconds % 3600) / 60)}m${seconds % 60}s`
}
/** Reads what formatSeconds wrote; undefined when it is something else. */
export function parseSeconds(text: string): number | undefined {
  const match = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/.exec(text)
  if (match === null || text === '') return undefined
  return (Number(match[1] ?? 0) * 3600 + Number(match[2] ?? 0) * 60 + Number(match[3] ?? 0)) * 1000
}
/** Go's way to print a measured duration, to the millisecond: 1.234s, 56ms, 2m3.5s. */
export function formatDuration(ms: number): string {
  const whole = Math.max(0, Math.round(ms))
  if (whole === 0) return '0s'
  if (whole < 1000) return `${whole}ms`
  const hours = Math.floor(whole / 3_600_000)
  const minutes = Math.floor((whole % 3_600_000) / 60_000)
  const seconds = `${Number(((whole % 60_000) / 1000).toFixed(3))}s`
  if (hours > 0) return `${hours}h${minutes}m${seconds}`
  return minutes > 0 ? `${minutes}m${seconds}` : seconds
}
