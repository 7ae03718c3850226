// CronJob: makes a Job whenever its schedule says so.
import { type CronJob, cronJobs } from '../api/batch/cron-job.ts'
import { type Job, jobs as jobKind } from '../api/batch/job.ts'
import { isReason } from '../api/machinery/errors.ts'
import { formatTime } from '../api/machinery/time.ts'
import type { Input } from '../client/client.ts'
import { byControllerUid, keyOf } from '../client/informer.ts'
import { finishedType, jobNameFor, planHistory, scheduledTime, scheduleOf, zonedTime } from './cron-job-plan.ts'
import { type Controller, recorderFor } from './framework/controller.ts'
import { controllerRef, enqueueOwners, isControlledBy } from './framework/ownership.ts'
import { isNamespaceTerminating, messageOf } from './framework/pod-control.ts'
import { isTerminating } from './framework/pods.ts'
import { startReconciler, type Writes } from './framework/reconciler.ts'
import { sameStatus } from './framework/status.ts'
import { timeMs } from './framework/time.ts'

type CronJobStatus = CronJob['status']
const scheduledAnnotation = 'batch.kubernetes.io/cronjob-scheduled-timestamp'
const rfc1123 = (ms: number) => new Date(ms).toUTCString().replace('GMT', '+0000')

/** The Job of a scheduled time. */
export function jobFromTemplate(cronJob: CronJob, dueMs: number, timeZone: string | undefined): Input<Job> {
  const { metadata, spec } = cronJob.spec.jobTemplate
  const { namespace } = cronJob.metadata
  return {
    metadata: {
      name: jobNameFor(cronJob, dueMs),
      ...(namespace === undefined ? {} : { namespace }),
      ...(metadata.labels === undefined ? {} : { labels: metadata.labels }),
      annotations: { ...metadata.annotations, [scheduledAnnotation]: zonedTime(dueMs, timeZone) },
      ownerReferences: [controllerRef(cronJobs, cronJob)],
    },
    spec,
  }
}

