// core/v1 Node: a machine that runs pods, as its agent reports it.
import { ageCell } from '../machinery/age.ts'
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, type ObjectOf } from '../machinery/meta.ts'
import {
  array,
  boolean,
  type Infer,
  int32,
  int64,
  object,
  optional,
  required,
  string,
  struct,
} from '../machinery/schema.ts'
import { validateNode, validateNodeUpdate } from './node-validation.ts'
import { CORE } from './references.ts'
import { atomicList, flag, listByKey, number64, resourceList, text, texts, when } from './scalars.ts'
import { taint } from './toleration.ts'
import { ageColumn, column, nameColumn, wideColumn } from './workload-table.ts'

const configMapNodeConfigSource = object(`${CORE}ConfigMapNodeConfigSource`, {
  namespace: required(1, string()),
  name: required(2, string()),
  uid: text(3),
  resourceVersion: text(4),
  kubeletConfigKey: required(5, string()),
})
const nodeConfigSource = object(`${CORE}NodeConfigSource`, { configMap: optional(2, configMapNodeConfigSource) })
export const nodeSpec = object(`${CORE}NodeSpec`, {
  podCIDR: text(1),
  externalID: text(2),
  providerID: text(3),
  unschedulable: flag(4),
  taints: optional(5, array(taint, atomicList)),
  configSource: optional(6, nodeConfigSource),
  podCIDRs: optional(7, array(string(), { listType: 'set', patchStrategy: 'merge' })),
})
export interface NodeSpec extends Infer<typeof nodeSpec> {}

export const nodeCondition = object(`${CORE}NodeCondition`, {
  type: required(1, string()),
  status: required(2, string()),
  lastHeartbeatTime: when(3),
  lastTransitionTime: when(4),
  reason: text(5),
  message: text(6),
})
export interface NodeCondition extends Infer<typeof nodeCondition> {}
export const nodeAddress = object(`${CORE}NodeAddress`, {
  type: required(1, string()),
  address: required(2, string()),
})
export interface NodeAddress extends Infer<typeof nodeAddress> {}
const daemonEndpoint = object(`${CORE}DaemonEndpoint`, { Port: required(1, int32()) })
const nodeDaemonEndpoints = object(`${CORE}NodeDaemonEndpoints`, { kubeletEndpoint: struct(1, daemonEndpoint) })
const nodeSwapStatus = object(`${CORE}NodeSwapStatus`, { capacity: optional(1, int64()) })
const nodeSystemInfo = object(`${CORE}NodeSystemInfo`, {
  machineID: required(1, string()),
  systemUUID: required(2, string()),
  bootID: required(3, string()),
  kernelVersion: required(4, string()),
  osImage: required(5, string()),
  containerRuntimeVersion: required(6, string()),
  kubeletVersion: required(7, string()),
  kubeProxyVersion: required(8, string()),
  operatingSystem: required(9, string()),
  architecture: required(10, string()),
  swap: optional(11, nodeSwapStatus),
})
export interface NodeSystemInfo extends Infer<typeof nodeSystemInfo> {}
export const containerImage = object(`${CORE}ContainerImage`, { names: texts(1), sizeBytes: number64(2) })
export interface ContainerImage extends Infer<typeof containerImage> {}
const attachedVolume = object(`${CORE}AttachedVolume`, {
  name: required(1, string()),
  devicePath: required(2, string()),
})
const nodeConfigStatus = object(`${CORE}NodeConfigStatus`, {
  assigned: optional(1, nodeConfigSource),
  active: optional(2, nodeConfigSource),
  lastKnownGood: optional(3, nodeConfigSource),
  error: text(4),
})
const nodeRuntimeHandlerFeatures = object(`${CORE}NodeRuntimeHandlerFeatures`, {
  recursiveReadOnlyMounts: optional(1, boolean()),
  userNamespaces: optional(2, boolean()),
})
const nodeRuntimeHandler = object(`${CORE}NodeRuntimeHandler`, {
  name: struct(1, string(), { publishDefault: true }),
  features: optional(2, nodeRuntimeHandlerFeatures),
})
const nodeFeatures = object(`${CORE}NodeFeatures`, { supplementalGroupsPolicy: optional(1, boolean()) })
export const nodeStatus = object(`${CORE}NodeStatus`, {
  capacity: optional(1, resourceList),
  allocatable: optional(2, resourceList),
  phase: text(3),
  conditions: optional(4, array(nodeCondition, listByKey('type'))),
  addresses: optional(5, array(nodeAddress, listByKey('type'))),
  daemonEndpoints: struct(6, nodeDaemonEndpoints),
  nodeInfo: struct(7, nodeSystemInfo),
  images: optional(8, array(containerImage, atomicList)),
  volumesInUse: texts(9),
  volumesAttached: optional(10, array(attachedVolume, atomicList)),
  config: optional(11, nodeConfigStatus),
  runtimeHandlers: optional(12, array(nodeRuntimeHandler, atomicList)),
  features: optional(13, nodeFeatures),
  declaredFeatures: texts(14),
})
export interface NodeStatus extends Infer<typeof nodeStatus> {}

