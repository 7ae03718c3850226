// The policies that look into a Job's pods: what a failure means (podFailurePolicy), and when enough has succeeded
// (successPolicy).
import type { Job, PodFailurePolicyRule } from '../api/batch/job.ts'
import type { Pod } from '../api/core/pod.ts'
import { parseIndexes } from './job-indexes.ts'

export type FailureVerdict =
  /** Counts as an ordinary failure. */
  | { readonly action: 'Count' }
  | { readonly action: 'Ignore' }
  | { readonly action: 'FailIndex' }
  | { readonly action: 'FailJob'; readonly message: string }

type Match = string | undefined
function matchExitCodes(
  pod: Pod,
  rule: NonNullable<PodFailurePolicyRule['onExitCodes']>,
  action: string,
  index: number,
): Match {
  for (const status of [...(pod.status.containerStatuses ?? []), ...(pod.status.initContainerStatuses ?? [])]) {
    const exitCode = status.state.terminated?.exitCode
    if (exitCode === undefined || exitCode === 0) continue
    if (rule.containerName !== undefined && rule.containerName !== status.name) continue
    const listed = rule.values.includes(exitCode)
    if (rule.operator === 'In' ? listed : !listed)
      return `Container ${status.name} for pod ${pod.metadata.namespace}/${pod.metadata.name} failed with exit code ${exitCode} matching ${action} rule at index ${index}`
  }
  return undefined
}
function matchConditions(
  pod: Pod,
  patterns: NonNullable<PodFailurePolicyRule['onPodConditions']>,
  action: string,
  index: number,
): Match {
  for (const pattern of patterns)
    for (const condition of pod.status.conditions ?? [])
      if (condition.type === pattern.type && condition.status === (pattern.status ?? 'True'))
        return `Pod ${pod.metadata.namespace}/${pod.metadata.name} has condition ${condition.type} matching ${action} rule at index ${index}`
  return undefined
}

/** What the failure of a pod means to its Job: the first rule that matches decides. */
export function judgeFailure(job: Job, pod: Pod): FailureVerdict {
  for (const [index, rule] of (job.spec.podFailurePolicy?.rules ?? []).entries()) {
    const { action, onExitCodes, onPodConditions } = rule
    const message =
      onExitCodes === undefined
        ? matchConditions(pod, onPodConditions ?? [], action, index)
        : matchExitCodes(pod, onExitCodes, action, index)
    if (message === undefined) continue
    switch (action) {
      case 'FailJob':
        return { action, message }
      case 'Ignore':
      case 'FailIndex':
        return { action }
      default:
        return { action: 'Count' }
    }
  }
  return { action: 'Count' }
}

/** The message of the success rule that is met; undefined while none is. */
export function metSuccessRule(job: Job, succeeded: ReadonlySet<number>): string | undefined {
  const completions = job.spec.completions ?? 0
  for (const [index, rule] of (job.spec.successPolicy?.rules ?? []).entries()) {
    const message = `Matched rules at index ${index}`
    if (rule.succeededIndexes === undefined) {
      if (rule.succeededCount !== undefined && succeeded.size >= rule.succeededCount) return message
      continue
    }
    const wanted = parseIndexes(rule.succeededIndexes, completions)
    const met = [...wanted].filter((one) => succeeded.has(one)).length
    if (met >= (rule.succeededCount ?? wanted.size)) return message
  }
  return undefined
}
