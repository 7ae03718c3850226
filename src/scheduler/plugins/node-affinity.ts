// nodeSelector and node affinity: required terms filter, preferred terms score.
import type { NodeAffinity, PreferredSchedulingTerm } from '../../api/core/affinity.ts'
import { type PluginFactory, unresolvable } from '../framework.ts'
import { compileTerm, compileTerms, type NodePredicate } from '../../api/core/node-match.ts'
import { normalizeLinear } from './normalize.ts'

const mismatch = unresolvable("node(s) didn't match Pod's node affinity/selector")
const enforcedMismatch = unresolvable("node(s) didn't match scheduler-enforced node affinity")
const contradiction = unresolvable('pod affinity terms conflict')

/** Arguments: affinity that holds for every pod of the profile, beside its own. */
export interface NodeAffinityArgs {
  readonly addedAffinity?: NodeAffinity
}
interface Weighted {
  readonly weight: number
  readonly matches: NodePredicate
}
const compilePreferred = (terms: readonly PreferredSchedulingTerm[] = []): Weighted[] =>
  terms.map(({ weight, preference }) => ({ weight, matches: compileTerm(preference) }))

export const nodeAffinity: PluginFactory = {
  name: 'NodeAffinity',
  create(_handle, args) {
    const { addedAffinity } = (args ?? {}) as NodeAffinityArgs
    const addedRequired = addedAffinity?.requiredDuringSchedulingIgnoredDuringExecution
    const enforced = addedRequired === undefined ? undefined : compileTerms(addedRequired.nodeSelectorTerms)
    const addedPreferred = compilePreferred(addedAffinity?.preferredDuringSchedulingIgnoredDuringExecution)
    let preferred: readonly Weighted[] = []
    return {
      name: 'NodeAffinity',
      signature: ({ nodesKey }) => nodesKey,
      preFilter({ pod }) {
        if (pod.nodesMatch === undefined && enforced === undefined) return 'skip'
        const nodes = pod.namedNodes
        if (nodes === undefined) return undefined
        return nodes.size === 0 ? contradiction : { nodes }
      },
      filter({ pod }, node) {
        if (enforced !== undefined && !enforced(node)) return enforcedMismatch
        return pod.nodesMatch === undefined || pod.nodesMatch(node) ? undefined : mismatch
      },
      preScore({ pod }) {
        const own = pod.pod.spec.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution
        preferred = own === undefined ? addedPreferred : [...addedPreferred, ...compilePreferred(own)]
        return preferred.length === 0 ? 'skip' : undefined
      },
      score(_cycle, node) {
        let sum = 0
        for (const { weight, matches } of preferred) if (matches(node)) sum += weight
        return sum
      },
      normalize: (_cycle, scores) => normalizeLinear(scores, { reverse: false }),
      hints: {
        node: (info, { change, node, differs }) =>
          change !== 'delete' &&
          differs.labels &&
          (enforced?.(node) ?? true) &&
          (info.nodesMatch === undefined || info.nodesMatch(node)),
        pod: (_info, { pod, old }) => pod.nodesKey !== old.nodesKey,
      },
    }
  },
}
