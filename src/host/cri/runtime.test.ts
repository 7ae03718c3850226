import { describe, expect, test } from 'vitest'
import { GrpcError, type GrpcStatus } from '../wire/grpc.ts'
import { mountsImages, pullErrorKind, unlessShimWent } from './runtime.ts'

test.each([
  ['containerd', '1.6.20~ds1', false],
  ['containerd', 'v2.0.5', false],
  ['containerd', 'v2.1.0', true],
  ['containerd', '3.0.0', true],
  ['cri-o', '1.30.1', false],
  ['cri-o', '1.31.0', true],
  ['another', '0.1', true],
])('image volumes: %s %s %s', (name, version, expected) => {
  expect(mountsImages(name, version)).toBe(expected)
})

describe('a failed pull', () => {
  test.each<[GrpcStatus, string, string]>([
    ['NotFound', 'failed to resolve reference "x": x: not found', 'not-found'],
    ['Unknown', 'pull access denied, repository does not exist or may require authorization', 'unauthorized'],
    ['Unknown', 'unexpected status from HEAD request: 403 Forbidden', 'unauthorized'],
    ['Unknown', 'SignatureValidationFailed: no signature', 'signature'],
    ['Unknown', 'RegistryUnavailable: try later', 'unavailable'],
    ['Unknown', 'dial tcp: lookup registry-1.docker.io: no such host', 'other'],
  ])('%s, "%s" is %s', (status, description, kind) => {
    expect(pullErrorKind(new GrpcError(status, description))).toBe(kind)
  })
})

describe('a stop that meets a shim on its way out', () => {
  const failing = (failures: number, description: string) => {
    let calls = 0
    return {
      calls: () => calls,
      stop: () =>
        ++calls <= failures ? Promise.reject(new GrpcError('Unknown', description)) : Promise.resolve('stopped'),
    }
  }
  test('is tried again', async () => {
    const shim = failing(2, 'failed to kill container "c": ttrpc: closed: unknown')
    expect(await unlessShimWent(shim.stop, 1)).toBe('stopped')
    expect(shim.calls()).toBe(3)
  })
  test('is not tried for ever, and not for other reasons', async () => {
    const always = failing(100, 'ttrpc: closed')
    await expect(unlessShimWent(always.stop, 1)).rejects.toThrow('ttrpc: closed')
    expect(always.calls()).toBe(4)
    const other = failing(1, 'no space left')
    await expect(unlessShimWent(other.stop, 1)).rejects.toThrow('no space left')
    expect(other.calls()).toBe(1)
  })
})
