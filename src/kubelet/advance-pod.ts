// One step of bringing a pod to what its spec says: volumes and sandbox side by side, then what the plan wants killed and
// started, in order.
import type { ContainerStatus, SandboxStatus } from '../ports/container-runtime.ts'
import { unlessAborted } from './abortable.ts'
import { formatSeconds } from './back-off.ts'
import type { KubeletContext } from './context.ts'
import { createSandbox, podSandboxConfig } from './ensure-sandbox.ts'
import { killContainer, probeGraceSeconds } from './kill-container.ts'
import { containerHash, containerNameOf, restartCountOf } from './labels.ts'
import { removeLogs } from './log-rotation.ts'
import { type Kill, newestRun, type Plan, planPod, type Start } from './plan-pod.ts'
import type { PodHandle } from './pod-handle.ts'
import type { VolumeFailure } from './pod-volumes.ts'
import { resizePod } from './resize-pod.ts'
import { startContainer } from './start-container.ts'
import { podTitle } from './types.ts'

/** `refresh`: what the volumes show may have changed. */
export async function advancePod(context: KubeletContext, handle: PodHandle, refresh: boolean): Promise<void> {
  const { pod, volumes, ending } = handle
  if (refresh) handle.holds.clear()
  const refusal = await context.devices.allocate(pod)
  if (refusal !== undefined) {
    const message = `Pod was rejected: ${refusal}`
    context.record(pod, undefined, 'Warning', 'UnexpectedAdmissionError', message)
    return handle.fail('UnexpectedAdmissionError', message)
  }
  const unprepared = await unlessAborted(context.deviceClaims.prepare(pod), ending)
  if (ending.aborted) return
  if (unprepared !== undefined) {
    const message = `Failed to prepare dynamic resources: ${unprepared}`
    context.record(pod, undefined, 'Warning', 'FailedPrepareDynamicResources', message)
    handle.publish()
    handle.retry()
    return
  }
  const failures = await unlessAborted(volumes.prepare(pod, handle.facts(), refresh), ending)
  if (failures === undefined) return
  if (failures.length > 0) return mountFailed(context, handle, failures)
  const first = planPod(pod, context.view.pod(handle.uid), context.probes)
  const [mountFailures, plan] = await Promise.all([volumes.setUp(), withSandbox(context, handle, first)])
  if (mountFailures.length > 0) return mountFailed(context, handle, mountFailures)
  if (plan === undefined || ending.aborted) return
  await Promise.all(plan.kill.map((kill) => killOne(context, handle, kill)))
  const resized = await resizePod(context, handle)
  const { start: starts } = resized ? planPod(pod, context.view.pod(handle.uid), context.probes) : plan
  let well = true
  for (const start of starts) {
    if (ending.aborted) return
    if (!(await startOne(context, handle, start, plan, resized))) well = false
  }
  if (well) handle.recovered()
  handle.publish()
  await collect(context, handle)
}

function mountFailed(context: KubeletContext, handle: PodHandle, failures: readonly VolumeFailure[]): void {
  for (const { volume, message } of failures)
    context.record(
      handle.pod,
      undefined,
      'Warning',
      'FailedMount',
      `MountVolume.SetUp failed for volume "${volume}" : ${message}`,
    )
  handle.publish()
  handle.retry()
}

/** Throws where the runtime does not see the end even of what it was told to kill: then it is told again later. */
async function killOne(
  context: KubeletContext,
  { pod }: PodHandle,
  { because, container, status, message }: Kill,
): Promise<void> {
  const probed = because === 'liveness' || because === 'startup'
  const graceSeconds = probed
    ? probeGraceSeconds(pod, container.name, because)
    : (pod.spec.terminationGracePeriodSeconds ?? 30)
  await killContainer(context, pod, status, { message, graceSeconds })
  if (because === 'unknown' && context.view.container(status.id)?.state === 'unknown')
    throw new Error(`container ${container.name} was killed and is in unknown state still`)
}

/** No container can have this name. */
const sandboxHold = 'POD'

/** Makes the sandbox when the plan wants one; answers the plan to go on with, undefined when there is none to go on. */
async function withSandbox(context: KubeletContext, handle: PodHandle, plan: Plan): Promise<Plan | undefined> {
  const { pod, uid } = handle
  if (plan.killSandboxes) await clearSandboxes(context, handle)
  if (plan.sandbox !== undefined) return plan
  if (plan.createSandbox === undefined) return undefined
  // What a failed attempt leaves and takes away again in the runtime wakes the pod: it must not be tried again for that.
  const heldMs = (handle.holds.get(sandboxHold) ?? 0) - context.clock.monotonic()
  if (heldMs > 0) {
    handle.wakeIn(heldMs)
    return undefined
  }
  const { attempt } = plan.createSandbox
  if (attempt > 0)
    context.record(pod, undefined, 'Normal', 'SandboxChanged', 'Pod sandbox changed, it will be killed and re-created.')
  await unlessAborted(context.portsFreed(pod), handle.ending)
  if (handle.ending.aborted) return undefined
  const made = await createSandbox(context, pod, attempt)
  if (made.ok) {
    // Whatever could not be started in the old one gets its chance at once.
    handle.holds.clear()
    return planPod(pod, context.view.pod(uid), context.probes)
  }
  const message = `Failed to create pod sandbox: ${made.message}`
  context.record(pod, undefined, 'Warning', 'FailedCreatePodSandBox', message)
  handle.publish()
  handle.holds.set(sandboxHold, context.clock.monotonic() + handle.retry())
  return undefined
}

