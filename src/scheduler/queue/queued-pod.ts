// A pod in the queue, with the memory of its attempts.
import type { PodInfo } from '../state/pod-info.ts'

export interface QueuedPod {
  info: PodInfo
  /** When it was last queued, and in which order: what came first goes first among equals. */
  queuedMs: number
  sequence: number
  /** Attempts until now. */
  attempts: number
  /** Attempts that ended in a rejection since the last success of an event; the exponent of the back-off. */
  rejections: number
  /** Attempts in a row that ended in an error. */
  errors: number
  /** Plugins that refused it in the last attempt; empty after an error. */
  rejectedBy: ReadonlySet<string>
  /** The PreEnqueue plugin that keeps it out of the queue. */
  gatedBy: string | undefined
  /** The pod was taken out of the queue for good; an attempt under way must not bring it back. */
  removed: boolean
  /** Time at which its back-off ends. */
  backoffUntilMs: number
}
