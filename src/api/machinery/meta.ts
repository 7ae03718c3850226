// metav1: what every object carries. Kinds add their own fields with kindSchema().
import {
  any,
  array,
  boolean,
  defaulted,
  enumeration,
  type Field,
  type Infer,
  int32,
  int64,
  map,
  object,
  optional,
  required,
  string,
  struct,
  time,
} from './schema.ts'

const META = 'io.k8s.apimachinery.pkg.apis.meta.v1.'

export const ownerReference = object(
  `${META}OwnerReference`,
  {
    apiVersion: required(5, string()),
    kind: required(1, string()),
    name: required(3, string()),
    uid: required(4, string()),
    controller: optional(6, boolean()),
    blockOwnerDeletion: optional(7, boolean()),
  },
  { mapType: 'atomic' },
)
export interface OwnerReference extends Infer<typeof ownerReference> {}

export const managedFieldsEntry = object(`${META}ManagedFieldsEntry`, {
  manager: optional(1, string()),
  operation: optional(2, string()),
  apiVersion: optional(3, string()),
  time: optional(4, time()),
  fieldsType: optional(6, string()),
  fieldsV1: optional(7, any(`${META}FieldsV1`)),
  subresource: optional(8, string()),
})
export interface ManagedFieldsEntry extends Infer<typeof managedFieldsEntry> {}

export const objectMeta = object(`${META}ObjectMeta`, {
  name: optional(1, string(), { omitZero: true }),
  generateName: optional(2, string(), { omitZero: true }),
  namespace: optional(3, string(), { omitZero: true }),
  selfLink: optional(4, string(), { omitZero: true }),
  uid: optional(5, string(), { omitZero: true }),
  resourceVersion: optional(6, string(), { omitZero: true }),
  generation: optional(7, int64(), { omitZero: true }),
  creationTimestamp: optional(8, time(), {
    description: 'CreationTimestamp is a timestamp of the moment in which the server made the object.',
  }),
  deletionTimestamp: optional(9, time()),
  deletionGracePeriodSeconds: optional(10, int64()),
  labels: optional(11, map(string())),
  annotations: optional(12, map(string())),
  ownerReferences: optional(
    13,
    array(ownerReference, {
      listType: 'map',
      listMapKeys: ['uid'],
      patchStrategy: 'merge',
      patchMergeKey: 'uid',
    }),
  ),
  finalizers: optional(14, array(string(), { listType: 'set', patchStrategy: 'merge' })),
  managedFields: optional(17, array(managedFieldsEntry, { listType: 'atomic' })),
})
/** Metadata as templates and requests may hold it: nothing is certain. */
export interface PartialObjectMeta extends Infer<typeof objectMeta> {}
/** Metadata of a stored object: the server has set these. */
export interface ObjectMeta extends PartialObjectMeta {
  readonly name: string
  readonly uid: string
  readonly resourceVersion: string
  readonly creationTimestamp: string
}

export const listMeta = object(`${META}ListMeta`, {
  selfLink: optional(1, string(), { omitZero: true }),
  resourceVersion: optional(2, string(), { omitZero: true }),
  continue: optional(3, string(), { omitZero: true }),
  remainingItemCount: optional(4, int64()),
  /** Alpha in 1.36 (sharded lists): known, never set. */
  shardInfo: optional(5, object(`${META}ShardInfo`, { selector: required(1, string()) })),
})
export interface ListMeta extends Infer<typeof listMeta> {}

export const labelSelectorRequirement = object(`${META}LabelSelectorRequirement`, {
  key: required(1, string()),
  operator: required(2, string()),
  values: optional(3, array(string(), { listType: 'atomic' })),
})
export interface LabelSelectorRequirement extends Infer<typeof labelSelectorRequirement> {}
export const labelSelector = object(
  `${META}LabelSelector`,
  {
    matchLabels: optional(1, map(string())),
    matchExpressions: optional(2, array(labelSelectorRequirement, { listType: 'atomic' })),
  },
  { mapType: 'atomic' },
)
export interface LabelSelector extends Infer<typeof labelSelector> {}

export const condition = object(`${META}Condition`, {
  type: required(1, string()),
  status: required(2, string()),
  observedGeneration: optional(3, int64()),
  lastTransitionTime: required(4, time()),
  reason: required(5, string()),
  message: required(6, string()),
})
export interface Condition extends Infer<typeof condition> {}

export const preconditions = object(`${META}Preconditions`, {
  uid: optional(1, string()),
  resourceVersion: optional(2, string()),
})
export const deleteOptions = object(`${META}DeleteOptions`, {
  apiVersion: optional(0, string()),
  kind: optional(0, string()),
  gracePeriodSeconds: optional(1, int64()),
  preconditions: optional(2, preconditions),
  orphanDependents: optional(3, boolean()),
  propagationPolicy: optional(4, enumeration('Orphan', 'Background', 'Foreground')),
  dryRun: optional(5, array(string(), { listType: 'atomic' })),
  ignoreStoreReadErrorWithClusterBreakingPotential: optional(6, boolean()),
})
export interface DeleteOptions extends Infer<typeof deleteOptions> {}

export const statusCause = object(`${META}StatusCause`, {
  reason: optional(1, string()),
  message: optional(2, string()),
  field: optional(3, string()),
})
export const statusDetails = object(`${META}StatusDetails`, {
  name: optional(1, string()),
  group: optional(2, string()),
  kind: optional(3, string()),
  causes: optional(4, array(statusCause, { listType: 'atomic' })),
  retryAfterSeconds: optional(5, int32()),
  uid: optional(6, string()),
})
export const status = object(`${META}Status`, {
  apiVersion: defaulted(0, string(), 'v1'),
  kind: defaulted(0, string(), 'Status'),
  metadata: struct(1, listMeta),
  status: optional(2, string()),
  message: optional(3, string()),
  reason: optional(4, string()),
  details: optional(5, statusDetails),
  code: optional(6, int32()),
})
export interface Status extends Infer<typeof status> {}

/** What every object of the API has in common. */
export interface KubeObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: ObjectMeta
}
/** The type of a kind: the fields of its schema with the certain metadata of a stored object. */
export type ObjectOf<S> = Omit<Infer<S>, 'apiVersion' | 'kind' | 'metadata'> & KubeObject

/** The schema of a top-level kind: apiVersion, kind and metadata, then the kind's own fields. */
export const kindSchema = <F extends Readonly<Record<string, Field>>>(name: string, fields: F) =>
  object(name, {
    apiVersion: required(0, string()),
    kind: required(0, string()),
    metadata: struct(1, objectMeta),
    ...fields,
  })
