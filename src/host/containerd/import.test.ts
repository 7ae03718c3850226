import { expect, test } from 'vitest'
import { namesIn } from './import.ts'

test.each([
  [
    'containerd 1.6',
    'unpacking docker.io/library/busybox:latest (sha256:7144ab6b)...done\nunpacking docker.io/library/busybox:1.35 (sha256:7144ab6b)...done\n',
  ],
  [
    'containerd 2.1, which repeats itself',
    `docker.io/library/busybox:latest        \tsaved\t
application/vnd.docker.distribution.manifest.v2+json sha256:7144ab6b
Importing\telapsed: 0.6 s\ttotal:   0.0 B\t(0.0 B/s)\t
docker.io/library/busybox:latest        \tsaved\t
docker.io/library/busybox:1.35          \tsaved\t
Importing\telapsed: 0.6 s\ttotal:   0.0 B\t(0.0 B/s)\t\n`,
  ],
])('names that an import brought: %s', (_, output) => {
  expect(namesIn(output)).toEqual(['docker.io/library/busybox:latest', 'docker.io/library/busybox:1.35'])
})
test('an archive without names brings none', () => {
  expect(namesIn('Importing\telapsed: 0.6 s\n')).toEqual([])
})
