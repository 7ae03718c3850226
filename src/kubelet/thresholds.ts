// When a shortage counts: hard thresholds at once, soft ones after their grace, and either until as much more has been
// reclaimed as asked for, so that the node does not swing around a threshold. Pure: what was seen before goes in and out.
// https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/
import type { KubeletConfig } from './config.ts'
import {
  type Observation,
  type Observations,
  resourceOf,
  type Shortage,
  type Signal,
  signalsInOrder,
} from './eviction.ts'
import { thresholdAmount } from './node-status.ts'

export interface Threshold {
  readonly signal: Signal
  readonly text: string
  /** Of a soft threshold: how long it must be passed. 0 for a hard one. */
  readonly graceMs: number
  /** What a pod that has to go may still take; the pod's own grace where that is shorter. */
  readonly podGraceSeconds: number
  /** Beyond the threshold, once it was passed. */
  readonly reclaim: string | undefined
}
/** A pod that has to go at once gets next to no time: the node has none. */
const hardGraceSeconds = 1

type Settings = Pick<
  KubeletConfig,
  'evictionHard' | 'evictionSoft' | 'evictionSoftGraceMs' | 'evictionMaxPodGraceSeconds' | 'evictionMinimumReclaim'
>
/** Memory first: it kills soonest. Of one signal the hard threshold first. */
export function thresholdsOf(config: Settings): readonly Threshold[] {
  return signalsInOrder.flatMap((signal) => {
    const reclaim = config.evictionMinimumReclaim[signal]
    const [hard, soft] = [config.evictionHard[signal], config.evictionSoft[signal]]
    const both: Threshold[] = []
    if (hard !== undefined) both.push({ signal, text: hard, graceMs: 0, podGraceSeconds: hardGraceSeconds, reclaim })
    if (soft !== undefined)
      both.push({
        signal,
        text: soft,
        graceMs: config.evictionSoftGraceMs[signal] ?? 0,
        podGraceSeconds: config.evictionMaxPodGraceSeconds,
        reclaim,
      })
    return both
  })
}

/** Thresholds that are passed, and since when; `due` ones have led to evictions. */
export interface Passed {
  readonly sinceMs: ReadonlyMap<Threshold, number>
  readonly due: ReadonlySet<Threshold>
}
export const nothingPassed: Passed = { sinceMs: new Map(), due: new Set() }
export interface Assessment {
  readonly passed: Passed
  /** What the node's conditions show. */
  readonly short: readonly Shortage[]
  /** What pods have to go for, in order. */
  readonly due: readonly (Shortage & { readonly podGraceSeconds: number })[]
}

export function assess(
  thresholds: readonly Threshold[],
  observed: Observations,
  before: Passed,
  nowMs: number,
): Assessment {
  const sinceMs = new Map<Threshold, number>()
  const due = new Set<Threshold>()
  const short: Shortage[] = []
  const dueNow: (Shortage & { podGraceSeconds: number })[] = []
  for (const threshold of thresholds) {
    const { signal, text, graceMs, podGraceSeconds } = threshold
    const seen = observed[signal]
    if (seen === undefined || !isPassed(threshold, seen, before.due.has(threshold))) continue
    const since = before.sinceMs.get(threshold) ?? nowMs
    sinceMs.set(threshold, since)
    const shortage: Shortage = {
      signal,
      resource: resourceOf(signal),
      threshold: thresholdAmount(text, seen.capacity),
      available: seen.available,
    }
    short.push(shortage)
    if (nowMs - since < graceMs) continue
    due.add(threshold)
    dueNow.push({ ...shortage, podGraceSeconds })
  }
  return { passed: { sinceMs, due }, short, due: dueNow }
}
function isPassed({ text, reclaim }: Threshold, { available, capacity }: Observation, wasDue: boolean): boolean {
  const threshold = thresholdAmount(text, capacity)
  return available < threshold + (wasDue ? thresholdAmount(reclaim, capacity) : 0)
}
