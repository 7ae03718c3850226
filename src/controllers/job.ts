// Job: runs pods until enough of them have succeeded.
import { type Job, type JobStatus, jobs } from '../api/batch/job.ts'
import { type Pod, pods as podKind } from '../api/core/pod.ts'
import { isReason } from '../api/machinery/errors.ts'
import { labelSelectorMatcher } from '../api/machinery/labels.ts'
import { keyOf } from '../client/informer.ts'
import { type Controller, recorderFor } from './framework/controller.ts'
import { controllerOf, createClaimer, enqueueOwners, ownerIn } from './framework/ownership.ts'
import { createPod, deletePods, isNamespaceTerminating, slowStart } from './framework/pod-control.ts'
import { isTerminating } from './framework/pods.ts'
import { startReconciler, type Writes } from './framework/reconciler.ts'
import { sameStatus } from './framework/status.ts'
import { isFinished, type JobPlan, planJob } from './job-plan.ts'
import { isTracked, jobPod, trackingFinalizer } from './job-pods.ts'

const ourName = 'kubernetes.io/job-controller'
/** Key prefix of pods whose Job is gone. */
const orphanPrefix = '#orphan '

export const jobController: Controller = {
  name: 'job-controller',
  start(context) {
    const { clock, informers } = context
    const recorder = recorderFor(context, 'job-controller')
    const owners = informers.informer(jobs)
    const pods = informers.informer(podKind)
    const claimer = createClaimer(context, jobs, pods)

    async function release(pod: Pod, writes: Writes): Promise<void> {
      const metadata = { uid: pod.metadata.uid, '$deleteFromPrimitiveList/finalizers': [trackingFinalizer] }
      try {
        await writes.patch(podKind, pod, 'strategic', { metadata })
      } catch (error) {
        // Gone, or another pod of that name: nothing to release.
        if (!isReason(error, 'NotFound') && !isReason(error, 'Conflict') && !isReason(error, 'Invalid')) throw error
      }
    }
    async function writeStatus(job: Job, status: JobStatus, writes: Writes): Promise<Job> {
      return sameStatus(status, job.status) ? job : writes.updateStatus(jobs, { ...job, status })
    }
    async function applyPods(job: Job, plan: JobPlan, writes: Writes): Promise<unknown> {
      const failed = await deletePods(job, plan.delete, writes, recorder)
      const { error } = await slowStart(plan.create.length, async (i) => {
        const next = plan.create[i]
        await createPod(job, jobPod(job, next?.index, next?.history), writes, recorder)
      })
      return (isNamespaceTerminating(error) ? undefined : error) ?? failed
    }
    async function releaseOrphan(key: string, writes: Writes): Promise<void> {
      const pod = pods.byKey(key)
      if (pod === undefined || !isTracked(pod)) return
      const reference = controllerOf(pod)
      if (reference !== undefined && reference.kind !== 'Job') return
      // The cache may be late: ask whether the Job is really gone.
      const owner = reference && (await context.client.resource(jobs).find(reference.name, pod.metadata.namespace))
      if (owner === undefined || owner.metadata.uid !== reference?.uid) await release(pod, writes)
    }

    async function reconcile(key: string, writes: Writes): Promise<number | void> {
      if (key.startsWith(orphanPrefix)) return releaseOrphan(key.slice(orphanPrefix.length), writes)
      const job = owners.byKey(key)
      if (job === undefined || (job.spec.managedBy !== undefined && job.spec.managedBy !== ourName)) return
      const claimed = await claimer.claim(job, labelSelectorMatcher(job.spec.selector), writes)
      if (isFinished(job)) {
        for (const pod of claimed) if (isTracked(pod)) await release(pod, writes)
        return
      }
      const plan = planJob(job, claimed, clock.now())
      // Ends are noted in the status before a pod may vanish; new pods before the status says that they are active.
      const notes = plan.release.length > 0
      let current = notes || plan.create.length === 0 ? await writeStatus(job, plan.status, writes) : job
      const error = await applyPods(job, plan, writes)
      if (current === job && plan.create.length > 0) {
        const active = (plan.status.active ?? 0) + (error === undefined ? plan.create.length : 0)
        current = await writeStatus(job, { ...plan.status, active }, writes)
      }
      for (const { type, reason, message } of plan.events) recorder.event(job, type, reason, message)
      await Promise.all(plan.release.map((pod) => release(pod, writes)))
      if (error !== undefined) throw error
      return plan.afterMs
    }

    const reconciler = startReconciler({
      context,
      caches: [owners, pods],
      reconcile,
      onStop() {
        for (const off of handlers) off()
        recorder.stop()
      },
    })
    const enqueue = (job: Job) => reconciler.enqueue(keyOf(job))
    const considerOrphan = (pod: Pod) => {
      if (!isTracked(pod)) return
      const reference = controllerOf(pod)
      if (reference === undefined || (reference.kind === 'Job' && ownerIn(owners, pod) === undefined))
        reconciler.enqueue(`${orphanPrefix}${keyOf(pod)}`)
    }
    const handlers = [
      owners.handle({
        add: enqueue,
        update: enqueue,
        delete(job) {
          for (const pod of claimer.controlledBy(job)) considerOrphan(pod)
        },
      }),
      enqueueOwners({
        owners,
        dependents: pods,
        enqueue,
        matches: (job) => (isTerminating(job) ? () => false : labelSelectorMatcher(job.spec.selector)),
      }),
      pods.handle({ add: considerOrphan, update: considerOrphan }),
    ]
    return reconciler
  },
}
