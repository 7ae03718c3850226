// DaemonSet: one pod on every node that fits.
import { controllerRevisions } from '../api/apps/controller-revision.ts'
import { type DaemonSet, daemonSets } from '../api/apps/daemon-set.ts'
import { type Node, nodes as nodeKind } from '../api/core/node.ts'
import { type Pod, pods as podKind } from '../api/core/pod.ts'
import { equal } from '../api/machinery/equal.ts'
import { labelSelectorMatcher } from '../api/machinery/labels.ts'
import { keyOf } from '../client/informer.ts'
import {
  daemonTemplate,
  type DaemonState,
  hashLabel,
  nodeFit,
  planDaemonStatus,
  planNodes,
  planUpdate,
} from './daemon-set-plan.ts'
import { type Controller, recorderFor } from './framework/controller.ts'
import { controllerRef, createClaimer, enqueueOwners } from './framework/ownership.ts'
import { createPod, deletePods, isNamespaceTerminating, slowStart } from './framework/pod-control.ts'
import { isTerminating, nextAvailabilityMs, podFromTemplate } from './framework/pods.ts'
import { startReconciler, type Writes } from './framework/reconciler.ts'
import { planTruncation, syncHistory } from './framework/revisions.ts'
import { sameStatus } from './framework/status.ts'

const burst = 250
/** A daemon that ends again and again is replaced ever more slowly. */
const firstBackoffMs = 1000
const lastBackoffMs = 900_000

class NodeBackoff {
  private readonly entries = new Map<string, { readonly delayMs: number; readonly atMs: number }>()
  /** Milliseconds to wait before a pod of this set is replaced on this node; 0 now, which counts as one more time. */
  waitMs(key: string, nowMs: number): number {
    const before = this.entries.get(key)
    if (before !== undefined && nowMs - before.atMs < before.delayMs) return before.delayMs - (nowMs - before.atMs)
    const rested = before === undefined || nowMs - before.atMs > 2 * lastBackoffMs
    const delayMs = rested ? firstBackoffMs : Math.min(lastBackoffMs, before.delayMs * 2)
    this.entries.set(key, { delayMs, atMs: nowMs })
    return 0
  }
  forget(prefix: string): void {
    for (const key of this.entries.keys()) if (key.startsWith(prefix)) this.entries.delete(key)
  }
}
/** What of a node decides whether daemons run there. */
const nodeChanged = (node: Node, old: Node): boolean =>
  !equal(node.metadata.labels, old.metadata.labels) || !equal(node.spec.taints, old.spec.taints)

