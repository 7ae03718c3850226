// persistentVolumeClaim and ephemeral: the volume that the claim is bound to, mounted as its source says. The claim is
// asked for anew at every attempt, because binding may come after the pod.
import type { PersistentVolume } from '../../api/core/persistent-volume.ts'
import { isBound, isPromised } from '../../api/core/volume-claims.ts'
import { namespaceOf } from '../types.ts'
import { hostPathVolume } from './host-path.ts'
import { setUpLocal } from './local.ts'
import { nfsVolume } from './nfs.ts'
import { type MountedVolume, MountError, type SetUp, type VolumeContext, type VolumePlugin } from './volume.ts'

/** Annotation of a volume: the group that may use it. */
const gidAnnotation = 'pv.beta.kubernetes.io/gid'

function claimNameOf({ pod, volume }: VolumeContext): string {
  return volume.persistentVolumeClaim?.claimName ?? `${pod.metadata.name}-${volume.name}`
}

/** The volume behind the claim. Throws MountError while there is none. */
async function boundVolume(context: VolumeContext): Promise<PersistentVolume> {
  const { claims, pod, volume } = context
  const name = claimNameOf(context)
  const claim = await claims.claim(namespaceOf(pod), name)
  if (claim === undefined) throw new MountError(`persistentvolumeclaim "${name}" not found`)
  if (claim.metadata.deletionTimestamp !== undefined)
    throw new MountError(`error processing PVC ${namespaceOf(pod)}/${name}: PVC is being deleted`)
  const isOwned = claim.metadata.ownerReferences?.some((o) => o.controller === true && o.uid === pod.metadata.uid)
  if (volume.ephemeral !== undefined && isOwned !== true)
    throw new MountError(
      `error processing PVC ${namespaceOf(pod)}/${name}: PVC ${namespaceOf(pod)}/${name} was not created for pod ${namespaceOf(pod)}/${pod.metadata.name} (pod is not owner)`,
    )
  if (!isBound(claim)) throw new MountError(`error processing PVC ${namespaceOf(pod)}/${name}: PVC is not bound`)
  const found = await claims.volume(claim.spec.volumeName ?? '')
  if (found === undefined) throw new MountError(`persistentvolume "${claim.spec.volumeName ?? ''}" not found`)
  if (!isPromised(found, claim))
    throw new MountError(
      `failed to get PV ${found.metadata.name}: PV.Spec.ClaimRef does not match the PVC ${namespaceOf(pod)}/${name}`,
    )
  return found
}

/** How the volume's source is set up; the pod's own name for the volume stays. */
async function sourceOf(
  context: VolumeContext,
  { metadata, spec }: PersistentVolume,
  readonly: boolean,
): Promise<SetUp> {
  const as = (source: object): VolumeContext => ({ ...context, volume: { name: context.volume.name, ...source } })
  if (spec.hostPath !== undefined) return hostPathVolume.prepare(as({ hostPath: spec.hostPath }))
  if (spec.local !== undefined) return setUpLocal(context, spec.local.path, spec.local.fsType, readonly)
  if (spec.nfs !== undefined)
    return nfsVolume.prepare({
      ...as({ nfs: { ...spec.nfs, readOnly: readonly || spec.nfs.readOnly === true } }),
      mountOptions: spec.mountOptions ?? [],
    })
  const kinds = Object.keys(spec).filter((key) => !plainFields.has(key))
  throw new MountError(`persistentvolume "${metadata.name}": this node has no plugin for ${kinds.join(', ')}`)
}
const plainFields: ReadonlySet<string> = new Set([
  'capacity',
  'accessModes',
  'claimRef',
  'persistentVolumeReclaimPolicy',
  'storageClassName',
  'mountOptions',
  'volumeMode',
  'nodeAffinity',
  'volumeAttributesClassName',
])

/** A volume without a file system is given to containers as a device. */
function devicePath({ metadata, spec }: PersistentVolume): string {
  const path = spec.local?.path ?? spec.hostPath?.path
  if (path === undefined) throw new MountError(`persistentvolume "${metadata.name}" cannot be used as a block device`)
  return path
}

export const claimVolume: VolumePlugin = {
  name: 'kubernetes.io/persistent-claim',
  supports: ({ persistentVolumeClaim, ephemeral }) => persistentVolumeClaim !== undefined || ephemeral !== undefined,
  updates: false,
  async prepare(context) {
    const volume = await boundVolume(context)
    if (volume.spec.volumeMode === 'Block') {
      const path = devicePath(volume)
      return async () => {
        if ((await context.disk.stat(path))?.type !== 'blockDevice')
          throw new MountError(`${path} is not a block device`)
        return { hostPath: undefined, device: path }
      }
    }
    const readonly = context.volume.persistentVolumeClaim?.readOnly === true
    const setUp = await sourceOf(context, volume, readonly)
    const gid = Number(volume.metadata.annotations?.[gidAnnotation])
    return async (): Promise<MountedVolume> => ({
      ...(await setUp()),
      ...(readonly ? { readonly } : {}),
      ...(Number.isInteger(gid) && gid > 0 ? { gid } : {}),
    })
  },
}
