// The machine is about to go down: pods end while there is time, the least important first, critical ones last
// (https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/). Who goes when is pure.
import type { Clock, Timer } from '../ports/clock.ts'
import type { KubeletConfig } from './config.ts'
import type { PodWorker } from './pod-worker.ts'

type Settings = Pick<KubeletConfig, 'shutdownGraceSeconds' | 'shutdownGraceCriticalSeconds' | 'shutdownGraceByPriority'>
interface Phase {
  /** Pods of this priority and above, up to the next phase's; the first has all below too. */
  readonly priority: number
  readonly graceSeconds: number
}
const criticalPriority = 2_000_000_000

/** In the order in which they come; empty where pods are left to the machine. */
export function shutdownPhases(config: Settings): readonly Phase[] {
  const { shutdownGraceByPriority, shutdownGraceSeconds, shutdownGraceCriticalSeconds } = config
  if (shutdownGraceByPriority.length > 0) return [...shutdownGraceByPriority].sort((a, b) => a.priority - b.priority)
  if (shutdownGraceSeconds === 0) return []
  return [
    { priority: 0, graceSeconds: shutdownGraceSeconds - shutdownGraceCriticalSeconds },
    { priority: criticalPriority, graceSeconds: shutdownGraceCriticalSeconds },
  ]
}
/** Which phase a pod of this priority ends in. */
export function phaseOf(phases: readonly Phase[], priority: number): number {
  return Math.max(
    0,
    phases.findLastIndex((phase) => phase.priority <= priority),
  )
}

/** Ends all pods. Resolves when they have ended or the time of the last phase is over. */
export async function endForShutdown(workers: readonly PodWorker[], config: Settings, clock: Clock): Promise<void> {
  const phases = shutdownPhases(config)
  for (const [i, { graceSeconds }] of phases.entries()) {
    const mine = workers.filter((w) => !w.isEnded && phaseOf(phases, w.pod.spec.priority ?? 0) === i)
    if (mine.length === 0) continue
    for (const worker of mine) {
      const own = worker.pod.spec.terminationGracePeriodSeconds ?? graceSeconds
      worker.terminate(
        'Terminated',
        'Pod was terminated in response to imminent node shutdown.',
        Math.min(own, graceSeconds),
      )
    }
    let timer: Timer | undefined
    const late = new Promise<void>((done) => {
      timer = clock.after(graceSeconds * 1000, done)
    })
    await Promise.race([late, Promise.all(mine.map((worker) => worker.whenEnded()))])
    timer?.cancel()
  }
}
