// Texts of volumes, claims and classes, and of the kinds that hold data.
import type { Texts } from './texts.ts'

const accessModes = 'ReadWriteOnce, ReadOnlyMany, ReadWriteMany or ReadWriteOncePod.'
const volumeMode = 'Filesystem (the default) or Block.'

export const storageTexts: Texts = {
  'core.PersistentVolumeClaim': { '': 'Asks for storage that outlives pods.' },
  'core.PersistentVolumeClaimSpec': {
    '': 'What storage is asked for.',
    accessModes: `How it is to be mounted: ${accessModes}`,
    dataSource: 'A VolumeSnapshot or claim whose content the new volume gets.',
    dataSourceRef: 'Like dataSource, for any kind that somebody fills volumes from.',
    resources: 'How much; requests.storage may be raised later where the class allows it.',
    selector: 'Labels of the volumes that may be bound.',
    storageClassName:
      'The StorageClass to take it from. Default: the default class; "" takes only volumes without class.',
    volumeAttributesClassName: 'The VolumeAttributesClass with properties of the volume that may change.',
    volumeMode,
    volumeName: 'The volume that it is bound to.',
  },
  'core.PersistentVolumeClaimStatus': {
    '': 'What was bound.',
    accessModes: 'How the volume can be mounted.',
    allocatedResourceStatuses: 'How far a change of size has come.',
    allocatedResources: 'What is being worked towards.',
    capacity: 'The size of the volume.',
    currentVolumeAttributesClassName: 'The VolumeAttributesClass in force.',
    modifyVolumeStatus: 'How far a change of the VolumeAttributesClass has come.',
    phase: 'Pending, Bound or Lost.',
  },
  'core.PersistentVolume': { '': 'Storage of the cluster that one claim at a time can have.' },
  'core.PersistentVolumeSpec': {
    '': 'Where the storage is, and what it can do. Exactly one source is set.',
    accessModes: `How it can be mounted: ${accessModes}`,
    capacity: 'Its size.',
    claimRef: 'The claim that it is bound to, or kept for.',
    csi: 'A volume of a CSI driver.',
    hostPath: 'A directory of the node, for tests on one node.',
    iscsi: 'An iSCSI disk.',
    local: 'A directory or disk of one node. Needs nodeAffinity.',
    mountOptions: 'Options of mount.',
    nfs: 'A directory of an NFS server.',
    nodeAffinity: 'The nodes from which it can be reached.',
    persistentVolumeReclaimPolicy: 'Retain, Delete or Recycle: what becomes of it when its claim goes.',
    storageClassName: 'The StorageClass that it belongs to.',
    volumeAttributesClassName: 'The VolumeAttributesClass that it has.',
    volumeMode,
  },
  'core.PersistentVolumeStatus': {
    '': 'Whether the volume is in use.',
    lastPhaseTransitionTime: 'When the phase last changed.',
    message: 'Why it is in this phase, for people.',
    phase: 'Pending, Available, Bound, Released or Failed.',
    reason: 'Why it is in this phase, as one word.',
  },
  'storage.StorageClass': {
    '': 'Describes a sort of storage and who makes it.',
    allowVolumeExpansion: 'Whether claims may ask for more later.',
    allowedTopologies: 'Where volumes may be made.',
    mountOptions: 'Options of mount, for volumes of this class.',
    parameters: 'Settings for the provisioner.',
    provisioner: 'Who makes the volumes.',
    reclaimPolicy: 'Delete (the default) or Retain: what becomes of a volume when its claim goes.',
    volumeBindingMode:
      'Immediate (the default), or WaitForFirstConsumer: a volume is made where the first pod is placed.',
  },
  'core.ConfigMap': {
    '': 'Settings that pods read as files or environment variables.',
    binaryData: 'Keys and values that are not text, in base64.',
    data: 'Keys and values as text.',
    immutable: 'If true, the data can never be changed.',
  },
  'core.Secret': {
    '': 'Passwords, tokens and keys that pods read as files or environment variables.',
    data: 'Keys and values, in base64.',
    immutable: 'If true, the data can never be changed.',
    stringData: 'Keys and values as text, put into data when written. Never shown.',
    type: 'What the data is, such as Opaque (the default) or kubernetes.io/tls.',
  },
}
