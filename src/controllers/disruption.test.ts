import { afterEach, describe, expect, it } from 'vitest'
import { deployments } from '../api/apps/deployment.ts'
import { type Pod, pods } from '../api/core/pod.ts'
import { type PodDisruptionBudget, podDisruptionBudgets } from '../api/policy/pod-disruption-budget.ts'
import { deploymentController } from './deployment.ts'
import { disruptionController, planDisrupted, planExpectation } from './disruption.ts'
import { replicaSetController } from './replica-set.ts'
import { type TestCluster, testCluster } from './testing/cluster.ts'

let cluster: TestCluster | undefined
afterEach(async () => {
  await cluster?.stop()
  cluster = undefined
})
const start = async (runs?: (pod: Pod) => boolean) => {
  cluster = await testCluster([disruptionController, deploymentController, replicaSetController], {
    nodes: 2,
    ...(runs ? { runs } : {}),
  })
  return cluster
}
const budget = (spec: object) => ({
  metadata: { name: 'b', namespace: 'default' },
  spec: { selector: { matchLabels: { app: 'web' } }, ...spec } as never,
})
const rollout = (replicas: number) => ({
  metadata: { name: 'web', namespace: 'default' },
  spec: {
    replicas,
    selector: { matchLabels: { app: 'web' } },
    template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'c', image: 'i' }] } },
  } as never,
})
const evict = (test: TestCluster, pod: Pod | undefined) =>
  test.client.resource(pods).post(pod?.metadata.name ?? '', 'default', 'eviction', {
    apiVersion: 'policy/v1',
    kind: 'Eviction',
    metadata: { name: pod?.metadata.name, namespace: 'default' },
  })

describe('pod disruption budget', () => {
  it('follows the pods, and evictions stop at it', async () => {
    const test = await start()
    await test.client.resource(deployments).create(rollout(3))
    await test.client.resource(podDisruptionBudgets).create(budget({ maxUnavailable: 1 }))
    await test.advance()
    const status = async () => (await test.client.resource(podDisruptionBudgets).get('b', 'default')).status
    expect(await status()).toMatchObject({
      currentHealthy: 3,
      desiredHealthy: 2,
      expectedPods: 3,
      disruptionsAllowed: 1,
      conditions: [{ type: 'DisruptionAllowed', status: 'True', reason: 'SufficientPods' }],
    })
    const [first, second] = await test.all(pods)
    await evict(test, first)
    await expect(evict(test, second)).rejects.toMatchObject({ reason: 'TooManyRequests' })
    await test.advance()
    expect(await status()).toMatchObject({ currentHealthy: 3, disruptionsAllowed: 1 })
    expect((await status()).disruptedPods ?? {}).toEqual({})
  })
  it.each([
    ['IfHealthyBudget', false],
    ['AlwaysAllow', true],
  ] as const)('%s: a pod that is not ready may go below the budget: %s', async (unhealthyPodEvictionPolicy, may) => {
    const test = await start((pod) => pod.metadata.labels?.['app'] === 'other')
    await test.client.resource(deployments).create(rollout(2))
    await test.client.resource(podDisruptionBudgets).create(budget({ minAvailable: 2, unhealthyPodEvictionPolicy }))
    await test.advance()
    const [pod] = await test.all(pods)
    const status = { phase: 'Running', conditions: [{ type: 'Ready', status: 'False' as const }] }
    await test.client.resource(pods).updateStatus({ ...pod, status } as Pod)
    await test.advance()
    const evicted = await evict(test, pod).then(
      () => true,
      () => false,
    )
    expect(evicted).toBe(may)
  })
  it('asks for the size of the deployment, not of what happens to run', async () => {
    const test = await start((pod) => !/[a-h]$/.test(pod.metadata.name))
    await test.client.resource(deployments).create(rollout(4))
    await test.client.resource(podDisruptionBudgets).create(budget({ minAvailable: '50%' }))
    await test.advance()
    expect((await test.client.resource(podDisruptionBudgets).get('b', 'default')).status).toMatchObject({
      desiredHealthy: 2,
      expectedPods: 4,
    })
    await test.client.resource(deployments).patch('web', 'default', 'merge', { spec: { replicas: 8 } })
    await test.advance()
    expect((await test.client.resource(podDisruptionBudgets).get('b', 'default')).status).toMatchObject({
      desiredHealthy: 4,
      expectedPods: 8,
    })
  })
  it('says that it found no pods', async () => {
    const test = await start()
    await test.client.resource(podDisruptionBudgets).create(budget({ minAvailable: 1 }))
    await test.advance()
    expect((await test.client.resource(podDisruptionBudgets).get('b', 'default')).status).toMatchObject({
      disruptionsAllowed: 0,
      conditions: [{ status: 'False', reason: 'InsufficientPods' }],
    })
    expect(await test.eventsOf('b')).toEqual(['NoPods: No matching pods found'])
  })
})

describe('plans', () => {
  it.each([
    [{ minAvailable: 2 }, 5, 0, { expected: 5, desired: 2 }],
    [{ minAvailable: '30%' }, 9, 10, { expected: 10, desired: 3 }],
    [{ minAvailable: '31%' }, 9, 10, { expected: 10, desired: 4 }],
    [{ maxUnavailable: 1 }, 3, 4, { expected: 4, desired: 3 }],
    [{ maxUnavailable: '30%' }, 3, 7, { expected: 7, desired: 4 }],
    [{ maxUnavailable: 9 }, 3, 4, { expected: 4, desired: 0 }],
  ])('planExpectation %j over %i pods of %i', (spec, count, scale, expected) => {
    expect(planExpectation({ spec } as unknown as PodDisruptionBudget, count, scale)).toEqual(expected)
  })
  it('planDisrupted forgets what is gone or led nowhere', () => {
    const at = (ms: number) => new Date(ms).toISOString()
    const status = { disruptedPods: { young: at(100_000), old: at(0), gone: at(100_000), going: at(100_000) } }
    const pod = (name: string, deletionTimestamp?: string) =>
      ({ metadata: { name, deletionTimestamp } }) as unknown as Pod
    const plan = planDisrupted(
      { status } as unknown as PodDisruptionBudget,
      [pod('young'), pod('old'), pod('going', 'x')],
      150_000,
    )
    expect(plan.disrupted).toEqual({ young: at(100_000) })
    expect(plan.stuck.map((p) => p.metadata.name)).toEqual(['old'])
    expect(plan.nextMs).toBe(70_000)
  })
})
