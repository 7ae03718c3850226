// Removes pods that nobody else will: of nodes that are gone (after 40 s of quarantine), terminating ones that never got a
// node or whose node is out of service, and the oldest terminated ones beyond a threshold.
import { isReason } from '../api/machinery/errors.ts'
import { type Node, nodes as nodeKind } from '../api/core/node.ts'
import { type Pod, pods as podKind } from '../api/core/pod.ts'
import { byNodeName, type IndexBy, keyOf } from '../client/informer.ts'
import { findCondition, withCondition } from './framework/conditions.ts'
import type { Controller } from './framework/controller.ts'
import { isPodTerminal, isTerminating } from './framework/pods.ts'
import { startReconciler, type Writes } from './framework/reconciler.ts'
import { createdMs } from './framework/time.ts'

const quarantineMs = 40_000
const outOfServiceTaint = 'node.kubernetes.io/out-of-service'
const terminated = 'terminated'
const terminatedIndex: IndexBy<Pod> = (pod) => (isPodTerminal(pod) ? [terminated] : [])
/** The key of the run that counts terminated pods; no pod has it, as it has no slash. */
const thresholdKey = '#terminated'

const isOutOfService = (node: Node): boolean =>
  findCondition(node.status.conditions, 'Ready')?.status !== 'True' &&
  (node.spec.taints?.some((taint) => taint.key === outOfServiceTaint) ?? false)

/** The terminated pods to delete: evicted ones first, then the oldest. */
export function planTerminated(pods: readonly Pod[], threshold: number): readonly Pod[] {
  const surplus = pods.length - threshold
  if (surplus <= 0) return []
  const evicted = (pod: Pod) => (pod.status.reason === 'Evicted' ? 0 : 1)
  return [...pods].sort((a, b) => evicted(a) - evicted(b) || createdMs(a) - createdMs(b)).slice(0, surplus)
}

/** Why a pod is to be removed by force, given its node; undefined when it is not. */
export function planRemoval(
  pod: Pod,
  node: Node | undefined,
): { readonly reason: 'orphaned'; readonly message: string } | { readonly reason: 'terminating' } | undefined {
  if (!pod.spec.nodeName) return isTerminating(pod) ? { reason: 'terminating' } : undefined
  if (node === undefined) return { reason: 'orphaned', message: 'PodGC: node no longer exists' }
  return isTerminating(pod) && isOutOfService(node) ? { reason: 'terminating' } : undefined
}

export const podGarbageCollector: Controller = {
  name: 'pod-garbage-collector-controller',
  start(context) {
    const { client, clock, informers, settings } = context
    const threshold = settings?.terminatedPodThreshold ?? 12_500
    const pods = informers.informer(podKind)
    const nodes = informers.informer(nodeKind)
    const podsByNode = pods.index(byNodeName)
    const terminatedPods = pods.index(terminatedIndex)

    async function remove(pod: Pod, message: string | undefined, writes: Writes): Promise<void> {
      if (!isPodTerminal(pod)) {
        const condition = { type: 'DisruptionTarget', status: 'True', reason: 'DeletionByPodGC', message }
        const conditions =
          message === undefined ? pod.status.conditions : withCondition(pod.status.conditions, condition, clock.now())
        try {
          await writes.updateStatus(podKind, { ...pod, status: { ...pod.status, phase: 'Failed', conditions } })
        } catch (error) {
          if (isReason(error, 'NotFound')) return
          throw error
        }
      }
      await writes.delete(podKind, pod, { gracePeriodSeconds: 0 })
    }
    const reconciler = startReconciler({
      context,
      caches: [pods, nodes],
      async reconcile(key, writes) {
        if (key === thresholdKey) {
          const doomed = planTerminated(terminatedPods.get(terminated), threshold)
          for (const pod of doomed) await writes.delete(podKind, pod, { gracePeriodSeconds: 0 })
          return
        }
        const pod = pods.byKey(key)
        if (pod === undefined) return
        const plan = planRemoval(pod, nodes.get(pod.spec.nodeName ?? ''))
        if (plan === undefined) return
        // The cache may be late: ask the server before a pod is called an orphan.
        const nodeLives =
          plan.reason === 'orphaned' && (await client.resource(nodeKind).find(pod.spec.nodeName ?? '')) !== undefined
        if (!nodeLives) await remove(pod, plan.reason === 'orphaned' ? plan.message : undefined, writes)
      },
      onStop() {
        for (const off of handlers) off()
      },
    })
    const consider = (pod: Pod) => {
      const node = nodes.get(pod.spec.nodeName ?? '')
      const plan = planRemoval(pod, node)
      if (plan?.reason === 'orphaned') reconciler.enqueueAfter(keyOf(pod), quarantineMs)
      else if (plan !== undefined) reconciler.enqueue(keyOf(pod))
      if (isPodTerminal(pod) && terminatedPods.count(terminated) > threshold) reconciler.enqueue(thresholdKey)
    }
    const considerNode = (node: Node) => {
      for (const pod of podsByNode.get(node.metadata.name)) consider(pod)
    }
    const handlers = [
      pods.handle({ add: consider, update: consider }),
      nodes.handle({
        update: (node, old) => void (isOutOfService(node) && !isOutOfService(old) && considerNode(node)),
        delete: considerNode,
      }),
    ]
    return reconciler
  },
}
