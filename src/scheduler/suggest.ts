// The smallest change that would let a pod be placed. Every refusal has remedies; they are tried together with those for
// what else the same node refuses, and only what was seen to help is suggested.
import type { Node } from '../api/core/node.ts'
import type { Pod } from '../api/core/pod.ts'
import { type Change, type Explanation, type NodeAnswer, tryChange } from './explain.ts'
import type { FrameworkRun } from './framework-run.ts'
import { type Remedy, remediesOf } from './remedies.ts'
import type { ClusterState } from './state/cluster-state.ts'

export interface Suggestion {
  /** What to do, one line each: "tolerate the taint gpu=true:NoSchedule". */
  readonly steps: readonly string[]
  readonly change: Change
  /** A node where the pod would then fit. */
  readonly node: string
}

/** Combinations tried for one node. */
const maxCombinations = 8
const hostnameLabel = 'kubernetes.io/hostname'

function changeOf(pod: Pod, node: Node | undefined, remedies: readonly Remedy[]): Change {
  let changedPod = pod
  let changedNode = node
  const removePods: string[] = []
  for (const remedy of remedies) {
    if (remedy.pod !== undefined) changedPod = remedy.pod(changedPod)
    if (remedy.node !== undefined && changedNode !== undefined) changedNode = remedy.node(changedNode)
    removePods.push(...(remedy.removePods ?? []))
  }
  return {
    ...(changedPod === pod ? {} : { pod: changedPod }),
    ...(changedNode === node || changedNode === undefined ? {} : { nodes: [changedNode] }),
    ...(removePods.length === 0 ? {} : { removePods }),
  }
}

/** One alternative of each list, in every way, the first of each first. */
function combinations<T>(lists: readonly (readonly (readonly T[])[])[]): readonly (readonly T[])[] {
  let all: readonly (readonly T[])[] = [[]]
  for (const alternatives of lists)
    all = all.flatMap((head) => alternatives.map((tail) => [...head, ...tail])).slice(0, maxCombinations)
  return all
}

/** Suggestions with the fewest steps, at most `limit`; each was tried on `state`, a copy. */
export function suggest(
  run: FrameworkRun,
  state: ClusterState,
  pod: Pod,
  explanation: Explanation,
  limit = 5,
): readonly Suggestion[] {
  if (explanation.fits.length > 0 || explanation.preFilter !== undefined) return []
  const info = state.parse(pod)
  const nearest = [...explanation.nodes].sort((a, b) => a.refusals.length - b.refusals.length)
  const found: Suggestion[] = []
  const helped = new Set<string>()
  for (const answer of representatives(nearest)) {
    const group = refusalKey(answer)
    const node = state.node(answer.node)
    // nodes that are refused alike need the like: one of them is example enough
    if (node === undefined || helped.has(group)) continue
    const lists = answer.refusals.map(({ plugin }) => remediesOf[plugin]?.(info, node, state) ?? [])
    for (const chosen of combinations(lists)) {
      const change = changeOf(pod, node.node, chosen)
      if (!tryChange(run, state, pod, change).fits.includes(answer.node)) continue
      helped.add(group)
      found.push({ steps: chosen.map(({ step }) => step), change, node: answer.node })
    }
  }
  const smallest = found.sort((a, b) => a.steps.length - b.steps.length)
  const another = newNode(run, state, pod, nearest)
  return another === undefined ? smallest.slice(0, limit) : [...smallest.slice(0, Math.max(1, limit - 1)), another]
}

/** A further node like one that is there, empty, if the pod would fit on it. */
function newNode(
  run: FrameworkRun,
  state: ClusterState,
  pod: Pod,
  nodes: readonly NodeAnswer[],
): Suggestion | undefined {
  for (const answer of representatives(nodes, 1)) {
    const like = state.node(answer.node)?.node
    if (like === undefined) continue
    const name = `another-${like.metadata.name}`
    const metadata = { ...like.metadata, name, uid: name, labels: { ...like.metadata.labels, [hostnameLabel]: name } }
    const change = { nodes: [{ ...like, metadata }] }
    if (!tryChange(run, state, pod, change).fits.includes(name)) continue
    return { steps: [`add a node like ${like.metadata.name}`], change, node: name }
  }
  return undefined
}

const refusalKey = ({ refusals }: NodeAnswer): string =>
  refusals.map(({ plugin, reasons }) => `${plugin}:${reasons.join()}`).join('|')
/** A few nodes of every combination of refusing plugins: thousands of alike nodes teach nothing more. */
function representatives(nodes: readonly NodeAnswer[], each = 8): NodeAnswer[] {
  const seen = new Map<string, number>()
  return nodes.filter((answer) => {
    const key = refusalKey(answer)
    const count = (seen.get(key) ?? 0) + 1
    seen.set(key, count)
    return count <= each
  })
}
