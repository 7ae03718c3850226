// P10: the phase after an exit, by restart policy, for one container and for two.
import { expect, test } from 'vitest'
import { pods } from '../../src/api/core/pod.ts'
import { exits } from '../../src/sim/script.ts'
import { startSimCluster } from '../../src/sim/sim-cluster.ts'
import { create, podOf } from './harness.ts'

type Outcome = 'success' | 'failure' | 'oom' | 'none'
const runMs = 5000
const scripts = {
  success: exits(0, runMs),
  failure: exits(1, runMs),
  oom: { exit: { afterMs: runMs, code: 137, oom: true } },
  none: {},
} as const

interface Row {
  readonly policy: 'Always' | 'OnFailure' | 'Never'
  readonly containers: readonly Outcome[]
  readonly phase: 'Running' | 'Succeeded' | 'Failed'
  /** Restarts of each container a little later. */
  readonly restarts: readonly number[]
}
const table: readonly Row[] = [
  { policy: 'Always', containers: ['success'], phase: 'Running', restarts: [1] },
  { policy: 'OnFailure', containers: ['success'], phase: 'Succeeded', restarts: [0] },
  { policy: 'Never', containers: ['success'], phase: 'Succeeded', restarts: [0] },
  { policy: 'Always', containers: ['failure'], phase: 'Running', restarts: [1] },
  { policy: 'OnFailure', containers: ['failure'], phase: 'Running', restarts: [1] },
  { policy: 'Never', containers: ['failure'], phase: 'Failed', restarts: [0] },
  { policy: 'Always', containers: ['oom'], phase: 'Running', restarts: [1] },
  { policy: 'OnFailure', containers: ['oom'], phase: 'Running', restarts: [1] },
  { policy: 'Never', containers: ['oom'], phase: 'Failed', restarts: [0] },
  { policy: 'Always', containers: ['failure', 'none'], phase: 'Running', restarts: [1, 0] },
  { policy: 'OnFailure', containers: ['failure', 'none'], phase: 'Running', restarts: [1, 0] },
  { policy: 'Never', containers: ['failure', 'none'], phase: 'Running', restarts: [0, 0] },
  { policy: 'Never', containers: ['failure', 'success'], phase: 'Failed', restarts: [0, 0] },
  { policy: 'Never', containers: ['failure', 'failure'], phase: 'Failed', restarts: [0, 0] },
  { policy: 'OnFailure', containers: ['success', 'none'], phase: 'Running', restarts: [0, 0] },
  { policy: 'OnFailure', containers: ['success', 'success'], phase: 'Succeeded', restarts: [0, 0] },
]

test.for(table)('$policy with $containers: $phase, restarts $restarts', async (row) => {
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
    if (outcome === 'none') expect(states[i]?.state?.running).toBeDefined()
    const ended = row.restarts[i] === 0 ? states[i]?.state?.terminated : states[i]?.lastState?.terminated
    if (outcome === 'oom') expect(ended).toMatchObject({ exitCode: 137, reason: 'OOMKilled' })
    if (outcome === 'failure') expect(ended).toMatchObject({ exitCode: 1, reason: 'Error' })
    if (outcome === 'success') expect(ended).toMatchObject({ exitCode: 0, reason: 'Completed' })
  })
  await cluster.checkers.verify()
  await cluster.stop()
})
