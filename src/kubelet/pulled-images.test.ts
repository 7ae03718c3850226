import { describe, expect, it } from 'vitest'
import { manualClock } from '../client/testing/manual-clock.ts'
import { type PullCredential, PulledImages, type VerificationPolicy } from './pulled-images.ts'
import { memoryDisk } from './testing/memory-disk.ts'

const disk = memoryDisk()
const recordsOf = (policy: VerificationPolicy, allowlist: readonly string[] = [], own = memoryDisk()) =>
  new PulledImages({ disk: own, clock: manualClock(), directory: '/images', policy, allowlist })
const of = (name: string, password: string): PullCredential => ({
  auth: { username: 'me', password },
  secret: { uid: `uid-${name}`, namespace: 'ns', name },
})
const asking =
  (...credentials: readonly PullCredential[]) =>
  () =>
    Promise.resolve(credentials)
const image = 'registry.example/app:1'

describe('an image that somebody brought', () => {
  it.each([
    ['NeverVerify', [], false],
    ['NeverVerifyPreloadedImages', [], false],
    ['NeverVerifyAllowlistedImages', [], true],
    ['NeverVerifyAllowlistedImages', ['registry.example/app'], false],
    ['NeverVerifyAllowlistedImages', ['registry.example/*'], false],
    ['NeverVerifyAllowlistedImages', ['registry.example/ap'], true],
    ['AlwaysVerify', ['registry.example/app'], true],
  ] as const)('%s %j: must be pulled %s', async (policy, allowlist, must) => {
    expect(await recordsOf(policy, allowlist).mustPull(image, 'id', asking())).toBe(must)
  })
  it('is not what an unfinished pull has left', async () => {
    const records = recordsOf('NeverVerifyPreloadedImages')
    await records.begin(image)
    expect(await records.mustPull(image, 'id', asking())).toBe(true)
    await records.abandon(image)
    expect(await records.mustPull(image, 'id', asking())).toBe(false)
  })
})

describe('an image that was pulled with a Secret', () => {
  it('is for pods that have the same credential, by whatever Secret, after a restart too', async () => {
    const before = recordsOf('NeverVerifyPreloadedImages', [], disk)
    await before.begin(image)
    await before.record(image, 'id', of('a', 'right'))
    const records = recordsOf('NeverVerifyPreloadedImages', [], disk)
    const must = (...credentials: readonly PullCredential[]) => records.mustPull(image, 'id', asking(...credentials))
    expect(await must()).toBe(true)
    expect(await must(of('a', 'wrong'))).toBe(true)
    expect(await must(of('x', 'wrong'), of('a', 'right'))).toBe(false)
    expect(await must(of('b', 'right'))).toBe(false)
    expect(await records.mustPull('elsewhere.example/app:1', 'id', asking(of('a', 'right')))).toBe(true)
    await records.record(image, 'id', of('a', 'changed'))
    expect(await must(of('a', 'right'))).toBe(true)
    expect(await must(of('a', 'changed'))).toBe(false)
    await records.forget('id')
    expect(await must()).toBe(false)
  })
  it('is for everybody once it was pulled without one', async () => {
    const records = recordsOf('AlwaysVerify')
    await records.record(image, 'id', of('a', 'right'))
    await records.record(image, 'id', undefined)
    await records.record(image, 'id', of('b', 'other'))
    expect(await records.mustPull(image, 'id', asking())).toBe(false)
  })
})
