// What a StatefulSet does next. Ordered sets do one thing at a time and wait until every pod before it is ready; parallel
// ones do all at once. The answer is a list of steps; the first one that must be waited for ends it.
import type { StatefulSet, StatefulSetStatus } from '../api/apps/stateful-set.ts'
import type { Pod } from '../api/core/pod.ts'
import { scaledValue } from '../api/machinery/int-or-string.ts'
import { isPodAvailable, isPodReady, isTerminating } from './framework/pods.ts'
import { hasIdentity, ordinalOf, revisionLabel } from './stateful-set-pods.ts'

export interface StatefulState {
  readonly set: StatefulSet
  /** Claimed pods that bear the set's name. */
  readonly pods: readonly Pod[]
  readonly currentRevision: string
  readonly updateRevision: string
  readonly nowMs: number
}
export type StatefulStep =
  | { readonly type: 'create'; readonly ordinal: number; readonly revision: string }
  | {
      readonly type: 'delete'
      readonly pod: Pod
      readonly ordinal: number
      readonly why: 'failed' | 'succeeded' | 'scaled' | 'update'
    }
  /** Bring identity labels and claims of a pod back in order. */
  | { readonly type: 'repair'; readonly pod: Pod; readonly ordinal: number }
  | { readonly type: 'claims'; readonly pod: Pod; readonly ordinal: number; readonly condemned: boolean }

const isOrdered = (set: StatefulSet): boolean => set.spec.podManagementPolicy !== 'Parallel'
const isRunning = (pod: Pod): boolean => pod.status.phase === 'Running'
export const revisionOfPod = (pod: Pod): string => pod.metadata.labels?.[revisionLabel] ?? ''
const startOf = (set: StatefulSet): number => set.spec.ordinals?.start ?? 0
const wantedReplicas = (set: StatefulSet): number => set.spec.replicas ?? 1

interface Sorted {
  /** By ordinal, start first; undefined where the pod is missing. */
  readonly replicas: readonly (Pod | undefined)[]
  /** Beyond the wished range, highest ordinal first. */
  readonly condemned: readonly { readonly pod: Pod; readonly ordinal: number }[]
}
function sortPods({ set, pods }: StatefulState): Sorted {
  const start = startOf(set)
  const replicas: (Pod | undefined)[] = Array.from({ length: wantedReplicas(set) })
  const condemned: { pod: Pod; ordinal: number }[] = []
  for (const pod of pods) {
    const ordinal = ordinalOf(set, pod)
    if (ordinal === undefined) continue
    if (ordinal >= start && ordinal < start + replicas.length) replicas[ordinal - start] = pod
    else condemned.push({ pod, ordinal })
  }
  return { replicas, condemned: condemned.sort((a, b) => b.ordinal - a.ordinal) }
}

/** The revision that a missing pod is made from: below the partition the current one, else the update. */
export function revisionFor(state: StatefulState, ordinal: number): string {
  const { set, currentRevision, updateRevision } = state
  const { type, rollingUpdate } = set.spec.updateStrategy
  if (type === 'OnDelete') return updateRevision
  const partition = rollingUpdate?.partition
  const below =
    partition === undefined
      ? ordinal < startOf(set) + (set.status.currentReplicas ?? 0)
      : ordinal < startOf(set) + partition
  return below ? currentRevision : updateRevision
}

