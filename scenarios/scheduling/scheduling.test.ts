// S1 to S7 on a whole simulated cluster: nodes that join by themselves, controllers that create the pods, kubelets that run
// and end them. What is checked is what a user sees: where pods are, their conditions and events.
import { afterEach, expect, test } from 'vitest'
import { deployments } from '../../src/api/apps/deployment.ts'
import { type Node, nodes } from '../../src/api/core/node.ts'
import { pods } from '../../src/api/core/pod.ts'
import { podDisruptionBudgets } from '../../src/api/policy/pod-disruption-budget.ts'
import { priorityClasses } from '../../src/api/scheduling/priority-class.ts'
import { type SimCluster, type SimClusterOptions, startSimCluster } from '../../src/sim/sim-cluster.ts'
import { create, deployment, eventsOf, isReady, podOf, podsOf, runs } from '../sim/harness.ts'

const zoneKey = 'topology.kubernetes.io/zone'
let cluster: SimCluster | undefined
afterEach(async () => {
  await cluster?.stop()
  cluster = undefined
})
async function start(options: SimClusterOptions): Promise<SimCluster> {
  const c = (cluster = await startSimCluster(options))
  c.sim.world.image('server:1', () => ({}))
  return c
}
const pod = (name: string, spec: object = {}, labels: Record<string, string> = {}) => ({
  metadata: { name, labels },
  spec: { terminationGracePeriodSeconds: 0, containers: [runs], ...spec },
})
const asking = (cpu: string) => ({ containers: [{ ...runs, resources: { requests: { cpu } } }] })
const nodeOf = async (c: SimCluster, name: string) => (await podOf(c, name)).spec.nodeName
const running = (c: SimCluster, name: string) => c.until(async () => isReady(await podOf(c, name)))
/** Pods by node. */
async function spread(c: SimCluster, selector: string): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const { spec } of await podsOf(c, selector)) counts[spec.nodeName ?? ''] = (counts[spec.nodeName ?? ''] ?? 0) + 1
  return counts
}
const change = (c: SimCluster, name: string, patch: object): Promise<Node> =>
  c.run(c.client.resource(nodes).patch(name, undefined, 'strategic', patch))
async function allReady(c: SimCluster, selector: string, count: number): Promise<void> {
  await c.until(async () => (await podsOf(c, selector)).filter(isReady).length === count)
}

test('S1: equal nodes are shared evenly, requests count and limits do not', async () => {
  const c = await start({ seed: 51, nodes: 3 })
  await create(c, deployments, deployment('web', 9))
  await allReady(c, 'app=web', 9)
  expect(await spread(c, 'app=web')).toEqual({ 'node-1': 3, 'node-2': 3, 'node-3': 3 })
  const resources = { requests: { cpu: '1m' }, limits: { cpu: '1000' } }
  await create(c, pods, pod('limits', { containers: [{ ...runs, resources }] }))
  await running(c, 'limits')
})

test('S2: nodeSelector and node affinity must both hold; a label that comes later frees the pod', async () => {
  const c = await start({ seed: 52, nodes: 2 })
  await change(c, 'node-1', { metadata: { labels: { disk: 'ssd' } } })
  const nodeAffinity = {
    requiredDuringSchedulingIgnoredDuringExecution: {
      nodeSelectorTerms: [{ matchExpressions: [{ key: 'cores', operator: 'Gt', values: ['4'] }] }],
    },
  }
  await create(c, pods, pod('both', { nodeSelector: { disk: 'ssd' }, affinity: { nodeAffinity } }))
  await c.advance(2000)
  expect(await nodeOf(c, 'both')).toBeUndefined()
  expect((await eventsOf(c, 'both'))[0]).toBe(
    "FailedScheduling: 0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.",
  )
  await change(c, 'node-1', { metadata: { labels: { cores: '8' } } })
  await running(c, 'both')
  expect(await nodeOf(c, 'both')).toBe('node-1')
})

test('S3: zones are kept level, and replicas that shun each other get a node each', async () => {
  const c = await start({ seed: 53, nodes: 4 })
  for (let i = 1; i <= 4; i++) await change(c, `node-${i}`, { metadata: { labels: { [zoneKey]: i <= 3 ? 'a' : 'b' } } })
  const labelSelector = { matchLabels: { app: 'level' } }
  const constraint = { maxSkew: 1, topologyKey: zoneKey, whenUnsatisfiable: 'DoNotSchedule', labelSelector }
  await create(c, deployments, deployment('level', 6, {}, { topologySpreadConstraints: [constraint] }))
  await allReady(c, 'app=level', 6)
  expect((await spread(c, 'app=level'))['node-4']).toBe(3)
  const podAntiAffinity = {
    requiredDuringSchedulingIgnoredDuringExecution: [
      { topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app: 'shy' } } },
    ],
  }
  await create(c, deployments, deployment('shy', 5, {}, { affinity: { podAntiAffinity } }))
  await allReady(c, 'app=shy', 4)
  const [left] = (await podsOf(c, 'app=shy')).filter(({ spec }) => !spec.nodeName)
  expect((await eventsOf(c, left?.metadata.name ?? ''))[0]).toContain("4 node(s) didn't match pod anti-affinity rules")
  await c.addMachine('node-5')
  await allReady(c, 'app=shy', 5)
  expect(await spread(c, 'app=shy')).toMatchObject({ 'node-5': 1 })
})

