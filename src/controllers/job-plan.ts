// What a Job does next. Every end of a pod is counted exactly once: its UID is first noted in the status, then the pod
// loses its finalizer, and only when that is seen the UID becomes a number. A crash between two of these steps repeats
// the step, never the count.
import type { Job, JobCondition, JobStatus } from '../api/batch/job.ts'
import type { Pod } from '../api/core/pod.ts'
import { formatTime } from '../api/machinery/time.ts'
import { findCondition, withCondition } from './framework/conditions.ts'
import { isPodActive, isPodReady, isPodTerminal, isTerminating } from './framework/pods.ts'
import { timeMs } from './framework/time.ts'
import { formatIndexes, parseIndexes } from './job-indexes.ts'
import {
  countAnnotation,
  endedMs,
  failureCountAnnotation,
  hasFailed,
  hasSucceeded,
  type IndexHistory,
  ignoredCountAnnotation,
  indexOf,
  isIndexed,
  isTracked,
  replacesOnlyFailed,
} from './job-pods.ts'
import { judgeFailure, metSuccessRule } from './job-policies.ts'

const firstBackoffMs = 10_000
const lastBackoffMs = 600_000
const burst = 500

export interface NewPod {
  readonly index?: number
  readonly history?: IndexHistory
}
export interface JobEvent {
  readonly type: 'Normal' | 'Warning'
  readonly reason: string
  readonly message: string
}
export interface JobPlan {
  /** To be written before anything else, when it differs. */
  readonly status: JobStatus
  readonly create: readonly NewPod[]
  readonly delete: readonly Pod[]
  /** Ended pods whose count is safe in the status: they may go. */
  readonly release: readonly Pod[]
  /** Recorded once the status is written. */
  readonly events: readonly JobEvent[]
  /** Look again after this, milliseconds. */
  readonly afterMs: number | undefined
}

export const isFinished = (job: Job): boolean =>
  ['Complete', 'Failed'].some((type) => findCondition(job.status.conditions, type)?.status === 'True')

/** Numbers over the pods and the status together. */
interface Tally {
  readonly succeeded: number
  readonly failed: number
  /** Indexed jobs. */
  readonly completed: ReadonlySet<number>
  readonly failedIndexes: ReadonlySet<number>
  /** UIDs noted in the status that are not yet numbers. */
  readonly noted: { readonly succeeded: readonly string[]; readonly failed: readonly string[] }
  /** Numbers without the noted ones. */
  readonly settled: { readonly succeeded: number; readonly failed: number }
  readonly release: readonly Pod[]
  readonly failJobMessage: string | undefined
}

