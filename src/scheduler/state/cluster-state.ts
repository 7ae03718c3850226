// The scheduler's picture of the cluster: nodes, the pods on them, and counts of both. Events and assumed pods change it in
// place and nothing is ever rebuilt; a cycle runs without interruption, so the picture is its snapshot. Pods that are taken
// away to try something are put back before anybody else can look.
import type { Node } from '../../api/core/node.ts'
import type { Pod } from '../../api/core/pod.ts'
import type { Labels } from '../../api/machinery/labels.ts'
import { ResourceNames } from './amounts.ts'
import { NodeInfo } from './node-info.ts'
import { roundRobin } from './node-order.ts'
import { CountRegistry, type Surroundings } from './pod-counts.ts'
import { PodInfo, sameJson } from './pod-info.ts'
import { TermRegistry } from './term-counts.ts'
import { Topology } from './topology.ts'

/** What changed about a node, where it matters to scheduling. */
export interface NodeChange {
  readonly labels: boolean
  readonly taints: boolean
  readonly allocatable: boolean
  readonly other: boolean
}
interface Placed {
  readonly pod: PodInfo
  readonly node: NodeInfo
  /** The pod is not yet known to be bound. */
  readonly assumed: boolean
}

export class ClusterState implements Surroundings<NodeInfo> {
  readonly resources: ResourceNames
  readonly counts: CountRegistry<NodeInfo>
  readonly terms: TermRegistry
  private readonly nodes = new Map<string, NodeInfo>()
  private readonly slots: (NodeInfo | undefined)[] = []
  private readonly freeSlots: number[] = []
  private readonly placed = new Map<string, Placed>()
  private readonly byNamespace = new Map<string, Set<PodInfo>>()
  private readonly topologies = new Map<string, Topology>()
  private readonly namespaces = new Map<string, Labels>()
  private ordered: readonly NodeInfo[] | undefined
  /** Grows with every change. */
  generation = 0
  /** Nodes by image name; for the share of nodes that have an image. */
  readonly imageNodes = new Map<string, number>()
  private readonly priorities = new Map<number, number>()
  /** Users of every claim, by NAMESPACE/NAME. */
  readonly claimUsers = new Map<string, number>()
  /** Nodes with a taint that only repels. */
  softTainted = 0

  constructor(resources = new ResourceNames()) {
    this.resources = resources
    this.counts = new CountRegistry<NodeInfo>(this)
    this.terms = new TermRegistry((key) => this.topology(key), this.namespaceLabels)
  }

  // What counts look at.
  readonly namespaceLabels = (namespace: string): Labels | undefined => this.namespaces.get(namespace)
  get slotCount(): number {
    return this.slots.length
  }
  nodeAt(slot: number): NodeInfo | undefined {
    const info = this.slots[slot]
    return info?.node === undefined ? undefined : info
  }
  podsIn(namespace: string): Iterable<PodInfo> {
    return this.byNamespace.get(namespace) ?? []
  }
  *allPods(): Iterable<PodInfo> {
    for (const { pod } of this.placed.values()) yield pod
  }
  slotOf(pod: PodInfo): number {
    return this.placed.get(pod.uid)?.node.slot ?? -1
  }
  topology(key: string): Topology {
    let topology = this.topologies.get(key)
    if (topology === undefined) {
      topology = new Topology(key)
      for (const node of this.slots) if (node?.node !== undefined) topology.place(node.slot, node.labels)
      this.topologies.set(key, topology)
    }
    return topology
  }

  /** Nodes that exist, one of each zone in turn. */
  get order(): readonly NodeInfo[] {
    return (this.ordered ??= roundRobin(this.existing()))
  }
  private *existing(): Iterable<NodeInfo> {
    for (const node of this.nodes.values()) if (node.node !== undefined) yield node
  }
  node(name: string): NodeInfo | undefined {
    const info = this.nodes.get(name)
    return info?.node === undefined ? undefined : info
  }
  pod(uid: string): PodInfo | undefined {
    return this.placed.get(uid)?.pod
  }
  /** The node that a pod is on, or is assumed to be on. */
  nodeOf(uid: string): NodeInfo | undefined {
    return this.placed.get(uid)?.node
  }
  isAssumed(uid: string): boolean {
    return this.placed.get(uid)?.assumed ?? false
  }
  /** True where a pod on some node has a lower priority than this. */
  hasBelow(priority: number): boolean {
    for (const known of this.priorities.keys()) if (known < priority) return true
    return false
  }
  parse(pod: Pod): PodInfo {
    return new PodInfo(pod, this.resources)
  }

  private ensure(name: string): NodeInfo {
    let info = this.nodes.get(name)
    if (info === undefined) {
      const slot = this.freeSlots.pop() ?? this.slots.length
      info = new NodeInfo(name, slot)
      this.slots[slot] = info
      this.nodes.set(name, info)
    }
    return info
  }
  private dropIfEmpty(info: NodeInfo): void {
    if (info.node !== undefined || info.pods.size > 0) return
    this.nodes.delete(info.name)
    this.slots[info.slot] = undefined
    this.freeSlots.push(info.slot)
  }

