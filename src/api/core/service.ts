// core/v1 Service: a stable name and address for a set of pods. Addresses and node ports are allocated by the server.
import { ageCell } from '../machinery/age.ts'
import { defineKind } from '../machinery/kind.ts'
import { condition, kindSchema, type ObjectOf } from '../machinery/meta.ts'
import {
  array,
  boolean,
  defaulted,
  type Draft,
  type Infer,
  int32,
  intOrString,
  map,
  object,
  optional,
  required,
  string,
  struct,
} from '../machinery/schema.ts'
import { formatLabels } from '../machinery/labels.ts'
import { CORE } from './references.ts'
import { atomicList, flag, listByKey, number32, pointerText, text, texts } from './scalars.ts'
import { validateService, validateServiceStatus, validateServiceUpdate } from './service-validation.ts'
import { ageColumn, column, nameColumn, wideColumn } from './workload-table.ts'

export const servicePort = object(`${CORE}ServicePort`, {
  name: text(1),
  protocol: defaulted(2, string(), 'TCP', { publishDefault: true }),
  port: required(3, int32()),
  targetPort: optional(4, intOrString(), { omitZero: true }),
  nodePort: number32(5),
  appProtocol: pointerText(6),
})
export interface ServicePort extends Infer<typeof servicePort> {}
const clientIpConfig = object(`${CORE}ClientIPConfig`, { timeoutSeconds: optional(1, int32()) })
const sessionAffinityConfig = object(`${CORE}SessionAffinityConfig`, { clientIP: optional(1, clientIpConfig) })
export const serviceSpec = object(`${CORE}ServiceSpec`, {
  ports: optional(
    1,
    array(servicePort, {
      listType: 'map',
      listMapKeys: ['port', 'protocol'],
      patchStrategy: 'merge',
      patchMergeKey: 'port',
    }),
  ),
  selector: optional(2, map(string(), 'atomic')),
  clusterIP: text(3),
  type: defaulted(4, string(), 'ClusterIP'),
  externalIPs: texts(5),
  sessionAffinity: defaulted(7, string(), 'None'),
  loadBalancerIP: text(8),
  loadBalancerSourceRanges: texts(9),
  externalName: text(10),
  externalTrafficPolicy: text(11),
  healthCheckNodePort: number32(12),
  publishNotReadyAddresses: flag(13),
  sessionAffinityConfig: optional(14, sessionAffinityConfig),
  ipFamilyPolicy: pointerText(17),
  clusterIPs: texts(18),
  ipFamilies: texts(19),
  allocateLoadBalancerNodePorts: optional(20, boolean()),
  loadBalancerClass: pointerText(21),
  internalTrafficPolicy: pointerText(22),
  trafficDistribution: pointerText(23),
})
export interface ServiceSpec extends Infer<typeof serviceSpec> {}
const portStatus = object(`${CORE}PortStatus`, {
  port: required(1, int32()),
  protocol: required(2, string()),
  error: pointerText(3),
})
export const loadBalancerIngress = object(`${CORE}LoadBalancerIngress`, {
  ip: text(1),
  hostname: text(2),
  ipMode: pointerText(3),
  ports: optional(4, array(portStatus, atomicList)),
})
export interface LoadBalancerIngress extends Infer<typeof loadBalancerIngress> {}
export const loadBalancerStatus = object(`${CORE}LoadBalancerStatus`, {
  ingress: optional(1, array(loadBalancerIngress, atomicList)),
})
export interface LoadBalancerStatus extends Infer<typeof loadBalancerStatus> {}
const serviceStatus = object(`${CORE}ServiceStatus`, {
  loadBalancer: struct(1, loadBalancerStatus),
  conditions: optional(2, array(condition, listByKey('type'))),
})
const schema = kindSchema(`${CORE}Service`, { spec: struct(2, serviceSpec), status: struct(3, serviceStatus) })
export interface Service extends ObjectOf<typeof schema> {}

