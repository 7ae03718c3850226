// How many pods match a selector, by node and by topology domain, kept true by every pod and node that comes or goes. A
// question is counted once over the pods of its namespaces when it is first asked, and costs nothing but upkeep from then
// on; questions that nobody asked for long are forgotten.
import { Column } from './column.ts'
import type { PodInfo } from './pod-info.ts'
import { isMember, type NamespaceLabels, type PodSet } from './pod-terms.ts'
import { noDomain, type Topology } from './topology.ts'

/** Which nodes count, told apart by key. */
export interface NodeClass<N> {
  readonly key: string
  readonly includes: (node: N) => boolean
}
/** What the counts look at; the cluster state provides it. */
export interface Surroundings<N> {
  nodeAt(slot: number): N | undefined
  readonly slotCount: number
  podsIn(namespace: string): Iterable<PodInfo>
  allPods(): Iterable<PodInfo>
  slotOf(pod: PodInfo): number
  topology(key: string): Topology
  readonly namespaceLabels: NamespaceLabels
}

class Eligibility<N> {
  readonly of: NodeClass<N>
  private readonly bits = new Column()
  constructor(of: NodeClass<N>) {
    this.of = of
  }
  includes(slot: number): boolean {
    return this.bits.get(slot) === 1
  }
  place(slot: number, node: N | undefined): void {
    this.bits.set(slot, node !== undefined && this.of.includes(node) ? 1 : 0)
  }
}

/** Counts by domain of one topology, over the nodes of one class. */
export class DomainCounts {
  readonly topology: Topology
  private readonly eligible: { includes(slot: number): boolean } | undefined
  private readonly pods = new Column()
  private readonly nodes = new Column()
  private least = 0
  /** Domains that have the least count; 0 means: look again. */
  private atLeast = 0
  /** Domains with at least one node of the class. */
  domains = 0
  total = 0

  constructor(topology: Topology, eligible: { includes(slot: number): boolean } | undefined) {
    this.topology = topology
    this.eligible = eligible
  }
  /** Matching pods in the domain of the node; 0 for a node without the label. */
  at(slot: number): number {
    const domain = this.topology.domainOf(slot)
    return domain === noDomain ? 0 : this.pods.get(domain)
  }
  /** The smallest count of a domain; 0 where there is no domain. */
  minimum(): number {
    if (this.atLeast > 0) return this.least
    let least = Number.MAX_SAFE_INTEGER
    for (let domain = 0; domain < this.topology.size; domain++) {
      if (this.nodes.get(domain) === 0) continue
      const count = this.pods.get(domain)
      if (count < least) {
        least = count
        this.atLeast = 1
      } else if (count === least) this.atLeast++
    }
    this.least = least === Number.MAX_SAFE_INTEGER ? 0 : least
    return this.least
  }
  private domainAt(slot: number): number {
    return this.eligible === undefined || this.eligible.includes(slot) ? this.topology.domainOf(slot) : noDomain
  }
  count(slot: number, pods: number): void {
    const domain = this.domainAt(slot)
    if (domain === noDomain) return
    this.total += pods
    const after = this.pods.add(domain, pods)
    if (this.atLeast === 0) return
    if (after - pods === this.least) this.atLeast--
    if (after === this.least) this.atLeast++
    else if (after < this.least) this.atLeast = 0
  }
  /** A node enters (1) or leaves (-1) with what matches on it. */
  node(slot: number, pods: number, sign: 1 | -1): void {
    const domain = this.domainAt(slot)
    if (domain === noDomain) return
    const nodes = this.nodes.add(domain, sign)
    if (nodes === 0) this.domains--
    else if (nodes === 1 && sign === 1) this.domains++
    this.total += sign * pods
    this.pods.add(domain, sign * pods)
    this.atLeast = 0
  }
}

/** Pods that are in all of the sets. */
export class PodCounts {
  readonly sets: readonly PodSet[]
  readonly terminatingToo: boolean
  readonly domains = new Map<string, DomainCounts>()
  private readonly perNode = new Column()
  lastUse = 0
  constructor(sets: readonly PodSet[], terminatingToo: boolean) {
    this.sets = sets
    this.terminatingToo = terminatingToo
  }
  onNode(slot: number): number {
    return this.perNode.get(slot)
  }
  includes(pod: PodInfo, namespaceLabels: NamespaceLabels): boolean {
    if (pod.terminating && !this.terminatingToo) return false
    for (const set of this.sets) if (!isMember(set, pod.namespace, pod.labels, namespaceLabels)) return false
    return true
  }
  count(slot: number, pods: number): void {
    this.perNode.add(slot, pods)
    for (const counts of this.domains.values()) counts.count(slot, pods)
  }
  node(slot: number, sign: 1 | -1): void {
    const pods = this.perNode.get(slot)
    for (const counts of this.domains.values()) counts.node(slot, pods, sign)
  }
}

const rememberedCounts = 512
const keptCounts = 384

