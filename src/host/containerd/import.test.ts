import { expect, test } from 'vitest'
import { ctrVersion, namesIn } from './import.ts'

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
