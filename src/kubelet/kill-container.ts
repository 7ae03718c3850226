// Ending a container: the event, its preStop hook within the grace period, then the stop signal and at last KILL.
import type { ContainerStatus } from '../ports/container-runtime.ts'
import type { KubeletContext } from './context.ts'
import { containerNameOf } from './labels.ts'
import { runHook } from './lifecycle.ts'
import { findContainer, type Pod } from './types.ts'

/** What a container gets even when its preStop hook used everything up. */
const leastGraceSeconds = 2
const defaultGraceSeconds = 30

export interface KillOptions {
  /** Of the Killing event; default "Stopping container NAME". */
  readonly message?: string
  readonly graceSeconds: number
  /** Ends a preStop hook that sleeps. */
  readonly signal?: AbortSignal
}

/** Grace of the whole pod: what its deletion asks for, else its spec. */
export const podGraceSeconds = (pod: Pod): number =>
  Math.max(pod.metadata.deletionGracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds ?? defaultGraceSeconds, 1)

/** Grace for a container that a probe has condemned: the probe's own, else the pod's. */
export function probeGraceSeconds(pod: Pod, name: string, because: 'liveness' | 'startup'): number {
  const container = findContainer(pod.spec, name)
  const own = container?.[`${because}Probe`]?.terminationGracePeriodSeconds
  return own ?? pod.spec.terminationGracePeriodSeconds ?? defaultGraceSeconds
}

/** Resolves when the container has ended and the view shows it. */
export async function killContainer(
  context: KubeletContext,
  pod: Pod,
  status: ContainerStatus,
  options: KillOptions,
): Promise<void> {
  const { clock, runtime, view, record } = context
  const name = containerNameOf(status)
  record(pod, name, 'Normal', 'Killing', options.message ?? `Stopping container ${name}`)
  const startedMs = clock.monotonic()
  const { graceSeconds } = options
  const container = findContainer(pod.spec, name)
  const preStop = container?.lifecycle?.preStop
  if (preStop !== undefined && container !== undefined && graceSeconds > 0 && status.state === 'running') {
    const target = {
      container,
      containerId: status.id,
      podIP: context.view.pod(pod.metadata.uid).sandboxes[0]?.ips[0] ?? '',
    }
    const result = await runHook(context, pod, target, preStop, {
      timeoutMs: graceSeconds * 1000,
      userAgent: context.userAgent,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    })
    if (!result.ok) {
      context.log.warn('preStop hook failed', { pod: pod.metadata.name, container: name, message: result.message })
      record(pod, name, 'Warning', 'FailedPreStopHook', 'PreStopHook failed')
    }
  }
  const usedSeconds = Math.floor((clock.monotonic() - startedMs) / 1000)
  await runtime.stopContainer(
    status.id,
    Math.max(graceSeconds - usedSeconds, Math.min(graceSeconds, leastGraceSeconds)),
  )
  await view.lookAtContainer(status.id)
}
