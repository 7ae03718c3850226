// From one Service and its EndpointSlices to the packet rules of one node. Pure: what is ready, near and allowed by the
// traffic policies is decided here (KEP-1669 terminating endpoints, KEP-2433 hints, KEP-2086 internal policy).
import type { Service } from '../api/core/service.ts'
import type { EndpointSlice } from '../api/discovery/endpoint-slice.ts'
import type { Endpoint, Protocol, ServiceRule } from '../ports/dataplane.ts'

export interface ProxyNode {
  readonly name: string
  readonly zone: string | undefined
}
/** The label by which an EndpointSlice names its Service. */
export const serviceNameLabel = 'kubernetes.io/service-name'
const proxyNameLabel = 'service.kubernetes.io/service-proxy-name'
const headlessLabel = 'service.kubernetes.io/headless'

type SliceEndpoint = NonNullable<EndpointSlice['endpoints']>[number]
interface Candidate extends Endpoint {
  readonly ready: boolean
  readonly serving: boolean
  readonly terminating: boolean
  readonly zones: readonly string[] | undefined
  readonly nodes: readonly string[] | undefined
}

/** False for what this proxy leaves alone: headless, ExternalName, or another proxy's. */
export function isProxied(service: Service): boolean {
  const { type, clusterIP } = service.spec
  const labels = service.metadata.labels ?? {}
  return (
    type !== 'ExternalName' &&
    clusterIP !== undefined &&
    clusterIP !== '' &&
    clusterIP !== 'None' &&
    labels[proxyNameLabel] === undefined &&
    labels[headlessLabel] === undefined
  )
}

const familyOf = (ip: string): 4 | 6 => (ip.includes(':') ? 6 : 4)

function candidate(endpoint: SliceEndpoint, ip: string, port: number, node: ProxyNode): Candidate {
  const { conditions, hints, nodeName } = endpoint
  const ready = conditions?.ready ?? true
  return {
    ip,
    port,
    local: nodeName === node.name,
    ready,
    serving: conditions?.serving ?? ready,
    terminating: conditions?.terminating ?? false,
    zones: hints?.forZones?.map((z) => z.name),
    nodes: hints?.forNodes?.map((n) => n.name),
  }
}

/** Endpoints of one service port in one family, each address once, in a stable order. */
function candidates(
  slices: readonly EndpointSlice[],
  portName: string,
  family: 4 | 6,
  protocol: string,
  node: ProxyNode,
): Candidate[] {
  const out = new Map<string, Candidate>()
  for (const slice of slices) {
    if (slice.addressType !== (family === 4 ? 'IPv4' : 'IPv6')) continue
    for (const port of slice.ports ?? []) {
      if ((port.name ?? '') !== portName || (port.protocol ?? 'TCP') !== protocol || port.port === undefined) continue
      for (const endpoint of slice.endpoints ?? []) {
        const [ip] = endpoint.addresses
        if (ip === undefined) continue
        const next = candidate(endpoint, ip, port.port, node)
        const key = `${ip}:${port.port}`
        const known = out.get(key)
        // The same address in two slices (a moving endpoint): the better word wins.
        if (known === undefined || (!known.ready && next.ready)) out.set(key, next)
      }
    }
  }
  return [...out.values()].sort((a, b) => (a.ip < b.ip ? -1 : a.ip > b.ip ? 1 : a.port - b.port))
}

/** Ready ones; when there are none, those that still serve while they terminate. */
function usable(all: readonly Candidate[]): readonly Candidate[] {
  const ready = all.filter((c) => c.ready)
  return ready.length > 0 ? ready : all.filter((c) => c.serving && c.terminating)
}

