// The sandbox image: our pause program in an OCI archive, built in memory and the same bytes every time.
import { createHash } from 'node:crypto'
import { packTar, type TarEntry } from 'modern-tar'
import { type PauseArchitecture, pauseProgram } from './pause.ts'

export const pauseImage = 'localhost/coxswain/pause:1'

const epoch = new Date(0)
const file = (name: string, content: Uint8Array, mode = 0o644): TarEntry => ({
  header: { name, size: content.length, type: 'file', mode, mtime: epoch, uid: 0, gid: 0 },
  body: content,
})
const digestOf = (content: Uint8Array) => createHash('sha256').update(content).digest('hex')
const json = (value: unknown) => Buffer.from(JSON.stringify(value))

export async function pauseArchive(architecture: PauseArchitecture): Promise<Uint8Array> {
  const layer = await packTar([file('pause', pauseProgram(architecture), 0o755)])
  const config = json({
    architecture,
    os: 'linux',
    created: epoch.toISOString(),
    config: { Entrypoint: ['/pause'], WorkingDir: '/', User: '65535:65535' },
    rootfs: { type: 'layers', diff_ids: [`sha256:${digestOf(layer)}`] },
    history: [{ created: epoch.toISOString(), comment: 'coxswain pause' }],
  })
  const manifest = json({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: descriptor('application/vnd.oci.image.config.v1+json', config),
    layers: [descriptor('application/vnd.oci.image.layer.v1.tar', layer)],
  })
  const index = json({
    schemaVersion: 2,
    manifests: [
      {
        ...descriptor('application/vnd.oci.image.manifest.v1+json', manifest),
        platform: { architecture, os: 'linux' },
        annotations: { 'io.containerd.image.name': pauseImage, 'org.opencontainers.image.ref.name': '1' },
      },
    ],
  })
  const blobs = [layer, config, manifest].map((blob) => file(`blobs/sha256/${digestOf(blob)}`, blob))
  return packTar([file('oci-layout', json({ imageLayoutVersion: '1.0.0' })), file('index.json', index), ...blobs])
}
const descriptor = (mediaType: string, content: Uint8Array) => ({
  mediaType,
  digest: `sha256:${digestOf(content)}`,
  size: content.length,
})
