// Pods of a kind spread evenly over zones, hosts or any other topology. Constraints that must hold filter, the others score;
// pods without any are spread by default with those of their services and controllers.
import type { TopologySpreadConstraint } from '../../api/core/topology.ts'
import { untoleratedTaint } from '../../api/core/toleration.ts'
import { type Requirement, type Selector, selectorOf } from '../../api/machinery/labels.ts'
import { type Cycle, type PluginFactory, unresolvable, unschedulable } from '../framework.ts'
import type { ClusterState } from '../state/cluster-state.ts'
import { Column } from '../state/column.ts'
import type { NodeInfo } from '../state/node-info.ts'
import type { DomainCounts, NodeClass, PodCounts } from '../state/pod-counts.ts'
import type { PodInfo } from '../state/pod-info.ts'
import { isMember, type PodSet, podSetOf } from '../state/pod-terms.ts'
import { noDomain } from '../state/topology.ts'
import { createDefaultSelector, type DefaultSelector } from './default-selector.ts'
import { maxScore } from './normalize.ts'

const uneven = unschedulable("node(s) didn't match pod topology spread constraints")
const noLabel = unresolvable("node(s) didn't match pod topology spread constraints (missing required label)")
const hostname = 'kubernetes.io/hostname'

export type DefaultConstraint = Pick<TopologySpreadConstraint, 'maxSkew' | 'topologyKey' | 'whenUnsatisfiable'>
export interface PodTopologySpreadArgs {
  /** System (the default): softly over hosts and zones. List: `defaultConstraints`. */
  readonly defaultingType?: 'System' | 'List'
  readonly defaultConstraints?: readonly DefaultConstraint[]
}
const systemConstraints: readonly DefaultConstraint[] = [
  { topologyKey: hostname, maxSkew: 3, whenUnsatisfiable: 'ScheduleAnyway' },
  { topologyKey: 'topology.kubernetes.io/zone', maxSkew: 5, whenUnsatisfiable: 'ScheduleAnyway' },
]

interface Constraint {
  readonly of: Omit<TopologySpreadConstraint, 'whenUnsatisfiable'>
  readonly set: PodSet
}
interface OwnConstraint extends Constraint {
  readonly of: TopologySpreadConstraint
}
interface HardConstraint {
  readonly maxSkew: number
  readonly minDomains: number
  readonly counts: DomainCounts
  /** 1 where the pod counts itself. */
  readonly self: number
}
interface SoftConstraint {
  readonly maxSkew: number
  /** Counts by node, for hostnames. */
  readonly perNode: PodCounts | undefined
  readonly counts: DomainCounts
  readonly weight: number
}

/** The selector with the pod's own values of matchLabelKeys. */
function selectorFor(pod: PodInfo, { labelSelector, matchLabelKeys }: TopologySpreadConstraint): Selector | undefined {
  const selector = selectorOf(labelSelector)
  if (selector === undefined || matchLabelKeys === undefined) return selector
  const added: Requirement[] = []
  for (const key of matchLabelKeys) {
    const value = pod.labels[key]
    const known = selector.some((r) => r.key === key && r.operator === 'in' && r.values.join() === value)
    if (value !== undefined && !known) added.push({ key, operator: 'in', values: [value] })
  }
  return added.length === 0 ? selector : [...selector, ...added]
}

/** Which nodes take part: by the policies of the constraint, and only those that have all the topology labels. */
function nodeClass(pod: PodInfo, { of }: Constraint, keys: readonly string[]): NodeClass<NodeInfo> {
  const byAffinity = (of.nodeAffinityPolicy ?? 'Honor') === 'Honor'
  const byTaints = (of.nodeTaintsPolicy ?? 'Ignore') === 'Honor'
  const { nodesMatch, tolerations } = pod
  const key = `${byAffinity ? pod.nodesKey : ''}|${byTaints ? `!${pod.tolerationsKey}` : ''}|${keys.join(',')}`
  return {
    key,
    includes: (node) =>
      keys.every((k) => Object.hasOwn(node.labels, k)) &&
      (!byAffinity || nodesMatch === undefined || nodesMatch(node)) &&
      (!byTaints ||
        (!node.unschedulable &&
          untoleratedTaint(node.hardTaints, tolerations, ['NoSchedule', 'NoExecute']) === undefined)),
  }
}

/** Constraints of a pod, its own or the default ones. */
class Constraints {
  private readonly defaults: readonly DefaultConstraint[]
  private readonly system: boolean
  private readonly defaultSelector: DefaultSelector
  private readonly own = new WeakMap<PodInfo, readonly OwnConstraint[]>()
  constructor(args: PodTopologySpreadArgs, defaultSelector: DefaultSelector) {
    this.system = (args.defaultingType ?? 'System') === 'System'
    this.defaults = this.system ? systemConstraints : (args.defaultConstraints ?? [])
    this.defaultSelector = defaultSelector
  }
  of(pod: PodInfo, when: 'DoNotSchedule' | 'ScheduleAnyway'): readonly Constraint[] {
    if (this.hasOwn(pod)) return this.ownOf(pod).filter(({ of }) => of.whenUnsatisfiable === when)
    const defaults = this.defaults.filter(({ whenUnsatisfiable }) => whenUnsatisfiable === when)
    const selector = defaults.length === 0 ? undefined : this.defaultSelector(pod)
    if (selector === undefined) return []
    const set = podSetOf([pod.namespace], undefined, selector)
    return defaults.map((of) => ({ of, set }))
  }
  private hasOwn(pod: PodInfo): boolean {
    return (pod.pod.spec.topologySpreadConstraints?.length ?? 0) > 0
  }
  private ownOf(pod: PodInfo): readonly OwnConstraint[] {
    let own = this.own.get(pod)
    if (own === undefined) {
      own = (pod.pod.spec.topologySpreadConstraints ?? []).map((of) => ({
        of,
        set: podSetOf([pod.namespace], undefined, selectorFor(pod, of)),
      }))
      this.own.set(pod, own)
    }
    return own
  }
  /** Nodes without one of the labels are left out, except where the system chose the constraints. */
  needsAllLabels(pod: PodInfo): boolean {
    return this.hasOwn(pod) || !this.system
  }
}

