// Where a node and its pods are found, as its Node tells.
import type { NetworkNode } from '../../ports/pod-network.ts'
import type { Node } from './node.ts'

/** What routes need to know of a node; undefined while it has no share of the pods' addresses. */
export function networkNodeOf(node: Node): NetworkNode | undefined {
  const podCidrs = node.spec.podCIDRs ?? (node.spec.podCIDR ? [node.spec.podCIDR] : [])
  const addresses = (node.status.addresses ?? []).filter(({ type }) => type === 'InternalIP').map((a) => a.address)
  return podCidrs.length === 0 ? undefined : { name: node.metadata.name, addresses, podCidrs }
}
