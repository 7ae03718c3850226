// Node health: a node that gives no sign of life (neither Lease nor status) becomes Unknown after the grace period, its
// conditions become taints, and its pods count as not ready. Signs are timed by our own clock, never by the node's.
import { type Lease, leases as leaseKind } from '../api/coordination/lease.ts'
import { type Node, nodes as nodeKind } from '../api/core/node.ts'
import { type Pod, pods as podKind } from '../api/core/pod.ts'
import { isReason } from '../api/machinery/errors.ts'
import { byNodeName } from '../client/informer.ts'
import { findCondition, withCondition } from './framework/conditions.ts'
import { type Controller, recorderFor } from './framework/controller.ts'
import { isPodReady } from './framework/pods.ts'
import { startReconciler, type Writes } from './framework/reconciler.ts'
import {
  evictionRate,
  type Heartbeat,
  observeHeartbeat,
  planTaints,
  silentConditions,
  TokenBucket,
  wantedNoExecute,
  zoneOf,
  zoneState,
} from './node-health.ts'

const leaseNamespace = 'kube-node-lease'
/** A node that never posted a status gets longer. */
const startupGraceMs = 60_000
const isNodeReady = (node: Node | undefined) => findCondition(node?.status.conditions, 'Ready')?.status === 'True'

export const nodeLifecycleController: Controller = {
  name: 'node-lifecycle-controller',
  start(context) {
    const { informers, clock, settings = {} } = context
    const graceMs = settings.nodeMonitorGraceMs ?? 50_000
    const periodMs = settings.nodeMonitorPeriodMs ?? 5000
    const rates = { normal: settings.nodeEvictionRate ?? 0.1, secondary: settings.secondaryNodeEvictionRate ?? 0.01 }
    const recorder = recorderFor(context, 'node-controller')
    const nodes = informers.informer(nodeKind)
    const pods = informers.informer(podKind)
    const leases = informers.informer(leaseKind, { namespace: leaseNamespace })
    const podsByNode = pods.index(byNodeName)
    const heartbeats = new Map<string, Heartbeat>()
    const buckets = new Map<string, TokenBucket>()
    /** Ready and not ready nodes by zone, kept by the node handlers. */
    const zones = new Map<string, { ready: number; notReady: number }>()

    function countZone(node: Node, by: 1 | -1): void {
      const zone = zoneOf(node)
      const counts = zones.get(zone) ?? { ready: 0, notReady: 0 }
      if (isNodeReady(node)) counts.ready += by
      else counts.notReady += by
      zones.set(zone, counts)
    }
    /** `node` is not ready, which the counts may not show yet: the word of it may be on its way back to us. */
    function mayEvict(node: Node): boolean {
      const zone = zoneOf(node)
      const counts = zones.get(zone) ?? { ready: 0, notReady: 0 }
      const late = isNodeReady(nodes.get(node.metadata.name)) ? 1 : 0
      const [ready, notReady] = [counts.ready - late, counts.notReady + late]
      const allDown = ready === 0 && [...zones].every(([name, other]) => name === zone || other.ready === 0)
      const rate = evictionRate(zoneState(ready, notReady), ready + notReady, allDown, rates)
      let bucket = buckets.get(zone)
      if (bucket === undefined) buckets.set(zone, (bucket = new TokenBucket(clock.monotonic())))
      return bucket.take(rate, clock.monotonic())
    }
    /** Services must not send to pods of a node that cannot tell how they are. */
    async function markPodsNotReady(node: Node, writes: Writes): Promise<void> {
      for (const pod of podsByNode.get(node.metadata.name)) {
        if (!isPodReady(pod)) continue
        const ready = findCondition(pod.status.conditions, 'Ready')
        const conditions = withCondition(
          pod.status.conditions,
          { ...ready, type: 'Ready', status: 'False' },
          clock.now(),
        )
        recorder.event(pod, 'Warning', 'NodeNotReady', 'Node is not ready')
        try {
          await writes.updateStatus<Pod>(podKind, { ...pod, status: { ...pod.status, conditions } })
        } catch (error) {
          if (!isReason(error, 'NotFound')) throw error
        }
      }
    }
    /** Makes a silent node Unknown. Answers the node as it is then. */
    async function judge(node: Node, silentMs: number, writes: Writes): Promise<Node> {
      const hasStatus = findCondition(node.status.conditions, 'Ready') !== undefined
      if (silentMs < (hasStatus ? graceMs : startupGraceMs)) return node
      const conditions = silentConditions(node, clock.now())
      if (conditions === node.status.conditions) return node
      return writes.updateStatus(nodeKind, { ...node, status: { ...node.status, conditions } })
    }
    async function taint(node: Node, writes: Writes): Promise<boolean> {
      const execute = wantedNoExecute(node)
      const tainted = node.spec.taints?.some((t) => t.effect === 'NoExecute' && t.key === execute) ?? false
      const mayExecute = execute !== undefined && !tainted && mayEvict(node)
      const taints = planTaints(node, mayExecute, clock.now())
      if (taints !== node.spec.taints && !(taints.length === 0 && node.spec.taints === undefined))
        await writes.update(nodeKind, { ...node, spec: { ...node.spec, taints } })
      return execute === undefined || tainted || mayExecute
    }
    const reconciler = startReconciler({
      context,
      caches: [nodes, pods, leases],
      async reconcile(name, writes) {
        const before = nodes.get(name)
        if (before === undefined) return
        // How long a node is silent is not the wall clock's business: that may be set.
        const nowMs = clock.monotonic()
        const heartbeat = observeHeartbeat(
          heartbeats.get(name),
          before,
          leases.get(name, leaseNamespace)?.spec.renewTime,
          nowMs,
        )
        heartbeats.set(name, heartbeat)
        const silentMs = nowMs - heartbeat.atMs
        const node = await judge(before, silentMs, writes)
        if (!isNodeReady(node)) await markPodsNotReady(node, writes)
        const settled = await taint(node, writes)
        // A node that is Unknown already is looked at again when it speaks.
        const hasStatus = findCondition(node.status.conditions, 'Ready') !== undefined
        const leftMs = (hasStatus ? graceMs : startupGraceMs) - silentMs
        if (!settled) return periodMs
        return leftMs > 0 ? leftMs : undefined
      },
      onStop() {
        for (const off of handlers) off()
        recorder.stop()
      },
    })
    /** A sign of life costs one map entry; the node is reconciled only when its timer finds it silent. */
    const heard = (name: string, renewTime: string | undefined) => {
      const node = nodes.get(name)
      if (node !== undefined)
        heartbeats.set(name, observeHeartbeat(heartbeats.get(name), node, renewTime, clock.monotonic()))
    }
    const leaseChanged = (lease: Lease) => heard(lease.metadata.name, lease.spec.renewTime)
    const handlers = [
      nodes.handle({
        add(node) {
          const { name } = node.metadata
          countZone(node, 1)
          recorder.event(node, 'Normal', 'RegisteredNode', `Node ${name} event: Registered Node ${name} in Controller`)
          reconciler.enqueue(name)
        },
        update(node, old) {
          const { name } = node.metadata
          countZone(old, -1)
          countZone(node, 1)
          heard(name, leases.get(name, leaseNamespace)?.spec.renewTime)
          if (isNodeReady(old) && !isNodeReady(node))
            recorder.event(node, 'Normal', 'NodeNotReady', `Node ${name} status is now: NodeNotReady`)
          reconciler.enqueue(name)
        },
        delete(node) {
          const { name } = node.metadata
          countZone(node, -1)
          heartbeats.delete(name)
          recorder.event(node, 'Normal', 'RemovingNode', `Node ${name} event: Removing Node ${name} from Controller`)
        },
      }),
      leases.handle({ add: leaseChanged, update: leaseChanged }),
      pods.handle({
        // A pod that became ready by a late status of a node that is gone from sight. Not at once: its agent may be back
        // and about to say so, and the two would undo each other's writes as fast as they can.
        update(pod, old) {
          const { nodeName } = pod.spec
          if (nodeName && isPodReady(pod) && !isPodReady(old) && !isNodeReady(nodes.get(nodeName)))
            reconciler.enqueueAfter(nodeName, periodMs)
        },
      }),
    ]
    return reconciler
  },
}
