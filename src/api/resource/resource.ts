// resource.k8s.io/v1: DeviceClass, ResourceClaim, ResourceClaimTemplate and ResourceSlice (dynamic resource allocation).
import { ageCell } from '../machinery/age.ts'
import { type FieldError, forbiddenField, invalidField } from '../machinery/errors.ts'
import { semanticEqual } from '../machinery/equal.ts'
import { defineKind, type TableDefinition } from '../machinery/kind.ts'
import { kindSchema, type KubeObject, objectMeta, type ObjectOf } from '../machinery/meta.ts'
import {
  array,
  boolean,
  type Draft,
  int64,
  object,
  type ObjectSchema,
  optional,
  required,
  string,
  struct,
} from '../machinery/schema.ts'
import { formatTime } from '../machinery/time.ts'
import { inVersion, sameShape } from '../machinery/versions.ts'
import { immutableField } from '../machinery/validation.ts'
import { nodeSelector } from '../core/affinity.ts'
import { validateClaimSpec, validateClaimStatus } from './claim-validation.ts'
import {
  counterSet,
  device,
  deviceSelector,
  opaqueConfiguration,
  RESOURCE,
  type ResourceClaimSpec,
  resourceClaimSpec,
  resourceClaimStatus,
} from './devices.ts'
import { validateClass, validateSlice } from './slice-validation.ts'

const deviceClassSchema = kindSchema(`${RESOURCE}DeviceClass`, {
  spec: required(
    2,
    object(`${RESOURCE}DeviceClassSpec`, {
      selectors: optional(1, array(deviceSelector, { listType: 'atomic' })),
      config: optional(
        2,
        array(
          object(`${RESOURCE}DeviceClassConfiguration`, { opaque: optional(1, opaqueConfiguration, { within: [1] }) }),
          {
            listType: 'atomic',
          },
        ),
      ),
      extendedResourceName: optional(4, string()),
    }),
  ),
})
const claimSchema = kindSchema(`${RESOURCE}ResourceClaim`, {
  spec: required(2, resourceClaimSpec),
  status: struct(3, resourceClaimStatus),
})
const templateSchema = kindSchema(`${RESOURCE}ResourceClaimTemplate`, {
  spec: required(
    2,
    object(`${RESOURCE}ResourceClaimTemplateSpec`, {
      metadata: struct(1, objectMeta),
      spec: required(2, resourceClaimSpec),
    }),
  ),
})
const sliceSchema = kindSchema(`${RESOURCE}ResourceSlice`, {
  spec: required(
    2,
    object(`${RESOURCE}ResourceSliceSpec`, {
      driver: required(1, string()),
      pool: required(
        2,
        object(`${RESOURCE}ResourcePool`, {
          name: required(1, string()),
          generation: required(2, int64()),
          resourceSliceCount: required(3, int64()),
        }),
      ),
      nodeName: optional(3, string()),
      nodeSelector: optional(4, nodeSelector),
      allNodes: optional(5, boolean()),
      devices: optional(6, array(device, { listType: 'atomic' })),
      perDeviceNodeSelection: optional(7, boolean()),
      sharedCounters: optional(8, array(counterSet, { listType: 'atomic' })),
    }),
  ),
})
/** What v1beta2 calls the same. */
const beta = (schema: ObjectSchema) => [sameShape('resource.k8s.io', 'v1beta2', inVersion(schema, RESOURCE, 'v1beta2'))]
export interface DeviceClass extends ObjectOf<typeof deviceClassSchema> {}
export interface ResourceClaim extends ObjectOf<typeof claimSchema> {}
export interface ResourceClaimTemplate extends ObjectOf<typeof templateSchema> {}
export interface ResourceSlice extends ObjectOf<typeof sliceSchema> {}

function setClaimDefaults(spec: Draft<ResourceClaimSpec>): void {
  for (const request of spec.devices.requests ?? []) {
    const all = [...(request.exactly === undefined ? [] : [request.exactly]), ...(request.firstAvailable ?? [])]
    for (const one of all) {
      one.allocationMode ??= 'ExactCount'
      if (one.allocationMode === 'ExactCount') one.count ??= 1
      for (const t of one.tolerations ?? []) t.operator ??= 'Equal'
    }
  }
}

/** Labels and annotations alone are copied into claims. */
const validateTemplateMeta = (metadata: ResourceClaimTemplate['spec']['metadata']): FieldError[] =>
  Object.entries(metadata ?? {}).flatMap(([field, value]) =>
    field === 'labels' || field === 'annotations' || value === undefined || value === ''
      ? []
      : [forbiddenField(`spec.metadata.${field}`, 'cannot be set for a resource claim template')],
  )

const immutableSpec = (next: { readonly spec: unknown }, old: { readonly spec: unknown }): FieldError[] =>
  semanticEqual(next.spec as never, old.spec as never)
    ? []
    : [invalidField('spec', next.spec as never, 'field is immutable')]

