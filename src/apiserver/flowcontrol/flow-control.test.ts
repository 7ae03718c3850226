import { describe, expect, it } from 'vitest'
import { isReason } from '../../api/machinery/errors.ts'
import { type Answer, testClock, testServer, textAt } from '../testing/server.ts'
import { boundsOf, planLimits } from './limits.ts'
import { dealHand, PriorityLevel, type Seat } from './priority-level.ts'

const flowcontrol = '/apis/flowcontrol.apiserver.k8s.io/v1'
const flowSchemaUid = ({ headers }: Answer) => headers['x-kubernetes-pf-flowschema-uid']
const tokens = new Map([
  ['noisy', { name: 'noisy', groups: ['system:masters-not'] }],
  ['boss', { name: 'boss', groups: ['system:masters'] }],
])
const as = (token: string) => ({ headers: { authorization: `Bearer ${token}` }, user: null })

function level(seats: number, settings = { queues: 64, handSize: 6, queueLengthLimit: 50 }) {
  const clock = testClock()
  const made = new PriorityLevel('test', clock, () => {})
  made.configure(settings)
  made.setLimit(seats)
  return { clock, made }
}
/** Everything that microtasks do. */
const settled = () => new Promise((done) => setImmediate(done))

describe('a priority level', () => {
  it('seats as many as it has seats, and the next when one leaves', async () => {
    const { made } = level(2)
    const first = made.enter('a', 1) as Seat
    expect(made.enter('a', 1)).not.toBeInstanceOf(Promise)
    const third = made.enter('a', 1)
    expect(third).toBeInstanceOf(Promise)
    expect(made.seats).toEqual({ limit: 2, executing: 2, waiting: 1 })
    first.release()
    first.release()
    await third
    expect(made.seats).toEqual({ limit: 2, executing: 2, waiting: 0 })
  })
  it('does not let a noisy client starve another', async () => {
    const { made, clock } = level(4)
    const done: string[] = []
    const open: { readonly flow: string; readonly seat: Seat }[] = []
    const enter = async (flow: string) => {
      const seat = await made.enter(flow, 1)
      open.push({ flow, seat })
    }
    for (let i = 0; i < 200; i++) void enter('noisy').catch(() => done.push('refused'))
    await settled()
    const before = done.length
    void enter('quiet')
    // Requests end in the order in which they were seated, 10 ms each.
    let finishedBefore = 0
    for (;;) {
      await settled()
      const next = open.shift()
      if (next === undefined || next.flow === 'quiet') break
      clock.advance(10)
      next.seat.release()
      finishedBefore++
    }
    expect(before).toBe(0)
    // Those that had seats already, and at most one round of the noisy client's queues.
    expect(finishedBefore).toBeLessThanOrEqual(4 + 6 + 1)
  })
  it('shares its seats evenly between clients that always want more', async () => {
    const { made, clock } = level(2)
    // Requests of a take four times as long: it gets fewer of them, and the same time.
    const tookMs: Readonly<Record<string, number>> = { a: 40, b: 10 }
    const worked: Record<string, number> = { a: 0, b: 0 }
    const open: { readonly flow: string; readonly seat: Seat; readonly endMs: number }[] = []
    const enter = async (flow: string) => {
      const seat = await made.enter(flow, 1)
      open.push({ flow, seat, endMs: clock.monotonic() + (tookMs[flow] ?? 0) })
    }
    for (let i = 0; i < 40; i++) void enter('a')
    for (let i = 0; i < 40; i++) void enter('b')
    for (let round = 0; round < 400; round++) {
      await settled()
      const next = open.sort((x, y) => x.endMs - y.endMs).shift()
      if (next === undefined) break
      clock.advance(next.endMs - clock.monotonic())
      worked[next.flow] = (worked[next.flow] ?? 0) + (tookMs[next.flow] ?? 0)
      next.seat.release()
      void enter(next.flow)
    }
    const share = (worked['a'] ?? 0) / (worked['b'] ?? 0)
    expect(share).toBeGreaterThan(0.8)
    expect(share).toBeLessThan(1.25)
  })
  it('refuses when queues are full, when nobody may wait, and when the wait was too long', async () => {
    const full = level(1, { queues: 1, handSize: 1, queueLengthLimit: 1 })
    void full.made.enter('a', 1)
    const waiting = full.made.enter('a', 1) as Promise<Seat>
    expect(() => full.made.enter('a', 1)).toThrow('Too many requests, please try again later.')
    const refused = waiting.then(
      () => false,
      (error: unknown) => isReason(error, 'TooManyRequests'),
    )
    full.clock.advance(15_001)
    expect(await refused).toBe(true)
    expect(full.made.refused).toEqual({ 'queue-full': 1, 'concurrency-limit': 0, 'time-out': 1 })
    const strict = level(1)
    strict.made.configure(undefined)
    void strict.made.enter('a', 1)
    expect(() => strict.made.enter('a', 1)).toThrow('Too many requests')
  })
  it('deals hands of different cards that seldom lie together', () => {
    const hands = Array.from({ length: 500 }, (_, i) => dealHand(`user-${i}`, 64, 6))
    for (const hand of hands) {
      expect(new Set(hand).size).toBe(6)
      for (const card of hand) expect(card >= 0 && card < 64).toBe(true)
    }
    expect(dealHand('user-1', 64, 6)).toEqual(hands[1])
    const first = new Set(hands[0])
    const blocked = hands.slice(1).filter((hand) => hand.every((card) => first.has(card))).length
    expect(blocked).toBe(0)
    expect(new Set(hands.flat()).size).toBe(64)
  })
})

