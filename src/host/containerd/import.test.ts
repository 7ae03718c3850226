import { expect, test } from 'vitest'
import { namesIn } from './import.ts'

test('names that an import brought', () => {
  const output =
    'unpacking docker.io/library/busybox:latest (sha256:7144ab6b)...done\nunpacking docker.io/library/busybox:1.35 (sha256:7144ab6b)...done\n'
  expect(namesIn(output)).toEqual(['docker.io/library/busybox:latest', 'docker.io/library/busybox:1.35'])
})
test('an archive without names brings none', () => {
  expect(namesIn('Importing\telapsed: 0.6 s\n')).toEqual([])
})
