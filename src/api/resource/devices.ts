// resource.k8s.io: the vocabulary of devices (KEP-4381), shared by claims, classes and slices.
import { condition } from '../machinery/meta.ts'
import {
  any,
  array,
  boolean,
  type Infer,
  int64,
  map,
  object,
  optional,
  quantity,
  required,
  string,
  struct,
  time,
} from '../machinery/schema.ts'
import { nodeSelector } from '../core/affinity.ts'

export const RESOURCE = 'io.k8s.api.resource.v1.'
export const poolId = (driver: string, pool: string): string => `${driver}/${pool}`
/** By what a device is known in the cluster. */
export const deviceId = (driver: string, pool: string, device: string): string => `${driver}/${pool}/${device}`
const words = () => array(string(), { listType: 'atomic' })

export const deviceSelector = object(`${RESOURCE}DeviceSelector`, {
  cel: optional(1, object(`${RESOURCE}CELDeviceSelector`, { expression: required(1, string()) })),
})
const selectors = () => array(deviceSelector, { listType: 'atomic' })
export const opaqueConfiguration = object(`${RESOURCE}OpaqueDeviceConfiguration`, {
  driver: required(1, string()),
  parameters: required(2, any('io.k8s.apimachinery.pkg.runtime.RawExtension')),
})
export const deviceToleration = object(`${RESOURCE}DeviceToleration`, {
  key: optional(1, string()),
  operator: optional(2, string(), { publishedDefault: 'Equal' }),
  value: optional(3, string()),
  effect: optional(4, string()),
  tolerationSeconds: optional(5, int64()),
})
const tolerations = () => array(deviceToleration, { listType: 'atomic' })
const capacityRequirements = object(`${RESOURCE}CapacityRequirements`, { requests: optional(1, map(quantity())) })

export const exactDeviceRequest = object(`${RESOURCE}ExactDeviceRequest`, {
  deviceClassName: required(1, string()),
  selectors: optional(2, selectors()),
  allocationMode: optional(3, string()),
  count: optional(4, int64()),
  adminAccess: optional(5, boolean()),
  tolerations: optional(6, tolerations()),
  capacity: optional(7, capacityRequirements),
})
export const deviceSubRequest = object(`${RESOURCE}DeviceSubRequest`, {
  name: required(1, string()),
  deviceClassName: required(2, string()),
  selectors: optional(3, selectors()),
  allocationMode: optional(4, string()),
  count: optional(5, int64()),
  tolerations: optional(6, tolerations()),
  capacity: optional(7, capacityRequirements),
})
export const deviceRequest = object(`${RESOURCE}DeviceRequest`, {
  name: required(1, string()),
  exactly: optional(2, exactDeviceRequest),
  firstAvailable: optional(3, array(deviceSubRequest, { listType: 'atomic' })),
})
export const deviceClaim = object(`${RESOURCE}DeviceClaim`, {
  requests: optional(1, array(deviceRequest, { listType: 'atomic' })),
  constraints: optional(
    2,
    array(
      object(`${RESOURCE}DeviceConstraint`, {
        requests: optional(1, words()),
        matchAttribute: optional(2, string()),
        distinctAttribute: optional(3, string()),
      }),
      { listType: 'atomic' },
    ),
  ),
  config: optional(
    3,
    array(
      object(`${RESOURCE}DeviceClaimConfiguration`, {
        requests: optional(1, words()),
        opaque: optional(1, opaqueConfiguration, { within: [2] }),
      }),
      { listType: 'atomic' },
    ),
  ),
})
export const resourceClaimSpec = object(`${RESOURCE}ResourceClaimSpec`, { devices: struct(1, deviceClaim) })
export interface ResourceClaimSpec extends Infer<typeof resourceClaimSpec> {}