async function clearSandboxes(context: KubeletContext, { uid, pod }: PodHandle): Promise<void> {
  const { view, runtime } = context
  const { containers, sandboxes } = view.pod(uid)
  const running = containers.filter((c) => c.state === 'running' || c.state === 'unknown')
  const graceSeconds = pod.spec.terminationGracePeriodSeconds ?? 30
  await Promise.all(running.map((status) => killContainer(context, pod, status, { graceSeconds })))
  for (const { id } of sandboxes) await runtime.stopPodSandbox(id)
  await Promise.all(sandboxes.map((s) => view.lookAtSandbox(s.id)))
}

/** Starts one container unless it has to wait; answers whether all is well. */
async function startOne(
  context: KubeletContext,
  handle: PodHandle,
  start: Start,
  plan: Plan,
  resized: boolean,
): Promise<boolean> {
  const { container } = start
  const { view, backOff, runtime } = context
  const { sandbox } = plan
  if (sandbox === undefined) return false
  const heldMs = (handle.holds.get(container.name) ?? 0) - context.clock.monotonic()
  if (heldMs > 0) {
    handle.wakeIn(heldMs)
    return false
  }
  const previous = newestRun(view.pod(handle.uid), container.name)
  if (previous?.state === 'exited' && !resized) {
    const key = `${handle.uid}_${container.name}_${containerHash(container)}`
    const failure = { id: previous.id, atMs: previous.finishedAtMs }
    const remainingMs = backOff.remainingMs(key, failure)
    if (remainingMs > 0) {
      crashLoop(context, handle, container.name, backOff.delayMs(key, failure), remainingMs)
      return true
    }
    if (previous.sandboxId === sandbox.id && !(await stillReady(context, handle, sandbox))) return false
    backOff.restart(key, failure)
  } else if (previous?.state === 'created') {
    await runtime.removeContainer(previous.id)
    await view.lookAtContainer(previous.id)
  }
  const made = podSandboxConfig(context, handle.pod, sandbox.metadata.attempt)
  if (!made.ok) throw new Error(made.message)
  const result = await startContainer(context, {
    pod: handle.pod,
    container,
    sandboxId: sandbox.id,
    sandboxConfig: made.config,
    restartCount: nextRestartCount(handle, container.name, previous),
    facts: handle.facts(),
    volumes: handle.volumes,
    paths: handle.paths,
    ending: handle.ending,
  })
  if (result.ok) handle.waiting.delete(container.name)
  else {
    handle.waiting.set(container.name, result.waiting)
    const holdMs = result.retryAfterMs ?? Number.POSITIVE_INFINITY
    handle.holds.set(container.name, context.clock.monotonic() + holdMs)
    if (result.retryAfterMs !== undefined) handle.wakeIn(result.retryAfterMs)
    handle.publish()
  }
  return result.ok
}

/** A container may have died with its sandbox, and be told of first: then a new sandbox comes before a new run. */
async function stillReady(context: KubeletContext, { uid }: PodHandle, { id }: SandboxStatus): Promise<boolean> {
  await context.view.lookAtSandbox(id)
  return context.view.pod(uid).sandboxes.some((s) => s.id === id && s.ready)
}

function nextRestartCount({ pod }: PodHandle, name: string, previous: ContainerStatus | undefined): number {
  if (previous !== undefined) return restartCountOf(previous) + (previous.state === 'created' ? 0 : 1)
  const { containerStatuses = [], initContainerStatuses = [], ephemeralContainerStatuses = [] } = pod.status
  const all = [...containerStatuses, ...initContainerStatuses, ...ephemeralContainerStatuses]
  const known = all.find((s) => s.name === name)
  // A run that the runtime lost has been counted when it was found missing.
  return known === undefined ? 0 : known.restartCount + (known.containerID === undefined ? 0 : 1)
}

function crashLoop(
  context: KubeletContext,
  handle: PodHandle,
  name: string,
  delayMs: number,
  remainingMs: number,
): void {
  const title = podTitle(handle.pod)
  const message = `back-off ${formatSeconds(delayMs)} restarting failed container=${name} pod=${title}`
  if (handle.waiting.get(name)?.message !== message) {
    const text = `Back-off restarting failed container ${name} in pod ${title}`
    context.record(handle.pod, name, 'Warning', 'BackOff', text)
  }
  handle.waiting.set(name, { reason: 'CrashLoopBackOff', message })
  handle.wakeIn(remainingMs)
}

/** Removes runs of containers that no status and no log request needs, all but the newest two, and empty old sandboxes. */
async function collect(context: KubeletContext, { uid }: PodHandle): Promise<void> {
  const { view, runtime } = context
  const { containers, sandboxes } = view.pod(uid)
  const seen = new Map<string, number>()
  for (const status of containers) {
    const name = containerNameOf(status)
    const count = (seen.get(name) ?? 0) + 1
    seen.set(name, count)
    if (count <= 2 || status.state === 'running') continue
    await runtime.removeContainer(status.id)
    await removeLogs(context, status.logPath)
    await view.lookAtContainer(status.id)
  }
  for (const { id, ready } of sandboxes.slice(1)) {
    if (ready || view.pod(uid).containers.some((c) => c.sandboxId === id)) continue
    await runtime.removePodSandbox(id)
    await view.lookAtSandbox(id)
  }
}
