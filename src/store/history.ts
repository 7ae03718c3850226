// Keeps history within its budget, by age and by size. It samples the clock and the revision now and then, so it also knows
// which revision was current at a past moment; the samples are a key of the store, so a restart does not lose them.
import { type Clock, every, type Timer } from '../ports/clock.ts'
import { CompactedError, FutureRevisionError, type Store } from './store.ts'

export interface HistoryBudget {
  readonly maxAgeMs: number
  readonly maxBytes: number
}
export const defaultHistoryBudget: HistoryBudget = { maxAgeMs: 3_600_000, maxBytes: 256 << 20 }

export interface HistoryKeeper {
  /** The revision that was current at that time; undefined when that is no longer, or not yet, known. */
  revisionAt(timeMs: number): number | undefined
  /** Looks at age and size now; the keeper does it by itself every few seconds. */
  keep(): Promise<void>
  stop(): void
}

/** One entry: this revision was current at this time. */
type Sample = readonly [timeMs: number, revision: number]

const samplesKey = '/coxswain/history'
const periodMs = 5_000
/** Samples further apart than this are written down. */
const recordEveryMs = 60_000

/** Starts keeping. Reads the samples of an earlier run first. */
export async function startHistoryKeeper(options: {
  readonly store: Store
  readonly clock: Clock
  readonly budget?: HistoryBudget
  /** Told what went wrong with a compaction; the next round tries again. */
  readonly onError?: (error: unknown) => void
}): Promise<HistoryKeeper> {
  const { store, clock, budget = defaultHistoryBudget, onError } = options
  const stored = await store.get(samplesKey)
  let samples: readonly Sample[] = stored === undefined ? [] : parseSamples(stored.value)
  let recordedAtMs = samples[samples.length - 1]?.[0] ?? 0
  let ownRevision = stored?.modRevision ?? 0

  const record = async (nowMs: number) => {
    recordedAtMs = nowMs
    const kept = thin(samples)
    const value = new TextEncoder().encode(JSON.stringify(kept))
    ownRevision = (await store.txn([], [{ type: 'put', key: samplesKey, value }])).revision
  }

  const keep = async () => {
    const nowMs = clock.now()
    const revision = store.currentRevision()
    const last = samples[samples.length - 1]
    // Our own note is not a change worth another note: an idle store stays idle.
    if (revision !== ownRevision && last?.[1] !== revision) samples = [...samples, [nowMs, revision]]
    const oldest = budget.maxAgeMs
    const target = samples.findLast(([timeMs]) => timeMs <= nowMs - oldest)
    if (target !== undefined) await compactTo(store, target[1])
    for (const [, next] of samples.filter((sample) => sample[1] > (target?.[1] ?? 0))) {
      if ((await store.stats()).historyBytes <= budget.maxBytes) break
      await compactTo(store, next)
    }
    samples = samples.filter(([, at]) => at >= store.compactedRevision())
    const newest = samples[samples.length - 1]
    if (newest !== undefined && newest[0] >= recordedAtMs + recordEveryMs) await record(nowMs)
  }

  const timer: Timer = every(clock, periodMs, () => keep().catch((error: unknown) => onError?.(error)))
  return {
    revisionAt: (timeMs) => (timeMs > clock.now() ? undefined : samples.findLast(([at]) => at <= timeMs)?.[1]),
    keep,
    stop: () => timer.cancel(),
  }
}

async function compactTo(store: Store, revision: number): Promise<void> {
  if (revision <= store.compactedRevision()) return
  try {
    await store.compact(revision)
  } catch (error) {
    // Another server on the same engine was faster, or this one has not heard of its own sample yet.
    if (!(error instanceof CompactedError) && !(error instanceof FutureRevisionError)) throw error
  }
}

/** At most one sample a minute: what is worth writing down. */
function thin(samples: readonly Sample[]): readonly Sample[] {
  let lastMs = Number.NEGATIVE_INFINITY
  return samples.filter(([timeMs], i) => {
    if (i < samples.length - 1 && timeMs < lastMs + recordEveryMs) return false
    lastMs = timeMs
    return true
  })
}

function parseSamples(value: Uint8Array): readonly Sample[] {
  const parsed: unknown = JSON.parse(new TextDecoder().decode(value))
  if (!Array.isArray(parsed)) throw new Error(`${samplesKey} does not hold a list`)
  return parsed.map((entry: unknown): Sample => {
    if (!Array.isArray(entry) || typeof entry[0] !== 'number' || typeof entry[1] !== 'number')
      throw new Error(`${samplesKey} holds something else than samples`)
    return [entry[0], entry[1]]
  })
}
