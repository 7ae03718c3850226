import { expect, it } from 'vitest'
import { manualClock } from '../client/testing/manual-clock.ts'
import { ownHeap, trimHeapWhenQuiet } from './heap.ts'

const MiB = 1 << 20

it('collects when two looks in a row have found the process quiet, and again only after another burst', async () => {
  let utilization = 0.9
  let claimed = 200 * MiB
  let used = 100 * MiB
  let collections = 0
  const clock = manualClock()
  const timer = trimHeapWhenQuiet(clock, {
    utilization: () => utilization,
    size: () => ({ used, claimed }),
    collect() {
      collections++
      claimed = used = 50 * MiB
    },
  })
  await clock.advance(20_000)
  expect(collections).toBe(0)
  utilization = 0.05
  await clock.advance(5000)
  expect(collections).toBe(0)
  await clock.advance(5000)
  expect(collections).toBe(2)
  claimed = 60 * MiB
  await clock.advance(60_000)
  expect(collections).toBe(2)
  claimed = 70 * MiB
  await clock.advance(5000)
  expect(collections).toBe(4)
  used = claimed = 900 * MiB
  await clock.advance(60_000)
  expect(collections).toBe(4)
  timer.cancel()
})

it('the garbage of this process goes', () => {
  const heap = ownHeap()
  let garbage: number[][] | undefined = Array.from({ length: 100 }, () => Array.from({ length: 10_000 }, (_, i) => i))
  const before = heap.size().used
  expect(garbage.length).toBe(100)
  garbage = undefined
  heap.collect()
  expect(heap.size().used).toBeLessThan(before)
  expect(heap.utilization()).toBeLessThanOrEqual(1)
})
