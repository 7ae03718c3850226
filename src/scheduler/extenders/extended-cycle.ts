// Placing a pod with extenders: they take their time, and the cluster does not stand still. So the plugins say which nodes are
// feasible, the extenders say what they think of these, and then the plugins are asked about what is left once more, without
// interruption, as for any other pod.
import type { Log } from '../../ports/log.ts'
import type { Binder } from '../binding.ts'
import { broken, type Cycle, unresolvable, unschedulable, type Verdict } from '../framework.ts'
import type { FrameworkRun, Placement } from '../framework-run.ts'
import type { NodeInfo } from '../state/node-info.ts'
import type { PodInfo } from '../state/pod-info.ts'
import { type Extender, ExtenderError } from './extender.ts'

interface Opinion {
  readonly passed: readonly NodeInfo[]
  /** Why not the others, by the node's name. */
  readonly refusals: ReadonlyMap<string, Verdict>
}
export type ExtendedPlacement =
  | { readonly cycle: Cycle; readonly placement: Placement }
  /** An extender that must be asked cannot be. */
  | { readonly failed: Verdict }

/** Places the pod of the cycles that `begin` makes, one for each time that the plugins are asked. */
export async function placeWithExtenders(
  run: FrameworkRun,
  begin: () => Cycle,
  extenders: readonly Extender[],
  log: Log,
): Promise<ExtendedPlacement> {
  let cycle = begin()
  const { pod } = cycle
  let found = run.feasible(cycle)
  if ('failure' in found) return { cycle, placement: { node: undefined, failure: found.failure } }
  let opinion = await filtered(extenders, pod, found.nodes, log)
  if ('failed' in opinion) return opinion
  if (opinion.passed.length === 0 && found.promised) {
    // the node that the pod was promised will not do: any other may
    found = run.feasible(begin(), { promised: false })
    if ('failure' in found) return refusedByAll(run, begin(), opinion)
    opinion = await filtered(extenders, pod, found.nodes, log)
    if ('failed' in opinion) return opinion
  }
  if (opinion.passed.length === 0) return refusedByAll(run, begin(), opinion)
  const scores = opinion.passed.length === 1 ? undefined : await prioritized(extenders, pod, opinion.passed, log)
  cycle = begin()
  const among = new Set(opinion.passed.map(({ name }) => name))
  const left = run.feasible(cycle, { among, promised: false })
  if ('failure' in left) return { cycle, placement: { node: undefined, failure: left.failure } }
  return { cycle, placement: run.choose(cycle, left, scores) }
}

/** What the plugins say now, and of the nodes that they let pass, what the extenders said. */
function refusedByAll(run: FrameworkRun, cycle: Cycle, { refusals }: Opinion): ExtendedPlacement {
  const found = run.feasible(cycle, { promised: false })
  if ('failure' in found) return { cycle, placement: { node: undefined, failure: found.failure } }
  for (const node of found.nodes) {
    const verdict = refusals.get(node.name)
    if (verdict !== undefined) found.verdicts.set(node.slot, verdict)
  }
  const { verdicts } = found
  const nodes = cycle.state.order.length
  return {
    cycle,
    placement: { node: undefined, failure: { preFilter: undefined, verdicts, plugins: verdicts.plugins, nodes } },
  }
}

/** Each extender sees what those before it let pass. */
async function filtered(
  extenders: readonly Extender[],
  pod: PodInfo,
  feasible: readonly NodeInfo[],
  log: Log,
): Promise<Opinion | { readonly failed: Verdict }> {
  let passed = feasible
  const refusals = new Map<string, Verdict>()
  for (const extender of extenders) {
    if (!extender.filters || passed.length === 0) continue
    const plugin = extender.name
    try {
      const answer = await extender.filter(pod, passed)
      const left = new Set(answer.passed)
      for (const { name } of passed.filter((node) => !left.has(node))) {
        const { message, hopeless } = answer.refused.get(name) ?? { message: '', hopeless: false }
        const reason = message === '' ? `node(s) didn't satisfy extender "${plugin}"` : message
        refusals.set(name, { plugin, rejection: hopeless ? unresolvable(reason) : unschedulable(reason) })
      }
      passed = answer.passed
    } catch (error) {
      if (!(error instanceof ExtenderError)) throw error
      if (!extender.ignorable) return { failed: { plugin, rejection: broken(error.message) } }
      log.warn('scheduling goes on without an extender', { extender: plugin, error: error.message })
    }
  }
  return { passed, refusals }
}

/** What all of them together add to the nodes' scores. Boundary: who does not answer has no preference. */
async function prioritized(
  extenders: readonly Extender[],
  pod: PodInfo,
  nodes: readonly NodeInfo[],
  log: Log,
): Promise<ReadonlyMap<string, number>> {
  const total = new Map<string, number>()
  const ask = async (extender: Extender) => {
    try {
      for (const [name, score] of await extender.prioritize(pod, nodes)) total.set(name, (total.get(name) ?? 0) + score)
    } catch (error) {
      if (!(error instanceof ExtenderError)) throw error
      log.warn('an extender has not scored the nodes', { extender: extender.name, error: error.message })
    }
  }
  await Promise.all(extenders.filter(({ prioritizes }) => prioritizes).map(ask))
  return total
}

/** An extender that binds in the place of plugins; one that is ignorable leaves it to them where it fails. */
export const extenderBinder = (extender: Extender, log: Log): Binder => ({
  name: extender.name,
  async bind({ pod }, nodeName) {
    try {
      await extender.bind(pod, nodeName)
      return true
    } catch (error) {
      if (!(error instanceof ExtenderError) || !extender.ignorable) throw error
      log.warn('an extender has not bound the pod', { extender: extender.name, pod: pod.key, error: error.message })
      return false
    }
  },
})
