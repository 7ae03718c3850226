// The names that an image archive brings: all that a simulated runtime wants of it. Docker archives name them in
// manifest.json, OCI archives in annotations of index.json.

const block = 512
const nameAnnotations = ['io.containerd.image.name', 'org.opencontainers.image.ref.name']

/** Reads the archive to its end; throws one clear line when it is none. */
export async function archiveNames(archive: AsyncIterable<Uint8Array>): Promise<readonly string[]> {
  const bytes = await gunzipped(await collect(archive))
  const files = tarFiles(bytes, new Set(['manifest.json', 'index.json']))
  const names = [...dockerNames(files.get('manifest.json')), ...ociNames(files.get('index.json'))]
  if (names.length === 0)
    throw new Error('not an image archive: it has neither manifest.json nor index.json with names')
  return [...new Set(names)]
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let size = 0
  for await (const chunk of chunks) {
    parts.push(chunk)
    size += chunk.length
  }
  const whole = new Uint8Array(size)
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

async function gunzipped(bytes: Uint8Array): Promise<Uint8Array> {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes
  const stream = new Blob([Uint8Array.from(bytes)]).stream().pipeThrough(new DecompressionStream('gzip'))
  return new Uint8Array(await new Response(stream).arrayBuffer())
}

function tarFiles(bytes: Uint8Array, wanted: ReadonlySet<string>): Map<string, unknown> {
  const files = new Map<string, unknown>()
  const text = (from: number, length: number) =>
    new TextDecoder().decode(bytes.subarray(from, from + length)).replace(/\0.*$/s, '')
  for (let at = 0; at + block <= bytes.length; ) {
    const name = text(at, 100).replace(/^\.\//, '')
    if (name === '') break
    const size = Number.parseInt(text(at + 124, 12).trim(), 8)
    if (!Number.isFinite(size)) throw new Error('not an image archive: it is not a tar file')
    if (wanted.has(name)) files.set(name, JSON.parse(text(at + block, size)))
    at += block + Math.ceil(size / block) * block
  }
  return files
}

function dockerNames(manifest: unknown): string[] {
  if (!Array.isArray(manifest)) return []
  return manifest.flatMap((entry: { RepoTags?: unknown }) =>
    Array.isArray(entry.RepoTags) ? entry.RepoTags.filter((tag): tag is string => typeof tag === 'string') : [],
  )
}

function ociNames(index: unknown): string[] {
  if (typeof index !== 'object' || index === null || !('manifests' in index) || !Array.isArray(index.manifests))
    return []
  return index.manifests.flatMap((manifest: { annotations?: Readonly<Record<string, unknown>> }) => {
    const name = nameAnnotations.map((key) => manifest.annotations?.[key]).find((value) => typeof value === 'string')
    return typeof name === 'string' ? [name] : []
  })
}
