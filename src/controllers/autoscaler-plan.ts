// From what the metrics ask for to what is done: recent recommendations steady it, policies limit how fast it goes, and
// the HorizontalPodAutoscaler's own bounds have the last word.
// https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/#configurable-scaling-behavior
import type { HpaSpec, ScalingRules } from '../api/autoscaling/horizontal-pod-autoscaler.ts'

interface Timed {
  readonly atMs: number
}
/** What is remembered of one autoscaler. It is not stored: after a restart the first sight counts as a recommendation. */
export interface Memory {
  readonly recommendations: readonly (Timed & { readonly replicas: number })[]
  /** Changes that were made, with the number of replicas that came or went. */
  readonly ups: readonly (Timed & { readonly count: number })[]
  readonly downs: readonly (Timed & { readonly count: number })[]
}
export interface PlanCondition {
  readonly status: 'True' | 'False'
  readonly reason: string
  readonly message: string
}
export interface Plan {
  readonly replicas: number
  readonly able: PlanCondition
  readonly limited: PlanCondition
  readonly memory: Memory
}
export interface Proposal {
  readonly spec: HpaSpec
  readonly current: number
  /** What the metrics ask for. */
  readonly proposed: number
  readonly memory: Memory
  readonly nowMs: number
}

const defaultUp: ScalingRules = {
  stabilizationWindowSeconds: 0,
  selectPolicy: 'Max',
  policies: [
    { type: 'Pods', value: 4, periodSeconds: 15 },
    { type: 'Percent', value: 100, periodSeconds: 15 },
  ],
}
const defaultDown: ScalingRules = {
  selectPolicy: 'Max',
  policies: [{ type: 'Percent', value: 100, periodSeconds: 15 }],
}
/** Where the rules for scaling down do not say. */
const downWindowMs = 300_000
/** No window and no period of a policy is longer. */
const memoryMs = 3_600_000

const windowMs = (rules: ScalingRules, fallbackMs: number): number =>
  rules.stabilizationWindowSeconds === undefined ? fallbackMs : rules.stabilizationWindowSeconds * 1000
const rulesOf = ({ behavior }: HpaSpec) => ({
  up: behavior?.scaleUp ?? defaultUp,
  down: behavior?.scaleDown ?? defaultDown,
})

/** The memory at the first sight of a target. */
export const firstMemory = (replicas: number, nowMs: number): Memory => ({
  recommendations: [{ replicas, atMs: nowMs }],
  ups: [],
  downs: [],
})
/** The memory after a change. */
export function remember(memory: Memory, from: number, to: number, nowMs: number): Memory {
  const change = { count: Math.abs(to - from), atMs: nowMs }
  return to > from ? { ...memory, ups: [...memory.ups, change] } : { ...memory, downs: [...memory.downs, change] }
}
const recent = <T extends Timed>(list: readonly T[], nowMs: number): readonly T[] =>
  list.filter(({ atMs }) => atMs > nowMs - memoryMs)

/** Goes down only to the highest recommendation of a while, and up only to the lowest of a while. */
function stabilize({ spec, current, proposed, memory, nowMs }: Proposal): number {
  const { up, down } = rulesOf(spec)
  let [lowest, highest] = [proposed, proposed]
  for (const { replicas, atMs } of memory.recommendations) {
    if (atMs > nowMs - windowMs(up, 0)) lowest = Math.min(lowest, replicas)
    if (atMs > nowMs - windowMs(down, downWindowMs)) highest = Math.max(highest, replicas)
  }
  return Math.min(Math.max(current, lowest), highest)
}
const changed = (list: Memory['ups'], periodSeconds: number, nowMs: number): number =>
  list.reduce((sum, { count, atMs }) => sum + (atMs > nowMs - periodSeconds * 1000 ? count : 0), 0)

function mostAllowed({ spec, current, memory, nowMs }: Proposal): number {
  // Upstream is a little stricter where no behavior is written: to 4 pods at once, not by 4.
  if (spec.behavior === undefined) return Math.max(2 * current, 4)
  const { selectPolicy, policies = [] } = rulesOf(spec).up
  if (selectPolicy === 'Disabled') return current
  const limits = policies.map(({ type, value, periodSeconds }) => {
    const start = current - changed(memory.ups, periodSeconds, nowMs) + changed(memory.downs, periodSeconds, nowMs)
    return type === 'Pods' ? start + value : Math.ceil(start * (1 + value / 100))
  })
  return Math.max(current, selectPolicy === 'Min' ? Math.min(...limits) : Math.max(...limits))
}
function leastAllowed({ spec, current, memory, nowMs }: Proposal): number {
  const { selectPolicy, policies = [] } = rulesOf(spec).down
  if (selectPolicy === 'Disabled') return current
  const limits = policies.map(({ type, value, periodSeconds }) => {
    const start = current - changed(memory.ups, periodSeconds, nowMs) + changed(memory.downs, periodSeconds, nowMs)
    return type === 'Pods' ? start - value : Math.trunc(start * (1 - value / 100))
  })
  return Math.min(current, selectPolicy === 'Min' ? Math.max(...limits) : Math.min(...limits))
}

const limited = (reason: string, message: string): PlanCondition => ({ status: 'True', reason, message })
function bound(proposal: Proposal, wished: number): { replicas: number; limited: PlanCondition } {
  const { spec, current } = proposal
  const least = spec.minReplicas ?? 1
  const most = spec.maxReplicas
  const upTo = mostAllowed(proposal)
  const downTo = leastAllowed(proposal)
  if (wished > current && wished > Math.min(most, upTo))
    return upTo < most
      ? {
          replicas: upTo,
          limited: limited(
            'ScaleUpLimit',
            'the desired replica count is increasing faster than the maximum scale rate',
          ),
        }
      : {
          replicas: most,
          limited: limited('TooManyReplicas', 'the desired replica count is more than the maximum replica count'),
        }
  if (wished < current && wished < Math.max(least, downTo))
    return downTo > least
      ? {
          replicas: downTo,
          limited: limited(
            'ScaleDownLimit',
            'the desired replica count is decreasing faster than the maximum scale rate',
          ),
        }
      : {
          replicas: least,
          limited: limited('TooFewReplicas', 'the desired replica count is less than the minimum replica count'),
        }
  const fine = {
    status: 'False' as const,
    reason: 'DesiredWithinRange',
    message: 'the desired count is within the acceptable range',
  }
  return { replicas: wished, limited: fine }
}

/** What to do about a proposal of the metrics. */
export function planReplicas(proposal: Proposal): Plan {
  const { proposed, memory, nowMs } = proposal
  const steady = stabilize(proposal)
  const able: PlanCondition =
    steady === proposed
      ? { status: 'True', reason: 'ReadyForNewScale', message: 'recommended size matches current size' }
      : steady > proposed
        ? {
            status: 'True',
            reason: 'ScaleDownStabilized',
            message: 'recent recommendations were higher than current one, applying the highest recent recommendation',
          }
        : {
            status: 'True',
            reason: 'ScaleUpStabilized',
            message: 'recent recommendations were lower than current one, applying the lowest recent recommendation',
          }
  return {
    ...bound(proposal, steady),
    able,
    memory: {
      recommendations: [...recent(memory.recommendations, nowMs), { replicas: proposed, atMs: nowMs }],
      ups: recent(memory.ups, nowMs),
      downs: recent(memory.downs, nowMs),
    },
  }
}
