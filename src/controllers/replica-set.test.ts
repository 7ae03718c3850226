import { afterEach, describe, expect, it } from 'vitest'
import { type ReplicaSet, replicaSets } from '../api/apps/replica-set.ts'
import { type Pod, pods } from '../api/core/pod.ts'
import { podsToDelete } from './framework/pods.ts'
import { planReplicas } from './framework/replicas.ts'
import { garbageCollector } from './garbage-collector.ts'
import { replicaSetController } from './replica-set.ts'
import { type TestCluster, testCluster } from './testing/cluster.ts'

let cluster: TestCluster | undefined
afterEach(async () => {
  await cluster?.stop()
  cluster = undefined
})
const start = async (runs?: (pod: Pod) => boolean) => {
  cluster = await testCluster([replicaSetController, garbageCollector], { nodes: 2, ...(runs ? { runs } : {}) })
  return cluster
}
const set = (name: string, spec: Partial<ReplicaSet['spec']> = {}) => ({
  metadata: { name, namespace: 'default' },
  spec: {
    replicas: 2,
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'c', image: 'i' }] } } as never,
    ...spec,
  },
})
const podOf = (name: string, labels: Record<string, string>) => ({
  metadata: { name, namespace: 'default', labels },
  spec: { containers: [{ name: 'c', image: 'i' }] } as never,
})

describe('replica set', () => {
  it('adopts matching orphans and makes only what is missing', async () => {
    const { client, advance, all } = await start()
    await client.resource(pods).create(podOf('lone', { app: 'a' }))
    await client.resource(pods).create(podOf('other', { app: 'b' }))
    await advance()
    const owner = await client.resource(replicaSets).create(set('a'))
    await advance()
    const owners = Object.fromEntries(
      (await all(pods)).map((p) => [p.metadata.name, p.metadata.ownerReferences?.[0]?.uid]),
    )
    expect(Object.values(owners).filter((uid) => uid === owner.metadata.uid)).toHaveLength(2)
    expect(owners).toMatchObject({ lone: owner.metadata.uid, other: undefined })
  })
  it('releases a pod that no longer matches, and replaces it', async () => {
    const { client, advance, all } = await start()
    await client.resource(replicaSets).create(set('a'))
    await advance()
    const [first] = await all(pods)
    await client
      .resource(pods)
      .patch(first?.metadata.name ?? '', 'default', 'merge', { metadata: { labels: { app: 'x' } } })
    await advance()
    const now = await all(pods)
    expect(now).toHaveLength(3)
    expect(now.find((p) => p.metadata.name === first?.metadata.name)?.metadata.ownerReferences ?? []).toEqual([])
    await client
      .resource(pods)
      .patch(first?.metadata.name ?? '', 'default', 'merge', { metadata: { labels: { app: 'a' } } })
    await advance()
    expect(await all(pods)).toHaveLength(2)
  })
  it('replaces ended and deleted pods', async () => {
    const { client, advance, all } = await start()
    await client.resource(replicaSets).create(set('a'))
    await advance()
    const [first, second] = await all(pods)
    if (first === undefined || second === undefined) throw new Error('no pods')
    await client.resource(pods).updateStatus({ ...first, status: { ...first.status, phase: 'Failed' } })
    await client.resource(pods).delete(second.metadata.name, 'default')
    await advance()
    const now = await all(pods)
    expect(now.filter((p) => p.status.phase === 'Running')).toHaveLength(2)
    expect(now.map((p) => p.metadata.name)).not.toContain(second.metadata.name)
    expect((await client.resource(replicaSets).get('a', 'default')).status).toMatchObject({
      replicas: 2,
      readyReplicas: 2,
    })
  })
  it('never makes more pods than wished, however often it is poked', async () => {
    const { client, advance, all, informers } = await start()
    let most = 0
    const cache = informers.informer(pods)
    cache.handle({ add: () => void (most = Math.max(most, cache.size)) })
    await client.resource(replicaSets).create(set('a', { replicas: 20 }))
    for (let i = 0; i < 10; i++) {
      await client.resource(replicaSets).patch('a', 'default', 'merge', { metadata: { labels: { poke: String(i) } } })
      await advance()
    }
    expect(await all(pods)).toHaveLength(20)
    expect(most).toBe(20)
  })
  it('tells in a condition and an event why it cannot create, and recovers', async () => {
    const { client, advance, all, eventsOf } = await start()
    await client.resource(replicaSets).create(
      set('a', {
        template: {
          metadata: { labels: { app: 'a' } },
          spec: { serviceAccountName: 'missing', containers: [{ name: 'c', image: 'i' }] },
        } as never,
      }),
    )
    await advance(3000)
    const [condition] = (await client.resource(replicaSets).get('a', 'default')).status.conditions ?? []
    expect(condition).toMatchObject({ type: 'ReplicaFailure', status: 'True', reason: 'FailedCreate' })
    expect(condition?.message).toMatch(/serviceaccount "missing" not found/)
    expect((await eventsOf('a'))[0]).toMatch(/^FailedCreate: Error creating: pods "a-\w+" is forbidden: /)
    const accounts = await import('../api/core/service-account.ts')
    await client.resource(accounts.serviceAccounts).create({ metadata: { name: 'missing', namespace: 'default' } })
    await advance(60_000)
    expect(await all(pods)).toHaveLength(2)
    expect((await client.resource(replicaSets).get('a', 'default')).status.conditions ?? []).toEqual([])
  })
})

