// nfs: an export of a server, mounted by the node's kernel.
import { applyFsGroup } from './ownership.ts'
import type { VolumePlugin } from './volume.ts'

const name = 'kubernetes.io/nfs'
export const nfsVolume: VolumePlugin = {
  name,
  supports: (volume) => volume.nfs !== undefined,
  updates: false,
  prepare({ disk, pod, volume, paths, mountOptions = [] }) {
    const { server = '', path = '', readOnly = false } = volume.nfs ?? {}
    const hostPath = paths.volume(name, volume.name)
    return Promise.resolve(async () => {
      await disk.mkdir(hostPath, { mode: 0o750 })
      const mounted = await disk.mounts(hostPath)
      const host = server.includes(':') ? `[${server}]` : server
      if (!mounted.some((mount) => mount.target === hostPath))
        await disk.mountDevice({
          source: `${host}:${path}`,
          target: hostPath,
          fsType: 'nfs',
          flags: [...mountOptions, ...(readOnly ? ['ro'] : [])],
        })
      if (!readOnly) await applyFsGroup(disk, pod, hostPath, false)
      return { hostPath, readonly: readOnly }
    })
  },
}
