// What a PersistentVolume is: its size, its modes and exactly one source.
import {
  array,
  defaulted,
  type FieldOptions,
  type Infer,
  map,
  object,
  optional,
  required,
  string,
} from '../machinery/schema.ts'
import { nodeSelector } from './affinity.ts'
import { CORE, objectReference, secretReference } from './references.ts'
import { atomicList, flag, pointerText, resourceList, text, textMap, texts } from './scalars.ts'
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

const secretRef = (tag: number) => optional(tag, secretReference)
const glusterfs = object(`${CORE}GlusterfsPersistentVolumeSource`, {
  endpoints: required(1, string()),
  path: required(2, string()),
  readOnly: flag(3),
  endpointsNamespace: pointerText(4),
})
const rbd = object(`${CORE}RBDPersistentVolumeSource`, { ...rbdFields, secretRef: secretRef(7) })
const iscsi = object(`${CORE}ISCSIPersistentVolumeSource`, { ...iscsiFields, secretRef: secretRef(10) })
const cinder = object(`${CORE}CinderPersistentVolumeSource`, { ...cinderFields, secretRef: secretRef(4) })
const cephfs = object(`${CORE}CephFSPersistentVolumeSource`, { ...cephFields, secretRef: secretRef(5) })
const flexVolume = object(`${CORE}FlexPersistentVolumeSource`, {
  ...flexFields,
  secretRef: secretRef(3),
  options: optional(5, map(string())),
})
const azureFile = object(`${CORE}AzureFilePersistentVolumeSource`, {
  secretName: required(1, string()),
  shareName: required(2, string()),
  readOnly: flag(3),
  secretNamespace: pointerText(4),
})
const scaleIo = object(`${CORE}ScaleIOPersistentVolumeSource`, {
  ...scaleIoFields,
  secretRef: required(3, secretReference, { pointer: true }),
})
const storageOs = object(`${CORE}StorageOSPersistentVolumeSource`, {
  ...storageOsFields,
  secretRef: optional(5, objectReference),
})
export const localVolumeSource = object(`${CORE}LocalVolumeSource`, {
  path: required(1, string()),
  fsType: pointerText(2),
})
export const csiPersistentVolumeSource = object(`${CORE}CSIPersistentVolumeSource`, {
  driver: required(1, string()),
  volumeHandle: required(2, string()),
  readOnly: flag(3),
  fsType: text(4),
  volumeAttributes: textMap(5),
  controllerPublishSecretRef: secretRef(6),
  nodeStageSecretRef: secretRef(7),
  nodePublishSecretRef: secretRef(8),
  controllerExpandSecretRef: secretRef(9),
  nodeExpandSecretRef: secretRef(10),
})
export interface CSIPersistentVolumeSource extends Infer<typeof csiPersistentVolumeSource> {}
const volumeNodeAffinity = object(`${CORE}VolumeNodeAffinity`, { required: optional(1, nodeSelector) })

const source: FieldOptions = { within: [2] }
export const persistentVolumeSourceFields = {
  gcePersistentDisk: optional(1, gcePersistentDiskVolumeSource, source),
  awsElasticBlockStore: optional(2, awsElasticBlockStoreVolumeSource, source),
  hostPath: optional(3, hostPathVolumeSource, source),
  glusterfs: optional(4, glusterfs, source),
  nfs: optional(5, nfsVolumeSource, source),
  rbd: optional(6, rbd, source),
  iscsi: optional(7, iscsi, source),
  cinder: optional(8, cinder, source),
  cephfs: optional(9, cephfs, source),
  fc: optional(10, fcVolumeSource, source),
  flocker: optional(11, flockerVolumeSource, source),
  flexVolume: optional(12, flexVolume, source),
  azureFile: optional(13, azureFile, source),
  vsphereVolume: optional(14, vsphereVirtualDiskVolumeSource, source),
  quobyte: optional(15, quobyteVolumeSource, source),
  azureDisk: optional(16, azureDiskVolumeSource, source),
  photonPersistentDisk: optional(17, photonPersistentDiskVolumeSource, source),
  portworxVolume: optional(18, portworxVolumeSource, source),
  scaleIO: optional(19, scaleIo, source),
  local: optional(20, localVolumeSource, source),
  storageos: optional(21, storageOs, source),
  csi: optional(22, csiPersistentVolumeSource, source),
}
export const persistentVolumeSpec = object(`${CORE}PersistentVolumeSpec`, {
  ...persistentVolumeSourceFields,
  capacity: optional(1, resourceList),
  accessModes: optional(3, array(string(), atomicList)),
  claimRef: optional(4, objectReference, { mapType: 'granular' }),
  persistentVolumeReclaimPolicy: defaulted(5, string(), 'Retain'),
  storageClassName: text(6),
  mountOptions: texts(7),
  volumeMode: defaulted(8, string(), 'Filesystem', { pointer: true }),
  nodeAffinity: optional(9, volumeNodeAffinity),
  volumeAttributesClassName: pointerText(10),
})
export interface PersistentVolumeSpec extends Infer<typeof persistentVolumeSpec> {}
