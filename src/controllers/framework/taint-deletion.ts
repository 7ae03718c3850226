// Pods that a NoExecute taint drives away: when each has to go by its tolerations, and what is written when it does. Shared by
// the taints of nodes and those of devices.
import { pods as podKind, type Pod } from '../../api/core/pod.ts'
import { type Taint, type Toleration, tolerates } from '../../api/core/toleration.ts'
import { isReason } from '../../api/machinery/errors.ts'
import { keyOf } from '../../client/informer.ts'
import type { EventRecorder } from '../../client/event-recorder.ts'
import type { Clock } from '../../ports/clock.ts'
import { findCondition, withCondition } from './conditions.ts'
import type { Writes } from './reconciler.ts'

/** A time in ms since 1970 (0: at once), or never. */
export type Deadline = number | 'never'
export const earlier = (a: Deadline, b: Deadline): Deadline => (a === 'never' ? b : b === 'never' ? a : Math.min(a, b))

/** Until when the tolerations let somebody stand a taint that counts from `sinceMs` on: the shortest that fits it decides. */
export function toleratedUntil(
  taint: Pick<Taint, 'key' | 'value' | 'effect'>,
  tolerations: readonly Toleration[] | undefined,
  sinceMs: number,
): Deadline {
  const fitting = (tolerations ?? []).filter((toleration) => tolerates(toleration, taint))
  if (fitting.length === 0) return 0
  return fitting.reduce<Deadline>(
    (until, { tolerationSeconds }) =>
      tolerationSeconds === undefined ? until : earlier(until, sinceMs + Math.max(0, tolerationSeconds) * 1000),
    'never',
  )
}

export interface TaintDeletionOptions {
  readonly clock: Clock
  readonly recorder: EventRecorder
  /** Of the events. */
  readonly eventReason: string
  /** What the events say after "Marking for deletion" and "Cancelling deletion". */
  readonly subject: (pod: Pod) => string
  /** Of the pod's condition DisruptionTarget. */
  readonly condition: { readonly reason: string; readonly message: string }
}
/** Deletes pods when their time has come, and tells when that is called off. */
export class TaintDeletion {
  private readonly options: TaintDeletionOptions
  private readonly waiting = new Set<string>()
  constructor(options: TaintDeletionOptions) {
    this.options = options
  }
  /** The pod under this key is gone, or on its way. */
  forget(key: string): void {
    this.waiting.delete(key)
  }
  /** Answers after how many milliseconds to look again. */
  async settle(pod: Pod, deadline: Deadline, writes: Writes): Promise<number | undefined> {
    const { clock } = this.options
    const key = keyOf(pod)
    if (deadline === 'never') {
      if (this.waiting.delete(key)) this.tell(pod, 'Cancelling deletion')
      return undefined
    }
    const leftMs = deadline - clock.now()
    if (leftMs > 0) {
      this.waiting.add(key)
      return leftMs
    }
    this.waiting.delete(key)
    this.tell(pod, 'Marking for deletion')
    if (findCondition(pod.status.conditions, 'DisruptionTarget')?.status !== 'True') {
      const condition = { type: 'DisruptionTarget', status: 'True', ...this.options.condition }
      const conditions = withCondition(pod.status.conditions, condition, clock.now())
      try {
        await writes.updateStatus(podKind, { ...pod, status: { ...pod.status, conditions } })
      } catch (error) {
        if (isReason(error, 'NotFound')) return undefined
        throw error
      }
    }
    await writes.delete(podKind, pod)
    return undefined
  }
  private tell(pod: Pod, what: string): void {
    const { recorder, eventReason, subject } = this.options
    recorder.event(pod, 'Normal', eventReason, what + subject(pod))
  }
}
