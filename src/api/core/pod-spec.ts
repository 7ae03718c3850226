// What a pod shall be.
import {
  array,
  boolean,
  defaulted,
  type Infer,
  int32,
  int64,
  map,
  object,
  optional,
  required,
  string,
} from '../machinery/schema.ts'
import { affinity } from './affinity.ts'
import { container, ephemeralContainer } from './container.ts'
import { CORE, localObjectReference } from './references.ts'
import { resourceRequirements } from './resources.ts'
import { atomicList, flag, listByKey, pointerText, resourceList, text, texts } from './scalars.ts'
import { podSecurityContext } from './security-context.ts'
import { toleration } from './toleration.ts'
import { topologySpreadConstraint } from './topology.ts'
import { volume } from './volumes.ts'

const retainKeysByName = {
  listType: 'map',
  listMapKeys: ['name'],
  patchStrategy: 'merge,retainKeys',
  patchMergeKey: 'name',
} as const

export const hostAlias = object(`${CORE}HostAlias`, { ip: required(1, string()), hostnames: texts(2) })
const podDnsConfigOption = object(`${CORE}PodDNSConfigOption`, { name: text(1), value: pointerText(2) })
export const podDnsConfig = object(`${CORE}PodDNSConfig`, {
  nameservers: texts(1),
  searches: texts(2),
  options: optional(3, array(podDnsConfigOption, atomicList)),
})
export interface PodDNSConfig extends Infer<typeof podDnsConfig> {}
const podReadinessGate = object(`${CORE}PodReadinessGate`, { conditionType: required(1, string()) })
const podOs = object(`${CORE}PodOS`, { name: required(1, string()) })
const podSchedulingGate = object(`${CORE}PodSchedulingGate`, { name: required(1, string()) })
const podResourceClaim = object(`${CORE}PodResourceClaim`, {
  name: required(1, string()),
  resourceClaimName: pointerText(3),
  resourceClaimTemplateName: pointerText(4),
})
const podSchedulingGroup = object(
  `${CORE}PodSchedulingGroup`,
  { podGroupName: pointerText(1) },
  { unions: [{ fields: { podGroupName: 'PodGroupName' } }] },
)

export const podSpec = object(`${CORE}PodSpec`, {
  volumes: optional(1, array(volume, retainKeysByName)),
  containers: required(2, array(container, listByKey('name'))),
  restartPolicy: defaulted(3, string(), 'Always'),
  terminationGracePeriodSeconds: defaulted(4, int64(), 30),
  activeDeadlineSeconds: optional(5, int64()),
  dnsPolicy: defaulted(6, string(), 'ClusterFirst'),
  nodeSelector: optional(7, map(string(), 'atomic')),
  serviceAccountName: text(8),
  serviceAccount: text(9),
  nodeName: text(10),
  hostNetwork: flag(11),
  hostPID: flag(12),
  hostIPC: flag(13),
  securityContext: defaulted(14, podSecurityContext, {}),
  imagePullSecrets: optional(15, array(localObjectReference, listByKey('name'))),
  hostname: text(16),
  subdomain: text(17),
  affinity: optional(18, affinity),
  schedulerName: defaulted(19, string(), 'default-scheduler'),
  initContainers: optional(20, array(container, listByKey('name'))),
  automountServiceAccountToken: optional(21, boolean()),
  tolerations: optional(22, array(toleration, atomicList)),
  hostAliases: optional(23, array(hostAlias, listByKey('ip'))),
  priorityClassName: text(24),
  priority: optional(25, int32()),
  dnsConfig: optional(26, podDnsConfig),
  shareProcessNamespace: optional(27, boolean()),
  readinessGates: optional(28, array(podReadinessGate, atomicList)),
  runtimeClassName: pointerText(29),
  enableServiceLinks: optional(30, boolean()),
  preemptionPolicy: pointerText(31),
  overhead: optional(32, resourceList),
  topologySpreadConstraints: optional(
    33,
    array(topologySpreadConstraint, {
      listType: 'map',
      listMapKeys: ['topologyKey', 'whenUnsatisfiable'],
      patchStrategy: 'merge',
      patchMergeKey: 'topologyKey',
    }),
  ),
  ephemeralContainers: optional(34, array(ephemeralContainer, listByKey('name'))),
  setHostnameAsFQDN: optional(35, boolean()),
  os: optional(36, podOs),
  hostUsers: optional(37, boolean()),
  schedulingGates: optional(38, array(podSchedulingGate, listByKey('name'))),
  resourceClaims: optional(39, array(podResourceClaim, retainKeysByName)),
  resources: optional(40, resourceRequirements),
  hostnameOverride: pointerText(41),
  schedulingGroup: optional(43, podSchedulingGroup),
})
export interface PodSpec extends Infer<typeof podSpec> {}
