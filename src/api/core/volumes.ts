// A pod's volume: a name and exactly one source. None at all means an emptyDir.
import {
  array,
  boolean,
  defaulted,
  type FieldOptions,
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
} from '../machinery/schema.ts'
import { labelSelector, objectMeta } from '../machinery/meta.ts'
import { embeddedName, objectFieldSelector, resourceFieldSelector } from './environment.ts'
import { persistentVolumeClaimSpec } from './persistent-volume-claim-spec.ts'
import { CORE, localObjectReference } from './references.ts'
import { atomicList, flag, pointerText, text, textMap } from './scalars.ts'
import {
  awsElasticBlockStoreVolumeSource,
  azureDiskVolumeSource,
  cephFields,
  cinderFields,
  fcVolumeSource,
  flexFields,
  flockerVolumeSource,
  gcePersistentDiskVolumeSource,
  hostPathVolumeSource,
  iscsiFields,
  nfsVolumeSource,
  photonPersistentDiskVolumeSource,
  portworxVolumeSource,
  quobyteVolumeSource,
  rbdFields,
  scaleIoFields,
  storageOsFields,
  vsphereVirtualDiskVolumeSource,
} from './volume-sources.ts'

/** 0644: what files of configuration volumes get unless something else is said. */
const defaultFileMode = 0o644
const mode = (tag: number) => defaulted(tag, int32(), defaultFileMode)

export const emptyDirVolumeSource = object(`${CORE}EmptyDirVolumeSource`, {
  medium: text(1),
  sizeLimit: optional(2, quantity()),
})
export interface EmptyDirVolumeSource extends Infer<typeof emptyDirVolumeSource> {}
export const keyToPath = object(`${CORE}KeyToPath`, {
  key: required(1, string()),
  path: required(2, string()),
  mode: optional(3, int32()),
})
export interface KeyToPath extends Infer<typeof keyToPath> {}
export const secretVolumeSource = object(`${CORE}SecretVolumeSource`, {
  secretName: text(1),
  items: optional(2, array(keyToPath, atomicList)),
  defaultMode: mode(3),
  optional: optional(4, boolean()),
})
export interface SecretVolumeSource extends Infer<typeof secretVolumeSource> {}
export const configMapVolumeSource = object(`${CORE}ConfigMapVolumeSource`, {
  name: embeddedName(),
  items: optional(2, array(keyToPath, atomicList)),
  defaultMode: mode(3),
  optional: optional(4, boolean()),
})
export interface ConfigMapVolumeSource extends Infer<typeof configMapVolumeSource> {}
export const downwardApiVolumeFile = object(`${CORE}DownwardAPIVolumeFile`, {
  path: required(1, string()),
  fieldRef: optional(2, objectFieldSelector),
  resourceFieldRef: optional(3, resourceFieldSelector),
  mode: optional(4, int32()),
})
export interface DownwardAPIVolumeFile extends Infer<typeof downwardApiVolumeFile> {}
export const downwardApiVolumeSource = object(`${CORE}DownwardAPIVolumeSource`, {
  items: optional(1, array(downwardApiVolumeFile, atomicList)),
  defaultMode: mode(2),
})
export interface DownwardAPIVolumeSource extends Infer<typeof downwardApiVolumeSource> {}

const projectionFields = {
  name: embeddedName(),
  items: optional(2, array(keyToPath, atomicList)),
  optional: optional(4, boolean()),
}
const configMapProjection = object(`${CORE}ConfigMapProjection`, projectionFields)
const secretProjection = object(`${CORE}SecretProjection`, projectionFields)
const downwardApiProjection = object(`${CORE}DownwardAPIProjection`, {
  items: optional(1, array(downwardApiVolumeFile, atomicList)),
})
const serviceAccountTokenProjection = object(`${CORE}ServiceAccountTokenProjection`, {
  audience: text(1),
  expirationSeconds: defaulted(2, int64(), 3600),
  path: required(3, string()),
})
export interface ServiceAccountTokenProjection extends Infer<typeof serviceAccountTokenProjection> {}
const clusterTrustBundleProjection = object(`${CORE}ClusterTrustBundleProjection`, {
  name: pointerText(1),
  signerName: pointerText(2),
  labelSelector: optional(3, labelSelector),
  path: required(4, string()),
  optional: optional(5, boolean()),
})
const podCertificateProjection = object(`${CORE}PodCertificateProjection`, {
  signerName: required(1, string(), { pointer: true }),
  keyType: required(2, string(), { pointer: true }),
  maxExpirationSeconds: optional(3, int32()),
  credentialBundlePath: text(4),
  keyPath: text(5),
  certificateChainPath: text(6),
  userAnnotations: textMap(7),
})
export const volumeProjection = object(`${CORE}VolumeProjection`, {
  secret: optional(1, secretProjection),
  downwardAPI: optional(2, downwardApiProjection),
  configMap: optional(3, configMapProjection),
  serviceAccountToken: optional(4, serviceAccountTokenProjection),
  clusterTrustBundle: optional(5, clusterTrustBundleProjection),
  podCertificate: optional(6, podCertificateProjection),
})
export interface VolumeProjection extends Infer<typeof volumeProjection> {}
export const projectedVolumeSource = object(`${CORE}ProjectedVolumeSource`, {
  sources: optional(1, array(volumeProjection, atomicList)),
  defaultMode: mode(2),
})
export interface ProjectedVolumeSource extends Infer<typeof projectedVolumeSource> {}

