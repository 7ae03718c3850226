import { afterEach, describe, expect, it } from 'vitest'
import { type CronJob, cronJobs } from '../api/batch/cron-job.ts'
import { type Job, jobs } from '../api/batch/job.ts'
import type { Pod } from '../api/core/pod.ts'
import { formatTime } from '../api/machinery/time.ts'
import { cronJobController } from './cron-job.ts'
import { scheduledTime, scheduleOf, zonedTime } from './cron-job-plan.ts'
import type { Controller } from './framework/controller.ts'
import { garbageCollector } from './garbage-collector.ts'
import { jobController } from './job.ts'
import { type Outcome, type TestCluster, testCluster } from './testing/cluster.ts'
import { expiryMs, ttlAfterFinishedController } from './ttl-after-finished.ts'

let cluster: TestCluster
afterEach(() => cluster?.stop())
const start = async (runs: (pod: Pod) => Outcome, ...more: Controller[]) => {
  cluster = await testCluster([cronJobController, jobController, ttlAfterFinishedController, ...more], {
    nodes: 1,
    runs,
  })
}
const done: Outcome = { phase: 'Succeeded', conditions: [] }
const create = (spec: Partial<CronJob['spec']> = {}) =>
  cluster.client.resource(cronJobs).create({
    metadata: { name: 'c', namespace: 'default' },
    spec: {
      schedule: '* * * * *',
      jobTemplate: {
        metadata: {},
        spec: { template: { metadata: {}, spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'i' }] } } },
      },
      ...spec,
    } as never,
  })
const current = () => cluster.client.resource(cronJobs).get('c', 'default')
const minute = 60_000

describe('cron job', () => {
  it('starts a job each minute, named after the minute, and keeps three', async () => {
    await start(() => done)
    await create()
    await cluster.advance(30_000)
    expect(await cluster.all(jobs)).toEqual([])
    await cluster.advance(31_000)
    const [first] = await cluster.all(jobs)
    const epochMinute = Date.UTC(2026, 0, 1, 0, 1) / minute
    expect(first?.metadata.name).toBe(`c-${epochMinute}`)
    expect(first?.metadata.annotations).toEqual({
      'batch.kubernetes.io/cronjob-scheduled-timestamp': '2026-01-01T00:01:00Z',
    })
    await cluster.advance(10 * minute)
    expect(await cluster.all(jobs)).toHaveLength(3)
    const { status } = await current()
    expect(status).toMatchObject({
      lastScheduleTime: '2026-01-01T00:11:00Z',
      lastSuccessfulTime: '2026-01-01T00:11:00Z',
    })
    expect(status.active ?? []).toEqual([])
    const events = await cluster.eventsOf('c')
    expect(events).toContain(`SuccessfulCreate: Created job c-${epochMinute}`)
    expect(events).toContain(`SawCompletedJob: Saw completed job: c-${epochMinute}, condition: Complete`)
    expect(events).toContain(`SuccessfulDelete: Deleted job c-${epochMinute}`)
  })
  it.each([
    ['Allow', 3],
    ['Forbid', 1],
    ['Replace', 1],
  ])('%s: %i jobs run after three minutes of work that does not end', async (concurrencyPolicy, running) => {
    await start(() => true)
    await create({ concurrencyPolicy })
    await cluster.advance(3 * minute + 5000)
    const live = (await cluster.all(jobs)).filter((job) => job.metadata.deletionTimestamp === undefined)
    expect(live).toHaveLength(running)
    expect((await current()).status.active).toHaveLength(running)
    const newest = Date.UTC(2026, 0, 1, 0, concurrencyPolicy === 'Forbid' ? 1 : 3) / minute
    expect(live.map((job) => job.metadata.name)).toContain(`c-${newest}`)
  })
  it('a suspended one starts nothing', async () => {
    await start(() => done)
    await create({ suspend: true })
    await cluster.advance(5 * minute)
    expect(await cluster.all(jobs)).toEqual([])
  })
  it('says when it missed more than a hundred times, and runs the latest', async () => {
    await start(() => done)
    await create({ suspend: true })
    await cluster.advance(120 * minute)
    await cluster.client.resource(cronJobs).patch('c', 'default', 'merge', { spec: { suspend: false } })
    await cluster.advance(1000)
    expect(await cluster.eventsOf('c')).toContain(
      'TooManyMissedTimes: too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew',
    )
    expect((await cluster.all(jobs)).map(({ metadata }) => metadata.name)).toEqual([
      `c-${Date.UTC(2026, 0, 1, 2, 0) / minute}`,
    ])
  })
  it('runs by the night of its time zone', async () => {
    await start(() => done)
    await create({ schedule: '0 3 * * *', timeZone: 'Europe/Berlin' })
    await cluster.advance(3 * 24 * 60 * minute)
    expect((await current()).status.lastScheduleTime).toBe('2026-01-03T02:00:00Z')
    const [newest] = [...(await cluster.all(jobs))].reverse()
    expect(newest?.metadata.annotations?.['batch.kubernetes.io/cronjob-scheduled-timestamp']).toBe(
      '2026-01-03T03:00:00+01:00',
    )
  })
  it('its jobs go with it', async () => {
    await start(() => true, garbageCollector)
    await create()
    await cluster.advance(2 * minute)
    await cluster.client.resource(cronJobs).delete('c', 'default')
    await cluster.advance()
    expect(await cluster.all(jobs)).toEqual([])
  })
})