/** The steps to take now. */
export function planStatefulSet(state: StatefulState): readonly StatefulStep[] {
  const { set, nowMs } = state
  if (isTerminating(set)) return []
  const ordered = isOrdered(set)
  const isAvailable = (pod: Pod) => isRunning(pod) && isPodAvailable(pod, set.spec.minReadySeconds ?? 0, nowMs)
  const { replicas, condemned } = sortPods(state)
  const steps: StatefulStep[] = []

  for (const [i, pod] of replicas.entries()) {
    const ordinal = startOf(set) + i
    if (pod === undefined) {
      steps.push({ type: 'create', ordinal, revision: revisionFor(state, ordinal) })
      if (ordered) return steps
      continue
    }
    const { phase } = pod.status
    if (phase === 'Failed' || phase === 'Succeeded') {
      if (!isTerminating(pod))
        steps.push({ type: 'delete', pod, ordinal, why: phase === 'Failed' ? 'failed' : 'succeeded' })
      if (ordered) return steps
      continue
    }
    if (isTerminating(pod)) {
      if (ordered) return steps
      continue
    }
    steps.push({ type: 'claims', pod, ordinal, condemned: false })
    if (!hasIdentity(set, ordinal, pod)) steps.push({ type: 'repair', pod, ordinal })
    if (ordered && !isAvailable(pod)) return steps
  }

  const healthy = (pod: Pod) => isAvailable(pod) && !isTerminating(pod)
  const firstUnhealthy = [...condemned].reverse().find(({ pod }) => !healthy(pod))
  for (const { pod, ordinal } of condemned) {
    if (isTerminating(pod)) {
      if (ordered) return steps
      continue
    }
    // One that is not healthy goes too, but only when it is the lowest of them: the others may be about to become so.
    if (ordered && !isAvailable(pod) && firstUnhealthy?.pod !== pod) return steps
    steps.push({ type: 'claims', pod, ordinal, condemned: true }, { type: 'delete', pod, ordinal, why: 'scaled' })
    if (ordered) return steps
  }
  if (set.spec.updateStrategy.type === 'OnDelete') return steps
  return [...steps, ...planUpdate(state, replicas, healthy)]
}

/** Rolling update from the highest ordinal down to the partition. */
function planUpdate(
  { set, updateRevision }: StatefulState,
  replicas: readonly (Pod | undefined)[],
  healthy: (pod: Pod) => boolean,
): readonly StatefulStep[] {
  const { rollingUpdate } = set.spec.updateStrategy
  const lowest = rollingUpdate?.partition ?? 0
  const maxUnavailable = Math.max(1, scaledValue(rollingUpdate?.maxUnavailable ?? 1, replicas.length, 'up') ?? 1)
  const isOld = (pod: Pod) => revisionOfPod(pod) !== updateRevision && !isTerminating(pod)
  const remove = (pod: Pod, i: number): StatefulStep => ({
    type: 'delete',
    pod,
    ordinal: startOf(set) + i,
    why: 'update',
  })
  if (maxUnavailable === 1) {
    for (let i = replicas.length - 1; i >= lowest; i--) {
      const pod = replicas[i]
      if (pod === undefined) return []
      if (isOld(pod)) return [remove(pod, i)]
      if (!healthy(pod)) return []
    }
    return []
  }
  const unavailable = replicas.filter((pod) => pod === undefined || !healthy(pod)).length
  const steps: StatefulStep[] = []
  for (let i = replicas.length - 1; i >= lowest && steps.length < maxUnavailable - unavailable; i--) {
    const pod = replicas[i]
    if (pod !== undefined && isOld(pod)) steps.push(remove(pod, i))
  }
  return steps
}

/** The status for the pods as they are. */
export function planStatefulStatus(state: StatefulState, collisionCount: number | undefined): StatefulSetStatus {
  const { set, pods, updateRevision, nowMs } = state
  let { currentRevision } = state
  const created = pods.filter((pod) => ordinalOf(set, pod) !== undefined)
  const live = created.filter((pod) => !isTerminating(pod))
  const ready = created.filter((pod) => isRunning(pod) && isPodReady(pod))
  const count = (revision: string) => live.filter((pod) => revisionOfPod(pod) === revision).length
  const updatedReplicas = count(updateRevision)
  let currentReplicas = count(currentRevision)
  const replicas = created.length
  const { conditions } = set.status
  const isRolling = set.spec.updateStrategy.type !== 'OnDelete'
  if (isRolling && updatedReplicas === replicas && ready.length === replicas) {
    currentRevision = updateRevision
    currentReplicas = updatedReplicas
  }
  return {
    ...(set.metadata.generation === undefined ? {} : { observedGeneration: set.metadata.generation }),
    replicas,
    readyReplicas: ready.length,
    currentReplicas,
    updatedReplicas,
    currentRevision,
    updateRevision,
    availableReplicas: ready.filter((pod) => isPodAvailable(pod, set.spec.minReadySeconds ?? 0, nowMs)).length,
    collisionCount: collisionCount ?? 0,
    ...(conditions === undefined ? {} : { conditions }),
  }
}
