// What controllers ask of pods: ready, available, active; which of several to delete first; and a pod from a template.
import { parseTime } from '../../api/machinery/time.ts'
import type { KubeObject, OwnerReference } from '../../api/machinery/meta.ts'
import type { Pod } from '../../api/core/pod.ts'
import type { PodTemplateSpec } from '../../api/core/pod-template.ts'
import type { Input } from '../../client/client.ts'
import { findCondition } from './conditions.ts'

export const podCondition = (pod: Pod, type: string) => findCondition(pod.status.conditions, type)
export const isPodReady = (pod: Pod): boolean => podCondition(pod, 'Ready')?.status === 'True'
export const isPodTerminal = (pod: Pod): boolean => pod.status.phase === 'Succeeded' || pod.status.phase === 'Failed'
export const isTerminating = (object: KubeObject): boolean => object.metadata.deletionTimestamp !== undefined
/** Neither ended nor being deleted. */
export const isPodActive = (pod: Pod): boolean => !isPodTerminal(pod) && !isTerminating(pod)

const timeOr = (text: string | undefined, otherwise: number): number =>
  text === undefined ? otherwise : (parseTime(text) ?? otherwise)
/** Since when the pod is ready, milliseconds since 1970; undefined while it is not. */
export function readySinceMs(pod: Pod): number | undefined {
  const condition = podCondition(pod, 'Ready')
  return condition?.status === 'True' ? timeOr(condition.lastTransitionTime, 0) : undefined
}
/** Ready for at least `minReadySeconds`. */
export function isPodAvailable(pod: Pod, minReadySeconds: number, nowMs: number): boolean {
  if (minReadySeconds === 0) return isPodReady(pod)
  const since = readySinceMs(pod)
  return since !== undefined && since + minReadySeconds * 1000 <= nowMs
}
/** Milliseconds until the next of the ready pods becomes available; undefined when none is on the way. */
export function nextAvailabilityMs(pods: readonly Pod[], minReadySeconds: number, nowMs: number): number | undefined {
  if (minReadySeconds === 0) return undefined
  let next: number | undefined
  for (const pod of pods) {
    const since = readySinceMs(pod)
    const leftMs = since === undefined ? 0 : since + minReadySeconds * 1000 - nowMs
    if (leftMs > 0 && (next === undefined || leftMs < next)) next = leftMs
  }
  return next
}

const phaseOrder: Readonly<Record<string, number>> = { Pending: 0, Unknown: 1, Running: 2 }
const deletionCost = (pod: Pod): number => {
  const text = pod.metadata.annotations?.['controller.kubernetes.io/pod-deletion-cost']
  return text !== undefined && /^(0|-?[1-9][0-9]*)$/.test(text) ? Number(text) : 0
}
const restarts = (pod: Pod): number =>
  Math.max(0, ...(pod.status.containerStatuses ?? []).map((status) => status.restartCount))
/** Ages are compared by magnitude only (KEP-2185), so that deletions are spread; equal ones fall back to the UID. */
const magnitude = (sinceMs: number, nowMs: number): number => {
  const seconds = Math.floor((nowMs - sinceMs) / 1000)
  return seconds <= 0 ? -1 : Math.floor(Math.log2(seconds))
}

/** Which of two pods to delete first: negative means `a`. `rank` counts the set's other active pods on a pod's node. */
function compareForDeletion(a: Pod, b: Pod, rank: (pod: Pod) => number, nowMs: number): number {
  const [assignedA, assignedB] = [a.spec.nodeName ? 1 : 0, b.spec.nodeName ? 1 : 0]
  if (assignedA !== assignedB) return assignedA - assignedB
  const phase = (phaseOrder[a.status.phase ?? ''] ?? 0) - (phaseOrder[b.status.phase ?? ''] ?? 0)
  if (phase !== 0) return phase
  const [readyA, readyB] = [readySinceMs(a), readySinceMs(b)]
  if ((readyA === undefined) !== (readyB === undefined)) return readyA === undefined ? -1 : 1
  const cost = deletionCost(a) - deletionCost(b)
  if (cost !== 0) return cost
  const doubled = rank(b) - rank(a)
  if (doubled !== 0) return doubled
  if (readyA !== undefined && readyB !== undefined && readyA !== readyB) {
    const byMagnitude = magnitude(readyA, nowMs) - magnitude(readyB, nowMs)
    return byMagnitude !== 0 ? byMagnitude : a.metadata.uid < b.metadata.uid ? -1 : 1
  }
  const byRestarts = restarts(b) - restarts(a)
  if (byRestarts !== 0) return byRestarts
  const [createdA, createdB] = [timeOr(a.metadata.creationTimestamp, 0), timeOr(b.metadata.creationTimestamp, 0)]
  if (createdA !== createdB) {
    const byMagnitude = magnitude(createdA, nowMs) - magnitude(createdB, nowMs)
    return byMagnitude !== 0 ? byMagnitude : a.metadata.uid < b.metadata.uid ? -1 : 1
  }
  return 0
}
/** The `count` pods to delete first. `related` are the active pods of the same workload, for spreading over nodes. */
export function podsToDelete(pods: readonly Pod[], related: readonly Pod[], count: number, nowMs: number): Pod[] {
  if (count >= pods.length) return [...pods]
  const perNode = new Map<string, number>()
  for (const pod of related)
    if (isPodActive(pod) && pod.spec.nodeName) perNode.set(pod.spec.nodeName, (perNode.get(pod.spec.nodeName) ?? 0) + 1)
  const rank = (pod: Pod) => perNode.get(pod.spec.nodeName ?? '') ?? 0
  return [...pods].sort((a, b) => compareForDeletion(a, b, rank, nowMs)).slice(0, count)
}

/** A pod as the template says it, owned by the reference's object, named after `prefix`. */
export function podFromTemplate(
  template: PodTemplateSpec,
  namespace: string,
  owner: OwnerReference,
  prefix: string = owner.name,
): Input<Pod> {
  const { labels, annotations, finalizers } = template.metadata
  return {
    metadata: {
      generateName: `${prefix}-`,
      namespace,
      ...(labels === undefined ? {} : { labels }),
      ...(annotations === undefined ? {} : { annotations }),
      ...(finalizers === undefined ? {} : { finalizers }),
      ownerReferences: [owner],
    },
    spec: template.spec,
  }
}
