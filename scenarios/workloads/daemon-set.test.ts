// W5: one pod on each node that fits, also on nodes that come, are cordoned or drained; updates within bounds.
import { expect, test } from 'vitest'
import { daemonSets } from '../../src/api/apps/daemon-set.ts'
import { nodes } from '../../src/api/core/node.ts'
import { pods } from '../../src/api/core/pod.ts'
import { type SimCluster, startSimCluster } from '../../src/sim/sim-cluster.ts'
import { create, isReady, podsOf, runs } from '../sim/harness.ts'

const set = (spec: object = {}, podSpec: object = {}) => ({
  metadata: { name: 'agent' },
  spec: {
    selector: { matchLabels: { app: 'agent' } },
    template: { metadata: { labels: { app: 'agent' } }, spec: { containers: [runs], ...podSpec } },
    ...spec,
  },
})
const readyOn = async (cluster: SimCluster) =>
  (await podsOf(cluster, 'app=agent'))
    .filter(isReady)
    .map((pod) => pod.spec.nodeName ?? '')
    .sort()
const readyNodes = (cluster: SimCluster, ...names: string[]) =>
  cluster.until(async () => (await readyOn(cluster)).join() === names.join())

test('follows nodes that join and leave, and runs on a cordoned one', async () => {
  const cluster = await startSimCluster({ seed: 51, nodes: 2 })
  await create(cluster, daemonSets, set())
  await readyNodes(cluster, 'node-1', 'node-2')
  await cluster.run(
    cluster.client.resource(nodes).patch('node-1', undefined, 'merge', { spec: { unschedulable: true } }),
  )
  const [first] = await podsOf(cluster, 'app=agent')
  await cluster.run(cluster.client.resource(pods).delete(first?.metadata.name ?? '', 'default'))
  await cluster.addMachine('node-3')
  await readyNodes(cluster, 'node-1', 'node-2', 'node-3')
  await cluster.powerOff('node-3')
  await cluster.run(cluster.client.resource(nodes).delete('node-3'))
  await cluster.advance(120_000)
  expect(await readyOn(cluster)).toEqual(['node-1', 'node-2'])
  expect(await podsOf(cluster, 'app=agent')).toHaveLength(2)
  await cluster.checkers.verify()
  await cluster.stop()
})

test('an update takes one node at a time, and one that fails stops it there', async () => {
  const cluster = await startSimCluster({ seed: 52, nodes: 4 })
  cluster.sim.world.image('server:bad', { pullError: { kind: 'not-found', message: 'not found' } })
  await create(cluster, daemonSets, set())
  await readyNodes(cluster, 'node-1', 'node-2', 'node-3', 'node-4')
  const informer = cluster.informers.informer(pods)
  let fewest = 4
  informer.handle({
    update: () => {
      const ready = [...informer.list()].filter((pod) => pod.metadata.labels?.['app'] === 'agent' && isReady(pod))
      fewest = Math.min(fewest, ready.length)
    },
  })
  const setImage = (image: string) =>
    cluster.run(
      cluster.client.resource(daemonSets).patch('agent', 'default', 'strategic', {
        spec: { template: { spec: { containers: [{ name: 'main', image }] } } },
      }),
    )
  const images = async () =>
    (await podsOf(cluster, 'app=agent')).map((pod) => pod.spec.containers[0]?.image ?? '').sort()
  await setImage('server:2')
  await cluster.until(
    async () => (await images()).every((image) => image === 'server:2') && (await readyOn(cluster)).length === 4,
  )
  expect(fewest).toBe(3)
  await setImage('server:bad')
  await cluster.advance(300_000)
  expect(await images()).toEqual(['server:2', 'server:2', 'server:2', 'server:bad'])
  await setImage('server:3')
  await cluster.until(
    async () => (await images()).every((image) => image === 'server:3') && (await readyOn(cluster)).length === 4,
  )
  expect(fewest).toBe(3)
  await cluster.checkers.verify()
  await cluster.stop()
})
