// Ending a pod: app containers together, then sidecars in reverse order, all within one grace period; then the sandbox.
// What is left on the node is taken away in two parts: what the API's deletion waits for, and the rest.
import type { ContainerStatus } from '../ports/container-runtime.ts'
import type { KubeletContext } from './context.ts'
import { killContainer } from './kill-container.ts'
import { containerNameOf } from './labels.ts'
import type { PodHandle } from './pod-handle.ts'
import { podCgroup } from './resources.ts'
import { podLogDirectory } from './sandbox.ts'
import { isSidecar } from './types.ts'

const isAlive = (status: ContainerStatus) => status.state === 'running' || status.state === 'unknown'

/** The grace period of an ending pod; it may be cut short while it runs. */
export class Grace {
  seconds: number
  readonly #startedMs: number
  readonly #now: () => number
  /** Aborted when it is cut short: preStop hooks that sleep end. */
  readonly cut = new AbortController()
  constructor(seconds: number, now: () => number) {
    this.seconds = seconds
    this.#now = now
    this.#startedMs = now()
  }
  left(): number {
    return Math.max(0, this.seconds - Math.floor((this.#now() - this.#startedMs) / 1000))
  }
}

/** Ends every container, the volumes and the sandbox's processes; its network may still be on the way out. Throws when the
 * runtime fails; calling it again goes on. */
export async function stopPod(context: KubeletContext, handle: PodHandle, grace: Grace): Promise<void> {
  const { view } = context
  const { pod, uid } = handle
  const kill = (status: ContainerStatus) =>
    killContainer(context, pod, status, { graceSeconds: Math.max(grace.left(), 1), signal: grace.cut.signal })
  const sidecars = (pod.spec.initContainers ?? []).filter(isSidecar).map((c) => c.name)
  const alive = view.pod(uid).containers.filter(isAlive)
  await Promise.all(alive.filter((c) => !sidecars.includes(containerNameOf(c))).map(kill))
  for (const name of [...sidecars].reverse())
    await Promise.all(alive.filter((c) => containerNameOf(c) === name).map(kill))
  handle.publish()
  // Nothing uses the volumes any more; they go while the network is taken down.
  await Promise.all([
    handle.volumes.tearDown(pod),
    ...view
      .pod(uid)
      .sandboxes.filter(({ id, ready }) => ready || handle.stops.has(id))
      .map(({ id }) => Promise.race([stopSandbox(context, handle, id), view.whenSandboxEnded(id)])),
  ])
}
/** Nobody has to hear of a failure here: it is tried again in the end. */
function stopSandbox({ runtime, view }: KubeletContext, { stops }: PodHandle, id: string): Promise<void> {
  const stop = async () => {
    try {
      await runtime.stopPodSandbox(id)
      stops.delete(id)
    } catch (error) {
      stops.set(id, undefined)
      throw error
    }
    await view.lookAtSandbox(id)
  }
  const stopping = stop()
  stopping.catch(() => {})
  stops.set(id, stopping)
  return stopping
}
/** Waits for sandboxes that are being stopped, and stops again where that failed. Throws as stopPod does. */
export async function finishStops(context: KubeletContext, handle: PodHandle): Promise<void> {
  await Promise.all([...handle.stops].map(([id, stop]) => stop ?? stopSandbox(context, handle, id)))
}

/** A shorter grace period arrived: the runtime is told to stop sooner what still runs. */
export async function hurryPod(
  context: KubeletContext,
  handle: PodHandle,
  grace: Grace,
  seconds: number,
): Promise<void> {
  grace.seconds = seconds
  grace.cut.abort()
  const alive = context.view.pod(handle.uid).containers.filter(isAlive)
  await Promise.all(alive.map((status) => context.runtime.stopContainer(status.id, seconds)))
}

/** The pod's cgroup, devices, CPUs and memory, which nothing waits for. */
export async function releasePod(
  { host, devices, cpus, memory }: KubeletContext,
  { pod, uid }: PodHandle,
): Promise<void> {
  cpus.release(uid)
  memory.release(uid)
  await Promise.all([host.cgroups.remove(podCgroup(pod)), devices.release(uid)])
}

/** Everything else, when the API has forgotten it: containers, sandboxes, logs, directories. */
export async function erasePod(context: KubeletContext, handle: PodHandle): Promise<void> {
  await finishStops(context, handle)
  await removeRuns(context, handle)
  await context.disk.remove(handle.paths.directory)
  forgetPod(context, handle.uid)
}
/** Containers, sandboxes and logs of a pod that has ended. What its status says of them stays. */
export async function removeRuns(
  { view, runtime, disk, config }: KubeletContext,
  { uid, pod }: PodHandle,
): Promise<void> {
  const { sandboxes, containers } = view.pod(uid)
  for (const { id } of containers) await runtime.removeContainer(id)
  for (const { id } of sandboxes) await runtime.removePodSandbox(id)
  await Promise.all([
    ...containers.map((c) => view.lookAtContainer(c.id)),
    ...sandboxes.map((s) => view.lookAtSandbox(s.id)),
  ])
  await disk.remove(podLogDirectory(config.podLogsDirectory, pod))
}
export function forgetPod(context: KubeletContext, uid: string): void {
  context.writer.forget(uid)
  context.objects.forget(uid)
  context.tokens.forget(uid)
  context.images.forget(uid)
  context.probes.forget(uid)
  context.backOff.forget(`${uid}_`)
}