/** What clusterIP says when a Service is to have none. */
export const headless = 'None'
const threeHours = 10_800

/** Reachable from outside through nodes, a load balancer or external addresses. */
const isExternallyAccessible = (spec: Pick<ServiceSpec, 'type' | 'externalIPs'>): boolean =>
  spec.type === 'LoadBalancer' ||
  spec.type === 'NodePort' ||
  (spec.type === 'ClusterIP' && (spec.externalIPs?.length ?? 0) > 0)

function setServiceDefaults(draft: Draft<Service>): void {
  const { spec } = draft
  if (spec.sessionAffinity === 'None') delete spec.sessionAffinityConfig
  else if (spec.sessionAffinity === 'ClientIP' && spec.sessionAffinityConfig?.clientIP?.timeoutSeconds === undefined) {
    spec.sessionAffinityConfig = { clientIP: { timeoutSeconds: threeHours } }
  }
  for (const port of spec.ports ?? []) if (port.targetPort === undefined) port.targetPort = port.port
  if (isExternallyAccessible(spec) && !spec.externalTrafficPolicy) spec.externalTrafficPolicy = 'Cluster'
  if (spec.type !== 'ExternalName') spec.internalTrafficPolicy ??= 'Cluster'
  if (spec.type === 'LoadBalancer') spec.allocateLoadBalancerNodePorts ??= true
  for (const ingress of draft.status.loadBalancer.ingress ?? []) if (ingress.ip) ingress.ipMode ??= 'VIP'
}

/** Keeps clusterIP and clusterIPs in step for clients that know only one of them. */
function normalizeClusterIps(draft: Draft<Service>, old?: Service): void {
  const { spec } = draft
  const before = old?.spec
  if (before === undefined || before.clusterIP === undefined) {
    if (spec.clusterIP && (spec.clusterIPs?.length ?? 0) === 0) spec.clusterIPs = [spec.clusterIP]
    return
  }
  const listSame = JSON.stringify(spec.clusterIPs ?? []) === JSON.stringify(before.clusterIPs ?? [])
  if (spec.clusterIP === undefined && before.clusterIP !== undefined) {
    // an old client clears the address by leaving clusterIP out
    if (listSame) delete spec.clusterIPs
  } else if (spec.clusterIP !== before.clusterIP && listSame && spec.clusterIP !== undefined) {
    spec.clusterIPs = [spec.clusterIP]
  }
}

/** An update may leave out what the server has allocated. */
function keepAllocations(draft: Draft<Service>, old: Service): void {
  const { spec } = draft
  const before = old.spec
  if (spec.type === 'ExternalName') {
    if (before.type !== 'ExternalName') {
      if (spec.clusterIP === before.clusterIP) {
        delete spec.clusterIP
        delete spec.clusterIPs
      }
      delete spec.ipFamilies
      delete spec.ipFamilyPolicy
    }
    return
  }
  if (before.type === 'ExternalName') return
  if (spec.clusterIP === undefined && (spec.clusterIPs?.length ?? 0) === 0 && before.clusterIP !== undefined) {
    spec.clusterIP = before.clusterIP
    spec.clusterIPs = [...(before.clusterIPs ?? [])]
  }
  if (needsNodePorts(spec) && needsNodePorts(before)) keepNodePorts(spec.ports, before.ports)
  if (
    spec.type === 'LoadBalancer' &&
    spec.externalTrafficPolicy === 'Local' &&
    before.healthCheckNodePort !== undefined &&
    before.externalTrafficPolicy === 'Local'
  ) {
    spec.healthCheckNodePort ??= before.healthCheckNodePort
  }
}
const needsNodePorts = (spec: Pick<ServiceSpec, 'type' | 'allocateLoadBalancerNodePorts'>): boolean =>
  spec.type === 'NodePort' || (spec.type === 'LoadBalancer' && spec.allocateLoadBalancerNodePorts !== false)
