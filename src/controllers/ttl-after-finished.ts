// Deletes finished Jobs once their ttlSecondsAfterFinished has passed.
import { type Job, jobs as jobKind } from '../api/batch/job.ts'
import { keyOf } from '../client/informer.ts'
import { findCondition } from './framework/conditions.ts'
import type { Controller } from './framework/controller.ts'
import { startReconciler } from './framework/reconciler.ts'
import { timeMs } from './framework/time.ts'

/** When the Job is to be deleted, milliseconds since 1970; undefined while it runs or has no limit. */
export function expiryMs({ spec, status }: Job): number | undefined {
  if (spec.ttlSecondsAfterFinished === undefined) return undefined
  for (const type of ['Complete', 'Failed']) {
    const condition = findCondition(status.conditions, type)
    if (condition?.status === 'True') return timeMs(condition.lastTransitionTime) + spec.ttlSecondsAfterFinished * 1000
  }
  return undefined
}

export const ttlAfterFinishedController: Controller = {
  name: 'ttl-after-finished-controller',
  start(context) {
    const jobs = context.informers.informer(jobKind)
    const reconciler = startReconciler({
      context,
      caches: [jobs],
      async reconcile(key, writes) {
        const job = jobs.byKey(key)
        const atMs = job && expiryMs(job)
        if (job === undefined || atMs === undefined || job.metadata.deletionTimestamp !== undefined) return undefined
        const leftMs = atMs - context.clock.now()
        if (leftMs > 0) return leftMs
        const { uid, resourceVersion } = job.metadata
        const preconditions = { uid, resourceVersion }
        await writes.delete(jobKind, job, { propagationPolicy: 'Foreground', preconditions })
        return undefined
      },
      onStop: () => off(),
    })
    const consider = (job: Job) => {
      if (expiryMs(job) !== undefined) reconciler.enqueue(keyOf(job))
    }
    const off = jobs.handle({ add: consider, update: consider })
    return reconciler
  },
}
