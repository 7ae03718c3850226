// Why a claim is not bound, and what that means for pods that use it.
import { type PersistentVolumeClaim, persistentVolumeClaims } from '../api/core/persistent-volume-claim.ts'
import { persistentVolumes } from '../api/core/persistent-volume.ts'
import type { Pod } from '../api/core/pod.ts'
import { defaultStorageClassAnnotation, storageClasses } from '../api/storage/storage.ts'
import { advice, type Cause, cause, type Finding, type Remedy, well } from './answer.ts'
import { eventsOf, listed, look, newest, type Reader } from './reader.ts'

async function classFacts(
  reader: Reader,
  claim: PersistentVolumeClaim,
): Promise<{ causes: Cause[]; remedies: Remedy[] }> {
  const name = claim.spec.storageClassName
  if (name === '')
    return {
      causes: [
        cause(
          `persistentvolumeclaim/${claim.metadata.name}`,
          'NoProvisioning',
          'its storage class is "": only a volume that exists can be bound',
        ),
      ],
      remedies: [advice('create a PersistentVolume that fits, or name a StorageClass')],
    }
  if (name === undefined) {
    const classes = await listed(reader, storageClasses)
    const found = classes.find(({ metadata }) => metadata.annotations?.[defaultStorageClassAnnotation] === 'true')
    if (found !== undefined) return { causes: [], remedies: [] }
    return {
      causes: [cause('storageclass', 'NoDefaultClass', 'it names no storage class and none is the default')],
      remedies: [advice('name a StorageClass in the claim, or mark one as the default')],
    }
  }
  const found = await look(reader, storageClasses, name)
  if (found !== undefined) return { causes: [], remedies: [] }
  return {
    causes: [cause(`storageclass/${name}`, 'NotFound', 'it does not exist')],
    remedies: [advice(`create the StorageClass ${name}, or name another in a new claim`)],
  }
}

/** Causes of a claim that is Pending or Lost. */
export async function explainClaim(reader: Reader, claim: PersistentVolumeClaim): Promise<Finding> {
  const { metadata, spec, status } = claim
  const about = `persistentvolumeclaim/${metadata.name}`
  if (status.phase === 'Bound') return well('Bound')
  if (status.phase === 'Lost') {
    const text = `its volume ${spec.volumeName} does not exist any more`
    return {
      state: 'Lost',
      causes: [cause(about, 'Lost', text)],
      suggestions: [advice('restore the PersistentVolume, or make the claim anew')],
    }
  }
  const events = await eventsOf(reader, claim)
  const { causes, remedies } = await classFacts(reader, claim)
  const told = events[0]
  if (spec.volumeName) {
    const volume = await look(reader, persistentVolumes, spec.volumeName)
    if (volume === undefined) {
      causes.push(
        cause(
          `persistentvolume/${spec.volumeName}`,
          'NotFound',
          'the claim asks for this volume and it does not exist',
        ),
      )
      remedies.push(advice(`create the PersistentVolume ${spec.volumeName}`))
    }
  }
  if (newest(events, 'WaitForFirstConsumer') !== undefined && causes.length === 0)
    remedies.push(advice('create a pod that uses the claim: its storage class waits for the first consumer'))
  const message = told === undefined ? 'no volume is bound to it yet' : (told.message ?? '')
  return { state: 'Pending', causes: [cause(about, told?.reason ?? 'Pending', message, causes)], suggestions: remedies }
}

/** What is wrong with the claims that the pod uses. */
export async function explainClaimsOf(reader: Reader, pod: Pod): Promise<Pick<Finding, 'causes' | 'suggestions'>> {
  const causes: Cause[] = []
  const suggestions: Remedy[] = []
  for (const volume of pod.spec.volumes ?? []) {
    const name =
      volume.persistentVolumeClaim?.claimName ??
      (volume.ephemeral === undefined ? undefined : `${pod.metadata.name}-${volume.name}`)
    if (name === undefined) continue
    const claim = await look(reader, persistentVolumeClaims, name, pod.metadata.namespace)
    if (claim === 'hidden') continue
    if (claim === undefined) {
      causes.push(cause(`persistentvolumeclaim/${name}`, 'NotFound', 'it does not exist'))
      suggestions.push(advice(`create the PersistentVolumeClaim ${name}`))
      continue
    }
    const found = await explainClaim(reader, claim)
    causes.push(...found.causes)
    suggestions.push(...found.suggestions)
  }
  return { causes, suggestions }
}
