// When no node fits, looks for a node where the pod would fit if pods of lower priority left, and makes them leave. The
// trial happens on the live state: pods are taken off, filters asked, pods put back, before anybody else can look.
import { podDisruptionBudgets } from '../../api/policy/pod-disruption-budget.ts'
import { pods } from '../../api/core/pod.ts'
import { isReason } from '../../api/machinery/errors.ts'
import { rfc3339 } from '../../ports/clock.ts'
import { type Extender, ExtenderError } from '../extenders/extender.ts'
import { countReasons } from '../failure.ts'
import type { Cycle, Handle, PluginFactory, PostFilterResult, Verdicts } from '../framework.ts'
import type { NodeInfo } from '../state/node-info.ts'
import type { PodInfo } from '../state/pod-info.ts'
import { byImportance, chooseNode, splitByBudgets, type Victims } from './preemption-choice.ts'

const notHelpful = ['Preemption is not helpful for scheduling']
const noVictims = ['No preemption victims found for incoming pod']
const preemptionReason = 'PreemptionByScheduler'

export interface DefaultPreemptionArgs {
  /** Share of the nodes that are tried before the best is taken; default 10 percent, and at least 100 nodes. */
  readonly minCandidateNodesPercentage?: number
  readonly minCandidateNodesAbsolute?: number
}

/** Pods that must leave the node, or why that would not help. */
export function victimsOn(
  handle: Pick<Handle, 'tryAdd' | 'tryRemove' | 'runFilters'>,
  cycle: Cycle,
  node: NodeInfo,
  split: (pods: readonly PodInfo[]) => ReturnType<typeof splitByBudgets>,
): Victims | { readonly reasons: readonly string[] } {
  const lower = [...node.pods.values()].filter(({ priority }) => priority < cycle.pod.priority)
  if (lower.length === 0) return { reasons: noVictims }
  for (const pod of lower) handle.tryRemove(cycle, pod)
  const away = new Set(lower)
  try {
    const verdict = handle.runFilters(cycle, node)
    if (verdict !== undefined) return { reasons: verdict.rejection.reasons }
    // the most important pods get their place back first, before all those that a budget protects
    const { violating, free } = split(lower.sort(byImportance))
    let violations = 0
    for (const pod of [...violating, ...free]) {
      handle.tryAdd(cycle, pod, node)
      if (handle.runFilters(cycle, node) === undefined) {
        away.delete(pod)
        continue
      }
      handle.tryRemove(cycle, pod)
      if (violating.includes(pod)) violations++
    }
    return { nodeName: node.name, pods: [...away].sort(byImportance), violations }
  } finally {
    for (const pod of away) handle.tryAdd(cycle, pod, node)
  }
}

class Preemption {
  private readonly handle: Handle
  private readonly args: DefaultPreemptionArgs
  /** Pods whose victims are being told to leave. */
  readonly underWay = new Set<string>()
  constructor(handle: Handle, args: DefaultPreemptionArgs) {
    this.handle = handle
    this.args = args
    handle.informers.informer(podDisruptionBudgets)
  }

  /** Why the pod may not make others leave, undefined where it may. */
  private ineligible({ pod, state }: Cycle, verdicts: Verdicts): string | undefined {
    if (pod.pod.spec.preemptionPolicy === 'Never') return 'not eligible due to preemptionPolicy=Never.'
    const promised = this.handle.nominator.nodeOf(pod.uid)
    const node = promised === undefined ? undefined : state.node(promised)
    if (node === undefined || verdicts.get(node.slot)?.rejection.code === 'Unresolvable') return undefined
    for (const other of node.pods.values())
      if (other.terminating && other.priority < pod.priority && isPreempted(other))
        return 'not eligible due to a terminating pod on the nominated node.'
    return undefined
  }

  run(cycle: Cycle, verdicts: Verdicts): PostFilterResult | Promise<PostFilterResult> {
    const refusal = this.ineligible(cycle, verdicts)
    if (refusal !== undefined)
      return { nominated: undefined, message: `preemption: ${refusal}`, clearNomination: false }
    const { candidates, reasons } = this.candidates(cycle, verdicts)
    const { extenders } = this.handle
    const asked =
      extenders.length === 0 ? extenders : extenders.filter((one) => one.preempts && one.isInterestedIn(cycle.pod))
    if (candidates.length === 0 || asked.length === 0) return this.settle(cycle, candidates, reasons)
    return this.askExtenders(asked, cycle, candidates, reasons)
  }
  /** Each extender agrees to some of what those before it left. Boundary: one that must be asked and cannot ends the attempt. */
  private async askExtenders(
    extenders: readonly Extender[],
    cycle: Cycle,
    candidates: readonly Victims[],
    reasons: readonly (readonly string[])[],
  ): Promise<PostFilterResult> {
    let left = candidates
    for (const extender of extenders) {
      if (left.length === 0) break
      try {
        left = await extender.preempt(cycle.pod, left)
      } catch (error) {
        if (!(error instanceof ExtenderError)) throw error
        if (!extender.ignorable)
          return { nominated: undefined, message: `preemption: ${error.message}`, clearNomination: false }
        this.handle.log.warn('preemption goes on without an extender', {
          extender: extender.name,
          error: error.message,
        })
      }
    }
    return this.settle(cycle, left, reasons)
  }
  private settle(
    cycle: Cycle,
    candidates: readonly Victims[],
    reasons: readonly (readonly string[])[],
  ): PostFilterResult {
    const chosen = chooseNode(candidates)
    if (chosen === undefined) {
      const counted = countReasons(reasons)
      const message = `preemption: 0/${cycle.state.order.length} nodes are available: ${counted}.`
      return { nominated: undefined, message, clearNomination: true }
    }
    this.evict(cycle.pod, chosen)
    return { nominated: chosen.nodeName }
  }
  private candidates(cycle: Cycle, verdicts: Verdicts) {
    const { order } = cycle.state
    const reasons: (readonly string[])[] = []
    const hopeful: NodeInfo[] = []
    for (const node of order)
      if (verdicts.get(node.slot)?.rejection.code === 'Unschedulable') hopeful.push(node)
      else reasons.push(notHelpful)
    const candidates: Victims[] = []
    if (!cycle.state.hasBelow(cycle.pod.priority)) {
      for (let i = 0; i < hopeful.length; i++) reasons.push(noVictims)
      return { candidates, reasons }
    }
    const budgets = [...this.handle.informers.informer(podDisruptionBudgets).list()]
    const split = (victims: readonly PodInfo[]) => splitByBudgets(victims, budgets)
    const { minCandidateNodesPercentage = 10, minCandidateNodesAbsolute = 100 } = this.args
    const share = Math.trunc((hopeful.length * minCandidateNodesPercentage) / 100)
    const enough = Math.min(hopeful.length, Math.max(share, minCandidateNodesAbsolute))
    const offset = Math.floor(this.handle.random.float() * hopeful.length)
    let harmless = 0
    for (let i = 0; i < hopeful.length; i++) {
      const node = hopeful[(offset + i) % hopeful.length] as NodeInfo
      const found = victimsOn(this.handle, cycle, node, split)
      if ('reasons' in found) {
        reasons.push(found.reasons)
        continue
      }
      candidates.push(found)
      if (found.violations === 0) harmless++
      if (harmless > 0 && candidates.length >= enough) break
    }
    return { candidates, reasons }
  }

