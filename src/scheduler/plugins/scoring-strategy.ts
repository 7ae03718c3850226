// How full a node should be: LeastAllocated spreads, MostAllocated packs, RequestedToCapacityRatio follows a given shape.
import { CPU, MEMORY, type ResourceNames } from '../state/amounts.ts'
import type { NodeInfo } from '../state/node-info.ts'
import type { PodInfo } from '../state/pod-info.ts'
import { maxScore } from './normalize.ts'

export interface ResourceWeight {
  readonly name: string
  readonly weight?: number
}
export interface FitArgs {
  readonly ignoredResources?: readonly string[]
  /** example.com covers example.com/gpu. */
  readonly ignoredResourceGroups?: readonly string[]
  readonly scoringStrategy?: {
    readonly type?: 'LeastAllocated' | 'MostAllocated' | 'RequestedToCapacityRatio'
    readonly resources?: readonly ResourceWeight[]
    readonly requestedToCapacityRatio?: {
      /** Utilization in percent, score 0 to 10. */
      readonly shape: readonly { readonly utilization?: number; readonly score?: number }[]
    }
  }
}
export const defaultResources: readonly ResourceWeight[] = [{ name: 'cpu' }, { name: 'memory' }]

/** Requested and offered to a score; `requested` may exceed `offered`. */
type Rating = (requested: number, offered: number) => number
const least: Rating = (requested, offered) =>
  requested > offered ? 0 : Math.trunc(((offered - requested) * maxScore) / offered)
const most: Rating = (requested, offered) => Math.trunc((Math.min(requested, offered) * maxScore) / offered)

/** Linear between the points of the shape, level outside of it. */
function shaped(given: readonly { readonly utilization?: number; readonly score?: number }[]): Rating {
  const points = given.map(({ utilization = 0, score = 0 }) => ({ utilization, score }))
  const [first] = points
  const last = points.at(-1)
  if (first === undefined || last === undefined) throw new Error('requestedToCapacityRatio: shape has no points')
  const scale = maxScore / 10
  const at = (utilization: number): number => {
    if (utilization <= first.utilization) return first.score * scale
    for (let i = 1; i < points.length; i++) {
      const [from, to] = [points[i - 1] ?? first, points[i] ?? last]
      if (utilization > to.utilization) continue
      const share = (utilization - from.utilization) / (to.utilization - from.utilization)
      return Math.trunc(scale * (from.score + share * (to.score - from.score)))
    }
    return last.score * scale
  }
  return (requested, offered) => at(requested > offered ? 100 : Math.trunc((requested * 100) / offered))
}
function ratingOf({ scoringStrategy }: FitArgs): Rating {
  switch (scoringStrategy?.type) {
    case undefined:
    case 'LeastAllocated':
      return least
    case 'MostAllocated':
      return most
    case 'RequestedToCapacityRatio':
      return shaped(scoringStrategy.requestedToCapacityRatio?.shape ?? [])
  }
}

/** The weighted mean of the ratings of the resources that the node offers. */
export function createStrategy(args: FitArgs, names: ResourceNames): (pod: PodInfo, node: NodeInfo) => number {
  const rate = ratingOf(args)
  const resources = (args.scoringStrategy?.resources ?? defaultResources).map(({ name, weight = 1 }) => ({
    id: names.idOf(name),
    weight: weight === 0 ? 1 : weight,
  }))
  return (pod, node) => {
    let sum = 0
    let weights = 0
    for (const { id, weight } of resources) {
      const offered = id === CPU ? node.cpu : id === MEMORY ? node.memory : node.allocatable.get(id)
      if (offered === 0) continue
      const wanted = scored(pod, id)
      if (wanted === 0 && id > MEMORY) continue
      const taken = id === CPU ? node.scoredCpu : id === MEMORY ? node.scoredMemory : node.requested.get(id)
      sum += weight * rate(taken + wanted, offered)
      weights += weight
    }
    if (weights === 0) return 0
    return args.scoringStrategy?.type === 'RequestedToCapacityRatio'
      ? Math.round(sum / weights)
      : Math.trunc(sum / weights)
  }
}
function scored({ requests }: PodInfo, id: number): number {
  if (id === CPU) return requests.scoredCpu
  if (id === MEMORY) return requests.scoredMemory
  const at = requests.ids.indexOf(id)
  return at === -1 ? 0 : (requests.amounts[at] ?? 0)
}
