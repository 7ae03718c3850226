// Random histories with faults: whatever was done and whatever broke, once all is mended the cluster ends where it was
// asked to be, and no checker has seen what must never happen. A seed that fails is a test case: add it to `knownSeeds`.
import { expect, test } from 'vitest'
import { daemonSets } from '../../src/api/apps/daemon-set.ts'
import { deployments } from '../../src/api/apps/deployment.ts'
import { statefulSets } from '../../src/api/apps/stateful-set.ts'
import { nodes } from '../../src/api/core/node.ts'
import { pods } from '../../src/api/core/pod.ts'
import { ApiError } from '../../src/api/machinery/errors.ts'
import type { SeededRandom } from '../../src/sim/seeded-random.ts'
import { type SimCluster, startSimCluster } from '../../src/sim/sim-cluster.ts'
import { create, deployment, isReady, podsOf } from './harness.ts'

const knownSeeds: readonly number[] = []
const count = Number(process.env['SIM_SEEDS'] ?? 12)
const first = Number(process.env['SIM_FIRST_SEED'] ?? 1000)
const seeds = [...knownSeeds, ...Array.from({ length: count }, (_, i) => first + i)]

const names = ['a', 'b', 'c'] as const
const nodeNames = ['node-1', 'node-2', 'node-3'] as const
const kinds = { deployment: deployments, statefulSet: statefulSets, daemonSet: daemonSets } as const
type Workload = keyof typeof kinds

/** What the user wants, by "kind/name". */
type Wishes = Map<string, { readonly kind: Workload; readonly name: string; replicas: number; image: string }>

async function act(cluster: SimCluster, random: SeededRandom, wishes: Wishes): Promise<string> {
  const { sim } = cluster
  const kind = (['deployment', 'deployment', 'statefulSet', 'daemonSet'] as const)[random.below(4)] ?? 'deployment'
  const name = `${kind.toLowerCase()}-${names[random.below(names.length)]}`
  const node = nodeNames[random.below(nodeNames.length)] ?? 'node-1'
  const wish = wishes.get(name)
  const resource = cluster.client.resource(kinds[kind] as typeof deployments)
  switch (random.below(9)) {
    case 0:
    case 1:
    case 2: {
      if (wish !== undefined) return 'nothing'
      const replicas = random.below(5)
      const spec = kind === 'statefulSet' ? { serviceName: name } : {}
      const manifest = deployment(name, replicas, spec) as { spec: { replicas?: number } }
      if (kind === 'daemonSet') delete manifest.spec.replicas
      await create(cluster, kinds[kind] as typeof deployments, manifest)
      wishes.set(name, { kind, name, replicas, image: 'server:1' })
      return `create ${name} ${replicas}`
    }
    case 3: {
      if (wish === undefined || kind === 'daemonSet') return 'nothing'
      wish.replicas = random.below(6)
      await cluster.run(resource.patch(name, 'default', 'merge', { spec: { replicas: wish.replicas } }))
      return `scale ${name} ${wish.replicas}`
    }
    case 4: {
      if (wish === undefined) return 'nothing'
      wish.image = `server:${1 + random.below(4)}`
      const containers = [{ name: 'main', image: wish.image }]
      await cluster.run(resource.patch(name, 'default', 'strategic', { spec: { template: { spec: { containers } } } }))
      return `image ${name} ${wish.image}`
    }
    case 5: {
      if (wish === undefined) return 'nothing'
      wishes.delete(name)
      await cluster.run(resource.delete(name, 'default'))
      return `delete ${name}`
    }
    case 6: {
      const all = await podsOf(cluster)
      const pod = all[random.below(Math.max(1, all.length))]
      if (pod === undefined) return 'nothing'
      try {
        await cluster.run(cluster.client.resource(pods).delete(pod.metadata.name, 'default'))
      } catch (error) {
        if (!(error instanceof ApiError && error.reason === 'NotFound')) throw error
      }
      return `delete pod ${pod.metadata.name}`
    }
    case 7:
      if (random.below(2) === 0) cluster.partition(node)
      else cluster.reconnect(node)
      return `link ${node}`
    default: {
      const port = (['runtime', 'api', 'disk'] as const)[random.below(3)] ?? 'runtime'
      const times = 1 + random.below(20)
      sim.faults.add({ port, node, probability: 0.3, times, afterwards: random.below(2) === 0 })
      return `${times} faults in ${port} of ${node}`
    }
  }
}

async function settled(cluster: SimCluster, wishes: Wishes): Promise<string | undefined> {
  const all = await podsOf(cluster)
  const going = all.find((pod) => pod.metadata.deletionTimestamp !== undefined)
  if (going !== undefined) return `${going.metadata.name} is still terminating`
  const ready = (await cluster.run(cluster.client.resource(nodes).list())).items.filter((node) =>
    node.status.conditions?.some((c) => c.type === 'Ready' && c.status === 'True'),
  )
  if (ready.length !== nodeNames.length) return `${ready.length} nodes are ready`
  for (const { name, kind, replicas, image } of wishes.values()) {
    const mine = all.filter((pod) => pod.metadata.labels?.['app'] === name)
    const wanted = kind === 'daemonSet' ? nodeNames.length : replicas
    const good = mine.filter((pod) => isReady(pod) && pod.spec.containers[0]?.image === image)
    if (mine.length !== wanted || good.length !== wanted)
      return `${name}: ${mine.length} pods, ${good.length} as wished, of ${wanted}`
  }
  const owned = new Set([...wishes.values()].map((wish) => wish.name))
  const stray = all.find((pod) => !owned.has(pod.metadata.labels?.['app'] ?? ''))
  return stray === undefined ? undefined : `${stray.metadata.name} has lost its owner`
}

test.for(seeds)('seed %i ends where it was asked to be', async (seed) => {
  const cluster = await startSimCluster({ seed, nodes: nodeNames.length, journal: false })
  const random = cluster.sim.random.fork('history')
  const wishes: Wishes = new Map()
  const history: string[] = []
  for (let step = 0; step < 40; step++) {
    history.push(`${(cluster.sim.clock.monotonic() / 1000).toFixed(1)} ${await act(cluster, random, wishes)}`)
    await cluster.advance(random.below(4) === 0 ? random.below(120_000) : random.below(3000))
  }
  cluster.sim.faults.clear()
  for (const name of nodeNames) cluster.reconnect(name)
  let missing: string | undefined
  for (let round = 0; round < 60; round++) {
    await cluster.advance(30_000)
    missing = await settled(cluster, wishes)
    if (missing === undefined) break
  }
  expect(missing, `${history.join('\n')}\n${missing}`).toBeUndefined()
  await cluster.checkers.verify()
  const running = [...cluster.machines.values()].flatMap((machine) => machine.runtime.running())
  expect(running).toHaveLength((await podsOf(cluster)).length)
  await cluster.stop()
})
