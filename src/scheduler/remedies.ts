// What could be done about what one plugin says of one node. Every refusal has alternatives; an alternative is a list of
// steps that belong together. Nothing here is tried: suggest.ts does that.
import type { Node } from '../api/core/node.ts'
import type { Pod } from '../api/core/pod.ts'
import { tolerates } from '../api/core/toleration.ts'
import { amountOf, CPU, EPHEMERAL_STORAGE, MEMORY } from './state/amounts.ts'
import type { ClusterState } from './state/cluster-state.ts'
import type { NodeInfo } from './state/node-info.ts'
import type { PodInfo } from './state/pod-info.ts'

export interface Remedy {
  readonly step: string
  /** Changes the pod, or the node. */
  readonly pod?: (pod: Pod) => Pod
  readonly node?: (node: Node) => Node
  /** Pods (UIDs) that would go. */
  readonly removePods?: readonly string[]
}

const withSpec = (pod: Pod, spec: Partial<Pod['spec']>): Pod => ({ ...pod, spec: { ...pod.spec, ...spec } })
const without = <T extends object, K extends keyof T>(value: T, key: K): Omit<T, K> => {
  const { [key]: _, ...rest } = value
  return rest
}

/** Alternatives for what one plugin says of one node, the least first. */
export type Remedies = (pod: PodInfo, node: NodeInfo, state: ClusterState) => readonly (readonly Remedy[])[]
/** Every step has only this one. */
const only = (...steps: readonly Remedy[]): readonly (readonly Remedy[])[] => (steps.length === 0 ? [] : [steps])

/** The taint of a cordon goes with the cordon. */
const cordonTaint = 'node.kubernetes.io/unschedulable'
const tolerateTaints: Remedies = (pod, node) => {
  const open = node.hardTaints.filter(
    (taint) =>
      !pod.tolerations.some((toleration) => tolerates(toleration, taint)) &&
      !(node.unschedulable && taint.key === cordonTaint),
  )
  const steps = open.map(
    ({ key, value = '', effect }): Remedy => ({
      step: `tolerate the taint ${key}${value === '' ? '' : `=${value}`}:${effect} of ${node.name}`,
      pod: (p) => {
        const toleration =
          value === '' ? { key, operator: 'Exists', effect } : { key, operator: 'Equal', value, effect }
        return withSpec(p, { tolerations: [...(p.spec.tolerations ?? []), toleration] })
      },
    }),
  )
  return [steps]
}

const uncordon: Remedies = (_pod, { name }) =>
  only({
    step: `uncordon the node ${name}`,
    node: (node) => {
      const taints = (node.spec.taints ?? []).filter(({ key }) => key !== cordonTaint)
      return { ...node, spec: { ...without(node.spec, 'unschedulable'), taints } }
    },
  })

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
  return only(...remedies)
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
/** Pods whose end would make room: one that suffices alone, else the least important until it does. */
function victimsFor(node: NodeInfo, id: number, missing: number): readonly PodInfo[] {
  const takes = (info: PodInfo): number => {
    const at = info.requests.ids.indexOf(id)
    return at === -1 ? 0 : (info.requests.amounts[at] ?? 0)
  }
  const users = [...node.pods.values()].filter((info) => !info.terminating && takes(info) > 0)
  users.sort((a, b) => a.priority - b.priority || takes(a) - takes(b) || (a.key < b.key ? -1 : 1))
  const single = users.find((info) => takes(info) >= missing)
  if (single !== undefined) return [single]
  const chosen: PodInfo[] = []
  let freed = 0
  for (const info of users.reverse().sort((a, b) => a.priority - b.priority || takes(b) - takes(a))) {
    chosen.push(info)
    freed += takes(info)
    if (freed >= missing) return chosen
  }
  return []
}
const makeRoom: Remedies = (pod, node, state) => {
  const cuts: Remedy[] = []
  const removals: Remedy[] = []
  let impossible = false
  for (const [i, id] of pod.requests.ids.entries()) {
    const wanted = pod.requests.amounts[i] ?? 0
    const free = node.allocatable.get(id) - node.requested.get(id)
    if (wanted <= free) continue
    const name = state.resources.nameOf(id)
    if (free <= 0) impossible = true
    else
      cuts.push({
        step: `request at most ${quantity(id, free)} of ${name} (now ${quantity(id, wanted)}): ${node.name} has no more left`,
        pod: (p) => cutRequests(p, name, id, wanted - free, (text) => amountOf(id, text)),
      })
    const victims = victimsFor(node, id, wanted - free)
    if (victims.length === 0) continue
    removals.push({
      step: `free ${quantity(id, wanted - free)} of ${name} on ${node.name}, for instance by moving ${victims.map(({ key }) => key).join(', ')} away`,
      removePods: victims.map(({ uid }) => uid),
    })
  }
  const tooMany = node.pods.size >= node.allowedPods && node.allowedPods > 0
  const [least] = [...node.pods.values()].sort((a, b) => a.priority - b.priority || (a.key < b.key ? -1 : 1))
  if (tooMany && least !== undefined)
    return only(...removals, {
      step: `move a pod away from ${node.name}, which runs as many as it may, for instance ${least.key}`,
      removePods: [least.uid],
    })
  return [...(impossible ? [] : only(...cuts)), ...only(...removals)]
}
const dropPorts: Remedies = (pod, node) => {
  const { name } = node
  const taken = pod.ports.filter((port) => node.usesPort(port)).map(({ port }) => port)
  return only({
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
  })
}
const softenAffinity: Remedies = () =>
  only({
    step: 'make the pod (anti-)affinity preferred instead of required',
    pod: (p) =>
      withSpec(p, {
        affinity: p.spec.affinity?.nodeAffinity === undefined ? {} : { nodeAffinity: p.spec.affinity.nodeAffinity },
      }),
  })
const softenSpread: Remedies = () =>
  only({
    step: 'let the topology spread constraints be broken (whenUnsatisfiable: ScheduleAnyway)',
    pod: (p) =>
      withSpec(p, {
        topologySpreadConstraints: (p.spec.topologySpreadConstraints ?? []).map((c) => ({
          ...c,
          whenUnsatisfiable: 'ScheduleAnyway',
        })),
      }),
  })

/** By plugin. */
export const remediesOf: Readonly<Record<string, Remedies>> = {
  TaintToleration: tolerateTaints,
  NodeUnschedulable: uncordon,
  NodeAffinity: matchNode,
  NodeResourcesFit: makeRoom,
  NodePorts: dropPorts,
  InterPodAffinity: softenAffinity,
  PodTopologySpread: softenSpread,
}
