#!/usr/bin/env node
// Cost of the pure scheduling cycle: place a pod, count it on its node, no API. Peer: the budget of 0.3 ms per pod.
// usage: sched-cycle.mjs [--nodes 5000] [--pods 10000] [--spread] [--existing 0] [--services 0]
import { build } from 'esbuild'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

const { values: a } = parseArgs({
  options: {
    nodes: { type: 'string', default: '5000' },
    pods: { type: 'string', default: '10000' },
    existing: { type: 'string', default: '0' },
    services: { type: 'string', default: '0' },
    spread: { type: 'boolean', default: false },
    hostname: { type: 'boolean', default: false },
  },
})
const dir = mkdtempSync(join(tmpdir(), 'sched-cycle-'))
const entry = `
export { ClusterState } from './src/scheduler/state/cluster-state.ts'
export { FrameworkRun } from './src/scheduler/framework-run.ts'
export { newCycle } from './src/scheduler/framework.ts'
export { buildProfile } from './src/scheduler/profiles.ts'
export { defaultPlugins } from './src/scheduler/plugins/all.ts'
export { Nominator } from './src/scheduler/queue/nominator.ts'
`
const outfile = join(dir, 'bundle.mjs')
await build({
  stdin: { contents: entry, resolveDir: join(import.meta.dirname, '..'), loader: 'ts' },
  bundle: true,
  format: 'esm',
  platform: 'node',
  outfile,
  logLevel: 'error',
})
const { ClusterState, FrameworkRun, newCycle, buildProfile, defaultPlugins, Nominator } = await import(outfile)
rmSync(dir, { recursive: true })

const state = new ClusterState()
const nominator = new Nominator()
const services = Array.from({ length: +a.services }, (_, i) => ({
  metadata: { name: `s${i}`, namespace: 'default' },
  spec: { selector: { app: i === 0 ? 'bench' : `other${i}` } },
}))
const informer = (items) => ({
  index: () => ({ get: () => items }),
  get: () => undefined,
  handle: () => () => {},
  list: () => items,
})
const informers = { informer: (kind) => informer(kind.plural === 'services' ? services : []) }
const noop = () => {}
const log = { debug: noop, info: noop, warn: noop, error: noop, child: () => log }
const client = { resource: () => ({}) }
const random = { float: Math.random }
const handle = { state, nominator, informers, client, log, random, schedulerName: 'default-scheduler' }
const points = buildProfile({ schedulerName: 'default-scheduler' }, defaultPlugins, [], handle)
const run = new FrameworkRun({ points, state, nominator, random, percentageOfNodesToScore: 0 })

for (let i = 0; i < +a.nodes; i++) {
  const name = `n${i}`
  state.setNode({
    metadata: {
      name,
      labels: { sim: 'x', 'topology.kubernetes.io/zone': `z${i % 5}`, 'kubernetes.io/hostname': name },
    },
    spec: {},
    status: { allocatable: { cpu: '32', memory: '64Gi', pods: '110' } },
  })
}
const extra = a.spread
  ? {
      topologySpreadConstraints: [
        {
          maxSkew: 5,
          topologyKey: a.hostname ? 'kubernetes.io/hostname' : 'topology.kubernetes.io/zone',
          whenUnsatisfiable: 'DoNotSchedule',
          labelSelector: { matchLabels: { app: 'bench' } },
        },
      ],
      affinity: {
        podAntiAffinity: {
          preferredDuringSchedulingIgnoredDuringExecution: [
            {
              weight: 100,
              podAffinityTerm: {
                topologyKey: 'kubernetes.io/hostname',
                labelSelector: { matchLabels: { app: 'bench' } },
              },
            },
          ],
        },
      },
    }
  : {}
const podOf = (i, app = 'bench') =>
  JSON.parse(
    JSON.stringify({
      metadata: { name: `p${i}`, namespace: 'default', uid: `u${app}${i}`, labels: { app } },
      spec: {
        ...extra,
        schedulerName: 'default-scheduler',
        nodeSelector: { sim: 'x' },
        tolerations: [
          { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 },
          { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 },
        ],
        containers: [{ name: 'c', image: 'x', resources: { requests: { cpu: '100m', memory: '100Mi' } } }],
      },
      status: {},
    }),
  )
for (let i = 0; i < +a.existing; i++) state.addPod(state.parse(podOf(i, `old${i % 100}`)), `n${i % +a.nodes}`)

const pods = Array.from({ length: +a.pods }, (_, i) => podOf(i))
let placed = 0
const costs = []
const cpu0 = process.cpuUsage()
const t0 = performance.now()
for (const pod of pods) {
  const started = performance.now()
  const info = state.parse(pod)
  const { node } = run.place(newCycle(info, state))
  if (node !== undefined) {
    state.addPod(info, node.name, true)
    placed++
  }
  costs.push(performance.now() - started)
}
const ms = performance.now() - t0
const cpu = process.cpuUsage(cpu0)
costs.sort((x, y) => x - y)
const us = (v) => `${(v * 1000).toFixed(1)}us`
console.log(
  `nodes=${a.nodes} pods=${a.pods} existing=${a.existing} spread=${a.spread} placed=${placed} cpu=${us((cpu.user + cpu.system) / 1000 / pods.length)} mean=${us(ms / pods.length)}`,
  `p50=${us(costs[costs.length >> 1])} p99=${us(costs[Math.floor(costs.length * 0.99)])} max=${us(costs.at(-1))}`,
)
