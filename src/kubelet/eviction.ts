// When the node runs short of memory, disk, inodes or process ids, which pod has to go, and what it is told. Pure:
// eviction-loop.ts measures and carries it out.
import { formatQuantity, quantityOf } from '../api/machinery/quantity.ts'
import { amount, qosOf } from './resources.ts'
import { everyContainer, lastingContainers, type Pod } from './types.ts'
import { isStaticPod } from './static-pods.ts'

export type Signal =
  | 'memory.available'
  | 'nodefs.available'
  | 'nodefs.inodesFree'
  | 'imagefs.available'
  | 'imagefs.inodesFree'
  | 'pid.available'
export interface Observation {
  readonly available: number
  readonly capacity: number
}
export type Observations = Readonly<Partial<Record<Signal, Observation>>>

/** What runs short when a signal falls below its threshold. */
const resources: Readonly<Record<Signal, string>> = {
  'memory.available': 'memory',
  'nodefs.available': 'ephemeral-storage',
  'nodefs.inodesFree': 'inodes',
  'imagefs.available': 'ephemeral-storage',
  'imagefs.inodesFree': 'inodes',
  'pid.available': 'pids',
}
/** In the order in which they are dealt with: memory kills soonest. */
export const signalsInOrder = Object.keys(resources) as readonly Signal[]
export const resourceOf = (signal: Signal): string => resources[signal]
export interface Shortage {
  readonly signal: Signal
  readonly resource: string
  readonly threshold: number
  readonly available: number
}

/** What one pod uses of what runs short: bytes, inodes or processes, and by container where that is known. */
export interface Usage {
  readonly total: number
  readonly containers: ReadonlyMap<string, number>
}
export interface Candidate {
  readonly pod: Pod
  readonly usage: Usage
}

const criticalPriority = 2_000_000_000
/** Pods that the node cannot do without are not evicted. */
const isCritical = (pod: Pod): boolean => isStaticPod(pod) || (pod.spec.priority ?? 0) >= criticalPriority
const requestOf = (pod: Pod, resource: string): number =>
  lastingContainers(pod.spec).reduce((sum, c) => sum + amount(c.resources.requests, resource), 0)

/** Who goes first: pods beyond their requests, then by lower priority, then by how far they are beyond. */
export function rankForEviction(candidates: readonly Candidate[], resource: string): readonly Candidate[] {
  const beyond = ({ pod, usage }: Candidate) => usage.total - requestOf(pod, resource)
  return candidates
    .filter(({ pod }) => !isCritical(pod))
    .sort(
      (a, b) =>
        Number(beyond(b) > 0) - Number(beyond(a) > 0) ||
        (a.pod.spec.priority ?? 0) - (b.pod.spec.priority ?? 0) ||
        beyond(b) - beyond(a),
    )
}

const printed = (value: number, resource: string): string =>
  formatQuantity(
    quantityOf(value, resource === 'memory' || resource === 'ephemeral-storage' ? 'BinarySI' : 'DecimalSI'),
  )

/** The message of the eviction, naming the containers that use more than they asked for. */
export function evictionMessage({ pod, usage }: Candidate, shortage: Shortage): string {
  const { resource, threshold, available } = shortage
  let message = `The node was low on resource: ${resource}. Threshold quantity: ${printed(threshold, resource)}, available: ${printed(available, resource)}. `
  for (const container of lastingContainers(pod.spec)) {
    const used = usage.containers.get(container.name) ?? 0
    const request = amount(container.resources.requests, resource)
    if (used > request)
      message += `Container ${container.name} was using ${printed(used, resource)}, request is ${printed(request, resource)}, has larger consumption of ${resource}. `
  }
  return message
}

/** Ephemeral storage that a pod uses by itself, whatever the node has left. */
export interface StorageUsage {
  /** Root file system and log, by container. */
  readonly containers: ReadonlyMap<string, number>
  /** By name of an emptyDir on disk. */
  readonly volumes: ReadonlyMap<string, number>
}
/** Why a pod goes for using more storage than its own limits say. */
export function storageLimitExceeded(pod: Pod, usage: StorageUsage): string | undefined {
  for (const { name, emptyDir } of pod.spec.volumes ?? []) {
    const limit = emptyDir?.sizeLimit
    if (limit === undefined || amount({ limit }, 'limit') === 0) continue
    if ((usage.volumes.get(name) ?? 0) > amount({ limit }, 'limit'))
      return `Usage of EmptyDir volume "${name}" exceeds the limit "${limit}". `
  }
  const limits = everyContainer(pod.spec).map((c) => c.resources.limits?.['ephemeral-storage'])
  const used = (all: ReadonlyMap<string, number>) => [...all.values()].reduce((sum, bytes) => sum + bytes, 0)
  if (lastingContainers(pod.spec).every((c) => c.resources.limits?.['ephemeral-storage'] !== undefined)) {
    const total = limits.reduce((sum, limit) => sum + amount(limit === undefined ? {} : { limit }, 'limit'), 0)
    if (used(usage.containers) + used(usage.volumes) > total)
      return `Pod ephemeral local storage usage exceeds the total limit of containers ${printed(total, 'ephemeral-storage')}. `
  }
  for (const container of everyContainer(pod.spec)) {
    const limit = container.resources.limits?.['ephemeral-storage']
    if (limit !== undefined && (usage.containers.get(container.name) ?? 0) > amount({ limit }, 'limit'))
      return `Container ${container.name} exceeded its local ephemeral storage limit "${limit}". `
  }
  return undefined
}
/** True when the pod has a limit of its own that has to be watched. */
export const hasStorageLimits = (pod: Pod): boolean =>
  everyContainer(pod.spec).some((c) => c.resources.limits?.['ephemeral-storage'] !== undefined) ||
  (pod.spec.volumes ?? []).some(
    (v) => v.emptyDir !== undefined && v.emptyDir.medium !== 'Memory' && v.emptyDir.sizeLimit !== undefined,
  )

/** Under pressure the node takes no pods that would be the first to go again. */
export function refusedUnderPressure(
  pod: Pod,
  pressure: { memory: boolean; disk: boolean; pid: boolean },
): string | undefined {
  if (isCritical(pod)) return undefined
  const tolerated = pod.spec.tolerations?.some(
    (t) => t.key === 'node.kubernetes.io/memory-pressure' || (!t.key && t.operator === 'Exists'),
  )
  const found: string[] = []
  if (pressure.memory && qosOf(pod) === 'BestEffort' && !tolerated) found.push('MemoryPressure')
  if (pressure.disk) found.push('DiskPressure')
  if (pressure.pid) found.push('PIDPressure')
  return found.length === 0 ? undefined : `The node had condition: [${found.join(' ')}]. `
}
