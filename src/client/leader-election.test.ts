import { describe, expect, it } from 'vitest'
import { leases } from '../api/coordination/lease.ts'
import { TransportError } from '../ports/transport.ts'
import { createClient } from './api-client.ts'
import { startLeaderElection } from './leader-election.ts'
import { fakeApi } from './testing/fake-api.ts'
import { collectingLog, seededRandom } from './testing/fixtures.ts'
import { manualClock } from './testing/manual-clock.ts'

function setup() {
  const api = fakeApi()
  const clock = manualClock()
  const client = createClient(api)
  const terms: string[] = []
  const candidate = (identity: string, transport = client) => {
    return startLeaderElection({
      client: transport,
      clock,
      random: seededRandom(identity.length),
      log: collectingLog(),
      namespace: 'kube-system',
      name: 'cox',
      identity,
      lead(signal) {
        terms.push(`${identity} leads`)
        signal.addEventListener('abort', () => terms.push(`${identity} stops`))
      },
    })
  }
  return { api, clock, client, candidate, terms }
}

describe('leader election', () => {
  it('lets one lead, and another when the first gives the lease back', async () => {
    const { clock, client, candidate, terms } = setup()
    const a = candidate('a')
    await clock.advance(0)
    const b = candidate('bb')
    await clock.advance(60_000)
    expect([a.isLeader, b.isLeader, b.leader]).toEqual([true, false, 'a'])
    expect(terms).toEqual(['a leads'])
    const stopping = a.stop()
    await clock.advance(0)
    await stopping
    await clock.advance(10_000)
    expect(terms).toEqual(['a leads', 'a stops', 'bb leads'])
    const lease = await client.resource(leases).get('cox', 'kube-system')
    expect(lease.spec).toMatchObject({ holderIdentity: 'bb', leaseDurationSeconds: 15 })
    await b.stop()
  })
  it('a leader cut off from the server stops before another may begin', async () => {
    const { api, clock, client, candidate, terms } = setup()
    let cut = false
    const flaky = createClient({
      send: (request) => (cut ? Promise.reject(new TransportError('cut off')) : api.send(request)),
    })
    const a = candidate('a', flaky)
    await clock.advance(5000)
    const b = candidate('bb', client)
    await clock.advance(5000)
    cut = true
    await clock.advance(60_000)
    expect(terms).toEqual(['a leads', 'a stops', 'bb leads'])
    const lease = await client.resource(leases).get('cox', 'kube-system')
    expect(lease.spec.leaseTransitions).toBe(1)
    cut = false
    await clock.advance(60_000)
    expect([a.isLeader, b.isLeader]).toEqual([false, true])
    await Promise.all([a.stop(), b.stop(), clock.advance(1000)])
  })
  it('a server that never answers counts as away', async () => {
    const { api, clock, candidate, terms } = setup()
    const a = candidate('a')
    await clock.advance(5000)
    const send = api.send.bind(api)
    api.send = () => new Promise(() => {})
    await clock.advance(30_000)
    expect(terms).toEqual(['a leads', 'a stops'])
    api.send = send
    await Promise.all([a.stop(), clock.advance(20_000)])
  })
})
