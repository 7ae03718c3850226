// Conditions as every status has them: found by type, replaced without touching the transition time while the status
// stays the same.
import { formatTime } from '../../api/machinery/time.ts'

export interface AnyCondition {
  readonly type: string
  readonly status: string
  readonly lastTransitionTime?: string | undefined
  readonly reason?: string | undefined
  readonly message?: string | undefined
}

export const findCondition = <C extends AnyCondition>(conditions: readonly C[] | undefined, type: string) =>
  conditions?.find((condition) => condition.type === type)

export const withoutCondition = <C extends AnyCondition>(conditions: readonly C[] | undefined, type: string): C[] =>
  (conditions ?? []).filter((condition) => condition.type !== type)

/** The list with `next` in place of the condition of its type, in the same position; the same list when nothing changes. */
export function withCondition<C extends AnyCondition>(
  conditions: readonly C[] | undefined,
  next: Omit<C, 'lastTransitionTime'>,
  nowMs: number,
): readonly C[] {
  const list = conditions ?? []
  const current = findCondition(list, (next as unknown as C).type)
  const sameStatus = current?.status === (next as unknown as C).status
  const lastTransitionTime =
    sameStatus && current.lastTransitionTime !== undefined ? current.lastTransitionTime : formatTime(nowMs)
  const made = { ...next, lastTransitionTime } as unknown as C
  if (current === undefined) return [...list, made]
  const unchanged = sameStatus && current.reason === made.reason && current.message === made.message
  return unchanged ? list : list.map((condition) => (condition === current ? made : condition))
}
