// The memory engine: the MVCC core with nothing behind it. "Durable" means one turn later, so that its callers meet the
// same order of things as on disk.
import type { Clock } from '../ports/clock.ts'
import { MvccStore } from './mvcc.ts'
import type { Store } from './store.ts'

export interface MemoryStoreOptions {
  /** For leases only. */
  readonly clock: Clock
}

/** A store that lives as long as the process. */
export function openMemoryStore(options: MemoryStoreOptions): Store {
  return new MvccStore(
    {
      load: () => ({ versions: [], leases: [], compacted: 0 }),
      read: (version) => version.value,
      keepsValues: true,
      write: () => Promise.resolve(),
      turn: () => Promise.resolve(),
      close: () => Promise.resolve(),
    },
    options.clock,
  )
}
