// Endpoints of a service spread over slices of at most 100, so that a change of one endpoint rewrites one small object.
// The plan touches as few slices as it can: what is right stays where it is, what is new fills slices that change anyway.
import { equal } from '../api/machinery/equal.ts'
import type { Endpoint, EndpointSlice } from '../api/discovery/endpoint-slice.ts'
import { canonicalJson } from './framework/hash.ts'
import type { AddressType, ResolvedPort } from './framework/service-pods.ts'

export const maxEndpointsPerSlice = 100

/** Endpoints that share an address family and a set of ports. */
export interface EndpointGroup {
  readonly addressType: AddressType
  readonly ports: readonly ResolvedPort[]
  readonly endpoints: readonly Endpoint[]
}
export interface SliceContent {
  readonly addressType: AddressType
  readonly ports: readonly ResolvedPort[]
  readonly endpoints: readonly Endpoint[]
}
export interface SlicePlan {
  readonly create: readonly SliceContent[]
  readonly update: readonly { readonly slice: EndpointSlice; readonly endpoints: readonly Endpoint[] }[]
  readonly delete: readonly EndpointSlice[]
}

const portKey = (addressType: string, ports: readonly object[] | undefined): string =>
  `${addressType} ${[...(ports ?? [])]
    .map((port) => canonicalJson(withoutEmpty(port)))
    .sort()
    .join(' ')}`
/** An unnamed port is written with an empty name or none. */
const withoutEmpty = (port: object) => Object.fromEntries(Object.entries(port).filter(([, value]) => value !== ''))
/** What an endpoint is: its pod, or for want of one its address. */
const identity = (endpoint: Endpoint): string =>
  `${endpoint.targetRef?.uid ?? ''} ${endpoint.addresses.join(',')} ${endpoint.hostname ?? ''}`

interface Working {
  readonly slice: EndpointSlice
  endpoints: readonly Endpoint[]
  changed: boolean
}

function planGroup(group: EndpointGroup, slices: readonly EndpointSlice[]): SlicePlan {
  const wanted = new Map(group.endpoints.map((endpoint) => [identity(endpoint), endpoint]))
  const working: Working[] = slices.map((slice) => {
    let changed = false
    const endpoints = (slice.endpoints ?? []).flatMap((endpoint) => {
      const next = wanted.get(identity(endpoint))
      wanted.delete(identity(endpoint))
      if (next === undefined || !equal(next, endpoint)) changed = true
      return next === undefined ? [] : [next]
    })
    return { slice, endpoints, changed }
  })
  const fresh = [...wanted.values()]
  const fill = (target: Working) => {
    const room = maxEndpointsPerSlice - target.endpoints.length
    const added = fresh.splice(0, Math.max(0, room))
    if (added.length === 0) return
    target.endpoints = [...target.endpoints, ...added]
    target.changed = true
  }
  for (const target of working) if (target.changed && target.endpoints.length > 0) fill(target)
  // A single new endpoint rather joins the slice with the least room that fits than starts one of its own.
  if (fresh.length > 0 && fresh.length < maxEndpointsPerSlice) {
    const fitting = working
      .filter(({ endpoints }) => endpoints.length > 0 && endpoints.length + fresh.length <= maxEndpointsPerSlice)
      .sort((a, b) => b.endpoints.length - a.endpoints.length)
    if (fitting[0] !== undefined) fill(fitting[0])
  }
  for (const target of working) if (target.endpoints.length === 0 && fresh.length > 0) fill(target)
  const create: SliceContent[] = []
  while (fresh.length > 0) create.push({ ...group, endpoints: fresh.splice(0, maxEndpointsPerSlice) })
  const used = working.filter(({ endpoints }) => endpoints.length > 0)
  return {
    create,
    update: used.filter(({ changed }) => changed).map(({ slice, endpoints }) => ({ slice, endpoints })),
    delete: working.filter(({ endpoints }) => endpoints.length === 0).map(({ slice }) => slice),
  }
}

/** Sorts endpoints with their ports into groups; every family has at least one, empty, so that a service is never
 * without a slice. */
export function groupEndpoints(
  addressTypes: readonly AddressType[],
  found: readonly {
    readonly addressType: AddressType
    readonly ports: readonly ResolvedPort[]
    readonly endpoint: Endpoint
  }[],
): readonly EndpointGroup[] {
  const groups = new Map<string, { addressType: AddressType; ports: readonly ResolvedPort[]; endpoints: Endpoint[] }>()
  for (const { addressType, ports, endpoint } of found) {
    const key = portKey(addressType, ports)
    const group = groups.get(key)
    if (group === undefined) groups.set(key, { addressType, ports, endpoints: [endpoint] })
    else group.endpoints.push(endpoint)
  }
  const empty = addressTypes.filter((type) => ![...groups.values()].some((group) => group.addressType === type))
  return [...groups.values(), ...empty.map((addressType) => ({ addressType, ports: [], endpoints: [] }))]
}

/** The writes that turn `slices` into what `groups` say. */
export function planSlices(groups: readonly EndpointGroup[], slices: readonly EndpointSlice[]): SlicePlan {
  const byPorts = new Map<string, EndpointSlice[]>()
  for (const slice of slices) {
    const key = portKey(slice.addressType, slice.ports)
    byPorts.set(key, [...(byPorts.get(key) ?? []), slice])
  }
  const create: SliceContent[] = []
  const update: SlicePlan['update'][number][] = []
  const remove: EndpointSlice[] = []
  for (const group of groups) {
    const key = portKey(group.addressType, group.ports)
    const mine = byPorts.get(key) ?? []
    byPorts.delete(key)
    if (group.endpoints.length === 0) {
      // The placeholder: one empty slice.
      const [first, ...rest] = mine
      if (first === undefined) create.push({ ...group, endpoints: [] })
      else if ((first.endpoints?.length ?? 0) > 0) update.push({ slice: first, endpoints: [] })
      remove.push(...rest)
      continue
    }
    const plan = planGroup(group, mine)
    create.push(...plan.create)
    update.push(...plan.update)
    remove.push(...plan.delete)
  }
  for (const unwanted of byPorts.values()) remove.push(...unwanted)
  return { create, update, delete: remove }
}
