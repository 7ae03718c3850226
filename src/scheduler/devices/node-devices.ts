// The devices that ResourceSlices offer to a node, pool by pool. Of a pool only the newest generation counts, and it is
// complete when all of its slices are there. A node is asked only about pools that may reach it, and what a pool is is worked
// out once for as long as its slices stay the same.
import type { NodeSelector } from '../../api/core/affinity.ts'
import { compileTerms, type MatchableNode, type NodePredicate } from '../../api/core/node-match.ts'
import { deviceId, poolId } from '../../api/resource/devices.ts'
import { byPool, type Device, deviceIn, newestGeneration } from '../../api/resource/pools.ts'
import type { ResourceSlice } from '../../api/resource/resource.ts'
import type { Index, Informer } from '../../client/informer.ts'

type Counters = NonNullable<ResourceSlice['spec']['sharedCounters']>[number]['counters']

export interface NodeDevice {
  /** "driver/pool/device" */
  readonly id: string
  readonly driver: string
  readonly pool: Pool
  readonly device: Device
  readonly slice: ResourceSlice
}
export interface Pool {
  readonly driver: string
  readonly name: string
  readonly complete: boolean
  /** Those that take from counters, wherever they are. */
  readonly consumers: readonly NodeDevice[]
  readonly counters: ReadonlyMap<string, Counters>
  /** By the slice that tells of them; slices of older generations tell of none. */
  readonly devices: ReadonlyMap<ResourceSlice, readonly NodeDevice[]>
}
/** What a node can reach of a pool. */
export interface NearPool {
  readonly pool: Pool
  readonly devices: readonly NodeDevice[]
}

const predicates = new WeakMap<NodeSelector, NodePredicate>()
/** A node selector of a slice, a device or an allocation; compiled once. */
export function matchesNode(selector: NodeSelector, node: MatchableNode): boolean {
  let matches = predicates.get(selector)
  if (matches === undefined) predicates.set(selector, (matches = compileTerms(selector.nodeSelectorTerms)))
  return matches(node)
}
interface Place {
  readonly nodeName?: string | undefined
  readonly nodeSelector?: NodeSelector | undefined
  readonly allNodes?: boolean | undefined
}
const offers = ({ nodeName, nodeSelector, allNodes }: Place, node: MatchableNode): boolean =>
  allNodes === true || nodeName === node.name || (nodeSelector !== undefined && matchesNode(nodeSelector, node))

/** Of slices that name no node for all their devices. */
const anyNode = '*'
const byReach = ({ spec }: ResourceSlice): readonly string[] => [spec.nodeName ? spec.nodeName : anyNode]

function poolOf(members: readonly ResourceSlice[]): Pool {
  const newest = newestGeneration(members)
  const devices = new Map<ResourceSlice, readonly NodeDevice[]>()
  const consumers: NodeDevice[] = []
  const counters = new Map<string, Counters>()
  const { driver, pool: of } = (members[0] as ResourceSlice).spec
  const pool = { driver, name: of.name, complete: false, consumers, counters, devices }
  for (const slice of members) {
    const { spec } = slice
    if (spec.pool.generation !== newest) continue
    for (const { name, counters: set } of spec.sharedCounters ?? []) counters.set(name, set)
    const offered = (spec.devices ?? []).map(
      (device): NodeDevice => ({ id: deviceId(driver, of.name, device.name), driver, pool, device, slice }),
    )
    devices.set(slice, offered)
    consumers.push(...offered.filter(({ device }) => (device.consumesCounters ?? []).length > 0))
  }
  const [slice] = devices.keys()
  return Object.assign(pool, { complete: devices.size === slice?.spec.pool.resourceSliceCount })
}

/** The pools of a cluster, found by name and by the node that can reach them. */
export class Pools {
  private readonly members: Index<ResourceSlice>
  private readonly reach: Index<ResourceSlice>
  /** By the list of a pool's slices, which is another one when one of them changed. */
  private readonly known = new WeakMap<readonly ResourceSlice[], Pool>()
  constructor(slices: Informer<ResourceSlice>) {
    this.members = slices.index(byPool)
    this.reach = slices.index(byReach)
  }
  /** A device as its pool tells of it now. */
  device(driver: string, pool: string, name: string): Device | undefined {
    return deviceIn(this.members.get(poolId(driver, pool)), name)
  }
  /** What is offered to the node. */
  near(node: MatchableNode): readonly NearPool[] {
    const found = new Map<Pool, NodeDevice[]>()
    for (const slices of [this.reach.get(node.name), this.reach.get(anyNode)])
      for (const slice of slices) {
        const { spec } = slice
        const pool = this.pool(spec.driver, spec.pool.name)
        const each = spec.perDeviceNodeSelection === true
        if (!each && !offers(spec, node)) continue
        const all = pool.devices.get(slice) ?? []
        const devices = each ? all.filter(({ device }) => offers(device, node)) : all
        if (devices.length === 0) continue
        const before = found.get(pool)
        if (before === undefined) found.set(pool, [...devices])
        else before.push(...devices)
      }
    return [...found].map(([pool, devices]) => ({ pool, devices }))
  }
  private pool(driver: string, name: string): Pool {
    const members = this.members.get(poolId(driver, name))
    let pool = this.known.get(members)
    if (pool === undefined) this.known.set(members, (pool = poolOf(members)))
    return pool
  }
}
const shared = new WeakMap<Informer<ResourceSlice>, Pools>()
/** Shared by the plugins and profiles that have the same cache. */
export function poolsOf(slices: Informer<ResourceSlice>): Pools {
  let pools = shared.get(slices)
  if (pools === undefined) shared.set(slices, (pools = new Pools(slices)))
  return pools
}

/** Where all of the devices can be used; undefined for everywhere. */
export function nodeSelectorOf(devices: readonly NodeDevice[], nodeName: string): NodeSelector | undefined {
  const selectors: NodeSelector[] = []
  for (const { device, slice } of devices) {
    const { nodeName: only, nodeSelector } = slice.spec.perDeviceNodeSelection === true ? device : slice.spec
    // a device may be there for the chosen node alone, once it is prepared for it (KEP-5007)
    if ((only !== undefined && only !== '') || device.bindsToNode === true)
      return { nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: [nodeName] }] }] }
    if (nodeSelector !== undefined) selectors.push(nodeSelector)
  }
  const [first] = selectors
  if (first === undefined) return undefined
  // A slice's selector has exactly one term.
  const terms = [...new Set(selectors)].flatMap(({ nodeSelectorTerms }) => nodeSelectorTerms)
  const [matchExpressions, matchFields] = [
    terms.flatMap((term) => term.matchExpressions ?? []),
    terms.flatMap((term) => term.matchFields ?? []),
  ]
  return {
    nodeSelectorTerms: [
      {
        ...(matchExpressions.length === 0 ? {} : { matchExpressions }),
        ...(matchFields.length === 0 ? {} : { matchFields }),
      },
    ],
  }
}
