// What the scheduler can tell about a pod, for whoever explains it. The scheduler of the same process answers; a server
// without one (another member schedules) explains from what the scheduler wrote down.
import type { Pod } from '../api/core/pod.ts'

export interface SchedulingRefusal {
  readonly plugin: string
  readonly code: string
  readonly reasons: readonly string[]
}
export interface SchedulingAnswer {
  /** NAMESPACE/NAME */
  readonly pod: string
  /** A plugin keeps the pod out of the queue. */
  readonly gate: SchedulingRefusal | undefined
  /** A plugin refused the pod before any node was looked at. */
  readonly preFilter: SchedulingRefusal | undefined
  readonly nodes: readonly { readonly node: string; readonly refusals: readonly SchedulingRefusal[] }[]
  /** Names of the nodes where it fits. */
  readonly fits: readonly string[]
  /** What FailedScheduling would say; '' where the pod fits somewhere. */
  readonly message: string
  /** Nodes by reason, the most frequent first. */
  readonly counts: readonly { readonly plugin: string; readonly reason: string; readonly nodes: number }[]
}
export interface SchedulingAdvice {
  /** Undefined where no profile is for the pod. */
  explain(pod: Pod): SchedulingAnswer | undefined
  /** The smallest changes that would let the pod be placed; each was tried on a copy. */
  suggest(pod: Pod, limit?: number): readonly { readonly steps: readonly string[]; readonly node: string }[]
  /** Where the scheduler has the pod (by UID): active, backoff, unschedulable, gated, binding, placed, unknown. */
  whereabouts(uid: string): string
}
