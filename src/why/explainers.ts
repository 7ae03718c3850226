// What each kind's own fields say; the list at the end is the whole registry. A kind that is not in it can still be
// explained while it is Terminating.
import { daemonSets } from '../api/apps/daemon-set.ts'
import { deployments } from '../api/apps/deployment.ts'
import { replicaSets } from '../api/apps/replica-set.ts'
import { statefulSets } from '../api/apps/stateful-set.ts'
import { cronJobs } from '../api/batch/cron-job.ts'
import { jobs } from '../api/batch/job.ts'
import { namespaces } from '../api/core/namespace.ts'
import { nodes } from '../api/core/node.ts'
import { persistentVolumeClaims } from '../api/core/persistent-volume-claim.ts'
import { pods } from '../api/core/pod.ts'
import { replicationControllers } from '../api/core/replication-controller.ts'
import { services } from '../api/core/service.ts'
import type { Kind } from '../api/machinery/kind.ts'
import { formatSelector, selectorOfLabels } from '../api/machinery/labels.ts'
import type { KubeObject } from '../api/machinery/meta.ts'
import { advice, type Cause, cause, type Finding, well } from './answer.ts'
import { explainPod, nodeTrouble } from './pod.ts'
import { eventsOf, listed, type Reader } from './reader.ts'
import { explainClaim } from './storage.ts'
import { explainWorkload, troubles } from './workloads.ts'

type Explainer = (reader: Reader, object: KubeObject) => Promise<Finding>
const explains = <T extends KubeObject>(
  kind: Kind<T>,
  explain: (reader: Reader, object: T) => Promise<Finding>,
): readonly [string, Explainer] => [`${kind.group}/${kind.kind}`, (reader, object) => explain(reader, object as T)]

const nothing = { own: [], remedies: [], conditions: [] } as const
const resume = (about: string) =>
  advice(`resume it: kubectl patch ${about} --type=merge -p '{"spec":{"suspend":false}}'`)

const deployment = explains(deployments, (reader, object) => {
  const { spec, status } = object
  const about = `deployment/${object.metadata.name}`
  const stopped = spec.paused === true && (status.updatedReplicas ?? 0) < (spec.replicas ?? 0)
  const own = stopped
    ? [cause(about, 'DeploymentPaused', 'it is paused: changes of the template are not rolled out')]
    : []
  const remedies = stopped ? [advice(`resume it: kubectl rollout resume ${about}`)] : []
  return explainWorkload(reader, {
    own,
    remedies,
    object,
    about,
    wanted: spec.replicas ?? 1,
    ready: status.readyReplicas ?? 0,
    selector: spec.selector,
    conditions: status.conditions ?? [],
  })
})
const replicaSet = explains(replicaSets, (reader, object) => {
  const { spec, status } = object
  const about = `replicaset/${object.metadata.name}`
  const base = { ...nothing, object, about, wanted: spec.replicas ?? 1, ready: status.readyReplicas ?? 0 }
  return explainWorkload(reader, { ...base, selector: spec.selector, conditions: status.conditions ?? [] })
})
const replicationController = explains(replicationControllers, (reader, object) => {
  const { spec, status } = object
  const about = `replicationcontroller/${object.metadata.name}`
  const base = { ...nothing, object, about, wanted: spec.replicas ?? 1, ready: status.readyReplicas ?? 0 }
  const selector = { matchLabels: spec.selector ?? {} }
  return explainWorkload(reader, { ...base, selector, conditions: status.conditions ?? [] })
})
const statefulSet = explains(statefulSets, (reader, object) => {
  const { spec, status } = object
  const about = `statefulset/${object.metadata.name}`
  const wanted = spec.replicas ?? 1
  const waits = spec.podManagementPolicy !== 'Parallel' && status.replicas < wanted
  const text = 'its pods are made one after another: the next waits until those before it are Running and Ready'
  const own = waits ? [cause(about, 'OrderedReady', text)] : []
  const base = { ...nothing, own, object, about, wanted, ready: status.readyReplicas ?? 0 }
  return explainWorkload(reader, { ...base, selector: spec.selector })
})
const daemonSet = explains(daemonSets, (reader, object) => {
  const { spec, status } = object
  const about = `daemonset/${object.metadata.name}`
  const none = status.desiredNumberScheduled === 0
  const own = none ? [cause(about, 'NoNode', 'no node matches its nodeSelector, affinity and tolerations')] : []
  const base = { ...nothing, own, object, about, wanted: status.desiredNumberScheduled, ready: status.numberReady }
  return explainWorkload(reader, { ...base, selector: spec.selector })
})
const job = explains(jobs, (reader, object) => {
  const { spec, status } = object
  if (status.conditions?.some(({ type, status: is }) => type === 'Complete' && is === 'True') === true)
    return Promise.resolve(well('Complete'))
  const about = `job/${object.metadata.name}`
  const left = (spec.completions ?? Number.POSITIVE_INFINITY) - (status.succeeded ?? 0)
  const wanted = Math.min(spec.parallelism ?? 1, left)
  const remedies = spec.suspend === true ? [resume(about)] : []
  const base = { ...nothing, remedies, object, about, wanted, ready: status.ready ?? 0, selector: spec.selector }
  return explainWorkload(reader, { ...base, conditions: status.conditions ?? [] })
})
const cronJob = explains(cronJobs, async (reader, object) => {
  const { spec, status, metadata } = object
  const about = `cronjob/${metadata.name}`
  const last =
    status.lastScheduleTime === undefined ? 'it has not run yet' : `it ran last at ${status.lastScheduleTime}`
  if (spec.suspend === true) {
    const causes = [cause(about, 'Suspended', `it is suspended; ${last}`)]
    return { state: 'Suspended', causes, suggestions: [resume(about)] }
  }
  const told = (await eventsOf(reader, object)).find(({ type }) => type === 'Warning')
  if (told === undefined) return well(`scheduled at ${spec.schedule}; ${last}`)
  return { state: 'Scheduled', causes: [cause(about, told.reason ?? '', told.message ?? '')], suggestions: [] }
})

