// The order in which nodes are tried: one of each zone in turn, so that a search that stops early has looked everywhere.
import type { NodeInfo } from './node-info.ts'

const zoneOf = ({ labels }: NodeInfo): string => {
  const region = labels['topology.kubernetes.io/region'] ?? labels['failure-domain.beta.kubernetes.io/region'] ?? ''
  const zone = labels['topology.kubernetes.io/zone'] ?? labels['failure-domain.beta.kubernetes.io/zone'] ?? ''
  return `${region}\0${zone}`
}

/** Takes one node of every zone in turn; zones and the nodes in them keep their order. */
export function roundRobin(nodes: Iterable<NodeInfo>): NodeInfo[] {
  const zones = new Map<string, NodeInfo[]>()
  let longest = 0
  for (const node of nodes) {
    const key = zoneOf(node)
    const zone = zones.get(key) ?? []
    zone.push(node)
    zones.set(key, zone)
    longest = Math.max(longest, zone.length)
  }
  const order: NodeInfo[] = []
  for (let i = 0; i < longest; i++)
    for (const zone of zones.values()) {
      const node = zone[i]
      if (node !== undefined) order.push(node)
    }
  return order
}
