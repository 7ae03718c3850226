import { afterEach, describe, expect, it } from 'vitest'
import { type Job, jobs } from '../api/batch/job.ts'
import { type Pod, pods } from '../api/core/pod.ts'
import { formatTime } from '../api/machinery/time.ts'
import { garbageCollector } from './garbage-collector.ts'
import { jobController } from './job.ts'
import { formatIndexes, parseIndexes } from './job-indexes.ts'
import { indexOf, isTracked } from './job-pods.ts'
import { judgeFailure, metSuccessRule } from './job-policies.ts'
import { type Outcome, type TestCluster, testCluster } from './testing/cluster.ts'

let cluster: TestCluster
afterEach(() => cluster?.stop())
const start = async (runs: (pod: Pod) => Outcome) => {
  cluster = await testCluster([jobController, garbageCollector], { nodes: 2, runs })
}
const ended = (phase: string, exitCode: number): Partial<Pod['status']> => {
  const at = formatTime(cluster.clock.now())
  const terminated = { exitCode, startedAt: at, finishedAt: at }
  return {
    phase,
    conditions: [],
    containerStatuses: [
      { name: 'c', state: { terminated }, lastState: {}, ready: false, restartCount: 0, image: 'i', imageID: '' },
    ],
  }
}
const ok = () => ended('Succeeded', 0)
const fails = (code = 1) => ended('Failed', code)
const create = (spec: Partial<Job['spec']> = {}) =>
  cluster.client.resource(jobs).create({
    metadata: { name: 'j', namespace: 'default' },
    spec: {
      template: { metadata: {}, spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'i' }] } },
      ...spec,
    } as never,
  })
const current = () => cluster.client.resource(jobs).get('j', 'default')
const conditionsOf = (job: Job) =>
  (job.status.conditions ?? []).filter((c) => c.status === 'True').map((c) => `${c.type} ${c.reason}`)
const finish = (name: string, status: Partial<Pod['status']>) =>
  cluster.client
    .resource(pods)
    .get(name, 'default')
    .then((pod) => cluster.client.resource(pods).updateStatus({ ...pod, status: { ...pod.status, ...status } }))

