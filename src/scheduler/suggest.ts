// The smallest change that would let a pod be placed. Every refusal has remedies; each is tried, alone and then together
// with what else the same node refuses, and only what was seen to help is suggested.
import type { Node } from '../api/core/node.ts'
import type { Pod } from '../api/core/pod.ts'
import { tolerates } from '../api/core/toleration.ts'
import { type Change, type Explanation, type NodeAnswer, tryChange } from './explain.ts'
import type { FrameworkRun } from './framework-run.ts'
import { amountOf, CPU, EPHEMERAL_STORAGE, MEMORY } from './state/amounts.ts'
import type { ClusterState } from './state/cluster-state.ts'
import type { NodeInfo } from './state/node-info.ts'
import type { PodInfo } from './state/pod-info.ts'

export interface Suggestion {
  /** What to do, one line each: "tolerate the taint gpu=true:NoSchedule". */
  readonly steps: readonly string[]
  readonly change: Change
  /** A node where the pod would then fit. */
  readonly node: string
}
interface Remedy {
  readonly step: string
  /** Changes the pod, or the node. */
  readonly pod?: (pod: Pod) => Pod
  readonly node?: (node: Node) => Node
}

const withSpec = (pod: Pod, spec: Partial<Pod['spec']>): Pod => ({ ...pod, spec: { ...pod.spec, ...spec } })
const without = <T extends object, K extends keyof T>(value: T, key: K): Omit<T, K> => {
  const { [key]: _, ...rest } = value
  return rest
}

/** Remedies for what one plugin says of one node. */
type Remedies = (pod: PodInfo, node: NodeInfo, state: ClusterState) => readonly Remedy[]

const tolerateTaints: Remedies = (pod, node) =>
  node.hardTaints
    .filter((taint) => !pod.tolerations.some((toleration) => tolerates(toleration, taint)))
    .map(({ key, value = '', effect }) => ({
      step: `tolerate the taint ${key}${value === '' ? '' : `=${value}`}:${effect} of ${node.name}`,
      pod: (p) => {
        const toleration =
          value === '' ? { key, operator: 'Exists', effect } : { key, operator: 'Equal', value, effect }
        return withSpec(p, { tolerations: [...(p.spec.tolerations ?? []), toleration] })
      },
    }))

const uncordon: Remedies = (_pod, { name }) => [
  { step: `uncordon the node ${name}`, node: (node) => ({ ...node, spec: without(node.spec, 'unschedulable') }) },
]

const matchNode: Remedies = ({ pod }, { name, labels }) => {
  const missing = Object.entries(pod.spec.nodeSelector ?? {}).filter(([key, value]) => labels[key] !== value)
  const remedies: Remedy[] = []
  if (missing.length > 0)
    remedies.push({
      step: `label the node ${name} with ${missing.map(([key, value]) => `${key}=${value}`).join(',')}`,
      node: (node) => ({
        ...node,
        metadata: { ...node.metadata, labels: { ...node.metadata.labels, ...Object.fromEntries(missing) } },
      }),
    })
  else
    remedies.push({
      step: `loosen the required node affinity so that it admits ${name}`,
      pod: (p) => withSpec(p, { affinity: { ...p.spec.affinity, nodeAffinity: {} } }),
    })
  return remedies
}