test('S4: taints keep pods away, throw them off, and are stood by those that tolerate them', async () => {
  const c = await start({ seed: 54, nodes: 2 })
  await create(c, pods, pod('leaves', { nodeName: 'node-1' }))
  const toleration = { key: 'burns', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 60 }
  await create(c, pods, pod('stands', { nodeName: 'node-1', tolerations: [toleration] }))
  await running(c, 'leaves')
  await running(c, 'stands')
  await change(c, 'node-1', { spec: { taints: [{ key: 'burns', effect: 'NoExecute' }] } })
  await c.until(async () => (await podsOf(c)).every(({ metadata }) => metadata.name !== 'leaves'))
  expect(isReady(await podOf(c, 'stands'))).toBe(true)
  await c.advance(65_000)
  expect((await podsOf(c)).map(({ metadata }) => metadata.name)).toEqual([])
  await change(c, 'node-2', { spec: { taints: [{ key: 'own', effect: 'NoSchedule' }] } })
  await create(c, pods, pod('stays-out'))
  await create(c, pods, pod('gets-in', { tolerations: [{ key: 'own', operator: 'Exists' }] }))
  await running(c, 'gets-in')
  expect(await nodeOf(c, 'gets-in')).toBe('node-2')
  expect((await eventsOf(c, 'stays-out'))[0]).toContain('2 node(s) had untolerated taint(s)')
})

test('S5: the important pod comes, the unimportant leaves in peace; budgets and polite pods are heard', async () => {
  const c = await start({ seed: 55, nodes: 1 })
  await create(c, priorityClasses, { metadata: { name: 'vip' }, value: 1000 })
  await create(c, priorityClasses, { metadata: { name: 'polite' }, value: 2000, preemptionPolicy: 'Never' })
  const cpu = (await c.run(c.client.resource(nodes).get('node-1'))).status.allocatable?.['cpu'] ?? '0'
  const large = asking(`${Number(cpu) * 0.6}`)
  await create(c, pods, pod('small', { ...large, terminationGracePeriodSeconds: 20 }))
  await running(c, 'small')
  await create(c, pods, pod('polite', { ...large, priorityClassName: 'polite' }))
  await c.advance(1000)
  expect((await eventsOf(c, 'polite'))[0]).toContain('preemption: not eligible due to preemptionPolicy=Never.')
  await c.run(c.client.resource(pods).delete('polite', 'default'))
  await create(c, pods, pod('vip', { ...large, priorityClassName: 'vip' }))
  await running(c, 'vip')
  expect(await eventsOf(c, 'small')).toContainEqual(
    expect.stringMatching(/^Preempted: Preempted by pod .* on node node-1$/),
  )
  expect((await podsOf(c)).map(({ metadata }) => metadata.name)).toEqual(['vip'])
})

test('S5: with two nodes the pod that no budget protects goes', async () => {
  const c = await start({ seed: 56, nodes: 2 })
  await create(c, priorityClasses, { metadata: { name: 'vip' }, value: 1000 })
  const cpu = (await c.run(c.client.resource(nodes).get('node-1'))).status.allocatable?.['cpu'] ?? '0'
  const large = { ...asking(`${Number(cpu) * 0.6}`), terminationGracePeriodSeconds: 5 }
  await create(c, pods, pod('guarded', large, { app: 'guarded' }))
  await running(c, 'guarded')
  await create(c, pods, pod('free', large))
  await running(c, 'free')
  await create(c, podDisruptionBudgets, {
    metadata: { name: 'guard' },
    spec: { minAvailable: 1, selector: { matchLabels: { app: 'guarded' } } },
  })
  await c.advance(5000)
  await create(c, pods, pod('vip', { ...large, priorityClassName: 'vip' }))
  await running(c, 'vip')
  expect((await podsOf(c)).map(({ metadata }) => metadata.name)).toEqual(['guarded', 'vip'])
})

test('S6: nothing is polled: a pod that waits costs one event until something that helps happens', async () => {
  const c = await start({ seed: 57, nodes: 1 })
  await create(c, pods, pod('waits', { nodeSelector: { rare: 'yes' } }))
  await create(c, deployments, deployment('noise', 2))
  await allReady(c, 'app=noise', 2)
  await c.advance(200_000)
  expect(await eventsOf(c, 'waits')).toHaveLength(1)
  const before = (await podOf(c, 'waits')).metadata.resourceVersion
  await c.advance(60_000)
  expect((await podOf(c, 'waits')).metadata.resourceVersion).toBe(before)
  await change(c, 'node-1', { metadata: { labels: { rare: 'yes' } } })
  await running(c, 'waits')
})

test('S7: gates hold a pod back, and a pod of an unknown scheduler is nobody’s', async () => {
  const c = await start({ seed: 58, nodes: 1 })
  await create(c, pods, pod('gated', { schedulingGates: [{ name: 'example.com/quota' }] }))
  await create(c, pods, pod('foreign', { schedulerName: 'another' }))
  await c.advance(30_000)
  expect((await podOf(c, 'gated')).status.conditions).toMatchObject([
    { type: 'PodScheduled', status: 'False', reason: 'SchedulingGated' },
  ])
  expect(await eventsOf(c, 'gated')).toEqual([])
  await c.run(
    c.client.resource(pods).patch('gated', 'default', 'json', [{ op: 'remove', path: '/spec/schedulingGates' }]),
  )
  await running(c, 'gated')
  const foreign = await podOf(c, 'foreign')
  expect([foreign.spec.nodeName, foreign.status.conditions ?? []]).toEqual([undefined, []])
})
