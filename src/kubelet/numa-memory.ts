// The static memory policy (https://kubernetes.io/docs/tasks/administer-cluster/memory-manager/): containers of Guaranteed
// pods get their memory and huge pages from as few NUMA nodes as can give it, and may use no others (cpuset.mems). Who has
// what is kept in a file in upstream's form, so that a restarted kubelet knows it; the map of the nodes follows from that.
import type { Disk } from '../ports/disk.ts'
import type { Log } from '../ports/log.ts'
import type { MachineFacts } from '../ports/node-host.ts'
import type { NumaMemorySet } from '../ports/pod-resources.ts'
import type { KubeletConfig } from './config.ts'
import { formatCpus } from './cpu-list.ts'
import {
  chooseNodes,
  emptyNodeMap,
  type MemoryAmounts,
  type MemoryBlock,
  memoryHints,
  type NodeMap,
  nodesIn,
  withBlocks,
} from './memory-map.ts'
import { amount, qosOf, reservedAmount } from './resources.ts'
import { thresholdAmount } from './node-status.ts'
import type { Hint } from './topology-hints.ts'
import { type Container, isSidecar, lastingContainers, type Pod } from './types.ts'

const isMemory = (name: string) => name === 'memory' || name.startsWith('hugepages-')
function requestsOf(container: Container): MemoryAmounts {
  const { requests, limits } = container.resources ?? {}
  const list = { ...limits, ...requests }
  return new Map(
    Object.keys(list)
      .filter(isMemory)
      .map((name) => [name, amount(list, name)] as const)
      .filter(([, size]) => size > 0),
  )
}
const together = (containers: readonly Container[]): MemoryAmounts => {
  const sum = new Map<string, number>()
  for (const container of containers)
    for (const [name, size] of requestsOf(container)) sum.set(name, (sum.get(name) ?? 0) + size)
  return sum
}
/** What a pod needs in all: containers that last together, or the one init container that needs more. */
function podAmounts({ initContainers = [], containers }: Pod['spec']): MemoryAmounts {
  const most = new Map(together([...initContainers.filter(isSidecar), ...containers]))
  for (const container of initContainers)
    for (const [name, size] of requestsOf(container)) most.set(name, Math.max(size, most.get(name) ?? 0))
  return most
}

/** Why the reserved amounts do not fit the machine and what is kept from pods in all; undefined where they do. */
export function reservedMemoryProblem(
  config: Parameters<typeof reservedAmount>[0] & Pick<KubeletConfig, 'reservedMemory' | 'evictionHard'>,
  machine: Pick<MachineFacts, 'numaNodes' | 'memoryBytes'>,
): string | undefined {
  const sums = new Map<string, number>([['memory', 0]])
  for (const { numaNode, limits } of config.reservedMemory) {
    if (!machine.numaNodes.some(({ id }) => id === numaNode))
      return `the reserved memory configuration references a NUMA node ${numaNode} that does not exist on this machine`
    for (const [type, bytes] of Object.entries(limits)) sums.set(type, (sums.get(type) ?? 0) + bytes)
  }
  for (const [type, sum] of sums) {
    const evicted =
      type === 'memory' ? thresholdAmount(config.evictionHard['memory.available'], machine.memoryBytes) : 0
    const kept = reservedAmount(config, type) + evicted
    if (kept !== sum)
      return `the total amount "${sum}" of type "${type}" is not equal to the value "${kept}" determined by Node Allocatable feature`
  }
  return undefined
}

interface Saved {
  readonly policyName: string
  readonly machineState: Readonly<Record<string, unknown>>
  readonly entries?: Readonly<Record<string, Readonly<Record<string, readonly MemoryBlock[]>>>>
}
/** By container name. */
type PodBlocks = ReadonlyMap<string, readonly MemoryBlock[]>

export interface NumaMemoryOptions extends Pick<KubeletConfig, 'memoryManagerPolicy' | 'reservedMemory'> {
  readonly numaNodes: MachineFacts['numaNodes']
  readonly disk: Disk
  readonly log: Log
  readonly file: string
}

/** What a pod would have while its containers are placed one after another. */
export interface MemoryDraft {
  /** Sets of nodes for containers, all of them together; undefined where it does not matter. */
  hints(containers: readonly Container[]): readonly Hint[] | undefined
  /** Counts that a container got its memory from these nodes. */
  take(container: Container, nodes: number | undefined): void
}

export class NumaMemory {
  readonly #options: NumaMemoryOptions
  readonly #empty: NodeMap
  readonly #own = new Map<string, PodBlocks>()
  #saving: Promise<void> = Promise.resolve()
  constructor(options: NumaMemoryOptions) {
    this.#options = options
    this.#empty = emptyNodeMap(options.numaNodes, options.reservedMemory)
  }
  async start(): Promise<void> {
    const { memoryManagerPolicy, disk, file } = this.#options
    if (memoryManagerPolicy === 'None') return disk.remove(file)
    const text = await disk.readFile(file)
    if (text === undefined) return this.#save()
    const saved = JSON.parse(new TextDecoder().decode(text)) as Saved
    for (const [uid, containers] of Object.entries(saved.entries ?? {}))
      this.#own.set(uid, new Map(Object.entries(containers)))
  }

