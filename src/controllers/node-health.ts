// Decisions about nodes: when a silent one becomes Unknown, which taints its conditions ask for, and how fast a zone may
// lose its pods.
import type { Node, NodeCondition } from '../api/core/node.ts'
import type { Taint } from '../api/core/toleration.ts'
import { formatTime } from '../api/machinery/time.ts'
import { findCondition } from './framework/conditions.ts'

export const notReadyTaint = 'node.kubernetes.io/not-ready'
export const unreachableTaint = 'node.kubernetes.io/unreachable'
const watchedConditions = ['Ready', 'MemoryPressure', 'DiskPressure', 'PIDPressure']

/** What was last heard of a node, by our own clock. */
export interface Heartbeat {
  readonly atMs: number
  /** Ready condition and renewal of the Lease, as the node itself wrote them: a change means a sign of life. */
  readonly ready: string
  readonly lease: string
}
/** A new heartbeat when the node gave a sign of life, the old one otherwise. */
export function observeHeartbeat(
  before: Heartbeat | undefined,
  node: Node,
  leaseRenewTime: string | undefined,
  nowMs: number,
): Heartbeat {
  const condition = findCondition(node.status.conditions, 'Ready')
  const lease = `${node.metadata.uid} ${leaseRenewTime ?? ''}`
  // Unknown is what we wrote ourselves: no sign of life.
  const ready =
    condition === undefined || condition.status === 'Unknown'
      ? (before?.ready ?? '')
      : `${condition.status} ${condition.lastHeartbeatTime ?? ''} ${condition.lastTransitionTime ?? ''}`
  return before?.ready === ready && before.lease === lease ? before : { atMs: nowMs, ready, lease }
}

/** The conditions of a node that was silent for too long; the same list when they are Unknown already. */
export function silentConditions(node: Node, nowMs: number): readonly NodeCondition[] {
  const now = formatTime(nowMs)
  let conditions: readonly NodeCondition[] = node.status.conditions ?? []
  for (const type of watchedConditions) {
    const current = findCondition(conditions, type)
    if (current === undefined) {
      const created = node.metadata.creationTimestamp
      const never = {
        type,
        status: 'Unknown',
        reason: 'NodeStatusNeverUpdated',
        message: 'Kubelet never posted node status.',
        lastHeartbeatTime: created,
        lastTransitionTime: now,
      }
      conditions = [...conditions, never]
    } else if (current.status !== 'Unknown') {
      const unknown = {
        ...current,
        status: 'Unknown',
        reason: 'NodeStatusUnknown',
        message: 'Kubelet stopped posting node status.',
        lastTransitionTime: now,
      }
      conditions = conditions.map((condition) => (condition === current ? unknown : condition))
    }
  }
  return conditions
}

const taintOfCondition: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  Ready: { False: notReadyTaint, Unknown: unreachableTaint },
  MemoryPressure: { True: 'node.kubernetes.io/memory-pressure' },
  DiskPressure: { True: 'node.kubernetes.io/disk-pressure' },
  NetworkUnavailable: { True: 'node.kubernetes.io/network-unavailable' },
  PIDPressure: { True: 'node.kubernetes.io/pid-pressure' },
}
const unschedulableTaint = 'node.kubernetes.io/unschedulable'
const managedNoSchedule: ReadonlySet<string> = new Set([
  ...Object.values(taintOfCondition).flatMap((byStatus) => Object.values(byStatus)),
  unschedulableTaint,
])

/** The NoExecute taint that the node's readiness asks for. */
export function wantedNoExecute(node: Node): string | undefined {
  const status = findCondition(node.status.conditions, 'Ready')?.status
  return status === 'False' ? notReadyTaint : status === 'Unknown' ? unreachableTaint : undefined
}

/** The node's taints as its conditions ask for them. `mayExecute`: a new NoExecute taint may be added now. */
export function planTaints(node: Node, mayExecute: boolean, nowMs: number): readonly Taint[] {
  const wanted = new Set<string>()
  for (const { type, status } of node.status.conditions ?? []) {
    const key = taintOfCondition[type]?.[status]
    if (key !== undefined) wanted.add(key)
  }
  if (node.spec.unschedulable) wanted.add(unschedulableTaint)
  const execute = wantedNoExecute(node)
  const current = node.spec.taints ?? []
  const hasExecute = current.some(
    (t) => t.effect === 'NoExecute' && (t.key === notReadyTaint || t.key === unreachableTaint),
  )
  const kept = current.filter(({ key, effect }) => {
    if (effect === 'NoSchedule' && managedNoSchedule.has(key)) return wanted.has(key)
    if (effect === 'NoExecute' && (key === notReadyTaint || key === unreachableTaint)) return key === execute
    return true
  })
  const timeAdded = formatTime(nowMs)
  const missing: Taint[] = [...wanted]
    .filter((key) => !kept.some((taint) => taint.effect === 'NoSchedule' && taint.key === key))
    .map((key) => ({ key, effect: 'NoSchedule', timeAdded }))
  const needsExecute =
    execute !== undefined && !kept.some((taint) => taint.effect === 'NoExecute' && taint.key === execute)
  // Swapping not-ready for unreachable evicts nobody anew, so it waits for no rate limit.
  if (needsExecute && (mayExecute || hasExecute)) missing.push({ key: execute, effect: 'NoExecute', timeAdded })
  return missing.length === 0 && kept.length === current.length ? current : [...kept, ...missing]
}

export type ZoneState = 'Normal' | 'PartialDisruption' | 'FullDisruption'
const unhealthyThreshold = 0.55
export const largeZone = 50
export function zoneState(ready: number, notReady: number): ZoneState {
  if (ready === 0 && notReady > 0) return 'FullDisruption'
  return notReady > 2 && notReady / (notReady + ready) >= unhealthyThreshold ? 'PartialDisruption' : 'Normal'
}
/** Nodes per second that a zone may lose. All zones down means that the fault is likely ours: nobody is evicted. */
export function evictionRate(
  state: ZoneState,
  size: number,
  allZonesDown: boolean,
  rates: { readonly normal: number; readonly secondary: number },
): number {
  if (allZonesDown) return 0
  if (state === 'PartialDisruption') return size > largeZone ? rates.secondary : 0
  return rates.normal
}
export const zoneOf = (node: Node): string => {
  const labels = node.metadata.labels ?? {}
  const region = labels['topology.kubernetes.io/region'] ?? labels['failure-domain.beta.kubernetes.io/region'] ?? ''
  const zone = labels['topology.kubernetes.io/zone'] ?? labels['failure-domain.beta.kubernetes.io/zone'] ?? ''
  return region === '' && zone === '' ? '' : `${region}:\0:${zone}`
}

/** A bucket that holds one token, refilled at a rate that may change. */
export class TokenBucket {
  private tokens = 1
  private atMs: number
  constructor(nowMs: number) {
    this.atMs = nowMs
  }
  /** True when a token was taken; otherwise try again later. */
  take(ratePerSecond: number, nowMs: number): boolean {
    this.tokens = Math.min(1, this.tokens + ((nowMs - this.atMs) / 1000) * ratePerSecond)
    this.atMs = nowMs
    if (ratePerSecond === 0 || this.tokens < 1) return false
    this.tokens = 0
    return true
  }
}