/** Counts what has ended. */
function tally(job: Job, pods: readonly Pod[]): Tally {
  const { status, spec } = job
  const indexed = isIndexed(job)
  const completions = spec.completions ?? 0
  const tracked = new Set(pods.filter(isTracked).map((pod) => pod.metadata.uid))
  const uncounted = {
    succeeded: status.uncountedTerminatedPods?.succeeded ?? [],
    failed: status.uncountedTerminatedPods?.failed ?? [],
  }
  // Noted, and the pod has lost its finalizer (or is gone): now it is a number.
  const done = {
    succeeded: uncounted.succeeded.filter((uid) => !tracked.has(uid)),
    failed: uncounted.failed.filter((uid) => !tracked.has(uid)),
  }
  const noted = {
    succeeded: uncounted.succeeded.filter((uid) => tracked.has(uid)),
    failed: uncounted.failed.filter((uid) => tracked.has(uid)),
  }
  const known = new Set([...noted.succeeded, ...noted.failed])
  const completed = new Set(parseIndexes(status.completedIndexes, completions))
  const failedIndexes = new Set(parseIndexes(status.failedIndexes, completions))
  const perIndex = spec.backoffLimitPerIndex
  const latest = perIndex === undefined ? undefined : latestFailedByIndex(job, pods)
  // pods that go because the job ends have failed, their indexes have not
  const ending = ['FailureTarget', 'SuccessCriteriaMet'].some(
    (type) => findCondition(status.conditions, type)?.status === 'True',
  )
  const release: Pod[] = []
  let failJobMessage: string | undefined
  for (const pod of pods) {
    if (!isTracked(pod)) continue
    const { uid } = pod.metadata
    const index = indexed ? indexOf(pod) : undefined
    const valid = !indexed || (index !== undefined && index < completions)
    if (hasSucceeded(pod)) {
      release.push(pod)
      if (indexed) {
        if (valid && index !== undefined) completed.add(index)
      } else if (!known.has(uid)) noted.succeeded.push(uid)
    } else if (hasFailed(job, pod)) {
      const verdict = pod.status.phase === 'Failed' ? judgeFailure(job, pod) : ({ action: 'Count' } as const)
      if (verdict.action === 'FailJob') failJobMessage ??= verdict.message
      if (perIndex !== undefined && !ending && index !== undefined && valid && verdict.action !== 'Ignore') {
        const exhausted = verdict.action === 'FailIndex' || countAnnotation(pod, failureCountAnnotation) >= perIndex
        if (exhausted && !completed.has(index)) failedIndexes.add(index)
      }
      if (verdict.action !== 'Ignore' && valid && !known.has(uid)) noted.failed.push(uid)
      // The last failure of an index carries its history: it stays until the replacement has taken that over.
      const needed =
        latest !== undefined &&
        index !== undefined &&
        latest.get(index) === pod &&
        !failedIndexes.has(index) &&
        !completed.has(index)
      if (!needed || ending || job.metadata.deletionTimestamp !== undefined) release.push(pod)
    } else if (job.metadata.deletionTimestamp !== undefined) release.push(pod)
  }
  const settled = {
    succeeded: indexed ? completed.size : (status.succeeded ?? 0) + done.succeeded.length,
    failed: (status.failed ?? 0) + done.failed.length,
  }
  return {
    succeeded: settled.succeeded + (indexed ? 0 : noted.succeeded.length),
    failed: settled.failed + noted.failed.length,
    completed,
    failedIndexes,
    noted,
    settled,
    release,
    failJobMessage,
  }
}
/** The most advanced failed pod of each index that has no running one. */
function latestFailedByIndex(job: Job, pods: readonly Pod[]): ReadonlyMap<number, Pod> {
  const latest = new Map<number, Pod>()
  const order = (pod: Pod) =>
    countAnnotation(pod, failureCountAnnotation) + countAnnotation(pod, ignoredCountAnnotation)
  for (const pod of pods) {
    const index = indexOf(pod)
    if (index === undefined || !hasFailed(job, pod)) continue
    const before = latest.get(index)
    if (before === undefined || order(pod) > order(before)) latest.set(index, pod)
  }
  for (const pod of pods) {
    const index = indexOf(pod)
    if (index !== undefined && !hasFailed(job, pod)) latest.delete(index)
  }
  return latest
}

type End = { readonly kind: 'Failed' | 'Complete'; readonly reason: string; readonly message: string }
/** Why the Job is to end; undefined while it goes on. */
function endOf(job: Job, pods: readonly Pod[], counts: Tally, active: number, nowMs: number): End | undefined {
  const { spec, status } = job
  const target = findCondition(status.conditions, 'FailureTarget')
  if (target?.status === 'True') return { kind: 'Failed', reason: target.reason ?? '', message: target.message ?? '' }
  const met = findCondition(status.conditions, 'SuccessCriteriaMet')
  if (met?.status === 'True') return { kind: 'Complete', reason: met.reason ?? '', message: met.message ?? '' }
  const failed = (reason: string, message: string): End => ({ kind: 'Failed', reason, message })
  if (counts.failJobMessage !== undefined) return failed('PodFailurePolicy', counts.failJobMessage)
  const limit = spec.backoffLimit ?? 6
  if (counts.failed > limit || restartsExceed(job, pods, limit))
    return failed('BackoffLimitExceeded', 'Job has reached the specified backoff limit')
  const deadline = deadlineMs(job)
  if (deadline !== undefined && !spec.suspend && deadline <= nowMs)
    return failed('DeadlineExceeded', 'Job was active longer than specified deadline')
  if (isIndexed(job) && spec.backoffLimitPerIndex !== undefined) {
    if (spec.maxFailedIndexes !== undefined && counts.failedIndexes.size > spec.maxFailedIndexes)
      return failed('MaxFailedIndexesExceeded', 'Job has exceeded the specified maximal number of failed indexes')
    if (counts.failedIndexes.size > 0 && counts.failedIndexes.size + counts.completed.size >= (spec.completions ?? 0))
      return failed('FailedIndexes', 'Job has failed indexes')
  }
  const rule = metSuccessRule(job, counts.completed)
  if (rule !== undefined) return { kind: 'Complete', reason: 'SuccessPolicy', message: rule }
  const enough =
    spec.completions === undefined ? counts.succeeded > 0 && active === 0 : counts.succeeded >= spec.completions
  const waits = spec.completions === undefined && spec.suspend
  return enough && !waits
    ? { kind: 'Complete', reason: 'CompletionsReached', message: 'Reached expected number of succeeded pods' }
    : undefined
}
/** restartPolicy OnFailure: the node restarts containers, and the restarts count. */
function restartsExceed(job: Job, pods: readonly Pod[], limit: number): boolean {
  if (job.spec.template.spec.restartPolicy !== 'OnFailure') return false
  let restarts = 0
  for (const { status } of pods) {
    if (status.phase !== 'Running' && status.phase !== 'Pending') continue
    for (const one of [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])])
      restarts += one.restartCount
  }
  return limit === 0 ? restarts > 0 : restarts >= limit
}
function deadlineMs({ spec, status }: Job): number | undefined {
  if (spec.activeDeadlineSeconds === undefined || status.startTime === undefined) return undefined
  return timeMs(status.startTime) + spec.activeDeadlineSeconds * 1000
}

