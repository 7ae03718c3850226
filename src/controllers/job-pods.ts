// Facts about the pods of a Job: which count as failed, which index they have, when they ended; and new pods.
import { type Job, jobs } from '../api/batch/job.ts'
import type { Pod } from '../api/core/pod.ts'
import type { Input } from '../client/client.ts'
import { controllerRef } from './framework/ownership.ts'
import { isTerminating, podCondition, podFromTemplate } from './framework/pods.ts'
import { createdMs, timeMs } from './framework/time.ts'

export const trackingFinalizer = 'batch.kubernetes.io/job-tracking'
export const indexKey = 'batch.kubernetes.io/job-completion-index'
export const failureCountAnnotation = 'batch.kubernetes.io/job-index-failure-count'
export const ignoredCountAnnotation = 'batch.kubernetes.io/job-index-ignored-failure-count'

export const isIndexed = (job: Job): boolean => job.spec.completionMode === 'Indexed'
export const isTracked = (pod: Pod): boolean => pod.metadata.finalizers?.includes(trackingFinalizer) ?? false
/** Only pods that have really ended are replaced, not those on their way. */
export const replacesOnlyFailed = (job: Job): boolean =>
  job.spec.podReplacementPolicy === 'Failed' ||
  (job.spec.podReplacementPolicy === undefined && job.spec.podFailurePolicy !== undefined)

export const hasSucceeded = (pod: Pod): boolean => pod.status.phase === 'Succeeded'
/** A pod that is being deleted counts as failed at once, unless the Job waits for its real end. */
export const hasFailed = (job: Job, pod: Pod): boolean =>
  pod.status.phase === 'Failed' || (!replacesOnlyFailed(job) && isTerminating(pod) && !hasSucceeded(pod))

/** The completion index of a pod; undefined where it has none. */
export function indexOf(pod: Pod): number | undefined {
  const text = pod.metadata.annotations?.[indexKey]
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined
}
export const countAnnotation = (pod: Pod, name: string): number => {
  const text = pod.metadata.annotations?.[name]
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : 0
}
/** When the last container of an ended pod ended. */
export function endedMs(pod: Pod): number {
  const ends = (pod.status.containerStatuses ?? []).map((status) => timeMs(status.state.terminated?.finishedAt))
  return (
    Math.max(0, ...ends) ||
    timeMs(pod.metadata.deletionTimestamp) ||
    timeMs(podCondition(pod, 'Ready')?.lastTransitionTime) ||
    createdMs(pod)
  )
}

/** What a new pod of an index carries over from the pods before it. */
export interface IndexHistory {
  readonly failures: number
  readonly ignored: number
}
const indexEnvironment = {
  name: 'JOB_COMPLETION_INDEX',
  valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: `metadata.labels['${indexKey}']` } },
}

/** The pod of a Job, for an Indexed one with its index in label, annotation, environment, host name and name. */
export function jobPod(job: Job, index: number | undefined, history: IndexHistory | undefined): Input<Pod> {
  const { name, namespace = '' } = job.metadata
  const pod = podFromTemplate(job.spec.template, namespace, controllerRef(jobs, job))
  const finalizers = [...(pod.metadata.finalizers ?? []), trackingFinalizer]
  if (index === undefined) return { ...pod, metadata: { ...pod.metadata, finalizers } }
  type Container = Pod['spec']['containers'][number]
  const withIndex = (container: Container): Container =>
    container.env?.some((variable) => variable.name === indexEnvironment.name)
      ? container
      : { ...container, env: [...(container.env ?? []), indexEnvironment] as never }
  const { containers, initContainers } = pod.spec
  return {
    metadata: {
      ...pod.metadata,
      finalizers,
      generateName: `${name}-${index}-`,
      labels: { ...pod.metadata.labels, [indexKey]: String(index) },
      annotations: {
        ...pod.metadata.annotations,
        [indexKey]: String(index),
        ...(history === undefined ? {} : { [failureCountAnnotation]: String(history.failures) }),
        ...(history === undefined || history.ignored === 0
          ? {}
          : { [ignoredCountAnnotation]: String(history.ignored) }),
      },
    },
    spec: {
      ...pod.spec,
      containers: containers.map(withIndex),
      ...(initContainers === undefined ? {} : { initContainers: initContainers.map(withIndex) }),
      hostname: `${name}-${index}`,
    },
  }
}
