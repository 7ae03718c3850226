// How many replicas a metric asks for. Pods that say nothing, or are not ready yet, count so that they damp the change: as
// idle when it would go up, as busy when it would go down.
// https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/#algorithm-details
import type { Pod } from '../api/core/pod.ts'
import { isSidecar } from '../api/core/container.ts'
import { quantityMilliValue } from '../api/machinery/quantity.ts'
import { isPodReady, isTerminating, podCondition } from './framework/pods.ts'
import { timeMs } from './framework/time.ts'

/** One pod's measurement; `value` in thousandths. */
export interface Sample {
  readonly value: number
  readonly atMs: number
  readonly windowMs: number
}
export type Samples = ReadonlyMap<string, Sample>
/** How far the ratio of use to target may be from 1 before anything is done. */
export interface Tolerance {
  readonly down: number
  readonly up: number
}
export interface Observed {
  readonly pods: readonly Pod[]
  /** spec.replicas of the target. */
  readonly currentReplicas: number
  readonly tolerance: Tolerance
  readonly nowMs: number
}
export interface ResourceDemand {
  readonly replicas: number
  /** Percent of the request, and thousandths per pod. */
  readonly utilization: number
  readonly average: number
}
export interface Demand {
  readonly replicas: number
  /** Thousandths: of the whole, or per pod where the target is an average. */
  readonly usage: number
}

/** CPU of a pod that has just started says nothing about its load. Upstream's defaults. */
const cpuInitializationMs = 300_000
const initialReadinessDelayMs = 30_000
const noMetrics = 'did not receive metrics for targeted pods (pods might be unready)'

const isWithin = ({ down, up }: Tolerance, ratio: number): boolean => ratio >= 1 - down && ratio <= 1 + up

function isCpuUnready(pod: Pod, sample: Sample, nowMs: number): boolean {
  const ready = podCondition(pod, 'Ready')
  if (ready === undefined || pod.status.startTime === undefined) return true
  const startedMs = timeMs(pod.status.startTime)
  const changedMs = timeMs(ready.lastTransitionTime)
  if (startedMs + cpuInitializationMs > nowMs)
    return ready.status === 'False' || sample.atMs < changedMs + sample.windowMs
  return ready.status === 'False' && startedMs + initialReadinessDelayMs > changedMs
}
interface Groups {
  readonly measured: ReadonlyMap<string, { readonly pod: Pod; readonly value: number }>
  readonly unready: readonly Pod[]
  readonly missing: readonly Pod[]
}
function groupPods(pods: readonly Pod[], samples: Samples, isCpu: boolean, nowMs: number): Groups {
  const measured = new Map<string, { pod: Pod; value: number }>()
  const unready: Pod[] = []
  const missing: Pod[] = []
  for (const pod of pods) {
    if (isTerminating(pod) || pod.status.phase === 'Failed') continue
    const sample = samples.get(pod.metadata.name)
    if (pod.status.phase === 'Pending') unready.push(pod)
    else if (sample === undefined) missing.push(pod)
    else if (isCpu && isCpuUnready(pod, sample, nowMs)) unready.push(pod)
    else measured.set(pod.metadata.name, { pod, value: sample.value })
  }
  return { measured, unready, missing }
}

/** What a pod requests, in thousandths. Throws Error where a container requests nothing: no share of it can be told. */
export function requestOf({ metadata, spec }: Pod, resource: string, container: string | undefined): number {
  const whole = container === undefined ? spec.resources?.requests?.[resource] : undefined
  if (whole !== undefined) return quantityMilliValue(whole)
  let sum = 0
  for (const one of [...spec.containers, ...(spec.initContainers ?? []).filter(isSidecar)]) {
    if (container !== undefined && one.name !== container) continue
    const request = one.resources?.requests?.[resource]
    if (request === undefined)
      throw new Error(`missing request for ${resource} in container ${one.name} of Pod ${metadata.name}`)
    sum += quantityMilliValue(request)
  }
  return sum
}

interface Share {
  readonly value: number
  /** What the value is a part of; the target where values are absolute. */
  readonly of: number
}
/** Sums up shares into a ratio to `target`. */
const ratioOf = (shares: readonly Share[], target: number): number =>
  shares.reduce((sum, { value }) => sum + value, 0) / shares.reduce((sum, { of }) => sum + of, 0) / target