  /** Makes the victims leave, in the background; meanwhile the pod is not tried again. */
  private evict(preemptor: PodInfo, { nodeName, pods: victims }: Victims): void {
    const { handle, underWay } = this
    for (const pod of handle.nominator.on(nodeName).values())
      if (pod.priority < preemptor.priority) void this.takeBackNomination(pod)
    const uids = new Set(victims.map(({ uid }) => uid))
    for (const waiting of handle.waitingPods())
      if (uids.delete(waiting.pod.uid)) waiting.reject('DefaultPreemption', 'preempted')
    underWay.add(preemptor.uid)
    const leaving = victims.filter(({ uid }) => uids.has(uid)).map((victim) => this.remove(preemptor, victim, nodeName))
    void Promise.all(leaving).then((left) => {
      underWay.delete(preemptor.uid)
      // room made meanwhile has woken the pod; where a victim stays, somebody else must be chosen
      if (left.every(Boolean)) handle.ungate(preemptor.uid)
      else handle.activate(preemptor.uid)
    })
  }
  /** False where the victim stays. Boundary: that is logged; the pod is tried again and will choose anew. */
  private async remove(preemptor: PodInfo, victim: PodInfo, nodeName: string): Promise<boolean> {
    const { client, clock, log, events, schedulerName } = this.handle
    const resource = client.resource(pods)
    const { name, namespace, uid } = victim
    const { generation } = victim.pod.metadata
    const condition = {
      type: 'DisruptionTarget',
      status: 'True',
      reason: preemptionReason,
      message: `${schedulerName}: preempting to accommodate a higher priority pod`,
      lastTransitionTime: rfc3339(clock.now()),
      ...(generation === undefined ? {} : { observedGeneration: generation }),
    }
    try {
      const patch = { metadata: { uid }, status: { conditions: [condition] } }
      await resource.patch(name, namespace, 'strategic', patch, { subresource: 'status' })
      await resource.delete(name, namespace, { preconditions: { uid } })
    } catch (error) {
      if (isReason(error, 'NotFound') || isReason(error, 'Conflict')) return true
      log.error('cannot preempt a pod', { pod: victim.key, for: preemptor.key, error: String(error) })
      return false
    }
    events.event(victim.pod, 'Normal', 'Preempted', `Preempted by pod ${preemptor.uid} on node ${nodeName}`)
    return true
  }
  /** A pod of lower priority loses its promise: the room goes to the preemptor. */
  private async takeBackNomination(pod: PodInfo): Promise<void> {
    const { client, log } = this.handle
    this.handle.nominator.delete(pod.uid)
    try {
      const patch = { metadata: { uid: pod.uid }, status: { nominatedNodeName: null } }
      await client.resource(pods).patch(pod.name, pod.namespace, 'merge', patch, { subresource: 'status' })
    } catch (error) {
      if (!isReason(error, 'NotFound') && !isReason(error, 'Conflict'))
        log.error('cannot take back a nomination', { pod: pod.key, error: String(error) })
    }
    this.handle.activate(pod.uid)
  }
}
const isPreempted = ({ pod }: PodInfo): boolean =>
  pod.status.conditions?.some(
    ({ type, status, reason }) => type === 'DisruptionTarget' && status === 'True' && reason === preemptionReason,
  ) ?? false

export const defaultPreemption: PluginFactory = {
  name: 'DefaultPreemption',
  create(handle, args) {
    const preemption = new Preemption(handle, (args ?? {}) as DefaultPreemptionArgs)
    return {
      name: 'DefaultPreemption',
      preEnqueue: ({ uid }) =>
        preemption.underWay.has(uid)
          ? { code: 'Unresolvable', reasons: ['waiting for the preemption for this pod to be finished'] }
          : undefined,
      postFilter: (cycle, verdicts) => preemption.run(cycle, verdicts),
      hints: { assignedPod: (_info, { change }) => change === 'delete' },
    }
  },
}
