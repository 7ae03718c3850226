// Affinity of a pod to nodes and to other pods.
import { array, type Infer, int32, object, optional, required, string } from '../machinery/schema.ts'
import { labelSelector } from '../machinery/meta.ts'
import { CORE } from './references.ts'
import { atomicList, texts } from './scalars.ts'

const atomic = { mapType: 'atomic' } as const

export const nodeSelectorRequirement = object(`${CORE}NodeSelectorRequirement`, {
  key: required(1, string()),
  operator: required(2, string()),
  values: texts(3),
})
export interface NodeSelectorRequirement extends Infer<typeof nodeSelectorRequirement> {}
/** All of the requirements must hold; a term without any holds nowhere. */
export const nodeSelectorTerm = object(
  `${CORE}NodeSelectorTerm`,
  {
    matchExpressions: optional(1, array(nodeSelectorRequirement, atomicList)),
    matchFields: optional(2, array(nodeSelectorRequirement, atomicList)),
  },
  atomic,
)
export interface NodeSelectorTerm extends Infer<typeof nodeSelectorTerm> {}
/** One of the terms must hold. */
export const nodeSelector = object(
  `${CORE}NodeSelector`,
  { nodeSelectorTerms: required(1, array(nodeSelectorTerm, atomicList)) },
  atomic,
)
export interface NodeSelector extends Infer<typeof nodeSelector> {}
export const preferredSchedulingTerm = object(`${CORE}PreferredSchedulingTerm`, {
  weight: required(1, int32()),
  preference: required(2, nodeSelectorTerm),
})
export interface PreferredSchedulingTerm extends Infer<typeof preferredSchedulingTerm> {}
export const nodeAffinity = object(`${CORE}NodeAffinity`, {
  requiredDuringSchedulingIgnoredDuringExecution: optional(1, nodeSelector),
  preferredDuringSchedulingIgnoredDuringExecution: optional(2, array(preferredSchedulingTerm, atomicList)),
})
export interface NodeAffinity extends Infer<typeof nodeAffinity> {}

export const podAffinityTerm = object(`${CORE}PodAffinityTerm`, {
  labelSelector: optional(1, labelSelector),
  namespaces: texts(2),
  topologyKey: required(3, string()),
  namespaceSelector: optional(4, labelSelector),
  matchLabelKeys: texts(5),
  mismatchLabelKeys: texts(6),
})
export interface PodAffinityTerm extends Infer<typeof podAffinityTerm> {}
export const weightedPodAffinityTerm = object(`${CORE}WeightedPodAffinityTerm`, {
  weight: required(1, int32()),
  podAffinityTerm: required(2, podAffinityTerm),
})
export interface WeightedPodAffinityTerm extends Infer<typeof weightedPodAffinityTerm> {}
const podTerms = {
  requiredDuringSchedulingIgnoredDuringExecution: optional(1, array(podAffinityTerm, atomicList)),
  preferredDuringSchedulingIgnoredDuringExecution: optional(2, array(weightedPodAffinityTerm, atomicList)),
}
export const podAffinity = object(`${CORE}PodAffinity`, podTerms)
export interface PodAffinity extends Infer<typeof podAffinity> {}
export const podAntiAffinity = object(`${CORE}PodAntiAffinity`, podTerms)
export interface PodAntiAffinity extends Infer<typeof podAntiAffinity> {}

export const affinity = object(`${CORE}Affinity`, {
  nodeAffinity: optional(1, nodeAffinity),
  podAffinity: optional(2, podAffinity),
  podAntiAffinity: optional(3, podAntiAffinity),
})
export interface Affinity extends Infer<typeof affinity> {}
