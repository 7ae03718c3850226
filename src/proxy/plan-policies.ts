// From NetworkPolicies to packet rules of the pods on one node. A policy is resolved to addresses here, so that the
// kernel compares addresses only. Pure.
import type { Namespace } from '../api/core/namespace.ts'
import type { Pod } from '../api/core/pod.ts'
import { labelSelectorMatcher } from '../api/machinery/labels.ts'
import type { LabelSelector } from '../api/machinery/meta.ts'
import type { NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort } from '../api/networking/network-policy.ts'
import type { PolicyRule, Protocol } from '../ports/dataplane.ts'

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

function peersOf(world: World, namespace: string, peer: NetworkPolicyPeer) {
  if (peer.ipBlock !== undefined) return { peers: [peer.ipBlock.cidr], except: peer.ipBlock.except ?? [] }
  const namespaces =
    peer.namespaceSelector === undefined ? [namespace] : world.namespacesMatching(peer.namespaceSelector)
  return { peers: world.podsMatching(namespaces, peer.podSelector).flatMap(addressesOf), except: [] }
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

type Allow = PolicyRule['allow'][number]

function ingressAllows(world: World, policy: NetworkPolicy, pod: Pod): Allow[] {
  const namespace = policy.metadata.namespace ?? ''
  const out: Allow[] = []
  for (const rule of policy.spec.ingress ?? []) {
    const ports = portsOf(rule.ports ?? [], pod)
    if (ports === undefined) continue
    if ((rule.from ?? []).length === 0) out.push({ peers: [], except: [], ports })
    for (const peer of rule.from ?? []) {
      const who = peersOf(world, namespace, peer)
      if (who.peers.length > 0) out.push({ ...who, ports })
    }
  }
  return out
}

function egressAllows(world: World, policy: NetworkPolicy): Allow[] {
  const namespace = policy.metadata.namespace ?? ''
  const out: Allow[] = []
  for (const rule of policy.spec.egress ?? []) {
    const named = (rule.ports ?? []).some((p) => typeof p.port === 'string')
    if ((rule.to ?? []).length === 0 && !named)
      out.push({ peers: [], except: [], ports: portsOf(rule.ports ?? [], undefined) ?? [] })
    else if (!named) {
      const ports = portsOf(rule.ports ?? [], undefined) ?? []
      for (const peer of rule.to ?? []) {
        const who = peersOf(world, namespace, peer)
        if (who.peers.length > 0) out.push({ ...who, ports })
      }
    } else {
      // Resolve names in each destination pod.
      const everywhere = world.namespaces.map((n) => n.metadata.name)
      const targets =
        (rule.to ?? []).length === 0
          ? world.podsMatching(everywhere, undefined)
          : (rule.to ?? []).flatMap((peer) =>
              peer.ipBlock !== undefined
                ? []
                : world.podsMatching(
                    peer.namespaceSelector === undefined
                      ? [namespace]
                      : world.namespacesMatching(peer.namespaceSelector),
                    peer.podSelector,
                  ),
            )
      for (const target of targets) {
        const ports = portsOf(rule.ports ?? [], target)
        if (ports !== undefined) out.push({ peers: addressesOf(target), except: [], ports })
      }
    }
  }
  return out
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
    for (const pod of world.byNamespace.get(namespace) ?? []) {
      if (pod.spec.nodeName !== input.nodeName || !isSubject(pod) || !matches(pod.metadata.labels ?? {})) continue
      const ingress = types.includes('Ingress') ? ingressAllows(world, policy, pod) : undefined
      for (const podIP of addressesOf(pod)) {
        const key = `${namespace}/${policy.metadata.name}`
        if (ingress !== undefined) rules.push({ key, podIP, direction: 'ingress', allow: ingress })
        if (egress !== undefined) rules.push({ key, podIP, direction: 'egress', allow: egress })
      }
    }
  }
  return rules
}
