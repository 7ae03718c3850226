// The whole scheduler against the real API server in memory.
import { afterEach, expect, test } from 'vitest'
import { pods } from '../api/core/pod.ts'
import { requesting, type SchedulerCluster, schedulerCluster } from './testing/cluster.ts'

let cluster: SchedulerCluster | undefined
afterEach(async () => {
  await cluster?.stop()
  cluster = undefined
})
const start = async (...args: Parameters<typeof schedulerCluster>) => (cluster = await schedulerCluster(...args))

test('a pod is bound, and its condition and event say so', async () => {
  const c = await start()
  await c.node('n1')
  await c.pod('web', requesting({ cpu: '100m' }))
  await c.advance()
  const pod = await c.get('web')
  expect(pod.spec.nodeName).toBe('n1')
  expect(pod.status.conditions).toMatchObject([{ type: 'PodScheduled', status: 'True' }])
  expect(await c.eventsOf('web')).toEqual(['Normal Scheduled: Successfully assigned default/web to n1'])
})

test('equal nodes share the pods', async () => {
  const c = await start()
  for (const name of ['n1', 'n2', 'n3']) await c.node(name)
  for (let i = 0; i < 9; i++) await c.pod(`p${i}`, requesting({ cpu: '500m', memory: '512Mi' }))
  await c.advance()
  const nodes = Object.values(await c.placements()).sort()
  expect(nodes).toEqual(['n1', 'n1', 'n1', 'n2', 'n2', 'n2', 'n3', 'n3', 'n3'])
})

test('says why no node will do, once, and tries again when room is made', async () => {
  const c = await start()
  await c.node('n1')
  await c.node('n2', (node) => {
    ;(node.spec as { taints: unknown }).taints = [{ key: 'own', value: 'x', effect: 'NoSchedule' }]
  })
  await c.node('n3', (node) => {
    ;(node.spec as { unschedulable: boolean }).unschedulable = true
  })
  await c.pod('first', requesting({ cpu: '3' }))
  await c.advance()
  await c.pod('second', requesting({ cpu: '2' }))
  await c.advance()
  const message =
    '0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable.'
  expect((await c.get('second')).status.conditions).toMatchObject([
    { type: 'PodScheduled', status: 'False', reason: 'Unschedulable' },
  ])
  const [event] = await c.eventsOf('second')
  expect(event).toContain(`Warning FailedScheduling: ${message}`)
  await c.advance(20_000)
  expect(await c.eventsOf('second')).toHaveLength(1)
  await c.client.resource(pods).delete('first', 'default', { gracePeriodSeconds: 0 })
  await c.advance()
  expect((await c.get('second')).spec.nodeName).toBe('n1')
})

test('without nodes the pod waits for one', async () => {
  const c = await start()
  await c.pod('early')
  await c.advance()
  expect((await c.get('early')).status.conditions).toMatchObject([
    { reason: 'Unschedulable', message: 'no nodes available to schedule pods' },
  ])
  await c.node('n1')
  await c.advance(1000)
  expect((await c.get('early')).spec.nodeName).toBe('n1')
})

test('scheduling gates hold a pod back without an event', async () => {
  const c = await start()
  await c.node('n1')
  await c.pod('gated', (pod) => {
    pod.spec.schedulingGates = [{ name: 'example.com/wait' }]
  })
  await c.advance(5000)
  expect(await c.eventsOf('gated')).toEqual([])
  expect(c.scheduler.figures()).toMatchObject({ gated: 1 })
  await c.client.resource(pods).patch('gated', 'default', 'json', [{ op: 'remove', path: '/spec/schedulingGates' }])
  await c.advance()
  expect((await c.get('gated')).spec.nodeName).toBe('n1')
})

test('a pod of another scheduler is left alone', async () => {
  const c = await start({ profiles: [{ schedulerName: 'default-scheduler' }, { schedulerName: 'second' }] })
  await c.node('n1')
  for (const schedulerName of ['default-scheduler', 'second', 'third'])
    await c.pod(schedulerName, (pod) => {
      pod.spec.schedulerName = schedulerName
    })
  await c.advance()
  expect(await c.placements()).toEqual({ 'default-scheduler': 'n1', second: 'n1', third: '' })
})

test('higher priority goes first', async () => {
  const c = await start()
  await c.pod('low', requesting({ cpu: '3' }))
  await c.pod('high', (pod) => {
    requesting({ cpu: '3' })(pod)
    pod.spec.priorityClassName = 'system-cluster-critical'
    pod.spec.priority = 2_000_000_000
  })
  await c.advance()
  await c.node('n1')
  await c.advance(2000)
  expect(await c.placements()).toEqual({ low: '', high: 'n1' })
})
