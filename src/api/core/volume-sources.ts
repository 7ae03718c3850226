// Volume sources that a pod's volume and a PersistentVolume share.
import {
  array,
  boolean,
  defaulted,
  type Infer,
  int32,
  object,
  optional,
  required,
  string,
} from '../machinery/schema.ts'
import { CORE } from './references.ts'
import { atomicList, flag, number32, pointerText, text, texts } from './scalars.ts'

export const hostPathVolumeSource = object(`${CORE}HostPathVolumeSource`, {
  path: required(1, string()),
  type: defaulted(2, string(), '', { pointer: true }),
})
export interface HostPathVolumeSource extends Infer<typeof hostPathVolumeSource> {}
export const nfsVolumeSource = object(`${CORE}NFSVolumeSource`, {
  server: required(1, string()),
  path: required(2, string()),
  readOnly: flag(3),
})
export interface NFSVolumeSource extends Infer<typeof nfsVolumeSource> {}
export const fcVolumeSource = object(`${CORE}FCVolumeSource`, {
  targetWWNs: texts(1),
  lun: optional(2, int32()),
  fsType: text(3),
  readOnly: flag(4),
  wwids: texts(5),
})
export const gcePersistentDiskVolumeSource = object(`${CORE}GCEPersistentDiskVolumeSource`, {
  pdName: required(1, string()),
  fsType: text(2),
  partition: number32(3),
  readOnly: flag(4),
})
export const awsElasticBlockStoreVolumeSource = object(`${CORE}AWSElasticBlockStoreVolumeSource`, {
  volumeID: required(1, string()),
  fsType: text(2),
  partition: number32(3),
  readOnly: flag(4),
})
export const azureDiskVolumeSource = object(`${CORE}AzureDiskVolumeSource`, {
  diskName: required(1, string()),
  diskURI: required(2, string()),
  cachingMode: defaulted(3, string(), 'ReadWrite', { publishDefault: true }),
  fsType: defaulted(4, string(), 'ext4', { publishDefault: true }),
  readOnly: defaulted(5, boolean(), false, { publishDefault: true }),
  kind: defaulted(6, string(), 'Shared', { publishDefault: true }),
})
export const flockerVolumeSource = object(`${CORE}FlockerVolumeSource`, { datasetName: text(1), datasetUUID: text(2) })
export const photonPersistentDiskVolumeSource = object(`${CORE}PhotonPersistentDiskVolumeSource`, {
  pdID: required(1, string()),
  fsType: text(2),
})
export const portworxVolumeSource = object(`${CORE}PortworxVolumeSource`, {
  volumeID: required(1, string()),
  fsType: text(2),
  readOnly: flag(3),
})
export const quobyteVolumeSource = object(`${CORE}QuobyteVolumeSource`, {
  registry: required(1, string()),
  volume: required(2, string()),
  readOnly: flag(3),
  user: text(4),
  group: text(5),
  tenant: text(6),
})
export const vsphereVirtualDiskVolumeSource = object(`${CORE}VsphereVirtualDiskVolumeSource`, {
  volumePath: required(1, string()),
  fsType: text(2),
  storagePolicyName: text(3),
  storagePolicyID: text(4),
})

// These differ between pods and PersistentVolumes only in how they name their secret.
export const cephFields = {
  monitors: required(1, array(string(), atomicList)),
  path: text(2),
  user: text(3),
  secretFile: text(4),
  readOnly: flag(6),
}
export const cinderFields = { volumeID: required(1, string()), fsType: text(2), readOnly: flag(3) }
export const flexFields = {
  driver: required(1, string()),
  fsType: text(2),
  readOnly: flag(4),
}
export const iscsiFields = {
  targetPortal: required(1, string()),
  iqn: required(2, string()),
  lun: required(3, int32()),
  iscsiInterface: defaulted(4, string(), 'default', { publishDefault: true }),
  fsType: text(5),
  readOnly: flag(6),
  portals: texts(7),
  chapAuthDiscovery: flag(8),
  chapAuthSession: flag(11),
  initiatorName: pointerText(12),
}
export const rbdFields = {
  monitors: required(1, array(string(), atomicList)),
  image: required(2, string()),
  fsType: text(3),
  pool: defaulted(4, string(), 'rbd', { publishDefault: true }),
  user: defaulted(5, string(), 'admin', { publishDefault: true }),
  keyring: defaulted(6, string(), '/etc/ceph/keyring', { publishDefault: true }),
  readOnly: flag(8),
}
export const scaleIoFields = {
  gateway: required(1, string()),
  system: required(2, string()),
  sslEnabled: flag(4),
  protectionDomain: text(5),
  storagePool: text(6),
  storageMode: defaulted(7, string(), 'ThinProvisioned', { publishDefault: true }),
  volumeName: text(8),
  fsType: defaulted(9, string(), 'xfs', { publishDefault: true }),
  readOnly: flag(10),
}
export const storageOsFields = { volumeName: text(1), volumeNamespace: text(2), fsType: text(3), readOnly: flag(4) }