  /** Takes over a node as it is now; undefined when nothing changed that scheduling looks at. */
  setNode(node: Node): NodeChange | undefined {
    const info = this.ensure(node.metadata.name)
    const old = info.node
    const change = old === undefined ? undefined : changeOf(old, node)
    if (old !== undefined && change === undefined && sameJson(old.status.images, node.status.images)) {
      info.node = node
      return undefined
    }
    this.replace(info, node, old === undefined || (change?.labels ?? false) || (change?.taints ?? false))
    return change ?? (old === undefined ? { labels: true, taints: true, allocatable: true, other: true } : undefined)
  }
  removeNode(name: string): void {
    const info = this.nodes.get(name)
    if (info === undefined) return
    this.replace(info, undefined, true)
    this.dropIfEmpty(info)
  }
  private replace(info: NodeInfo, node: Node | undefined, moved: boolean): void {
    if (moved) {
      this.ordered = undefined
      if (info.node !== undefined) {
        this.counts.detach(info.slot)
        this.terms.detach(info.slot)
      }
    }
    this.countFeatures(info, -1)
    info.setNode(node, this.resources)
    this.countFeatures(info, 1)
    info.generation = ++this.generation
    if (!moved) return
    for (const topology of this.topologies.values())
      topology.place(info.slot, node === undefined ? undefined : info.labels)
    this.counts.attach(info.slot, node === undefined ? undefined : info)
    this.terms.attach(info.slot)
  }
  private countFeatures(info: NodeInfo, sign: 1 | -1): void {
    if (info.softTaints.length > 0) this.softTainted += sign
    for (const name of info.images.keys()) {
      const nodes = (this.imageNodes.get(name) ?? 0) + sign
      if (nodes === 0) this.imageNodes.delete(name)
      else this.imageNodes.set(name, nodes)
    }
  }

  /** Puts a pod on a node. */
  addPod(pod: PodInfo, nodeName: string, assumed = false): NodeInfo {
    const known = this.placed.get(pod.uid)
    if (known !== undefined) this.removePod(pod.uid)
    const info = this.ensure(nodeName)
    this.placed.set(pod.uid, { pod, node: info, assumed })
    let namespace = this.byNamespace.get(pod.namespace)
    if (namespace === undefined) this.byNamespace.set(pod.namespace, (namespace = new Set()))
    namespace.add(pod)
    info.add(pod)
    this.priorities.set(pod.priority, (this.priorities.get(pod.priority) ?? 0) + 1)
    this.countClaims(pod, 1)
    this.counts.pod(pod, info.slot, 1)
    this.terms.pod(pod, info.slot, 1)
    info.generation = ++this.generation
    return info
  }
  private countClaims(pod: PodInfo, sign: 1 | -1): void {
    for (const claim of pod.claims) {
      const key = `${pod.namespace}/${claim}`
      const users = (this.claimUsers.get(key) ?? 0) + sign
      if (users === 0) this.claimUsers.delete(key)
      else this.claimUsers.set(key, users)
    }
  }
  /** Answers the node that it was on. */
  removePod(uid: string): NodeInfo | undefined {
    const known = this.placed.get(uid)
    if (known === undefined) return undefined
    const { pod, node: info } = known
    this.placed.delete(uid)
    const namespace = this.byNamespace.get(pod.namespace)
    namespace?.delete(pod)
    if (namespace?.size === 0) this.byNamespace.delete(pod.namespace)
    info.remove(pod)
    this.countClaims(pod, -1)
    const alike = (this.priorities.get(pod.priority) ?? 0) - 1
    if (alike === 0) this.priorities.delete(pod.priority)
    else this.priorities.set(pod.priority, alike)
    this.counts.pod(pod, info.slot, -1)
    this.terms.pod(pod, info.slot, -1)
    info.generation = ++this.generation
    this.dropIfEmpty(info)
    return info
  }
  /** The pod is bound as assumed; true where nothing else is to be done. */
  confirm(pod: Pod, nodeName: string): boolean {
    const known = this.placed.get(pod.metadata.uid)
    if (known === undefined || known.node.name !== nodeName || !known.pod.refresh(pod)) return false
    if (known.assumed) this.placed.set(known.pod.uid, { pod: known.pod, node: known.node, assumed: false })
    return true
  }

  /** Labels of a namespace, undefined when it is gone. */
  setNamespace(name: string, labels: Labels | undefined): void {
    if (sameJson(this.namespaces.get(name), labels)) return
    if (labels === undefined) this.namespaces.delete(name)
    else this.namespaces.set(name, labels)
    this.counts.namespaceChanged()
  }

  /** A copy to try changes on; pods and nodes are shared, counts begin anew. */
  copy(): ClusterState {
    const copy = new ClusterState(this.resources)
    for (const [name, labels] of this.namespaces) copy.namespaces.set(name, labels)
    for (const { node } of this.nodes.values()) if (node !== undefined) copy.setNode(node)
    for (const { pod, node, assumed } of this.placed.values()) copy.addPod(pod, node.name, assumed)
    return copy
  }
}

function changeOf(old: Node, node: Node): NodeChange | undefined {
  const labels = !sameJson(old.metadata.labels, node.metadata.labels)
  const taints =
    !sameJson(old.spec.taints, node.spec.taints) ||
    (old.spec.unschedulable ?? false) !== (node.spec.unschedulable ?? false)
  const allocatable = !sameJson(old.status.allocatable, node.status.allocatable)
  const other =
    !sameJson(old.metadata.annotations, node.metadata.annotations) ||
    !sameJson(conditions(old), conditions(node)) ||
    !sameJson(old.status.declaredFeatures, node.status.declaredFeatures)
  return labels || taints || allocatable || other ? { labels, taints, allocatable, other } : undefined
}
const conditions = (node: Node) => node.status.conditions?.map(({ type, status }) => [type, status])
