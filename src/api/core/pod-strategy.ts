// What the server itself decides about a pod before it is stored.
import type { LabelSelector } from '../machinery/meta.ts'
import type { Draft } from '../machinery/schema.ts'
import { computeQosClass } from './pod-qos.ts'
import type { Pod } from './pod.ts'

type MergedSelector = Draft<LabelSelector>
/** matchLabelKeys become requirements on the pod's own values, fixed when it is created (KEP-3633, KEP-3243). */
function mergeKeys(
  selector: MergedSelector | undefined,
  labels: Readonly<Record<string, string>>,
  keys: readonly string[] | undefined,
  operator: 'In' | 'NotIn',
): void {
  if (selector === undefined) return
  for (const key of keys ?? []) {
    const value = labels[key]
    if (value !== undefined) (selector.matchExpressions ??= []).push({ key, operator, values: [value] })
  }
}
function mergeLabelKeys(pod: Draft<Pod>): void {
  const labels = pod.metadata.labels ?? {}
  const { podAffinity, podAntiAffinity } = pod.spec.affinity ?? {}
  for (const affinity of [podAffinity, podAntiAffinity]) {
    const terms = [
      ...(affinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []),
      ...(affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map((weighted) => weighted.podAffinityTerm),
    ]
    for (const term of terms) {
      mergeKeys(term.labelSelector, labels, term.matchLabelKeys, 'In')
      mergeKeys(term.labelSelector, labels, term.mismatchLabelKeys, 'NotIn')
    }
  }
  for (const constraint of pod.spec.topologySpreadConstraints ?? []) {
    mergeKeys(constraint.labelSelector, labels, constraint.matchLabelKeys, 'In')
  }
}

export function preparePod(pod: Draft<Pod>): void {
  pod.status = { phase: 'Pending', qosClass: computeQosClass(pod.spec) }
  mergeLabelKeys(pod)
  if ((pod.spec.schedulingGates?.length ?? 0) > 0) {
    pod.status.conditions = [
      {
        type: 'PodScheduled',
        status: 'False',
        reason: 'SchedulingGated',
        message: 'Scheduling is blocked due to non-empty scheduling gates',
      },
    ]
  }
}

export function preparePodStatusUpdate(pod: Draft<Pod>, old: Pod): void {
  // graceful deletion and the class are the server's business
  if (!pod.status.qosClass && old.status.qosClass) pod.status.qosClass = old.status.qosClass
}