/** Failures one after another, ignored ones too: how long to wait before the next attempt. */
function backoffMs(ended: readonly Pod[], nowMs: number): number {
  let failures = 0
  let lastMs = 0
  // Of ends in the same second the failures come last, so that they are not forgiven.
  const rank = (pod: Pod) => (hasSucceeded(pod) ? 1 : 0)
  for (const pod of [...ended].sort((a, b) => endedMs(b) - endedMs(a) || rank(a) - rank(b))) {
    if (hasSucceeded(pod)) break
    failures++
    lastMs = Math.max(lastMs, endedMs(pod))
  }
  if (failures === 0) return 0
  return Math.max(0, lastMs + Math.min(lastBackoffMs, firstBackoffMs * 2 ** (failures - 1)) - nowMs)
}

interface Changes {
  readonly create: readonly NewPod[]
  readonly delete: readonly Pod[]
  readonly afterMs: number | undefined
}
const nothing: Changes = { create: [], delete: [], afterMs: undefined }

/** Pods to make or take away while the Job goes on. */
function planPods(job: Job, pods: readonly Pod[], counts: Tally, nowMs: number): Changes {
  const { spec } = job
  const active = pods.filter(isPodActive)
  if (spec.suspend) return { ...nothing, delete: active }
  const parallelism = spec.parallelism ?? 1
  const left =
    spec.completions === undefined
      ? counts.succeeded > 0
        ? active.length
        : parallelism
      : spec.completions - counts.succeeded - counts.failedIndexes.size
  const wanted = Math.max(0, Math.min(left, parallelism))
  const surplus = isIndexed(job) ? duplicates(active, counts, spec.completions ?? 0) : []
  const kept = active.filter((pod) => !surplus.includes(pod))
  if (kept.length > wanted) surplus.push(...byRemoval(kept).slice(0, kept.length - wanted))
  if (surplus.length > 0) return { ...nothing, delete: surplus.slice(0, burst) }
  const terminating = replacesOnlyFailed(job)
    ? pods.filter((pod) => isTerminating(pod) && !isPodTerminal(pod)).length
    : 0
  const room = Math.min(wanted - kept.length - terminating, burst)
  if (room <= 0) return nothing
  return isIndexed(job) ? planIndexes(job, pods, counts, room, nowMs) : planPlain(job, pods, room, nowMs)
}
function planPlain(job: Job, pods: readonly Pod[], room: number, nowMs: number): Changes {
  const waitMs = backoffMs(
    pods.filter((pod) => hasSucceeded(pod) || hasFailed(job, pod)),

    nowMs,
  )
  if (waitMs > 0) return { ...nothing, afterMs: waitMs }
  return { ...nothing, create: Array.from({ length: room }, () => ({})) }
}
function planIndexes(job: Job, pods: readonly Pod[], counts: Tally, room: number, nowMs: number): Changes {
  const perIndex = job.spec.backoffLimitPerIndex !== undefined
  const taken = new Set<number>()
  const endedBy = new Map<number, Pod[]>()
  for (const pod of pods) {
    const index = indexOf(pod)
    if (index === undefined) continue
    const ended = hasSucceeded(pod) || hasFailed(job, pod)
    if (ended) endedBy.set(index, [...(endedBy.get(index) ?? []), pod])
    const holds = isPodActive(pod) || (replacesOnlyFailed(job) && isTerminating(pod) && !isPodTerminal(pod))
    if (holds) taken.add(index)
  }
  let afterMs: number | undefined
  if (!perIndex) {
    const waitMs = backoffMs([...endedBy.values()].flat(), nowMs)
    if (waitMs > 0) return { ...nothing, afterMs: waitMs }
  }
  const create: NewPod[] = []
  for (let index = 0; index < (job.spec.completions ?? 0) && create.length < room; index++) {
    if (taken.has(index) || counts.completed.has(index) || counts.failedIndexes.has(index)) continue
    if (!perIndex) {
      create.push({ index })
      continue
    }
    const before = endedBy.get(index) ?? []
    const waitMs = backoffMs(before, nowMs)
    if (waitMs > 0) {
      afterMs = Math.min(afterMs ?? waitMs, waitMs)
      continue
    }
    create.push({ index, history: historyOf(job, before) })
  }
  return { create, delete: [], afterMs }
}
/** The counts that the next pod of an index carries. */
function historyOf(job: Job, before: readonly Pod[]): IndexHistory {
  let history: IndexHistory = { failures: 0, ignored: 0 }
  for (const pod of before) {
    const failures = countAnnotation(pod, failureCountAnnotation)
    const ignored = countAnnotation(pod, ignoredCountAnnotation)
    const ignore = pod.status.phase === 'Failed' && judgeFailure(job, pod).action === 'Ignore'
    const next = ignore ? { failures, ignored: ignored + 1 } : { failures: failures + 1, ignored }
    if (next.failures + next.ignored > history.failures + history.ignored) history = next
  }
  return history
}
/** Active pods of indexes that are done, out of range, or held by another pod already. */
function duplicates(active: readonly Pod[], counts: Tally, completions: number): Pod[] {
  const seen = new Set<number>()
  const surplus: Pod[] = []
  for (const pod of [...byRemoval(active)].reverse()) {
    const index = indexOf(pod)
    const unwanted =
      index === undefined || index >= completions || counts.completed.has(index) || counts.failedIndexes.has(index)
    if (unwanted || seen.has(index)) surplus.push(pod)
    else seen.add(index)
  }
  return surplus
}
/** Those that have come least far go first; of equals the higher index. */
function byRemoval(pods: readonly Pod[]): readonly Pod[] {
  const stage = (pod: Pod) =>
    (pod.spec.nodeName ? 1 : 0) + (pod.status.phase === 'Running' ? 2 : 0) + (isPodReady(pod) ? 4 : 0)
  const age = (pod: Pod) => timeMs(pod.metadata.creationTimestamp)
  return [...pods].sort((a, b) => stage(a) - stage(b) || (indexOf(b) ?? 0) - (indexOf(a) ?? 0) || age(b) - age(a))
}