export const allocationResult = object(`${RESOURCE}AllocationResult`, {
  devices: struct(
    1,
    object(`${RESOURCE}DeviceAllocationResult`, {
      results: optional(
        1,
        array(
          object(`${RESOURCE}DeviceRequestAllocationResult`, {
            request: required(1, string()),
            driver: required(2, string()),
            pool: required(3, string()),
            device: required(4, string()),
            adminAccess: optional(5, boolean()),
            tolerations: optional(6, tolerations()),
            bindingConditions: optional(7, words()),
            bindingFailureConditions: optional(8, words()),
            shareID: optional(9, string()),
            consumedCapacity: optional(10, map(quantity())),
          }),
          { listType: 'atomic' },
        ),
      ),
      config: optional(
        2,
        array(
          object(`${RESOURCE}DeviceAllocationConfiguration`, {
            source: required(1, string()),
            requests: optional(2, words()),
            opaque: optional(1, opaqueConfiguration, { within: [3] }),
          }),
          { listType: 'atomic' },
        ),
      ),
    }),
  ),
  nodeSelector: optional(3, nodeSelector),
  allocationTimestamp: optional(5, time()),
})
export const resourceClaimStatus = object(`${RESOURCE}ResourceClaimStatus`, {
  allocation: optional(1, allocationResult),
  reservedFor: optional(
    2,
    array(
      object(`${RESOURCE}ResourceClaimConsumerReference`, {
        apiGroup: optional(1, string()),
        resource: required(3, string()),
        name: required(4, string()),
        uid: required(5, string()),
      }),
      { listType: 'map', listMapKeys: ['uid'], patchStrategy: 'merge', patchMergeKey: 'uid' },
    ),
  ),
  devices: optional(
    4,
    array(
      object(`${RESOURCE}AllocatedDeviceStatus`, {
        driver: required(1, string()),
        pool: required(2, string()),
        device: required(3, string()),
        conditions: optional(4, array(condition, { listType: 'map', listMapKeys: ['type'] })),
        data: optional(5, any('io.k8s.apimachinery.pkg.runtime.RawExtension')),
        networkData: optional(
          6,
          object(`${RESOURCE}NetworkDeviceData`, {
            interfaceName: optional(1, string()),
            ips: optional(2, words()),
            hardwareAddress: optional(3, string()),
          }),
        ),
        shareID: optional(7, string()),
      }),
      { listType: 'map', listMapKeys: ['driver', 'device', 'pool', 'shareID'] },
    ),
  ),
})

const counter = object(`${RESOURCE}Counter`, { value: required(1, quantity()) })
export const counterSet = object(`${RESOURCE}CounterSet`, {
  name: required(1, string()),
  counters: required(2, map(counter)),
})
const deviceAttribute = object(`${RESOURCE}DeviceAttribute`, {
  int: optional(2, int64()),
  bool: optional(3, boolean()),
  string: optional(4, string()),
  version: optional(5, string()),
  ints: optional(6, array(int64(), { listType: 'atomic' })),
  bools: optional(7, array(boolean(), { listType: 'atomic' })),
  strings: optional(8, words()),
  versions: optional(9, words()),
})
const deviceCapacity = object(`${RESOURCE}DeviceCapacity`, {
  value: required(1, quantity()),
  requestPolicy: optional(
    2,
    object(`${RESOURCE}CapacityRequestPolicy`, {
      default: optional(1, quantity()),
      validValues: optional(3, array(quantity(), { listType: 'atomic' })),
      validRange: optional(
        4,
        object(`${RESOURCE}CapacityRequestPolicyRange`, {
          min: required(1, quantity()),
          max: optional(2, quantity()),
          step: optional(3, quantity()),
        }),
      ),
    }),
  ),
})
export const deviceTaint = object(`${RESOURCE}DeviceTaint`, {
  key: required(1, string()),
  value: optional(2, string()),
  effect: required(3, string()),
  timeAdded: optional(4, time()),
})
export interface DeviceTaint extends Infer<typeof deviceTaint> {}
export const device = object(`${RESOURCE}Device`, {
  name: required(1, string()),
  attributes: optional(2, map(deviceAttribute)),
  capacity: optional(3, map(deviceCapacity)),
  consumesCounters: optional(
    4,
    array(
      object(`${RESOURCE}DeviceCounterConsumption`, {
        counterSet: required(1, string()),
        counters: required(2, map(counter)),
      }),
      { listType: 'atomic' },
    ),
  ),
  nodeName: optional(5, string()),
  nodeSelector: optional(6, nodeSelector),
  allNodes: optional(7, boolean()),
  taints: optional(8, array(deviceTaint, { listType: 'atomic' })),
  bindsToNode: optional(9, boolean()),
  bindingConditions: optional(10, words()),
  bindingFailureConditions: optional(11, words()),
  allowMultipleAllocations: optional(12, boolean()),
  nodeAllocatableResourceMappings: optional(
    13,
    map(
      object(`${RESOURCE}NodeAllocatableResourceMapping`, {
        capacityKey: optional(1, string()),
        allocationMultiplier: optional(2, quantity()),
      }),
    ),
  ),
})
