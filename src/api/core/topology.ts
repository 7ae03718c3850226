// Where pods and volumes may be, in terms of the labels of nodes.
import { array, type Infer, int32, object, optional, required, string } from '../machinery/schema.ts'
import { labelSelector } from '../machinery/meta.ts'
import { CORE } from './references.ts'
import { atomicList, pointerText, texts } from './scalars.ts'

export const topologySelectorLabelRequirement = object(`${CORE}TopologySelectorLabelRequirement`, {
  key: required(1, string()),
  values: required(2, array(string(), atomicList)),
})
export const topologySelectorTerm = object(
  `${CORE}TopologySelectorTerm`,
  { matchLabelExpressions: optional(1, array(topologySelectorLabelRequirement, atomicList)) },
  { mapType: 'atomic' },
)
export interface TopologySelectorTerm extends Infer<typeof topologySelectorTerm> {}

export const topologySpreadConstraint = object(`${CORE}TopologySpreadConstraint`, {
  maxSkew: required(1, int32()),
  topologyKey: required(2, string()),
  whenUnsatisfiable: required(3, string()),
  labelSelector: optional(4, labelSelector),
  minDomains: optional(5, int32()),
  nodeAffinityPolicy: pointerText(6),
  nodeTaintsPolicy: pointerText(7),
  matchLabelKeys: texts(8),
})
export interface TopologySpreadConstraint extends Infer<typeof topologySpreadConstraint> {}
