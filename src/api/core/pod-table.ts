// A pod as `kubectl get pods` shows it. STATUS is one word for what holds the pod up: the first init container that is
// not through, else the last container in the list with something to say, else the phase.
import { humanDuration, ageCell } from '../machinery/age.ts'
import type { TableDefinition } from '../machinery/kind.ts'
import { parseTime } from '../machinery/time.ts'
import { isSidecar } from './container.ts'
import type { ContainerStatus } from './container-status.ts'
import type { Pod } from './pod.ts'
import { ageColumn, column, nameColumn, wideColumn } from './workload-table.ts'

/** What the STATUS, READY and RESTARTS cells are made of. */
export interface PodSummary {
  readonly reason: string
  readonly ready: number
  readonly total: number
  readonly restarts: number
  /** When the last container that was restarted had ended, in ms since 1970. */
  readonly lastRestartMs: number | undefined
}

const conditionTrue = (pod: Pod, type: string): boolean =>
  pod.status.conditions?.some((c) => c.type === type && c.status === 'True') ?? false
const endedMs = (status: ContainerStatus): number => {
  const at = status.lastState.terminated?.finishedAt
  return (at === undefined ? undefined : parseTime(at)) ?? 0
}
function terminatedReason(status: ContainerStatus): string {
  const ended = status.state.terminated
  if (ended === undefined) return ''
  if (ended.reason) return ended.reason
  return ended.signal ? `Signal:${ended.signal}` : `ExitCode:${ended.exitCode}`
}

interface Counts {
  ready: number
  restarts: number
  lastMs: number
}
/** The init part: undefined reason when every init container is through. */
function summarizeInit(pod: Pod): { reason: string | undefined; all: Counts; sidecars: Counts } {
  const specs = new Map(pod.spec.initContainers?.map((c) => [c.name, c]))
  const all: Counts = { ready: 0, restarts: 0, lastMs: 0 }
  const sidecars: Counts = { ready: 0, restarts: 0, lastMs: 0 }
  let reason: string | undefined
  for (const [i, status] of (pod.status.initContainerStatuses ?? []).entries()) {
    const spec = specs.get(status.name)
    const sidecar = spec !== undefined && isSidecar(spec)
    for (const counts of sidecar ? [all, sidecars] : [all]) {
      counts.restarts += status.restartCount
      counts.lastMs = Math.max(counts.lastMs, endedMs(status))
    }
    const { terminated, waiting } = status.state
    if (terminated?.exitCode === 0) continue
    if (sidecar && status.started === true) {
      if (status.ready) sidecars.ready++
      continue
    }
    if (terminated !== undefined) reason = `Init:${terminatedReason(status)}`
    else if (waiting?.reason && waiting.reason !== 'PodInitializing') reason = `Init:${waiting.reason}`
    else reason = `Init:${i}/${pod.spec.initContainers?.length ?? 0}`
    break
  }
  return { reason, all, sidecars }
}

/** What a pod is doing, in the words of kubectl. */
export function summarizePod(pod: Pod): PodSummary {
  const init = summarizeInit(pod)
  let reason = pod.status.reason || pod.status.phase || ''
  if (pod.status.conditions?.some((c) => c.type === 'PodScheduled' && c.reason === 'SchedulingGated')) {
    reason = 'SchedulingGated'
  }
  let counts = { ...init.all, ready: init.sidecars.ready }
  if (init.reason !== undefined) reason = init.reason
  if (init.reason === undefined || conditionTrue(pod, 'Initialized')) {
    counts = { ...init.sidecars }
    let running = false
    for (const status of (pod.status.containerStatuses ?? []).toReversed()) {
      counts.restarts += status.restartCount
      counts.lastMs = Math.max(counts.lastMs, endedMs(status))
      if (status.state.waiting?.reason) reason = status.state.waiting.reason
      else if (status.state.terminated !== undefined) reason = terminatedReason(status)
      else if (status.ready && status.state.running !== undefined) {
        running = true
        counts.ready++
      }
    }
    if (reason === 'Completed' && running) reason = conditionTrue(pod, 'Ready') ? 'Running' : 'NotReady'
  }
  if (pod.metadata.deletionTimestamp !== undefined) {
    if (pod.status.reason === 'NodeLost') reason = 'Unknown'
    else if (pod.status.phase !== 'Failed' && pod.status.phase !== 'Succeeded') reason = 'Terminating'
  }
  return {
    reason,
    ready: counts.ready,
    total: pod.spec.containers.length + (pod.spec.initContainers?.filter(isSidecar).length ?? 0),
    restarts: counts.restarts,
    lastRestartMs: counts.lastMs === 0 ? undefined : counts.lastMs,
  }
}

const orNone = (text: string | undefined): string => text || '<none>'
function readinessGatesCell(pod: Pod): string {
  const gates = pod.spec.readinessGates ?? []
  if (gates.length === 0) return '<none>'
  return `${gates.filter((gate) => conditionTrue(pod, gate.conditionType)).length}/${gates.length}`
}

export const podTable: TableDefinition<Pod> = {
  columns: [
    nameColumn,
    column('Ready'),
    column('Status'),
    column('Restarts'),
    ageColumn,
    wideColumn('IP'),
    wideColumn('Node'),
    wideColumn('Nominated Node'),
    wideColumn('Readiness Gates'),
  ],
  row: (pod, nowMs) => {
    const { reason, ready, total, restarts, lastRestartMs } = summarizePod(pod)
    const ago = restarts === 0 || lastRestartMs === undefined ? '' : ` (${humanDuration(nowMs - lastRestartMs)} ago)`
    return [
      pod.metadata.name,
      `${ready}/${total}`,
      reason,
      `${restarts}${ago}`,
      ageCell(pod.metadata.creationTimestamp, nowMs),
      orNone(pod.status.podIPs?.[0]?.ip ?? pod.status.podIP),
      orNone(pod.spec.nodeName),
      orNone(pod.status.nominatedNodeName),
      readinessGatesCell(pod),
    ]
  },
}