describe('job', () => {
  it('runs one pod to completion, counts it once and lets it go', async () => {
    await start(ok)
    await create()
    await cluster.advance()
    const job = await current()
    expect(conditionsOf(job)).toEqual(['SuccessCriteriaMet CompletionsReached', 'Complete CompletionsReached'])
    expect(job.status).toMatchObject({
      succeeded: 1,
      startTime: '2026-01-01T00:00:00Z',
      completionTime: '2026-01-01T00:00:00Z',
    })
    expect(job.status.active ?? 0).toBe(0)
    const [pod] = await cluster.all(pods)
    expect(pod && isTracked(pod)).toBe(false)
    expect(pod?.metadata.labels).toMatchObject({ 'batch.kubernetes.io/job-name': 'j', 'job-name': 'j' })
    expect((await cluster.eventsOf('j')).map((e) => e.replace(/j-\w+/, 'P'))).toEqual([
      'SuccessfulCreate: Created pod: P',
      'Completed: Job completed',
    ])
  })
  it('keeps as many at work as it may until enough have succeeded', async () => {
    await start(() => true)
    await create({ completions: 5, parallelism: 2 })
    await cluster.advance()
    let most = 0
    for (let i = 0; i < 5; i++) {
      const running = (await cluster.all(pods)).filter((p) => p.status.phase === 'Running')
      most = Math.max(most, running.length)
      await finish(running[0]?.metadata.name ?? '', ok())
      await cluster.advance()
    }
    expect(most).toBe(2)
    expect((await current()).status.succeeded).toBe(5)
    expect(conditionsOf(await current())).toContain('Complete CompletionsReached')
    expect(await cluster.all(pods)).toHaveLength(5)
  })
  it('tries again after 10 s, 20 s, 40 s, and gives up at the backoff limit', async () => {
    const at: number[] = []
    await start(() => {
      at.push(cluster.clock.monotonic() / 1000)
      return fails()
    })
    await create({ backoffLimit: 3 })
    await cluster.advance(200_000)
    expect(at).toEqual([0, 10, 30, 70])
    const job = await current()
    expect(conditionsOf(job)).toEqual(['FailureTarget BackoffLimitExceeded', 'Failed BackoffLimitExceeded'])
    expect(job.status).toMatchObject({ failed: 4 })
    expect(job.status.completionTime).toBeUndefined()
    expect(await cluster.eventsOf('j')).toContain('BackoffLimitExceeded: Job has reached the specified backoff limit')
  })
  it('a work queue is done when one has succeeded and none is left', async () => {
    await start(() => true)
    await create({ parallelism: 3 })
    await cluster.advance()
    const [first, second, third] = (await cluster.all(pods)).map((p) => p.metadata.name)
    await finish(first ?? '', ok())
    await cluster.advance()
    expect(await cluster.all(pods)).toHaveLength(3)
    expect(conditionsOf(await current())).toEqual([])
    await finish(second ?? '', fails())
    await finish(third ?? '', ok())
    await cluster.advance()
    expect(conditionsOf(await current())).toContain('Complete CompletionsReached')
    expect((await current()).status).toMatchObject({ succeeded: 2, failed: 1 })
  })
  it('stops at its deadline and takes its pods with it', async () => {
    await start(() => true)
    await create({ activeDeadlineSeconds: 30, parallelism: 2, completions: 2 })
    await cluster.advance(29_000)
    expect(conditionsOf(await current())).toEqual([])
    await cluster.advance(2000)
    expect(conditionsOf(await current())).toEqual(['FailureTarget DeadlineExceeded', 'Failed DeadlineExceeded'])
    expect(await cluster.all(pods)).toEqual([])
  })
  it('suspends and resumes', async () => {
    await start(() => true)
    await create({ suspend: true, parallelism: 2, completions: 2 })
    await cluster.advance()
    expect(await cluster.all(pods)).toEqual([])
    expect(conditionsOf(await current())).toEqual(['Suspended JobSuspended'])
    const suspend = (value: boolean) =>
      cluster.client.resource(jobs).patch('j', 'default', 'merge', { spec: { suspend: value } })
    await suspend(false)
    await cluster.advance()
    expect((await current()).status).toMatchObject({ active: 2, ready: 2, startTime: '2026-01-01T00:00:00Z' })
    await suspend(true)
    await cluster.advance()
    expect(await cluster.all(pods)).toEqual([])
    expect((await current()).status.startTime).toBeUndefined()
    expect((await cluster.eventsOf('j')).filter((e) => /Suspended|Resumed/.test(e))).toEqual([
      'Suspended: Job suspended',
      'Resumed: Job resumed',
    ])
  })
  it('indexed: one success per index, with name, label and host name', async () => {
    let broken = true
    await start((pod) => (indexOf(pod) === 1 && broken ? fails() : ok()))
    await create({ completionMode: 'Indexed', completions: 3, parallelism: 3 })
    await cluster.advance()
    expect((await current()).status).toMatchObject({ succeeded: 2, completedIndexes: '0,2', failed: 1 })
    const [zero] = await cluster.all(pods)
    expect(zero?.metadata.name).toMatch(/^j-0-\w{5}$/)
    expect(zero?.spec.hostname).toBe('j-0')
    expect(zero?.spec.containers[0]?.env?.[0]?.name).toBe('JOB_COMPLETION_INDEX')
    broken = false
    await cluster.advance(11_000)
    const job = await current()
    expect(job.status).toMatchObject({ succeeded: 3, completedIndexes: '0-2' })
    expect(conditionsOf(job)).toContain('Complete CompletionsReached')
  })
  it('backoff per index: one index may fail for good while the others finish', async () => {
    await start((pod) => (indexOf(pod) === 1 ? fails() : ok()))
    await create({ completionMode: 'Indexed', completions: 3, parallelism: 3, backoffLimitPerIndex: 1 })
    await cluster.advance(60_000)
    const job = await current()
    expect(job.status).toMatchObject({ succeeded: 2, failed: 2, completedIndexes: '0,2', failedIndexes: '1' })
    expect(conditionsOf(job)).toEqual(['FailureTarget FailedIndexes', 'Failed FailedIndexes'])
    expect((await cluster.all(pods)).filter(isTracked)).toEqual([])
  })
  it('more failed indexes than it may have end it at once', async () => {
    await start((pod) => ((indexOf(pod) ?? 0) < 2 ? fails() : true))
    await create({
      completionMode: 'Indexed',
      completions: 4,
      parallelism: 4,
      backoffLimitPerIndex: 0,
      maxFailedIndexes: 1,
    })
    await cluster.advance(5000)
    const job = await current()
    expect(conditionsOf(job)).toEqual(['FailureTarget MaxFailedIndexesExceeded', 'Failed MaxFailedIndexesExceeded'])
    expect(job.status).toMatchObject({ failedIndexes: '0,1', failed: 4 })
    expect((await cluster.all(pods)).filter(isTracked)).toEqual([])
  })
  it('success policy: a leader is enough', async () => {
    await start((pod) => (indexOf(pod) === 0 ? ok() : true))
    await create({
      completionMode: 'Indexed',
      completions: 3,
      parallelism: 3,
      successPolicy: { rules: [{ succeededIndexes: '0' }] },
    })
    await cluster.advance()
    const job = await current()
    expect(conditionsOf(job)).toEqual(['SuccessCriteriaMet SuccessPolicy', 'Complete SuccessPolicy'])
    expect(job.status.completedIndexes).toBe('0')
    expect((await cluster.all(pods)).map(indexOf)).toEqual([0])
  })
  it('pod failure policy: ignore, or fail at once', async () => {
    let code = 7
    await start(() => (code === 0 ? ok() : fails(code)))
    const rules = [
      { action: 'Ignore', onExitCodes: { operator: 'In', values: [7] } },
      { action: 'FailJob', onExitCodes: { operator: 'In', values: [42] } },
    ]
    await create({ backoffLimit: 0, podFailurePolicy: { rules } })
    await cluster.advance(35_000)
    expect((await current()).status.failed ?? 0).toBe(0)
    expect((await cluster.all(pods)).length).toBeGreaterThan(1)
    code = 42
    await cluster.advance(100_000)
    const job = await current()
    expect(conditionsOf(job)).toEqual(['FailureTarget PodFailurePolicy', 'Failed PodFailurePolicy'])
    expect(job.status.conditions?.[0]?.message).toMatch(
      /^Container c for pod default\/j-\w+ failed with exit code 42 matching FailJob rule at index 1$/,
    )
  })
  it('frees the pods of a job that is deleted', async () => {
    await start(() => true)
    await create({ parallelism: 2, completions: 2 })
    await cluster.advance()
    await cluster.client.resource(jobs).delete('j', 'default', { propagationPolicy: 'Orphan' })
    await cluster.advance()
    expect((await cluster.all(pods)).map(isTracked)).toEqual([false, false])
    await cluster.client.resource(pods).deleteCollection({ namespace: 'default' })
    await create()
    await cluster.advance()
    await cluster.client.resource(jobs).delete('j', 'default', { propagationPolicy: 'Background' })
    await cluster.advance()
    expect(await cluster.all(pods)).toEqual([])
  })
  it.each([
    ['TerminatingOrFailed', 2],
    ['Failed', 1],
  ] as const)('podReplacementPolicy %s: %i pods while one is on its way out', async (podReplacementPolicy, beside) => {
    await start(() => true)
    await create({ podReplacementPolicy })
    await cluster.advance()
    const [pod] = await cluster.all(pods)
    const name = pod?.metadata.name ?? ''
    const finalizers = [...(pod?.metadata.finalizers ?? []), 'example.com/held']
    await cluster.client.resource(pods).patch(name, 'default', 'merge', { metadata: { finalizers } })
    await cluster.client.resource(pods).delete(name, 'default')
    await cluster.advance(30_000)
    expect(await cluster.all(pods)).toHaveLength(beside)
    expect((await current()).status).toMatchObject({ active: beside - 1, terminating: 1 })
    await finish(name, { phase: 'Failed' })
    await cluster.advance(30_000)
    expect((await current()).status).toMatchObject({ active: 1, failed: 1 })
  })
  it('leaves jobs of another manager alone', async () => {
    await start(ok)
    await create({ managedBy: 'example.com/other' })
    await cluster.advance()
    expect(await cluster.all(pods)).toEqual([])
  })
})

