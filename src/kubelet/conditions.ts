// The conditions that the kubelet owns: PodScheduled, PodReadyToStartContainers, Initialized, ContainersReady, Ready.
// Conditions of others (readiness gates, DisruptionTarget ...) are read here and never written.
import { rfc3339 } from '../ports/clock.ts'
import type { PodRuntime } from './plan-pod.ts'
import { type ApiContainerStatus, isSidecar, type Pod, type PodCondition, type PodStatus } from './types.ts'

interface Verdict {
  readonly status: 'True' | 'False'
  readonly reason?: string
  readonly message?: string
}
interface Told {
  readonly reason: string
  readonly message: string
}
interface Parts {
  readonly phase: string
  readonly initContainerStatuses: readonly ApiContainerStatus[]
  readonly containerStatuses: readonly ApiContainerStatus[]
  readonly pending: Told | undefined
  readonly progress: Told | undefined
  readonly disrupted: Told | undefined
}
const yes: Verdict = { status: 'True' }
const no = (reason: string, message = ''): Verdict => ({
  status: 'False',
  reason,
  ...(message === '' ? {} : { message }),
})
const list = (names: readonly string[]) => `[${names.join(' ')}]`

/** Upstream joins what it does not know and what is not there yet with a comma. */
function sentence(unknown: readonly string[], unready: readonly string[], word: string): string {
  const parts: string[] = []
  if (unknown.length > 0) parts.push(`containers with unknown status: ${list(unknown)}`)
  if (unready.length > 0) parts.push(`containers with ${word} status: ${list(unready)}`)
  return parts.join(', ')
}

function initialized(pod: Pod, parts: Parts): Verdict {
  const inits = pod.spec.initContainers ?? []
  if (inits.length === 0) return yes
  // Once an app container has been made, the init containers had their say, even if some are gone since.
  if (parts.phase === 'Succeeded') return { status: 'True', reason: 'PodCompleted' }
  if (parts.containerStatuses.some((s) => s.containerID !== undefined)) return yes
  const unready: string[] = []
  for (const container of inits) {
    const status = parts.initContainerStatuses.find((s) => s.name === container.name)
    if (isSidecar(container) ? status?.started !== true : status?.ready !== true) unready.push(container.name)
  }
  return unready.length === 0 ? yes : no('ContainersNotInitialized', sentence([], unready, 'incomplete'))
}

function containersReady(pod: Pod, parts: Parts): Verdict {
  if (parts.phase === 'Succeeded') return no('PodCompleted')
  if (parts.phase === 'Failed') return no('PodFailed')
  const unready: string[] = []
  const sidecars = (pod.spec.initContainers ?? []).filter(isSidecar)
  const statuses = [...parts.initContainerStatuses, ...parts.containerStatuses]
  for (const { name } of [...sidecars, ...pod.spec.containers])
    if (statuses.find((s) => s.name === name)?.ready !== true) unready.push(name)
  return unready.length === 0 ? yes : no('ContainersNotReady', sentence([], unready, 'unready'))
}

function ready(pod: Pod, containers: Verdict): Verdict {
  if (containers.status === 'False') return containers
  const problems: string[] = []
  for (const { conditionType } of pod.spec.readinessGates ?? []) {
    const found = pod.status?.conditions?.find((c) => c.type === conditionType)
    if (found === undefined)
      problems.push(`corresponding condition of pod readiness gate "${conditionType}" does not exist.`)
    else if (found.status !== 'True')
      problems.push(`the status of pod readiness gate "${conditionType}" is not "True", but ${found.status}`)
  }
  return problems.length === 0 ? yes : no('ReadinessGatesNotReady', problems.join(', '))
}

/** A sandbox with its network is up. */
function readyToStart(pod: Pod, runtime: PodRuntime, parts: Parts): Verdict {
  const [newest] = runtime.sandboxes
  const up = newest?.ready === true && (newest.ips.length > 0 || pod.spec.hostNetwork === true)
  return up && parts.phase !== 'Succeeded' && parts.phase !== 'Failed' ? yes : { status: 'False' }
}

/** They are there only while they hold (KEP-1287). */
export const passingConditions = ['PodResizePending', 'PodResizeInProgress']
const told = ({ reason, message }: Told): Verdict => ({
  status: 'True',
  ...(reason === '' ? {} : { reason }),
  ...(message === '' ? {} : { message }),
})
function resizeConditions({ pending, progress }: Parts): (readonly [string, Verdict])[] {
  return [
    ...(pending === undefined ? [] : [['PodResizePending', told(pending)] as const]),
    ...(progress === undefined ? [] : [['PodResizeInProgress', told(progress)] as const]),
  ]
}

export function podConditions(
  pod: Pod,
  runtime: PodRuntime,
  parts: Parts,
  old: PodStatus | undefined,
  nowMs: number,
): PodCondition[] {
  const containers = containersReady(pod, parts)
  const verdicts: readonly (readonly [string, Verdict])[] = [
    ['PodReadyToStartContainers', readyToStart(pod, runtime, parts)],
    ['Initialized', initialized(pod, parts)],
    ['Ready', ready(pod, containers)],
    ['ContainersReady', containers],
    ['PodScheduled', yes],
    ...resizeConditions(parts),
    ...(parts.disrupted === undefined ? [] : [['DisruptionTarget', told(parts.disrupted)] as const]),
  ]
  const generation = pod.metadata.generation
  return verdicts.map(([type, verdict]) => {
    const before = old?.conditions?.find((c) => c.type === type)
    const same = before?.status === verdict.status
    return {
      type,
      ...verdict,
      ...(generation === undefined ? {} : { observedGeneration: generation }),
      lastTransitionTime: (same ? before.lastTransitionTime : undefined) ?? rfc3339(nowMs),
    }
  })
}