describe('seats', () => {
  const configuration = (shares: number, lendablePercent = 0, borrowingLimitPercent?: number) =>
    ({
      metadata: { name: '', uid: '' },
      spec: {
        type: 'Limited',
        limited: {
          nominalConcurrencyShares: shares,
          lendablePercent,
          ...(borrowingLimitPercent === undefined ? {} : { borrowingLimitPercent }),
        },
      },
    }) as unknown as Parameters<typeof boundsOf>[0][number]
  it('are dealt by shares', () => {
    expect(boundsOf([configuration(30, 50), configuration(10, 0, 100)], 100)).toEqual([
      { nominal: 75, min: 37, max: 100 },
      { nominal: 25, min: 25, max: 50 },
    ])
  })
  it('that nobody uses are borrowed by those who want more, within bounds', () => {
    const [busy, idle] = boundsOf([configuration(10), configuration(30, 50)], 100)
    if (busy === undefined || idle === undefined) throw new Error('two levels')
    const plan = (high: number, other: number) =>
      planLimits(
        [
          { ...busy, high, smooth: high },
          { ...idle, high: other, smooth: other },
        ],
        100,
      )
    expect(plan(200, 0)).toEqual([63, 37])
    // Who lends gets it back when it is wanted.
    expect(plan(200, 80)).toEqual([25, 75])
  })
})

describe('the server', () => {
  it('has the objects of every cluster, keeps them, and says where a request was counted', async () => {
    const { call } = await testServer({ tokens })
    const uid = async (name: string) =>
      textAt((await call('GET', `${flowcontrol}/flowschemas/${name}`)).json, 'metadata', 'uid')
    const [exempt, global] = [await uid('exempt'), await uid('global-default')]
    expect(flowSchemaUid(await call('GET', '/version', undefined, as('boss')))).toBe(exempt)
    const counted = await call('GET', '/api/v1/pods', undefined, as('noisy'))
    expect([counted.status, flowSchemaUid(counted)]).toEqual([403, global])
    expect(counted.headers['x-kubernetes-pf-prioritylevel-uid']).toBe(
      textAt((await call('GET', `${flowcontrol}/prioritylevelconfigurations/global-default`)).json, 'metadata', 'uid'),
    )
    await call('DELETE', `${flowcontrol}/flowschemas/catch-all`)
    await expect.poll(() => call('GET', `${flowcontrol}/flowschemas/catch-all`).then((a) => a.status)).toBe(200)
    const own = await call(
      'PATCH',
      `${flowcontrol}/flowschemas/exempt`,
      { spec: { matchingPrecedence: 7 } },
      {
        headers: { 'content-type': 'application/merge-patch+json' },
      },
    )
    expect(own.status).toBe(200)
    await expect
      .poll(async () => (await call('GET', `${flowcontrol}/flowschemas/exempt`)).json['spec']?.['matchingPrecedence'])
      .toBe(1)
  })
  it('counts requests by the schemas of administrators, and says which lead nowhere', async () => {
    const { call } = await testServer({ tokens })
    const schema = {
      metadata: { name: 'mine' },
      spec: {
        matchingPrecedence: 1000,
        priorityLevelConfiguration: { name: 'mine' },
        distinguisherMethod: { type: 'ByUser' },
        rules: [
          {
            subjects: [{ kind: 'User', user: { name: 'noisy' } }],
            nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }],
          },
        ],
      },
    }
    const made = await call('POST', `${flowcontrol}/flowschemas`, schema)
    const dangling = async () => {
      const { status } = (await call('GET', `${flowcontrol}/flowschemas/mine`)).json as unknown as {
        status: { conditions?: { type: string; status: string }[] }
      }
      return status.conditions?.find(({ type }) => type === 'Dangling')?.status
    }
    await expect.poll(dangling).toBe('True')
    await call('POST', `${flowcontrol}/prioritylevelconfigurations`, {
      metadata: { name: 'mine' },
      spec: { type: 'Limited', limited: { nominalConcurrencyShares: 1, limitResponse: { type: 'Reject' } } },
    })
    await expect.poll(dangling).toBe('False')
    expect(flowSchemaUid(await call('GET', '/version', undefined, as('noisy')))).toBe(
      textAt(made.json, 'metadata', 'uid'),
    )
    expect((await call('GET', '/metrics')).text).toMatch(
      /apiserver_flowcontrol_nominal_limit_seats\{priority_level="mine"\} \d+/,
    )
  })
  it('answers 429 with Retry-After where a level is full', async () => {
    const { call } = await testServer({ tokens, settings: { maxRequestsInflight: 1 } })
    await call('POST', `${flowcontrol}/prioritylevelconfigurations`, {
      metadata: { name: 'narrow' },
      spec: { type: 'Limited', limited: { nominalConcurrencyShares: 1, limitResponse: { type: 'Reject' } } },
    })
    await call('POST', `${flowcontrol}/flowschemas`, {
      metadata: { name: 'narrow' },
      spec: {
        matchingPrecedence: 10,
        priorityLevelConfiguration: { name: 'narrow' },
        rules: [
          {
            subjects: [{ kind: 'User', user: { name: 'noisy' } }],
            resourceRules: [
              { verbs: ['*'], apiGroups: ['*'], resources: ['*'], clusterScope: true, namespaces: ['*'] },
            ],
          },
        ],
      },
    })
    const review = () =>
      call(
        'POST',
        '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
        { spec: { resourceAttributes: { verb: 'get', resource: 'pods' } } },
        as('noisy'),
      )
    const answers = await Promise.all([review(), review(), review()])
    expect(answers.map(({ status }) => status).sort((a, b) => a - b)).toEqual([201, 429, 429])
    const refused = answers.find(({ status }) => status === 429)
    expect(refused?.headers['retry-after']).toBe('1')
    expect(refused?.json['reason']).toBe('TooManyRequests')
  })
})
