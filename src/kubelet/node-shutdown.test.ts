import { describe, expect, it } from 'vitest'
import { nodes } from '../api/core/node.ts'
import { phaseOf, shutdownPhases } from './node-shutdown.ts'
import { testNode } from './testing/test-node.ts'

const none = { shutdownGraceSeconds: 0, shutdownGraceCriticalSeconds: 0, shutdownGraceByPriority: [] }
describe('phases of a shutdown', () => {
  it('are two with a grace for critical pods, none without any grace', () => {
    expect(shutdownPhases(none)).toEqual([])
    const phases = shutdownPhases({ ...none, shutdownGraceSeconds: 30, shutdownGraceCriticalSeconds: 10 })
    expect(phases.map((p) => p.graceSeconds)).toEqual([20, 10])
    expect([-5, 0, 1000, 2_000_000_000].map((priority) => phaseOf(phases, priority))).toEqual([0, 0, 0, 1])
  })
  it('are as many as there are priorities', () => {
    const byPriority = [100_000, 0, 10_000].map((priority) => ({ priority, graceSeconds: priority / 1000 }))
    const phases = shutdownPhases({ ...none, shutdownGraceByPriority: byPriority })
    expect(phases.map((p) => p.graceSeconds)).toEqual([0, 10, 100])
    expect([-1, 9_999, 10_000, 1e9].map((priority) => phaseOf(phases, priority))).toEqual([0, 0, 1, 2])
  })
})

it('a node that goes down takes no more pods, and ends ordinary ones before critical ones', async () => {
  const node = await testNode({ shutdownGraceSeconds: 30, shutdownGraceCriticalSeconds: 10 })
  const containers = (name: string) => ({ containers: [{ name, image: 'img:1' }] })
  await node.create('plain', { ...containers('plain'), terminationGracePeriodSeconds: 60 })
  await node.create('critical', { ...containers('critical'), priorityClassName: 'system-node-critical' })
  await node.advance(100)
  for (const name of ['plain', 'critical']) node.runtime.stubborn.add(name)
  const down = node.kubelet.shutdown()
  await node.advance(100)
  expect(
    (await node.client.resource(nodes).get('n1')).status.conditions?.find((c) => c.type === 'Ready'),
  ).toMatchObject({
    status: 'False',
    message: 'node is shutting down',
  })
  await node.create('late', containers('late'))
  await node.advance(100)
  expect((await node.pod('late')).status).toMatchObject({ phase: 'Failed', reason: 'NodeShutdown' })
  expect(node.runtime.calls.filter((call) => call.startsWith('stop '))).toEqual(['stop plain 20'])
  await node.advance(20_000)
  expect(node.runtime.running()).toEqual(['critical'])
  expect((await node.pod('plain')).status).toMatchObject({
    phase: 'Failed',
    reason: 'Terminated',
    message: 'Pod was terminated in response to imminent node shutdown.',
  })
  await node.advance(11_000)
  await down
  expect(node.runtime.running()).toEqual([])
  await node.stop()
})
