// Preemption on the real API server: who leaves, who comes, and what everybody is told.
import { afterEach, expect, test } from 'vitest'
import { pods } from '../api/core/pod.ts'
import { podDisruptionBudgets } from '../api/policy/pod-disruption-budget.ts'
import { priorityClasses } from '../api/scheduling/priority-class.ts'
import { requesting, type SchedulerCluster, schedulerCluster } from './testing/cluster.ts'

let cluster: SchedulerCluster | undefined
afterEach(async () => {
  await cluster?.stop()
  cluster = undefined
})
async function start(): Promise<SchedulerCluster> {
  cluster = await schedulerCluster()
  for (const [name, value] of [
    ['low', 1],
    ['mid', 100],
    ['high', 1000],
  ] as const)
    await cluster.client.resource(priorityClasses).create({ metadata: { name }, value })
  await cluster.client
    .resource(priorityClasses)
    .create({ metadata: { name: 'polite' }, value: 1000, preemptionPolicy: 'Never' })
  return cluster
}
const prioritized =
  (priorityClassName: string, requests: Record<string, string>, more: { labels?: Record<string, string> } = {}) =>
  (pod: Parameters<ReturnType<typeof requesting>>[0]) => {
    requesting(requests)(pod)
    pod.spec.priorityClassName = priorityClassName
    pod.spec.terminationGracePeriodSeconds = 0
    pod.metadata.labels = more.labels ?? {}
  }

test('a pod of lower priority leaves, the pod is nominated and comes when there is room', async () => {
  const c = await start()
  await c.node('n1')
  await c.node('n2')
  await c.pod('a', prioritized('low', { cpu: '3' }))
  await c.pod('b', prioritized('mid', { cpu: '3' }))
  await c.advance()
  const victim = await c.get('a')
  await c.pod('vip', prioritized('high', { cpu: '3' }))
  await c.advance()
  const vip = await c.get('vip')
  const events = await c.eventsOf('a')
  expect(events.at(-1)).toBe(`Normal Preempted: Preempted by pod ${vip.metadata.uid} on node ${victim.spec.nodeName}`)
  await c.advance(1000)
  expect(await c.placements()).toMatchObject({ b: (await c.get('b')).spec.nodeName, vip: victim.spec.nodeName })
  expect((await c.eventsOf('vip'))[0]).toBe('Warning FailedScheduling: 0/2 nodes are available: 2 Insufficient cpu.')
})

test('a victim with a grace period is waited for; the promise is kept against others', async () => {
  const c = await start()
  await c.node('n1')
  await c.pod('a', (pod) => {
    prioritized('low', { cpu: '3' })(pod)
    pod.spec.terminationGracePeriodSeconds = 30
  })
  await c.advance()
  await c.pod('vip', prioritized('high', { cpu: '3' }))
  await c.advance()
  expect((await c.get('vip')).status.nominatedNodeName).toBe('n1')
  const leaving = await c.get('a')
  expect(leaving.metadata.deletionTimestamp).toBeDefined()
  expect(leaving.status.conditions).toContainEqual(
    expect.objectContaining({
      type: 'DisruptionTarget',
      status: 'True',
      reason: 'PreemptionByScheduler',
      message: 'default-scheduler: preempting to accommodate a higher priority pod',
    }),
  )
  await c.pod('opportunist', prioritized('mid', { cpu: '1500m' }))
  await c.client.resource(pods).delete('a', 'default', { gracePeriodSeconds: 0 })
  await c.advance(2000)
  expect(await c.placements()).toEqual({ vip: 'n1', opportunist: '' })
})

test('preemptionPolicy Never waits, and says so', async () => {
  const c = await start()
  await c.node('n1')
  await c.pod('a', prioritized('low', { cpu: '3' }))
  await c.advance()
  await c.pod('polite', prioritized('polite', { cpu: '3' }))
  await c.advance()
  expect(await c.eventsOf('polite')).toEqual([
    'Warning FailedScheduling: 0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never.',
  ])
  expect(await c.placements()).toEqual({ a: 'n1', polite: '' })
})

test('nobody to preempt, and nodes where it would not help, are told apart', async () => {
  const c = await start()
  await c.node('n1')
  await c.node('n2', (node) => {
    ;(node.spec as { unschedulable: boolean }).unschedulable = true
  })
  await c.pod('a', prioritized('high', { cpu: '3' }))
  await c.advance()
  await c.pod('b', prioritized('high', { cpu: '3' }))
  await c.advance()
  expect(await c.eventsOf('b')).toEqual([
    'Warning FailedScheduling: 0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable. preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling.',
  ])
})

test('a disruption budget is spared where another node will do', async () => {
  const c = await start()
  await c.node('n1')
  await c.pod('guarded', prioritized('low', { cpu: '3' }, { labels: { app: 'guarded' } }))
  await c.advance()
  await c.node('n2')
  await c.pod('free', prioritized('mid', { cpu: '3' }))
  await c.advance()
  const budgets = c.client.resource(podDisruptionBudgets)
  const budget = await budgets.create({
    metadata: { name: 'keep', namespace: 'default' },
    spec: { minAvailable: 1, selector: { matchLabels: { app: 'guarded' } } },
  })
  await budgets.updateStatus({
    ...budget,
    status: { disruptionsAllowed: 0, currentHealthy: 1, desiredHealthy: 1, expectedPods: 1 },
  })
  await c.pod('vip', prioritized('high', { cpu: '3' }))
  await c.advance(2000)
  expect(await c.placements()).toEqual({ guarded: 'n1', vip: 'n2' })
})
