import { describe, expect, it } from 'vitest'
import { applyDefaultTag, registryPath } from './image-reference.ts'

describe('applyDefaultTag', () => {
  it.each([
    ['nginx', 'nginx:latest'],
    ['nginx:1.25', 'nginx:1.25'],
    ['localhost:5000/a/b', 'localhost:5000/a/b:latest'],
    ['localhost:5000/a/b:2', 'localhost:5000/a/b:2'],
    [`a@sha256:${'0'.repeat(64)}`, `a@sha256:${'0'.repeat(64)}`],
    ['registry.k8s.io/e2e-test-images/agnhost:2.53', 'registry.k8s.io/e2e-test-images/agnhost:2.53'],
    ['Upper.example/a__b-c', 'Upper.example/a__b-c:latest'],
  ])('%s is pulled as %s', (image, expected) => {
    expect(applyDefaultTag(image)).toEqual({ ok: true, image: expected })
  })
  it.each([
    ['FOO', 'invalid reference format: repository name (library/FOO) must be lowercase'],
    ['a b', 'invalid reference format'],
    ['nginx:', 'invalid reference format'],
    ['nginx:a:b', 'invalid reference format'],
    ['-x', 'invalid reference format'],
    ['', 'invalid reference format'],
  ])('%s is refused', (image, error) => {
    expect(applyDefaultTag(image)).toEqual({
      ok: false,
      message: `Failed to apply default image tag "${image}": couldn't parse image name "${image}": ${error}`,
    })
  })
})
describe('registryPath', () => {
  it.each([
    ['nginx', 'docker.io/library/nginx'],
    ['me/app:1', 'docker.io/me/app'],
    ['quay.io/me/app:1', 'quay.io/me/app'],
    ['localhost:5000/app', 'localhost:5000/app'],
  ])('%s is looked up as %s', (image, expected) => expect(registryPath(image)).toBe(expected))
})
