// emptyDir: a directory that lives as long as the pod does, on the node's disk, in memory or on huge pages.
import { quantityValue } from '../../api/machinery/quantity.ts'
import { amount, podAmount } from '../resources.ts'
import { applyFsGroup } from './ownership.ts'
import { MountError, type VolumeContext, type VolumePlugin } from './volume.ts'

const name = 'kubernetes.io/empty-dir'

/** The smallest of its own limit, the pod's memory limit and what the node has. */
function memorySize({ pod, volume, allocatable }: VolumeContext): number | undefined {
  const limit = volume.emptyDir?.sizeLimit
  const sizes = [
    limit === undefined ? 0 : quantityValue(limit),
    podAmount(pod.spec, 'limits', 'memory'),
    amount(allocatable, 'memory'),
  ].filter((size) => size > 0)
  return sizes.length === 0 ? undefined : Math.min(...sizes)
}

async function mountMedium(context: VolumeContext, path: string, medium: string): Promise<void> {
  const { disk } = context
  const mounted = await disk.mounts(path)
  if (mounted.some((mount) => mount.target === path)) return
  if (medium === 'Memory') {
    const sizeBytes = memorySize(context)
    await disk.mountTmpfs(path, { mode: 0o777, ...(sizeBytes === undefined ? {} : { sizeBytes }) })
    return
  }
  const pageSize = medium === 'HugePages' ? '' : medium.slice('HugePages-'.length)
  const flags = pageSize === '' ? [] : [`pagesize=${quantityValue(pageSize) / 2 ** 20}M`]
  await disk.mountDevice({ source: 'nodev', target: path, fsType: 'hugetlbfs', flags })
  await disk.chmod(path, 0o777)
}

export const emptyDirVolume: VolumePlugin = {
  name,
  supports: (volume) => volume.emptyDir !== undefined,
  updates: false,
  prepare(context) {
    const { disk, pod, volume, paths } = context
    const medium = volume.emptyDir?.medium ?? ''
    const hostPath = paths.volume(name, volume.name)
    if (medium !== '' && medium !== 'Memory' && !medium.startsWith('HugePages'))
      throw new MountError(`unknown storage medium "${medium}"`)
    return Promise.resolve(async () => {
      await disk.mkdir(hostPath, { mode: 0o777 })
      if (medium !== '') await mountMedium(context, hostPath, medium)
      await applyFsGroup(disk, pod, hostPath, false)
      return { hostPath }
    })
  },
}
