// What becomes of a claim and of a volume, decided from both sides of the binding without doing it. Each side is written
// by itself, so a controller that dies between two writes finds on its next look what is still missing.
// (https://kubernetes.io/docs/concepts/storage/persistent-volumes/#lifecycle-of-a-volume-and-claim)
import type { PersistentVolume } from '../api/core/persistent-volume.ts'
import type { PersistentVolumeClaim } from '../api/core/persistent-volume-claim.ts'
import {
  bindCompleted,
  boundByController,
  classNameOf,
  findVolume,
  isPromised,
  mismatch,
  provisionedBy,
  selectedNode,
} from '../api/core/volume-claims.ts'
import type { StorageClass } from '../api/storage/storage.ts'

export interface Told {
  readonly type: 'Normal' | 'Warning'
  readonly reason: string
  readonly message: string
}
export type ClaimPlan =
  | { readonly do: 'bind'; readonly volume: PersistentVolume }
  | { readonly do: 'wait'; readonly event: Told | undefined }
  | { readonly do: 'provision'; readonly provisioner: string; readonly event: Told }
  | { readonly do: 'lose'; readonly event: Told }
export interface ClaimSight {
  readonly volumes: Iterable<PersistentVolume>
  readonly volume: (name: string) => PersistentVolume | undefined
  readonly storageClass: StorageClass | undefined
  /** A pod that uses the claim is there and has no node yet. */
  readonly podWaits: string | undefined
}

const wait = (reason: string, message: string, type: Told['type'] = 'Normal'): ClaimPlan => ({
  do: 'wait',
  event: { type, reason, message },
})
const lost = (reason: string, message: string): ClaimPlan => ({
  do: 'lose',
  event: { type: 'Warning', reason, message },
})
const noProvisioner = 'kubernetes.io/no-provisioner'

export function planClaim(claim: PersistentVolumeClaim, sight: ClaimSight): ClaimPlan {
  if (claim.metadata.annotations?.[bindCompleted] !== undefined) return planBound(claim, sight)
  const { volumeName } = claim.spec
  if (volumeName) return planWished(claim, volumeName, sight)
  const { storageClass } = sight
  const className = classNameOf(claim)
  const waitsForPod =
    storageClass?.volumeBindingMode === 'WaitForFirstConsumer' &&
    claim.metadata.annotations?.[selectedNode] === undefined
  const volume = findVolume(claim, sight.volumes, { promisedOnly: waitsForPod })
  if (volume !== undefined) return { do: 'bind', volume }
  if (waitsForPod)
    return sight.podWaits === undefined
      ? wait('WaitForFirstConsumer', 'waiting for first consumer to be created before binding')
      : wait('WaitForPodScheduled', `waiting for pod ${sight.podWaits} to be scheduled`)
  if (className === '')
    return wait('FailedBinding', 'no persistent volumes available for this claim and no storage class is set')
  if (storageClass === undefined)
    return wait('ProvisioningFailed', `storageclass.storage.k8s.io "${className}" not found`, 'Warning')
  const { provisioner } = storageClass
  if (provisioner === noProvisioner)
    return wait('ProvisioningFailed', 'no volume plugin matched name: kubernetes.io/no-provisioner', 'Warning')
  const message = `Waiting for a volume to be created either by the external provisioner '${provisioner}' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.`
  return { do: 'provision', provisioner, event: { type: 'Normal', reason: 'ExternalProvisioning', message } }
}

/** The claim names its volume. */
function planWished(claim: PersistentVolumeClaim, volumeName: string, sight: ClaimSight): ClaimPlan {
  const volume = sight.volume(volumeName)
  if (volume === undefined) return { do: 'wait', event: undefined }
  if (volume.spec.claimRef !== undefined && !isPromised(volume, claim))
    return wait('FailedBinding', `volume "${volumeName}" already bound to a different claim.`, 'Warning')
  const why = volume.spec.claimRef === undefined ? mismatch(volume, claim) : undefined
  if (why === undefined) return { do: 'bind', volume }
  return wait('VolumeMismatch', `Cannot bind to requested volume "${volumeName}": ${why}`, 'Warning')
}

/** The claim has been bound; it may have lost what it was bound to. */
function planBound(claim: PersistentVolumeClaim, sight: ClaimSight): ClaimPlan {
  const { volumeName } = claim.spec
  if (!volumeName)
    return lost('ClaimLost', 'Bound claim has lost reference to PersistentVolume. Data on the volume is lost!')
  const volume = sight.volume(volumeName)
  if (volume === undefined)
    return lost('ClaimLost', 'Bound claim has lost its PersistentVolume. Data on the volume is lost!')
  if (volume.spec.claimRef === undefined || isPromised(volume, claim)) return { do: 'bind', volume }
  return lost('ClaimMisbound', 'Two claims are bound to the same volume, this one is bound incorrectly')
}

export type VolumePlan =
  | { readonly do: 'phase'; readonly phase: 'Available' | 'Bound' }
  /** Its claim is gone. */
  | { readonly do: 'release' }
  /** Its claim chose another volume. */
  | { readonly do: 'unbind' }
  /** Its claim has not been written yet. */
  | { readonly do: 'askClaim' }

/** `claim`: the one of the name that the volume refers to, whatever its UID. */
export function planVolume(volume: PersistentVolume, claim: PersistentVolumeClaim | undefined): VolumePlan {
  const { claimRef } = volume.spec
  if (claimRef === undefined || !claimRef.uid) return { do: 'phase', phase: 'Available' }
  if (claim === undefined || claim.metadata.uid !== claimRef.uid) return { do: 'release' }
  if (!claim.spec.volumeName) return { do: 'askClaim' }
  if (claim.spec.volumeName === volume.metadata.name) return { do: 'phase', phase: 'Bound' }
  const isMadeForClaim = volume.metadata.annotations?.[provisionedBy] !== undefined
  return isMadeForClaim && volume.spec.persistentVolumeReclaimPolicy === 'Delete' ? { do: 'release' } : { do: 'unbind' }
}

/** The volume free for the next claim; one that a user promised keeps the promise. */
export function withoutClaim(volume: PersistentVolume): PersistentVolume {
  const { [boundByController]: chosen, ...annotations } = volume.metadata.annotations ?? {}
  const { claimRef, ...spec } = volume.spec
  if (chosen !== undefined || claimRef === undefined)
    return { ...volume, metadata: { ...volume.metadata, annotations }, spec }
  const { uid: _, resourceVersion: __, ...promise } = claimRef
  return { ...volume, spec: { ...spec, claimRef: promise } }
}
