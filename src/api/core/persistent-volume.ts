// core/v1 PersistentVolume: a piece of storage that outlives pods.
import { ageCell } from '../machinery/age.ts'
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, type ObjectOf } from '../machinery/meta.ts'
import { object, struct } from '../machinery/schema.ts'
import { persistentVolumeSpec, type PersistentVolumeSpec } from './persistent-volume-spec.ts'
import { validatePersistentVolume, validatePersistentVolumeUpdate } from './persistent-volume-validation.ts'
import { CORE } from './references.ts'
import { text, when } from './scalars.ts'
import { ageColumn, column, nameColumn, wideColumn } from './workload-table.ts'

const persistentVolumeStatus = object(`${CORE}PersistentVolumeStatus`, {
  phase: text(1),
  message: text(2),
  reason: text(3),
  lastPhaseTransitionTime: when(4),
})
const schema = kindSchema(`${CORE}PersistentVolume`, {
  spec: struct(2, persistentVolumeSpec),
  status: struct(3, persistentVolumeStatus),
})
export interface PersistentVolume extends ObjectOf<typeof schema> {}

const shortModes: Readonly<Record<string, string>> = {
  ReadWriteOnce: 'RWO',
  ReadOnlyMany: 'ROX',
  ReadWriteMany: 'RWX',
  ReadWriteOncePod: 'RWOP',
}
/** Access modes as kubectl abbreviates them: RWO,ROX. */
export function accessModesCell(modes: readonly string[] | undefined): string {
  return Object.keys(shortModes)
    .filter((mode) => modes?.includes(mode))
    .map((mode) => shortModes[mode])
    .join(',')
}
/** For cells whose value was never set. */
export const orUnset = (value: string | undefined): string => value ?? '<unset>'
const claimCell = ({ claimRef }: PersistentVolumeSpec): string =>
  claimRef === undefined ? '' : `${claimRef.namespace ?? ''}/${claimRef.name ?? ''}`

export const persistentVolumes = defineKind<PersistentVolume>({
  group: '',
  version: 'v1',
  kind: 'PersistentVolume',
  plural: 'persistentvolumes',
  singular: 'persistentvolume',
  shortNames: ['pv'],
  namespaced: false,
  schema,
  storagePrefix: '/registry/persistentvolumes',
  unconditionalUpdate: true,
  subresources: { status: true },
  table: {
    columns: [
      nameColumn,
      column('Capacity'),
      column('Access Modes'),
      column('Reclaim Policy'),
      column('Status'),
      column('Claim'),
      column('StorageClass'),
      column('VolumeAttributesClass'),
      column('Reason'),
      ageColumn,
      wideColumn('VolumeMode'),
    ],
    row: (v, nowMs) => [
      v.metadata.name,
      v.spec.capacity?.['storage'] ?? '0',
      accessModesCell(v.spec.accessModes),
      v.spec.persistentVolumeReclaimPolicy,
      v.metadata.deletionTimestamp === undefined ? (v.status.phase ?? '') : 'Terminating',
      claimCell(v.spec),
      v.spec.storageClassName ?? v.metadata.annotations?.['volume.beta.kubernetes.io/storage-class'] ?? '',
      orUnset(v.spec.volumeAttributesClassName),
      v.status.reason ?? '',
      ageCell(v.metadata.creationTimestamp, nowMs),
      v.spec.volumeMode,
    ],
  },
  prepareForCreate: (draft) => {
    draft.status = { phase: 'Pending' }
  },
  validate: validatePersistentVolume,
  validateUpdate: validatePersistentVolumeUpdate,
})
