import { expect, it } from 'vitest'
import type { Client } from '../client/client.ts'
import { seededRandom } from '../client/testing/fixtures.ts'
import { manualClock } from '../client/testing/manual-clock.ts'
import { rfc3339 } from '../ports/clock.ts'
import { makePod } from './testing/pods.ts'
import { Tokens } from './tokens.ts'

it('asks for another token when the wall clock leaves the validity of the one at hand', async () => {
  const clock = manualClock()
  let asked = 0
  const client = {
    resource: () => ({
      post: () => {
        asked++
        const status = { token: `token ${asked}`, expirationTimestamp: rfc3339(clock.now() + 3_600_000) }
        return Promise.resolve({ status })
      },
    }),
  } as unknown as Client
  const renewed: string[] = []
  const tokens = new Tokens(client, clock, seededRandom(1), (uid) => renewed.push(uid))
  const pod = makePod({})
  const token = () => tokens.token(pod, undefined)
  expect([await token(), await token()]).toEqual(['token 1', 'token 1'])
  clock.shift(600_000)
  tokens.clockWasSet()
  expect([await token(), renewed]).toEqual(['token 1', []])
  clock.shift(-7_200_000)
  tokens.clockWasSet()
  expect([await token(), renewed]).toEqual(['token 2', [pod.metadata.uid]])
  clock.shift(3_600_000)
  tokens.clockWasSet()
  expect([await token(), renewed.length]).toEqual(['token 3', 2])
  tokens.stop()
})
