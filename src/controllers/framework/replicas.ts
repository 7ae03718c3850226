// The loop behind ReplicaSet and ReplicationController: keep N pods that match. The two differ only in their selector's
// form and in whom their pods are spread with, which the adapter says.
import { isReason } from '../../api/machinery/errors.ts'
import type { Kind } from '../../api/machinery/kind.ts'
import type { Matcher } from '../../api/machinery/labels.ts'
import type { KubeObject } from '../../api/machinery/meta.ts'
import { type Pod, pods as podKind } from '../../api/core/pod.ts'
import type { PodTemplateSpec } from '../../api/core/pod-template.ts'
import { keyOf } from '../../client/informer.ts'
import { findCondition, withCondition, withoutCondition } from './conditions.ts'
import { type ControllerContext, recorderFor, type RunningController } from './controller.ts'
import { controllerRef, createClaimer, enqueueOwners } from './ownership.ts'
import { burstReplicas, createPod, deletePods, isNamespaceTerminating, messageOf, slowStart } from './pod-control.ts'
import {
  isPodActive,
  isPodAvailable,
  isPodReady,
  isTerminating,
  nextAvailabilityMs,
  podFromTemplate,
  podsToDelete,
} from './pods.ts'
import { startReconciler, type Writes } from './reconciler.ts'
import { sameStatus } from './status.ts'

export interface ReplicaCondition {
  readonly type: string
  readonly status: string
  readonly lastTransitionTime?: string | undefined
  readonly reason?: string | undefined
  readonly message?: string | undefined
}
export interface ReplicaStatus {
  readonly replicas: number
  readonly fullyLabeledReplicas?: number | undefined
  readonly readyReplicas?: number | undefined
  readonly availableReplicas?: number | undefined
  readonly terminatingReplicas?: number | undefined
  readonly observedGeneration?: number | undefined
  readonly conditions?: readonly ReplicaCondition[] | undefined
}
/** What the loop reads of an owner. */
export interface ReplicaView {
  readonly replicas: number
  readonly minReadySeconds: number
  readonly matches: Matcher
  readonly template: PodTemplateSpec
  readonly status: ReplicaStatus
}
export interface ReplicaAdapter<T extends KubeObject> {
  readonly kind: Kind<T>
  /** Source of the events: replicaset-controller, replication-controller. */
  readonly component: string
  /** Undefined where there is no template to make pods from. */
  readonly view: (owner: T) => ReplicaView | undefined
  readonly withStatus: (owner: T, status: ReplicaStatus) => T
  /** Active pods to spread with, when they are more than the owner's own. */
  readonly related?: (context: ControllerContext) => (owner: T, own: readonly Pod[]) => readonly Pod[]
  /** ReplicaSets count their terminating pods (KEP-3973). */
  readonly countsTerminating: boolean
}

export interface ReplicaPlan {
  readonly create: number
  readonly delete: readonly Pod[]
}
/** How many pods to create, or which to delete, at most a burst at a time. */
export function planReplicas(
  wanted: number,
  active: readonly Pod[],
  related: readonly Pod[],
  nowMs: number,
): ReplicaPlan {
  const surplus = active.length - wanted
  if (surplus <= 0) return { create: Math.min(wanted - active.length, burstReplicas), delete: [] }
  return { create: 0, delete: podsToDelete(active, related, Math.min(surplus, burstReplicas), nowMs) }
}

/** The status for the pods as they are; `failure` is why the last create or delete went wrong. */
export function planReplicaStatus(
  view: ReplicaView,
  generation: number | undefined,
  pods: readonly Pod[],
  failure: { readonly reason: string; readonly message: string } | undefined,
  countsTerminating: boolean,
  nowMs: number,
): ReplicaStatus {
  const templateLabels = Object.entries(view.template.metadata.labels ?? {})
  const count = { active: 0, labeled: 0, ready: 0, available: 0, terminating: 0 }
  for (const pod of pods) {
    if (isTerminating(pod)) count.terminating++
    if (!isPodActive(pod)) continue
    count.active++
    if (templateLabels.every(([key, value]) => pod.metadata.labels?.[key] === value)) count.labeled++
    if (!isPodReady(pod)) continue
    count.ready++
    if (isPodAvailable(pod, view.minReadySeconds, nowMs)) count.available++
  }
  const current = view.status.conditions
  const condition = { type: 'ReplicaFailure', status: 'True', ...failure }
  const keep = failure !== undefined && findCondition(current, 'ReplicaFailure') !== undefined
  const conditions =
    failure === undefined
      ? withoutCondition(current, 'ReplicaFailure')
      : keep
        ? current
        : withCondition(current, condition, nowMs)
  return {
    replicas: count.active,
    fullyLabeledReplicas: count.labeled,
    readyReplicas: count.ready,
    availableReplicas: count.available,
    ...(countsTerminating ? { terminatingReplicas: count.terminating } : {}),
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    ...(conditions === undefined || conditions.length === 0 ? {} : { conditions }),
  }
}

/** Runs the loop for one kind of owner. */
export function startReplicaController<T extends KubeObject>(
  context: ControllerContext,
  adapter: ReplicaAdapter<T>,
): RunningController {
  const { informers, clock } = context
  const recorder = recorderFor(context, adapter.component)
  const owners = informers.informer(adapter.kind)
  const pods = informers.informer(podKind)
  const claimer = createClaimer(context, adapter.kind, pods, isPodActive)
  const related = adapter.related?.(context)

  async function manage(owner: T, view: ReplicaView, active: readonly Pod[], writes: Writes) {
    const plan = planReplicas(view.replicas, active, related?.(owner, active) ?? active, clock.now())
    if (plan.create > 0) {
      const pod = podFromTemplate(view.template, owner.metadata.namespace ?? '', controllerRef(adapter.kind, owner))
      const { error } = await slowStart(plan.create, async () => {
        await createPod(owner, pod, writes, recorder)
      })
      return { error: isNamespaceTerminating(error) ? undefined : error, reason: 'FailedCreate' }
    }
    return { error: await deletePods(owner, plan.delete, writes, recorder), reason: 'FailedDelete' }
  }
  async function reconcile(key: string, writes: Writes): Promise<number | void> {
    const owner = owners.byKey(key)
    if (owner === undefined) return
    const view = adapter.view(owner)
    if (view === undefined) return
    const claimed = await claimer.claim(owner, view.matches, writes)
    const active = claimed.filter(isPodActive)
    const { error, reason } = isTerminating(owner)
      ? { error: undefined, reason: '' }
      : await manage(owner, view, active, writes)
    const nowMs = clock.now()
    const failure = error === undefined ? undefined : { reason, message: messageOf(error) }
    const { generation } = owner.metadata
    const status = planReplicaStatus(view, generation, claimed, failure, adapter.countsTerminating, nowMs)
    if (!sameStatus(status, view.status)) await writes.updateStatus(adapter.kind, adapter.withStatus(owner, status))
    if (error !== undefined && !isReason(error, 'NotFound')) throw error
    return nextAvailabilityMs(active, view.minReadySeconds, nowMs)
  }

  const reconciler = startReconciler({
    context,
    caches: [owners, pods],
    reconcile,
    onStop() {
      for (const off of handlers) off()
      recorder.stop()
    },
  })
  const enqueue = (owner: T) => reconciler.enqueue(keyOf(owner))
  const handlers = [
    owners.handle({ add: enqueue, update: enqueue, delete: enqueue }),
    enqueueOwners({
      owners,
      dependents: pods,
      enqueue,
      matches: (owner) => adapter.view(owner)?.matches ?? (() => false),
    }),
  ]
  return reconciler
}
