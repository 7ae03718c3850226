// Asks the plugins of one profile, from PreFilter to the chosen node. Everything here runs without interruption.
import type { Random } from '../ports/random.ts'
import { createDice } from './dice.ts'
import { broken, type Cycle, type Plugin, unresolvable, type Verdict, Verdicts } from './framework.ts'
import { type NodeAnswers, NodeCache } from './node-cache.ts'
import type { PointPlugins, ScoringPlugin } from './profiles.ts'
import type { Nominator } from './queue/nominator.ts'
import type { ClusterState } from './state/cluster-state.ts'
import type { NodeInfo } from './state/node-info.ts'
import type { PodInfo } from './state/pod-info.ts'

export type Placement =
  | { readonly node: NodeInfo; readonly feasible: number; readonly evaluated: number }
  | { readonly node: undefined; readonly failure: Failure }
export interface Failure {
  /** Refused by PreFilter before any node was looked at. */
  readonly preFilter: Verdict | undefined
  readonly verdicts: Verdicts
  readonly plugins: ReadonlySet<string>
  /** How many nodes there were. */
  readonly nodes: number
}

/** Nodes that all plugins let pass. */
export interface Feasible {
  readonly nodes: readonly NodeInfo[]
  /** It is the one node that the pod was promised; others were not looked at. */
  readonly promised: boolean
  readonly evaluated: number
  readonly verdicts: Verdicts
}

/** Below this many nodes all are looked at. */
const leastNodes = 100
const leastPercentage = 5
/** How many feasible nodes are enough: fewer, in proportion, the larger the cluster is. */
export function enoughNodes(nodes: number, percentage: number): number {
  if (nodes < leastNodes) return nodes
  const share = percentage > 0 ? percentage : Math.max(leastPercentage, 50 - Math.trunc(nodes / 125))
  if (share >= 100) return nodes
  return Math.max(leastNodes, Math.trunc((nodes * share) / 100))
}

/** What is left out of a cycle, by plugin. */
interface Active {
  readonly cycle: Cycle
  readonly filters: readonly Plugin[]
  /** Of these, the ones whose answers are remembered by node, and the rest. */
  readonly local: readonly Plugin[]
  readonly other: readonly Plugin[]
  readonly answers: NodeAnswers
}

export class FrameworkRun {
  readonly points: PointPlugins
  private readonly state: ClusterState
  private readonly nominator: Nominator
  private readonly dice: () => number
  private readonly percentage: number
  /** Where the next search begins, so that all nodes get their turn. */
  private start = 0
  private active: Active | undefined
  private readonly cache: NodeCache
  /** Assumed pods that a trial took away. */
  private readonly assumedAway = new Set<string>()
  private totals = new Float64Array(128)
  private single = new Float64Array(128)

  constructor(options: {
    readonly points: PointPlugins
    readonly state: ClusterState
    readonly nominator: Nominator
    readonly random: Random
    readonly percentageOfNodesToScore: number
  }) {
    this.points = options.points
    this.state = options.state
    this.nominator = options.nominator
    this.dice = createDice(options.random)
    this.percentage = options.percentageOfNodesToScore
    this.cache = new NodeCache(options.points.all)
  }

