// What each NUMA node has of memory and huge pages, and which sets of nodes can give a container what it asks for: the node
// map and memory maps of KEP-1769. Pure. A node gives either to containers that need it alone, or to those of one group of
// nodes, never to both: what a group spreads over its nodes cannot be counted in one of them.
import type { MachineFacts } from '../ports/node-host.ts'
import { hugepageResource } from './resources.ts'
import { better, type Hint, maskOf, subsetsOf } from './topology-hints.ts'

/** Bytes of one type on one NUMA node, as the state file says them. */
interface MemoryTable {
  readonly total: number
  readonly systemReserved: number
  readonly allocatable: number
  readonly reserved: number
  readonly free: number
}
interface NumaState {
  readonly numberOfAssignments: number
  /** By type: memory, hugepages-2Mi ... */
  readonly memoryMap: Readonly<Record<string, MemoryTable>>
  /** The group that it gives to: itself alone, or nodes that give together. */
  readonly cells: readonly number[]
}
/** By NUMA node. */
export type NodeMap = ReadonlyMap<number, NumaState>

/** So much of one type from these NUMA nodes. */
export interface MemoryBlock {
  readonly numaAffinity: readonly number[]
  readonly type: string
  readonly size: number
}
/** Bytes by type. */
export type MemoryAmounts = ReadonlyMap<string, number>
export interface MemoryReservation {
  readonly numaNode: number
  readonly limits: Readonly<Record<string, number>>
}

/** The machine while nobody has anything. What huge pages take cannot be had as plain memory. */
export function emptyNodeMap(numaNodes: MachineFacts['numaNodes'], reserved: readonly MemoryReservation[]): NodeMap {
  return new Map(
    numaNodes.map(({ id, memoryBytes, hugepages }) => {
      const limits = Object.assign({}, ...reserved.filter((r) => r.numaNode === id).map((r) => r.limits)) as Readonly<
        Record<string, number>
      >
      const pages = hugepages.reduce((sum, { bytes }) => sum + bytes, 0)
      const table = (name: string, total: number, without = 0): [string, MemoryTable] => {
        const systemReserved = limits[name] ?? 0
        const allocatable = Math.max(0, total - systemReserved - without)
        return [name, { total, systemReserved, allocatable, reserved: 0, free: allocatable }]
      }
      const memoryMap = Object.fromEntries([
        table('memory', memoryBytes, pages),
        ...hugepages.map(({ pageSize, bytes }) => table(hugepageResource(pageSize), bytes)),
      ])
      return [id, { numberOfAssignments: 0, memoryMap, cells: [id] }]
    }),
  )
}

/** The map after these blocks were given, the first nodes of a group first. */
export function withBlocks(map: NodeMap, blocks: readonly MemoryBlock[]): NodeMap {
  const after = new Map(map)
  for (const { numaAffinity, type, size } of blocks) {
    let left = size
    for (const id of numaAffinity) {
      const state = after.get(id)
      if (state === undefined) continue
      const table = state.memoryMap[type]
      const taken = Math.min(left, table?.free ?? 0)
      left -= taken
      after.set(id, {
        numberOfAssignments: state.numberOfAssignments + 1,
        cells: numaAffinity,
        memoryMap:
          table === undefined
            ? state.memoryMap
            : { ...state.memoryMap, [type]: { ...table, reserved: table.reserved + taken, free: table.free - taken } },
      })
    }
  }
  return after
}

export const nodesIn = (mask: number): readonly number[] =>
  Array.from({ length: 31 }, (_, id) => id).filter((id) => (mask & (1 << id)) !== 0)

/** Whether nodes may give together: each is free, or gives with exactly these already. */
function mayGive(map: NodeMap, nodes: readonly number[]): boolean {
  return nodes.every((id) => {
    const state = map.get(id)
    if (state === undefined) return false
    if (nodes.length === 1) return state.cells.length === 1
    return state.numberOfAssignments === 0 || String(state.cells) === String(nodes)
  })
}

/** Sets of nodes that have all of `wanted` free. */
export function memoryHints(map: NodeMap, wanted: MemoryAmounts): readonly Hint[] {
  const all = maskOf(map.keys())
  const has = (nodes: readonly number[], of: 'allocatable' | 'free') =>
    [...wanted].every(
      ([type, size]) => nodes.reduce((sum, id) => sum + (map.get(id)?.memoryMap[type]?.[of] ?? 0), 0) >= size,
    )
  const sets = subsetsOf(all).map((mask) => ({ mask, nodes: nodesIn(mask) }))
  const least = Math.min(...sets.filter(({ nodes }) => has(nodes, 'allocatable')).map(({ nodes }) => nodes.length))
  return sets
    .filter(({ nodes }) => mayGive(map, nodes) && has(nodes, 'free'))
    .map(({ mask, nodes }) => ({ nodes: mask, preferred: nodes.length === least }))
    .sort(better)
}

/** Where a container gets its memory: from `near`, else from the fewest nodes with these among them; without a wish from the
 * best there are. Undefined where nothing will do. */
export function chooseNodes(map: NodeMap, wanted: MemoryAmounts, near: number | undefined): number | undefined {
  const hints = memoryHints(map, wanted)
  if (near === undefined) return hints[0]?.nodes
  const wider = hints.filter((hint) => (hint.nodes & near) === near)
  return wider.find((hint) => hint.nodes === near)?.nodes ?? wider[0]?.nodes
}
