// Creates and deletes pods for a workload, with the events users know, in batches that grow only while they succeed: a
// quota or a webhook that refuses one pod is asked once, not five hundred times.
import { ApiError } from '../../api/machinery/errors.ts'
import type { DeleteOptions, KubeObject } from '../../api/machinery/meta.ts'
import { type Pod, pods } from '../../api/core/pod.ts'
import type { Input } from '../../client/client.ts'
import type { EventRecorder } from '../../client/event-recorder.ts'
import type { Writes } from './reconciler.ts'

/** Pods that one run creates or deletes at most. */
export const burstReplicas = 500
const firstBatch = 1

/** True when the namespace is being deleted: nothing can be created there, and nobody needs to hear of it. */
export const isNamespaceTerminating = (error: unknown): boolean =>
  error instanceof ApiError &&
  (error.details?.causes?.some((cause) => cause.reason === 'NamespaceTerminating') ?? false)

/** The text of whatever was thrown. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** Runs `count` calls in batches of 1, 2, 4 ...; stops after the first batch in which one failed. */
export async function slowStart(
  count: number,
  call: (index: number) => Promise<void>,
): Promise<{ readonly done: number; readonly error: unknown }> {
  let done = 0
  for (let batch = Math.min(count, firstBatch); batch > 0; batch = Math.min(2 * batch, count - done)) {
    const from = done
    const results = await Promise.allSettled(Array.from({ length: batch }, (_, i) => call(from + i)))
    done += results.filter((result) => result.status === 'fulfilled').length
    const failed = results.find((result) => result.status === 'rejected')
    if (failed !== undefined) return { done, error: failed.reason }
  }
  return { done, error: undefined }
}

/** Creates one pod and records SuccessfulCreate or FailedCreate on the owner. */
export async function createPod(
  owner: KubeObject,
  pod: Input<Pod>,
  writes: Writes,
  recorder: EventRecorder,
): Promise<Pod> {
  try {
    const created = await writes.create(pods, pod)
    recorder.event(owner, 'Normal', 'SuccessfulCreate', `Created pod: ${created.metadata.name}`)
    return created
  } catch (error) {
    if (!isNamespaceTerminating(error))
      recorder.event(owner, 'Warning', 'FailedCreate', `Error creating: ${messageOf(error)}`)
    throw error
  }
}
/** Deletes one pod and records SuccessfulDelete or FailedDelete on the owner; a pod that is gone is no event. */
export async function deletePod(
  owner: KubeObject,
  pod: Pod,
  writes: Writes,
  recorder: EventRecorder,
  options: DeleteOptions = {},
): Promise<void> {
  try {
    if (await writes.delete(pods, pod, options))
      recorder.event(owner, 'Normal', 'SuccessfulDelete', `Deleted pod: ${pod.metadata.name}`)
  } catch (error) {
    recorder.event(owner, 'Warning', 'FailedDelete', `Error deleting: ${messageOf(error)}`)
    throw error
  }
}
/** Deletes all of them at once; answers the first error. */
export async function deletePods(
  owner: KubeObject,
  doomed: readonly Pod[],
  writes: Writes,
  recorder: EventRecorder,
): Promise<unknown> {
  const results = await Promise.allSettled(doomed.map((pod) => deletePod(owner, pod, writes, recorder)))
  return results.find((result) => result.status === 'rejected')?.reason
}
