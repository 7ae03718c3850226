// POST pods/NAME/eviction: deletes a pod unless a disruption budget forbids it now. The budget's own count of allowed
// disruptions is lowered first, so that two evictions at the same moment cannot both use the last one.
// (https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/)
import type { Pod } from '../../api/core/pod.ts'
import { ApiError, badRequest, type Cause, forbidden, notFound } from '../../api/machinery/errors.ts'
import { labelSelectorMatcher } from '../../api/machinery/labels.ts'
import type { DeleteOptions, KubeObject } from '../../api/machinery/meta.ts'
import type { PodDisruptionBudget } from '../../api/policy/pod-disruption-budget.ts'
import { rfc3339 } from '../../ports/clock.ts'
import { type AdmissionRequest, mutateAdmission, validateAdmission, writeOptions } from '../admission/admission.ts'
import type { ObjectDraft } from '../codec.ts'
import type { ResourceRequest } from '../context.ts'
import { dryRunOf } from '../handlers/checks.ts'
import { deleteEntry } from '../handlers/delete.ts'
import { mostRecent } from '../handlers/freshness.ts'
import { conflictRetries } from '../handlers/update.ts'
import type { Outcome } from '../responders/outcome.ts'
import type { Entry } from '../storage/collection.ts'
import { replaceObject } from '../storage/write.ts'
import { readBodyOf } from './body.ts'
import { evictionKind } from './body-kinds.ts'
import { created } from './status-answer.ts'

interface Eviction {
  readonly metadata: { readonly name?: string }
  readonly deleteOptions?: DeleteOptions
}
/** More pods than these in disruptedPods mean that the budget's controller is not keeping up. */
const maxDisruptedPods = 2000
const podResource = { group: '', resource: 'pods' }

export async function evictPod(call: ResourceRequest): Promise<Outcome> {
  const { server, info } = call
  const eviction = await readBodyOf<Eviction>(call, {
    kind: 'Eviction',
    apiVersions: ['policy/v1', 'policy/v1beta1'],
    schema: evictionKind.schema,
  })
  const given = eviction.metadata.name ?? ''
  if (given !== '' && given !== info.name) throw badRequest('name in URL does not match name in Eviction object')
  const options = eviction.deleteOptions ?? {}
  const dryRun = call.dryRun || dryRunOf(options.dryRun ?? [], 'delete')
  const { collection } = server.resources.required('', 'pods')
  await admit(call, eviction)
  for (let attempt = 0; ; attempt++) {
    await mostRecent(server, collection)
    const entry = collection.find(info.namespace, info.name)
    if (entry === undefined) throw notFound(podResource, info.name)
    const pod = collection.object(entry) as unknown as Pod
    const allowed = isIgnored(pod) || (await askBudget(call, pod, dryRun))
    if (!allowed && attempt < conflictRetries) continue
    await remove(call, entry, pod, { ...options, ...(dryRun ? { dryRun: ['All'] } : {}) })
    return created()
  }
}

/** Admission sees the eviction; the deletion that follows is part of it. */
async function admit(call: ResourceRequest, eviction: Eviction): Promise<void> {
  const admission: AdmissionRequest = {
    operation: 'CREATE',
    resource: call.resource,
    namespace: call.info.namespace,
    name: call.info.name,
    subresource: 'eviction',
    user: call.user,
    dryRun: call.dryRun,
    object: eviction as unknown as ObjectDraft,
    oldObject: undefined,
    shape: { apiVersion: 'policy/v1', kind: 'Eviction', schema: evictionKind.schema },
    options: writeOptions(call, 'CreateOptions'),
    warnings: call.warnings,
    audit: call.request.audit,
  }
  await mutateAdmission(admission, call.server)
  await validateAdmission(admission, call.server)
}

/** Pods that do not count as running: no budget protects them. */
const isIgnored = (pod: Pod): boolean =>
  ['Succeeded', 'Failed', 'Pending'].includes(pod.status.phase ?? '') || pod.metadata.deletionTimestamp !== undefined

