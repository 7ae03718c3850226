// PodDisruptionBudgets: how many pods may be taken away by choice now. Evictions are charged to the status by the API
// server; this controller keeps the status true to the pods.
import { deployments } from '../api/apps/deployment.ts'
import { replicaSets } from '../api/apps/replica-set.ts'
import { statefulSets } from '../api/apps/stateful-set.ts'
import { type Pod, pods as podKind } from '../api/core/pod.ts'
import { replicationControllers } from '../api/core/replication-controller.ts'
import { scaledValue } from '../api/machinery/int-or-string.ts'
import { formatLabelSelector, labelSelectorMatcher } from '../api/machinery/labels.ts'
import type { OwnerReference } from '../api/machinery/meta.ts'
import { formatTime } from '../api/machinery/time.ts'
import {
  type PodDisruptionBudget,
  type PodDisruptionBudgetStatus,
  podDisruptionBudgets,
} from '../api/policy/pod-disruption-budget.ts'
import { byNamespace, keyOf } from '../client/informer.ts'
import { findCondition, withCondition } from './framework/conditions.ts'
import { type Controller, type ControllerContext, recorderFor } from './framework/controller.ts'
import { controllerOf, ownerIn } from './framework/ownership.ts'
import { messageOf } from './framework/pod-control.ts'
import { isPodReady, isTerminating } from './framework/pods.ts'
import { createScales } from './framework/scale.ts'
import { startReconciler, type Writes } from './framework/reconciler.ts'
import { sameStatus } from './framework/status.ts'
import { timeMs } from './framework/time.ts'

/** An eviction that led to no deletion within this time is forgotten. */
const evictionTimeoutMs = 120_000

export interface Expectation {
  /** Pods that there should be. */
  readonly expected: number
  /** Pods that must stay healthy. */
  readonly desired: number
}
/** What a budget asks for. `scale` is the wished size of the controllers of the pods, where it is needed. */
export function planExpectation(budget: PodDisruptionBudget, pods: number, scale: number): Expectation {
  const { maxUnavailable, minAvailable } = budget.spec
  if (maxUnavailable !== undefined) {
    const away = scaledValue(maxUnavailable, scale, 'up') ?? 0
    return { expected: scale, desired: Math.max(0, scale - away) }
  }
  if (typeof minAvailable === 'string') return { expected: scale, desired: scaledValue(minAvailable, scale, 'up') ?? 0 }
  return { expected: pods, desired: minAvailable ?? 0 }
}
export const needsScale = ({ spec }: PodDisruptionBudget): boolean =>
  spec.maxUnavailable !== undefined || typeof spec.minAvailable === 'string'

/** Evictions that the API server let through and whose pods are still there, without those that led nowhere. */
export function planDisrupted(budget: PodDisruptionBudget, pods: readonly Pod[], nowMs: number) {
  const disrupted: Record<string, string> = {}
  const stuck: Pod[] = []
  let nextMs: number | undefined
  for (const pod of pods) {
    const since = budget.status.disruptedPods?.[pod.metadata.name]
    if (since === undefined || isTerminating(pod)) continue
    const leftMs = timeMs(since) + evictionTimeoutMs - nowMs
    if (leftMs <= 0) {
      stuck.push(pod)
      continue
    }
    disrupted[pod.metadata.name] = since
    nextMs = Math.min(nextMs ?? leftMs, leftMs)
  }
  return { disrupted, stuck, nextMs }
}

/** The status of a budget over its pods. */
export function planBudgetStatus(
  budget: PodDisruptionBudget,
  pods: readonly Pod[],
  expectation: Expectation,
  disrupted: Readonly<Record<string, string>>,
  nowMs: number,
): PodDisruptionBudgetStatus {
  const healthy = pods.filter(
    (pod) => isPodReady(pod) && !isTerminating(pod) && disrupted[pod.metadata.name] === undefined,
  ).length
  const spare = healthy - expectation.desired
  const disruptionsAllowed = expectation.expected <= 0 || spare <= 0 ? 0 : spare
  const { generation } = budget.metadata
  const condition = {
    type: 'DisruptionAllowed',
    status: disruptionsAllowed > 0 ? 'True' : 'False',
    reason: disruptionsAllowed > 0 ? 'SufficientPods' : 'InsufficientPods',
    message: '',
    ...(generation === undefined ? {} : { observedGeneration: generation }),
  }
  return {
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    currentHealthy: healthy,
    desiredHealthy: expectation.desired,
    expectedPods: expectation.expected,
    disruptionsAllowed,
    ...(Object.keys(disrupted).length === 0 ? {} : { disruptedPods: disrupted }),
    conditions: withCondition(budget.status.conditions, condition, nowMs),
  }
}

