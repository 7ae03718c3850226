// What a load balancer without a cloud gives: addresses of nodes, or one of a pool. Pure, save for the ledger, which knows
// who holds which port of the nodes and which address of a pool, so that two Services never share one.
import type { Node } from '../api/core/node.ts'
import type { Service } from '../api/core/service.ts'
import { formatIp } from '../api/machinery/ip.ts'
import type { IpRange } from '../api/machinery/ip-range.ts'
import { findCondition } from './framework/conditions.ts'

export type Family = 'IPv4' | 'IPv6'
export const familyOf = (ip: string): Family => (ip.includes(':') ? 'IPv6' : 'IPv4')
const isNodeReady = (node: Node) => findCondition(node.status.conditions, 'Ready')?.status === 'True'
const excludeLabel = 'node.kubernetes.io/exclude-from-external-load-balancers'

/** Services that this controller serves: another class is another's. */
export const isBalanced = (service: Service): boolean =>
  service.spec.type === 'LoadBalancer' &&
  service.spec.loadBalancerClass === undefined &&
  service.metadata.deletionTimestamp === undefined
/** "TCP/80" for each port. */
export const portsOf = (service: Service): readonly string[] => [
  ...new Set((service.spec.ports ?? []).map((p) => `${p.protocol ?? 'TCP'}/${p.port}`)),
]
/** Families in which the Service has addresses, the first being its own. */
export const familiesOf = (service: Service): readonly Family[] =>
  (service.spec.ipFamilies ?? []).length > 0 ? ((service.spec.ipFamilies ?? []) as Family[]) : ['IPv4']

function addressOf(node: Node, family: Family): string | undefined {
  const addresses = (node.status.addresses ?? []).filter((a) => familyOf(a.address) === family)
  const wanted = addresses.find((a) => a.type === 'ExternalIP') ?? addresses.find((a) => a.type === 'InternalIP')
  return wanted?.address
}

/** Node addresses of a Service: of Ready nodes, or, while none is Ready, of all. With externalTrafficPolicy Local only
 * of nodes in `withEndpoints`. */
export function nodeAddresses(service: Service, nodes: Iterable<Node>, withEndpoints: ReadonlySet<string>): string[] {
  const possible = [...nodes].filter(
    (node) =>
      node.metadata.labels?.[excludeLabel] === undefined &&
      node.metadata.deletionTimestamp === undefined &&
      (service.spec.externalTrafficPolicy !== 'Local' || withEndpoints.has(node.metadata.name)),
  )
  const ready = possible.filter(isNodeReady)
  const chosen = (ready.length > 0 ? ready : possible).sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
  return familiesOf(service).flatMap((family) =>
    chosen.flatMap((node) => {
      const address = addressOf(node, family)
      return address === undefined ? [] : [address]
    }),
  )
}

/** Who holds what: things are named by strings, holders by Service keys. */
export class Ledger {
  private readonly holders = new Map<string, string>()
  private readonly held = new Map<string, Set<string>>()
  holderOf(thing: string): string | undefined {
    return this.holders.get(thing)
  }
  of(key: string): ReadonlySet<string> {
    return this.held.get(key) ?? new Set()
  }
  /** Makes `key` hold exactly `things`; answers the first that another holds, and then changes nothing. */
  hold(key: string, things: readonly string[]): string | undefined {
    const taken = things.find((thing) => (this.holders.get(thing) ?? key) !== key)
    if (taken !== undefined) return taken
    this.release(key)
    for (const thing of things) this.holders.set(thing, key)
    if (things.length > 0) this.held.set(key, new Set(things))
    return undefined
  }
  /** True when there was something to give back. */
  release(key: string): boolean {
    for (const thing of this.of(key)) this.holders.delete(thing)
    return this.held.delete(key)
  }
}

/** The first free address of a family; looks at 65,536 at most, which is more than a link has neighbours. */
export function freeInPool(
  pool: readonly IpRange[],
  family: Family,
  isFree: (ip: string) => boolean,
): string | undefined {
  let looks = 65_536
  for (const range of pool.filter((r) => r.family === family))
    for (let value = range.first; value <= range.last && looks > 0; value++, looks--) {
      const ip = formatIp({ version: family === 'IPv4' ? 4 : 6, value })
      if (isFree(ip)) return ip
    }
  return undefined
}
