// What a pod needs of a node in sum. Init containers run one after another, so the largest counts; sidecars started
// before it run beside it. Overhead comes on top, and resources of the whole pod replace the sums.
import { addQuantities, formatQuantity, maxQuantity } from '../machinery/quantity.ts'
import { isSidecar } from './container.ts'

export type Amounts = Readonly<Record<string, string>>
interface Requirements {
  readonly requests?: Amounts | undefined
  readonly limits?: Amounts | undefined
}
interface WithResources {
  readonly resources?: Requirements | undefined
  readonly restartPolicy?: string | undefined
}
export interface ResourcefulSpec {
  readonly containers: readonly WithResources[]
  readonly initContainers?: readonly WithResources[] | undefined
  readonly resources?: Requirements | undefined
  readonly overhead?: Amounts | undefined
}

type Sums = Record<string, string>
function add(to: Sums, more: Amounts | undefined): void {
  for (const name in more) {
    const amount = more[name]
    const sum = to[name]
    if (amount !== undefined) to[name] = sum === undefined ? amount : formatQuantity(addQuantities(sum, amount))
  }
}
function raise(to: Sums, other: Amounts): void {
  for (const name in other) {
    const amount = other[name]
    const most = to[name]
    if (amount !== undefined) to[name] = most === undefined ? amount : formatQuantity(maxQuantity(most, amount))
  }
}

const isPodLevel = (name: string): boolean => name === 'cpu' || name === 'memory' || name.startsWith('hugepages-')

/** Sum over the containers alone, of their requests or limits. */
export function containersTotal(spec: ResourcefulSpec, which: 'requests' | 'limits'): Record<string, string> {
  const total: Sums = {}
  for (const container of spec.containers) add(total, container.resources?.[which])
  const sidecars: Sums = {}
  const initPeak: Sums = {}
  for (const container of spec.initContainers ?? []) {
    const own = container.resources?.[which]
    if (isSidecar(container)) {
      add(total, own)
      add(sidecars, own)
      raise(initPeak, sidecars)
    } else {
      const during: Sums = {}
      add(during, own)
      add(during, sidecars)
      raise(initPeak, during)
    }
  }
  raise(total, initPeak)
  return total
}
function podTotal(spec: ResourcefulSpec, which: 'requests' | 'limits', options: { readonly overhead: boolean }): Sums {
  const total = containersTotal(spec, which)
  const podLevel = spec.resources?.[which]
  for (const name in podLevel) {
    const amount = podLevel[name]
    if (amount !== undefined && isPodLevel(name)) total[name] = amount
  }
  if (options.overhead) {
    if (which === 'requests') add(total, spec.overhead)
    else for (const name in spec.overhead) if (name in total) add(total, { [name]: spec.overhead[name] ?? '0' })
  }
  return total
}
/** What the scheduler and quotas count. */
export const podRequests = (spec: ResourcefulSpec, options = { overhead: true }): Record<string, string> =>
  podTotal(spec, 'requests', options)
/** A limit is only there when every container sums into it; overhead is added to the limits that exist. */
export const podLimits = (spec: ResourcefulSpec, options = { overhead: true }): Record<string, string> =>
  podTotal(spec, 'limits', options)
