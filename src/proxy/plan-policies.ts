// From NetworkPolicies to packet rules of the pods on one node. A policy is resolved to addresses here, so that the
// kernel compares addresses only. Pure.
import type { Namespace } from '../api/core/namespace.ts'
import type { Pod } from '../api/core/pod.ts'
import { labelSelectorMatcher } from '../api/machinery/labels.ts'
import type { LabelSelector } from '../api/machinery/meta.ts'
import type { NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort } from '../api/networking/network-policy.ts'
import type { PolicyAllow, PolicyRule, Protocol } from '../ports/dataplane.ts'

export interface PolicyWorld {
  readonly policies: readonly NetworkPolicy[]
  readonly namespaces: readonly Namespace[]
  /** Every pod of the cluster that has an address. */
  readonly pods: readonly Pod[]
  readonly nodeName: string
}

const addressesOf = (pod: Pod): readonly string[] =>
  (pod.status.podIPs ?? []).map((p) => p.ip ?? '').filter((ip) => ip !== '')
/** Host-network pods share the node's address, and a policy does not reach them. */
const isSubject = (pod: Pod): boolean =>
  pod.spec.hostNetwork !== true && pod.status.phase !== 'Succeeded' && pod.status.phase !== 'Failed'

/** Pods by namespace, and namespaces by selector, looked up once per plan. */
class World {
  readonly byNamespace = new Map<string, Pod[]>()
  readonly namespaces: readonly Namespace[]
  private readonly selected = new Map<string, readonly string[]>()
  constructor(world: PolicyWorld) {
    this.namespaces = world.namespaces
    for (const pod of world.pods) {
      const namespace = pod.metadata.namespace ?? ''
      const list = this.byNamespace.get(namespace)
      if (list === undefined) this.byNamespace.set(namespace, [pod])
      else list.push(pod)
    }
  }
  namespacesMatching(selector: LabelSelector): readonly string[] {
    const key = JSON.stringify(selector)
    const known = this.selected.get(key)
    if (known !== undefined) return known
    const matches = labelSelectorMatcher(selector)
    const names = this.namespaces.filter((n) => matches(n.metadata.labels ?? {})).map((n) => n.metadata.name)
    this.selected.set(key, names)
    return names
  }
  podsMatching(namespaces: readonly string[], selector: LabelSelector | undefined): readonly Pod[] {
    const matches = selector === undefined ? () => true : labelSelectorMatcher(selector)
    return namespaces.flatMap((n) =>
      (this.byNamespace.get(n) ?? []).filter((p) => isSubject(p) && matches(p.metadata.labels ?? {})),
    )
  }
}

interface Peers {
  /** Stable within a rule: 'pods', 'blocks' for those that have no exceptions, else which block it is. */
  readonly id: string
  readonly peers: readonly string[]
  readonly except: readonly string[]
}
/** Pods of a peer that is no block. */
function podsOf(world: World, namespace: string, peer: NetworkPolicyPeer): readonly Pod[] {
  const namespaces =
    peer.namespaceSelector === undefined ? [namespace] : world.namespacesMatching(peer.namespaceSelector)
  return world.podsMatching(namespaces, peer.podSelector)
}
/** The blocks of a rule, looked at once: there may be many of them, and they stay the same while pods come and go. */
const knownBlocks = new WeakMap<readonly NetworkPolicyPeer[], readonly Peers[]>()
function blocksOf(peers: readonly NetworkPolicyPeer[]): readonly Peers[] {
  let found = knownBlocks.get(peers)
  if (found === undefined) {
    const plain: string[] = []
    const others: Peers[] = []
    peers.forEach(({ ipBlock }, i) => {
      if (ipBlock === undefined) return
      if ((ipBlock.except ?? []).length === 0) plain.push(ipBlock.cidr)
      else others.push({ id: String(i), peers: [ipBlock.cidr], except: ipBlock.except ?? [] })
    })
    found = plain.length === 0 ? others : [{ id: 'blocks', peers: plain, except: [] }, ...others]
    knownBlocks.set(peers, found)
  }
  return found
}
/** Peers of a rule in lists as long as can be: the kernel finds an address in each by one lookup. */
function peersOf(world: World, namespace: string, peers: readonly NetworkPolicyPeer[]): readonly Peers[] {
  const pods: string[] = []
  for (const peer of peers)
    if (peer.ipBlock === undefined) for (const pod of podsOf(world, namespace, peer)) pods.push(...addressesOf(pod))
  const blocks = blocksOf(peers)
  return pods.length === 0 ? blocks : [{ id: 'pods', peers: pods, except: [] }, ...blocks]
}

