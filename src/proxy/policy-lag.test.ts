import { expect, it } from 'vitest'
import type { NetworkPolicy } from '../api/networking/network-policy.ts'
import type { EventRecorder } from '../client/event-recorder.ts'
import { manualClock } from '../client/testing/manual-clock.ts'
import { createPolicyLag } from './policy-lag.ts'

const policy = {
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name: 'big', namespace: 'default' },
  spec: { podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: '10.0.0.0/8' } }, { podSelector: {} }] }] },
} as unknown as NetworkPolicy
const rules = [{ key: 'default/big', podIP: '10.1.0.2', direction: 'ingress', allow: [] }] as const

function setUp() {
  const clock = manualClock()
  const told: string[] = []
  const recorder = {
    event: (_about: unknown, type: string, reason: string, message: string) =>
      void told.push(`${type} ${reason} ${message}`),
  } as unknown as EventRecorder
  const lag = createPolicyLag('n1', clock, recorder)
  const taking = (ms: number) => () =>
    new Promise<void>((done) => {
      clock.after(ms, done)
    })
  const run = async (ms: number, on = [...rules]) => {
    const done = lag.during(on, taking(ms))
    await clock.advance(ms)
    await done
  }
  return { clock, told, lag, run }
}

it('what is slow is told while it lasts and when it is over, once', async () => {
  const { told, lag, run } = setUp()
  lag.changed(policy)
  await run(23_000)
  expect(told).toEqual([
    'Warning NetworkPolicyNotEnforced node n1 does not enforce this version of the policy yet: it has been giving its 1 address blocks to the kernel for 5 s',
    'Normal NetworkPolicyEnforced node n1 enforces the policy since now, 23 s after it changed',
  ])
  await run(23_000)
  expect(told).toHaveLength(2)
})
it('what is quick, gone or another node’s is not told', async () => {
  const { told, lag, run } = setUp()
  lag.changed(policy)
  await run(1000)
  lag.changed(policy)
  await run(23_000, [])
  lag.changed(policy)
  lag.gone(policy)
  await run(23_000)
  expect(told).toEqual([])
})
it('a refusal is told, and thrown on', async () => {
  const { told, lag, run } = setUp()
  lag.changed(policy)
  const refused = () => Promise.reject(new Error('nft: out of memory'))
  await expect(lag.during(rules, refused)).rejects.toThrow('out of memory')
  await expect(lag.during(rules, refused)).rejects.toThrow('out of memory')
  expect(told).toEqual([
    'Warning FailedToEnforceNetworkPolicy node n1 cannot enforce this version of the policy: nft: out of memory',
  ])
  await run(0)
  expect(told[1]).toMatch(/^Normal NetworkPolicyEnforced/)
})