const countsOf = (state: ClusterState, { set }: Constraint): PodCounts =>
  state.counts.of([set], { terminatingToo: false })

export const podTopologySpread: PluginFactory = {
  name: 'PodTopologySpread',
  create(handle, args) {
    const constraints = new Constraints((args ?? {}) as PodTopologySpreadArgs, createDefaultSelector(handle.informers))
    let hard: readonly HardConstraint[] = []
    let soft: readonly SoftConstraint[] = []
    let ignored: Column | undefined

    function prepareHard(pod: PodInfo, state: ClusterState): HardConstraint[] {
      const found = constraints.of(pod, 'DoNotSchedule')
      const keys = found.map(({ of }) => of.topologyKey)
      return found.map((constraint) => {
        const counts = countsOf(state, constraint)
        return {
          maxSkew: constraint.of.maxSkew,
          minDomains: constraint.of.minDomains ?? 1,
          counts: state.counts.byDomain(counts, constraint.of.topologyKey, nodeClass(pod, constraint, keys)),
          self: counts.sets.every((set) => isMember(set, pod.namespace, pod.labels, state.namespaceLabels)) ? 1 : 0,
        }
      })
    }
    function prepareSoft({ pod, state }: Cycle, nodes: readonly NodeInfo[]): SoftConstraint[] {
      const found = constraints.of(pod, 'ScheduleAnyway')
      ignored = undefined
      if (found.length === 0) return []
      const all = constraints.needsAllLabels(pod)
      const keys = found.map(({ of }) => of.topologyKey)
      let left = 0
      if (all)
        for (const node of nodes)
          if (!keys.every((key) => Object.hasOwn(node.labels, key))) {
            ;(ignored ??= new Column()).set(node.slot, 1)
            left++
          }
      return found.map((constraint) => {
        const { topologyKey, maxSkew } = constraint.of
        const counts = countsOf(state, constraint)
        const byDomain = state.counts.byDomain(counts, topologyKey, nodeClass(pod, constraint, all ? keys : []))
        const perNode = topologyKey === hostname ? counts : undefined
        const size = perNode === undefined ? domainsOf(byDomain, nodes, ignored) : nodes.length - left
        return { maxSkew, perNode, counts: byDomain, weight: Math.log(size + 2) }
      })
    }
    return {
      name: 'PodTopologySpread',
      preFilter(cycle) {
        hard = prepareHard(cycle.pod, cycle.state)
        return hard.length === 0 ? 'skip' : undefined
      },
      filter(_cycle, { slot }) {
        for (const { counts, maxSkew, minDomains, self } of hard) {
          if (counts.topology.domainOf(slot) === noDomain) return noLabel
          const least = counts.domains < minDomains ? 0 : counts.minimum()
          if (counts.at(slot) + self - least > maxSkew) return uneven
        }
        return undefined
      },
      preScore(cycle, nodes) {
        soft = prepareSoft(cycle, nodes)
        return soft.length === 0 ? 'skip' : undefined
      },
      score(_cycle, { slot }) {
        if (ignored?.get(slot) === 1) return -1
        let sum = 0
        for (const { counts, perNode, maxSkew, weight } of soft) {
          if (counts.topology.domainOf(slot) === noDomain) continue
          const pods = perNode === undefined ? counts.at(slot) : perNode.onNode(slot)
          sum += pods * weight + (maxSkew - 1)
        }
        return Math.round(sum)
      },
      normalize(_cycle, scores) {
        let least = Number.POSITIVE_INFINITY
        let most = 0
        for (const score of scores) {
          if (score < 0) continue
          if (score < least) least = score
          if (score > most) most = score
        }
        for (let i = 0; i < scores.length; i++) {
          const score = scores[i] ?? 0
          if (score < 0) scores[i] = 0
          else scores[i] = most === 0 ? maxScore : Math.trunc((maxScore * (most + least - score)) / most)
        }
      },
      hints: {
        assignedPod(info, { change, pod, old, node }) {
          const { namespaceLabels } = handle.state
          const counted = (set: PodSet) =>
            [pod, old].some((p) => p !== undefined && isMember(set, p.namespace, p.labels, namespaceLabels))
          const found = constraints.of(info, 'DoNotSchedule')
          if (!found.some(({ set }) => counted(set))) return false
          if (change !== 'add' || node === undefined) return true
          // one more pod helps where it was the one that the emptiest domain lacked
          return prepareHard(info, handle.state).some(
            ({ counts }) => counts.at(node.slot) === counts.minimum() || counts.domains === 0,
          )
        },
        node: (info, { node, change, differs }) =>
          (change === 'delete' || differs.labels || differs.taints) &&
          constraints.of(info, 'DoNotSchedule').every(({ of }) => Object.hasOwn(node.labels, of.topologyKey)),
        pod: (_info, { pod, old }) => pod.labels !== old.labels,
      },
    }
  },
}

/** How many domains the nodes are in. */
function domainsOf({ topology }: DomainCounts, nodes: readonly NodeInfo[], ignored: Column | undefined): number {
  const seen = new Set<number>()
  for (const { slot } of nodes) if (ignored?.get(slot) !== 1) seen.add(topology.domainOf(slot))
  seen.delete(noDomain)
  return seen.size
}
