// Whether a pod's node selector and required node affinity hold for a node. (The scheduler has its own, with scoring.)
import type { NodeSelector, NodeSelectorRequirement, NodeSelectorTerm } from '../../api/core/affinity.ts'
import type { Node } from '../../api/core/node.ts'
import type { PodSpec } from '../../api/core/pod-spec.ts'

const whole = /^[+-]?\d+$/
function holds({ operator, values = [] }: NodeSelectorRequirement, value: string | undefined): boolean {
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value)
    case 'NotIn':
      return value === undefined || !values.includes(value)
    case 'Exists':
      return value !== undefined
    case 'DoesNotExist':
      return value === undefined
    case 'Gt':
    case 'Lt': {
      const bound = values[0]
      if (value === undefined || bound === undefined || !whole.test(value) || !whole.test(bound)) return false
      return operator === 'Gt' ? BigInt(value) > BigInt(bound) : BigInt(value) < BigInt(bound)
    }
    default:
      return false
  }
}
function termHolds({ matchExpressions = [], matchFields = [] }: NodeSelectorTerm, node: Node): boolean {
  if (matchExpressions.length === 0 && matchFields.length === 0) return false
  return (
    matchExpressions.every((one) => holds(one, node.metadata.labels?.[one.key])) &&
    matchFields.every((one) => holds(one, one.key === 'metadata.name' ? node.metadata.name : undefined))
  )
}
export const nodeSelectorHolds = (selector: NodeSelector, node: Node): boolean =>
  selector.nodeSelectorTerms.some((term) => termHolds(term, node))

/** nodeSelector and required node affinity: both must hold. */
export function podFitsNode(spec: PodSpec, node: Node): boolean {
  for (const [key, value] of Object.entries(spec.nodeSelector ?? {}))
    if (node.metadata.labels?.[key] !== value) return false
  const required = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution
  return required === undefined || nodeSelectorHolds(required, node)
}
