import { expect, test } from 'vitest'
import { createClient } from './api-client.ts'
import { fakeApi } from './testing/fake-api.ts'
import { collectingLog, seededRandom } from './testing/fixtures.ts'
import { manualClock } from './testing/manual-clock.ts'
import { whileLeading } from './while-leading.ts'

test('one of two runs, the other begins when it has ended', async () => {
  const clock = manualClock()
  const client = createClient(fakeApi())
  const log: string[] = []
  const candidate = (identity: string) =>
    whileLeading({
      client,
      clock,
      random: seededRandom(identity.length),
      log: collectingLog(),
      namespace: 'kube-system',
      name: 'part',
      identity,
      start() {
        log.push(`${identity} starts`)
        return {
          async stop() {
            log.push(`${identity} stops`)
          },
        }
      },
    })
  const a = candidate('a')
  await clock.advance(100)
  const b = candidate('bb')
  await clock.advance(30_000)
  expect([a.election.isLeader, b.election.isLeader, ...log]).toEqual([true, false, 'a starts'])
  const stopping = a.stop()
  await clock.advance(0)
  await stopping
  await clock.advance(10_000)
  expect(log).toEqual(['a starts', 'a stops', 'bb starts'])
  const ending = b.stop()
  await clock.advance(0)
  await ending
  expect(log.at(-1)).toBe('bb stops')
})