type Conditions = readonly JobCondition[]
const add = (conditions: Conditions, type: string, end: End, nowMs: number): Conditions =>
  findCondition(conditions, type)?.status === 'True'
    ? conditions
    : withCondition<JobCondition>(
        conditions,
        { type, status: 'True', reason: end.reason, message: end.message, lastProbeTime: formatTime(nowMs) },
        nowMs,
      )

/** Suspended and resumed, with the start time, which a resumed Job gets anew. */
function planSuspension(job: Job, conditions: Conditions, nowMs: number) {
  const suspended = findCondition(conditions, 'Suspended')?.status === 'True'
  const events: JobEvent[] = []
  let { startTime } = job.status
  let next = conditions
  const note = (status: 'True' | 'False', reason: string, message: string) => {
    const condition = { type: 'Suspended', status, reason, message, lastProbeTime: formatTime(nowMs) }
    next = withCondition<JobCondition>(conditions, condition, nowMs)
  }
  if (job.spec.suspend && !suspended) {
    note('True', 'JobSuspended', 'Job suspended')
    events.push({ type: 'Normal', reason: 'Suspended', message: 'Job suspended' })
    startTime = undefined
  } else if (!job.spec.suspend && suspended) {
    note('False', 'JobResumed', 'Job resumed')
    events.push({ type: 'Normal', reason: 'Resumed', message: 'Job resumed' })
    startTime = formatTime(nowMs)
  }
  if (!job.spec.suspend) startTime ??= formatTime(nowMs)
  return { conditions: next, startTime, events }
}

