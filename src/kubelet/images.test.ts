import { describe, expect, it } from 'vitest'
import { manualClock } from '../client/testing/manual-clock.ts'
import { Images } from './images.ts'
import { PulledImages } from './pulled-images.ts'
import { fakeRuntime, imageOf } from './testing/fake-runtime.ts'
import { memoryDisk } from './testing/memory-disk.ts'
import { makePod } from './testing/pods.ts'

const settle = () => new Promise<void>((done) => setImmediate(done))

describe('pulls at a time', () => {
  it.each([1, 3])('%i', async (limit) => {
    const clock = manualClock()
    const disk = memoryDisk()
    const runtime = fakeRuntime(clock, disk)
    const under = new Map<string, () => void>()
    const began: string[] = []
    runtime.pullImage = (reference) =>
      new Promise((done) => {
        began.push(reference)
        under.set(reference, () => {
          under.delete(reference)
          runtime.images.set(reference, imageOf(reference))
          done(reference)
        })
      })
    const pulled = new PulledImages({
      disk,
      clock,
      directory: '/i',
      policy: 'NeverVerifyPreloadedImages',
      allowlist: [],
    })
    const images = new Images(runtime, clock, () => {}, { parallelPulls: limit, pulled })
    const names = Array.from({ length: 7 }, (_, i) => `r.example/app:${i}`)
    const results = names.map((image, i) =>
      images.ensure({
        pod: makePod({ name: `p${i}` }),
        container: 'c',
        image,
        pullPolicy: 'Always',
        sandbox: {} as never,
        credentials: () => Promise.resolve([]),
      }),
    )
    let most = 0
    for (let i = 0; i < 100 && began.length < 7; i++) {
      await settle()
      most = Math.max(most, under.size)
      if (under.size === limit || began.length === 7) [...under.values()][0]?.()
    }
    while (under.size > 0) {
      for (const finish of under.values()) finish()
      await settle()
    }
    expect((await Promise.all(results)).every((result) => result.ok)).toBe(true)
    expect(most).toBe(limit)
    expect(began.toSorted()).toEqual(names)
  })
})
