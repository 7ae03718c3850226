// A run is a function of its seed: everything that was written, byte for byte.
import { expect, test } from 'vitest'
import { deployments } from '../../src/api/apps/deployment.ts'
import { pods } from '../../src/api/core/pod.ts'
import { lineOfRecord } from '../../src/sim/sim-log.ts'
import { startSimCluster } from '../../src/sim/sim-cluster.ts'
import { create, deployment } from './harness.ts'

async function run(seed: number): Promise<{ journal: string; log: string }> {
  const cluster = await startSimCluster({ seed, nodes: 3 })
  const { random, world } = cluster.sim
  const luck = random.fork('crashes')
  world.image('fickle:1', () => ({ exit: { afterMs: luck.below(60_000), code: luck.below(2) } }))
  cluster.sim.faults.add({ port: 'runtime', operation: 'startContainer', probability: 0.2 })
  cluster.sim.faults.add({ port: 'api', operation: 'PUT', probability: 0.05, afterwards: true })
  await create(cluster, deployments, deployment('web', 5))
  await create(cluster, pods, {
    metadata: { name: 'fickle' },
    spec: { containers: [{ name: 'main', image: 'fickle:1' }] },
  })
  await cluster.advance(60_000)
  const scale = (replicas: number) =>
    cluster.run(cluster.client.resource(deployments).patch('web', 'default', 'merge', { spec: { replicas } }))
  await scale(8)
  await cluster.advance(30_000)
  cluster.partition('node-3')
  await cluster.advance(400_000)
  await scale(3)
  cluster.reconnect('node-3')
  await cluster.advance(120_000)
  await cluster.checkers.verify()
  const lines = cluster.journal?.lines ?? []
  const log = cluster.sim.log.records.map(lineOfRecord).join('\n')
  await cluster.stop()
  return { journal: lines.join('\n'), log }
}

test('the same seed twice gives the same journal and the same log; another seed gives another', async () => {
  const first = await run(42)
  const again = await run(42)
  const other = await run(43)
  expect(first.journal.length).toBeGreaterThan(100_000)
  expect(again.journal === first.journal, firstDifference(first.journal, again.journal)).toBe(true)
  expect(again.log === first.log, firstDifference(first.log, again.log)).toBe(true)
  expect(other.journal === first.journal).toBe(false)
})

function firstDifference(a: string, b: string): string {
  const [left, right] = [a.split('\n'), b.split('\n')]
  const at = left.findIndex((line, i) => line !== right[i])
  return at < 0 ? `${left.length} and ${right.length} lines` : `line ${at}:\n${left[at]}\n${right[at]}`
}
