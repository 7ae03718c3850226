// Which node to clear for a pod, and of whom: pure decisions of preemption.
import { labelSelectorMatcher } from '../../api/machinery/labels.ts'
import type { PodDisruptionBudget } from '../../api/policy/pod-disruption-budget.ts'
import type { PodInfo } from '../state/pod-info.ts'

/** The pods that would have to leave a node; the most important first. */
export interface Victims {
  readonly nodeName: string
  readonly pods: readonly PodInfo[]
  /** How many of them a disruption budget would keep. */
  readonly violations: number
}

const startOf = (pod: PodInfo): string => pod.pod.status.startTime ?? '9999'
/** Higher priority, and of equals the one that runs longer. */
export const byImportance = (a: PodInfo, b: PodInfo): number => {
  if (a.priority !== b.priority) return b.priority - a.priority
  const [first, second] = [startOf(a), startOf(b)]
  return first < second ? -1 : first > second ? 1 : 0
}

/** Splits pods into those whose loss would break a budget and the rest; both keep their order. */
export function splitByBudgets(
  pods: readonly PodInfo[],
  budgets: readonly PodDisruptionBudget[],
): { readonly violating: readonly PodInfo[]; readonly free: readonly PodInfo[] } {
  const left = new Map(budgets.map((budget) => [budget, budget.status.disruptionsAllowed]))
  const violating: PodInfo[] = []
  const free: PodInfo[] = []
  for (const pod of pods) {
    let breaks = false
    for (const [budget, allowed] of left) {
      if (!covers(budget, pod)) continue
      left.set(budget, allowed - 1)
      if (allowed - 1 < 0) breaks = true
    }
    if (breaks) violating.push(pod)
    else free.push(pod)
  }
  return { violating, free }
}
/** A budget that knows the pod is leaving already counts it no more. */
function covers({ metadata, spec, status }: PodDisruptionBudget, pod: PodInfo): boolean {
  if (metadata.namespace !== pod.namespace || status.disruptedPods?.[pod.name] !== undefined) return false
  const { selector } = spec
  const isEmpty =
    Object.keys(selector?.matchLabels ?? {}).length === 0 && (selector?.matchExpressions?.length ?? 0) === 0
  return !isEmpty && labelSelectorMatcher(selector)(pod.labels)
}

/** Each step keeps the best of what the step before left; later steps decide ties only. */
const preferences: readonly ((victims: Victims) => number)[] = [
  ({ violations }) => violations,
  ({ pods }) => pods[0]?.priority ?? Number.NEGATIVE_INFINITY,
  // priorities may be negative: shifted, so that more victims never make a smaller sum
  ({ pods }) => pods.reduce((sum, { priority }) => sum + priority + 2 ** 31, 0),
  ({ pods }) => pods.length,
  // the latest start among the most important victims: they lose the least work
  ({ pods }) => -earliestStart(pods),
]
function earliestStart(pods: readonly PodInfo[]): number {
  const most = pods[0]?.priority
  const starts = pods.filter(({ priority }) => priority === most).map(startOf)
  return Math.min(...starts.map((start) => Date.parse(start)).filter((ms) => !Number.isNaN(ms)), Infinity)
}

/** The node whose clearing hurts least; undefined for no candidates. */
export function chooseNode(candidates: readonly Victims[]): Victims | undefined {
  let best = candidates
  for (const cost of preferences) {
    if (best.length <= 1) break
    const costs = best.map(cost)
    const least = Math.min(...costs)
    best = best.filter((_, i) => costs[i] === least)
  }
  return best[0]
}