describe('indexes', () => {
  it.each([
    ['', []],
    ['0', [0]],
    ['0-2', [0, 1, 2]],
    ['0,2,3,7-9', [0, 2, 3, 7, 8, 9]],
  ])('%s', (text, indexes) => {
    expect([...parseIndexes(text, 100)]).toEqual(indexes)
    expect(formatIndexes(indexes)).toBe(text)
  })
  it('ignores what is out of range', () => {
    expect([...parseIndexes('1,5-9', 7)]).toEqual([1, 5, 6])
  })
})

describe('policies', () => {
  const policy = (rules: object[]) => ({ spec: { podFailurePolicy: { rules } } }) as unknown as Job
  const pod = (exitCode: number, conditions: object[] = []) =>
    ({
      metadata: { namespace: 'ns', name: 'p' },
      status: { phase: 'Failed', conditions, containerStatuses: [{ name: 'c', state: { terminated: { exitCode } } }] },
    }) as unknown as Pod
  it.each([
    [policy([]), pod(1), 'Count'],
    [policy([{ action: 'Ignore', onExitCodes: { operator: 'NotIn', values: [3] } }]), pod(1), 'Ignore'],
    [policy([{ action: 'Ignore', onExitCodes: { operator: 'NotIn', values: [3] } }]), pod(3), 'Count'],
    [policy([{ action: 'Ignore', onExitCodes: { operator: 'NotIn', values: [3] } }]), pod(0), 'Count'],
    [
      policy([{ action: 'FailIndex', onExitCodes: { containerName: 'x', operator: 'In', values: [1] } }]),
      pod(1),
      'Count',
    ],
    [
      policy([{ action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget' }] }]),
      pod(1, [{ type: 'DisruptionTarget', status: 'True' }]),
      'Ignore',
    ],
    [
      policy([
        { action: 'Count', onExitCodes: { operator: 'In', values: [1] } },
        { action: 'FailJob', onExitCodes: { operator: 'In', values: [1] } },
      ]),
      pod(1),
      'Count',
    ],
  ])('judgeFailure %#', (job, failed, action) => {
    expect(judgeFailure(job, failed).action).toBe(action)
  })
  it.each([
    [{ succeededCount: 2 }, [0, 5], true],
    [{ succeededCount: 3 }, [0, 5], false],
    [{ succeededIndexes: '0-1' }, [0, 5], false],
    [{ succeededIndexes: '0-1' }, [0, 1, 5], true],
    [{ succeededIndexes: '0-3', succeededCount: 2 }, [1, 3], true],
    [{ succeededIndexes: '0-3', succeededCount: 2 }, [1, 5], false],
  ])('metSuccessRule %j with %j', (rule, done, met) => {
    const job = { spec: { completions: 10, successPolicy: { rules: [rule] } } } as unknown as Job
    expect(metSuccessRule(job, new Set(done)) !== undefined).toBe(met)
  })
})
