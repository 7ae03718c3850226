// What a container or a claim asks for and may use at most.
import { array, type Infer, object, optional, required, string } from '../machinery/schema.ts'
import { CORE } from './references.ts'
import { resourceList, text } from './scalars.ts'

export type ResourceList = Infer<typeof resourceList>

export const resourceClaim = object(`${CORE}ResourceClaim`, { name: required(1, string()), request: text(2) })
export interface ResourceClaim extends Infer<typeof resourceClaim> {}

export const resourceRequirements = object(`${CORE}ResourceRequirements`, {
  limits: optional(1, resourceList),
  requests: optional(2, resourceList),
  claims: optional(3, array(resourceClaim, { listType: 'map', listMapKeys: ['name'] })),
})
export interface ResourceRequirements extends Infer<typeof resourceRequirements> {}

export const volumeResourceRequirements = object(`${CORE}VolumeResourceRequirements`, {
  limits: optional(1, resourceList),
  requests: optional(2, resourceList),
})
export interface VolumeResourceRequirements extends Infer<typeof volumeResourceRequirements> {}
