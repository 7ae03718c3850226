import { expect, it } from 'vitest'
import { builtinKinds } from '../api/kinds.ts'
import { besiege, countWhatIsLeft } from './testing/besiege.ts'
import { hostileRequests } from './testing/hostile-requests.ts'
import { admin, testServer } from './testing/server.ts'

// bench/siege.ts sends a hundred thousand of them.
it('answers hostile requests without a 500 and without writing what it refuses', { timeout: 120_000 }, async () => {
  const server = await testServer()
  const siege = { ...server, user: admin }
  // Some requests wait for a revision of the future, and are answered when the clock says that it did not come.
  const ticking = setInterval(() => server.clock.advance(1000), 5)
  const { breaches, byStatus } = await besiege(siege, hostileRequests(builtinKinds, 23, 600)).finally(() =>
    clearInterval(ticking),
  )
  expect(breaches).toEqual([])
  // Some of them must be let in, or nothing was tried.
  expect(byStatus.get(201) ?? 0).toBeGreaterThan(5)
  expect(byStatus.get(422) ?? 0).toBeGreaterThan(20)
  const lists = builtinKinds.map(({ group, version, plural }) =>
    group === '' ? `/api/${version}/${plural}` : `/apis/${group}/${version}/${plural}`,
  )
  expect(await countWhatIsLeft(siege, lists)).toEqual([])
})