  /** Finds the best node for the cycle's pod, or says why there is none. */
  place(cycle: Cycle): Placement {
    const found = this.feasible(cycle)
    return 'failure' in found ? { node: undefined, failure: found.failure } : this.choose(cycle, found)
  }
  /** The nodes that the plugins let pass: of those named alone, or of all. */
  feasible(
    cycle: Cycle,
    { among, promised = true }: { readonly among?: ReadonlySet<string>; readonly promised?: boolean } = {},
  ): Feasible | { readonly failure: Failure } {
    const nodes = this.state.order
    const verdicts = new Verdicts()
    const prepared = this.preFilter(cycle)
    if ('refused' in prepared) {
      const { refused } = prepared
      return { failure: { preFilter: refused, verdicts, plugins: new Set([refused.plugin]), nodes: nodes.length } }
    }
    const { allowed, restrictedBy } = prepared
    const preferred = promised ? this.nominatedNode(cycle, allowed) : undefined
    if (preferred !== undefined) return { nodes: [preferred], promised: true, evaluated: 1, verdicts }
    const wanted = among === undefined || allowed === undefined ? (among ?? allowed) : intersection(among, allowed)
    const candidates = wanted === undefined ? nodes : this.allowedNodes(wanted)
    const { feasible, evaluated } = this.search(cycle, candidates, verdicts)
    if (feasible.length === 0) {
      if (allowed !== undefined) markOthers(nodes, allowed, restrictedBy, verdicts)
      const plugins = new Set([...verdicts.plugins, ...restrictedBy])
      return { failure: { preFilter: undefined, verdicts, plugins, nodes: nodes.length } }
    }
    return { nodes: feasible, promised: false, evaluated, verdicts }
  }
  /** The best of them; `extra` adds to the scores of plugins, by the node's name. */
  choose(cycle: Cycle, { nodes, evaluated }: Feasible, extra?: ReadonlyMap<string, number>): Placement {
    const node = nodes.length === 1 ? nodes[0] : this.best(cycle, nodes, extra)
    if (node === undefined) throw new Error('no best among feasible nodes')
    return { node, feasible: nodes.length, evaluated }
  }

