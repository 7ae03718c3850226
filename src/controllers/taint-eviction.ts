// Evicts pods from nodes with NoExecute taints: at once where a pod does not tolerate one, after tolerationSeconds where it
// does for a while.
import { type Node, nodes as nodeKind } from '../api/core/node.ts'
import { type Pod, pods as podKind } from '../api/core/pod.ts'
import type { Taint } from '../api/core/toleration.ts'
import { equal } from '../api/machinery/equal.ts'
import { byNodeName, keyOf } from '../client/informer.ts'
import { type Controller, recorderFor } from './framework/controller.ts'
import { isTerminating } from './framework/pods.ts'
import { startReconciler } from './framework/reconciler.ts'
import { type Deadline, earlier, TaintDeletion, toleratedUntil } from './framework/taint-deletion.ts'
import { createdMs, timeMs } from './framework/time.ts'

const noExecute = (node: Node | undefined): readonly Taint[] =>
  node?.spec.taints?.filter((taint) => taint.effect === 'NoExecute') ?? []

/** When to evict a pod from a node with these NoExecute taints. A toleration lasts from `watchedSinceMs` at the earliest: a
 * taint from before this controller started may be out of date, and its node shall have time to say so. */
export function planEviction(pod: Pod, taints: readonly Taint[], watchedSinceMs = 0): Deadline {
  return taints.reduce<Deadline>((deadline, taint) => {
    const sinceMs = Math.max(timeMs(taint.timeAdded), createdMs(pod), watchedSinceMs)
    return earlier(deadline, toleratedUntil(taint, pod.spec.tolerations, sinceMs))
  }, 'never')
}

export const taintEvictionController: Controller = {
  name: 'taint-eviction-controller',
  start(context) {
    const { informers, clock } = context
    const recorder = recorderFor(context, 'taint-eviction-controller')
    const pods = informers.informer(podKind)
    const nodes = informers.informer(nodeKind)
    const podsByNode = pods.index(byNodeName)
    const deletion = new TaintDeletion({
      clock,
      recorder,
      eventReason: 'TaintManagerEviction',
      subject: ({ metadata: { namespace, name } }) => ` Pod ${namespace}/${name}`,
      condition: { reason: 'DeletionByTaintManager', message: 'Taint manager: deleting due to NoExecute taint' },
    })
    const startedMs = clock.now()

    const reconciler = startReconciler({
      context,
      caches: [pods, nodes],
      async reconcile(key, writes) {
        const pod = pods.byKey(key)
        if (pod === undefined || isTerminating(pod)) return deletion.forget(key)
        const taints = noExecute(nodes.get(pod.spec.nodeName ?? ''))
        return deletion.settle(pod, planEviction(pod, taints, startedMs), writes)
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