interface Shape {
  readonly node?: string
  readonly phase?: string
  /** Seconds since it is ready. */
  readonly ready?: number
  readonly cost?: string
  readonly restarts?: number
  /** Seconds since it was created. */
  readonly age?: number
}
const nowMs = Date.UTC(2026, 0, 1)
const ago = (seconds: number) => new Date(nowMs - seconds * 1000).toISOString().replace('.000', '')
function shaped(name: string, { node, phase = 'Running', ready, cost, restarts = 0, age = 1000 }: Shape): Pod {
  return {
    metadata: {
      name,
      uid: name,
      creationTimestamp: ago(age),
      ...(cost === undefined ? {} : { annotations: { 'controller.kubernetes.io/pod-deletion-cost': cost } }),
    },
    spec: { nodeName: node, containers: [] },
    status: {
      phase,
      conditions: ready === undefined ? [] : [{ type: 'Ready', status: 'True', lastTransitionTime: ago(ready) }],
      containerStatuses: [{ restartCount: restarts }],
    },
  } as unknown as Pod
}

describe('which pod goes first', () => {
  const ready = { node: 'n1', ready: 500 }
  it.each<[string, Shape, Shape]>([
    ['one without a node', { ready: 500 }, ready],
    ['a pending one', { node: 'n1', phase: 'Pending' }, { node: 'n1' }],
    ['one that is not ready', { node: 'n1' }, ready],
    ['the one of lower cost', { ...ready, cost: '-1' }, { ...ready }],
    ['an invalid cost counts as none', { ...ready, cost: '1.5', restarts: 1 }, { ...ready, cost: '0' }],
    ['the one ready for less time, by magnitude', { node: 'n1', ready: 10 }, { node: 'n1', ready: 100 }],
    ['the one that restarted more', { ...ready, restarts: 3 }, { ...ready, restarts: 1 }],
    ['the younger one, by magnitude', { ...ready, age: 10 }, { ...ready, age: 1000 }],
  ])('%s', (_, first, second) => {
    const [a, b] = [shaped('z', first), shaped('a', second)]
    expect(podsToDelete([b, a], [], 1, nowMs)).toEqual([a])
    expect(podsToDelete([a, b], [], 1, nowMs)).toEqual([a])
  })
  it('the one whose node has more of its kin', () => {
    const crowded = shaped('z', { node: 'n1', ready: 500 })
    const alone = shaped('a', { node: 'n2', ready: 500 })
    const sibling = shaped('s', { node: 'n1', ready: 500 })
    expect(podsToDelete([alone, crowded], [alone, crowded, sibling], 1, nowMs)).toEqual([crowded])
  })
  it('equal magnitudes fall back to the UID, so that deletions are spread', () => {
    const [a, b] = [shaped('a', { node: 'n1', ready: 600 }), shaped('b', { node: 'n1', ready: 700 })]
    expect(podsToDelete([b, a], [], 1, nowMs)).toEqual([a])
  })
})

describe('planReplicas', () => {
  const many = (count: number) => Array.from({ length: count }, (_, i) => shaped(`p${i}`, {}))
  it.each([
    [3, 3, 0, 0],
    [5, 3, 2, 0],
    [0, 3, 0, 3],
    [2000, 0, 500, 0],
    [0, 700, 0, 500],
  ])('wanted %i of %i: create %i, delete %i', (wanted, have, create, remove) => {
    const plan = planReplicas(wanted, many(have), [], nowMs)
    expect([plan.create, plan.delete.length]).toEqual([create, remove])
  })
})