function keepNodePorts(ports: Draft<ServicePort>[] | undefined, before: readonly ServicePort[] | undefined): void {
  const taken = new Set(ports?.map((port) => port.nodePort).filter((port) => port !== undefined))
  for (const port of ports ?? []) {
    if (port.nodePort !== undefined) continue
    const same = before?.find((old) => old.port === port.port && old.protocol === port.protocol)
    if (same?.nodePort !== undefined && !taken.has(same.nodePort)) {
      port.nodePort = same.nodePort
      taken.add(same.nodePort)
    }
  }
}
/** Fields that belonged to the old type go with it, where the client left them as they were. */
function dropTypeDependents(draft: Draft<Service>, old: Service): void {
  const { spec } = draft
  if (needsNodePorts(old.spec) && !needsNodePorts(spec)) {
    const kept =
      JSON.stringify(spec.ports?.map((p) => p.nodePort)) === JSON.stringify(old.spec.ports?.map((p) => p.nodePort))
    if (kept) for (const port of spec.ports ?? []) delete port.nodePort
  }
  if (!isExternallyAccessible(spec) && spec.externalTrafficPolicy === old.spec.externalTrafficPolicy) {
    delete spec.externalTrafficPolicy
  }
  if (old.spec.type === 'LoadBalancer' && spec.type !== 'LoadBalancer') {
    if (spec.allocateLoadBalancerNodePorts === old.spec.allocateLoadBalancerNodePorts) {
      delete spec.allocateLoadBalancerNodePorts
    }
    if (spec.loadBalancerClass === old.spec.loadBalancerClass) delete spec.loadBalancerClass
    if (spec.healthCheckNodePort === old.spec.healthCheckNodePort) delete spec.healthCheckNodePort
  }
}

const ports = (service: Service): string =>
  (service.spec.ports ?? [])
    .map((port) => `${port.port}${port.nodePort ? `:${port.nodePort}` : ''}/${port.protocol}`)
    .join(',') || '<none>'
function externalIps({ spec, status }: Service): string {
  const fixed = spec.externalIPs ?? []
  if (spec.type === 'ExternalName') return spec.externalName ?? ''
  if (spec.type !== 'LoadBalancer') return fixed.join(',') || '<none>'
  const ingress = (status.loadBalancer.ingress ?? []).map((one) => one.ip ?? one.hostname ?? '')
  return [...ingress.filter((one) => one !== ''), ...fixed].join(',') || '<pending>'
}

export const services = defineKind<Service>({
  group: '',
  version: 'v1',
  kind: 'Service',
  plural: 'services',
  singular: 'service',
  shortNames: ['svc'],
  categories: ['all'],
  namespaced: true,
  schema,
  storagePrefix: '/registry/services/specs',
  nameRule: 'dns-1035-label',
  createOnUpdate: true,
  unconditionalUpdate: true,
  subresources: { status: true, custom: ['proxy'] },
  selectableFields: { 'spec.clusterIP': (s) => s.spec.clusterIP ?? '', 'spec.type': (s) => s.spec.type },
  table: {
    columns: [
      nameColumn,
      column('Type'),
      column('Cluster-IP'),
      column('External-IP'),
      column('Port(s)'),
      ageColumn,
      wideColumn('Selector'),
    ],
    row: (s, nowMs) => [
      s.metadata.name,
      s.spec.type,
      s.spec.clusterIPs?.[0] ?? s.spec.clusterIP ?? '<none>',
      externalIps(s),
      ports(s),
      ageCell(s.metadata.creationTimestamp, nowMs),
      formatLabels(s.spec.selector),
    ],
  },
  setDefaults: setServiceDefaults,
  prepareForCreate: (draft) => {
    draft.status = { loadBalancer: {} }
    normalizeClusterIps(draft)
  },
  prepareForUpdate: (draft, old) => {
    normalizeClusterIps(draft, old)
    keepAllocations(draft, old)
    dropTypeDependents(draft, old)
  },
  validate: validateService,
  validateUpdate: validateServiceUpdate,
  validateStatusUpdate: validateServiceStatus,
})
