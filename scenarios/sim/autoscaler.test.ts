// A HorizontalPodAutoscaler over the metrics that simulated nodes report: up when pods are busy, down when they no longer are.
import { afterEach, expect, test } from 'vitest'
import { deployments } from '../../src/api/apps/deployment.ts'
import { horizontalPodAutoscalers } from '../../src/api/autoscaling/horizontal-pod-autoscaler.ts'
import { type SimCluster, startSimCluster } from '../../src/sim/sim-cluster.ts'
import { create, deployment, eventsOf, runs } from './harness.ts'

let cluster: SimCluster | undefined
afterEach(() => cluster?.stop())

test('W8: follows the CPU that its pods use', async () => {
  const load = { cpuMillicores: 90 }
  cluster = await startSimCluster({ journal: false })
  const sim = cluster
  sim.sim.world.image('server:1', () => ({ usage: load }))
  const container = { ...runs, resources: { requests: { cpu: '100m' } } }
  await create(sim, deployments, deployment('web', 2, {}, { containers: [container] }))
  await create(sim, horizontalPodAutoscalers, {
    metadata: { name: 'web' },
    spec: {
      scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' },
      maxReplicas: 4,
      behavior: { scaleDown: { stabilizationWindowSeconds: 60 } },
      metrics: [
        { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 50 } } },
      ],
    },
  })
  const size = async () => (await sim.client.resource(deployments).get('web', 'default')).status.readyReplicas
  await sim.until(async () => (await size()) === 4)
  expect((await eventsOf(sim, 'web')).join('\n')).toContain(
    'New size: 4; reason: cpu resource utilization (percentage of request) above target',
  )
  // a lull that is shorter than the window changes nothing
  load.cpuMillicores = 10
  await sim.advance(40_000)
  load.cpuMillicores = 90
  await sim.advance(120_000)
  expect(await size()).toBe(4)
  const lullMs = sim.sim.clock.now()
  load.cpuMillicores = 10
  await sim.until(async () => (await size()) === 1)
  // the window begins with the last look at busy pods, which may lie 15 s back
  expect(sim.sim.clock.now() - lullMs).toBeGreaterThanOrEqual(45_000)
  const { status } = await sim.run(sim.client.resource(horizontalPodAutoscalers).get('web', 'default'))
  expect(status.conditions?.map(({ type, status: is }) => `${type} ${is}`)).toEqual([
    'AbleToScale True',
    'ScalingActive True',
    expect.stringContaining('ScalingLimited'),
  ])
})
