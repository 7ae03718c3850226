// What volume plugins know in common: a pod's claims, their volumes, classes and drivers, from the informers.
import type { NodeSelector } from '../../api/core/affinity.ts'
import { type PersistentVolume, persistentVolumes } from '../../api/core/persistent-volume.ts'
import { type PersistentVolumeClaim, persistentVolumeClaims } from '../../api/core/persistent-volume-claim.ts'
import {
  type CsiDriver,
  csiDrivers,
  type CsiNode,
  csiNodes,
  type CsiStorageCapacity,
  csiStorageCapacities,
  type StorageClass,
  storageClasses,
} from '../../api/storage/storage.ts'
import type { Informer, InformerFactory } from '../../client/informer.ts'
import { compileTerms, type NodePredicate } from '../../api/core/node-match.ts'

export class VolumeViews {
  readonly claims: Informer<PersistentVolumeClaim>
  readonly volumes: Informer<PersistentVolume>
  readonly classes: Informer<StorageClass>
  readonly csiNodes: Informer<CsiNode>
  readonly csiDrivers: Informer<CsiDriver>
  readonly capacities: Informer<CsiStorageCapacity>
  constructor(informers: InformerFactory) {
    this.claims = informers.informer(persistentVolumeClaims)
    this.volumes = informers.informer(persistentVolumes)
    this.classes = informers.informer(storageClasses)
    this.csiNodes = informers.informer(csiNodes)
    this.csiDrivers = informers.informer(csiDrivers)
    this.capacities = informers.informer(csiStorageCapacities)
  }
}

/** Bound only when a pod that uses the claim has found a node. */
export const waitsForPod = (storageClass: StorageClass | undefined): boolean =>
  storageClass?.volumeBindingMode === 'WaitForFirstConsumer'

const volumeNodes = new WeakMap<NodeSelector, NodePredicate>()
/** Where the volume can be reached. */
export function reaches(volume: PersistentVolume): NodePredicate {
  const required = volume.spec.nodeAffinity?.required
  if (required === undefined) return () => true
  let matches = volumeNodes.get(required)
  if (matches === undefined) {
    matches = compileTerms(required.nodeSelectorTerms)
    volumeNodes.set(required, matches)
  }
  return matches
}

/** True for an event about one of the pod's claims or about anything else than a claim. */
export const concernsClaims = (
  { namespace, claims }: { readonly namespace: string; readonly claims: readonly string[] },
  object: {
    readonly kind: string
    readonly metadata: { readonly name: string; readonly namespace?: string | undefined }
  },
): boolean =>
  object.kind !== 'PersistentVolumeClaim' ||
  (object.metadata.namespace === namespace && claims.includes(object.metadata.name))
