// The answer to "why?": what an object's state is, the chain of causes that led there, and what would help. It is data, for
// tools; text.ts turns it into lines for people.
import type { SchedulingAnswer } from './scheduling-advice.ts'

export interface Cause {
  /** kind/name, or "container main". */
  readonly about: string
  /** CamelCase, in the cluster's own words where it has one: Unschedulable, CrashLoopBackOff, ProbeFailed. */
  readonly reason: string
  readonly message: string
  /** What led to it; an empty list is the end of the chain. */
  readonly because: readonly Cause[]
}
export interface Remedy {
  /** What to do, one line each; all of them together. */
  readonly steps: readonly string[]
  /** True where it was tried on a copy of the scheduler's picture and seen to help; false for advice. */
  readonly tried: boolean
  /** Where the pod would then run. */
  readonly node?: string
}
export interface Why {
  readonly apiVersion: 'coxswain.dev/v1'
  readonly kind: 'Why'
  readonly object: { readonly kind: string; readonly name: string; readonly namespace?: string; readonly uid: string }
  /** As a user would say it: "Pending", "Running, not Ready", "Terminating", "Evicted". */
  readonly state: string
  /** Nothing is wrong: `causes` is empty. */
  readonly healthy: boolean
  readonly causes: readonly Cause[]
  /** Every plugin's word on every node, for a pod that waits for one. */
  readonly scheduling?: SchedulingAnswer
  /** The smallest first. */
  readonly suggestions: readonly Remedy[]
}

/** What an explainer finds out; the frame around it is the same for every kind. */
export type Finding = Pick<Why, 'state' | 'causes' | 'scheduling' | 'suggestions'>

export const cause = (about: string, reason: string, message: string, because: readonly Cause[] = []): Cause => ({
  about,
  reason,
  message,
  because,
})
export const advice = (...steps: readonly string[]): Remedy => ({ steps, tried: false })
export const well = (state: string): Finding => ({ state, causes: [], suggestions: [] })

/** The same remedy once, those that were tried first, then the shorter. */
export function sortedRemedies(remedies: readonly Remedy[]): readonly Remedy[] {
  const seen = new Set<string>()
  return remedies
    .filter(({ steps }) => {
      const key = steps.join('\n')
      return !seen.has(key) && seen.add(key)
    })
    .map((remedy, i) => ({ remedy, i }))
    .sort(
      (a, b) =>
        Number(b.remedy.tried) - Number(a.remedy.tried) || a.remedy.steps.length - b.remedy.steps.length || a.i - b.i,
    )
    .map(({ remedy }) => remedy)
}
