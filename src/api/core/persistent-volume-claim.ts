// core/v1 PersistentVolumeClaim: a wish for storage, and the volume that fulfils it.
import { ageCell } from '../machinery/age.ts'
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, type ObjectOf } from '../machinery/meta.ts'
import { array, type Draft, type Infer, map, object, optional, required, string, struct } from '../machinery/schema.ts'
import { persistentVolumeClaimSpec } from './persistent-volume-claim-spec.ts'
import { accessModesCell, orUnset } from './persistent-volume.ts'
import { validatePersistentVolumeClaim, validatePersistentVolumeClaimUpdate } from './persistent-volume-validation.ts'
import { CORE } from './references.ts'
import { listByKey, pointerText, resourceList, text, texts, when } from './scalars.ts'
import { ageColumn, column, nameColumn, wideColumn } from './workload-table.ts'

export const persistentVolumeClaimCondition = object(`${CORE}PersistentVolumeClaimCondition`, {
  type: required(1, string()),
  status: required(2, string()),
  lastProbeTime: when(3),
  lastTransitionTime: when(4),
  reason: text(5),
  message: text(6),
})
export interface PersistentVolumeClaimCondition extends Infer<typeof persistentVolumeClaimCondition> {}
const modifyVolumeStatus = object(`${CORE}ModifyVolumeStatus`, {
  targetVolumeAttributesClassName: text(1),
  status: required(2, string()),
})
const persistentVolumeClaimStatus = object(`${CORE}PersistentVolumeClaimStatus`, {
  phase: text(1),
  accessModes: texts(2),
  capacity: optional(3, resourceList),
  conditions: optional(4, array(persistentVolumeClaimCondition, listByKey('type'))),
  allocatedResources: optional(5, resourceList),
  allocatedResourceStatuses: optional(7, map(string(), 'granular')),
  currentVolumeAttributesClassName: pointerText(8),
  modifyVolumeStatus: optional(9, modifyVolumeStatus),
})
export const persistentVolumeClaim = kindSchema(`${CORE}PersistentVolumeClaim`, {
  spec: struct(2, persistentVolumeClaimSpec),
  status: struct(3, persistentVolumeClaimStatus),
})
export interface PersistentVolumeClaim extends ObjectOf<typeof persistentVolumeClaim> {}

/** dataSource and the newer dataSourceRef say the same where the kind is one that both know. */
function syncDataSources(draft: Draft<PersistentVolumeClaim>): void {
  const { spec } = draft
  const { dataSource, dataSourceRef } = spec
  if (dataSource !== undefined && dataSourceRef === undefined) spec.dataSourceRef = { ...dataSource }
  else if (dataSource === undefined && dataSourceRef !== undefined && dataSourceRef.namespace === undefined) {
    const { namespace: _, ...local } = dataSourceRef
    if (isVolumeOrigin(local)) spec.dataSource = local
  }
}
const isVolumeOrigin = (from: { readonly kind: string; readonly apiGroup?: string | undefined }): boolean =>
  (from.kind === 'PersistentVolumeClaim' && !from.apiGroup) ||
  (from.kind === 'VolumeSnapshot' && from.apiGroup === 'snapshot.storage.k8s.io')

export const persistentVolumeClaims = defineKind<PersistentVolumeClaim>({
  group: '',
  version: 'v1',
  kind: 'PersistentVolumeClaim',
  plural: 'persistentvolumeclaims',
  singular: 'persistentvolumeclaim',
  shortNames: ['pvc'],
  namespaced: true,
  schema: persistentVolumeClaim,
  storagePrefix: '/registry/persistentvolumeclaims',
  unconditionalUpdate: true,
  subresources: { status: true },
  table: {
    columns: [
      nameColumn,
      column('Status'),
      column('Volume'),
      column('Capacity'),
      column('Access Modes'),
      column('StorageClass'),
      column('VolumeAttributesClass'),
      ageColumn,
      wideColumn('VolumeMode'),
    ],
    row: (c, nowMs) => [
      c.metadata.name,
      c.metadata.deletionTimestamp === undefined ? (c.status.phase ?? '') : 'Terminating',
      c.spec.volumeName ?? '',
      c.spec.volumeName ? (c.status.capacity?.['storage'] ?? '0') : '',
      c.spec.volumeName ? accessModesCell(c.status.accessModes) : '',
      c.spec.storageClassName ?? c.metadata.annotations?.['volume.beta.kubernetes.io/storage-class'] ?? '',
      orUnset(c.spec.volumeAttributesClassName),
      ageCell(c.metadata.creationTimestamp, nowMs),
      c.spec.volumeMode,
    ],
  },
  prepareForCreate: (draft) => {
    draft.status = { phase: 'Pending' }
    syncDataSources(draft)
  },
  prepareForUpdate: syncDataSources,
  validate: validatePersistentVolumeClaim,
  validateUpdate: validatePersistentVolumeClaimUpdate,
})
