// image: the files of an OCI image, read-only. The runtime brings them; here is only what to ask it for (KEP-4639).
import type { VolumePlugin } from './volume.ts'

export const imageVolume: VolumePlugin = {
  name: 'kubernetes.io/image',
  supports: (volume) => volume.image !== undefined,
  updates: false,
  prepare: ({ volume }) =>
    Promise.resolve(() =>
      Promise.resolve({
        hostPath: undefined,
        readonly: true,
        image: { reference: volume.image?.reference ?? '', pullPolicy: volume.image?.pullPolicy },
      }),
    ),
}
