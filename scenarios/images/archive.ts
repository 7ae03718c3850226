// Container images for the scenarios, made on the machine: a docker archive ("docker save") with one layer.
import { createHash } from 'node:crypto'
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { packTar, type TarEntry } from 'modern-tar'

export interface ImageConfig {
  readonly Entrypoint?: readonly string[]
  readonly Cmd?: readonly string[]
  readonly Env?: readonly string[]
  readonly WorkingDir?: string
  readonly User?: string
  readonly StopSignal?: string
  readonly ExposedPorts?: Readonly<Record<string, Record<string, never>>>
}
const epoch = new Date(0)
const owner = { uid: 0, gid: 0, mtime: epoch }

export const directory = (name: string, mode = 0o755): TarEntry => ({
  header: { ...owner, name: `${name}/`, size: 0, type: 'directory', mode },
})
export const file = (name: string, content: Uint8Array | string, mode = 0o644): TarEntry => {
  const body = typeof content === 'string' ? Buffer.from(content) : content
  return { header: { ...owner, name, size: body.length, type: 'file', mode }, body }
}
export const symlink = (name: string, target: string): TarEntry => ({
  header: { ...owner, name, size: 0, type: 'symlink', linkname: target, mode: 0o777 },
})

/** Everything below a folder, as entries relative to it. */
export function tree(root: string, below = ''): TarEntry[] {
  const entries: TarEntry[] = []
  for (const name of readdirSync(join(root, below)).toSorted()) {
    const path = below === '' ? name : `${below}/${name}`
    const stat = lstatSync(join(root, path))
    if (stat.isSymbolicLink()) entries.push(symlink(path, readlinkSync(join(root, path))))
    else if (stat.isDirectory()) entries.push(directory(path, stat.mode & 0o7777), ...tree(root, path))
    else if (stat.isFile()) entries.push(file(path, readFileSync(join(root, path)), stat.mode & 0o7777))
  }
  return entries
}

/** The archive of one image under one or more names ("docker.io/library/busybox:latest"). */
export async function dockerArchive(
  names: readonly string[],
  entries: readonly TarEntry[],
  config: ImageConfig,
): Promise<Uint8Array> {
  const seen = new Set<string>()
  const unique = entries.filter(({ header }) => !seen.has(header.name) && seen.add(header.name))
  const layer = await packTar(unique)
  const digest = createHash('sha256').update(layer).digest('hex')
  const image = Buffer.from(
    JSON.stringify({
      architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
      os: 'linux',
      created: epoch.toISOString(),
      config,
      rootfs: { type: 'layers', diff_ids: [`sha256:${digest}`] },
      history: [{ created: epoch.toISOString(), created_by: 'coxswain scenarios' }],
    }),
  )
  const configName = `${createHash('sha256').update(image).digest('hex')}.json`
  const manifest = [{ Config: configName, RepoTags: names, Layers: [`${digest}/layer.tar`] }]
  return packTar([
    file('manifest.json', JSON.stringify(manifest)),
    file(configName, image),
    file(`${digest}/layer.tar`, layer),
  ])
}