/** Hints count only when every endpoint carries them, and never leave the node without an endpoint. */
function nearest(all: readonly Candidate[], node: ProxyNode): readonly Candidate[] {
  if (all.length > 0 && all.every((c) => c.nodes !== undefined && c.nodes.length > 0)) {
    const here = all.filter((c) => c.nodes?.includes(node.name))
    if (here.length > 0) return here
  }
  const { zone } = node
  if (zone !== undefined && all.length > 0 && all.every((c) => c.zones !== undefined && c.zones.length > 0)) {
    const here = all.filter((c) => c.zones?.includes(zone))
    if (here.length > 0) return here
  }
  return all
}
const plain = (all: readonly Candidate[]): readonly Endpoint[] =>
  all.map(({ ip, port, local }) => ({ ip, port, local }))

/** What a health check node port answers. */
export interface HealthCheck {
  readonly port: number
  readonly localEndpoints: number
}
/** Undefined for Services without such a port. */
export function planHealthCheck(
  service: Service,
  slices: readonly EndpointSlice[],
  node: ProxyNode,
): HealthCheck | undefined {
  const { type, externalTrafficPolicy, healthCheckNodePort = 0 } = service.spec
  if (type !== 'LoadBalancer' || externalTrafficPolicy !== 'Local' || healthCheckNodePort === 0) return undefined
  const local = new Set<string>()
  for (const slice of slices)
    for (const { addresses, conditions, nodeName, targetRef } of slice.endpoints ?? [])
      if (nodeName === node.name && conditions?.ready !== false) local.add(targetRef?.uid ?? addresses[0] ?? '')
  return { port: healthCheckNodePort, localEndpoints: local.size }
}

/** The rules of one Service on `node`, one for each port and address family. */
export function planService(service: Service, slices: readonly EndpointSlice[], node: ProxyNode): ServiceRule[] {
  if (!isProxied(service)) return []
  const { spec } = service
  const clusterIPs = spec.clusterIPs ?? (spec.clusterIP === undefined ? [] : [spec.clusterIP])
  const rules: ServiceRule[] = []
  const localExternal = spec.externalTrafficPolicy === 'Local'
  const localInternal = spec.internalTrafficPolicy === 'Local'
  const balancers = (service.status.loadBalancer.ingress ?? [])
    .filter((i) => (i.ipMode ?? 'VIP') === 'VIP')
    .map((i) => i.ip ?? '')
  for (const clusterIP of clusterIPs) {
    const family = familyOf(clusterIP)
    const ofFamily = (ip: string) => ip !== '' && familyOf(ip) === family
    for (const port of spec.ports ?? []) {
      const protocol = (port.protocol ?? 'TCP') as Protocol
      const all = candidates(slices, port.name ?? '', family, protocol, node)
      // An address that is its own endpoint is answered by the node itself (the cluster's DNS).
      if (all.some((c) => c.ip === clusterIP && c.port === port.port)) continue
      const cluster = nearest(usable(all), node)
      const local = usable(all.filter((c) => c.local))
      const internal = localInternal ? local : cluster
      const external = localExternal ? local : cluster
      const nodePort = spec.type === 'NodePort' || spec.type === 'LoadBalancer' ? port.nodePort : undefined
      rules.push({
        key: `${service.metadata.namespace ?? ''}/${service.metadata.name}:${port.name ?? ''}`,
        family,
        protocol,
        clusterIP,
        port: port.port,
        nodePort: nodePort === 0 ? undefined : nodePort,
        externalIPs: (spec.externalIPs ?? []).filter(ofFamily),
        loadBalancerIPs: spec.type === 'LoadBalancer' ? balancers.filter(ofFamily) : [],
        sourceRanges: spec.loadBalancerSourceRanges ?? [],
        affinitySeconds:
          spec.sessionAffinity === 'ClientIP'
            ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800)
            : undefined,
        internalEndpoints: plain(internal),
        externalEndpoints: plain(external),
        dropInternal: localInternal && internal.length === 0 && cluster.length > 0,
        dropExternal: localExternal && external.length === 0 && cluster.length > 0,
        keepClientAddress: localExternal,
      })
    }
  }
  return rules
}
