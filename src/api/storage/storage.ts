// storage.k8s.io/v1: classes of volumes, the drivers that serve them and what is attached where.
import { ageCell } from '../machinery/age.ts'
import { type FieldError, forbiddenField, invalidField, notSupportedField, requiredField } from '../machinery/errors.ts'
import { inVersion, sameShape } from '../machinery/versions.ts'
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, labelSelector, type ObjectOf } from '../machinery/meta.ts'
import {
  array,
  boolean,
  type Infer,
  int32,
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
import { semanticEqual } from '../machinery/equal.ts'
import { isDns1123Subdomain, isQualifiedName, validateNonNegative } from '../machinery/validation.ts'
import { topologySelectorTerm } from '../core/topology.ts'
import { persistentVolumeSpec } from '../core/persistent-volume-spec.ts'

const STORAGE = 'io.k8s.api.storage.v1.'
export const defaultStorageClassAnnotation = 'storageclass.kubernetes.io/is-default-class'
export const betaDefaultStorageClassAnnotation = 'storageclass.beta.kubernetes.io/is-default-class'
const changed = (field: string, next: unknown, old: unknown, value: unknown = next): FieldError[] =>
  semanticEqual(next as never, old as never)
    ? []
    : [invalidField(field, (value ?? null) as never, 'field is immutable')]
const forbiddenChange = (field: string, what: string, next: unknown, old: unknown): FieldError[] =>
  semanticEqual(next as never, old as never) ? [] : [forbiddenField(field, what)]

const storageClassSchema = kindSchema(`${STORAGE}StorageClass`, {
  provisioner: required(2, string()),
  parameters: optional(3, map(string())),
  reclaimPolicy: optional(4, string()),
  mountOptions: optional(5, array(string(), { listType: 'atomic' })),
  allowVolumeExpansion: optional(6, boolean()),
  volumeBindingMode: optional(7, string()),
  allowedTopologies: optional(8, array(topologySelectorTerm, { listType: 'atomic' })),
})
export interface StorageClass extends ObjectOf<typeof storageClassSchema> {}
const isDefault = (o: { readonly metadata: { readonly annotations?: { readonly [k: string]: string } | undefined } }) =>
  o.metadata.annotations?.[defaultStorageClassAnnotation] === 'true' ||
  o.metadata.annotations?.[betaDefaultStorageClassAnnotation] === 'true'

export const storageClasses = defineKind<StorageClass>({
  group: 'storage.k8s.io',
  version: 'v1',
  kind: 'StorageClass',
  plural: 'storageclasses',
  singular: 'storageclass',
  shortNames: ['sc'],
  namespaced: false,
  schema: storageClassSchema,
  storagePrefix: '/registry/storageclasses',
  unconditionalUpdate: true,
  table: {
    columns: [
      { name: 'Name', type: 'string', format: 'name' },
      { name: 'Provisioner', type: 'string' },
      { name: 'ReclaimPolicy', type: 'string' },
      { name: 'VolumeBindingMode', type: 'string' },
      { name: 'AllowVolumeExpansion', type: 'string' },
      { name: 'Age', type: 'string' },
    ],
    row: (o, nowMs) => [
      isDefault(o) ? `${o.metadata.name} (default)` : o.metadata.name,
      o.provisioner,
      o.reclaimPolicy ?? 'Delete',
      o.volumeBindingMode ?? 'Immediate',
      String(o.allowVolumeExpansion ?? false),
      ageCell(o.metadata.creationTimestamp, nowMs),
    ],
  },
  setDefaults: (draft) => {
    draft.reclaimPolicy ??= 'Delete'
    draft.volumeBindingMode ??= 'Immediate'
  },
  validate: (o) => {
    const errors: FieldError[] = []
    if (o.provisioner === '') errors.push(requiredField('provisioner'))
    else
      for (const m of isQualifiedName(o.provisioner.toLowerCase()))
        errors.push(invalidField('provisioner', o.provisioner, m))
    const total = Object.entries(o.parameters ?? {}).reduce((n, [k, v]) => n + k.length + v.length, 0)
    if (Object.keys(o.parameters ?? {}).length > 512)
      errors.push(forbiddenField('parameters', 'must have at most 512 items'))
    if (total > 256 * 1024) errors.push(forbiddenField('parameters', 'may not be more than 262144 bytes'))
    if (!['Delete', 'Retain'].includes(o.reclaimPolicy ?? ''))
      errors.push(notSupportedField('reclaimPolicy', o.reclaimPolicy, ['Delete', 'Retain']))
    if (!['Immediate', 'WaitForFirstConsumer'].includes(o.volumeBindingMode ?? ''))
      errors.push(notSupportedField('volumeBindingMode', o.volumeBindingMode, ['Immediate', 'WaitForFirstConsumer']))
    return errors
  },
  validateUpdate: (next, old) => [
    ...forbiddenChange('parameters', 'updates to parameters are forbidden.', next.parameters, old.parameters),
    ...forbiddenChange('provisioner', 'updates to provisioner are forbidden.', next.provisioner, old.provisioner),
    ...forbiddenChange(
      'reclaimPolicy',
      'updates to reclaimPolicy are forbidden.',
      next.reclaimPolicy,
      old.reclaimPolicy,
    ),
    ...changed('volumeBindingMode', next.volumeBindingMode, old.volumeBindingMode),
  ],
})

const volumeAttributesClassSchema = kindSchema(`${STORAGE}VolumeAttributesClass`, {
  driverName: required(2, string()),
  parameters: optional(3, map(string())),
})
export interface VolumeAttributesClass extends ObjectOf<typeof volumeAttributesClassSchema> {}
export const volumeAttributesClasses = defineKind<VolumeAttributesClass>({
  group: 'storage.k8s.io',
  version: 'v1',
  kind: 'VolumeAttributesClass',
  plural: 'volumeattributesclasses',
  singular: 'volumeattributesclass',
  shortNames: ['vac'],
  namespaced: false,
  schema: volumeAttributesClassSchema,
  storagePrefix: '/registry/volumeattributesclasses',
  unconditionalUpdate: true,
  versions: [
    sameShape('storage.k8s.io', 'v1beta1', inVersion(volumeAttributesClassSchema, 'io.k8s.api.storage.v1.', 'v1beta1')),
  ],
  table: {
    columns: [
      { name: 'Name', type: 'string', format: 'name' },
      { name: 'DriverName', type: 'string' },
      { name: 'Age', type: 'string' },
    ],
    row: (o, nowMs) => [o.metadata.name, o.driverName, ageCell(o.metadata.creationTimestamp, nowMs)],
  },
  validate: (o) => [
    ...(o.driverName === '' ? [requiredField('driverName')] : []),
    ...(Object.keys(o.parameters ?? {}).length === 0
      ? [requiredField('parameters', 'must contain at least one key/value pair')]
      : []),
  ],
  validateUpdate: (next, old) => [
    ...forbiddenChange('driverName', 'updates to driverName are forbidden.', next.driverName, old.driverName),
    ...forbiddenChange('parameters', 'updates to parameters are forbidden.', next.parameters, old.parameters),
  ],
})

const tokenRequest = object(`${STORAGE}TokenRequest`, {
  audience: required(1, string()),
  expirationSeconds: optional(2, int64()),
})
const csiDriverSpec = object(`${STORAGE}CSIDriverSpec`, {
  attachRequired: optional(1, boolean()),
  podInfoOnMount: optional(2, boolean()),
  volumeLifecycleModes: optional(3, array(string(), { listType: 'set' })),
  storageCapacity: optional(4, boolean()),
  fsGroupPolicy: optional(5, string()),
  tokenRequests: optional(6, array(tokenRequest, { listType: 'atomic' })),
  requiresRepublish: optional(7, boolean()),
  seLinuxMount: optional(8, boolean()),
  nodeAllocatableUpdatePeriodSeconds: optional(9, int64()),
  serviceAccountTokenInSecrets: optional(10, boolean()),
  preventPodSchedulingIfMissing: optional(11, boolean()),
})
const csiDriverSchema = kindSchema(`${STORAGE}CSIDriver`, { spec: required(2, csiDriverSpec) })
export interface CsiDriver extends ObjectOf<typeof csiDriverSchema> {}
export const csiDrivers = defineKind<CsiDriver>({
  group: 'storage.k8s.io',
  version: 'v1',
  kind: 'CSIDriver',
  plural: 'csidrivers',
  singular: 'csidriver',
  namespaced: false,
  schema: csiDriverSchema,
  storagePrefix: '/registry/csidrivers',
  generation: true,
  unconditionalUpdate: true,
  table: {
    columns: [
      { name: 'Name', type: 'string', format: 'name' },
      { name: 'AttachRequired', type: 'boolean' },
      { name: 'PodInfoOnMount', type: 'boolean' },
      { name: 'StorageCapacity', type: 'boolean' },
      { name: 'TokenRequests', type: 'string' },
      { name: 'RequiresRepublish', type: 'boolean' },
      { name: 'Modes', type: 'string' },
      { name: 'Age', type: 'string' },
    ],
    row: (o, nowMs) => [
      o.metadata.name,
      o.spec.attachRequired ?? true,
      o.spec.podInfoOnMount ?? false,
      o.spec.storageCapacity ?? false,
      (o.spec.tokenRequests ?? []).map((t) => t.audience).join(',') || '<unset>',
      o.spec.requiresRepublish ?? false,
      (o.spec.volumeLifecycleModes ?? []).join(','),
      ageCell(o.metadata.creationTimestamp, nowMs),
    ],
  },
  setDefaults: ({ spec }) => {
    spec.attachRequired ??= true
    spec.podInfoOnMount ??= false
    spec.storageCapacity ??= false
    spec.fsGroupPolicy ??= 'ReadWriteOnceWithFSType'
    spec.requiresRepublish ??= false
    spec.seLinuxMount ??= false
    if ((spec.volumeLifecycleModes ?? []).length === 0) spec.volumeLifecycleModes = ['Persistent']
  },
  validate: (o) => {
    const errors: FieldError[] = []
    if (o.metadata.name.length > 63)
      errors.push(invalidField('metadata.name', o.metadata.name, 'must be 63 characters or less'))
    o.spec.volumeLifecycleModes?.forEach((m, i) => {
      if (m !== 'Persistent' && m !== 'Ephemeral')
        errors.push(notSupportedField(`spec.volumeLifecycleModes[${i}]`, m, ['Ephemeral', 'Persistent']))
    })
    const policies = ['File', 'None', 'ReadWriteOnceWithFSType']
    if (!policies.includes(o.spec.fsGroupPolicy ?? ''))
      errors.push(notSupportedField('spec.fsGroupPolicy', o.spec.fsGroupPolicy, policies))
    return errors
  },
  validateUpdate: (next, old) => [
    ...changed('spec.attachRequired', next.spec.attachRequired, old.spec.attachRequired),
    ...changed('spec.volumeLifecycleModes', next.spec.volumeLifecycleModes, old.spec.volumeLifecycleModes),
  ],
})

const csiNodeDriver = object(`${STORAGE}CSINodeDriver`, {
  name: required(1, string()),
  nodeID: required(2, string()),
  topologyKeys: optional(3, array(string(), { listType: 'atomic' })),
  allocatable: optional(4, object(`${STORAGE}VolumeNodeResources`, { count: optional(1, int32()) })),
})
const csiNodeSchema = kindSchema(`${STORAGE}CSINode`, {
  spec: required(
    2,
    object(`${STORAGE}CSINodeSpec`, {
      drivers: required(
        1,
        array(csiNodeDriver, { listType: 'map', listMapKeys: ['name'], patchStrategy: 'merge', patchMergeKey: 'name' }),
        { mayBeEmpty: true },
      ),
    }),
  ),
})
export interface CsiNode extends ObjectOf<typeof csiNodeSchema> {}
export const csiNodes = defineKind<CsiNode>({
  group: 'storage.k8s.io',
  version: 'v1',
  kind: 'CSINode',
  plural: 'csinodes',
  singular: 'csinode',
  namespaced: false,
  schema: csiNodeSchema,
  storagePrefix: '/registry/csinodes',
  unconditionalUpdate: true,
  table: {
    columns: [
      { name: 'Name', type: 'string', format: 'name' },
      { name: 'Drivers', type: 'integer' },
      { name: 'Age', type: 'string' },
    ],
    row: (o, nowMs) => [o.metadata.name, o.spec.drivers.length, ageCell(o.metadata.creationTimestamp, nowMs)],
  },
  validate: (o) =>
    o.spec.drivers.flatMap((d, i) => [
      ...(d.name === '' ? [requiredField(`spec.drivers[${i}].name`)] : []),
      ...(d.nodeID === '' ? [requiredField(`spec.drivers[${i}].nodeID`)] : []),
      ...(d.allocatable?.count === undefined
        ? []
        : validateNonNegative(d.allocatable.count, `spec.drivers[${i}].allocatable.count`)),
    ]),
})

const csiStorageCapacitySchema = kindSchema(`${STORAGE}CSIStorageCapacity`, {
  nodeTopology: optional(2, labelSelector),
  storageClassName: required(3, string()),
  capacity: optional(4, quantity()),
  maximumVolumeSize: optional(5, quantity()),
})
export interface CsiStorageCapacity extends ObjectOf<typeof csiStorageCapacitySchema> {}
export const csiStorageCapacities = defineKind<CsiStorageCapacity>({
  group: 'storage.k8s.io',
  version: 'v1',
  kind: 'CSIStorageCapacity',
  plural: 'csistoragecapacities',
  singular: 'csistoragecapacity',
  namespaced: true,
  schema: csiStorageCapacitySchema,
  storagePrefix: '/registry/csistoragecapacities',
  unconditionalUpdate: true,
  table: {
    columns: [
      { name: 'Name', type: 'string', format: 'name' },
      { name: 'StorageClassName', type: 'string' },
      { name: 'Capacity', type: 'string' },
      { name: 'Age', type: 'string' },
    ],
    row: (o, nowMs) => [
      o.metadata.name,
      o.storageClassName,
      o.capacity ?? '',
      ageCell(o.metadata.creationTimestamp, nowMs),
    ],
  },
  validate: (o) =>
    isDns1123Subdomain(o.storageClassName).map((m) => invalidField('storageClassName', o.storageClassName, m)),
  validateUpdate: (next, old) => [
    ...changed('nodeTopology', next.nodeTopology, old.nodeTopology),
    ...changed('storageClassName', next.storageClassName, old.storageClassName),
  ],
})

const volumeError = object(`${STORAGE}VolumeError`, {
  time: optional(1, time()),
  message: optional(2, string()),
  errorCode: optional(3, int32()),
})
const volumeAttachmentSpec = object(`${STORAGE}VolumeAttachmentSpec`, {
  attacher: required(1, string()),
  source: required(
    2,
    object(`${STORAGE}VolumeAttachmentSource`, {
      persistentVolumeName: optional(1, string()),
      inlineVolumeSpec: optional(2, persistentVolumeSpec),
    }),
  ),
  nodeName: required(3, string()),
})
export interface VolumeAttachmentSpec extends Infer<typeof volumeAttachmentSpec> {}
const volumeAttachmentSchema = kindSchema(`${STORAGE}VolumeAttachment`, {
  spec: required(2, volumeAttachmentSpec),
  status: struct(
    3,
    object(`${STORAGE}VolumeAttachmentStatus`, {
      attached: required(1, boolean()),
      attachmentMetadata: optional(2, map(string())),
      attachError: optional(3, volumeError),
      detachError: optional(4, volumeError),
    }),
  ),
})
export interface VolumeAttachment extends ObjectOf<typeof volumeAttachmentSchema> {}
export const volumeAttachments = defineKind<VolumeAttachment>({
  group: 'storage.k8s.io',
  version: 'v1',
  kind: 'VolumeAttachment',
  plural: 'volumeattachments',
  singular: 'volumeattachment',
  namespaced: false,
  schema: volumeAttachmentSchema,
  storagePrefix: '/registry/volumeattachments',
  subresources: { status: true },
  unconditionalUpdate: true,
  table: {
    columns: [
      { name: 'Name', type: 'string', format: 'name' },
      { name: 'Attacher', type: 'string' },
      { name: 'PV', type: 'string' },
      { name: 'Node', type: 'string' },
      { name: 'Attached', type: 'boolean' },
      { name: 'Age', type: 'string' },
    ],
    row: (o, nowMs) => [
      o.metadata.name,
      o.spec.attacher,
      o.spec.source.persistentVolumeName ?? '',
      o.spec.nodeName,
      o.status.attached,
      ageCell(o.metadata.creationTimestamp, nowMs),
    ],
  },
  prepareForCreate: (draft) => {
    draft.status = { attached: false }
  },
  validate: (o) => [
    ...(o.spec.attacher === '' ? [requiredField('spec.attacher')] : []),
    ...(o.spec.nodeName === '' ? [requiredField('spec.nodeName')] : []),
    ...(o.spec.source.persistentVolumeName === undefined && o.spec.source.inlineVolumeSpec === undefined
      ? [requiredField('spec.source', 'must specify exactly one of inlineVolumeSpec and persistentVolumeName')]
      : []),
  ],
  validateUpdate: (next, old) => changed('spec', next.spec, old.spec),
})
