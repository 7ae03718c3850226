// Which devices are whose, kept up with every change of a claim instead of gathered for every pod. An allocation whose write is
// under way counts until the claim itself says what it has.
import { deviceId } from '../../api/resource/devices.ts'
import type { ResourceClaim } from '../../api/resource/resource.ts'
import type { Informer } from '../../client/informer.ts'
import type { Allocation } from './allocate.ts'
import { addConsumed, type Consumed, subtractConsumed } from './capacity.ts'

/** What claims have of one device. */
interface Holding {
  /** How many have it for themselves: more than one only where somebody wrote so by hand. */
  whole: number
  shares: number
  consumed: Consumed
}

export class Holdings {
  private readonly devices = new Map<string, Holding>()
  /** By the claim's UID: what it counts with. */
  private readonly counted = new Map<string, Allocation>()
  private readonly written = new Map<string, Allocation>()
  private readonly pending = new Map<string, Allocation>()

  /** True where one claim has the device for itself. */
  isWhole(id: string): boolean {
    return (this.devices.get(id)?.whole ?? 0) > 0
  }
  isInUse(id: string): boolean {
    return this.devices.has(id)
  }
  /** Of a device that is shared, what is gone. */
  consumed(id: string): Consumed | undefined {
    const holding = this.devices.get(id)
    return holding === undefined || holding.shares === 0 ? undefined : holding.consumed
  }
  /** The allocation of a claim whose write is under way. */
  pendingOf(uid: string): Allocation | undefined {
    return this.pending.get(uid)
  }

  /** What a claim's status says; undefined for nothing. */
  write(uid: string, allocation: Allocation | undefined): void {
    if (this.written.get(uid) === allocation) return
    if (allocation === undefined) this.written.delete(uid)
    else this.written.set(uid, allocation)
    this.count(uid)
  }
  assume(uid: string, allocation: Allocation): void {
    this.pending.set(uid, allocation)
    this.count(uid)
  }
  /** The claim that was assumed under `from` has got its UID. */
  rename(from: string, to: string): void {
    const allocation = this.pending.get(from)
    if (allocation === undefined) return
    this.pending.delete(from)
    this.count(from)
    this.assume(to, allocation)
  }
  /** This allocation is written, or given up. Few are under way at once. */
  release(allocation: Allocation): void {
    for (const [uid, pending] of this.pending) {
      if (pending !== allocation) continue
      this.pending.delete(uid)
      this.count(uid)
    }
  }

  private count(uid: string): void {
    const before = this.counted.get(uid)
    const after = this.written.get(uid) ?? this.pending.get(uid)
    if (before === after) return
    if (before !== undefined) this.change(before, false)
    if (after === undefined) this.counted.delete(uid)
    else {
      this.counted.set(uid, after)
      this.change(after, true)
    }
  }
  private change({ devices: { results = [] } }: Allocation, taken: boolean): void {
    for (const { driver, pool, device, adminAccess, shareID, consumedCapacity } of results) {
      if (adminAccess === true) continue
      const id = deviceId(driver, pool, device)
      let holding = this.devices.get(id)
      if (holding === undefined) this.devices.set(id, (holding = { whole: 0, shares: 0, consumed: {} }))
      const step = taken ? 1 : -1
      if (shareID === undefined && consumedCapacity === undefined) holding.whole += step
      else {
        holding.shares += step
        const share = (consumedCapacity ?? {}) as Consumed
        holding.consumed = taken ? addConsumed(holding.consumed, share) : subtractConsumed(holding.consumed, share)
      }
      if (holding.whole === 0 && holding.shares === 0) this.devices.delete(id)
    }
  }
}

const known = new WeakMap<Informer<ResourceClaim>, Holdings>()
/** Shared by the plugins and profiles that have the same cache, and alive as long as it is. */
export function holdingsOf(cache: Informer<ResourceClaim>): Holdings {
  let holdings = known.get(cache)
  if (holdings !== undefined) return holdings
  known.set(cache, (holdings = new Holdings()))
  const write = ({ metadata, status }: ResourceClaim) => holdings.write(metadata.uid, status.allocation)
  cache.handle({
    add: write,
    update(claim, old) {
      if (claim.metadata.uid !== old.metadata.uid) holdings.write(old.metadata.uid, undefined)
      write(claim)
    },
    delete: ({ metadata }) => holdings.write(metadata.uid, undefined),
  })
  return holdings
}
