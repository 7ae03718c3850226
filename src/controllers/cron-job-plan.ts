// When a CronJob runs: times are computed, never remembered, so that a controller that was away finds what it missed.
import { parseCronSchedule, type CronSchedule } from '../api/batch/cron-schedule.ts'
import type { CronJob } from '../api/batch/cron-job.ts'
import type { Job } from '../api/batch/job.ts'
import { findCondition } from './framework/conditions.ts'
import { createdMs, timeMs } from './framework/time.ts'

const tooManyMissed = 100

export interface ScheduledTime {
  /** The latest time that is due, milliseconds since 1970; undefined when none is. */
  readonly dueMs: number | undefined
  readonly nextMs: number | undefined
  readonly tooManyMissed: boolean
}
export type Schedule =
  | { readonly ok: true; readonly schedule: CronSchedule; readonly timeZone: string | undefined }
  | { readonly ok: false; readonly reason: string; readonly message: string }

/** The schedule of a CronJob with its time zone, or the event that says why there is none. */
export function scheduleOf({ spec }: CronJob): Schedule {
  const parsed = parseCronSchedule(spec.schedule)
  if (!parsed.ok) {
    const message = `unparseable schedule: ${JSON.stringify(spec.schedule)} : ${parsed.error}`
    return { ok: false, reason: 'UnparseableSchedule', message }
  }
  const timeZone = spec.timeZone ?? /^(?:CRON_)?TZ=(\S+)\s/.exec(spec.schedule)?.[1]
  try {
    parsed.schedule.next(0, timeZone)
  } catch (error) {
    // The zone's name is the only thing that can be wrong now.
    const message = `invalid timeZone: ${JSON.stringify(timeZone)}: ${String((error as Error).message)}`
    return { ok: false, reason: 'UnknownTimeZone', message }
  }
  return { ok: true, schedule: parsed.schedule, timeZone }
}

/** The latest missed time and the next one. */
export function scheduledTime(cronJob: CronJob, schedule: Schedule & { ok: true }, nowMs: number): ScheduledTime {
  const { startingDeadlineSeconds } = cronJob.spec
  const next = (afterMs: number) => schedule.schedule.next(afterMs, schedule.timeZone)
  let fromMs = timeMs(cronJob.status.lastScheduleTime) || createdMs(cronJob)
  if (startingDeadlineSeconds !== undefined) fromMs = Math.max(fromMs, nowMs - startingDeadlineSeconds * 1000)
  const nextMs = next(nowMs)
  const first = next(fromMs)
  if (first === undefined || first > nowMs) return { dueMs: undefined, nextMs, tooManyMissed: false }
  const second = next(first)
  if (second === undefined || second > nowMs) return { dueMs: first, nextMs, tooManyMissed: false }
  const step = second - first
  const count = Math.floor((nowMs - first) / step) + 1
  // The next time after x only grows with x: halve the interval instead of walking through a year of minutes.
  let dueMs = second
  let highMs = nowMs
  for (let lowMs = second; highMs - lowMs > 500; ) {
    const middleMs = Math.floor((lowMs + highMs) / 2)
    const at = next(middleMs)
    if (at !== undefined && at <= nowMs) {
      dueMs = at
      lowMs = at
    } else highMs = middleMs
  }
  return { dueMs, nextMs, tooManyMissed: count > tooManyMissed }
}

export const finishedType = (job: Job): 'Complete' | 'Failed' | undefined =>
  (['Complete', 'Failed'] as const).find((type) => findCondition(job.status.conditions, type)?.status === 'True')

/** Finished Jobs beyond the history limits, oldest first. */
export function planHistory(cronJob: CronJob, jobs: readonly Job[]): readonly Job[] {
  const { successfulJobsHistoryLimit, failedJobsHistoryLimit } = cronJob.spec
  const startedMs = (job: Job) => timeMs(job.status.startTime) || createdMs(job)
  const surplus = (type: 'Complete' | 'Failed', limit: number | undefined) => {
    if (limit === undefined) return []
    const done = jobs
      .filter((job) => finishedType(job) === type)
      .sort((a, b) => startedMs(a) - startedMs(b) || (a.metadata.name < b.metadata.name ? -1 : 1))
    return done.slice(0, Math.max(0, done.length - limit))
  }
  return [...surplus('Complete', successfulJobsHistoryLimit), ...surplus('Failed', failedJobsHistoryLimit)]
}
/** The name of the Job of a scheduled time: the minute is in it, so that no minute runs twice. */
export const jobNameFor = (cronJob: CronJob, dueMs: number): string =>
  `${cronJob.metadata.name}-${Math.floor(dueMs / 60_000)}`

/** RFC 3339 in a time zone, for the annotation that tells a Job its scheduled time. */
export function zonedTime(ms: number, timeZone: string | undefined): string {
  const zone = timeZone ?? 'UTC'
  const parts = new Intl.DateTimeFormat('en-US', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    timeZoneName: 'longOffset',
  }).formatToParts(new Date(ms))
  const of = (type: string) => parts.find((part) => part.type === type)?.value ?? ''
  const offset = of('timeZoneName').replace(/^GMT(\+00:00)?/, '')
  return `${of('year')}-${of('month')}-${of('day')}T${of('hour')}:${of('minute')}:${of('second')}${offset === '' ? 'Z' : offset}`
}
