// resource.k8s.io/v1: DeviceClass, ResourceClaim, ResourceClaimTemplate and ResourceSlice (dynamic resource allocation).
import { ageCell } from '../machinery/age.ts'
import {
  type FieldError,
  duplicateField,
  invalidField,
  notSupportedField,
  requiredField,
  tooManyField,
} from '../machinery/errors.ts'
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
import { isDns1123Label, isDns1123Subdomain } from '../machinery/validation.ts'
import { nodeSelector } from '../core/affinity.ts'
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

function validateClaimSpec(spec: ResourceClaimSpec, at: string): FieldError[] {
  const errors: FieldError[] = []
  const requests = spec.devices.requests ?? []
  if (requests.length > 32) errors.push(tooManyField(`${at}.devices.requests`, requests.length, 32))
  const modes = ['All', 'ExactCount']
  requests.forEach((request, i) => {
    const here = `${at}.devices.requests[${i}]`
    for (const m of isDns1123Label(request.name)) errors.push(invalidField(`${here}.name`, request.name, m))
    if (requests.findIndex((r) => r.name === request.name) < i)
      errors.push(duplicateField(`${here}.name`, request.name))
    const alternatives = request.firstAvailable ?? []
    if ((request.exactly === undefined) === (alternatives.length === 0))
      errors.push(
        request.exactly === undefined
          ? requiredField(here, 'exactly one of `exactly` or `firstAvailable` is required')
          : invalidField(
              here,
              null,
              'exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set',
            ),
      )
    const each: [string, NonNullable<typeof request.exactly> | (typeof alternatives)[number]][] = [
      ...(request.exactly === undefined
        ? []
        : [[`${here}.exactly`, request.exactly] as [string, NonNullable<typeof request.exactly>]]),
      ...alternatives.map((a, j): [string, typeof a] => [`${here}.firstAvailable[${j}]`, a]),
    ]
    for (const [path, one] of each) {
      if (one.deviceClassName === '') errors.push(requiredField(`${path}.deviceClassName`))
      else
        for (const m of isDns1123Subdomain(one.deviceClassName))
          errors.push(invalidField(`${path}.deviceClassName`, one.deviceClassName, m))
      if (!modes.includes(one.allocationMode ?? ''))
        errors.push(notSupportedField(`${path}.allocationMode`, one.allocationMode, modes))
      if (one.allocationMode === 'ExactCount' && (one.count ?? 0) <= 0)
        errors.push(invalidField(`${path}.count`, one.count, 'must be greater than zero'))
      if (one.allocationMode === 'All' && one.count !== undefined)
        errors.push(invalidField(`${path}.count`, one.count, "must not be specified when allocationMode is 'All'"))
      one.selectors?.forEach((s, j) => {
        if (s.cel === undefined) errors.push(requiredField(`${path}.selectors[${j}].cel`))
        else if (s.cel.expression.length > 10 * 1024)
          errors.push({
            type: 'FieldValueTooLong',
            field: `${path}.selectors[${j}].cel.expression`,
            message: 'Too long: may not be more than 10240 bytes',
          })
      })
    }
  })
  return errors
}

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
  validate: (o) =>
    (o.spec.selectors ?? []).length > 32 ? [tooManyField('spec.selectors', (o.spec.selectors ?? []).length, 32)] : [],
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
  validate: (o) => validateClaimSpec(o.spec, 'spec'),
  validateUpdate: immutableSpec,
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
  validate: (o) => validateClaimSpec(o.spec.spec, 'spec.spec'),
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
  validate: ({ spec }) => {
    const errors: FieldError[] = []
    if (spec.driver === '') errors.push(requiredField('spec.driver'))
    else if (spec.driver.length > 63)
      errors.push({
        type: 'FieldValueTooLong',
        field: 'spec.driver',
        message: 'Too long: may not be more than 63 bytes',
      })
    if (spec.pool.name === '') errors.push(requiredField('spec.pool.name'))
    if (spec.pool.resourceSliceCount <= 0)
      errors.push(
        invalidField('spec.pool.resourceSliceCount', spec.pool.resourceSliceCount, 'must be greater than zero'),
      )
    if (spec.pool.generation < 0)
      errors.push(invalidField('spec.pool.generation', spec.pool.generation, 'must be greater than or equal to zero'))
    const places = [
      spec.nodeName !== undefined && spec.nodeName !== '',
      spec.nodeSelector !== undefined,
      spec.allNodes === true,
      spec.perDeviceNodeSelection === true,
    ].filter(Boolean).length
    if (places !== 1)
      errors.push(
        places === 0
          ? requiredField(
              'spec',
              'exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required',
            )
          : invalidField(
              'spec',
              null,
              'exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set',
            ),
      )
    const devices = spec.devices ?? []
    if (devices.length > 128) errors.push(tooManyField('spec.devices', devices.length, 128))
    devices.forEach((d, i) => {
      for (const m of isDns1123Label(d.name)) errors.push(invalidField(`spec.devices[${i}].name`, d.name, m))
      if (devices.findIndex((o) => o.name === d.name) < i)
        errors.push(duplicateField(`spec.devices[${i}].name`, d.name))
    })
    return errors
  },
  validateUpdate: (next, old) => {
    const errors: FieldError[] = []
    if (next.spec.driver !== old.spec.driver)
      errors.push(invalidField('spec.driver', next.spec.driver, 'field is immutable'))
    if (next.spec.nodeName !== old.spec.nodeName)
      errors.push(invalidField('spec.nodeName', next.spec.nodeName, 'field is immutable'))
    if (next.spec.pool.name !== old.spec.pool.name)
      errors.push(invalidField('spec.pool.name', next.spec.pool.name, 'field is immutable'))
    return errors
  },
})
