// configMap: the keys of a ConfigMap as files, following its changes.
import { fsGroupOf } from './ownership.ts'
import { writePayload } from './payload.ts'
import { configMapFiles } from './sources.ts'
import type { VolumePlugin } from './volume.ts'

const name = 'kubernetes.io/configmap'
export const configMapVolume: VolumePlugin = {
  name,
  supports: (volume) => volume.configMap !== undefined,
  updates: true,
  async prepare(context) {
    const { disk, clock, pod, volume, paths } = context
    const source = volume.configMap
    const files = await configMapFiles(context, source?.name ?? '', source ?? {}, source?.defaultMode ?? 0o644)
    const hostPath = paths.volume(name, volume.name)
    return async () => {
      await writePayload(disk, clock, hostPath, files, { fsGroup: fsGroupOf(pod) })
      return { hostPath }
    }
  },
}
