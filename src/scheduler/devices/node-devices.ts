// The devices that ResourceSlices offer to a node, pool by pool. Of a pool only the newest generation counts, and it is
// complete when all of its slices are there.
import type { NodeSelector } from '../../api/core/affinity.ts'
import type { Device } from '../../api/resource/pools.ts'
import type { ResourceSlice } from '../../api/resource/resource.ts'
import { deviceId } from '../../api/resource/devices.ts'
import { compileTerms, type MatchableNode, type NodePredicate } from '../../api/core/node-match.ts'

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
  /** Those that the node can reach. */
  readonly devices: NodeDevice[]
  /** Those that take from counters, wherever they are. */
  readonly consumers: NodeDevice[]
  readonly counters: Map<string, Counters>
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

/** What the slices offer to the node. */
export function poolsFor(slices: Iterable<ResourceSlice>, node: MatchableNode): readonly Pool[] {
  const newest = new Map<string, ResourceSlice[]>()
  for (const slice of slices) {
    const { driver, pool } = slice.spec
    const key = `${driver}/${pool.name}`
    const known = newest.get(key)
    const generation = known?.[0]?.spec.pool.generation ?? -1
    if (known === undefined || pool.generation > generation) newest.set(key, [slice])
    else if (pool.generation === generation) known.push(slice)
  }
  const pools: Pool[] = []
  for (const members of newest.values()) {
    const [first] = members
    if (first === undefined) continue
    const { driver, pool: of } = first.spec
    const complete = members.length === of.resourceSliceCount
    const pool: Pool = { driver, name: of.name, complete, devices: [], consumers: [], counters: new Map() }
    let near = false
    for (const slice of members) {
      const { spec } = slice
      for (const { name, counters } of spec.sharedCounters ?? []) pool.counters.set(name, counters)
      for (const device of spec.devices ?? []) {
        const offered: NodeDevice = { id: deviceId(driver, of.name, device.name), driver, pool, device, slice }
        if ((device.consumesCounters ?? []).length > 0) pool.consumers.push(offered)
        if (!offers(spec.perDeviceNodeSelection === true ? device : spec, node)) continue
        near = true
        pool.devices.push(offered)
      }
    }
    if (near) pools.push(pool)
  }
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
