#!/usr/bin/env node
// A Deployment on simulated nodes, agents included, in one process on virtual time: what it costs to roll it out, in processor
// time and in writes to the store (pods, bindings, statuses, events and everything else).
// usage: npm run build && node bench/rollout.mjs [--pods 1000] [--nodes 20]
import { parseArgs } from 'node:util'
import { deployments, startSimCluster } from '../dist/index.js'

const { values: a } = parseArgs({
  options: { pods: { type: 'string', default: '1000' }, nodes: { type: 'string', default: '20' } },
})
const replicas = Number(a.pods)
const sim = await startSimCluster({ nodes: Number(a.nodes), journal: false })
const client = sim.client.resource(deployments)
const revision = async () => Number((await sim.run(client.list())).resourceVersion)
const before = await revision()
const [cpu, wall, virtual] = [process.cpuUsage(), performance.now(), sim.sim.clock.monotonic()]
const template = { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'main', image: 'server:1' }] } }
const spec = { replicas, selector: { matchLabels: { app: 'web' } }, template }
await sim.run(client.create({ metadata: { name: 'web', namespace: 'default' }, spec }))
await sim.until(async () => (await client.get('web', 'default')).status.availableReplicas === replicas)
const { user, system } = process.cpuUsage(cpu)
const writes = (await revision()) - before
console.log(
  `pods=${replicas} nodes=${a.nodes} wall=${((performance.now() - wall) / 1000).toFixed(1)}s`,
  `cpu=${((user + system) / 1e6).toFixed(1)}s virtual=${((sim.sim.clock.monotonic() - virtual) / 1000).toFixed(1)}s`,
  `writes_per_pod=${(writes / replicas).toFixed(2)}`,
)
process.exit(0)