async function remove(call: ResourceRequest, entry: Entry, pod: Pod, options: DeleteOptions): Promise<void> {
  const { server } = call
  const { collection } = server.resources.required('', 'pods')
  let current = entry
  if (!isIgnored(pod) && (options.dryRun ?? []).length === 0) {
    const condition = {
      type: 'DisruptionTarget',
      status: 'True',
      lastTransitionTime: rfc3339(server.clock.now()),
      reason: 'EvictionByEvictionAPI',
      message: 'Eviction API: evicting',
      ...(pod.metadata.generation === undefined ? {} : { observedGeneration: pod.metadata.generation }),
    }
    const others = (pod.status.conditions ?? []).filter((c) => c.type !== condition.type)
    const marked = { ...pod, status: { ...pod.status, conditions: [...others, condition] } }
    const result = await replaceObject(server, collection, entry, marked)
    if (result.ok) current = result.entry
    else if (result.taken || result.current === undefined) throw notFound(podResource, entry.name)
    else current = result.current
  }
  await deleteEntry(call, current, options, { admitted: true })
}

/** True when a budget allows the eviction (and has been charged for it), or none is concerned. False when somebody else
 * changed the budget meanwhile. Throws TooManyRequests when there is no disruption left. */
async function askBudget(call: ResourceRequest, pod: Pod, dryRun: boolean): Promise<boolean> {
  const { server } = call
  const storage = server.resources.storage('policy', 'poddisruptionbudgets')
  if (storage === undefined) return true
  const { collection } = storage
  await mostRecent(server, collection)
  const { namespace = '', name } = pod.metadata
  const concerned = collection.all(namespace).filter((entry) => {
    const { spec } = collection.object(entry) as unknown as PodDisruptionBudget
    return labelSelectorMatcher(spec.selector)(pod.metadata.labels)
  })
  const [entry, another] = concerned
  if (entry === undefined) return true
  if (another !== undefined) {
    throw new ApiError(
      'InternalError',
      'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.',
    )
  }
  const budget = collection.object(entry) as unknown as PodDisruptionBudget
  if (!isReady(pod) && mayEvictUnready(budget)) return true
  checkBudget(budget)
  if (dryRun) return true
  const result = await replaceObject(server, collection, entry, charged(budget, name, rfc3339(server.clock.now())))
  return result.ok
}

const isReady = (pod: Pod): boolean =>
  (pod.status.conditions ?? []).some((condition) => condition.type === 'Ready' && condition.status === 'True')

/** A pod that does not serve anyway may go under these policies without a charge. */
function mayEvictUnready({ spec, status }: PodDisruptionBudget): boolean {
  if (spec.unhealthyPodEvictionPolicy === 'AlwaysAllow') return true
  return status.currentHealthy >= status.desiredHealthy && status.desiredHealthy > 0
}

function checkBudget(budget: PodDisruptionBudget): void {
  const { metadata, status } = budget
  const tooMany = (cause: string, retryAfterSeconds?: number) => {
    const causes: Cause[] = [{ reason: 'DisruptionBudget', message: cause }]
    return new ApiError('TooManyRequests', "Cannot evict pod as it would violate the pod's disruption budget.", {
      causes,
      ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
    })
  }
  const resource = { group: 'policy', resource: 'poddisruptionbudgets' }
  if ((status.observedGeneration ?? 0) < (metadata.generation ?? 0)) {
    throw tooMany(`The disruption budget ${metadata.name} is still being processed by the server.`, 10)
  }
  if (status.disruptionsAllowed < 0) throw forbidden(resource, metadata.name, 'pdb disruptions allowed is negative')
  if (Object.keys(status.disruptedPods ?? {}).length > maxDisruptedPods) {
    throw forbidden(
      resource,
      metadata.name,
      'DisruptedPods map too big - too many evictions not confirmed by PDB controller',
    )
  }
  if (status.disruptionsAllowed === 0) {
    throw tooMany(
      `The disruption budget ${metadata.name} needs ${status.desiredHealthy} healthy pods and has ${status.currentHealthy} currently`,
    )
  }
}

/** The budget with one disruption less, and the pod's name in it until its controller has seen it go. */
function charged(budget: PodDisruptionBudget, podName: string, now: string): KubeObject {
  const { status } = budget
  const disruptionsAllowed = status.disruptionsAllowed - 1
  const conditions =
    disruptionsAllowed > 0
      ? status.conditions
      : (status.conditions ?? []).map((condition) =>
          condition.type === 'DisruptionAllowed' && condition.status === 'True'
            ? { ...condition, status: 'False', reason: 'InsufficientPods', lastTransitionTime: now }
            : condition,
        )
  return {
    ...budget,
    status: {
      ...status,
      disruptionsAllowed,
      disruptedPods: { ...status.disruptedPods, [podName]: now },
      ...(conditions === undefined ? {} : { conditions }),
    },
  } as KubeObject
}