const pressures = ['MemoryPressure', 'DiskPressure', 'PIDPressure', 'NetworkUnavailable']
const node = explains(nodes, async (_reader, object) => {
  const { name } = object.metadata
  const trouble = nodeTrouble(name, object)
  const causes: Cause[] = trouble === undefined ? [] : [trouble]
  for (const { type, status, message } of object.status.conditions ?? [])
    if (pressures.includes(type) && status === 'True') causes.push(cause(`node/${name}`, type, message ?? ''))
  if (object.spec.unschedulable === true)
    causes.push(cause(`node/${name}`, 'SchedulingDisabled', 'it is cordoned: no new pods are placed on it'))
  if (causes.length === 0) return well('Ready')
  const suggestions = object.spec.unschedulable === true ? [advice(`uncordon it: kubectl uncordon ${name}`)] : []
  return { state: trouble === undefined ? 'Ready, restricted' : 'NotReady', causes, suggestions }
})
const service = explains(services, async (reader, object) => {
  const { spec, metadata } = object
  const about = `service/${metadata.name}`
  const { namespace = '' } = metadata
  if (spec.type === 'ExternalName') return well(`a name for ${spec.externalName}`)
  if (spec.selector === undefined || Object.keys(spec.selector).length === 0)
    return well('without a selector: its endpoints are whoever writes them')
  const labelSelector = formatSelector(selectorOfLabels(spec.selector))
  const mine = await listed(reader, pods, { namespace, labelSelector })
  const { causes, remedies, fine } = await troubles(reader, mine)
  if (mine.length === 0) {
    const none = cause(about, 'NoPods', `no pod in ${namespace} has the labels ${labelSelector}`)
    return {
      state: 'No endpoints',
      causes: [none],
      suggestions: [advice('correct the selector, or the labels of the pods')],
    }
  }
  if (causes.length === 0) return well(`${fine} of ${mine.length} pods are ready`)
  return { state: `${fine} of ${mine.length} pods are ready`, causes, suggestions: remedies }
})
/** Only one that is Terminating has a story: what of its content remains. */
const namespace = explains(namespaces, async (_reader, object) => {
  const about = `namespace/${object.metadata.name}`
  const { conditions = [], phase = 'Active' } = object.status
  const held = conditions.filter(({ status }) => status === 'True')
  const causes = held.map(({ reason, type, message }) => cause(about, reason ?? type, message ?? ''))
  return { state: phase, causes, suggestions: [] }
})

export const explainers: ReadonlyMap<string, Explainer> = new Map([
  explains(pods, explainPod),
  deployment,
  replicaSet,
  replicationController,
  statefulSet,
  daemonSet,
  job,
  cronJob,
  explains(persistentVolumeClaims, explainClaim),
  node,
  service,
  namespace,
])
