// P10 on simulated containers.
import { expect, test } from 'vitest'
import { pods } from '../../src/api/core/pod.ts'
import { exits } from '../../src/sim/script.ts'
import { startSimCluster } from '../../src/sim/sim-cluster.ts'
import { ending, restartTable } from '../restart-table.ts'
import { create, podOf } from './harness.ts'

const runMs = 5000
const scripts = {
  success: exits(0, runMs),
  failure: exits(1, runMs),
  oom: { exit: { afterMs: runMs, code: 137, oom: true } },
  none: {},
} as const

test.for(restartTable)('$policy with $containers: $phase, restarts $restarts', async (row) => {
  const cluster = await startSimCluster({ seed: 3 })
  for (const outcome of ['success', 'failure', 'oom', 'none'] as const)
    cluster.sim.world.image(`${outcome}:1`, { script: () => scripts[outcome], pullMs: 0 })
  await create(cluster, pods, {
    metadata: { name: 'row' },
    spec: {
      restartPolicy: row.policy,
      containers: row.containers.map((outcome, i) => ({ name: `c${i}`, image: `${outcome}:1` })),
    },
  })
  await cluster.advance(runMs + 3000)
  const { status } = await podOf(cluster, 'row')
  expect(status.phase).toBe(row.phase)
  const states = row.containers.map((_, i) => status.containerStatuses?.find((s) => s.name === `c${i}`))
  expect(states.map((s) => s?.restartCount)).toEqual(row.restarts)
  row.containers.forEach((outcome, i) => {
    const ended = row.restarts[i] === 0 ? states[i]?.state?.terminated : states[i]?.lastState?.terminated
    if (outcome === 'none') expect(states[i]?.state?.running).toBeDefined()
    else expect(ended).toMatchObject(ending[outcome])
  })
  await cluster.checkers.verify()
  await cluster.stop()
})
