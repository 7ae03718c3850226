import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { ctrVersion, namesIn, unzipped } from './import.ts'

test('names that an import brought', () => {
  const output =
    'unpacking docker.io/library/busybox:latest (sha256:7144ab6b)...done\nunpacking docker.io/library/busybox:1.35 (sha256:7144ab6b)...done\n'
  expect(namesIn(output)).toEqual(['docker.io/library/busybox:latest', 'docker.io/library/busybox:1.35'])
})
test('an archive without names brings none', () => {
  expect(namesIn('Importing\telapsed: 0.6 s\n')).toEqual([])
})
test.each([
  ['ctr github.com/containerd/containerd 1.6.20~ds1\n', '1.6.20~ds1'],
  ['ctr github.com/containerd/containerd/v2 2.1.9+unknown\n', '2.1.9+unknown'],
  ['ctr containerd.io v1.7.2 0cae528\n', '1.7.2'],
])('the version of ctr: %s', (said, version) => {
  expect(ctrVersion(said)).toBe(version)
})

async function* chunks(...parts: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* parts
}
async function text(bytes: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = []
  for await (const part of bytes) parts.push(part)
  return Buffer.concat(parts).toString()
}
test('an archive is inflated when it is gzip, and handed on as it is when not', async () => {
  const packed = gzipSync('the archive')
  expect(await text(unzipped(chunks(packed.subarray(0, 5), packed.subarray(5))))).toBe('the archive')
  expect(await text(unzipped(chunks(Buffer.from('the '), Buffer.from('archive'))))).toBe('the archive')
})
test('a damaged gzip fails for its reader, not before: nobody would catch it then', async () => {
  const plain = unzipped(chunks(Buffer.from([0x1f, 0x8b, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9])))
  await new Promise((resolve) => setImmediate(resolve))
  await expect(text(plain)).rejects.toMatchObject({ code: 'Z_DATA_ERROR' })
})
test('an archive that cannot be read any further fails for its reader', async () => {
  const plain = unzipped(
    (async function* () {
      yield gzipSync('the archive').subarray(0, 5)
      throw new Error('the connection ended')
    })(),
  )
  await expect(text(plain)).rejects.toThrow('the connection ended')
})
