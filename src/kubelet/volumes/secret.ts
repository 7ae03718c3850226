// secret: the keys of a Secret as files in memory, following its changes.
import { fsGroupOf } from './ownership.ts'
import { writePayload } from './payload.ts'
import { secretFiles } from './sources.ts'
import type { VolumePlugin } from './volume.ts'

const name = 'kubernetes.io/secret'
export const secretVolume: VolumePlugin = {
  name,
  supports: (volume) => volume.secret !== undefined,
  updates: true,
  async prepare(context) {
    const { disk, clock, pod, volume, paths } = context
    const source = volume.secret
    const files = await secretFiles(context, source?.secretName ?? '', source ?? {}, source?.defaultMode ?? 0o644)
    const hostPath = paths.memoryVolume(name, volume.name)
    return async () => {
      await writePayload(disk, clock, hostPath, files, { fsGroup: fsGroupOf(pod) })
      return { hostPath }
    }
  },
}
