// What a pod and its owner learn when it cannot be placed: the condition PodScheduled=False, an event, the same words.
import { isReason } from '../api/machinery/errors.ts'
import { type Pod, pods } from '../api/core/pod.ts'
import type { Client } from '../client/client.ts'
import type { Clock } from '../ports/clock.ts'
import { rfc3339 } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { Failure } from './framework-run.ts'
import type { ClusterState } from './state/cluster-state.ts'

/** "3 Insufficient cpu, 1 Too many pods": reasons with the number of nodes they hold for, sorted as text. */
export function countReasons(reasonsByNode: Iterable<readonly string[]>): string {
  const counts = new Map<string, number>()
  for (const reasons of reasonsByNode) for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1)
  return [...counts]
    .map(([reason, nodes]) => `${nodes} ${reason}`)
    .sort()
    .join(', ')
}

/** What FailedScheduling says; `postFilter` tells what preemption came to. */
export function failureMessage(failure: Failure, state: ClusterState, postFilter: string): string {
  if (failure.nodes === 0 && failure.preFilter === undefined) return 'no nodes available to schedule pods'
  let message = `0/${failure.nodes} nodes are available:`
  if (failure.preFilter !== undefined) message += ` ${failure.preFilter.rejection.reasons.join(', ')}.`
  else {
    const reasons: (readonly string[])[] = []
    for (const node of state.order) {
      const verdict = failure.verdicts.get(node.slot)
      if (verdict !== undefined) reasons.push(verdict.rejection.reasons)
    }
    const counted = countReasons(reasons)
    if (counted !== '') message += ` ${counted}.`
  }
  return postFilter === '' ? message : `${message} ${postFilter}`
}

export interface PodReport {
  readonly reason: 'Unschedulable' | 'SchedulerError'
  readonly message: string
  /** A node name nominates, the empty text takes a nomination back, undefined leaves it. */
  readonly nominatedNodeName?: string | undefined
}

/** Answers the status patch, undefined where the pod says so already. */
export function statusPatch(pod: Pod, report: PodReport, nowMs: number): unknown {
  const { reason, message, nominatedNodeName } = report
  const known = pod.status.conditions?.find(({ type }) => type === 'PodScheduled')
  const { generation } = pod.metadata
  const same =
    known?.status === 'False' &&
    known.reason === reason &&
    known.message === message &&
    (known.observedGeneration ?? undefined) === generation
  const nominationSame = nominatedNodeName === undefined || nominatedNodeName === (pod.status.nominatedNodeName ?? '')
  if (same && nominationSame) return undefined
  const lastTransitionTime = known?.status === 'False' ? known.lastTransitionTime : rfc3339(nowMs)
  const condition = {
    type: 'PodScheduled',
    status: 'False',
    reason,
    message,
    lastProbeTime: null,
    ...(lastTransitionTime === undefined ? {} : { lastTransitionTime }),
    ...(generation === undefined ? {} : { observedGeneration: generation }),
  }
  return {
    metadata: { uid: pod.metadata.uid },
    status: {
      ...(same ? {} : { conditions: [condition] }),
      ...(nominationSame ? {} : { nominatedNodeName: nominatedNodeName === '' ? null : nominatedNodeName }),
    },
  }
}

/** Writes the report. Boundary: a status that cannot be written is logged; the next attempt writes it again. */
export async function writeReport(
  options: { readonly client: Client; readonly clock: Clock; readonly log: Log },
  pod: Pod,
  report: PodReport,
): Promise<void> {
  const patch = statusPatch(pod, report, options.clock.now())
  if (patch === undefined) return
  try {
    const { name, namespace } = pod.metadata
    await options.client.resource(pods).patch(name, namespace, 'strategic', patch, { subresource: 'status' })
  } catch (error) {
    if (isReason(error, 'NotFound') || isReason(error, 'Conflict')) return
    options.log.error('cannot write why the pod was not scheduled', { pod: pod.metadata.name, error: String(error) })
  }
}
