// Why a pod is where it is, or nowhere: every plugin's word on every node, and what a change would bring. A change is tried
// on a copy of the picture with the same plugins that decide in earnest; nothing outside is touched.
import type { Node } from '../api/core/node.ts'
import type { Pod } from '../api/core/pod.ts'
import { failureMessage } from './failure.ts'
import { newCycle, type RejectionCode, type Verdict, Verdicts } from './framework.ts'
import type { FrameworkRun } from './framework-run.ts'
import type { ClusterState } from './state/cluster-state.ts'
import type { NodeInfo } from './state/node-info.ts'

export interface Refusal {
  readonly plugin: string
  readonly code: RejectionCode
  readonly reasons: readonly string[]
}
export interface NodeAnswer {
  readonly node: string
  /** One of each plugin that refuses the node; none where the pod fits. */
  readonly refusals: readonly Refusal[]
}
export interface Explanation {
  /** NAMESPACE/NAME */
  readonly pod: string
  /** A plugin keeps the pod out of the queue. */
  readonly gate: Refusal | undefined
  /** A plugin refused the pod before any node was looked at. */
  readonly preFilter: Refusal | undefined
  readonly nodes: readonly NodeAnswer[]
  /** Names of the nodes where it fits. */
  readonly fits: readonly string[]
  /** What FailedScheduling would say, without preemption; '' where the pod fits somewhere. */
  readonly message: string
  /** Nodes by reason, the most frequent first. */
  readonly counts: readonly { readonly plugin: string; readonly reason: string; readonly nodes: number }[]
}

const refusalOf = ({ plugin, rejection }: Verdict): Refusal => ({
  plugin,
  code: rejection.code,
  reasons: rejection.reasons,
})

function gateOf(run: FrameworkRun, pod: Parameters<typeof newCycle>[0]): Refusal | undefined {
  for (const plugin of run.points.preEnqueue) {
    const rejection = plugin.preEnqueue?.(pod)
    if (rejection !== undefined) return refusalOf({ plugin: plugin.name, rejection })
  }
  return undefined
}

/** Asks every filter about every node. The pod need not exist; if it is placed already, it is looked at as if it were not. */
export function explain(run: FrameworkRun, state: ClusterState, pod: Pod): Explanation {
  const info = state.parse(pod)
  const cycle = newCycle(info, state)
  const placed = state.pod(info.uid)
  const at = state.nodeOf(info.uid)
  if (placed !== undefined) run.tryRemove(cycle, placed)
  try {
    const gate = gateOf(run, info)
    const prepared = run.preFilter(cycle)
    const verdicts = new Verdicts()
    const failure = { preFilter: undefined, verdicts, plugins: verdicts.plugins, nodes: state.order.length }
    const base = { pod: info.key, gate }
    if ('refused' in prepared) {
      const message = failureMessage({ ...failure, preFilter: prepared.refused }, state, '')
      return { ...base, preFilter: refusalOf(prepared.refused), nodes: [], fits: [], message, counts: [] }
    }
    const nodes = state.order.map((node): NodeAnswer => {
      const all = answersOf(run, cycle, node, prepared)
      const [first] = all
      if (first !== undefined) verdicts.set(node.slot, first)
      return { node: node.name, refusals: all.map(refusalOf) }
    })
    const fits = nodes.filter(({ refusals }) => refusals.length === 0).map(({ node }) => node)
    const message = fits.length > 0 ? '' : failureMessage(failure, state, '')
    return { ...base, preFilter: undefined, nodes, fits, message, counts: countsOf(nodes) }
  } finally {
    if (placed !== undefined && at !== undefined) run.tryAdd(cycle, placed, at)
  }
}
function answersOf(
  run: FrameworkRun,
  cycle: ReturnType<typeof newCycle>,
  node: NodeInfo,
  {
    allowed,
    restrictedBy,
  }: { readonly allowed: ReadonlySet<string> | undefined; readonly restrictedBy: readonly string[] },
): Verdict[] {
  const verdicts = run.filterAll(cycle, node)
  if (allowed === undefined || allowed.has(node.name)) return verdicts
  const reason = `node(s) didn't satisfy plugin(s) [${[...restrictedBy].sort().join(' ')}]`
  return [{ plugin: restrictedBy[0] ?? '', rejection: { code: 'Unresolvable', reasons: [reason] } }, ...verdicts]
}
function countsOf(nodes: readonly NodeAnswer[]): Explanation['counts'] {
  const counts = new Map<string, { plugin: string; reason: string; nodes: number }>()
  for (const { refusals } of nodes)
    for (const { plugin, reasons } of refusals)
      for (const reason of reasons) {
        const known = counts.get(`${plugin}|${reason}`)
        if (known === undefined) counts.set(`${plugin}|${reason}`, { plugin, reason, nodes: 1 })
        else known.nodes++
      }
  return [...counts.values()].sort((a, b) => b.nodes - a.nodes || (a.reason < b.reason ? -1 : 1))
}

/** Something that could be done. What is not given stays as it is. */
export interface Change {
  /** The pod as it would be. */
  readonly pod?: Pod
  /** Nodes as they would be; new names are new nodes. */
  readonly nodes?: readonly Node[]
  readonly removeNodes?: readonly string[]
  /** Pods (by UID) that would be gone. */
  readonly removePods?: readonly string[]
}
/** Answers as `explain` would after the change. `state` is a copy; it is as before when this returns. */
export function tryChange(run: FrameworkRun, state: ClusterState, pod: Pod, change: Change): Explanation {
  const undo: (() => void)[] = []
  try {
    for (const uid of change.removePods ?? []) {
      const info = state.pod(uid)
      const node = state.nodeOf(uid)
      const assumed = state.isAssumed(uid)
      if (info === undefined || node === undefined) continue
      state.removePod(uid)
      undo.push(() => state.addPod(info, node.name, assumed))
    }
    const replace = (name: string, next: Node | undefined) => {
      const old = state.node(name)?.node
      if (next === undefined) state.removeNode(name)
      else state.setNode(next)
      undo.push(() => {
        if (old === undefined) state.removeNode(name)
        else state.setNode(old)
      })
    }
    for (const node of change.nodes ?? []) replace(node.metadata.name, node)
    for (const name of change.removeNodes ?? []) replace(name, undefined)
    return explain(run, state, change.pod ?? pod)
  } finally {
    for (const step of undo.reverse()) step()
  }
}
