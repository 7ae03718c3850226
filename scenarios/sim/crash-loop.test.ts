// P10: the back-off of a container that always crashes, at the speed of simulation.
import { expect, test } from 'vitest'
import { pods } from '../../src/api/core/pod.ts'
import { startSimCluster } from '../../src/sim/sim-cluster.ts'
import { create, eventsOf, podOf } from './harness.ts'

test('10, 20, 40 ... 300 seconds of back-off pass in well under a second', async () => {
  const cluster = await startSimCluster({ seed: 1, latencies: { jitter: 0, startMs: 0, createMs: 0 } })
  const starts: number[] = []
  cluster.sim.world.image('crash:1', () => {
    starts.push(cluster.sim.clock.monotonic())
    return { exit: { afterMs: 0, code: 3 } }
  })
  // Time of this process, not of the wall: other work on the machine does not count.
  const began = process.cpuUsage()
  await create(cluster, pods, {
    metadata: { name: 'crash' },
    spec: { containers: [{ name: 'main', image: 'crash:1' }] },
  })
  await cluster.advance(21 * 60_000)
  const { user, system } = process.cpuUsage(began)
  const pauses = starts.slice(1).map((at, i) => Math.round((at - (starts[i] ?? 0)) / 1000))
  expect(pauses).toEqual([0, 10, 20, 40, 80, 160, 300, 300, 300])
  const pod = await podOf(cluster, 'crash')
  const status = pod.status.containerStatuses?.[0]
  expect(pod.status.phase).toBe('Running')
  expect(status?.restartCount).toBe(starts.length - 1)
  expect(status?.state?.waiting?.reason).toBe('CrashLoopBackOff')
  expect(status?.state?.waiting?.message).toMatch(
    /^back-off 5m0s restarting failed container=main pod=crash_default\(.*\)$/,
  )
  expect(status?.lastState?.terminated).toMatchObject({ exitCode: 3, reason: 'Error' })
  expect((await eventsOf(cluster, 'crash')).join('\n')).toContain('BackOff: Back-off restarting failed container main')
  expect((user + system) / 1000).toBeLessThan(1000)
  await cluster.checkers.verify()
  await cluster.stop()
})

test('ten minutes without a crash begin the back-off anew', async () => {
  const cluster = await startSimCluster({ seed: 2, latencies: { jitter: 0, startMs: 0, createMs: 0 } })
  const starts: number[] = []
  cluster.sim.world.image('fickle:1', ({ restarts }) => {
    starts.push(cluster.sim.clock.monotonic())
    return { exit: { afterMs: restarts === 4 ? 660_000 : 0, code: 1 } }
  })
  await create(cluster, pods, {
    metadata: { name: 'fickle' },
    spec: { containers: [{ name: 'main', image: 'fickle:1' }] },
  })
  await cluster.advance(20 * 60_000)
  const pauses = starts.slice(1).map((at, i) => Math.round((at - (starts[i] ?? 0)) / 1000))
  expect(pauses.slice(0, 7)).toEqual([0, 10, 20, 40, 660, 10, 20])
  await cluster.stop()
})