/** Replicas by the average over pods. `whole` is what 1.0 means for a pod; `target` is the wished share of it. */
function replicasByShare(
  { measured, unready, missing }: Groups,
  whole: (pod: Pod) => number,
  target: number,
  { currentReplicas, tolerance }: Observed,
): number {
  const shares: Share[] = [...measured.values()].map(({ pod, value }) => ({ value, of: whole(pod) }))
  const ratio = ratioOf(shares, target)
  const upWithUnready = unready.length > 0 && ratio > 1
  if (!upWithUnready && missing.length === 0)
    return isWithin(tolerance, ratio) ? currentReplicas : Math.ceil(ratio * shares.length)
  // What is missing is busy when this goes down, idle when it goes up; what is not ready yet is idle.
  const busy = Math.max(1, target)
  if (ratio !== 1) for (const pod of missing) shares.push({ value: ratio < 1 ? busy * whole(pod) : 0, of: whole(pod) })
  if (upWithUnready) for (const pod of unready) shares.push({ value: 0, of: whole(pod) })
  const damped = ratioOf(shares, target)
  if (isWithin(tolerance, damped) || (ratio < 1 && damped > 1) || (ratio > 1 && damped < 1)) return currentReplicas
  const replicas = Math.ceil(damped * shares.length)
  const turned = (damped < 1 && replicas > currentReplicas) || (damped > 1 && replicas < currentReplicas)
  return turned ? currentReplicas : replicas
}
/** Throws Error where there is nothing to reckon with. */
function grouped(observed: Observed, samples: Samples, isCpu: boolean): Groups {
  if (observed.pods.length === 0) throw new Error('no pods returned by selector while calculating replica count')
  const groups = groupPods(observed.pods, samples, isCpu, observed.nowMs)
  if (groups.measured.size === 0) throw new Error(noMetrics)
  return groups
}
const average = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

/** Replicas for a share (percent) of what the pods request. Throws Error where metrics or requests are missing. */
export function byUtilization(
  observed: Observed,
  samples: Samples,
  target: { readonly resource: string; readonly container?: string | undefined; readonly percent: number },
): ResourceDemand {
  const groups = grouped(observed, samples, target.resource === 'cpu')
  const requests = new Map(
    [...observed.pods].map((pod) => [pod.metadata.name, requestOf(pod, target.resource, target.container)]),
  )
  const request = (pod: Pod) => requests.get(pod.metadata.name) ?? 0
  const measured = [...groups.measured.values()]
  const requested = measured.reduce((sum, { pod }) => sum + request(pod), 0)
  if (requested === 0) throw new Error('no metrics returned matched known pods')
  const used = measured.reduce((sum, { value }) => sum + value, 0)
  return {
    replicas: replicasByShare(groups, request, target.percent / 100, observed),
    utilization: Math.trunc((used * 100) / requested),
    average: Math.trunc(used / measured.length),
  }
}
/** Replicas for an average per pod (thousandths) of a resource or of a metric of the pods. */
export function byAverage(observed: Observed, samples: Samples, target: number, isCpu: boolean): Demand {
  const groups = grouped(observed, samples, isCpu)
  return {
    replicas: replicasByShare(groups, () => target, 1, observed),
    usage: Math.trunc(average([...groups.measured.values()].map(({ value }) => value))),
  }
}
/** Replicas for one value of an object or of something outside, in thousandths, shared by all pods. */
export function byValue(observed: Observed, usage: number, target: number): Demand {
  const ratio = usage / target
  if (observed.currentReplicas === 0) return { replicas: Math.ceil(ratio), usage }
  if (isWithin(observed.tolerance, ratio)) return { replicas: observed.currentReplicas, usage }
  if (observed.pods.length === 0) throw new Error('no pods returned by selector while calculating replica count')
  const ready = observed.pods.filter((pod) => pod.status.phase === 'Running' && isPodReady(pod)).length
  return { replicas: Math.ceil(ratio * ready), usage }
}
/** Replicas so that each has `target` of one value; `replicas` are those that the target's status counts. */
export function byShareOfValue(observed: Observed, replicas: number, usage: number, target: number): Demand {
  const per = replicas === 0 ? 0 : Math.ceil(usage / replicas)
  const within = replicas > 0 && isWithin(observed.tolerance, usage / (target * replicas))
  return { replicas: within ? replicas : Math.ceil(usage / target), usage: per }
}