export const cronJobController: Controller = {
  name: 'cronjob-controller',
  start(context) {
    const { client, clock, informers } = context
    const recorder = recorderFor(context, 'cronjob-controller')
    const owners = informers.informer(cronJobs)
    const jobs = informers.informer(jobKind)
    const children = jobs.index(byControllerUid)
    type Active = NonNullable<CronJobStatus['active']>[number]

    /** The status after a look at the Jobs: who still runs, and when the last one succeeded. */
    function observe(cronJob: CronJob, own: readonly Job[]): CronJobStatus {
      const known = cronJob.status.active ?? []
      let { lastSuccessfulTime } = cronJob.status
      const active: Active[] = []
      for (const reference of known) {
        const job = own.find((one) => one.metadata.uid === reference.uid)
        if (job === undefined) {
          recorder.event(cronJob, 'Normal', 'MissingJob', `Active job went missing: ${reference.name}`)
          continue
        }
        const type = finishedType(job)
        if (type === undefined) active.push(reference)
        else {
          const message = `Saw completed job: ${job.metadata.name}, condition: ${type}`
          recorder.event(cronJob, 'Normal', 'SawCompletedJob', message)
        }
      }
      for (const job of own) {
        if (finishedType(job) === undefined && !known.some(({ uid }) => uid === job.metadata.uid)) {
          const message = `Saw a job that the controller did not create or forgot: ${job.metadata.name}`
          if (!isTerminating(job)) recorder.event(cronJob, 'Warning', 'UnexpectedJob', message)
        }
        const { completionTime } = job.status
        if (finishedType(job) === 'Complete' && timeMs(completionTime) > timeMs(lastSuccessfulTime))
          lastSuccessfulTime = completionTime
      }
      return { ...cronJob.status, active, ...(lastSuccessfulTime === undefined ? {} : { lastSuccessfulTime }) }
    }
    async function removeJob(cronJob: CronJob, job: Job, writes: Writes): Promise<void> {
      try {
        await writes.delete(jobKind, job, { propagationPolicy: 'Background' })
        recorder.event(cronJob, 'Normal', 'SuccessfulDelete', `Deleted job ${job.metadata.name}`)
      } catch (error) {
        recorder.event(cronJob, 'Warning', 'FailedDelete', `Deleted job: ${messageOf(error)}`)
        throw error
      }
    }
    /** The Job of a time: the one just made, or our own from a run whose status write was lost. */
    async function makeJob(cronJob: CronJob, wanted: Input<Job>, writes: Writes): Promise<Job | undefined> {
      try {
        const job = await writes.create(jobKind, wanted)
        recorder.event(cronJob, 'Normal', 'SuccessfulCreate', `Created job ${job.metadata.name}`)
        return job
      } catch (error) {
        if (isNamespaceTerminating(error)) return undefined
        if (isReason(error, 'AlreadyExists')) {
          const job = await client.resource(jobKind).find(wanted.metadata.name ?? '', cronJob.metadata.namespace)
          if (job !== undefined && isControlledBy(job, cronJob)) return job
        }
        recorder.event(cronJob, 'Warning', 'FailedCreate', `Error creating job: ${messageOf(error)}`)
        throw error
      }
    }

    /** Starts what is due. Answers the status after it. */
    async function startDue(
      cronJob: CronJob,
      dueMs: number,
      timeZone: string | undefined,
      status: CronJobStatus,
      own: readonly Job[],
      writes: Writes,
    ): Promise<CronJobStatus> {
      const { concurrencyPolicy, startingDeadlineSeconds } = cronJob.spec
      const { name } = cronJob.metadata
      if (startingDeadlineSeconds !== undefined && dueMs + startingDeadlineSeconds * 1000 < clock.now()) {
        const message = `Missed scheduled time to start a job: ${rfc1123(dueMs)}`
        recorder.event(cronJob, 'Warning', 'MissSchedule', message)
        return status
      }
      let active = status.active ?? []
      if (active.some((one) => one.name === jobNameFor(cronJob, dueMs))) return status
      if (concurrencyPolicy === 'Forbid' && active.length > 0) {
        const message = 'Not starting job because prior execution is running and concurrency policy is Forbid'
        recorder.event(cronJob, 'Normal', 'JobAlreadyActive', message)
        return status
      }
      if (concurrencyPolicy === 'Replace') {
        for (const reference of active) {
          const job = own.find((one) => one.metadata.uid === reference.uid)
          if (job !== undefined) await removeJob(cronJob, job, writes)
        }
        active = []
      }
      const job = await makeJob(cronJob, jobFromTemplate(cronJob, dueMs, timeZone), writes)
      if (job === undefined) return { ...status, active }
      context.log.debug('job started', { cronJob: name, job: job.metadata.name })
      const { namespace, uid, resourceVersion } = job.metadata
      const reference: Active = {
        apiVersion: job.apiVersion,
        kind: job.kind,
        ...(namespace === undefined ? {} : { namespace }),
        name: job.metadata.name,
        uid,
        resourceVersion,
      }
      return { ...status, active: [...active, reference], lastScheduleTime: formatTime(dueMs) }
    }

    async function reconcile(key: string, writes: Writes): Promise<number | void> {
      const cronJob = owners.byKey(key)
      if (cronJob === undefined) return
      const own = children.get(cronJob.metadata.uid)
      let status = observe(cronJob, own)
      let afterMs: number | undefined
      try {
        for (const job of planHistory(cronJob, own)) await removeJob(cronJob, job, writes)
        if (isTerminating(cronJob) || cronJob.spec.suspend) return
        const schedule = scheduleOf(cronJob)
        if (!schedule.ok) {
          recorder.event(cronJob, 'Warning', schedule.reason, schedule.message)
          return
        }
        if (/TZ/.test(cronJob.spec.schedule)) {
          const message = `CRON_TZ or TZ used in schedule ${JSON.stringify(cronJob.spec.schedule)} is not officially supported, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details`
          recorder.event(cronJob, 'Warning', 'UnsupportedSchedule', message)
        }
        const nowMs = clock.now()
        const { dueMs, nextMs, tooManyMissed } = scheduledTime(cronJob, schedule, nowMs)
        if (tooManyMissed) {
          const message =
            'too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew'
          recorder.event(cronJob, 'Warning', 'TooManyMissedTimes', message)
        }
        if (nextMs !== undefined) afterMs = nextMs - nowMs + 100
        if (dueMs !== undefined) status = await startDue(cronJob, dueMs, schedule.timeZone, status, own, writes)
      } finally {
        if (!sameStatus(status, cronJob.status)) await writes.updateStatus(cronJobs, { ...cronJob, status })
      }
      return afterMs
    }

    const reconciler = startReconciler({
      context,
      caches: [owners, jobs],
      reconcile,
      onStop() {
        for (const off of handlers) off()
        recorder.stop()
      },
    })
    const enqueue = (cronJob: CronJob) => reconciler.enqueue(keyOf(cronJob))
    const handlers = [
      owners.handle({ add: enqueue, update: enqueue }),
      enqueueOwners({ owners, dependents: jobs, enqueue }),
    ]
    return reconciler
  },
}
