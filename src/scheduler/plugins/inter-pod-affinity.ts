// Pods near to, or away from, other pods. Whatever is asked is a count by topology domain that the state keeps anyway, so a
// node costs a few array reads however many pods there are.
import { type Cycle, type PluginFactory, unresolvable, unschedulable } from '../framework.ts'
import type { ClusterState } from '../state/cluster-state.ts'
import type { NodeInfo } from '../state/node-info.ts'
import type { DomainCounts } from '../state/pod-counts.ts'
import type { PodInfo } from '../state/pod-info.ts'
import { isMember, type PodSet, type Term } from '../state/pod-terms.ts'
import type { TermGroup } from '../state/term-counts.ts'
import { noDomain } from '../state/topology.ts'
import { maxScore } from './normalize.ts'

const noNeighbour = unresolvable("node(s) didn't match pod affinity rules")
const badNeighbour = unschedulable("node(s) didn't match pod anti-affinity rules")
const unwelcome = unschedulable("node(s) didn't satisfy existing pods anti-affinity rules")

export interface InterPodAffinityArgs {
  /** What required affinity of other pods counts in scores; 0 to 100, default 1. */
  readonly hardPodAffinityWeight?: number
  /** Preferred terms of other pods count only for pods with terms of their own. */
  readonly ignorePreferredTermsOfExistingPods?: boolean
}
interface WeightedCounts {
  readonly counts: DomainCounts
  readonly weight: number
}

const memberOf = (set: PodSet, pod: PodInfo, state: ClusterState): boolean =>
  isMember(set, pod.namespace, pod.labels, state.namespaceLabels)
const allOf = (terms: readonly Term[], pod: PodInfo, state: ClusterState): boolean =>
  terms.every(({ set }) => memberOf(set, pod, state))
const someOf = (terms: readonly Term[] | undefined, pod: PodInfo, state: ClusterState): boolean =>
  terms?.some(({ set }) => memberOf(set, pod, state)) ?? false

/** Counts by domain of the pods that a term is about. */
const countsOf = (state: ClusterState, { topologyKey }: Term, sets: readonly PodSet[]): DomainCounts =>
  state.counts.byDomain(state.counts.of(sets, { terminatingToo: true }), topologyKey)

/** Required terms of one pod, ready to ask. */
class Required {
  private readonly pod: PodInfo
  private readonly state: ClusterState
  private readonly near: readonly DomainCounts[]
  private readonly away: readonly DomainCounts[]
  private repelling: readonly TermGroup[] = []
  private version: number
  constructor(pod: PodInfo, state: ClusterState) {
    const { terms } = pod
    this.pod = pod
    this.state = state
    const sets = terms?.requiredAffinity.map(({ set }) => set) ?? []
    // a neighbour is a pod that all terms are about
    this.near = (terms?.requiredAffinity ?? []).map((term) => countsOf(state, term, sets))
    this.away = (terms?.requiredAntiAffinity ?? []).map((term) => countsOf(state, term, [term.set]))
    this.version = -1
    this.refresh()
  }
  /** A pod that is tried on a node may bring terms that nobody held before. */
  private refresh(): void {
    const { terms } = this.state
    if (terms.version === this.version) return
    this.version = terms.version
    this.repelling = terms.about(this.pod).filter(({ kind }) => kind === 'requiredAntiAffinity')
  }
  get isIdle(): boolean {
    return this.near.length === 0 && this.away.length === 0 && this.repelling.length === 0
  }
  check({ slot }: NodeInfo) {
    this.refresh()
    if (this.near.length > 0 && !this.hasNeighbours(slot)) return noNeighbour
    for (const counts of this.away) if (counts.at(slot) > 0) return badNeighbour
    for (const group of this.repelling) if (group.at(slot) > 0) return unwelcome
    return undefined
  }
  private hasNeighbours(slot: number): boolean {
    let found = true
    for (const counts of this.near) {
      if (counts.topology.domainOf(slot) === noDomain) return false
      if (counts.at(slot) === 0) found = false
    }
    // the first of a group that wants to be together has nobody to join
    return found || (this.near.every(({ total }) => total === 0) && this.joinsItself())
  }
  private joinsItself(): boolean {
    return allOf(this.pod.terms?.requiredAffinity ?? [], this.pod, this.state)
  }
}

