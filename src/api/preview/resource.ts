// resource.k8s.io: DeviceTaintRule (v1beta2, v1alpha3; KEP-5055) and ResourcePoolStatusRequest (v1alpha3). Off unless asked for.
import { defineKind } from '../machinery/kind.ts'
import { forbiddenField } from '../machinery/errors.ts'
import { kindSchema, objectMeta, type ObjectOf } from '../machinery/meta.ts'
import { array, defaulted, int32, int64, object, optional, required, string, struct } from '../machinery/schema.ts'
import { inVersion, sameShape } from '../machinery/versions.ts'
import { deviceTaint, RESOURCE } from '../resource/devices.ts'
import { conditions } from './parts.ts'

const P = 'io.k8s.api.resource.v1beta2.'
const ALPHA = 'io.k8s.api.resource.v1alpha3.'
const deviceTaintSelector = object(`${P}DeviceTaintSelector`, {
  driver: optional(2, string()),
  pool: optional(3, string()),
  device: optional(4, string()),
})
const deviceTaintRuleSpec = object(`${P}DeviceTaintRuleSpec`, {
  deviceSelector: optional(1, deviceTaintSelector),
  taint: required(2, inVersion(deviceTaint, RESOURCE, 'v1beta2')),
})
const deviceTaintRuleStatus = object(`${P}DeviceTaintRuleStatus`, {
  conditions: optional(1, conditions()),
})
const deviceTaintRule = kindSchema(`${P}DeviceTaintRule`, {
  spec: required(2, deviceTaintRuleSpec),
  status: struct(3, deviceTaintRuleStatus),
})
const resourcePoolStatusRequestSpec = object(`${ALPHA}ResourcePoolStatusRequestSpec`, {
  driver: required(1, string()),
  poolName: optional(2, string()),
  limit: defaulted(3, int32(), 100, { publishDefault: true }),
})
const poolStatus = object(`${ALPHA}PoolStatus`, {
  driver: required(1, string(), { pointer: true }),
  poolName: required(2, string(), { pointer: true }),
  nodeName: optional(3, string()),
  totalDevices: optional(4, int32()),
  allocatedDevices: optional(5, int32()),
  availableDevices: optional(6, int32()),
  unavailableDevices: optional(7, int32()),
  resourceSliceCount: optional(8, int32()),
  generation: required(9, int64()),
  validationError: optional(10, string()),
})
const resourcePoolStatusRequestStatus = object(`${ALPHA}ResourcePoolStatusRequestStatus`, {
  pools: optional(2, array(poolStatus, { listType: 'atomic' })),
  conditions: optional(3, conditions()),
  poolCount: required(6, int32(), { pointer: true }),
})
const resourcePoolStatusRequest = kindSchema(`${ALPHA}ResourcePoolStatusRequest`, {
  metadata: struct(1, objectMeta, { listed: true }),
  spec: required(2, resourcePoolStatusRequestSpec),
  status: optional(3, resourcePoolStatusRequestStatus),
})

export interface DeviceTaintRule extends ObjectOf<typeof deviceTaintRule> {}
export interface ResourcePoolStatusRequest extends ObjectOf<typeof resourcePoolStatusRequest> {}

export const deviceTaintRules = defineKind<DeviceTaintRule>({
  group: 'resource.k8s.io',
  version: 'v1beta2',
  kind: 'DeviceTaintRule',
  plural: 'devicetaintrules',
  singular: 'devicetaintrule',
  namespaced: false,
  schema: deviceTaintRule,
  storagePrefix: '/registry/devicetaintrules',
  storageVersion: 'v1alpha3',
  subresources: { status: true },
  versions: [sameShape('resource.k8s.io', 'v1alpha3', inVersion(deviceTaintRule, P, 'v1alpha3'))],
})
export const resourcePoolStatusRequests = defineKind<ResourcePoolStatusRequest>({
  group: 'resource.k8s.io',
  version: 'v1alpha3',
  kind: 'ResourcePoolStatusRequest',
  plural: 'resourcepoolstatusrequests',
  singular: 'resourcepoolstatusrequest',
  namespaced: false,
  schema: resourcePoolStatusRequest,
  storagePrefix: '/registry/resourcepoolstatusrequests',
  subresources: { status: true },
  validateUpdate: (next, old) =>
    JSON.stringify(next.spec) === JSON.stringify(old.spec) ? [] : [forbiddenField('spec', 'field is immutable')],
})
