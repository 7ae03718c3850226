// W3 on three simulated nodes: a rollout keeps its bounds, a bad one stops, an undone one returns.
import { expect, test } from 'vitest'
import { deployments } from '../../src/api/apps/deployment.ts'
import { replicaSets } from '../../src/api/apps/replica-set.ts'
import { pods } from '../../src/api/core/pod.ts'
import { type SimCluster, startSimCluster } from '../../src/sim/sim-cluster.ts'
import { create, deployment, isReady, podsOf } from './harness.ts'

const setImage = (cluster: SimCluster, image: string) =>
  cluster.run(
    cluster.client.resource(deployments).patch('web', 'default', 'strategic', {
      spec: { template: { spec: { containers: [{ name: 'main', image }] } } },
    }),
  )
const rolledOut = (cluster: SimCluster, replicas: number) =>
  cluster.until(async () => {
    const { metadata, status } = await cluster.client.resource(deployments).get('web', 'default')
    return (
      status.observedGeneration === metadata.generation &&
      status.updatedReplicas === replicas &&
      status.availableReplicas === replicas &&
      status.replicas === replicas
    )
  })

test('a rolling update never leaves its bounds and ends with the new pods alone', async () => {
  const cluster = await startSimCluster({ seed: 11, nodes: 3 })
  const strategy = { type: 'RollingUpdate', rollingUpdate: { maxSurge: 2, maxUnavailable: 1 } }
  await create(cluster, deployments, deployment('web', 10, { strategy }))
  await rolledOut(cluster, 10)
  const informer = cluster.informers.informer(pods)
  await cluster.run(informer.synced)
  const bounds = { fewestReady: 10, mostPods: 0 }
  const look = cluster.sim.clock.onStep
  cluster.sim.clock.onStep = () => {
    look?.()
    const web = [...informer.list()].filter((pod) => pod.metadata.labels?.['app'] === 'web')
    const alive = web.filter((pod) => pod.metadata.deletionTimestamp === undefined)
    bounds.fewestReady = Math.min(bounds.fewestReady, alive.filter(isReady).length)
    bounds.mostPods = Math.max(bounds.mostPods, alive.length)
  }
  await setImage(cluster, 'server:2')
  await rolledOut(cluster, 10)
  expect(bounds.fewestReady).toBeGreaterThanOrEqual(9)
  expect(bounds.mostPods).toBeLessThanOrEqual(12)
  await cluster.advance(60_000)
  const now = await podsOf(cluster, 'app=web')
  expect(now).toHaveLength(10)
  expect(new Set(now.map((pod) => pod.spec.containers[0]?.image))).toEqual(new Set(['server:2']))
  expect(new Set(now.map((pod) => pod.spec.nodeName)).size).toBe(3)
  await cluster.checkers.verify()
  await cluster.stop()
})

test('an image that cannot be pulled stops the rollout; the old image brings it back', async () => {
  const cluster = await startSimCluster({ seed: 12, nodes: 2 })
  cluster.sim.world.image('server:bad', { pullError: { kind: 'not-found', message: 'not found' } })
  await create(cluster, deployments, deployment('web', 4, { progressDeadlineSeconds: 120 }))
  await rolledOut(cluster, 4)
  await setImage(cluster, 'server:bad')
  await cluster.advance(180_000)
  const stuck = await cluster.client.resource(deployments).get('web', 'default')
  expect(stuck.status.availableReplicas).toBe(3)
  expect(stuck.status.conditions?.find((c) => c.type === 'Progressing')).toMatchObject({
    status: 'False',
    reason: 'ProgressDeadlineExceeded',
  })
  const waiting = (await podsOf(cluster, 'app=web')).map(
    (pod) => pod.status.containerStatuses?.[0]?.state?.waiting?.reason,
  )
  expect(waiting.filter((reason) => reason === 'ImagePullBackOff' || reason === 'ErrImagePull')).toHaveLength(2)
  await setImage(cluster, 'server:1')
  await rolledOut(cluster, 4)
  const sets = (await cluster.client.resource(replicaSets).list({ namespace: 'default' })).items
  expect(sets.map((set) => set.spec.replicas).sort((a, b) => a - b)).toEqual([0, 4])
  await cluster.checkers.verify()
  await cluster.stop()
})
