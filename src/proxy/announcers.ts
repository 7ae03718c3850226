// Who answers on the link for a load balancer address: one node, which all nodes find by the same reckoning from what the API
// says, so that no election is held. A node that comes or goes moves the addresses that it wins or held, and no others.
import type { Node } from '../api/core/node.ts'
import type { EndpointSlice } from '../api/discovery/endpoint-slice.ts'
import type { Service } from '../api/core/service.ts'

const excludeLabel = 'node.kubernetes.io/exclude-from-external-load-balancers'

/** Names of nodes that may announce: the Ready ones, or, while none is, all. */
export function announcingNodes(nodes: Iterable<Node>): readonly string[] {
  const possible = [...nodes].filter(
    ({ metadata: { labels = {}, deletionTimestamp } }) =>
      labels[excludeLabel] === undefined && deletionTimestamp === undefined,
  )
  const ready = possible.filter(({ status }) =>
    status.conditions?.some(({ type, status: state }) => type === 'Ready' && state === 'True'),
  )
  return (ready.length > 0 ? ready : possible).map(({ metadata }) => metadata.name).sort()
}

/** FNV-1a of 32 bits with murmur's last mix: names that differ in one letter lie far apart. */
function weight(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

/** The one of `nodes` that answers for an address (rendezvous hashing); undefined where there is none. */
export function announcerOf(address: string, nodes: readonly string[]): string | undefined {
  let best: { readonly name: string; readonly weight: number } | undefined
  for (const name of nodes) {
    const own = weight(`${address} ${name}`)
    if (best === undefined || own > best.weight || (own === best.weight && name < best.name))
      best = { name, weight: own }
  }
  return best?.name
}

/** Nodes that may answer for a Service: with externalTrafficPolicy Local those that have an endpoint. */
export function announcersFor(
  service: Service,
  slices: readonly EndpointSlice[],
  nodes: readonly string[],
): readonly string[] {
  if (service.spec.externalTrafficPolicy !== 'Local') return nodes
  const withEndpoints = new Set<string>()
  for (const slice of slices)
    for (const { nodeName, conditions } of slice.endpoints ?? [])
      if (nodeName !== undefined && conditions?.ready !== false) withEndpoints.add(nodeName)
  return nodes.filter((name) => withEndpoints.has(name))
}
