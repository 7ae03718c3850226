import { afterEach, describe, expect, it } from 'vitest'
import { leases } from '../api/coordination/lease.ts'
import { type Node, nodes } from '../api/core/node.ts'
import { type Pod, pods } from '../api/core/pod.ts'
import { formatMicroTime } from '../api/machinery/time.ts'
import { evictionRate, observeHeartbeat, planTaints, TokenBucket, zoneState } from './node-health.ts'
import { nodeLifecycleController } from './node-lifecycle.ts'
import { planRemoval, planTerminated, podGarbageCollector } from './pod-garbage-collector.ts'
import { planEviction, taintEvictionController } from './taint-eviction.ts'
import { type TestCluster, testCluster } from './testing/cluster.ts'

let cluster: TestCluster | undefined
afterEach(async () => {
  await cluster?.stop()
  cluster = undefined
})
const start = async (count: number) => {
  cluster = await testCluster([nodeLifecycleController, taintEvictionController, podGarbageCollector], { nodes: count })
  const { client, clock } = cluster
  for (let i = 1; i <= count; i++)
    await client.resource(leases).create({ metadata: { name: `n${i}`, namespace: 'kube-node-lease' }, spec: {} })
  return {
    ...cluster,
    /** Lets time pass while the named nodes renew their leases every 10 s. */
    live: async (seconds: number, ...names: string[]) => {
      for (let passed = 0; passed < seconds; passed += 10) {
        for (const name of names)
          await client
            .resource(leases)
            .patch(name, 'kube-node-lease', 'merge', { spec: { renewTime: formatMicroTime(clock.now()) } })
        await cluster?.advance(10_000)
      }
    },
  }
}
const pod = (name: string, tolerations: object[] = []) => ({
  metadata: { name, namespace: 'default' },
  spec: { containers: [{ name: 'c', image: 'i' }], tolerations } as never,
})
const ready = (node: Node) => node.status.conditions?.find((c) => c.type === 'Ready')
const taintsOf = (node: Node) => (node.spec.taints ?? []).map((t) => `${t.key.split('/')[1]}:${t.effect}`).sort()

describe('node lifecycle', () => {
  it('a silent node becomes unknown, is tainted, and its pods leave after their toleration', async () => {
    const { client, live, all, eventsOf } = await start(2)
    await client.resource(pods).create(pod('a'))
    await client.resource(pods).create(pod('b'))
    await live(40, 'n1', 'n2')
    const placed = Object.fromEntries((await all(pods)).map((p) => [p.spec.nodeName, p.metadata.name]))
    await live(60, 'n1')
    const lost = await client.resource(nodes).get('n2')
    expect(ready(lost)).toMatchObject({
      status: 'Unknown',
      reason: 'NodeStatusUnknown',
      message: 'Kubelet stopped posting node status.',
    })
    expect(taintsOf(lost)).toEqual(['unreachable:NoExecute', 'unreachable:NoSchedule'])
    expect(taintsOf(await client.resource(nodes).get('n1'))).toEqual([])
    expect(await eventsOf('n2')).toContain('NodeNotReady: Node n2 status is now: NodeNotReady')
    const stranded = await client.resource(pods).get(placed['n2'] ?? '', 'default')
    expect(stranded.status.conditions?.find((c) => c.type === 'Ready')?.status).toBe('False')
    expect(stranded.metadata.deletionTimestamp).toBeUndefined()
    await live(320, 'n1')
    expect((await all(pods)).map((p) => p.spec.nodeName)).toEqual(['n1'])
    expect(await eventsOf(placed['n2'] ?? '')).toContain(
      `TaintManagerEviction: Marking for deletion Pod default/${placed['n2']}`,
    )
  })
  it('a node that comes back in time keeps its pods', async () => {
    const { client, live, all } = await start(2)
    await client.resource(pods).create(pod('a'))
    await client.resource(pods).create(pod('b'))
    await live(20, 'n1', 'n2')
    await live(100, 'n1')
    const lost = await client.resource(nodes).get('n2')
    const conditions = lost.status.conditions?.map((c) =>
      c.type === 'Ready'
        ? { ...c, status: 'True', reason: 'KubeletReady', lastTransitionTime: '2026-01-01T00:02:00Z' }
        : { ...c, status: 'False' },
    )
    await client.resource(nodes).updateStatus({ ...lost, status: { ...lost.status, conditions } })
    await live(400, 'n1', 'n2')
    expect(taintsOf(await client.resource(nodes).get('n2'))).toEqual([])
    expect(await all(pods)).toHaveLength(2)
  })
  it('when all nodes are silent nobody is evicted: the fault is likely here', async () => {
    const { client, live, all } = await start(2)
    await client.resource(pods).create(pod('a'))
    await live(20, 'n1', 'n2')
    await live(1000)
    expect(taintsOf(await client.resource(nodes).get('n1'))).toEqual(['unreachable:NoSchedule'])
    expect(await all(pods)).toHaveLength(1)
  })
  it('a cordoned node is tainted, and untainted again', async () => {
    const { client, live } = await start(1)
    await client.resource(nodes).patch('n1', undefined, 'merge', { spec: { unschedulable: true } })
    await live(10, 'n1')
    expect(taintsOf(await client.resource(nodes).get('n1'))).toEqual(['unschedulable:NoSchedule'])
    await client.resource(nodes).patch('n1', undefined, 'merge', { spec: { unschedulable: null } })
    await live(10, 'n1')
    expect(taintsOf(await client.resource(nodes).get('n1'))).toEqual([])
  })
  it('costs no write while nodes are well', async () => {
    const { client, live } = await start(1)
    await live(60, 'n1')
    const before = await client.resource(nodes).get('n1')
    await live(3600, 'n1')
    expect(await client.resource(nodes).get('n1')).toEqual(before)
  })
})

