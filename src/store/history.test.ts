import { expect, test } from 'vitest'
import { startHistoryKeeper } from './history.ts'
import { openMemoryStore } from './memory.ts'
import { put, textOf, write } from './testing/store-suite.ts'
import { TestClock } from './testing/test-clock.ts'

const minute = 60_000

async function started(maxBytes = 1 << 20) {
  const clock = new TestClock()
  clock.advance(1_000_000)
  const store = openMemoryStore({ clock })
  const keeper = await startHistoryKeeper({ store, clock, budget: { maxAgeMs: 60 * minute, maxBytes } })
  return { clock, store, keeper }
}

test('an hour of history stays readable, older history is forgotten', async () => {
  const { clock, store, keeper } = await started()
  const revisions: number[] = []
  const times: number[] = []
  for (let i = 0; i < 120; i++) {
    revisions.push(await write(store, put('/a', String(i))))
    times.push(clock.now())
    await keeper.keep()
    clock.advance(minute)
    await keeper.keep()
  }
  const at = async (minutesAgo: number) => {
    const revision = keeper.revisionAt(clock.now() - minutesAgo * minute)
    return revision === undefined ? undefined : textOf(await store.get('/a', revision))
  }
  expect(await at(0)).toBe('119')
  expect(await at(30)).toBe('90')
  expect(await at(59)).toBe('61')
  expect(await at(90)).toBeUndefined()
  expect(store.compactedRevision()).toBeGreaterThanOrEqual(revisions[57] ?? 0)
  expect(store.compactedRevision()).toBeLessThan(revisions[61] ?? 0)
  keeper.stop()
})

test('history beyond its bytes is forgotten, oldest first', async () => {
  const { clock, store, keeper } = await started(100_000)
  for (let i = 0; i < 100; i++) {
    await write(store, put('/a', 'x'.repeat(10_000) + i))
    await keeper.keep()
    clock.advance(1000)
    expect((await store.stats()).historyBytes).toBeLessThanOrEqual(120_000)
  }
  const kept = store.currentRevision() - store.compactedRevision()
  expect(kept).toBeGreaterThanOrEqual(7)
  expect(kept).toBeLessThanOrEqual(12)
  keeper.stop()
})

test('an idle store is not written to; samples outlive the keeper', async () => {
  const { clock, store, keeper } = await started()
  await write(store, put('/a', '1'))
  await keeper.keep()
  clock.advance(2 * minute)
  await write(store, put('/a', '2'))
  await keeper.keep()
  const noted = store.currentRevision()
  for (let i = 0; i < 50; i++) {
    clock.advance(minute)
    await keeper.keep()
  }
  expect(store.currentRevision()).toBe(noted)
  keeper.stop()
  const next = await startHistoryKeeper({ store, clock })
  const before = next.revisionAt(clock.now() - 51 * minute)
  expect(textOf(await store.get('/a', before))).toBe('1')
  next.stop()
})