export class CountRegistry<N> {
  private readonly around: Surroundings<N>
  private readonly counts = new Map<string, PodCounts>()
  private readonly classes = new Map<string, Eligibility<N>>()
  /** Counts by a label that all their pods have; the rest is asked for every pod. */
  private readonly hooked = new Map<string, Map<string, Set<PodCounts>>>()
  private readonly loose = new Set<PodCounts>()
  private uses = 0
  constructor(around: Surroundings<N>) {
    this.around = around
  }

  /** Counts of the pods in all of `sets` (at least one). */
  of(sets: readonly PodSet[], options: { readonly terminatingToo: boolean }): PodCounts {
    const only = sets.length === 1 ? sets[0] : undefined
    const key = `${options.terminatingToo ? '+' : '-'}${only === undefined ? sets.map((s) => s.key).join('&') : only.key}`
    let counts = this.counts.get(key)
    if (counts === undefined) {
      counts = new PodCounts(sets, options.terminatingToo)
      this.fill(counts)
      this.counts.set(key, counts)
      this.hook(counts, true)
      if (this.counts.size > rememberedCounts) this.forget()
    }
    counts.lastUse = ++this.uses
    return counts
  }
  /** The same by domain; only nodes of the class count, all where there is none. */
  byDomain(counts: PodCounts, topologyKey: string, nodes?: NodeClass<N>): DomainCounts {
    const key = nodes === undefined ? topologyKey : `${topologyKey}|${nodes.key}`
    const known = counts.domains.get(key)
    if (known !== undefined) return known
    const domains = new DomainCounts(
      this.around.topology(topologyKey),
      nodes === undefined ? undefined : this.eligibility(nodes),
    )
    for (let slot = 0; slot < this.around.slotCount; slot++)
      if (this.around.nodeAt(slot) !== undefined) domains.node(slot, counts.onNode(slot), 1)
    counts.domains.set(key, domains)
    return domains
  }
  private eligibility(nodes: NodeClass<N>): Eligibility<N> {
    let known = this.classes.get(nodes.key)
    if (known === undefined) {
      known = new Eligibility(nodes)
      for (let slot = 0; slot < this.around.slotCount; slot++) known.place(slot, this.around.nodeAt(slot))
      this.classes.set(nodes.key, known)
    }
    return known
  }
  private fill(counts: PodCounts): void {
    const { around } = this
    const [first] = counts.sets
    const named = first !== undefined && first.namespaceMatches === undefined
    const pods = named ? [...first.namespaces].map((namespace) => around.podsIn(namespace)) : [around.allPods()]
    for (const some of pods)
      for (const pod of some) {
        const slot = around.slotOf(pod)
        if (slot !== -1 && counts.includes(pod, around.namespaceLabels)) counts.count(slot, 1)
      }
  }
  private hook(counts: PodCounts, on: boolean): void {
    const label = counts.sets.find((set) => set.hook !== undefined)?.hook
    let among = this.loose
    if (label !== undefined) {
      const [key, value] = label
      let byValue = this.hooked.get(key)
      if (byValue === undefined) this.hooked.set(key, (byValue = new Map()))
      among = byValue.get(value) ?? new Set()
      byValue.set(value, among)
    }
    if (on) among.add(counts)
    else among.delete(counts)
  }
  private forget(): void {
    const byUse = [...this.counts].sort(([, a], [, b]) => b.lastUse - a.lastUse)
    for (const [key, counts] of byUse.slice(keptCounts)) {
      this.counts.delete(key)
      this.hook(counts, false)
    }
    const used = new Set<string>()
    for (const counts of this.counts.values())
      for (const key of counts.domains.keys()) used.add(key.slice(key.indexOf('|') + 1))
    for (const key of this.classes.keys()) if (!used.has(key)) this.classes.delete(key)
  }

  /** A pod came to a node (1) or left it (-1). */
  pod(pod: PodInfo, slot: number, sign: 1 | -1): void {
    for (const counts of this.loose) this.countOne(counts, pod, slot, sign)
    if (this.hooked.size === 0) return
    for (const key in pod.labels) {
      const value = pod.labels[key]
      const among = value === undefined ? undefined : this.hooked.get(key)?.get(value)
      if (among !== undefined) for (const counts of among) this.countOne(counts, pod, slot, sign)
    }
  }
  private countOne(counts: PodCounts, pod: PodInfo, slot: number, sign: 1 | -1): void {
    if (counts.includes(pod, this.around.namespaceLabels)) counts.count(slot, sign)
  }
  /** Before the labels or taints of a node change. */
  detach(slot: number): void {
    for (const counts of this.counts.values()) counts.node(slot, -1)
  }
  /** After they changed; `node` is undefined for a node that is gone. */
  attach(slot: number, node: N | undefined): void {
    for (const eligibility of this.classes.values()) eligibility.place(slot, node)
    if (node !== undefined) for (const counts of this.counts.values()) counts.node(slot, 1)
  }
  /** Labels of a namespace changed: what selects namespaces by label is counted anew when it is asked for. */
  namespaceChanged(): void {
    for (const [key, counts] of this.counts)
      if (counts.sets.some((set) => set.namespaceMatches !== undefined)) {
        this.counts.delete(key)
        this.hook(counts, false)
      }
  }
}