describe('pods of nodes that are gone', () => {
  it('are removed after the quarantine', async () => {
    const { client, live, all } = await start(2)
    await client.resource(pods).create(pod('a'))
    await client.resource(pods).create(pod('b'))
    await live(20, 'n1', 'n2')
    await client.resource(nodes).delete('n2')
    await live(30, 'n1')
    expect(await all(pods)).toHaveLength(2)
    await live(20, 'n1')
    expect((await all(pods)).map((p) => p.spec.nodeName)).toEqual(['n1'])
  })
  it('planRemoval', () => {
    const at = (nodeName: string | undefined, terminating: boolean) =>
      ({ metadata: terminating ? { deletionTimestamp: 'x' } : {}, spec: { nodeName }, status: {} }) as unknown as Pod
    const node = (status: string, taint?: string) =>
      ({
        spec: { taints: taint ? [{ key: taint }] : [] },
        status: { conditions: [{ type: 'Ready', status }] },
      }) as unknown as Node
    const outOfService = 'node.kubernetes.io/out-of-service'
    expect(planRemoval(at(undefined, false), undefined)).toBeUndefined()
    expect(planRemoval(at(undefined, true), undefined)?.reason).toBe('terminating')
    expect(planRemoval(at('n', false), undefined)?.reason).toBe('orphaned')
    expect(planRemoval(at('n', true), node('Unknown'))).toBeUndefined()
    expect(planRemoval(at('n', true), node('Unknown', outOfService))?.reason).toBe('terminating')
    expect(planRemoval(at('n', true), node('True', outOfService))).toBeUndefined()
    expect(planRemoval(at('n', false), node('Unknown', outOfService))).toBeUndefined()
  })
  it('planTerminated takes evicted ones first, then the oldest', () => {
    const ended = (name: string, createdAt: number, reason?: string) =>
      ({
        metadata: { name, creationTimestamp: `2026-01-01T00:00:0${createdAt}Z` },
        status: { reason },
      }) as unknown as Pod
    const list = [ended('new', 9), ended('old', 1), ended('evicted', 5, 'Evicted')]
    expect(planTerminated(list, 3)).toEqual([])
    expect(planTerminated(list, 1).map((p) => p.metadata.name)).toEqual(['evicted', 'old'])
  })
})

