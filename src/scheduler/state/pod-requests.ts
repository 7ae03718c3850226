// What a pod takes of a node, as numbers. Init containers run one after another beside the sidecars started before them,
// so the peak counts; a resize in progress counts with the larger of what is wished and what is held (KEP-1287).
import { isSidecar } from '../../api/core/container.ts'
import type { Pod } from '../../api/core/pod.ts'
import { amountOf, CPU, MEMORY, type ResourceNames } from './amounts.ts'

type Quantities = Readonly<Record<string, string>>
type Sums = Map<number, number>

/** Scoring treats a container that asks for nothing as if it asked for this much. */
const assumedCpuMilli = 100
const assumedMemoryBytes = 200 * 1024 * 1024

export interface Requests {
  /** Resource numbers with an amount above zero. */
  readonly ids: readonly number[]
  readonly amounts: readonly number[]
  readonly cpu: number
  readonly memory: number
  /** With an assumed amount for every container that asks for nothing. */
  readonly scoredCpu: number
  readonly scoredMemory: number
  /** Equal for pods that ask for the same. */
  readonly key: string
}

interface Held {
  readonly name: string
  readonly allocatedResources?: Quantities | undefined
  readonly resources?: { readonly requests?: Quantities | undefined } | undefined
}

const infeasible = (pod: Pod): boolean =>
  pod.status.conditions?.some((c) => c.type === 'PodResizePending' && c.reason === 'Infeasible') ?? false

class Summer {
  private readonly names: ResourceNames
  private readonly assumed: boolean
  private readonly held: ReadonlyMap<string, Held>
  private readonly heldOnly: boolean
  constructor(names: ResourceNames, assumed: boolean, pod: Pod) {
    this.names = names
    this.assumed = assumed
    const statuses: readonly Held[] = [
      ...(pod.status.containerStatuses ?? []),
      ...(pod.status.initContainerStatuses ?? []),
    ]
    this.held = new Map(statuses.map((status) => [status.name, status]))
    this.heldOnly = infeasible(pod)
  }
  private raise(to: Sums, quantities: Quantities | undefined): void {
    for (const name in quantities) {
      const text = quantities[name]
      if (text === undefined) continue
      const id = this.names.idOf(name)
      to.set(id, Math.max(to.get(id) ?? 0, amountOf(id, text)))
    }
  }
  private of(container: {
    readonly name: string
    readonly resources?: { readonly requests?: Quantities | undefined } | undefined
  }): Sums {
    const sums: Sums = new Map()
    const held = this.held.get(container.name)
    const isHeld = held?.allocatedResources !== undefined || held?.resources?.requests !== undefined
    if (!this.heldOnly || !isHeld) this.raise(sums, container.resources?.requests)
    if (isHeld) {
      this.raise(sums, held.allocatedResources)
      this.raise(sums, held.resources?.requests)
    }
    if (this.assumed) {
      if (!sums.has(CPU)) sums.set(CPU, assumedCpuMilli)
      if (!sums.has(MEMORY)) sums.set(MEMORY, assumedMemoryBytes)
    }
    return sums
  }
  total(pod: Pod): Sums {
    const { spec } = pod
    const total: Sums = new Map()
    for (const container of spec.containers) addTo(total, this.of(container))
    if (spec.initContainers !== undefined) {
      const sidecars: Sums = new Map()
      const peak: Sums = new Map()
      for (const container of spec.initContainers) {
        const own = this.of(container)
        if (isSidecar(container)) {
          addTo(total, own)
          addTo(sidecars, own)
          raiseTo(peak, sidecars)
        } else {
          addTo(own, sidecars)
          raiseTo(peak, own)
        }
      }
      raiseTo(total, peak)
    }
    for (const name in spec.resources?.requests) {
      const text = spec.resources.requests[name]
      if (text === undefined || !(name === 'cpu' || name === 'memory' || name.startsWith('hugepages-'))) continue
      const id = this.names.idOf(name)
      total.set(id, amountOf(id, text))
    }
    for (const name in spec.overhead) {
      const text = spec.overhead[name]
      const id = this.names.idOf(name)
      if (text !== undefined) total.set(id, (total.get(id) ?? 0) + amountOf(id, text))
    }
    return total
  }
}
function addTo(to: Sums, more: Sums): void {
  for (const [id, amount] of more) to.set(id, (to.get(id) ?? 0) + amount)
}
function raiseTo(to: Sums, other: Sums): void {
  for (const [id, amount] of other) to.set(id, Math.max(to.get(id) ?? 0, amount))
}

/** Sums up the requests of a pod, overhead included. */
export function requestsOf(pod: Pod, names: ResourceNames): Requests {
  const ids: number[] = []
  const amounts: number[] = []
  const real = new Summer(names, false, pod).total(pod)
  for (const [id, amount] of real)
    if (amount > 0) {
      ids.push(id)
      amounts.push(amount)
    }
  const cpu = real.get(CPU) ?? 0
  const memory = real.get(MEMORY) ?? 0
  const complete = (pod.spec.initContainers?.length ?? 0) === 0 && asksForBoth(pod)
  const scored = complete ? real : new Summer(names, true, pod).total(pod)
  const scoredCpu = scored.get(CPU) ?? 0
  const scoredMemory = scored.get(MEMORY) ?? 0
  const key = `${ids.join()}|${amounts.join()}|${scoredCpu}|${scoredMemory}`
  return { ids, amounts, cpu, memory, scoredCpu, scoredMemory, key }
}
/** Nothing is left to assume. */
const asksForBoth = (pod: Pod): boolean =>
  pod.spec.containers.every(
    ({ resources }) => resources?.requests?.['cpu'] !== undefined && resources.requests['memory'] !== undefined,
  )