const schema = kindSchema(`${CORE}Node`, { spec: struct(2, nodeSpec), status: struct(3, nodeStatus) })
export interface Node extends ObjectOf<typeof schema> {}

function statusCell(node: Node): string {
  const ready = node.status.conditions?.find((c) => c.type === 'Ready')
  const word = ready === undefined ? 'Unknown' : ready.status === 'True' ? 'Ready' : 'NotReady'
  return node.spec.unschedulable === true ? `${word},SchedulingDisabled` : word
}
const rolePrefix = 'node-role.kubernetes.io/'
/** The roles that a node's labels claim. */
export function nodeRoles(node: Node): readonly string[] {
  const roles = new Set<string>()
  for (const [key, value] of Object.entries(node.metadata.labels ?? {})) {
    if (key.startsWith(rolePrefix) && key.length > rolePrefix.length) roles.add(key.slice(rolePrefix.length))
    else if (key === 'kubernetes.io/role' && value !== '') roles.add(value)
  }
  return [...roles].sort()
}
const addressCell = (node: Node, type: string): string =>
  node.status.addresses?.find((address) => address.type === type)?.address ?? '<none>'
const orUnknown = (value: string): string => (value === '' ? '<unknown>' : value)

export const nodes = defineKind<Node>({
  group: '',
  version: 'v1',
  kind: 'Node',
  plural: 'nodes',
  singular: 'node',
  shortNames: ['no'],
  namespaced: false,
  schema,
  storagePrefix: '/registry/minions',
  unconditionalUpdate: true,
  subresources: { status: true, custom: ['proxy'] },
  selectableFields: { 'spec.unschedulable': (n) => String(n.spec.unschedulable ?? false) },
  table: {
    columns: [
      nameColumn,
      column('Status'),
      column('Roles'),
      ageColumn,
      column('Version'),
      wideColumn('Internal-IP'),
      wideColumn('External-IP'),
      wideColumn('OS-Image'),
      wideColumn('Kernel-Version'),
      wideColumn('Container-Runtime'),
    ],
    row: (n, nowMs) => [
      n.metadata.name,
      statusCell(n),
      nodeRoles(n).join(',') || '<none>',
      ageCell(n.metadata.creationTimestamp, nowMs),
      n.status.nodeInfo.kubeletVersion,
      addressCell(n, 'InternalIP'),
      addressCell(n, 'ExternalIP'),
      orUnknown(n.status.nodeInfo.osImage),
      orUnknown(n.status.nodeInfo.kernelVersion),
      orUnknown(n.status.nodeInfo.containerRuntimeVersion),
    ],
  },
  setDefaults: (draft) => {
    // what is there is free for pods unless the node says otherwise
    const { capacity } = draft.status
    if (draft.status.allocatable === undefined && capacity !== undefined) draft.status.allocatable = { ...capacity }
    syncPodCidrs(draft.spec)
  },
  validate: validateNode,
  validateUpdate: validateNodeUpdate,
  validateStatusUpdate: validateNodeUpdate,
})
/** podCIDR is the first of podCIDRs, whichever the client knows. */
function syncPodCidrs(spec: { podCIDR?: string | undefined; podCIDRs?: string[] | undefined }): void {
  const [first] = spec.podCIDRs ?? []
  if (first !== undefined && !spec.podCIDR) spec.podCIDR = first
  else if (first === undefined && spec.podCIDR) spec.podCIDRs = [spec.podCIDR]
}