describe('planEviction', () => {
  const added = '2026-01-01T00:00:00Z'
  const taint = (key: string) => ({ key, effect: 'NoExecute', timeAdded: added })
  const tolerating = (...tolerations: object[]) =>
    ({ metadata: { creationTimestamp: '2025-01-01T00:00:00Z' }, spec: { tolerations } }) as unknown as Pod
  const t0 = Date.parse(added)
  const forever = { key: 'a', operator: 'Exists', effect: 'NoExecute' }
  it.each([
    ['no taint', tolerating(), [], 'never'],
    ['not tolerated', tolerating(), [taint('a')], 0],
    ['tolerated for ever', tolerating(forever), [taint('a')], 'never'],
    ['tolerated for a while', tolerating({ ...forever, tolerationSeconds: 300 }), [taint('a')], t0 + 300_000],
    [
      'the shortest counts',
      tolerating({ ...forever, tolerationSeconds: 300 }, { ...forever, key: 'b', tolerationSeconds: 5 }),
      [taint('a'), taint('b')],
      t0 + 5000,
    ],
    ['one of two not tolerated', tolerating(forever), [taint('a'), taint('b')], 0],
    ['negative seconds mean at once', tolerating({ ...forever, tolerationSeconds: -7 }), [taint('a')], t0],
  ] as const)('%s', (_, subject, taints, expected) => {
    expect(planEviction(subject, taints)).toBe(expected)
  })
  it('a toleration does not run while nobody watches', () => {
    const subject = tolerating({ ...forever, tolerationSeconds: 300 })
    const hourLater = t0 + 3_600_000
    expect(planEviction(subject, [taint('a')], hourLater)).toBe(hourLater + 300_000)
    expect(planEviction(tolerating(), [taint('a')], hourLater)).toBe(0)
  })
})

describe('node health', () => {
  const node = (conditions: object[], spec: object = {}) =>
    ({ metadata: { uid: 'u' }, spec, status: { conditions } }) as unknown as Node
  it('planTaints gives each condition its taint and keeps foreign ones', () => {
    const foreign = { key: 'x', effect: 'NoSchedule' }
    const sick = node(
      [
        { type: 'Ready', status: 'False' },
        { type: 'DiskPressure', status: 'True' },
      ],
      { taints: [foreign], unschedulable: true },
    )
    expect(taintsOf({ ...sick, spec: { taints: planTaints(sick, true, 0) } } as Node)).toEqual([
      'disk-pressure:NoSchedule',
      'not-ready:NoExecute',
      'not-ready:NoSchedule',
      'undefined:NoSchedule',
      'unschedulable:NoSchedule',
    ])
    expect(planTaints(sick, false, 0).filter((t) => t.effect === 'NoExecute')).toEqual([])
    const well = node([{ type: 'Ready', status: 'True' }], { taints: [foreign] })
    expect(planTaints(well, true, 0)).toBe(well.spec.taints)
  })
  it('not-ready becomes unreachable without waiting for the rate limit', () => {
    const silent = node([{ type: 'Ready', status: 'Unknown' }], {
      taints: [{ key: 'node.kubernetes.io/not-ready', effect: 'NoExecute' }],
    })
    expect(taintsOf({ ...silent, spec: { taints: planTaints(silent, false, 0) } } as Node)).toEqual([
      'unreachable:NoExecute',
      'unreachable:NoSchedule',
    ])
  })
  it('a heartbeat counts when it changes, by our clock', () => {
    const first = observeHeartbeat(undefined, node([]), 't1', 1000)
    expect(observeHeartbeat(first, node([]), 't1', 2000)).toBe(first)
    expect(observeHeartbeat(first, node([]), 't2', 2000).atMs).toBe(2000)
  })
  it.each([
    [3, 0, 'Normal'],
    [0, 1, 'FullDisruption'],
    [1, 2, 'Normal'],
    [2, 3, 'PartialDisruption'],
    [10, 3, 'Normal'],
  ] as const)('%i ready, %i not: %s', (up, down, state) => {
    expect(zoneState(up, down)).toBe(state)
  })
  it('rates', () => {
    const rates = { normal: 0.1, secondary: 0.01 }
    expect(evictionRate('Normal', 10, false, rates)).toBe(0.1)
    expect(evictionRate('PartialDisruption', 10, false, rates)).toBe(0)
    expect(evictionRate('PartialDisruption', 51, false, rates)).toBe(0.01)
    expect(evictionRate('FullDisruption', 10, false, rates)).toBe(0.1)
    expect(evictionRate('FullDisruption', 10, true, rates)).toBe(0)
    const bucket = new TokenBucket(0)
    expect([bucket.take(0.1, 0), bucket.take(0.1, 5000), bucket.take(0.1, 10_000), bucket.take(0.1, 10_001)]).toEqual([
      true,
      false,
      true,
      false,
    ])
  })
})
