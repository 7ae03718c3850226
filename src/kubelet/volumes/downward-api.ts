// downwardAPI: fields of the pod itself as files; labels and annotations follow their changes.
import { fsGroupOf } from './ownership.ts'
import { writePayload } from './payload.ts'
import { downwardFiles } from './sources.ts'
import type { VolumePlugin } from './volume.ts'

const name = 'kubernetes.io/downward-api'
export const downwardApiVolume: VolumePlugin = {
  name,
  supports: (volume) => volume.downwardAPI !== undefined,
  updates: true,
  async prepare(context) {
    const { disk, clock, pod, volume, paths } = context
    const source = volume.downwardAPI
    const files = downwardFiles(context, source?.items, source?.defaultMode ?? 0o644)
    const hostPath = paths.memoryVolume(name, volume.name)
    return async () => {
      await writePayload(disk, clock, hostPath, files, { fsGroup: fsGroupOf(pod) })
      return { hostPath }
    }
  },
}
