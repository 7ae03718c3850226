// Topology aware routing: zones get a share of a Service's endpoints that fits their share of the CPU, and no hint at all
// where a zone would carry a fifth more than its part (KEP-2433,
// https://kubernetes.io/docs/concepts/services-networking/topology-aware-routing/). Pure.
import type { Node } from '../api/core/node.ts'
import type { Service } from '../api/core/service.ts'
import type { Endpoint } from '../api/discovery/endpoint-slice.ts'
import { quantityMilliValue } from '../api/machinery/quantity.ts'
import { findCondition } from './framework/conditions.ts'

export const zoneLabel = 'topology.kubernetes.io/zone'
const modeAnnotation = 'service.kubernetes.io/topology-mode'
const oldAnnotation = 'service.kubernetes.io/topology-aware-hints'
const controlPlaneLabels = ['node-role.kubernetes.io/control-plane', 'node-role.kubernetes.io/master']
/** What a zone may carry beyond its share. */
const overload = 0.2

/** Whether a Service asks for zones in proportion; it goes before spec.trafficDistribution. */
export function asksForZones({ metadata: { annotations = {} }, spec }: Service): boolean {
  const mode = annotations[modeAnnotation] ?? annotations[oldAnnotation] ?? ''
  return ['auto', 'Auto'].includes(mode) && spec.internalTrafficPolicy !== 'Local'
}

/** What a node adds to its zone; undefined for nodes that do not count. */
export function zonePart({ metadata, status }: Node): { readonly zone: string; readonly milliCpu: number } | undefined {
  const { labels = {} } = metadata
  const counts =
    findCondition(status.conditions, 'Ready')?.status === 'True' &&
    !controlPlaneLabels.some((label) => labels[label] !== undefined)
  if (!counts) return undefined
  return { zone: labels[zoneLabel] ?? '', milliCpu: quantityMilliValue(status.allocatable?.['cpu'] ?? '0') }
}

/** Zones and their parts of the CPU, adding up to 1; undefined where a node tells too little. */
export function zoneShares(nodes: Iterable<Node>): ReadonlyMap<string, number> | undefined {
  const cpus = new Map<string, number>()
  let total = 0
  for (const node of nodes) {
    const part = zonePart(node)
    if (part === undefined) continue
    const { zone, milliCpu } = part
    if (zone === '' || milliCpu === 0) return undefined
    cpus.set(zone, (cpus.get(zone) ?? 0) + milliCpu)
    total += milliCpu
  }
  return new Map([...cpus].map(([zone, cpu]) => [zone, cpu / total]))
}

export type ZoneHints =
  | { readonly zoneOf: ReadonlyMap<Endpoint, string> }
  /** Why there are none, as the event says it. */
  | { readonly refused: string }

/** How many of `count` endpoints each zone gets; undefined where one would carry too much. */
function allocate(shares: ReadonlyMap<string, number>, count: number): Map<string, number> | undefined {
  const given = new Map<string, number>()
  let left = count
  for (const [zone, share] of shares) {
    const least = Math.ceil((share * count) / (1 + overload))
    given.set(zone, least)
    left -= least
  }
  if (left < 0) return undefined
  const lack = (zone: string) => (shares.get(zone) ?? 0) * count - (given.get(zone) ?? 0)
  for (; left > 0; left--) {
    const [poorest = ''] = [...shares.keys()].sort((a, b) => lack(b) - lack(a) || (a < b ? -1 : 1))
    given.set(poorest, (given.get(poorest) ?? 0) + 1)
  }
  return given
}

/** The zone that each ready endpoint serves. An endpoint stays in its zone while that has room, and where it must serve
 * another one, it serves the one that it has served before (`before`). */
export function planZoneHints(
  endpoints: readonly Endpoint[],
  shares: ReadonlyMap<string, number> | undefined,
  before: (endpoint: Endpoint) => string | undefined,
): ZoneHints {
  const ready = endpoints.filter((e) => e.conditions?.ready !== false)
  if (shares === undefined)
    return { refused: 'Insufficient Node information: allocatable CPU or zone not specified on one or more nodes' }
  if (shares.size < 2) return { refused: 'Nodes only ready in one zone' }
  if (ready.some(({ zone }) => zone === undefined))
    return { refused: 'One or more endpoints do not have a zone specified' }
  const sizes = `(${ready.length} endpoints, ${shares.size} zones)`
  if (ready.length < shares.size) return { refused: `Insufficient number of endpoints ${sizes}` }
  const room = allocate(shares, ready.length)
  if (room === undefined)
    return {
      refused: `Unable to allocate minimum required endpoints to each zone without exceeding overload threshold ${sizes}`,
    }
  const zoneOf = new Map<Endpoint, string>()
  const take = (endpoint: Endpoint, zone: string | undefined) => {
    const left = zone === undefined ? 0 : (room.get(zone) ?? 0)
    if (zone === undefined || left === 0 || zoneOf.has(endpoint)) return
    room.set(zone, left - 1)
    zoneOf.set(endpoint, zone)
  }
  for (const endpoint of ready) if (before(endpoint) === endpoint.zone) take(endpoint, endpoint.zone)
  for (const endpoint of ready) take(endpoint, endpoint.zone)
  for (const endpoint of ready) take(endpoint, before(endpoint))
  for (const endpoint of ready) for (const zone of room.keys()) take(endpoint, zone)
  return { zoneOf }
}
