// local: a directory (or a file system on a block device) of this node, which outlives the pod. Its place under the pod's
// directory is a bind mount, so that the pod's end takes the mount away and leaves the data.
import { applyFsGroup } from './ownership.ts'
import { MountError, type VolumeContext, type SetUp } from './volume.ts'

const name = 'kubernetes.io/local-volume'

/** Mounts the volume's path for the pod. */
export function setUpLocal(context: VolumeContext, path: string, fsType: string | undefined, readonly: boolean): SetUp {
  const { disk, pod, volume, paths } = context
  const hostPath = paths.volume(name, volume.name)
  return async () => {
    const stat = await disk.stat(path)
    if (stat === undefined) throw new MountError(`path "${path}" does not exist`)
    await disk.mkdir(hostPath, { mode: 0o750 })
    const isMounted = (await disk.mounts(hostPath)).some((mount) => mount.target === hostPath)
    if (!isMounted && stat.type === 'blockDevice')
      await disk.mountDevice({
        source: path,
        target: hostPath,
        fsType: fsType ?? 'ext4',
        flags: readonly ? ['ro'] : [],
      })
    else if (!isMounted) await disk.bindMount(path, hostPath, { readonly })
    if (!readonly) await applyFsGroup(disk, pod, hostPath, false)
    return { hostPath, readonly }
  }
}
