// Evicts pods from nodes with NoExecute taints: at once where a pod does not tolerate one, after tolerationSeconds where it
// does for a while.
import { type Node, nodes as nodeKind } from '../api/core/node.ts'
import { type Pod, pods as podKind } from '../api/core/pod.ts'
import { type Taint, tolerates } from '../api/core/toleration.ts'
import { isReason } from '../api/machinery/errors.ts'
import { equal } from '../api/machinery/equal.ts'
import { byNodeName, keyOf } from '../client/informer.ts'
import { findCondition, withCondition } from './framework/conditions.ts'
import { type Controller, recorderFor } from './framework/controller.ts'
import { isTerminating } from './framework/pods.ts'
import { startReconciler } from './framework/reconciler.ts'
import { createdMs, timeMs } from './framework/time.ts'

const noExecute = (node: Node | undefined): readonly Taint[] =>
  node?.spec.taints?.filter((taint) => taint.effect === 'NoExecute') ?? []

/** When to evict a pod from a node with these NoExecute taints: a time in ms since 1970, or never. A toleration lasts from
 * `watchedSinceMs` at the earliest: a taint from before this controller started may be out of date, and its node shall have
 * time to say so. */
export function planEviction(pod: Pod, taints: readonly Taint[], watchedSinceMs = 0): number | 'never' {
  let deadlineMs: number | 'never' = 'never'
  for (const taint of taints) {
    const fitting = (pod.spec.tolerations ?? []).filter((toleration) => tolerates(toleration, taint))
    const sinceMs = Math.max(timeMs(taint.timeAdded), createdMs(pod), watchedSinceMs)
    if (fitting.length === 0) return 0
    for (const { tolerationSeconds } of fitting) {
      if (tolerationSeconds === undefined) continue
      const untilMs = sinceMs + Math.max(0, tolerationSeconds) * 1000
      if (deadlineMs === 'never' || untilMs < deadlineMs) deadlineMs = untilMs
    }
  }
  return deadlineMs
}

export const taintEvictionController: Controller = {
  name: 'taint-eviction-controller',
  start(context) {
    const { informers, clock } = context
    const recorder = recorderFor(context, 'taint-eviction-controller')
    const pods = informers.informer(podKind)
    const nodes = informers.informer(nodeKind)
    const podsByNode = pods.index(byNodeName)
    const waiting = new Set<string>()
    const startedMs = clock.now()

    const reconciler = startReconciler({
      context,
      caches: [pods, nodes],
      async reconcile(key, writes) {
        const pod = pods.byKey(key)
        if (pod === undefined || isTerminating(pod)) {
          waiting.delete(key)
          return undefined
        }
        const deadlineMs = planEviction(pod, noExecute(nodes.get(pod.spec.nodeName ?? '')), startedMs)
        const name = `${pod.metadata.namespace}/${pod.metadata.name}`
        if (deadlineMs === 'never') {
          if (waiting.delete(key))
            recorder.event(pod, 'Normal', 'TaintManagerEviction', `Cancelling deletion of Pod ${name}`)
          return undefined
        }
        const leftMs = deadlineMs - clock.now()
        if (leftMs > 0) {
          waiting.add(key)
          return leftMs
        }
        waiting.delete(key)
        recorder.event(pod, 'Normal', 'TaintManagerEviction', `Marking for deletion Pod ${name}`)
        if (findCondition(pod.status.conditions, 'DisruptionTarget')?.status !== 'True') {
          const condition = {
            type: 'DisruptionTarget',
            status: 'True',
            reason: 'DeletionByTaintManager',
            message: 'Taint manager: deleting due to NoExecute taint',
          }
          const conditions = withCondition(pod.status.conditions, condition, clock.now())
          try {
            await writes.updateStatus(podKind, { ...pod, status: { ...pod.status, conditions } })
          } catch (error) {
            if (isReason(error, 'NotFound')) return undefined
            throw error
          }
        }
        await writes.delete(podKind, pod)
        return undefined
      },
      onStop() {
        for (const off of handlers) off()
        recorder.stop()
      },
    })
    const consider = (pod: Pod) => {
      if (pod.spec.nodeName && noExecute(nodes.get(pod.spec.nodeName)).length > 0) reconciler.enqueue(keyOf(pod))
    }
    const considerNode = (node: Node) => {
      for (const pod of podsByNode.get(node.metadata.name)) reconciler.enqueue(keyOf(pod))
    }
    const handlers = [
      nodes.handle({
        add: (node) => void (noExecute(node).length > 0 && considerNode(node)),
        update: (node, old) => void (equal(noExecute(node), noExecute(old)) || considerNode(node)),
      }),
      pods.handle({
        add: consider,
        update(pod, old) {
          if (pod.spec.nodeName !== old.spec.nodeName || pod.spec.tolerations !== old.spec.tolerations) consider(pod)
        },
      }),
    ]
    return reconciler
  },
}
