// In-place resize (KEP-1287): what a container may use can change while it runs. The spec says what is wished, the
// allocation what this node has granted, and the status what the runtime enforces. Until a wish is granted, everything
// else in the kubelet sees the pod as it was allocated.
import type { ContainerStatus } from '../ports/container-runtime.ts'
import { podRequests } from '../api/core/pod-resources.ts'
import { containerNameOf } from './labels.ts'
import type { KubeletConfig } from './config.ts'
import { amount, qosOf } from './resources.ts'
import { type Container, lastingContainers, type Pod } from './types.ts'

type Requirements = NonNullable<Container['resources']>
/** Resources by container name. */
export type Allocation = ReadonlyMap<string, Requirements>
export interface Pending {
  readonly reason: 'Infeasible' | 'Deferred'
  readonly message: string
}

const resizable = ['cpu', 'memory']

/** Names of the resources in which two differ. */
export function changedResources(a: Requirements | undefined, b: Requirements | undefined): string[] {
  return resizable.filter(
    (name) =>
      amount(a?.requests, name) !== amount(b?.requests, name) || amount(a?.limits, name) !== amount(b?.limits, name),
  )
}

export const wishedAllocation = (pod: Pod): Allocation =>
  new Map(lastingContainers(pod.spec).map((c) => [c.name, c.resources]))

/** What had been granted before the kubelet restarted: the status tells of containers that run. */
export function restoredAllocation(pod: Pod): Allocation {
  const { containerStatuses = [], initContainerStatuses = [] } = pod.status
  const allocation = new Map(wishedAllocation(pod))
  for (const { name, state, resources } of [...containerStatuses, ...initContainerStatuses])
    if (state?.running !== undefined && resources !== undefined && allocation.has(name)) allocation.set(name, resources)
  return allocation
}

/** Why an earlier kubelet did not grant a wish. */
export function restoredPending(pod: Pod): Pending | undefined {
  const told = pod.status.conditions?.find((c) => c.type === 'PodResizePending' && c.status === 'True')
  if (told?.reason !== 'Infeasible' && told?.reason !== 'Deferred') return undefined
  return { reason: told.reason, message: told.message ?? '' }
}
/** The pod with what is granted instead of what is wished; the same object where both agree. */
export function withAllocation(pod: Pod, allocation: Allocation): Pod {
  if (!isResizeWished(pod, allocation)) return pod
  const granted = (container: Container): Container => {
    const resources = allocation.get(container.name)
    return resources === undefined ? container : { ...container, resources }
  }
  const { initContainers, containers } = pod.spec
  return {
    ...pod,
    spec: {
      ...pod.spec,
      containers: containers.map(granted),
      ...(initContainers === undefined ? {} : { initContainers: initContainers.map(granted) }),
    },
  }
}
export const isResizeWished = (pod: Pod, allocation: Allocation): boolean =>
  lastingContainers(pod.spec).some((c) => {
    const granted = allocation.get(c.name)
    return granted !== undefined && changedResources(granted, c.resources).length > 0
  })

/** Why a wish cannot be granted to a pod whose containers have CPUs or memory of their own: these are given once
 * (https://kubernetes.io/docs/tasks/configure-pod-container/resize-container-resources/#limitations). */
export function pinnedResize(
  granted: Pod,
  wished: Pod,
  config: Pick<KubeletConfig, 'cpuManagerPolicy' | 'memoryManagerPolicy'>,
): Pending | undefined {
  if (qosOf(granted) !== 'Guaranteed') return undefined
  const before = new Map(lastingContainers(granted.spec).map((c) => [c.name, c.resources]))
  const changed = lastingContainers(wished.spec).flatMap((c) => changedResources(before.get(c.name), c.resources))
  const refuse = (policy: string): Pending => ({
    reason: 'Infeasible',
    message: `Resize is infeasible for Guaranteed Pods alongside ${policy} static policy`,
  })
  if (config.cpuManagerPolicy === 'static' && changed.includes('cpu')) return refuse('CPU Manager')
  if (config.memoryManagerPolicy === 'Static' && changed.includes('memory')) return refuse('Memory Manager')
  return undefined
}

/** Why a wish cannot be granted now (Deferred) or ever (Infeasible) on this node. */
export function resizePending(
  pod: Pod,
  others: readonly Pod[],
  allocatable: Readonly<Record<string, string>>,
): Pending | undefined {
  const requests = podRequests(pod.spec)
  for (const name of resizable) {
    const [requested, capacity] = [amount(requests, name), amount(allocatable, name)]
    if (requested > capacity)
      return {
        reason: 'Infeasible',
        message: `Node didn't have enough capacity: ${name}, requested: ${requested}, capacity: ${capacity}`,
      }
  }
  for (const name of resizable) {
    const [requested, capacity] = [amount(requests, name), amount(allocatable, name)]
    const used = others.reduce((sum, other) => sum + amount(podRequests(other.spec), name), 0)
    if (requested > 0 && used + requested > capacity)
      return {
        reason: 'Deferred',
        message: `Node didn't have enough resource: ${name}, requested: ${requested}, used: ${used}, capacity: ${capacity}`,
      }
  }
  return undefined
}

export interface ContainerResize {
  readonly container: Container
  readonly status: ContainerStatus
  readonly restart: boolean
}
/** What has to be done to containers that run with other resources than granted. `enforced` is by container id. */
export function planResize(
  pod: Pod,
  running: readonly ContainerStatus[],
  enforced: ReadonlyMap<string, Requirements>,
): readonly ContainerResize[] {
  const plan: ContainerResize[] = []
  for (const container of lastingContainers(pod.spec)) {
    const status = running.find((c) => c.state === 'running' && containerNameOf(c) === container.name)
    const now = status === undefined ? undefined : enforced.get(status.id)
    if (status === undefined || now === undefined) continue
    const changed = changedResources(now, container.resources)
    if (changed.length === 0) continue
    const policies = container.resizePolicy ?? []
    const restart = policies.some((p) => changed.includes(p.resourceName) && p.restartPolicy === 'RestartContainer')
    plan.push({ container, status, restart })
  }
  return plan
}

/** Of two pod limits the wider, for the time in which containers change one after another. */
export const wider = (a: number | undefined, b: number | undefined): number | undefined => {
  if (a === undefined || b === undefined) return a ?? b
  return a === -1 || b === -1 ? -1 : Math.max(a, b)
}