/** Everything to do for a Job that has not finished. */
export function planJob(job: Job, pods: readonly Pod[], nowMs: number): JobPlan {
  const counts = tally(job, pods)
  const active = pods.filter(isPodActive)
  const events: JobEvent[] = []
  let conditions: Conditions = job.status.conditions ?? []
  let { startTime, completionTime } = job.status
  const end = endOf(job, pods, counts, active.length, nowMs)
  let changes: Changes
  let finished = false
  if (end === undefined) {
    const suspension = planSuspension(job, conditions, nowMs)
    conditions = suspension.conditions
    startTime = suspension.startTime
    events.push(...suspension.events)
    changes = isTerminating(job) ? nothing : planPods(job, pods, counts, nowMs)
  } else {
    startTime ??= formatTime(nowMs)
    changes = { ...nothing, delete: active }
    conditions = add(conditions, end.kind === 'Failed' ? 'FailureTarget' : 'SuccessCriteriaMet', end, nowMs)
    const remaining = pods.some((pod) => !isPodTerminal(pod))
    finished = !remaining && counts.noted.succeeded.length + counts.noted.failed.length === 0
    if (finished) {
      conditions = add(conditions, end.kind, end, nowMs)
      if (end.kind === 'Complete') completionTime = formatTime(nowMs)
      events.push(
        end.kind === 'Complete'
          ? { type: 'Normal', reason: 'Completed', message: 'Job completed' }
          : { type: 'Warning', reason: end.reason, message: end.message },
      )
    }
  }
  const released = end !== undefined ? pods.filter((pod) => isTracked(pod) && isPodTerminal(pod)) : []
  const release = [...new Set([...counts.release, ...released])]
  const deadline =
    finished || job.spec.suspend ? undefined : deadlineMs({ ...job, status: { ...job.status, startTime } })
  const waits = [changes.afterMs, deadline === undefined ? undefined : Math.max(0, deadline - nowMs)]
  return {
    status: {
      ...statusCounts(job, pods, counts, changes),
      ...(startTime === undefined ? {} : { startTime }),
      ...(completionTime === undefined ? {} : { completionTime }),
      ...(conditions.length === 0 ? {} : { conditions }),
    },
    create: changes.create,
    delete: changes.delete,
    release,
    events,
    afterMs: finished ? undefined : minimum(waits),
  }
}
function minimum(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined)
  return known.length === 0 ? undefined : Math.min(...known)
}
function statusCounts(job: Job, pods: readonly Pod[], counts: Tally, changes: Changes): JobStatus {
  const active = pods.filter((pod) => isPodActive(pod) && !changes.delete.includes(pod))
  const leaving = pods.filter((pod) => !isPodTerminal(pod) && (isTerminating(pod) || changes.delete.includes(pod)))
  const { succeeded, failed } = counts.noted
  const indexed = isIndexed(job)
  return {
    active: active.length,
    ready: active.filter(isPodReady).length,
    terminating: leaving.length,
    succeeded: counts.settled.succeeded,
    failed: counts.settled.failed,
    uncountedTerminatedPods: {
      ...(succeeded.length === 0 ? {} : { succeeded }),
      ...(failed.length === 0 ? {} : { failed }),
    },
    ...(indexed ? { completedIndexes: formatIndexes(counts.completed) } : {}),
    ...(indexed && job.spec.backoffLimitPerIndex !== undefined
      ? { failedIndexes: formatIndexes(counts.failedIndexes) }
      : {}),
  }
}