/** The wished size of whatever controls pods: known workloads from the caches, others by their scale subresource. */
function scaleReader({ client, informers }: ControllerContext) {
  const sets = informers.informer(replicaSets)
  const rollouts = informers.informer(deployments)
  const stateful = informers.informer(statefulSets)
  const controllers = informers.informer(replicationControllers)
  const scales = createScales(client)
  async function foreignScale(reference: OwnerReference, namespace: string): Promise<number> {
    return (await scales.get(reference, namespace)).spec.replicas ?? 0
  }
  return {
    caches: [sets, rollouts, stateful, controllers],
    /** A key for the controller and its size; undefined where the pod has none. */
    async scaleOf(pod: Pod): Promise<{ readonly uid: string; readonly scale: number } | undefined> {
      const reference = controllerOf(pod)
      if (reference === undefined) return undefined
      const { uid } = reference
      const set = ownerIn(sets, pod)
      if (set !== undefined) {
        const rollout = ownerIn(rollouts, set)
        return rollout === undefined
          ? { uid, scale: set.spec.replicas ?? 1 }
          : { uid: rollout.metadata.uid, scale: rollout.spec.replicas ?? 1 }
      }
      const known = ownerIn(stateful, pod) ?? ownerIn(controllers, pod)
      if (known !== undefined) return { uid, scale: known.spec.replicas ?? 1 }
      if (['ReplicaSet', 'StatefulSet', 'ReplicationController'].includes(reference.kind)) return { uid, scale: 0 }
      return { uid, scale: await foreignScale(reference, pod.metadata.namespace ?? '') }
    },
  }
}

