// From the chosen node to the bound pod: Permit, PreBind, Bind, PostBind. It runs beside the scheduling cycle, so many pods
// at once; the pod already counts on its node, and is taken off again when binding fails.
import type { Clock } from '../ports/clock.ts'
import { broken, type Cycle, type Rejection, unschedulable, type Verdict, type WaitingPod } from './framework.ts'
import { defect } from './framework-run.ts'
import type { PointPlugins } from './profiles.ts'
import type { PodInfo } from './state/pod-info.ts'

const longestWaitMs = 15 * 60_000

/** Pods that Permit plugins hold back. */
export class WaitingRoom {
  private readonly clock: Clock
  private readonly waiting = new Map<string, Waiting>()
  constructor(clock: Clock) {
    this.clock = clock
  }
  values(): Iterable<WaitingPod> {
    return this.waiting.values()
  }
  get(uid: string): WaitingPod | undefined {
    return this.waiting.get(uid)
  }
  /** Resolves when all plugins allow the pod, or with the refusal. */
  async wait(pod: PodInfo, nodeName: string, waits: ReadonlyMap<string, number>): Promise<Verdict | undefined> {
    const waiting = new Waiting(pod, nodeName, waits, this.clock)
    this.waiting.set(pod.uid, waiting)
    const verdict = await waiting.decided
    this.waiting.delete(pod.uid)
    return verdict
  }
}

class Waiting implements WaitingPod {
  readonly pod: PodInfo
  readonly nodeName: string
  readonly pending: Set<string>
  readonly decided: Promise<Verdict | undefined>
  private decide: (verdict: Verdict | undefined) => void = () => {}
  constructor(pod: PodInfo, nodeName: string, waits: ReadonlyMap<string, number>, clock: Clock) {
    this.pod = pod
    this.nodeName = nodeName
    this.pending = new Set(waits.keys())
    this.decided = new Promise((done) => (this.decide = done))
    const timers = [...waits].map(([plugin, waitMs]) =>
      clock.after(Math.min(waitMs, longestWaitMs), () =>
        this.reject(plugin, `rejected due to timeout after waiting ${Math.round(waitMs / 1000)}s at plugin ${plugin}`),
      ),
    )
    void this.decided.then(() => {
      for (const timer of timers) timer.cancel()
    })
  }
  allow(plugin: string): void {
    this.pending.delete(plugin)
    if (this.pending.size === 0) this.decide(undefined)
  }
  reject(plugin: string, message: string): void {
    this.decide({ plugin, rejection: unschedulable(message) })
  }
}

/** Asks the Permit plugins: a refusal, or whom to wait for and how long. */
export function permit(
  points: PointPlugins,
  cycle: Cycle,
  node: Parameters<NonNullable<PointPlugins['permit'][number]['permit']>>[1],
): { readonly refused: Verdict } | { readonly waits: ReadonlyMap<string, number> | undefined } {
  let waits: Map<string, number> | undefined
  for (const plugin of points.permit) {
    const result = plugin.permit?.(cycle, node)
    if (result === undefined) continue
    if ('waitMs' in result) (waits ??= new Map()).set(plugin.name, result.waitMs)
    else return { refused: { plugin: plugin.name, rejection: result } }
  }
  return { waits }
}

/** Plugins whose PreBind has something to do. */
export const preBinders = (points: PointPlugins, cycle: Cycle) =>
  points.preBind.filter((plugin) => !(plugin.preBindIdle?.(cycle) ?? false))

/** What stands in for the bind plugins; false where it leaves the pod to them after all. */
export interface Binder {
  readonly name: string
  bind(cycle: Cycle, nodeName: string): Promise<boolean>
}

/** Binds the pod. Answers the refusal; a throw of a plugin is one. */
export async function bind(
  points: PointPlugins,
  cycle: Cycle,
  nodeName: string,
  binder?: Binder,
): Promise<{ readonly verdict: Verdict; readonly error?: unknown } | undefined> {
  for (const plugin of preBinders(points, cycle)) {
    const answer = await guarded(plugin.name, () => plugin.preBind?.(cycle, nodeName))
    if (answer !== undefined) return answer
  }
  if (binder !== undefined) {
    let bound = false
    const answer = await guarded(binder.name, async () => {
      bound = await binder.bind(cycle, nodeName)
      return undefined
    })
    if (answer === undefined && bound) for (const after of points.postBind) after.postBind?.(cycle, nodeName)
    if (answer !== undefined || bound) return answer
  }
  for (const plugin of points.bind) {
    let skipped = false
    const answer = await guarded(plugin.name, async () => {
      const result = await plugin.bind?.(cycle, nodeName)
      skipped = result === 'skip'
      return result === 'skip' ? undefined : result
    })
    if (answer !== undefined) return answer
    if (skipped) continue
    for (const after of points.postBind) after.postBind?.(cycle, nodeName)
    return undefined
  }
  return { verdict: { plugin: '', rejection: broken('all bind plugins skipped the pod') } }
}
/** Boundary: what a plugin throws while it binds becomes a refusal. */
async function guarded(
  plugin: string,
  call: () => Promise<Rejection | undefined> | undefined,
): Promise<{ readonly verdict: Verdict; readonly error?: unknown } | undefined> {
  try {
    const rejection = await call()
    return rejection === undefined ? undefined : { verdict: { plugin, rejection } }
  } catch (error) {
    return { verdict: defect(plugin, error), error }
  }
}
