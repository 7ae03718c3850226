// What a DaemonSet does on each node: whether a pod belongs there, which ones go, and how an update passes over the nodes
// without taking more away, or putting more beside, than it may.
import type { DaemonSet, DaemonSetStatus } from '../api/apps/daemon-set.ts'
import type { Node } from '../api/core/node.ts'
import type { Pod } from '../api/core/pod.ts'
import type { PodSpec } from '../api/core/pod-spec.ts'
import type { PodTemplateSpec } from '../api/core/pod-template.ts'
import { type Toleration, untoleratedTaint } from '../api/core/toleration.ts'
import { scaledValue } from '../api/machinery/int-or-string.ts'
import { podFitsNode } from '../api/core/node-match.ts'
import { isPodAvailable, isPodReady, isTerminating } from './framework/pods.ts'
import { byCreation } from './framework/time.ts'

export const hashLabel = 'controller-revision-hash'
const generationLabel = 'pod-template-generation'
const nodeNameField = 'metadata.name'

/** Daemons run on nodes in any state: what they tolerate beside what their template says. */
export function daemonTolerations(spec: PodSpec): readonly Toleration[] {
  const always: Toleration[] = [
    { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute' },
    { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute' },
    { key: 'node.kubernetes.io/disk-pressure', operator: 'Exists', effect: 'NoSchedule' },
    { key: 'node.kubernetes.io/memory-pressure', operator: 'Exists', effect: 'NoSchedule' },
    { key: 'node.kubernetes.io/pid-pressure', operator: 'Exists', effect: 'NoSchedule' },
    { key: 'node.kubernetes.io/unschedulable', operator: 'Exists', effect: 'NoSchedule' },
  ]
  if (spec.hostNetwork)
    always.push({ key: 'node.kubernetes.io/network-unavailable', operator: 'Exists', effect: 'NoSchedule' })
  const own = spec.tolerations ?? []
  const isThere = (t: Toleration) =>
    own.some((o) => o.key === t.key && o.operator === t.operator && o.effect === t.effect && (o.value ?? '') === '')
  return [...own, ...always.filter((toleration) => !isThere(toleration))]
}

type Affinity = NonNullable<PodSpec['affinity']>
/** Affinity that ties a pod to one node by its name, in place of the template's terms by name. */
function pinned(affinity: Affinity | undefined, nodeName: string): Affinity {
  const here = { key: nodeNameField, operator: 'In', values: [nodeName] }
  const required = affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution
  const nodeSelectorTerms = (required?.nodeSelectorTerms ?? [{}]).map((term) => ({ ...term, matchFields: [here] }))
  return {
    ...affinity,
    nodeAffinity: {
      ...affinity?.nodeAffinity,
      requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms },
    },
  }
}
/** The template for a pod on one node. */
export function daemonTemplate(set: DaemonSet, nodeName: string, hash: string): PodTemplateSpec {
  const { template } = set.spec
  const generation = set.metadata.annotations?.['deprecated.daemonset.template.generation']
  const labels = {
    ...template.metadata.labels,
    ...(generation === undefined ? {} : { [generationLabel]: generation }),
    [hashLabel]: hash,
  }
  return {
    metadata: { ...template.metadata, labels },
    spec: {
      ...template.spec,
      affinity: pinned(template.spec.affinity, nodeName),
      tolerations: daemonTolerations(template.spec),
    },
  }
}

/** Whether a daemon may start on a node, and whether a running one may stay. */
export function nodeFit(set: DaemonSet, node: Node): { readonly run: boolean; readonly stay: boolean } {
  const { spec } = set.spec.template
  if (spec.nodeName && spec.nodeName !== node.metadata.name) return { run: false, stay: false }
  if (!podFitsNode({ spec }, node)) return { run: false, stay: false }
  const tolerations = daemonTolerations(spec)
  if (untoleratedTaint(node.spec.taints, tolerations, ['NoExecute', 'NoSchedule']) !== undefined)
    return { run: false, stay: untoleratedTaint(node.spec.taints, tolerations, ['NoExecute']) === undefined }
  return { run: true, stay: true }
}

/** The node that a pod is on, or is meant for while the scheduler has not bound it. */
export function targetNode(pod: Pod): string | undefined {
  if (pod.spec.nodeName) return pod.spec.nodeName
  const terms = pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? []
  for (const term of terms)
    for (const field of term.matchFields ?? [])
      if (field.key === nodeNameField && field.operator === 'In' && field.values?.length === 1) return field.values[0]
  return undefined
}
export function podsByTarget(pods: readonly Pod[]): ReadonlyMap<string, readonly Pod[]> {
  const byNode = new Map<string, Pod[]>()
  for (const pod of pods) {
    const node = targetNode(pod)
    if (node === undefined) continue
    const there = byNode.get(node)
    if (there === undefined) byNode.set(node, [pod])
    else there.push(pod)
  }
  return byNode
}

export interface DaemonState {
  readonly set: DaemonSet
  readonly nodes: readonly Node[]
  readonly pods: readonly Pod[]
  /** Hash of the current template. */
  readonly hash: string
  readonly nowMs: number
}
export interface DaemonPlan {
  /** Names of nodes that get a pod. */
  readonly create: readonly string[]
  readonly delete: readonly Pod[]
  /** Ended pods, to be replaced; the loop slows down their deletion. */
  readonly ended: readonly Pod[]
}

const isCurrent = (pod: Pod, hash: string) => pod.metadata.labels?.[hashLabel] === hash
const minReady = (set: DaemonSet) => set.spec.minReadySeconds ?? 0
const isEnded = (pod: Pod) => pod.status.phase === 'Failed' || pod.status.phase === 'Succeeded'

/** maxSurge and maxUnavailable as numbers of nodes; at least one of them moves. */
export function daemonBounds(
  set: DaemonSet,
  nodes: number,
): { readonly maxSurge: number; readonly maxUnavailable: number } {
  const { type, rollingUpdate } = set.spec.updateStrategy
  if (type !== 'RollingUpdate') return { maxSurge: 0, maxUnavailable: 0 }
  const maxSurge = scaledValue(rollingUpdate?.maxSurge ?? 0, nodes, 'up') ?? 0
  const maxUnavailable = scaledValue(rollingUpdate?.maxUnavailable ?? 1, nodes, 'up') ?? 1
  return { maxSurge, maxUnavailable: maxSurge === 0 && maxUnavailable === 0 ? 1 : maxUnavailable }
}

/** Pods that are missing, surplus, or ended, node by node; and pods of nodes that are gone. */
export function planNodes(state: DaemonState): DaemonPlan {
  const { set, nodes, pods, hash, nowMs } = state
  const byNode = podsByTarget(pods)
  const create: string[] = []
  const doomed: Pod[] = []
  const ended: Pod[] = []
  const surges = daemonBounds(set, nodes.length).maxSurge > 0
  for (const node of nodes) {
    const { name } = node.metadata
    const there = byNode.get(name) ?? []
    const { run, stay } = nodeFit(set, node)
    if (run && there.length === 0) create.push(name)
    else if (run || stay) {
      const alive = there.filter((pod) => !isTerminating(pod))
      ended.push(...alive.filter(isEnded))
      const running = alive.filter((pod) => !isEnded(pod)).sort(byCreation)
      doomed.push(...planSurplus(running, surges, hash, (pod) => isPodAvailable(pod, minReady(set), nowMs)))
      // All that was there is on its way out: the replacement may come as soon as it is gone from the API.
    } else doomed.push(...there.filter((pod) => !isTerminating(pod)))
  }
  const known = new Set(nodes.map((node) => node.metadata.name))
  for (const pod of pods) {
    // Bound pods of a node that is gone are the pod garbage collector's; unbound ones would wait for ever.
    const node = targetNode(pod)
    if (node !== undefined && !known.has(node) && !pod.spec.nodeName && !isTerminating(pod)) doomed.push(pod)
  }
  return { create, delete: doomed, ended }
}
/** More than one pod on a node: the oldest stays; with surge an old and a new one may stand side by side. */
function planSurplus(
  running: readonly Pod[],
  surges: boolean,
  hash: string,
  isAvailable: (pod: Pod) => boolean,
): readonly Pod[] {
  if (running.length <= 1) return []
  if (!surges) return running.slice(1)
  const [newest, ...otherNew] = running.filter((pod) => isCurrent(pod, hash))
  const [oldest, ...otherOld] = running.filter((pod) => !isCurrent(pod, hash))
  if (newest === undefined || oldest === undefined) return running.slice(1)
  // The old one is kept until the new one serves, unless it does not serve itself.
  const replaced = isAvailable(newest) || !isAvailable(oldest)
  return [...otherNew, ...otherOld, ...(replaced ? [oldest] : [])]
}

/** The next step of a rolling update. */
export function planUpdate(state: DaemonState): {
  readonly create: readonly string[]
  readonly delete: readonly Pod[]
} {
  const { set, nodes, pods, hash, nowMs } = state
  const byNode = podsByTarget(pods)
  const wanted = nodes.filter((node) => nodeFit(set, node).run)
  const { maxSurge, maxUnavailable } = daemonBounds(set, wanted.length)
  const isAvailable = (pod: Pod) => isPodAvailable(pod, minReady(set), nowMs)
  let unavailable = 0
  let surging = 0
  const broken: Pod[] = []
  const candidates: Pod[] = []
  const surgeNodes: { readonly name: string; readonly broken: boolean }[] = []
  for (const node of wanted) {
    const alive = (byNode.get(node.metadata.name) ?? []).filter((pod) => !isTerminating(pod) && !isEnded(pod))
    const current = alive.find((pod) => isCurrent(pod, hash))
    const old = alive.find((pod) => !isCurrent(pod, hash))
    if (maxSurge > 0) {
      if (old !== undefined && current !== undefined) {
        if (!isAvailable(current)) surging++
      } else if (old !== undefined) surgeNodes.push({ name: node.metadata.name, broken: !isAvailable(old) })
      continue
    }
    if (old === undefined) {
      if (current === undefined || !isAvailable(current)) unavailable++
      continue
    }
    if (current !== undefined) continue
    if (isAvailable(old)) candidates.push(old)
    else {
      // Already down: replacing it costs no availability.
      unavailable++
      broken.push(old)
    }
  }
  if (maxSurge > 0) {
    const broke = surgeNodes.filter((node) => node.broken)
    const fine = surgeNodes.filter((node) => !node.broken).slice(0, Math.max(0, maxSurge - surging))
    return { create: [...broke, ...fine].map(({ name }) => name), delete: [] }
  }
  return { create: [], delete: [...broken, ...candidates.slice(0, Math.max(0, maxUnavailable - unavailable))] }
}

/** The status for nodes and pods as they are. */
export function planDaemonStatus(state: DaemonState, collisionCount: number | undefined): DaemonSetStatus {
  const { set, nodes, pods, hash, nowMs } = state
  const byNode = podsByTarget(pods)
  let desired = 0
  let scheduled = 0
  let misscheduled = 0
  let ready = 0
  let updated = 0
  let available = 0
  for (const node of nodes) {
    const there = byNode.get(node.metadata.name) ?? []
    const { run } = nodeFit(set, node)
    if (!run) {
      if (there.length > 0) misscheduled++
      continue
    }
    desired++
    if (there.length === 0) continue
    scheduled++
    const [first] = [...there].sort(byCreation)
    if (there.some((pod) => isCurrent(pod, hash))) updated++
    const serving = there.find(isPodReady) ?? first
    if (serving === undefined || !isPodReady(serving)) continue
    ready++
    if (there.some((pod) => isPodAvailable(pod, minReady(set), nowMs))) available++
  }
  const { conditions } = set.status
  return {
    currentNumberScheduled: scheduled,
    numberMisscheduled: misscheduled,
    desiredNumberScheduled: desired,
    numberReady: ready,
    ...(set.metadata.generation === undefined ? {} : { observedGeneration: set.metadata.generation }),
    updatedNumberScheduled: updated,
    numberAvailable: available,
    numberUnavailable: desired - available,
    ...(collisionCount === undefined ? {} : { collisionCount }),
    ...(conditions === undefined ? {} : { conditions }),
  }
}
