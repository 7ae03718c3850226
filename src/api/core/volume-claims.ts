// Which volume fulfils a claim, and how the two say that they belong together: pure rules for the controller that binds
// claims at once, for the scheduler that binds them with their pod, and for the node that mounts what was bound.
// (https://kubernetes.io/docs/concepts/storage/persistent-volumes/#binding)
import { labelSelectorMatcher } from '../machinery/labels.ts'
import { quantityValue } from '../machinery/quantity.ts'
import type { PersistentVolume } from './persistent-volume.ts'
import type { PersistentVolumeClaim } from './persistent-volume-claim.ts'

/** On a claim whose binding is written on both sides. */
export const bindCompleted = 'pv.kubernetes.io/bind-completed'
/** On a volume or claim that a controller chose, not a user. */
export const boundByController = 'pv.kubernetes.io/bound-by-controller'
/** On a claim that waited for its pod: the node that the scheduler chose. */
export const selectedNode = 'volume.kubernetes.io/selected-node'
/** On a volume: who made it. */
export const provisionedBy = 'pv.kubernetes.io/provisioned-by'
/** On a claim: who is to make its volume. */
export const storageProvisioner = 'volume.kubernetes.io/storage-provisioner'
export const betaStorageProvisioner = 'volume.beta.kubernetes.io/storage-provisioner'
const betaStorageClass = 'volume.beta.kubernetes.io/storage-class'

export const classNameOf = (object: {
  readonly metadata: { readonly annotations?: Readonly<Record<string, string>> | undefined }
  readonly spec: { readonly storageClassName?: string | undefined }
}): string => object.metadata.annotations?.[betaStorageClass] ?? object.spec.storageClassName ?? ''

export const isBound = ({ spec, metadata }: PersistentVolumeClaim): boolean =>
  Boolean(spec.volumeName) && metadata.annotations?.[bindCompleted] !== undefined

/** Bytes that the claim asks for. */
export const requestedBytes = (claim: PersistentVolumeClaim): number =>
  quantityValue(claim.spec.resources?.requests?.['storage'] ?? '0')
export const capacityBytes = (volume: PersistentVolume): number =>
  quantityValue(volume.spec.capacity?.['storage'] ?? '0')

/** The volume was promised to this very claim. */
export function isPromised(volume: PersistentVolume, claim: PersistentVolumeClaim): boolean {
  const { claimRef } = volume.spec
  return (
    claimRef !== undefined &&
    claimRef.name === claim.metadata.name &&
    claimRef.namespace === claim.metadata.namespace &&
    (!claimRef.uid || claimRef.uid === claim.metadata.uid)
  )
}
/** What of a volume a claim cannot live with, in upstream's words; undefined when they fit. */
export function mismatch(volume: PersistentVolume, claim: PersistentVolumeClaim): string | undefined {
  const { spec } = volume
  if (capacityBytes(volume) < requestedBytes(claim)) return 'requested PV is too small'
  if (classNameOf(volume) !== classNameOf(claim)) return 'storageClassName does not match'
  if ((spec.volumeAttributesClassName ?? '') !== (claim.spec.volumeAttributesClassName ?? ''))
    return 'volumeAttributesClassName does not match'
  if ((spec.volumeMode ?? 'Filesystem') !== (claim.spec.volumeMode ?? 'Filesystem')) return 'incompatible volumeMode'
  if (!(claim.spec.accessModes ?? []).every((mode) => spec.accessModes?.includes(mode)))
    return 'incompatible accessMode'
  return undefined
}

export interface VolumeChoice {
  /** Volumes that may not be chosen, by name. */
  readonly taken?: ReadonlySet<string>
  /** Whether the place where the claim is used reaches the volume. */
  readonly reaches?: (volume: PersistentVolume) => boolean
  /** Only a volume that is promised to the claim will do: its pod decides about the others. */
  readonly promisedOnly?: boolean
}
/** The smallest volume that suits; one that was promised goes first. */
export function findVolume(
  claim: PersistentVolumeClaim,
  volumes: Iterable<PersistentVolume>,
  { taken, reaches = () => true, promisedOnly = false }: VolumeChoice = {},
): PersistentVolume | undefined {
  const { selector } = claim.spec
  const matches = selector === undefined ? () => true : labelSelectorMatcher(selector)
  let best: PersistentVolume | undefined
  for (const volume of volumes) {
    const { spec, metadata, status } = volume
    if (taken?.has(metadata.name) || metadata.deletionTimestamp !== undefined) continue
    if (mismatch(volume, claim) !== undefined || !reaches(volume)) continue
    if (isPromised(volume, claim)) return volume
    if (promisedOnly || spec.claimRef !== undefined || status.phase !== 'Available' || !matches(metadata.labels))
      continue
    if (best === undefined || capacityBytes(volume) < capacityBytes(best)) best = volume
  }
  return best
}

/** The volume with a reference to its claim. */
export function withClaim(volume: PersistentVolume, claim: PersistentVolumeClaim): PersistentVolume {
  const { name, namespace = '', uid, resourceVersion } = claim.metadata
  const claimRef = { kind: 'PersistentVolumeClaim', apiVersion: 'v1', name, namespace, uid, resourceVersion }
  const annotations =
    volume.spec.claimRef === undefined
      ? { ...volume.metadata.annotations, [boundByController]: 'yes' }
      : volume.metadata.annotations
  return {
    ...volume,
    metadata: { ...volume.metadata, ...(annotations === undefined ? {} : { annotations }) },
    spec: { ...volume.spec, claimRef },
  }
}
