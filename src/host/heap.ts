// Memory that a burst of work took goes back to the machine once the process is quiet. V8 collects when something is
// allocated: after a burst nothing is, and the garbage and the space that V8 had claimed for it would stay for hours.
import { performance } from 'node:perf_hooks'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { type Clock, every, type Timer } from '../ports/clock.ts'

const lookMs = 5000
/** Share of the time in which the event loop may work and the process still counts as quiet. */
const quietUtilization = 0.1
/** A collection pays when this much has been claimed since the last one left off. */
const worthBytes = 16 << 20
/** A collection stops everything for about a millisecond per megabyte of objects that live: a large process keeps its own time. */
const liveLimitBytes = 300 << 20

export interface Heap {
  /** Share of the time since the last call in which the event loop was at work, 0 to 1. */
  utilization(): number
  /** Bytes that objects take, and that were claimed for them. */
  size(): { readonly used: number; readonly claimed: number }
  collect(): void
}

/** Garbage may take a third of what lives before it is collected, where V8 alone would let it take more than all of that, and new
 * objects keep the space they have now instead of up to 48 MB: for a process whose machine belongs to others, and that has the
 * time. */
export function growHeapSlowly(): void {
  setFlagsFromString('--heap-growing-percent=30')
  setFlagsFromString('--semi-space-growth-factor=1')
}

/** Collects garbage in the first quiet moments after a burst. */
export function trimHeapWhenQuiet(clock: Clock, heap: Heap = ownHeap()): Timer {
  let left = 0
  let quietLooks = 0
  return every(clock, lookMs, () => {
    quietLooks = heap.utilization() < quietUtilization ? quietLooks + 1 : 0
    const { used, claimed } = heap.size()
    if (quietLooks < 2 || used > liveLimitBytes || claimed < left + worthBytes) return
    // The second one gives back what the first has emptied.
    heap.collect()
    heap.collect()
    left = heap.size().claimed
  })
}

/** The heap of this process. */
export function ownHeap(): Heap {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  let before = performance.eventLoopUtilization()
  return {
    collect,
    utilization() {
      const now = performance.eventLoopUtilization()
      const { utilization } = performance.eventLoopUtilization(now, before)
      before = now
      return utilization
    },
    size() {
      const { heapUsed, heapTotal, arrayBuffers } = process.memoryUsage()
      return { used: heapUsed, claimed: heapTotal + arrayBuffers }
    },
  }
}
