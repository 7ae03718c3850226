// cox image: images of the node, past every registry.
import { createReadStream, existsSync } from 'node:fs'
import { containerdExtras } from '../../host/containerd/import.ts'
import { createCriRuntime } from '../../host/cri/runtime.ts'
import { instanceOf } from '../../host/instance.ts'
import { silentLog } from '../../ports/log.ts'
import { type Command, CliError, dataDirFlag, note, out } from '../command.ts'
import { dataDirOf, requireServer } from '../data-dir.ts'

export const image: Command = {
  name: 'image',
  summary: 'Load images into the cluster, and list them.',
  usage: 'image load FILE|- | image ls  [flags]',
  flags: { ...dataDirFlag },
  async run(call) {
    const [verb, file, extra] = call.positionals
    if (verb === 'load' && file !== undefined && extra === undefined) return load(dataDirOf(call), file)
    if ((verb === 'ls' || verb === 'list') && file === undefined) return list(dataDirOf(call))
    throw new CliError('say what to do: "cox image load FILE", "cox image load -" or "cox image ls"', 2)
  },
}

function runtimeOf(dataDir: string) {
  const { runtime } = requireServer(dataDir)
  if (runtime === 'sim')
    throw new CliError('this cluster simulates its containers: every image is there, none needs loading')
  if (runtime !== 'containerd') return createCriRuntime({ address: runtime, log: silentLog })
  const socket = instanceOf(dataDir).containerdSocket
  return createCriRuntime({ address: `unix://${socket}`, log: silentLog, extras: containerdExtras(socket) })
}

async function load(dataDir: string, file: string): Promise<number> {
  if (file !== '-' && !existsSync(file)) throw new CliError(`there is no file ${file}`)
  const runtime = runtimeOf(dataDir)
  if (file === '-') note('cox: reading the archive from standard input')
  const archive = file === '-' ? process.stdin : createReadStream(file, { highWaterMark: 1 << 20 })
  try {
    for (const name of await runtime.importImage(archive)) out(`loaded ${name}\n`)
    return 0
  } catch (error) {
    throw new CliError(
      `${file === '-' ? 'standard input' : file}: ${error instanceof Error ? error.message : String(error)}`,
    )
  } finally {
    runtime.close()
  }
}

async function list(dataDir: string): Promise<number> {
  const runtime = runtimeOf(dataDir)
  try {
    const rows = (await runtime.listImages()).flatMap(({ id, repoTags, repoDigests, sizeBytes }) =>
      (repoTags.length > 0 ? repoTags : repoDigests).map(
        (name) => [name, id.replace('sha256:', '').slice(0, 12), size(sizeBytes)] as const,
      ),
    )
    const width = Math.max(5, ...rows.map(([name]) => name.length))
    out(`${'IMAGE'.padEnd(width)}  ${'ID'.padEnd(12)}  SIZE\n`)
    for (const [name, id, bytes] of rows.toSorted((a, b) => (a[0] < b[0] ? -1 : 1)))
      out(`${name.padEnd(width)}  ${id}  ${bytes}\n`)
    return 0
  } finally {
    runtime.close()
  }
}
const size = (bytes: number) =>
  bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : bytes >= 1e3 ? `${(bytes / 1e3).toFixed(1)} kB` : `${bytes} B`
