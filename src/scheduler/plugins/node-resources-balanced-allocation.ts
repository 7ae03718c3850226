// Prefers the node whose use of cpu and memory (or of the resources named) the pod makes more even, or less uneven. What
// counts is the change: a node that is balanced already is not better than one that the pod balances.
import type { PluginFactory } from '../framework.ts'
import { CPU, MEMORY } from '../state/amounts.ts'
import type { NodeInfo } from '../state/node-info.ts'
import type { PodInfo } from '../state/pod-info.ts'
import { maxScore } from './normalize.ts'
import { defaultResources, type ResourceWeight } from './scoring-strategy.ts'

export interface BalancedAllocationArgs {
  readonly resources?: readonly ResourceWeight[]
}
/** The score of a node whose balance does not change. */
const unchanged = 75

function requestOf({ requests }: PodInfo, id: number): number {
  const at = requests.ids.indexOf(id)
  return at === -1 ? 0 : (requests.amounts[at] ?? 0)
}
const share = (requested: number, offered: number): number => Math.min(1, requested / offered)

/** 100 where all shares are equal, less by their standard deviation (half the distance for two). */
function balance(shares: readonly number[]): number {
  if (shares.length < 2) return maxScore
  if (shares.length === 2) return balanceOfTwo(shares[0] ?? 0, shares[1] ?? 0)
  const mean = shares.reduce((sum, s) => sum + s, 0) / shares.length
  const variance = shares.reduce((sum, s) => sum + (s - mean) ** 2, 0) / shares.length
  return Math.trunc((1 - Math.sqrt(variance)) * maxScore)
}
const balanceOfTwo = (a: number, b: number): number => Math.trunc((1 - Math.abs(a - b) / 2) * maxScore)
const scoreOf = (before: number, after: number): number =>
  Math.max(0, Math.min(maxScore, Math.trunc(unchanged + (after - before) / 2)))

export const nodeResourcesBalancedAllocation: PluginFactory = {
  name: 'NodeResourcesBalancedAllocation',
  create({ state }, args) {
    const { resources = defaultResources } = (args ?? {}) as BalancedAllocationArgs
    const ids = resources.map(({ name }) => state.resources.idOf(name))
    const usual = ids.length === 2 && ids.includes(CPU) && ids.includes(MEMORY)
    const general = (pod: PodInfo, node: NodeInfo): number => {
      const before: number[] = []
      const after: number[] = []
      for (const id of ids) {
        const wanted = requestOf(pod, id)
        const offered = node.allocatable.get(id)
        if (offered === 0 || (id > MEMORY && wanted === 0)) continue
        before.push(share(node.requested.get(id), offered))
        after.push(share(node.requested.get(id) + wanted, offered))
      }
      return scoreOf(balance(before), balance(after))
    }
    return {
      name: 'NodeResourcesBalancedAllocation',
      signature: ({ requests }) => requests.key,
      // a pod that asks for nothing balances nothing
      preScore: ({ pod }) => (pod.requests.ids.length === 0 ? 'skip' : undefined),
      score({ pod }, node) {
        if (!usual || node.cpu === 0 || node.memory === 0) return general(pod, node)
        const { requestedCpu, requestedMemory } = node
        const before = balanceOfTwo(share(requestedCpu, node.cpu), share(requestedMemory, node.memory))
        const cpu = share(requestedCpu + pod.requests.cpu, node.cpu)
        return scoreOf(before, balanceOfTwo(cpu, share(requestedMemory + pod.requests.memory, node.memory)))
      },
    }
  },
}
