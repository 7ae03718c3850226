// A8: a node that is cut off, or dies, and comes back.
import { expect, test } from 'vitest'
import { deployments } from '../../src/api/apps/deployment.ts'
import { nodes } from '../../src/api/core/node.ts'
import { type SimCluster, startSimCluster } from '../../src/sim/sim-cluster.ts'
import { create, deployment, isReady, podsOf } from './harness.ts'

const readyStatus = async (cluster: SimCluster, name: string) => {
  const node = await cluster.client.resource(nodes).get(name)
  return node.status.conditions?.find((c) => c.type === 'Ready')?.status
}
const readyOn = async (cluster: SimCluster) => (await podsOf(cluster, 'app=web')).filter(isReady)

test('a partitioned node is NotReady after 40 s, its pods are replaced after their toleration, and go when it returns', async () => {
  const cluster = await startSimCluster({ seed: 21, nodes: 3 })
  await create(cluster, deployments, deployment('web', 6))
  await cluster.until(async () => (await readyOn(cluster)).length === 6)
  const lost = (await podsOf(cluster, 'app=web')).filter((pod) => pod.spec.nodeName === 'node-2')
  expect(lost.length).toBeGreaterThan(0)

  cluster.partition('node-2')
  await cluster.advance(30_000)
  expect(await readyStatus(cluster, 'node-2')).toBe('True')
  await cluster.advance(30_000)
  expect(await readyStatus(cluster, 'node-2')).toBe('Unknown')
  const tainted = await cluster.client.resource(nodes).get('node-2')
  expect(tainted.spec.taints?.map((t) => `${t.key}:${t.effect}`).sort()).toEqual([
    'node.kubernetes.io/unreachable:NoExecute',
    'node.kubernetes.io/unreachable:NoSchedule',
  ])
  const still = await podsOf(cluster, 'app=web')
  expect(still.filter((pod) => pod.metadata.deletionTimestamp !== undefined)).toEqual([])
  expect(still.filter(isReady)).toHaveLength(6 - lost.length)

  await cluster.advance(330_000)
  const replaced = await readyOn(cluster)
  expect(replaced).toHaveLength(6)
  expect(new Set(replaced.map((pod) => pod.spec.nodeName))).toEqual(new Set(['node-1', 'node-3']))
  const terminating = (await podsOf(cluster, 'app=web')).filter((pod) => pod.metadata.deletionTimestamp !== undefined)
  expect(terminating.map((pod) => pod.metadata.name)).toEqual(lost.map((pod) => pod.metadata.name))
  expect(cluster.machines.get('node-2')?.runtime.running()).toHaveLength(lost.length)

  cluster.reconnect('node-2')
  await cluster.until(async () => (await readyStatus(cluster, 'node-2')) === 'True')
  await cluster.until(async () => (await podsOf(cluster, 'app=web')).length === 6)
  expect(cluster.machines.get('node-2')?.runtime.running()).toEqual([])
  await cluster.checkers.verify()
  await cluster.stop()
})

test('a machine that reboots quickly runs its pods again, on the same node', async () => {
  const cluster = await startSimCluster({ seed: 22, nodes: 2 })
  await create(cluster, deployments, deployment('web', 4))
  await cluster.until(async () => (await readyOn(cluster)).length === 4)
  const before = (await podsOf(cluster, 'app=web')).map((pod) => pod.metadata.uid)
  await cluster.powerOff('node-1')
  await cluster.advance(20_000)
  await cluster.powerOn('node-1')
  await cluster.until(async () => (await readyOn(cluster)).length === 4)
  const after = await podsOf(cluster, 'app=web')
  expect(after.map((pod) => pod.metadata.uid)).toEqual(before)
  const restarted = after.filter((pod) => pod.spec.nodeName === 'node-1')
  expect(restarted.length).toBeGreaterThan(0)
  for (const pod of restarted) expect(pod.status.containerStatuses?.[0]?.restartCount).toBe(1)
  await cluster.checkers.verify()
  await cluster.stop()
})
