// The (anti-)affinity terms that pods on nodes hold, summed up by topology domain: equal terms are one group, found from
// the labels of the pod that they may be about.
import { Column } from './column.ts'
import type { PodInfo } from './pod-info.ts'
import { isMember, type NamespaceLabels, type PodSet, type Term } from './pod-terms.ts'
import { noDomain, type Topology } from './topology.ts'

export type TermKind = 'requiredAffinity' | 'requiredAntiAffinity' | 'preferredAffinity' | 'preferredAntiAffinity'
const kinds: readonly TermKind[] = [
  'requiredAffinity',
  'requiredAntiAffinity',
  'preferredAffinity',
  'preferredAntiAffinity',
]

const toleratedEmpty = 64

export class TermGroup {
  readonly kind: TermKind
  readonly set: PodSet
  readonly topology: Topology
  private readonly perNode = new Column()
  private readonly byDomain = new Column()
  holders = 0
  constructor(kind: TermKind, set: PodSet, topology: Topology) {
    this.kind = kind
    this.set = set
    this.topology = topology
  }
  /** Sum of the weights (required terms weigh 1) in the domain of the node. */
  at(slot: number): number {
    const domain = this.topology.domainOf(slot)
    return domain === noDomain ? 0 : this.byDomain.get(domain)
  }
  hold(slot: number, weight: number): void {
    this.perNode.add(slot, weight)
    this.addAt(slot, weight)
  }
  /** A node enters (1) or leaves (-1) its domain. */
  node(slot: number, sign: 1 | -1): void {
    this.addAt(slot, sign * this.perNode.get(slot))
  }
  private addAt(slot: number, weight: number): void {
    const domain = this.topology.domainOf(slot)
    if (domain !== noDomain && weight !== 0) this.byDomain.add(domain, weight)
  }
}

export class TermRegistry {
  private readonly topology: (key: string) => Topology
  private readonly namespaceLabels: NamespaceLabels
  private readonly groups = new Map<string, TermGroup>()
  private readonly hooked = new Map<string, Map<string, Set<TermGroup>>>()
  private readonly loose = new Set<TermGroup>()
  private empty = 0
  constructor(topology: (key: string) => Topology, namespaceLabels: NamespaceLabels) {
    this.topology = topology
    this.namespaceLabels = namespaceLabels
  }
  /** Grows when a group is added: what `about` answered before is then incomplete. */
  version = 0
  /** A pod came to a node (1) or left it (-1). */
  pod(pod: PodInfo, slot: number, sign: 1 | -1): void {
    const { terms } = pod
    if (terms === undefined) return
    for (const kind of kinds) for (const term of terms[kind]) this.hold(kind, term, slot, sign)
  }
  private hold(kind: TermKind, term: Term, slot: number, sign: 1 | -1): void {
    const key = `${kind}|${term.topologyKey}|${term.set.key}`
    let group = this.groups.get(key)
    if (group === undefined) {
      group = new TermGroup(kind, term.set, this.topology(term.topologyKey))
      this.groups.set(key, group)
      this.among(group.set).add(group)
      this.version++
    }
    group.holders += sign
    group.hold(slot, sign * term.weight)
    if (group.holders === 0) this.empty++
    else if (group.holders === 1 && sign === 1 && this.empty > 0) this.empty--
  }
  /** Groups without holders stay for a while: a trial may take pods away and put them back. */
  private sweep(): void {
    for (const [key, group] of this.groups)
      if (group.holders === 0) {
        this.groups.delete(key)
        this.among(group.set).delete(group)
      }
    this.empty = 0
  }
  private among(set: PodSet): Set<TermGroup> {
    if (set.hook === undefined) return this.loose
    const [key, value] = set.hook
    let byValue = this.hooked.get(key)
    if (byValue === undefined) this.hooked.set(key, (byValue = new Map()))
    let groups = byValue.get(value)
    if (groups === undefined) byValue.set(value, (groups = new Set()))
    return groups
  }
  /** The groups whose terms are about this pod. Not to be called during a trial. */
  about(pod: PodInfo): TermGroup[] {
    const found: TermGroup[] = []
    if (this.groups.size === 0) return found
    if (this.empty > toleratedEmpty) this.sweep()
    const collect = (groups: Iterable<TermGroup>) => {
      for (const group of groups)
        if (group.holders > 0 && isMember(group.set, pod.namespace, pod.labels, this.namespaceLabels)) found.push(group)
    }
    collect(this.loose)
    for (const key in pod.labels) {
      const value = pod.labels[key]
      const groups = value === undefined ? undefined : this.hooked.get(key)?.get(value)
      if (groups !== undefined) collect(groups)
    }
    return found
  }
  /** Before the labels of a node change. */
  detach(slot: number): void {
    for (const group of this.groups.values()) group.node(slot, -1)
  }
  /** After they changed. */
  attach(slot: number): void {
    for (const group of this.groups.values()) group.node(slot, 1)
  }
}
