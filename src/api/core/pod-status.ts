// What a pod is: written by the node, and by the scheduler while there is none.
import { array, type Infer, int64, object, optional, required, string, time } from '../machinery/schema.ts'
import { containerStatus } from './container-status.ts'
import { CORE } from './references.ts'
import { resourceRequirements } from './resources.ts'
import { atomicList, listByKey, number64, pointerText, resourceList, text, when } from './scalars.ts'

export const podCondition = object(`${CORE}PodCondition`, {
  type: required(1, string()),
  status: required(2, string()),
  lastProbeTime: optional(3, time()),
  lastTransitionTime: when(4),
  reason: text(5),
  message: text(6),
  observedGeneration: number64(7),
})
export interface PodCondition extends Infer<typeof podCondition> {}
const podIp = object(`${CORE}PodIP`, { ip: required(1, string()) })
const hostIp = object(`${CORE}HostIP`, { ip: required(1, string()) })
const podResourceClaimStatus = object(`${CORE}PodResourceClaimStatus`, {
  name: required(1, string()),
  resourceClaimName: pointerText(2),
})
const containerExtendedResourceRequest = object(`${CORE}ContainerExtendedResourceRequest`, {
  containerName: required(1, string()),
  resourceName: required(2, string()),
  requestName: required(3, string()),
})
const podExtendedResourceClaimStatus = object(`${CORE}PodExtendedResourceClaimStatus`, {
  requestMappings: required(1, array(containerExtendedResourceRequest, atomicList)),
  resourceClaimName: required(2, string()),
})
const nodeAllocatableResourceClaimStatus = object(`${CORE}NodeAllocatableResourceClaimStatus`, {
  resourceClaimName: required(1, string()),
  containers: optional(2, array(string(), { listType: 'set' })),
  resources: required(3, resourceList),
})

export const podStatus = object(`${CORE}PodStatus`, {
  phase: text(1),
  conditions: optional(2, array(podCondition, listByKey('type'))),
  message: text(3),
  reason: text(4),
  hostIP: text(5),
  podIP: text(6),
  startTime: when(7),
  containerStatuses: optional(8, array(containerStatus, atomicList)),
  qosClass: text(9),
  initContainerStatuses: optional(10, array(containerStatus, atomicList)),
  nominatedNodeName: text(11),
  podIPs: optional(12, array(podIp, listByKey('ip'))),
  ephemeralContainerStatuses: optional(13, array(containerStatus, atomicList)),
  resize: text(14),
  resourceClaimStatuses: optional(
    15,
    array(podResourceClaimStatus, {
      listType: 'map',
      listMapKeys: ['name'],
      patchStrategy: 'merge,retainKeys',
      patchMergeKey: 'name',
    }),
  ),
  hostIPs: optional(16, array(hostIp, { listType: 'atomic', patchStrategy: 'merge', patchMergeKey: 'ip' })),
  observedGeneration: optional(17, int64(), { omitZero: true }),
  extendedResourceClaimStatus: optional(18, podExtendedResourceClaimStatus),
  allocatedResources: optional(19, resourceList),
  resources: optional(20, resourceRequirements),
  nodeAllocatableResourceClaimStatuses: optional(21, array(nodeAllocatableResourceClaimStatus, atomicList)),
})
export interface PodStatus extends Infer<typeof podStatus> {}