  /** Runs PreFilter and remembers whose Filter takes part. */
  preFilter(
    cycle: Cycle,
  ):
    | { readonly refused: Verdict }
    | { readonly allowed: ReadonlySet<string> | undefined; readonly restrictedBy: readonly string[] } {
    const skipped = new Set<Plugin>()
    let allowed: ReadonlySet<string> | undefined
    const restrictedBy: string[] = []
    for (const plugin of this.points.preFilter) {
      const result = plugin.preFilter?.(cycle)
      if (result === undefined) continue
      if (result === 'skip') skipped.add(plugin)
      else if ('nodes' in result) {
        restrictedBy.push(plugin.name)
        allowed = allowed === undefined ? result.nodes : intersection(allowed, result.nodes)
        if (allowed.size === 0) {
          const reason =
            restrictedBy.length === 1
              ? `node(s) didn't satisfy plugin(s) [${restrictedBy.join(' ')}]`
              : `node(s) didn't satisfy plugin(s) [${restrictedBy.join(' ')}] simultaneously`
          return { refused: { plugin: plugin.name, rejection: unresolvable(reason) } }
        }
      } else return { refused: { plugin: plugin.name, rejection: result } }
    }
    const filters = skipped.size === 0 ? this.points.filter : this.points.filter.filter((p) => !skipped.has(p))
    const answers = this.cache.for(cycle.pod)
    this.active = { cycle, filters, local: filters.filter(isLocal), other: filters.filter(isOther), answers }
    return { allowed, restrictedBy }
  }
  private allowedNodes(allowed: ReadonlySet<string>): NodeInfo[] {
    const nodes: NodeInfo[] = []
    for (const name of allowed) {
      const node = this.state.node(name)
      if (node !== undefined) nodes.push(node)
    }
    return nodes
  }
  private nominatedNode(cycle: Cycle, allowed: ReadonlySet<string> | undefined): NodeInfo | undefined {
    const name = this.nominator.isEmpty ? undefined : this.nominator.nodeOf(cycle.pod.uid)
    if (name === undefined || (allowed !== undefined && !allowed.has(name))) return undefined
    const node = this.state.node(name)
    return node !== undefined && this.filterWithNominated(cycle, node) === undefined ? node : undefined
  }
  private search(cycle: Cycle, nodes: readonly NodeInfo[], verdicts: Verdicts) {
    const count = nodes.length
    const enough = enoughNodes(count, this.percentage)
    const active = this.activeOf(cycle)
    const plain = this.nominator.isEmpty
    const feasible: NodeInfo[] = []
    let evaluated = 0
    let at = count === 0 ? 0 : this.start % count
    while (evaluated < count && feasible.length < enough) {
      const node = nodes[at] as NodeInfo
      at = at + 1 === count ? 0 : at + 1
      evaluated++
      const verdict = plain ? firstRefusal(active, node) : this.filterWithNominated(cycle, node)
      if (verdict === undefined) feasible.push(node)
      else verdicts.set(node.slot, verdict)
    }
    this.start = at
    return { feasible, evaluated }
  }
  private activeOf(cycle: Cycle): Active {
    if (this.active?.cycle !== cycle) throw new Error('PreFilter has not run for this cycle')
    return this.active
  }
  /** The first refusal of a node, undefined where it is feasible. */
  filter(cycle: Cycle, node: NodeInfo): Verdict | undefined {
    for (const plugin of this.activeOf(cycle).filters) {
      const rejection = plugin.filter?.(cycle, node)
      if (rejection !== undefined) return { plugin: plugin.name, rejection }
    }
    return undefined
  }
  /** All refusals of a node: one of each plugin that refuses it. */
  filterAll(cycle: Cycle, node: NodeInfo): Verdict[] {
    const verdicts: Verdict[] = []
    for (const plugin of this.activeOf(cycle).filters) {
      const rejection = plugin.filter?.(cycle, node)
      if (rejection !== undefined) verdicts.push({ plugin: plugin.name, rejection })
    }
    return verdicts
  }
  /** Pods of at least this priority that were promised the node count as if they were there, and as if they were not. */
  filterWithNominated(cycle: Cycle, node: NodeInfo): Verdict | undefined {
    const coming: PodInfo[] = []
    for (const pod of this.nominator.on(node.name).values())
      if (pod.uid !== cycle.pod.uid && pod.priority >= cycle.pod.priority) coming.push(pod)
    if (coming.length > 0) {
      for (const pod of coming) this.tryAdd(cycle, pod, node)
      const verdict = this.filter(cycle, node)
      for (const pod of coming) this.tryRemove(cycle, pod)
      if (verdict !== undefined) return verdict
    }
    return this.filter(cycle, node)
  }
  tryAdd(cycle: Cycle, pod: PodInfo, node: NodeInfo): void {
    this.state.addPod(pod, node.name, this.assumedAway.delete(pod.uid))
    for (const plugin of this.points.preFilter) plugin.addPod?.(cycle, pod, node)
  }
  tryRemove(cycle: Cycle, pod: PodInfo): void {
    if (this.state.isAssumed(pod.uid)) this.assumedAway.add(pod.uid)
    const node = this.state.removePod(pod.uid)
    if (node !== undefined) for (const plugin of this.points.preFilter) plugin.removePod?.(cycle, pod, node)
  }

