// Leases in a local engine: keys that vanish unless somebody keeps saying that they are needed. After a restart every
// lease starts with its whole time again, because nobody could have kept it alive meanwhile.
import type { Clock, Timer } from '../ports/clock.ts'
import type { LeaseRecord } from './backend.ts'

const retryMs = 1000

interface Lease {
  readonly ttlSeconds: number
  expiresAtMs: number
  readonly keys: Set<string>
}

export class Leases {
  private readonly clock: Clock
  private readonly onExpired: (id: string) => void
  private readonly leases = new Map<string, Lease>()
  private timer: Timer | undefined
  private timerAtMs = Number.POSITIVE_INFINITY
  private lastId = 0

  constructor(clock: Clock, records: readonly LeaseRecord[], onExpired: (id: string) => void) {
    this.clock = clock
    this.onExpired = onExpired
    for (const record of records) {
      this.lastId = Math.max(this.lastId, Number(record.id))
      this.add(record)
    }
  }

  /** An id that no lease has had since the store was opened, and none that is known now. */
  newId(): string {
    this.lastId++
    return String(this.lastId)
  }

  add(record: LeaseRecord): void {
    const expiresAtMs = this.clock.monotonic() + record.ttlSeconds * 1000
    this.leases.set(record.id, { ttlSeconds: record.ttlSeconds, expiresAtMs, keys: new Set() })
    this.arm(expiresAtMs)
  }

  has(id: string): boolean {
    return this.leases.has(id)
  }

  keepAlive(id: string): boolean {
    const lease = this.leases.get(id)
    if (lease === undefined) return false
    lease.expiresAtMs = this.clock.monotonic() + lease.ttlSeconds * 1000
    return true
  }

  /** The key's newest version hangs on lease `to` ('' for none) and no longer on `from`. */
  move(key: string, from: string, to: string): void {
    if (from === to) return
    if (from !== '') this.leases.get(from)?.keys.delete(key)
    if (to !== '') this.leases.get(to)?.keys.add(key)
  }

  /** The keys that hang on it, sorted. */
  keysOf(id: string): readonly string[] {
    return [...(this.leases.get(id)?.keys ?? [])].sort()
  }

  remove(id: string): void {
    this.leases.delete(id)
  }

  /** Its end could not be written: it ends a little later. */
  postpone(id: string): void {
    const lease = this.leases.get(id)
    if (lease === undefined) return
    lease.expiresAtMs = this.clock.monotonic() + retryMs
    this.arm(lease.expiresAtMs)
  }

  close(): void {
    this.timer?.cancel()
    this.leases.clear()
  }

  private arm(atMs: number): void {
    if (atMs >= this.timerAtMs) return
    this.timer?.cancel()
    this.timerAtMs = atMs
    this.timer = this.clock.after(Math.max(0, atMs - this.clock.monotonic()), () => this.expire())
  }

  private expire(): void {
    this.timerAtMs = Number.POSITIVE_INFINITY
    const now = this.clock.monotonic()
    let next = Number.POSITIVE_INFINITY
    for (const [id, lease] of this.leases) {
      if (lease.expiresAtMs <= now) this.onExpired(id)
      else next = Math.min(next, lease.expiresAtMs)
    }
    if (next < Number.POSITIVE_INFINITY) this.arm(next)
  }
}
