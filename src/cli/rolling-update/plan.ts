// One step of a rolling update between two ReplicationControllers, as data: who is scaled to what, or what is waited for.
// The sum of ready pods never falls below the wish, and at most one pod more than the larger wish exists.

export interface Side {
  readonly name: string
  /** What its spec asks for. */
  readonly replicas: number
  /** Pods that are ready (for minReadySeconds, where it is set). */
  readonly ready: number
}
export interface Rollout {
  readonly old: Side
  readonly new: Side
  /** What the new one shall have in the end. */
  readonly desired: number
  /** What the old one had before it all began. */
  readonly original: number
}
export type Step =
  | { readonly type: 'scaleUp'; readonly to: number }
  | { readonly type: 'scaleDown'; readonly to: number }
  /** Nothing may move until more pods are ready. */
  | { readonly type: 'wait' }
  | { readonly type: 'done' }

/** Pods beyond the wish while it goes on. */
const surge = 1

export const keptAvailable = ({ desired, original }: Pick<Rollout, 'desired' | 'original'>): number =>
  Math.min(desired, original)
export const mostPods = ({ desired, original }: Pick<Rollout, 'desired' | 'original'>): number =>
  Math.max(desired, original) + surge

export function planStep(rollout: Rollout): Step {
  const { old, new: next, desired } = rollout
  if (old.replicas === 0 && next.replicas === desired)
    return next.ready >= desired ? { type: 'done' } : { type: 'wait' }
  const room = mostPods(rollout) - old.replicas - next.replicas
  const up = Math.min(desired - next.replicas, room)
  if (up > 0) return { type: 'scaleUp', to: next.replicas + up }
  if (next.replicas > desired) return { type: 'scaleDown', to: old.replicas }
  const keep = Math.min(keptAvailable(rollout), old.ready + next.ready)
  // pods that are not ready are the first that a controller deletes, so what is ready survives a scale down to that many
  const least = Math.max(keep - next.ready, keptAvailable(rollout) - next.replicas, 0)
  return least < old.replicas ? { type: 'scaleDown', to: least } : { type: 'wait' }
}
