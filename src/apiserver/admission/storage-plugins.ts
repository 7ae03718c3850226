// Admission around volumes: claims and volumes in use are protected, claims get the default class, and only classes that
// allow it let a claim grow.
import type { PersistentVolumeClaim } from '../../api/core/persistent-volume-claim.ts'
import { forbidden } from '../../api/machinery/errors.ts'
import { compareQuantities } from '../../api/machinery/quantity.ts'
import type { Draft } from '../../api/machinery/schema.ts'
import {
  betaDefaultStorageClassAnnotation,
  defaultStorageClassAnnotation,
  type StorageClass,
} from '../../api/storage/storage.ts'
import type { ServerContext } from '../context.ts'
import type { AdmissionPlugin, AdmissionRequest } from './admission.ts'
import { collectionOf, lookUp } from './lookup.ts'

const claimFinalizer = 'kubernetes.io/pvc-protection'
const volumeFinalizer = 'kubernetes.io/pv-protection'
const classFinalizer = 'kubernetes.io/vac-protection'
const betaClassAnnotation = 'volume.beta.kubernetes.io/storage-class'

const finalizerOf = ({ resource }: AdmissionRequest): string | undefined => {
  const { group, plural } = resource.kind
  if (group === '' && plural === 'persistentvolumeclaims') return claimFinalizer
  if (group === '' && plural === 'persistentvolumes') return volumeFinalizer
  return group === 'storage.k8s.io' && plural === 'volumeattributesclasses' ? classFinalizer : undefined
}
const isClaim = ({ resource, subresource }: AdmissionRequest) =>
  resource.kind.group === '' && resource.kind.plural === 'persistentvolumeclaims' && subresource === ''

/** StorageObjectInUseProtection. */
export const storageObjectInUseProtection: AdmissionPlugin = {
  name: 'StorageObjectInUseProtection',
  handles: (request) =>
    request.operation === 'CREATE' && request.subresource === '' && finalizerOf(request) !== undefined,
  mutate(request) {
    const finalizer = finalizerOf(request)
    const metadata = request.object?.metadata
    if (finalizer === undefined || metadata === undefined) return
    const finalizers = metadata.finalizers ?? []
    if (!finalizers.includes(finalizer)) metadata.finalizers = [...finalizers, finalizer]
  },
}

/** DefaultStorageClass: a claim that names no class gets the default one, where there is one. */
export const defaultStorageClass: AdmissionPlugin = {
  name: 'DefaultStorageClass',
  handles: (request) => request.operation === 'CREATE' && isClaim(request),
  async mutate(request, server) {
    const claim = request.object as unknown as Draft<PersistentVolumeClaim>
    if (claim.spec.storageClassName !== undefined || claim.metadata.annotations?.[betaClassAnnotation] !== undefined)
      return
    const found = await defaultClass(server)
    if (found !== undefined) claim.spec.storageClassName = found.metadata.name
  },
}

/** Of several defaults the newest wins. */
async function defaultClass(server: ServerContext): Promise<StorageClass | undefined> {
  const collection = await collectionOf(server, 'storage.k8s.io', 'storageclasses')
  const classes = (collection?.all('') ?? [])
    .map((entry) => collection?.object(entry) as unknown as StorageClass)
    .filter(({ metadata }) =>
      [defaultStorageClassAnnotation, betaDefaultStorageClassAnnotation].some(
        (name) => metadata.annotations?.[name] === 'true',
      ),
    )
    .sort((a, b) =>
      a.metadata.creationTimestamp === b.metadata.creationTimestamp
        ? a.metadata.name.localeCompare(b.metadata.name)
        : b.metadata.creationTimestamp.localeCompare(a.metadata.creationTimestamp),
    )
  return classes[0]
}

/** PersistentVolumeClaimResize. */
export const persistentVolumeClaimResize: AdmissionPlugin = {
  name: 'PersistentVolumeClaimResize',
  handles: (request) => request.operation === 'UPDATE' && isClaim(request),
  async validate(request, server) {
    const claim = request.object as unknown as PersistentVolumeClaim
    const old = request.oldObject as unknown as PersistentVolumeClaim
    const [size, before] = [claim.spec.resources.requests?.['storage'], old.spec.resources.requests?.['storage']]
    if (size === undefined || before === undefined || compareQuantities(size, before) <= 0) return
    const refuse = (why: string) =>
      forbidden({ group: '', resource: 'persistentvolumeclaims' }, claim.metadata.name, why)
    if (old.status.phase !== 'Bound') throw refuse('Only bound persistent volume claims can be expanded')
    const name = old.metadata.annotations?.[betaClassAnnotation] ?? old.spec.storageClassName ?? ''
    const storageClass =
      name === '' ? undefined : await lookUp<StorageClass>(server, 'storage.k8s.io', 'storageclasses', '', name)
    if (storageClass?.allowVolumeExpansion !== true) {
      throw refuse(
        'only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize',
      )
    }
  },
}
