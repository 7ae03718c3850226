// Which volume fulfils a claim: pure rules, used when the claim waited for its pod to find a node.
import type { PersistentVolume } from '../../api/core/persistent-volume.ts'
import type { PersistentVolumeClaim } from '../../api/core/persistent-volume-claim.ts'
import { labelSelectorMatcher } from '../../api/machinery/labels.ts'
import type { CsiStorageCapacity, StorageClass } from '../../api/storage/storage.ts'
import { bytesOf } from '../state/amounts.ts'
import type { MatchableNode } from '../state/node-match.ts'
import { classNameOf, reaches } from './volumes.ts'

export const requestedBytes = (claim: PersistentVolumeClaim): number =>
  bytesOf(claim.spec.resources?.requests?.['storage'] ?? '0')
export const capacityBytes = (volume: PersistentVolume): number => bytesOf(volume.spec.capacity?.['storage'] ?? '0')

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
function suits(volume: PersistentVolume, claim: PersistentVolumeClaim): boolean {
  if (volume.spec.claimRef !== undefined || volume.status.phase !== 'Available') return false
  const { selector, accessModes = [] } = claim.spec
  return (
    (selector === undefined || labelSelectorMatcher(selector)(volume.metadata.labels)) &&
    accessModes.every((mode) => volume.spec.accessModes?.includes(mode))
  )
}

/** The smallest volume that the node reaches and that suits; one that was promised goes first. */
export function findVolume(
  claim: PersistentVolumeClaim,
  volumes: Iterable<PersistentVolume>,
  node: MatchableNode,
  taken: ReadonlySet<string>,
): PersistentVolume | undefined {
  const wanted = requestedBytes(claim)
  const className = classNameOf(claim)
  let best: PersistentVolume | undefined
  for (const volume of volumes) {
    const { spec, metadata } = volume
    if (
      taken.has(metadata.name) ||
      metadata.deletionTimestamp !== undefined ||
      classNameOf(volume) !== className ||
      capacityBytes(volume) < wanted ||
      (spec.volumeMode ?? 'Filesystem') !== (claim.spec.volumeMode ?? 'Filesystem') ||
      (spec.volumeAttributesClassName ?? '') !== (claim.spec.volumeAttributesClassName ?? '') ||
      !reaches(volume)(node)
    )
      continue
    if (isPromised(volume, claim)) return volume
    if (!suits(volume, claim)) continue
    if (best === undefined || capacityBytes(volume) < capacityBytes(best)) best = volume
  }
  return best
}

/** True where a class may provision for pods of the node. */
export function provisionsFor({ provisioner, allowedTopologies }: StorageClass, node: MatchableNode): boolean {
  if (provisioner === '' || provisioner === 'kubernetes.io/no-provisioner') return false
  if (allowedTopologies === undefined || allowedTopologies.length === 0) return true
  return allowedTopologies.some(({ matchLabelExpressions = [] }) =>
    matchLabelExpressions.every(({ key, values }) => {
      const value = node.labels[key]
      return value !== undefined && values.includes(value)
    }),
  )
}
/** True where a driver that reports its capacity has room for the claim near the node. */
export function hasCapacity(
  claim: PersistentVolumeClaim,
  className: string,
  capacities: Iterable<CsiStorageCapacity>,
  node: MatchableNode,
): boolean {
  const wanted = requestedBytes(claim)
  for (const { storageClassName, nodeTopology, capacity, maximumVolumeSize } of capacities) {
    const room = maximumVolumeSize ?? capacity
    if (storageClassName !== className || room === undefined || bytesOf(room) < wanted) continue
    if (nodeTopology !== undefined && labelSelectorMatcher(nodeTopology)(node.labels)) return true
  }
  return false
}