describe('ttl after finished', () => {
  it('deletes a finished job when its time has come', async () => {
    await start(() => done, garbageCollector)
    await cluster.client.resource(jobs).create({
      metadata: { name: 'j', namespace: 'default' },
      spec: {
        ttlSecondsAfterFinished: 60,
        template: { metadata: {}, spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'i' }] } },
      } as never,
    })
    await cluster.advance(59_000)
    expect(await cluster.all(jobs)).toHaveLength(1)
    await cluster.advance(2000)
    expect(await cluster.all(jobs)).toEqual([])
  })
  it('expiryMs', () => {
    const job = (ttl: number | undefined, conditions: object[]) =>
      ({ spec: { ttlSecondsAfterFinished: ttl }, status: { conditions } }) as unknown as Job
    const failed = { type: 'Failed', status: 'True', lastTransitionTime: '1970-01-01T00:00:10Z' }
    expect(expiryMs(job(5, []))).toBeUndefined()
    expect(expiryMs(job(undefined, [failed]))).toBeUndefined()
    expect(expiryMs(job(0, [failed]))).toBe(10_000)
    expect(expiryMs(job(5, [failed]))).toBe(15_000)
  })
})

describe('scheduledTime', () => {
  const at = (text: string) => Date.parse(`${text}Z`)
  const cron = (schedule: string, last: string, more: object = {}) =>
    ({ metadata: {}, spec: { schedule, ...more }, status: { lastScheduleTime: `${last}Z` } }) as unknown as CronJob
  const due = (cronJob: CronJob, now: string) => {
    const schedule = scheduleOf(cronJob)
    if (!schedule.ok) throw new Error(schedule.message)
    const { dueMs, tooManyMissed } = scheduledTime(cronJob, schedule, at(now))
    return [dueMs === undefined ? undefined : formatTime(dueMs).slice(0, -1), tooManyMissed]
  }
  it.each([
    ['not yet', '0 * * * *', '2026-01-01T10:00:00', {}, '2026-01-01T10:59:59', undefined, false],
    ['just now', '0 * * * *', '2026-01-01T10:00:00', {}, '2026-01-01T11:00:00', '2026-01-01T11:00:00', false],
    [
      'the latest of several',
      '0 * * * *',
      '2026-01-01T10:00:00',
      {},
      '2026-01-01T15:30:00',
      '2026-01-01T15:00:00',
      false,
    ],
    ['too many missed', '* * * * *', '2026-01-01T00:00:00', {}, '2026-01-03T00:00:30', '2026-01-03T00:00:00', true],
    [
      'a deadline forgives',
      '* * * * *',
      '2026-01-01T00:00:00',
      { startingDeadlineSeconds: 90 },
      '2026-01-03T00:00:30',
      '2026-01-03T00:00:00',
      false,
    ],
    [
      'a dense day long ago',
      '* * 1 1 *',
      '2025-12-31T00:00:00',
      {},
      '2026-06-01T00:00:00',
      '2026-01-01T23:59:00',
      true,
    ],
    ['once a year', '0 0 1 1 *', '2020-01-01T00:00:00', {}, '2026-06-01T00:00:00', '2026-01-01T00:00:00', false],
  ] as const)('%s', (_, schedule, last, more, now, expected, many) => {
    expect(due(cron(schedule, last, more), now)).toEqual([expected, many])
  })
  it('says what is wrong with a schedule', () => {
    expect(scheduleOf(cron('61 * * * *', '2026-01-01T00:00:00'))).toMatchObject({
      ok: false,
      reason: 'UnparseableSchedule',
    })
    expect(scheduleOf(cron('* * * * *', '2026-01-01T00:00:00', { timeZone: 'Mars/Olympus' }))).toMatchObject({
      ok: false,
      reason: 'UnknownTimeZone',
    })
  })
  it('zonedTime', () => {
    expect(zonedTime(0, undefined)).toBe('1970-01-01T00:00:00Z')
    expect(zonedTime(Date.UTC(2026, 6, 1, 12), 'America/New_York')).toBe('2026-07-01T08:00:00-04:00')
  })
})
