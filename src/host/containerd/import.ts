// Loading images without a registry: containerd's own import reads docker and OCI archives. What came this way is pinned,
// since nobody could pull it again, and named as users write it (docker.io/library/...).
import { createGunzip } from 'node:zlib'
import { Readable } from 'node:stream'
import { CommandError, run } from '../command.ts'
import { listNamedImages, updateNamedImage } from '../cri/containerd-messages.ts'
import { cri } from '../cri/messages.ts'
import type { CriRuntimeOptions } from '../cri/runtime.ts'
import { isOlder } from '../version-order.ts'
import { createGrpcClient, type GrpcClient } from '../wire/grpc.ts'

const namespace = 'k8s.io'
const metadata = { 'containerd-namespace': namespace }
/** containerd 1.7 and later know this label; we read it for 1.6 too. */
const pinLabel = 'io.cri-containerd.pinned'

/** Loads an archive; returns the names it brought. Throws with one clear line when it is none. */
export async function importArchive(
  socket: string,
  client: GrpcClient,
  archive: AsyncIterable<Uint8Array>,
): Promise<readonly string[]> {
  const said = await run('ctr', ['--version'])
  // Newer ones would let containerd import, which one older than 1.7 cannot, and tell shortened names only.
  const local = isOlder(ctrVersion(said), '1.7') ? [] : ['--local']
  const words = ['--address', socket, '--namespace', namespace, 'images', 'import', ...local, '--digests=false', '-']
  let output: string
  try {
    output = await run('ctr', words, { input: unzipped(archive) })
  } catch (error) {
    if (error instanceof CommandError && error.code !== undefined) throw new Error(unreadable(error))
    if (String((error as { code?: unknown }).code).startsWith('Z_'))
      throw new Error(`not an image archive: its gzip is damaged (${(error as Error).message})`)
    throw error
  }
  const names = namesIn(output)
  if (names.length === 0)
    throw new Error('the archive holds no named image: save it with a name, such as "docker save app:1"')
  await Promise.all(names.map((name) => pin(client, name)))
  await Promise.all(names.map((name) => visible(client, name)))
  return names
}
function unreadable(error: CommandError): string {
  const why = error.message.replace(/^ctr: /, '').replace(/^ctr: /, '')
  if (/no space left/i.test(why)) return `the image does not fit: ${why}`
  if (/unrecognized|unexpected EOF|invalid tar header|no such file|not found|invalid/i.test(why))
    return `not an image archive (docker save, or an OCI layout in a tar): ${why}`
  return `the image cannot be loaded: ${why}`
}
/** ctr's own, which need not be containerd's: "ctr github.com/containerd/containerd/v2 2.1.9". */
export const ctrVersion = (said: string): string => /\sv?(\d+\.\d\S*)/.exec(said)?.[1] ?? ''
/** ctr says "unpacking docker.io/library/busybox:latest (sha256:...)...done". */
export const namesIn = (output: string): string[] => [
  ...new Set([...output.matchAll(/^unpacking (\S+) \(sha256:[0-9a-f]+\)/gm)].flatMap(([, name]) => name ?? [])),
]

/** Hands on the bytes, inflated when they are gzip. Nothing is read, and so nothing can fail, before somebody asks. */
export async function* unzipped(archive: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const iterator = archive[Symbol.asyncIterator]()
  const head = await iterator.next()
  if (head.done === true) throw new Error('the archive is empty')
  const whole = {
    async *[Symbol.asyncIterator]() {
      yield head.value
      for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) yield next.value
    },
  }
  if (head.value[0] !== 0x1f || head.value[1] !== 0x8b) {
    yield* whole
    return
  }
  const source = Readable.from(whole)
  const gunzip = createGunzip()
  source.on('error', (error) => gunzip.destroy(error))
  yield* source.pipe(gunzip)
}

async function pin(client: GrpcClient, name: string): Promise<void> {
  const { images } = await client.call(listNamedImages, { filters: [`name==${name}`] }, { metadata })
  const image = images[0]
  if (image === undefined) return
  await client.call(
    updateNamedImage,
    {
      image: { ...image, labels: { ...image.labels, [pinLabel]: 'pinned' } },
      mask: { paths: [`labels.${pinLabel}`] },
    },
    { metadata },
  )
}
/** CRI hears of new images by containerd's events: wait until it has. */
async function visible(client: GrpcClient, name: string): Promise<void> {
  for (let i = 0; i < 200; i++) {
    const { image } = await client.call(cri.imageStatus, { image: { image: name } }, { timeoutMs: 10_000 })
    if (image !== undefined) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error(`containerd loaded ${name} but does not show it`)
}

/** Names of the images that are pinned. */
async function pinnedNames(client: GrpcClient): Promise<ReadonlySet<string>> {
  const { images } = await client.call(listNamedImages, { filters: [`labels."${pinLabel}"==pinned`] }, { metadata })
  return new Set(images.map((image) => image.name))
}

/** What the runtime of a containerd can do beyond CRI. */
export function containerdExtras(socket: string): NonNullable<CriRuntimeOptions['extras']> & { close(): void } {
  const client = createGrpcClient(`unix://${socket}`)
  let known: { readonly names: Promise<ReadonlySet<string>>; readonly untilMs: number } | undefined
  return {
    async importImage(archive) {
      const names = await importArchive(socket, client, archive)
      known = undefined
      return names
    },
    // Asked for with every image of every pod, but changed only by a load: a short memory is enough.
    pinnedImages() {
      if (known === undefined || performance.now() > known.untilMs) {
        const names = pinnedNames(client)
        known = { names, untilMs: performance.now() + 5_000 }
        names.catch(() => {
          known = undefined
        })
      }
      return known.names
    },
    close: () => client.close(),
  }
}