/** A named port means a different number in every destination pod. */
function portsOf(
  ports: readonly NetworkPolicyPort[],
  pod: Pod | undefined,
): PolicyRule['allow'][number]['ports'] | undefined {
  const out: { protocol: Protocol; port: number; endPort?: number }[] = []
  for (const p of ports) {
    const protocol = (p.protocol ?? 'TCP') as Protocol
    if (p.port === undefined) out.push({ protocol, port: 0, endPort: 65_535 })
    else if (typeof p.port === 'number')
      out.push(p.endPort === undefined ? { protocol, port: p.port } : { protocol, port: p.port, endPort: p.endPort })
    else
      for (const container of pod === undefined ? [] : [...pod.spec.containers, ...(pod.spec.initContainers ?? [])])
        for (const declared of container.ports ?? [])
          if (declared.name === p.port && declared.protocol === protocol)
            out.push({ protocol, port: declared.containerPort })
  }
  // Named ports that nobody declares allow nothing, which is not the same as "every port".
  return out.length === 0 && ports.length > 0 ? undefined : out
}

function ingressAllows(policy: NetworkPolicy, pod: Pod, peers: readonly (readonly Peers[])[]): PolicyAllow[] {
  const out: PolicyAllow[] = []
  for (const [i, rule] of (policy.spec.ingress ?? []).entries()) {
    const ports = portsOf(rule.ports ?? [], pod)
    if (ports === undefined) continue
    if ((rule.from ?? []).length === 0) out.push({ id: `${i}`, peers: [], except: [], ports })
    else for (const who of peers[i] ?? []) out.push({ ...who, id: `${i}.${who.id}`, ports })
  }
  return out
}

function egressAllows(world: World, policy: NetworkPolicy): PolicyAllow[] {
  const namespace = policy.metadata.namespace ?? ''
  const out: PolicyAllow[] = []
  for (const [i, rule] of (policy.spec.egress ?? []).entries()) {
    const to = rule.to ?? []
    const asked = rule.ports ?? []
    const numbers = asked.filter((p) => typeof p.port !== 'string')
    if (numbers.length > 0 || asked.length === 0) {
      const ports = portsOf(numbers, undefined) ?? []
      if (to.length === 0) out.push({ id: `${i}`, peers: [], except: [], ports })
      else for (const who of peersOf(world, namespace, to)) out.push({ ...who, id: `${i}.${who.id}`, ports })
    }
    const names = asked.filter((p) => typeof p.port === 'string')
    if (names.length > 0) out.push(...namedEgress(world, namespace, String(i), to, names))
  }
  return out
}
/** Named ports are looked up in each destination pod; pods with the same numbers share a list. */
function namedEgress(
  world: World,
  namespace: string,
  rule: string,
  to: readonly NetworkPolicyPeer[],
  names: readonly NetworkPolicyPort[],
): PolicyAllow[] {
  const everywhere = world.namespaces.map((n) => n.metadata.name)
  const targets =
    to.length === 0
      ? world.podsMatching(everywhere, undefined)
      : to.flatMap((peer) => (peer.ipBlock === undefined ? podsOf(world, namespace, peer) : []))
  const byPorts = new Map<string, { readonly ports: PolicyAllow['ports']; readonly peers: string[] }>()
  for (const target of targets) {
    const ports = portsOf(names, target)
    if (ports === undefined) continue
    const key = JSON.stringify(ports)
    const group = byPorts.get(key) ?? { ports, peers: [] }
    group.peers.push(...addressesOf(target))
    byPorts.set(key, group)
  }
  return [...byPorts].flatMap(([key, { ports, peers }]) =>
    peers.length === 0 ? [] : [{ id: `${rule}.named.${key}`, peers, except: [], ports }],
  )
}

/** The rules of every selected pod of this node; a pod that no policy selects has none. */
export function planPolicies(input: PolicyWorld): PolicyRule[] {
  if (input.policies.length === 0) return []
  const world = new World(input)
  const rules: PolicyRule[] = []
  for (const policy of input.policies) {
    const namespace = policy.metadata.namespace ?? ''
    const matches = labelSelectorMatcher(policy.spec.podSelector)
    const types = policy.spec.policyTypes ?? ['Ingress']
    const egress = types.includes('Egress') ? egressAllows(world, policy) : undefined
    const from = (policy.spec.ingress ?? []).map((rule) => peersOf(world, namespace, rule.from ?? []))
    for (const pod of world.byNamespace.get(namespace) ?? []) {
      if (pod.spec.nodeName !== input.nodeName || !isSubject(pod) || !matches(pod.metadata.labels ?? {})) continue
      const ingress = types.includes('Ingress') ? ingressAllows(policy, pod, from) : undefined
      for (const podIP of addressesOf(pod)) {
        const key = `${namespace}/${policy.metadata.name}`
        if (ingress !== undefined) rules.push({ key, podIP, direction: 'ingress', allow: ingress })
        if (egress !== undefined) rules.push({ key, podIP, direction: 'egress', allow: egress })
      }
    }
  }
  return rules
}