export const interPodAffinity: PluginFactory = {
  name: 'InterPodAffinity',
  create({ state }, args) {
    const { hardPodAffinityWeight = 1, ignorePreferredTermsOfExistingPods = false } = (args ??
      {}) as InterPodAffinityArgs
    let required: Required | undefined
    let wishes: readonly WeightedCounts[] = []
    let groups: readonly { readonly group: TermGroup; readonly weight: number }[] = []

    const weightOf = ({ kind }: TermGroup): number =>
      kind === 'preferredAffinity'
        ? 1
        : kind === 'preferredAntiAffinity'
          ? -1
          : kind === 'requiredAffinity'
            ? hardPodAffinityWeight
            : 0
    function prepareScores(cycle: Cycle): boolean {
      const { terms } = cycle.pod
      const wish = (term: Term, sign: 1 | -1) => ({
        counts: countsOf(cycle.state, term, [term.set]),
        weight: sign * term.weight,
      })
      wishes = [
        ...(terms?.preferredAffinity ?? []).map((term) => wish(term, 1)),
        ...(terms?.preferredAntiAffinity ?? []).map((term) => wish(term, -1)),
      ]
      const others = wishes.length > 0 || !ignorePreferredTermsOfExistingPods
      groups = others
        ? cycle.state.terms
            .about(cycle.pod)
            .map((group) => ({ group, weight: weightOf(group) }))
            .filter(({ weight }) => weight !== 0)
        : []
      return wishes.length > 0 || groups.length > 0
    }
    return {
      name: 'InterPodAffinity',
      preFilter(cycle) {
        required = new Required(cycle.pod, cycle.state)
        return required.isIdle ? 'skip' : undefined
      },
      filter: (_cycle, node) => required?.check(node),
      preScore: (cycle) => (prepareScores(cycle) ? undefined : 'skip'),
      score(_cycle, { slot }) {
        let sum = 0
        for (const { counts, weight } of wishes) sum += weight * counts.at(slot)
        for (const { group, weight } of groups) sum += weight * group.at(slot)
        return sum
      },
      normalize(_cycle, scores) {
        let least = Number.POSITIVE_INFINITY
        let most = Number.NEGATIVE_INFINITY
        for (const score of scores) {
          if (score < least) least = score
          if (score > most) most = score
        }
        const range = most - least
        for (let i = 0; i < scores.length; i++)
          scores[i] = range > 0 ? Math.trunc((maxScore * ((scores[i] ?? 0) - least)) / range) : 0
      },
      hints: {
        assignedPod(info, { change, pod, old }) {
          const { terms } = info
          const came = change === 'delete' ? undefined : pod
          const near = terms?.requiredAffinity ?? []
          if (came !== undefined && near.length > 0 && allOf(near, came, state)) return true
          const left = change === 'add' ? undefined : (old ?? pod)
          if (left === undefined) return false
          return (
            someOf(terms?.requiredAntiAffinity, left, state) || someOf(left.terms?.requiredAntiAffinity, info, state)
          )
        },
        node: (info, { change, node, differs }) =>
          change !== 'delete' && differs.labels && new Required(info, state).check(node) === undefined,
        pod: (_info, { pod, old }) => pod.labels !== old.labels || pod.terms !== old.terms,
        object: (info, { object }) =>
          object.kind === 'Namespace' &&
          [...(info.terms?.requiredAffinity ?? []), ...(info.terms?.requiredAntiAffinity ?? [])].some(
            ({ set }) => set.namespaceMatches !== undefined,
          ),
      },
    }
  },
}