  /** Resources of the pod as a whole are not placed (KEP-2837). */
  #places(pod: Pod): boolean {
    return (
      this.#options.memoryManagerPolicy === 'Static' && qosOf(pod) === 'Guaranteed' && pod.spec.resources === undefined
    )
  }
  draft(pod: Pod): MemoryDraft {
    if (!this.#places(pod)) return { hints: () => undefined, take: () => {} }
    let map = this.#map()
    const every = lastingContainers(pod.spec)
    return {
      hints(containers) {
        const wanted = containers.length === every.length ? podAmounts(pod.spec) : together(containers)
        return wanted.size === 0 ? undefined : memoryHints(map, wanted)
      },
      take(container, nodes) {
        const wanted = requestsOf(container)
        const mask = chooseNodes(map, wanted, nodes)
        if (mask !== undefined) map = withBlocks(map, blocksOf(wanted, mask))
      },
    }
  }
  /** Gives a pod its memory, from the NUMA nodes of each container; answers why that is not possible. */
  allocate(pod: Pod, nodesOf: ReadonlyMap<string, number> = new Map()): string | undefined {
    const { uid } = pod.metadata
    if (!this.#places(pod) || this.#own.has(uid)) return undefined
    const { initContainers = [], containers } = pod.spec
    const mine = new Map<string, readonly MemoryBlock[]>()
    let map = this.#map()
    for (const container of [...initContainers.filter(isSidecar), ...containers]) {
      const blocks = this.#choose(map, requestsOf(container), nodesOf.get(container.name))
      if (blocks === undefined) return noNodes
      map = withBlocks(map, blocks)
      mine.set(container.name, blocks)
    }
    // Init containers have ended before the apps start: they use what these will have, and hold only what goes beyond it.
    const later = containers.flatMap((c) => mine.get(c.name) ?? [])
    for (const container of initContainers.filter((c) => !isSidecar(c))) {
      const blocks = this.#chooseBefore(map, later, container, nodesOf.get(container.name))
      if (blocks === undefined) return noNodes
      map = withBlocks(map, blocks)
      later.push(...blocks)
      mine.set(container.name, blocks)
    }
    this.#own.set(uid, mine)
    this.#changed()
    return undefined
  }
  #choose(map: NodeMap, wanted: MemoryAmounts, near: number | undefined): readonly MemoryBlock[] | undefined {
    const nodes = chooseNodes(map, wanted, near)
    return nodes === undefined ? undefined : blocksOf(wanted, nodes)
  }
  #chooseBefore(map: NodeMap, later: readonly MemoryBlock[], container: Container, near: number | undefined) {
    const wanted = requestsOf(container)
    // A group of nodes that the pod will have anyway is as good as what is near.
    const groups = new Map(later.map(({ numaAffinity }) => [String(numaAffinity), numaAffinity]))
    for (const nodes of groups.values()) {
      const beyond = new Map(
        [...wanted].map(([type, size]) => {
          const had = later.filter((b) => b.type === type && String(b.numaAffinity) === String(nodes))
          return [type, Math.max(0, size - had.reduce((sum, b) => sum + b.size, 0))] as const
        }),
      )
      const mask = nodes.reduce((bits, id) => bits | (1 << id), 0)
      if ((near === undefined || near === mask) && chooseNodes(map, beyond, mask) === mask)
        return blocksOf(beyond, mask)
    }
    return this.#choose(map, wanted, near)
  }

  /** NUMA nodes that a container's memory may come from ("0-1"); undefined for any. */
  memsOf(uid: string, container: string): string | undefined {
    const blocks = this.#own.get(uid)?.get(container)
    return blocks === undefined || blocks.length === 0 ? undefined : formatCpus(blocks.flatMap((b) => b.numaAffinity))
  }
  /** What a container has for itself. */
  heldBy(uid: string, container: string): readonly NumaMemorySet[] {
    return (this.#own.get(uid)?.get(container) ?? [])
      .filter(({ size }) => size > 0)
      .map(({ type, size, numaAffinity }) => ({ type, bytes: size, numaNodes: numaAffinity }))
  }
  /** All that containers can have for themselves; none without the policy. */
  allocatable(): readonly NumaMemorySet[] {
    if (this.#options.memoryManagerPolicy === 'None') return []
    return [...this.#empty].flatMap(([id, { memoryMap }]) =>
      Object.entries(memoryMap).flatMap(([type, { allocatable }]) =>
        allocatable === 0 ? [] : [{ type, bytes: allocatable, numaNodes: [id] }],
      ),
    )
  }
  /** Pods that hold some. */
  holders(): readonly string[] {
    return [...this.#own.keys()]
  }
  /** The pod has ended: its memory is free. */
  release(uid: string): void {
    if (this.#own.delete(uid)) this.#changed()
  }

  #map(): NodeMap {
    return withBlocks(
      this.#empty,
      [...this.#own.values()].flatMap((containers) => [...containers.values()].flat()),
    )
  }
  /** Boundary: what cannot be written now is written with the next change. */
  #changed(): void {
    this.#saving = this.#saving
      .then(() => this.#save())
      .catch((error: unknown) => {
        this.#options.log.warn('cannot write down whose memory is where', { error: String(error) })
      })
  }
  async #save(): Promise<void> {
    const { memoryManagerPolicy, disk, file } = this.#options
    const saved: Saved = {
      policyName: memoryManagerPolicy,
      machineState: Object.fromEntries(this.#map()),
      entries: Object.fromEntries([...this.#own].map(([uid, containers]) => [uid, Object.fromEntries(containers)])),
    }
    await disk.replaceFile(file, new TextEncoder().encode(JSON.stringify(saved)))
  }
}

const noNodes =
  'Allocate failed due to [memorymanager] failed to get the default NUMA affinity, no NUMA nodes with enough memory is available, which is unexpected'
const blocksOf = (amounts: MemoryAmounts, mask: number): readonly MemoryBlock[] =>
  [...amounts].map(([type, size]) => ({ numaAffinity: nodesIn(mask), type, size }))
