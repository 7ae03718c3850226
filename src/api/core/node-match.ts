// Node selectors and node affinity, compiled once per pod into predicates over nodes.
import { type Labels, matchesRequirement, objectOperators, type Operator } from '../machinery/labels.ts'
import type { NodeSelectorRequirement, NodeSelectorTerm } from './affinity.ts'
import type { Node } from './node.ts'
import type { Pod } from './pod.ts'

/** What a node selector may look at. */
export interface MatchableNode {
  readonly name: string
  readonly labels: Labels
}
export type NodePredicate = (node: MatchableNode) => boolean

const operators: Readonly<Record<string, Operator>> = { ...objectOperators, Gt: 'gt', Lt: 'lt' }
function compileRequirement({
  key,
  operator: name,
  values = [],
}: NodeSelectorRequirement): (labels: Labels) => boolean {
  const operator = operators[name]
  if (operator === undefined) return () => false
  const requirement = { key, operator, values }
  return (labels) => matchesRequirement(requirement, labels)
}

/** A term without requirements matches no node. */
export function compileTerm(term: NodeSelectorTerm): NodePredicate {
  const { matchExpressions = [], matchFields = [] } = term
  if (matchExpressions.length === 0 && matchFields.length === 0) return () => false
  const [expressions, fields] = [matchExpressions.map(compileRequirement), matchFields.map(compileRequirement)]
  return ({ name, labels }) =>
    expressions.every((holds) => holds(labels)) && fields.every((holds) => holds({ 'metadata.name': name }))
}
/** One of the terms must hold. */
export function compileTerms(terms: readonly NodeSelectorTerm[]): NodePredicate {
  const compiled = terms.map(compileTerm)
  return (node) => compiled.some((matches) => matches(node))
}

/** nodeSelector and the required node affinity together; undefined where the pod asks for neither. */
export function requiredNodes(pod: Pick<Pod, 'spec'>): NodePredicate | undefined {
  const selector = Object.entries(pod.spec.nodeSelector ?? {})
  const required = pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution
  const terms = required === undefined ? undefined : compileTerms(required.nodeSelectorTerms)
  const [only] = selector
  if (only === undefined) return terms
  const [key, value] = only
  const bySelector: NodePredicate =
    selector.length === 1
      ? ({ labels }) => labels[key] === value
      : ({ labels }) => selector.every(([k, v]) => labels[k] === v)
  return terms === undefined ? bySelector : (node) => bySelector(node) && terms(node)
}
/** Whether a pod may run on a node as far as its nodeSelector and its required node affinity go. */
export const podFitsNode = (pod: Pick<Pod, 'spec'>, { metadata: { name, labels = {} } }: Node): boolean =>
  requiredNodes(pod)?.({ name, labels }) ?? true
/** Equal for pods that ask for the same nodes. */
export function requiredNodesKey(pod: Pod): string {
  const { nodeSelector, affinity } = pod.spec
  const required = affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution
  if (nodeSelector === undefined && required === undefined) return ''
  const selector = Object.entries(nodeSelector ?? {}).sort(([a], [b]) => (a < b ? -1 : 1))
  return JSON.stringify([selector, required ?? null])
}

/** The only nodes that can match, where every term names nodes by metadata.name; undefined where any may. */
export function namedNodes(pod: Pod): ReadonlySet<string> | undefined {
  const terms = pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms
  if (terms === undefined) return undefined
  const names = new Set<string>()
  for (const { matchFields = [] } of terms) {
    const byName = matchFields.filter((r) => r.key === 'metadata.name' && r.operator === 'In')
    const [first, ...others] = byName
    if (first === undefined) return undefined
    for (const name of first.values ?? []) if (others.every((r) => r.values?.includes(name))) names.add(name)
  }
  return names
}
