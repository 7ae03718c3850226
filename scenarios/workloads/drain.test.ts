// W9: a node is drained by evictions; the budget holds at every step, and the pods go on elsewhere.
import { expect, test } from 'vitest'
import { deployments } from '../../src/api/apps/deployment.ts'
import { nodes } from '../../src/api/core/node.ts'
import { pods } from '../../src/api/core/pod.ts'
import { ApiError } from '../../src/api/machinery/errors.ts'
import { podDisruptionBudgets } from '../../src/api/policy/pod-disruption-budget.ts'
import { startSimCluster } from '../../src/sim/sim-cluster.ts'
import { create, deployment, isReady, podsOf } from '../sim/harness.ts'

test('drain evicts as fast as the budget allows and never faster', async () => {
  const cluster = await startSimCluster({ seed: 71, nodes: 3 })
  await create(cluster, deployments, deployment('web', 6))
  await create(cluster, podDisruptionBudgets, {
    metadata: { name: 'web' },
    spec: { minAvailable: 5, selector: { matchLabels: { app: 'web' } } },
  })
  const ready = async () => (await podsOf(cluster, 'app=web')).filter(isReady)
  await cluster.until(async () => (await ready()).length === 6)
  await cluster.until(
    async () =>
      (await cluster.client.resource(podDisruptionBudgets).get('web', 'default')).status.disruptionsAllowed === 1,
  )
  const informer = cluster.informers.informer(pods)
  let fewest = 6
  informer.handle({
    update: () => void (fewest = Math.min(fewest, [...informer.list()].filter(isReady).length)),
  })
  const node = cluster.client.resource(nodes)
  await cluster.run(node.patch('node-2', undefined, 'merge', { spec: { unschedulable: true } }))
  const here = async () => (await podsOf(cluster, 'app=web')).filter((pod) => pod.spec.nodeName === 'node-2')
  expect((await here()).length).toBeGreaterThan(1)
  let refused = 0
  await cluster.until(async () => {
    const left = (await here()).filter((pod) => pod.metadata.deletionTimestamp === undefined)
    for (const { metadata } of left)
      try {
        await cluster.client.resource(pods).post(metadata.name, 'default', 'eviction', {
          apiVersion: 'policy/v1',
          kind: 'Eviction',
          metadata: { name: metadata.name, namespace: 'default' },
        })
      } catch (error) {
        if (!(error instanceof ApiError && error.reason === 'TooManyRequests')) throw error
        refused++
      }
    return (await here()).length === 0
  })
  await cluster.until(async () => (await ready()).length === 6)
  expect(fewest).toBe(5)
  expect(refused).toBeGreaterThan(0)
  expect(new Set((await ready()).map((pod) => pod.spec.nodeName))).toEqual(new Set(['node-1', 'node-3']))
  await cluster.checkers.verify()
  await cluster.stop()
})
