// What a Deployment tells of itself: counts, Available, Progressing and ReplicaFailure. Progress is measured by the
// difference between the status before and after, so the order in which conditions are set matters.
import { formatTime, parseTime } from '../api/machinery/time.ts'
import type { Deployment, DeploymentCondition, DeploymentStatus } from '../api/apps/deployment.ts'
import { findCondition, withoutCondition } from './framework/conditions.ts'
import {
  allSets,
  availableReplicas,
  type Rollout,
  rollingBounds,
  specReplicas,
  statusReplicas,
  wishOf,
} from './deployment-rollout.ts'

type Conditions = readonly DeploymentCondition[]
const noDeadline = 2_147_483_647
/** True where progress is watched at all; the largest int32 stands for "no deadline". */
export const hasDeadline = (deployment: Deployment): boolean =>
  deployment.spec.progressDeadlineSeconds !== undefined && deployment.spec.progressDeadlineSeconds !== noDeadline

/** Sets a condition; one with the same status and reason stays as it is, message included. */
export function setCondition(
  conditions: Conditions,
  type: string,
  status: string,
  reason: string,
  message: string,
  nowMs: number,
): Conditions {
  const current = findCondition(conditions, type)
  if (current?.status === status && current.reason === reason) return conditions
  const now = formatTime(nowMs)
  const lastTransitionTime = current?.status === status ? (current.lastTransitionTime ?? now) : now
  const next = { type, status, reason, message, lastUpdateTime: now, lastTransitionTime }
  return [...withoutCondition(conditions, type), next]
}

/** Notes on Progressing that a Deployment was paused or resumed. */
export function pausedConditions(deployment: Deployment, nowMs: number): Conditions {
  const conditions = deployment.status.conditions ?? []
  const current = findCondition(conditions, 'Progressing')
  if (!hasDeadline(deployment) || current?.reason === 'ProgressDeadlineExceeded') return conditions
  const isPaused = current?.reason === 'DeploymentPaused'
  if (deployment.spec.paused && !isPaused)
    return setCondition(conditions, 'Progressing', 'Unknown', 'DeploymentPaused', 'Deployment is paused', nowMs)
  if (!deployment.spec.paused && isPaused)
    return setCondition(conditions, 'Progressing', 'Unknown', 'DeploymentResumed', 'Deployment is resumed', nowMs)
  return conditions
}

/** Every pod is of the current template, available, and nothing old is left. */
export function isComplete(deployment: Deployment, status: DeploymentStatus): boolean {
  const replicas = wishOf(deployment)
  return (
    (status.updatedReplicas ?? 0) === replicas &&
    (status.replicas ?? 0) === replicas &&
    (status.availableReplicas ?? 0) === replicas &&
    (status.observedGeneration ?? 0) >= (deployment.metadata.generation ?? 0)
  )
}
function hasProgressed(before: DeploymentStatus, after: DeploymentStatus): boolean {
  const old = (status: DeploymentStatus) => (status.replicas ?? 0) - (status.updatedReplicas ?? 0)
  return (
    (after.updatedReplicas ?? 0) > (before.updatedReplicas ?? 0) ||
    old(after) < old(before) ||
    (after.readyReplicas ?? 0) > (before.readyReplicas ?? 0) ||
    (after.availableReplicas ?? 0) > (before.availableReplicas ?? 0)
  )
}
/** When a Deployment without progress counts as failed, milliseconds since 1970. */
function deadlineMs(deployment: Deployment, conditions: Conditions): number | undefined {
  const current = findCondition(conditions, 'Progressing')
  if (current === undefined || !hasDeadline(deployment)) return undefined
  if (current.reason === 'NewReplicaSetAvailable') return undefined
  return (parseTime(current.lastUpdateTime ?? '') ?? 0) + (deployment.spec.progressDeadlineSeconds ?? 0) * 1000
}
function hasTimedOut(deployment: Deployment, conditions: Conditions, nowMs: number): boolean {
  if (findCondition(conditions, 'Progressing')?.reason === 'ProgressDeadlineExceeded') return true
  const deadline = deadlineMs(deployment, conditions)
  return deadline !== undefined && deadline < nowMs
}

