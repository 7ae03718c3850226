// What plugins said of a node, remembered for pods that ask the same. Most filters and scores look at nothing but the pod's
// own wishes and the node; for pods of one template they give the same answer until the node changes, and only the node
// that got the last pod has changed.
import type { Cycle, Plugin, Verdict } from './framework.ts'
import type { ScoringPlugin } from './profiles.ts'
import type { NodeInfo } from './state/node-info.ts'
import type { PodInfo } from './state/pod-info.ts'

const rememberedSignatures = 64

/** Answers for all pods of one signature, by node slot; valid where the generation is the node's. */
export class NodeAnswers {
  private filtered = new Float64Array(0)
  private scored = new Float64Array(0)
  private sums = new Float64Array(0)
  private readonly refusals: (Verdict | undefined)[] = []
  lastUse = 0

  private ensure(slot: number): void {
    if (slot < this.filtered.length) return
    const size = Math.max(64, slot + 1, this.filtered.length * 2)
    this.filtered = grown(this.filtered, size)
    this.scored = grown(this.scored, size)
    this.sums = grown(this.sums, size)
  }
  /** The first refusal by one of the filters, undefined where all agree. */
  refusal(cycle: Cycle, node: NodeInfo, filters: readonly Plugin[]): Verdict | undefined {
    const { slot, generation } = node
    if (this.filtered[slot] === generation) return this.refusals[slot]
    this.ensure(slot)
    let refusal: Verdict | undefined
    for (let i = 0; i < filters.length; i++) {
      const plugin = filters[i] as Plugin
      const rejection = plugin.filter?.(cycle, node)
      if (rejection === undefined) continue
      refusal = { plugin: plugin.name, rejection }
      break
    }
    this.filtered[slot] = generation
    this.refusals[slot] = refusal
    return refusal
  }
  /** The weighted sum of scores that need no normalizing. */
  sum(cycle: Cycle, node: NodeInfo, scorers: readonly ScoringPlugin[]): number {
    const { slot, generation } = node
    if (this.scored[slot] === generation) return this.sums[slot] ?? 0
    this.ensure(slot)
    let sum = 0
    for (let i = 0; i < scorers.length; i++) {
      const { plugin, weight } = scorers[i] as ScoringPlugin
      sum += weight * (plugin.score?.(cycle, node) ?? 0)
    }
    this.scored[slot] = generation
    this.sums[slot] = sum
    return sum
  }
}
function grown(old: Float64Array, size: number): Float64Array<ArrayBuffer> {
  // generations begin at 1, so that 0 matches no node
  const data = new Float64Array(size)
  data.set(old)
  return data
}

export class NodeCache {
  private readonly local: readonly Plugin[]
  private readonly answers = new Map<string, NodeAnswers>()
  private uses = 0
  constructor(plugins: readonly Plugin[]) {
    this.local = plugins.filter((plugin) => plugin.signature !== undefined)
  }
  /** Answers for pods like this one. */
  for(pod: PodInfo): NodeAnswers {
    let signature = ''
    for (const plugin of this.local) signature += `${plugin.signature?.(pod) ?? ''}\n`
    let answers = this.answers.get(signature)
    if (answers === undefined) {
      if (this.answers.size >= rememberedSignatures) this.forget()
      answers = new NodeAnswers()
      this.answers.set(signature, answers)
    }
    answers.lastUse = ++this.uses
    return answers
  }
  private forget(): void {
    const byUse = [...this.answers].sort(([, a], [, b]) => a.lastUse - b.lastUse)
    for (const [signature] of byUse.slice(0, rememberedSignatures / 2)) this.answers.delete(signature)
  }
}
