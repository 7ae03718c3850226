// W6 and W7: work that ends, counted once whatever breaks in between.
import { expect, test } from 'vitest'
import { cronJobs } from '../../src/api/batch/cron-job.ts'
import { type Job, jobs } from '../../src/api/batch/job.ts'
import { nodes } from '../../src/api/core/node.ts'
import { type SimCluster, startSimCluster } from '../../src/sim/sim-cluster.ts'
import { create, podsOf } from '../sim/harness.ts'

const work = (image: string, spec: object = {}, restartPolicy = 'Never') => ({
  metadata: { name: 'work' },
  spec: { template: { metadata: {}, spec: { restartPolicy, containers: [{ name: 'main', image }] } }, ...spec },
})
const current = (cluster: SimCluster) => cluster.client.resource(jobs).get('work', 'default')
const has = (job: Job, type: string) =>
  job.status.conditions?.some((c) => c.type === type && c.status === 'True') === true
const until = (cluster: SimCluster, type: string, maxMs = 3_600_000) =>
  cluster.until(async () => has(await current(cluster), type), maxMs)

test('twenty completions by five at a time, with containers that fail now and then', async () => {
  const cluster = await startSimCluster({ seed: 61, nodes: 3 })
  const luck = cluster.sim.random.fork('luck')
  let succeeded = 0
  cluster.sim.world.image('work:1', () => {
    const fails = luck.float() < 0.3
    if (!fails) succeeded++
    return { exit: { afterMs: 1000 + luck.below(4000), code: fails ? 1 : 0 } }
  })
  await create(cluster, jobs, work('work:1', { completions: 20, parallelism: 5, backoffLimit: 100 }))
  await until(cluster, 'Complete', 24 * 3_600_000)
  const { status } = await current(cluster)
  expect(status.succeeded).toBe(20)
  expect(succeeded).toBe(20)
  expect((await podsOf(cluster)).filter((pod) => pod.status.phase === 'Succeeded')).toHaveLength(20)
  expect((await podsOf(cluster)).filter((pod) => pod.status.phase === 'Failed')).toHaveLength(status.failed ?? 0)
  expect((await podsOf(cluster)).flatMap((pod) => pod.metadata.finalizers ?? [])).toEqual([])
  await cluster.checkers.verify()
  await cluster.stop()
})

test('OnFailure restarts in place, and the restarts count against the limit', async () => {
  const cluster = await startSimCluster({ seed: 62, nodes: 1 })
  cluster.sim.world.image('work:1', ({ restarts }) => ({ exit: { afterMs: 500, code: restarts < 2 ? 1 : 0 } }))
  cluster.sim.world.image('work:bad', () => ({ exit: { afterMs: 500, code: 1 } }))
  await create(cluster, jobs, work('work:1', {}, 'OnFailure'))
  await until(cluster, 'Complete')
  expect(await podsOf(cluster)).toHaveLength(1)
  await cluster.run(cluster.client.resource(jobs).delete('work', 'default', { propagationPolicy: 'Background' }))
  await cluster.advance(10_000)
  await create(cluster, jobs, work('work:bad', { backoffLimit: 2 }, 'OnFailure'))
  await until(cluster, 'Failed')
  expect((await current(cluster)).status.conditions?.map((c) => c.reason)).toContain('BackoffLimitExceeded')
  await cluster.checkers.verify()
  await cluster.stop()
})

test('indexed work survives the loss of a node in the middle, each index once', async () => {
  const cluster = await startSimCluster({ seed: 63, nodes: 3 })
  cluster.sim.world.image('work:1', () => ({ exit: { afterMs: 30_000, code: 0 } }))
  const spec = { completionMode: 'Indexed', completions: 9, parallelism: 9, backoffLimit: 20 }
  await create(cluster, jobs, work('work:1', spec))
  await cluster.until(async () => (await current(cluster)).status.ready === 9)
  await cluster.powerOff('node-2')
  await cluster.run(cluster.client.resource(nodes).delete('node-2'))
  await until(cluster, 'Complete')
  const { status } = await current(cluster)
  expect(status).toMatchObject({ succeeded: 9, completedIndexes: '0-8' })
  expect(status.failed).toBeGreaterThan(0)
  await cluster.checkers.verify()
  await cluster.stop()
})

test('a nightly job runs each night and keeps as many of its runs as it shall', async () => {
  const cluster = await startSimCluster({ seed: 64, nodes: 1, journal: false })
  let runs = 0
  cluster.sim.world.image('backup:1', () => {
    runs++
    return { exit: { afterMs: 60_000, code: 0 } }
  })
  await create(cluster, cronJobs, {
    metadata: { name: 'backup' },
    spec: {
      schedule: '0 3 * * *',
      concurrencyPolicy: 'Forbid',
      successfulJobsHistoryLimit: 1,
      jobTemplate: { spec: work('backup:1').spec },
    },
  })
  await cluster.advance(2 * 24 * 3_600_000)
  expect(runs).toBe(2)
  expect((await cluster.client.resource(jobs).list({ namespace: 'default' })).items).toHaveLength(1)
  const { status } = await cluster.client.resource(cronJobs).get('backup', 'default')
  expect(status.active ?? []).toEqual([])
  await cluster.stop()
})