export const disruptionController: Controller = {
  name: 'disruption-controller',
  start(context) {
    const { clock, informers } = context
    const recorder = recorderFor(context, 'controllermanager')
    const budgets = informers.informer(podDisruptionBudgets)
    const pods = informers.informer(podKind)
    const budgetsIn = budgets.index(byNamespace)
    const podsIn = pods.index(byNamespace)
    const scales = scaleReader(context)

    async function totalScale(budget: PodDisruptionBudget, selected: readonly Pod[]): Promise<number> {
      const byOwner = new Map<string, number>()
      let unmanaged = 0
      for (const pod of selected) {
        const found = await scales.scaleOf(pod)
        if (found === undefined) unmanaged++
        else byOwner.set(found.uid, found.scale)
      }
      if (unmanaged > 0) {
        const message = `Pods selected by this PodDisruptionBudget (selector: ${formatLabelSelector(budget.spec.selector)}) were found to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.`
        recorder.event(budget, 'Warning', 'UnmanagedPods', message)
      }
      return [...byOwner.values()].reduce((sum, scale) => sum + scale, 0)
    }
    async function reconcile(key: string, writes: Writes): Promise<number | void> {
      if (key.startsWith(podPrefix)) return clearStale(key.slice(podPrefix.length), writes)
      const budget = budgets.byKey(key)
      if (budget === undefined) return
      const { namespace = '' } = budget.metadata
      const matches = labelSelectorMatcher(budget.spec.selector)
      const selected = podsIn
        .get(namespace)
        .filter(
          (pod) => matches(pod.metadata.labels) && pod.status.phase !== 'Succeeded' && pod.status.phase !== 'Failed',
        )
      if (selected.length === 0) recorder.event(budget, 'Normal', 'NoPods', 'No matching pods found')
      let scale = 0
      try {
        scale = needsScale(budget) ? await totalScale(budget, selected) : 0
      } catch (error) {
        await fail(budget, messageOf(error), writes)
        throw error
      }
      const nowMs = clock.now()
      const { disrupted, stuck, nextMs } = planDisrupted(budget, selected, nowMs)
      for (const pod of stuck) {
        const message = `Pod was expected by PDB ${namespace}/${budget.metadata.name} to be deleted but it wasn't`
        recorder.event(pod, 'Warning', 'NotDeleted', message)
      }
      const expectation = planExpectation(budget, selected.length, scale)
      const status = planBudgetStatus(budget, selected, expectation, disrupted, nowMs)
      if (!sameStatus(status, budget.status)) await writes.updateStatus(podDisruptionBudgets, { ...budget, status })
      return nextMs
    }
    /** A budget whose size cannot be known allows nothing. */
    async function fail(budget: PodDisruptionBudget, why: string, writes: Writes): Promise<void> {
      recorder.event(
        budget,
        'Warning',
        'CalculateExpectedPodCountFailed',
        `Failed to calculate the number of expected pods: ${why}`,
      )
      const { generation } = budget.metadata
      const condition = {
        type: 'DisruptionAllowed',
        status: 'False',
        reason: 'SyncFailed',
        message: why,
        ...(generation === undefined ? {} : { observedGeneration: generation }),
      }
      const conditions = withCondition(budget.status.conditions, condition, clock.now())
      const status = { ...budget.status, disruptionsAllowed: 0, conditions }
      if (!sameStatus(status, budget.status)) await writes.updateStatus(podDisruptionBudgets, { ...budget, status })
    }
    const podPrefix = '#pod '
    const staleMs = (pod: Pod): number | undefined => {
      const condition = findCondition(pod.status.conditions, 'DisruptionTarget')
      return condition?.status === 'True' && !isTerminating(pod) && pod.status.phase !== 'Failed'
        ? timeMs(condition.lastTransitionTime) + evictionTimeoutMs
        : undefined
    }
    /** A disruption that was announced and never came is taken back. */
    async function clearStale(key: string, writes: Writes): Promise<number | void> {
      const pod = pods.byKey(key)
      const atMs = pod && staleMs(pod)
      if (pod === undefined || atMs === undefined) return
      if (atMs > clock.now()) return atMs - clock.now()
      const conditions = (pod.status.conditions ?? []).map((condition) =>
        condition.type === 'DisruptionTarget'
          ? { ...condition, status: 'False', lastTransitionTime: formatTime(clock.now()) }
          : condition,
      )
      await writes.updateStatus(podKind, { ...pod, status: { ...pod.status, conditions } })
    }

    const reconciler = startReconciler({
      context,
      caches: [budgets, pods, ...scales.caches],
      reconcile,
      onStop() {
        for (const off of handlers) off()
        recorder.stop()
      },
    })
    const enqueue = (budget: PodDisruptionBudget) => reconciler.enqueue(keyOf(budget))
    const enqueueFor = (pod: Pod) => {
      for (const budget of budgetsIn.get(pod.metadata.namespace ?? ''))
        if (labelSelectorMatcher(budget.spec.selector)(pod.metadata.labels)) enqueue(budget)
    }
    const consider = (pod: Pod) => {
      enqueueFor(pod)
      if (staleMs(pod) !== undefined) reconciler.enqueue(`${podPrefix}${keyOf(pod)}`)
    }
    const resized = (next: { spec: { replicas?: number | undefined } }, old: typeof next) =>
      next.spec.replicas !== old.spec.replicas
    const enqueueNamespace = (namespace: string | undefined) => {
      for (const budget of budgetsIn.get(namespace ?? '')) if (needsScale(budget)) enqueue(budget)
    }
    const handlers = [
      budgets.handle({ add: enqueue, update: enqueue }),
      pods.handle({
        add: consider,
        update(pod, old) {
          if (pod.metadata.labels !== old.metadata.labels) enqueueFor(old)
          consider(pod)
        },
        delete: enqueueFor,
      }),
      ...scales.caches.map((cache) =>
        cache.handle({
          update: (
            next: { metadata: { namespace?: string | undefined } } & Parameters<typeof resized>[0],
            old: Parameters<typeof resized>[0],
          ) => void (resized(next, old) && enqueueNamespace(next.metadata.namespace)),
        }),
      ),
    ]
    return reconciler
  },
}
