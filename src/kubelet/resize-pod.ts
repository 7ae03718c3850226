// Carries out an in-place resize: the pod's cgroup is widened, the containers change, the cgroup is drawn close again.
import type { CgroupResources } from '../ports/node-host.ts'
import type { KubeletContext } from './context.ts'
import { killContainer } from './kill-container.ts'
import type { PodHandle } from './pod-handle.ts'
import { planResize, wider } from './resize.ts'
import { containerResources, nodeLimits, podCgroup, podCgroupResources } from './resources.ts'
import { lastingContainers } from './types.ts'

/** Brings running containers to what is granted. Answers whether one was ended, so that it is started anew.
 * Boundary: what the runtime refuses is told in the condition PodResizeInProgress, and tried again. */
export async function resizePod(context: KubeletContext, handle: PodHandle): Promise<boolean> {
  const { view, host, runtime, config } = context
  const { pod, uid, resize } = handle
  const running = view.pod(uid).containers
  const plan = planResize(pod, running, resize.enforced)
  if (plan.length === 0) {
    if (resize.progress !== undefined) {
      resize.progress = undefined
      context.record(pod, undefined, 'Normal', 'ResizeCompleted', `Pod resize completed: ${summary(handle)}`)
      handle.publish()
    }
    return false
  }
  if (resize.progress === undefined) {
    resize.progress = { reason: '', message: '' }
    context.record(pod, undefined, 'Normal', 'ResizeStarted', `Pod resize started: ${summary(handle)}`)
    handle.publish()
  }
  const path = podCgroup(pod)
  const target = podCgroupResources(pod, config)
  let restarted = false
  try {
    await host.cgroups.update(path, widest(resize.cgroup, target))
    for (const { container, status, restart } of plan) {
      if (restart) {
        const message = `Container ${container.name} resize requires restart`
        await killContainer(context, pod, status, {
          message,
          graceSeconds: pod.spec.terminationGracePeriodSeconds ?? 30,
        })
        resize.enforced.delete(status.id)
        restarted = true
        continue
      }
      const resources = containerResources(pod, container, nodeLimits(context))
      await runtime.updateContainerResources(status.id, resources)
      resize.enforced.set(status.id, container.resources)
    }
    await host.cgroups.update(path, target)
    resize.cgroup = target
    handle.wakeIn(0)
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    resize.progress = { reason: 'Error', message }
    context.record(pod, undefined, 'Warning', 'ResizeError', `Pod resize error: ${message}`)
    handle.retry()
  }
  handle.publish()
  return restarted
}

const widest = (from: CgroupResources, to: CgroupResources): CgroupResources => {
  const cpuShares = wider(from.cpuShares, to.cpuShares)
  const cpuQuotaUs = wider(from.cpuQuotaUs, to.cpuQuotaUs)
  const memoryBytes = wider(from.memoryBytes, to.memoryBytes)
  return {
    ...to,
    ...(cpuShares === undefined ? {} : { cpuShares }),
    ...(cpuQuotaUs === undefined ? {} : { cpuQuotaUs }),
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
  }
}
const summary = ({ pod }: PodHandle): string =>
  JSON.stringify({
    containers: lastingContainers(pod.spec).map(({ name, resources }) => ({ name, resources })),
    generation: pod.metadata.generation,
  })
