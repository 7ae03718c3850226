// image: the files of an OCI image, read-only. The runtime brings them; here is only what to ask it for (KEP-4639).
import { MountError, type VolumePlugin } from './volume.ts'

export const imageVolume: VolumePlugin = {
  name: 'kubernetes.io/image',
  supports: (volume) => volume.image !== undefined,
  updates: false,
  prepare({ volume, runtime }) {
    if (!runtime.imageVolumes)
      throw new MountError(
        `image volumes need containerd 2.1 or newer, or CRI-O 1.31 or newer: this node has ${runtime.version}`,
      )
    const image = { reference: volume.image?.reference ?? '', pullPolicy: volume.image?.pullPolicy }
    return Promise.resolve(() => Promise.resolve({ hostPath: undefined, readonly: true, image }))
  },
}