export const persistentVolumeClaimVolumeSource = object(`${CORE}PersistentVolumeClaimVolumeSource`, {
  claimName: required(1, string()),
  readOnly: flag(2),
})
export const persistentVolumeClaimTemplate = object(`${CORE}PersistentVolumeClaimTemplate`, {
  metadata: struct(1, objectMeta),
  spec: required(2, persistentVolumeClaimSpec),
})
export const ephemeralVolumeSource = object(`${CORE}EphemeralVolumeSource`, {
  volumeClaimTemplate: optional(1, persistentVolumeClaimTemplate),
})
export const csiVolumeSource = object(`${CORE}CSIVolumeSource`, {
  driver: required(1, string()),
  readOnly: optional(2, boolean()),
  fsType: pointerText(3),
  volumeAttributes: textMap(4),
  nodePublishSecretRef: optional(5, localObjectReference),
})
export const imageVolumeSource = object(`${CORE}ImageVolumeSource`, { reference: text(1), pullPolicy: text(2) })
const gitRepoVolumeSource = object(`${CORE}GitRepoVolumeSource`, {
  repository: required(1, string()),
  revision: text(2),
  directory: text(3),
})
const secretRef = (tag: number) => optional(tag, localObjectReference)
const iscsiVolumeSource = object(`${CORE}ISCSIVolumeSource`, { ...iscsiFields, secretRef: secretRef(10) })
const glusterfsVolumeSource = object(`${CORE}GlusterfsVolumeSource`, {
  endpoints: required(1, string()),
  path: required(2, string()),
  readOnly: flag(3),
})
const rbdVolumeSource = object(`${CORE}RBDVolumeSource`, { ...rbdFields, secretRef: secretRef(7) })
const flexVolumeSource = object(`${CORE}FlexVolumeSource`, {
  ...flexFields,
  secretRef: secretRef(3),
  options: optional(5, map(string())),
})
const cinderVolumeSource = object(`${CORE}CinderVolumeSource`, { ...cinderFields, secretRef: secretRef(4) })
const cephFsVolumeSource = object(`${CORE}CephFSVolumeSource`, { ...cephFields, secretRef: secretRef(5) })
const azureFileVolumeSource = object(`${CORE}AzureFileVolumeSource`, {
  secretName: required(1, string()),
  shareName: required(2, string()),
  readOnly: flag(3),
})
const scaleIoVolumeSource = object(`${CORE}ScaleIOVolumeSource`, {
  ...scaleIoFields,
  secretRef: required(3, localObjectReference, { pointer: true }),
})
const storageOsVolumeSource = object(`${CORE}StorageOSVolumeSource`, { ...storageOsFields, secretRef: secretRef(5) })

const source: FieldOptions = { within: [2] }
/** Every source by the name of its field. */
export const volumeSourceFields = {
  hostPath: optional(1, hostPathVolumeSource, source),
  emptyDir: optional(2, emptyDirVolumeSource, source),
  gcePersistentDisk: optional(3, gcePersistentDiskVolumeSource, source),
  awsElasticBlockStore: optional(4, awsElasticBlockStoreVolumeSource, source),
  gitRepo: optional(5, gitRepoVolumeSource, source),
  secret: optional(6, secretVolumeSource, source),
  nfs: optional(7, nfsVolumeSource, source),
  iscsi: optional(8, iscsiVolumeSource, source),
  glusterfs: optional(9, glusterfsVolumeSource, source),
  persistentVolumeClaim: optional(10, persistentVolumeClaimVolumeSource, source),
  rbd: optional(11, rbdVolumeSource, source),
  flexVolume: optional(12, flexVolumeSource, source),
  cinder: optional(13, cinderVolumeSource, source),
  cephfs: optional(14, cephFsVolumeSource, source),
  flocker: optional(15, flockerVolumeSource, source),
  downwardAPI: optional(16, downwardApiVolumeSource, source),
  fc: optional(17, fcVolumeSource, source),
  azureFile: optional(18, azureFileVolumeSource, source),
  configMap: optional(19, configMapVolumeSource, source),
  vsphereVolume: optional(20, vsphereVirtualDiskVolumeSource, source),
  quobyte: optional(21, quobyteVolumeSource, source),
  azureDisk: optional(22, azureDiskVolumeSource, source),
  photonPersistentDisk: optional(23, photonPersistentDiskVolumeSource, source),
  portworxVolume: optional(24, portworxVolumeSource, source),
  scaleIO: optional(25, scaleIoVolumeSource, source),
  projected: optional(26, projectedVolumeSource, source),
  storageos: optional(27, storageOsVolumeSource, source),
  csi: optional(28, csiVolumeSource, source),
  ephemeral: optional(29, ephemeralVolumeSource, source),
  image: optional(30, imageVolumeSource, source),
}
export type VolumeSourceName = keyof typeof volumeSourceFields
export const volume = object(`${CORE}Volume`, { name: required(1, string()), ...volumeSourceFields })
export interface Volume extends Infer<typeof volume> {}