/** Counts and Available, with `conditions` as the other conditions. */
export function countStatus(rollout: Rollout, conditions: Conditions, nowMs: number): DeploymentStatus {
  const { deployment, current } = rollout
  const sets = allSets(rollout)
  const available = availableReplicas(sets)
  const replicas = wishOf(deployment)
  const enough = available >= replicas - rollingBounds(deployment).maxUnavailable
  const withAvailable = enough
    ? setCondition(
        conditions,
        'Available',
        'True',
        'MinimumReplicasAvailable',
        'Deployment has minimum availability.',
        nowMs,
      )
    : setCondition(
        conditions,
        'Available',
        'False',
        'MinimumReplicasUnavailable',
        'Deployment does not have minimum availability.',
        nowMs,
      )
  const { collisionCount } = deployment.status
  return {
    observedGeneration: deployment.metadata.generation ?? 0,
    replicas: statusReplicas(sets),
    updatedReplicas: current?.status.replicas ?? 0,
    readyReplicas: sets.reduce((total, set) => total + (set.status.readyReplicas ?? 0), 0),
    availableReplicas: available,
    terminatingReplicas: sets.reduce((total, set) => total + (set.status.terminatingReplicas ?? 0), 0),
    unavailableReplicas: Math.max(0, specReplicas(sets) - available),
    ...(collisionCount === undefined ? {} : { collisionCount }),
    conditions: withAvailable,
  }
}

/** Progressing after a rollout step. */
function progressConditions(rollout: Rollout, status: DeploymentStatus, nowMs: number): Conditions {
  const { deployment, current } = rollout
  const conditions = status.conditions ?? []
  if (!hasDeadline(deployment)) return withoutCondition(conditions, 'Progressing')
  const condition = findCondition(conditions, 'Progressing')
  const done = status.replicas === status.updatedReplicas && condition?.reason === 'NewReplicaSetAvailable'
  if (done) return conditions
  const what =
    current === undefined ? `Deployment "${deployment.metadata.name}"` : `ReplicaSet "${current.metadata.name}"`
  if (isComplete(deployment, status)) {
    const message = `${what} has successfully progressed.`
    return setCondition(conditions, 'Progressing', 'True', 'NewReplicaSetAvailable', message, nowMs)
  }
  if (hasProgressed(deployment.status, status)) {
    const now = formatTime(nowMs)
    const next = {
      type: 'Progressing',
      status: 'True',
      reason: 'ReplicaSetUpdated',
      message: `${what} is progressing.`,
      lastUpdateTime: now,
      lastTransitionTime: condition?.status === 'True' ? (condition.lastTransitionTime ?? now) : now,
    }
    return [...withoutCondition(conditions, 'Progressing'), next]
  }
  if (hasTimedOut(deployment, conditions, nowMs)) {
    const message = `${what} has timed out progressing.`
    return setCondition(conditions, 'Progressing', 'False', 'ProgressDeadlineExceeded', message, nowMs)
  }
  return conditions
}
/** ReplicaFailure is handed up from the ReplicaSet that has it, the current one first. */
function failureConditions(rollout: Rollout, conditions: Conditions, nowMs: number): Conditions {
  const sets = [...(rollout.current === undefined ? [] : [rollout.current]), ...rollout.old]
  for (const set of sets) {
    const failure = findCondition(set.status.conditions, 'ReplicaFailure')
    if (failure !== undefined)
      return setCondition(
        conditions,
        'ReplicaFailure',
        failure.status,
        failure.reason ?? '',
        failure.message ?? '',
        nowMs,
      )
  }
  return withoutCondition(conditions, 'ReplicaFailure')
}

/** The whole status after a rollout step. */
export function planStatus(rollout: Rollout, conditions: Conditions, nowMs: number): DeploymentStatus {
  const counted = countStatus(rollout, conditions, nowMs)
  const progress = progressConditions(rollout, counted, nowMs)
  return { ...counted, conditions: failureConditions(rollout, progress, nowMs) }
}
/** Milliseconds until a stuck rollout must be looked at again; undefined when nothing is due. */
export function nextCheckMs(deployment: Deployment, status: DeploymentStatus, nowMs: number): number | undefined {
  const conditions = status.conditions ?? []
  if (isComplete(deployment, status) || hasTimedOut(deployment, conditions, nowMs)) return undefined
  const deadline = deadlineMs(deployment, conditions)
  return deadline === undefined ? undefined : Math.max(0, deadline - nowMs) + 1000
}