/** An amount as a quantity that is easy to read and never too large. */
function quantity(id: number, amount: number): string {
  if (id === CPU) return `${amount}m`
  if (id !== MEMORY && id !== EPHEMERAL_STORAGE) return String(amount)
  return amount >= 2 ** 20 ? `${Math.floor(amount / 2 ** 20)}Mi` : String(amount)
}
/** The pod's requests cut down to what the node has left, the largest container first. */
function cutRequests(pod: Pod, name: string, id: number, excess: number, amountIn: (text: string) => number): Pod {
  let left = excess
  const { containers } = pod.spec
  const amounts = containers.map(({ resources }) => amountIn(resources?.requests?.[name] ?? '0'))
  const cut = containers.map((container, i) => {
    const amount = amounts[i] ?? 0
    if (left <= 0 || amount !== Math.max(...amounts)) return container
    const kept = Math.max(0, amount - left)
    left -= amount - kept
    const requests = { ...container.resources?.requests, [name]: quantity(id, kept) }
    return { ...container, resources: { ...container.resources, requests } }
  })
  return withSpec(pod, { containers: cut })
}
const makeRoom: Remedies = (pod, node, state) => {
  const remedies: Remedy[] = []
  for (const [i, id] of pod.requests.ids.entries()) {
    const wanted = pod.requests.amounts[i] ?? 0
    const free = node.allocatable.get(id) - node.requested.get(id)
    if (wanted <= free || free <= 0) continue
    const name = state.resources.nameOf(id)
    remedies.push({
      step: `request at most ${quantity(id, free)} of ${name} (now ${quantity(id, wanted)}): ${node.name} has no more left`,
      pod: (p) => cutRequests(p, name, id, wanted - free, (text) => amountOf(id, text)),
    })
  }
  return remedies
}
const dropPorts: Remedies = (pod, node) => {
  const { name } = node
  const taken = pod.ports.filter((port) => node.usesPort(port)).map(({ port }) => port)
  return [
    {
      step: `use other host ports than ${taken.join(', ')}: pods of ${name} hold them`,
      pod: (p) =>
        withSpec(p, {
          containers: p.spec.containers.map((c) => ({
            ...c,
            ports: (c.ports ?? []).map((port) =>
              taken.includes(`${port.protocol || 'TCP'}/${port.hostPort ?? 0}`) ? without(port, 'hostPort') : port,
            ),
          })),
        }),
    },
  ]
}
const softenAffinity: Remedies = () => [
  {
    step: 'make the pod (anti-)affinity preferred instead of required',
    pod: (p) =>
      withSpec(p, {
        affinity: p.spec.affinity?.nodeAffinity === undefined ? {} : { nodeAffinity: p.spec.affinity.nodeAffinity },
      }),
  },
]
const softenSpread: Remedies = () => [
  {
    step: 'let the topology spread constraints be broken (whenUnsatisfiable: ScheduleAnyway)',
    pod: (p) =>
      withSpec(p, {
        topologySpreadConstraints: (p.spec.topologySpreadConstraints ?? []).map((c) => ({
          ...c,
          whenUnsatisfiable: 'ScheduleAnyway',
        })),
      }),
  },
]

const remediesOf: Readonly<Record<string, Remedies>> = {
  TaintToleration: tolerateTaints,
  NodeUnschedulable: uncordon,
  NodeAffinity: matchNode,
  NodeResourcesFit: makeRoom,
  NodePorts: dropPorts,
  InterPodAffinity: softenAffinity,
  PodTopologySpread: softenSpread,
}

function changeOf(pod: Pod, node: Node | undefined, remedies: readonly Remedy[]): Change {
  let changedPod = pod
  let changedNode = node
  for (const remedy of remedies) {
    if (remedy.pod !== undefined) changedPod = remedy.pod(changedPod)
    if (remedy.node !== undefined && changedNode !== undefined) changedNode = remedy.node(changedNode)
  }
  return {
    ...(changedPod === pod ? {} : { pod: changedPod }),
    ...(changedNode === node || changedNode === undefined ? {} : { nodes: [changedNode] }),
  }
}

/** Suggestions with the fewest steps, at most `limit`; each was tried on `state`, a copy. */
export function suggest(
  run: FrameworkRun,
  state: ClusterState,
  pod: Pod,
  explanation: Explanation,
  limit = 3,
): readonly Suggestion[] {
  if (explanation.fits.length > 0) return []
  const info = state.parse(pod)
  const nearest = [...explanation.nodes].sort((a, b) => a.refusals.length - b.refusals.length)
  const found: Suggestion[] = []
  const said = new Set<string>()
  for (const answer of representatives(nearest)) {
    if (found.length >= limit) break
    const node = state.node(answer.node)
    if (node === undefined) continue
    const remedies = answer.refusals.map(({ plugin }) => remediesOf[plugin]?.(info, node, state) ?? [])
    if (remedies.some((some) => some.length === 0)) continue
    const chosen = remedies.flat()
    const steps = chosen.map(({ step }) => step)
    if (said.has(steps.join())) continue
    said.add(steps.join())
    const change = changeOf(pod, node.node, chosen)
    if (tryChange(run, state, pod, change).fits.includes(answer.node)) found.push({ steps, change, node: answer.node })
  }
  return found.sort((a, b) => a.steps.length - b.steps.length)
}
/** A few nodes of every combination of refusing plugins: thousands of alike nodes teach nothing more. */
function representatives(nodes: readonly NodeAnswer[]): NodeAnswer[] {
  const seen = new Map<string, number>()
  return nodes.filter(({ refusals }) => {
    const key = refusals.map(({ plugin, reasons }) => `${plugin}:${reasons.join()}`).join('|')
    const count = (seen.get(key) ?? 0) + 1
    seen.set(key, count)
    return count <= 8
  })
}