  /** The node with the highest weighted sum of scores; equals are drawn. */
  private best(
    cycle: Cycle,
    nodes: readonly NodeInfo[],
    extra: ReadonlyMap<string, number> | undefined,
  ): NodeInfo | undefined {
    const totals = this.scores(cycle, nodes)
    if (extra !== undefined)
      for (let i = 0; i < nodes.length; i++) totals[i] = (totals[i] ?? 0) + (extra.get(nodes[i]?.name ?? '') ?? 0)
    let best: NodeInfo | undefined
    let most = Number.NEGATIVE_INFINITY
    let equals = 0
    for (let i = 0; i < nodes.length; i++) {
      const total = totals[i] ?? 0
      if (total < most) continue
      if (total > most) {
        most = total
        equals = 1
        best = nodes[i]
      } else if (this.dice() * ++equals < 1) best = nodes[i]
    }
    return best
  }
  /** Weighted sums in the order of `nodes`; valid until the next call. */
  private scores(cycle: Cycle, nodes: readonly NodeInfo[]): Float64Array {
    if (this.totals.length < nodes.length) {
      this.totals = new Float64Array(nodes.length * 2)
      this.single = new Float64Array(nodes.length * 2)
    }
    const { answers } = this.activeOf(cycle)
    const totals = this.totals.subarray(0, nodes.length)
    const scorers = this.scorers(cycle, nodes)
    const local = scorers.filter(({ plugin }) => isLocal(plugin) && plugin.normalize === undefined)
    for (let i = 0; i < nodes.length; i++) totals[i] = answers.sum(cycle, nodes[i] as NodeInfo, local)
    for (const scoring of scorers) {
      if (local.includes(scoring)) continue
      const scores = this.scoresOf(scoring, cycle, nodes)
      for (let i = 0; i < scores.length; i++) totals[i] = (totals[i] ?? 0) + (scores[i] ?? 0) * scoring.weight
    }
    return totals
  }
  /** The plugins that have a say about these nodes, after PreScore. */
  scorers(cycle: Cycle, nodes: readonly NodeInfo[]): ScoringPlugin[] {
    const skipped = new Set<Plugin>()
    for (const plugin of this.points.preScore) if (plugin.preScore?.(cycle, nodes) === 'skip') skipped.add(plugin)
    return this.points.score.filter(({ plugin }) => !skipped.has(plugin))
  }
  /** Normalized scores of one plugin; valid until the next call. */
  scoresOf({ plugin }: ScoringPlugin, cycle: Cycle, nodes: readonly NodeInfo[]): Float64Array {
    const scores = this.single.subarray(0, nodes.length)
    for (let i = 0; i < nodes.length; i++) scores[i] = plugin.score?.(cycle, nodes[i] as NodeInfo) ?? 0
    plugin.normalize?.(cycle, scores, nodes)
    return scores
  }

  reserve(cycle: Cycle, node: NodeInfo): Verdict | undefined {
    for (const plugin of this.points.reserve) {
      const rejection = plugin.reserve?.(cycle, node)
      if (rejection !== undefined) return { plugin: plugin.name, rejection }
    }
    return undefined
  }
  unreserve(cycle: Cycle, nodeName: string): void {
    for (let i = this.points.reserve.length - 1; i >= 0; i--) this.points.reserve[i]?.unreserve?.(cycle, nodeName)
  }
}

const isLocal = (plugin: Plugin): boolean => plugin.signature !== undefined
const isOther = (plugin: Plugin): boolean => plugin.signature === undefined

function firstRefusal({ cycle, local, other, answers }: Active, node: NodeInfo): Verdict | undefined {
  const refusal = answers.refusal(cycle, node, local)
  if (refusal !== undefined) return refusal
  for (let i = 0; i < other.length; i++) {
    const plugin = other[i] as Plugin
    const rejection = plugin.filter?.(cycle, node)
    if (rejection !== undefined) return { plugin: plugin.name, rejection }
  }
  return undefined
}
function intersection(a: ReadonlySet<string>, b: ReadonlySet<string>): ReadonlySet<string> {
  const both = new Set<string>()
  for (const name of a) if (b.has(name)) both.add(name)
  return both
}
function markOthers(
  nodes: readonly NodeInfo[],
  allowed: ReadonlySet<string>,
  plugins: readonly string[],
  verdicts: Verdicts,
): void {
  const rejection = unresolvable(`node(s) didn't satisfy plugin(s) [${[...plugins].sort().join(' ')}]`)
  for (const node of nodes)
    if (!allowed.has(node.name)) verdicts.set(node.slot, { plugin: plugins[0] ?? '', rejection })
}

/** A plugin's defect as a rejection: it must not end the scheduler. */
export const defect = (plugin: string, error: unknown): Verdict => ({
  plugin,
  rejection: broken(`running plugin ${plugin}: ${error instanceof Error ? error.message : String(error)}`),
})