/** When a taint was added, where nobody says so. */
function dateTaints({ devices }: Draft<ResourceSlice['spec']>, nowMs: number): void {
  for (const { taints } of devices ?? []) for (const taint of taints ?? []) taint.timeAdded ??= formatTime(nowMs)
}

const nameAndAge: TableDefinition<KubeObject> = {
  columns: [
    { name: 'Name', type: 'string', format: 'name' },
    { name: 'Age', type: 'string' },
  ],
  row: (o, nowMs) => [o.metadata.name, ageCell(o.metadata.creationTimestamp, nowMs)],
}
const common = { group: 'resource.k8s.io', version: 'v1', unconditionalUpdate: true } as const

export const deviceClasses = defineKind<DeviceClass>({
  ...common,
  kind: 'DeviceClass',
  plural: 'deviceclasses',
  singular: 'deviceclass',
  namespaced: false,
  generation: true,
  schema: deviceClassSchema,
  versions: beta(deviceClassSchema),
  storagePrefix: '/registry/deviceclasses',
  table: nameAndAge,
  validate: (o, _, old) => validateClass(o, old),
})
export const resourceClaims = defineKind<ResourceClaim>({
  ...common,
  kind: 'ResourceClaim',
  plural: 'resourceclaims',
  singular: 'resourceclaim',
  namespaced: true,
  schema: claimSchema,
  versions: beta(claimSchema),
  storagePrefix: '/registry/resourceclaims',
  subresources: { status: true },
  table: {
    columns: [
      { name: 'Name', type: 'string', format: 'name' },
      { name: 'State', type: 'string' },
      { name: 'Age', type: 'string' },
    ],
    row: (o, nowMs) => {
      const states = [
        ...(o.metadata.deletionTimestamp === undefined ? [] : ['deleted']),
        ...(o.status.allocation === undefined ? [] : ['allocated']),
        ...((o.status.reservedFor ?? []).length === 0 ? [] : ['reserved']),
      ]
      return [
        o.metadata.name,
        states.length === 0 ? 'pending' : states.join(','),
        ageCell(o.metadata.creationTimestamp, nowMs),
      ]
    },
  },
  setDefaults: (draft) => setClaimDefaults(draft.spec),
  prepareForCreate: (draft) => {
    draft.status = {}
  },
  // what is stored was right when it was written, and does not change
  validate: (o, _, old) => (old === undefined ? validateClaimSpec(o.spec, 'spec') : []),
  validateUpdate: immutableSpec,
  validateStatusUpdate: validateClaimStatus,
})
export const resourceClaimTemplates = defineKind<ResourceClaimTemplate>({
  ...common,
  kind: 'ResourceClaimTemplate',
  plural: 'resourceclaimtemplates',
  singular: 'resourceclaimtemplate',
  namespaced: true,
  schema: templateSchema,
  versions: beta(templateSchema),
  storagePrefix: '/registry/resourceclaimtemplates',
  table: nameAndAge,
  setDefaults: (draft) => setClaimDefaults(draft.spec.spec),
  validate: (o, _, old) =>
    old === undefined ? [...validateTemplateMeta(o.spec.metadata), ...validateClaimSpec(o.spec.spec, 'spec.spec')] : [],
  validateUpdate: immutableSpec,
})
export const resourceSlices = defineKind<ResourceSlice>({
  ...common,
  kind: 'ResourceSlice',
  plural: 'resourceslices',
  singular: 'resourceslice',
  namespaced: false,
  generation: true,
  schema: sliceSchema,
  versions: beta(sliceSchema),
  storagePrefix: '/registry/resourceslices',
  selectableFields: { 'spec.driver': (o) => o.spec.driver, 'spec.nodeName': (o) => o.spec.nodeName ?? '' },
  table: {
    columns: [
      { name: 'Name', type: 'string', format: 'name' },
      { name: 'Node', type: 'string' },
      { name: 'Driver', type: 'string' },
      { name: 'Pool', type: 'string' },
      { name: 'Age', type: 'string' },
    ],
    row: (o, nowMs) => [
      o.metadata.name,
      o.spec.nodeName ?? '',
      o.spec.driver,
      o.spec.pool.name,
      ageCell(o.metadata.creationTimestamp, nowMs),
    ],
  },
  prepareForCreate: ({ spec }, { nowMs }) => dateTaints(spec, nowMs),
  prepareForUpdate: ({ spec }, _, { nowMs }) => dateTaints(spec, nowMs),
  validate: validateSlice,
  validateUpdate: ({ spec }, { spec: old }) => [
    ...immutableField('spec.driver', spec.driver, spec.driver === old.driver),
    ...immutableField('spec.nodeName', spec.nodeName, spec.nodeName === old.nodeName),
    ...immutableField('spec.pool.name', spec.pool.name, spec.pool.name === old.pool.name),
  ],
})
