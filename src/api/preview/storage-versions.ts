// internal.apiserver.k8s.io/v1alpha1 StorageVersion and storagemigration.k8s.io/v1beta1 StorageVersionMigration. Off unless
// asked for.
import { forbiddenField } from '../machinery/errors.ts'
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, objectMeta, type ObjectOf } from '../machinery/meta.ts'
import { any, array, int64, object, optional, required, string, struct, time } from '../machinery/schema.ts'
import { conditions } from './parts.ts'

const MIGRATION = 'io.k8s.api.storagemigration.v1beta1.'
const storageVersionMigrationSpec = object(`${MIGRATION}StorageVersionMigrationSpec`, {
  resource: required(
    1,
    object('io.k8s.apimachinery.pkg.apis.meta.v1.GroupResource', {
      // The core group's name is empty.
      group: required(1, string(), { mayBeEmpty: true }),
      resource: required(2, string()),
    }),
  ),
})
const storageVersionMigrationStatus = object(`${MIGRATION}StorageVersionMigrationStatus`, {
  conditions: optional(1, conditions()),
  resourceVersion: optional(2, string()),
})
const storageVersionMigration = kindSchema(`${MIGRATION}StorageVersionMigration`, {
  spec: struct(2, storageVersionMigrationSpec),
  status: struct(3, storageVersionMigrationStatus),
})

const P = 'io.k8s.api.apiserverinternal.v1alpha1.'
const storageVersionSpec = any(`${P}StorageVersionSpec`)
const serverStorageVersion = object(`${P}ServerStorageVersion`, {
  apiServerID: required(1, string(), { pointer: true }),
  encodingVersion: required(2, string(), { pointer: true }),
  decodableVersions: required(3, array(string(), { listType: 'set' })),
  servedVersions: optional(4, array(string(), { listType: 'set' })),
})
const storageVersionCondition = object(`${P}StorageVersionCondition`, {
  type: required(1, string()),
  status: required(2, string()),
  observedGeneration: optional(3, int64()),
  lastTransitionTime: optional(4, time()),
  reason: required(5, string()),
  message: required(6, string(), { pointer: true }),
})
const storageVersionStatus = object(`${P}StorageVersionStatus`, {
  storageVersions: optional(1, array(serverStorageVersion, { listType: 'map', listMapKeys: ['apiServerID'] })),
  commonEncodingVersion: optional(2, string()),
  conditions: optional(3, array(storageVersionCondition, { listType: 'map', listMapKeys: ['type'] })),
})
const storageVersion = kindSchema(`${P}StorageVersion`, {
  metadata: struct(1, objectMeta, { listed: true }),
  spec: optional(2, storageVersionSpec, { publishedDefault: {} }),
  status: struct(3, storageVersionStatus),
})

export interface StorageVersionMigration extends ObjectOf<typeof storageVersionMigration> {}
export interface StorageVersion extends ObjectOf<typeof storageVersion> {}

export const storageVersionMigrations = defineKind<StorageVersionMigration>({
  group: 'storagemigration.k8s.io',
  version: 'v1beta1',
  kind: 'StorageVersionMigration',
  plural: 'storageversionmigrations',
  singular: 'storageversionmigration',
  namespaced: false,
  schema: storageVersionMigration,
  storagePrefix: '/registry/storageversionmigrations',
  subresources: { status: true },
  validateUpdate: (next, old) =>
    JSON.stringify(next.spec) === JSON.stringify(old.spec) ? [] : [forbiddenField('spec', 'field is immutable')],
})
export const storageVersions = defineKind<StorageVersion>({
  group: 'internal.apiserver.k8s.io',
  version: 'v1alpha1',
  kind: 'StorageVersion',
  plural: 'storageversions',
  singular: 'storageversion',
  namespaced: false,
  schema: storageVersion,
  storagePrefix: '/registry/storageversions',
  subresources: { status: true },
})