export const daemonSetController: Controller = {
  name: 'daemonset-controller',
  start(context) {
    const { clock, informers } = context
    const recorder = recorderFor(context, 'daemonset-controller')
    const sets = informers.informer(daemonSets)
    const pods = informers.informer(podKind)
    const nodes = informers.informer(nodeKind)
    const revisions = informers.informer(controllerRevisions)
    const podClaimer = createClaimer(context, daemonSets, pods)
    const revisionClaimer = createClaimer(context, daemonSets, revisions)
    const backoff = new NodeBackoff()

    /** Ended pods that may be replaced now, and when to look for the others. */
    function planEnded(set: DaemonSet, ended: readonly Pod[]) {
      const doomed: Pod[] = []
      let waitMs: number | undefined
      for (const pod of ended) {
        const node = pod.spec.nodeName ?? ''
        const failed = pod.status.phase === 'Failed'
        const leftMs = backoff.waitMs(`${set.metadata.uid} ${node}`, clock.monotonic())
        if (leftMs > 0) {
          waitMs = Math.min(waitMs ?? leftMs, leftMs)
          continue
        }
        doomed.push(pod)
        const name = `${pod.metadata.namespace}/${pod.metadata.name}`
        if (failed) {
          const message = `Found failed daemon pod ${name} on node ${node}, will try to kill it`
          recorder.event(set, 'Warning', 'FailedDaemonPod', message)
        } else {
          const message = `Found succeeded daemon pod ${name} on node ${node}, will try to delete it`
          recorder.event(set, 'Normal', 'SucceededDaemonPod', message)
        }
      }
      return { doomed, waitMs }
    }
    async function apply(
      set: DaemonSet,
      hash: string,
      create: readonly string[],
      doomed: readonly Pod[],
      writes: Writes,
    ): Promise<unknown> {
      const wanted = create.slice(0, burst)
      const { error } = await slowStart(wanted.length, async (i) => {
        const template = daemonTemplate(set, wanted[i] ?? '', hash)
        const pod = podFromTemplate(template, set.metadata.namespace ?? '', controllerRef(daemonSets, set))
        await createPod(set, pod, writes, recorder)
      })
      const failed = await deletePods(set, doomed.slice(0, burst), writes, recorder)
      return (isNamespaceTerminating(error) ? undefined : error) ?? failed
    }
    async function reconcile(key: string, writes: Writes): Promise<number | void> {
      const set = sets.byKey(key)
      if (set === undefined) return
      const { selector } = set.spec
      if (Object.keys(selector.matchLabels ?? {}).length === 0 && (selector.matchExpressions ?? []).length === 0) {
        const message = 'This daemon set is selecting all pods. A non-empty selector is required.'
        recorder.event(set, 'Warning', 'SelectingAll', message)
        return
      }
      if (isTerminating(set)) return
      const matches = labelSelectorMatcher(selector)
      const owned = await revisionClaimer.claim(set, matches, writes)
      const { template } = set.spec
      const { collisionCount: collisions } = set.status
      const history = await syncHistory(
        context,
        { kind: daemonSets, owner: set, template, collisionCount: collisions, hashLabel },
        owned,
        writes,
      )
      const hash = history.update.metadata.labels?.[hashLabel] ?? ''
      const claimed = await podClaimer.claim(set, matches, writes)
      const state: DaemonState = { set, nodes: [...nodes.list()], pods: claimed, hash, nowMs: clock.now() }
      const plan = planNodes(state)
      const { doomed, waitMs } = planEnded(set, plan.ended)
      let error = await apply(set, hash, plan.create, [...plan.delete, ...doomed], writes)
      const settled = plan.create.length + plan.delete.length + doomed.length === 0
      if (error === undefined && settled && set.spec.updateStrategy.type === 'RollingUpdate') {
        const update = planUpdate(state)
        error = await apply(set, hash, update.create, update.delete, writes)
      }
      const status = planDaemonStatus(state, history.collisionCount)
      if (!sameStatus(status, set.status)) await writes.updateStatus(daemonSets, { ...set, status })
      if (error !== undefined) throw error
      const live = new Set([hash, ...claimed.map((pod) => pod.metadata.labels?.[hashLabel] ?? '')])
      const dead = planTruncation(
        history.revisions,
        ({ metadata }) => live.has(metadata.labels?.[hashLabel] ?? ''),
        set.spec.revisionHistoryLimit ?? 10,
      )
      for (const revision of dead) await writes.delete(controllerRevisions, revision)
      const availableMs = nextAvailabilityMs(claimed, set.spec.minReadySeconds ?? 0, clock.now())
      return waitMs === undefined ? availableMs : Math.min(waitMs, availableMs ?? waitMs)
    }

    const reconciler = startReconciler({
      context,
      caches: [sets, pods, nodes, revisions],
      parallel: 2,
      reconcile,
      onStop() {
        for (const off of handlers) off()
        recorder.stop()
      },
    })
    const enqueue = (set: DaemonSet) => reconciler.enqueue(keyOf(set))
    const enqueueAll = () => {
      for (const set of sets.list()) enqueue(set)
    }
    const handlers = [
      sets.handle({
        add: enqueue,
        update: enqueue,
        delete: (set) => backoff.forget(set.metadata.uid),
      }),
      nodes.handle({
        add: (_, initial) => void (initial || enqueueAll()),
        update(node, old) {
          if (!nodeChanged(node, old)) return
          for (const set of sets.list()) {
            const [now, before] = [nodeFit(set, node), nodeFit(set, old)]
            if (now.run !== before.run || now.stay !== before.stay) enqueue(set)
          }
        },
        delete: enqueueAll,
      }),
      enqueueOwners({
        owners: sets,
        dependents: pods,
        enqueue,
        matches: (set) => labelSelectorMatcher(set.spec.selector),
      }),
      enqueueOwners({ owners: sets, dependents: revisions, enqueue }),
    ]
    return reconciler
  },
}
