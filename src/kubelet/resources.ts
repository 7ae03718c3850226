// What a pod asks for and may use, in the kernel's units: shares, quota, bytes, and who is killed first for memory.
import { podLimits, podRequests } from '../api/core/pod-resources.ts'
import { type QosClass, qosClassOf } from '../api/core/pod-qos.ts'
import { parseQuantity, quantityMilliValue, quantityValue } from '../api/machinery/quantity.ts'
import type { LinuxResources } from '../ports/container-runtime.ts'
import type { CgroupResources } from '../ports/node-host.ts'
import type { KubeletConfig } from './config.ts'
import type { KubeletContext } from './context.ts'
import { parseCpus } from './cpu-list.ts'
import { type Container, everyContainer, isSidecar, lastingContainers, type Pod, type PodSpec } from './types.ts'

type ResourceList = Readonly<Record<string, string>>

export const periodUs = 100_000
const minShares = 2
const maxShares = 262_144
const minQuotaUs = 1000

export const cpuShares = (milli: number): number =>
  milli === 0 ? minShares : Math.min(maxShares, Math.max(minShares, Math.floor((milli * 1024) / 1000)))
/** Undefined for no limit. */
export const cpuQuotaUs = (milli: number): number | undefined =>
  milli === 0 ? undefined : Math.max(minQuotaUs, Math.floor((milli * periodUs) / 1000))

/** Amount of a resource: millicores of cpu, whole units of everything else; 0 where nothing is said. */
export function amount(list: ResourceList | undefined, name: string): number {
  const text = list?.[name]
  if (text === undefined) return 0
  return name === 'cpu' ? quantityMilliValue(text) : quantityValue(text)
}
/** What pods may not use of the node, reserved for the system and for us, in the units of amount(). CPUs that are reserved
 * by number stand for every amount of cpu. */
export function reservedAmount(
  config: Pick<KubeletConfig, 'systemReserved' | 'kubeReserved' | 'reservedSystemCpus'>,
  name: string,
): number {
  if (name === 'cpu' && config.reservedSystemCpus !== undefined)
    return parseCpus(config.reservedSystemCpus).length * 1000
  return amount(config.systemReserved, name) + amount(config.kubeReserved, name)
}
const isPositive = (text: string | undefined) => text !== undefined && parseQuantity(text).nanos > 0n

/** Decides cgroup, OOM score and order of eviction. */
export const qosOf = (pod: Pod): QosClass => qosClassOf(pod)
/** Of the whole pod with its overhead, in the units of amount(). */
export const podAmount = (spec: PodSpec, which: 'requests' | 'limits', name: string): number =>
  amount(which === 'requests' ? podRequests(spec) : podLimits(spec), name)

/** True when every container has a limit, so that the pod as a whole has one. */
const allLimited = (spec: PodSpec, name: string): boolean =>
  spec.resources?.limits?.[name] !== undefined ||
  lastingContainers(spec).every((container) => isPositive(container.resources?.limits?.[name]))

const guaranteedScore = -997
const bestEffortScore = 1000
const criticalPriority = 2_000_000_000

/** oom_score_adj: the less a Burstable container requests of the node's memory, the sooner it is killed. */
export function oomScoreAdj(pod: Pod, container: Container, memoryCapacity: number): number {
  if ((pod.spec.priority ?? 0) >= criticalPriority) return guaranteedScore
  const qos = qosOf(pod)
  if (qos === 'Guaranteed') return guaranteedScore
  if (qos === 'BestEffort') return bestEffortScore
  const score = burstableScore(pod.spec, container, memoryCapacity)
  if (!isSidecar(container)) return score
  // A sidecar is not killed before the containers it serves.
  const apps = pod.spec.containers.map((app) => burstableScore(pod.spec, app, memoryCapacity))
  return Math.min(score, ...apps)
}
function burstableScore(spec: PodSpec, container: Container, memoryCapacity: number): number {
  let request = amount(container.resources?.requests, 'memory')
  const podRequest = amount(spec.resources?.requests, 'memory')
  if (podRequest > 0) {
    const claimed = lastingContainers(spec).reduce((sum, c) => sum + amount(c.resources?.requests, 'memory'), 0)
    request += Math.max(0, Math.floor((podRequest - claimed) / lastingContainers(spec).length))
  }
  const score = 1000 - Math.floor((1000 * request) / Math.max(1, memoryCapacity))
  return Math.min(bestEffortScore - 1, Math.max(1000 + guaranteedScore, score))
}

/** What of the node decides a container's limits. */
export interface NodeLimits {
  readonly memoryBytes: number
  readonly swapBytes: number
  readonly cgroupVersion: 1 | 2
  readonly config: Pick<KubeletConfig, 'cpuCfsQuota' | 'singleProcessOomKill' | 'swapBehavior'>
}
export const nodeLimits = ({
  machine,
  host,
  config,
}: Pick<KubeletContext, 'machine' | 'host' | 'config'>): NodeLimits => ({
  memoryBytes: machine.memoryBytes,
  swapBytes: machine.swapBytes,
  cgroupVersion: host.cgroups.version,
  config,
})

/** Bytes of swap, in proportion to what a container of a Burstable pod requests of the node's memory; one that may use no
 * more than it requests has none (https://kubernetes.io/docs/concepts/cluster-administration/swap-memory-management/). */
function swapOf(pod: Pod, container: Container, { memoryBytes, swapBytes, config }: NodeLimits): number {
  const request = amount(container.resources?.requests, 'memory')
  const limited = request === amount(container.resources?.limits, 'memory')
  if (config.swapBehavior === 'NoSwap' || qosOf(pod) !== 'Burstable' || request === 0 || limited) return 0
  return Math.floor((request / memoryBytes) * swapBytes)
}
function unifiedOf(pod: Pod, container: Container, node: NodeLimits, hasLimit: boolean): Record<string, string> {
  if (node.cgroupVersion === 1) return {}
  return {
    ...(hasLimit && !node.config.singleProcessOomKill ? { 'memory.oom.group': '1' } : {}),
    ...(node.swapBytes > 0 ? { 'memory.swap.max': String(swapOf(pod, container, node)) } : {}),
  }
}

/** What one container gets from the runtime. */
export function containerResources(pod: Pod, container: Container, node: NodeLimits): LinuxResources {
  const { requests, limits } = container.resources ?? {}
  const podLimits = pod.spec.resources?.limits
  const cpuLimit = amount(limits, 'cpu') || amount(podLimits, 'cpu')
  const memoryLimit = amount(limits, 'memory') || amount(podLimits, 'memory')
  const cpuRequest = requests?.['cpu'] === undefined ? amount(limits, 'cpu') : amount(requests, 'cpu')
  const quota = node.config.cpuCfsQuota ? cpuQuotaUs(cpuLimit) : undefined
  const unified = unifiedOf(pod, container, node, memoryLimit !== 0)
  const hugepages = Object.keys(limits ?? {})
    .filter((name) => name.startsWith('hugepages-'))
    .map((name) => ({ pageSize: hugepageName(name), limit: amount(limits, name) }))
  return {
    cpuShares: cpuShares(cpuRequest),
    cpuPeriod: periodUs,
    ...(quota === undefined ? {} : { cpuQuota: quota }),
    // The limit of both together; without swap it is the limit of memory.
    ...(memoryLimit === 0
      ? {}
      : {
          memoryLimitBytes: memoryLimit,
          memorySwapLimitBytes: memoryLimit + (node.cgroupVersion === 2 ? swapOf(pod, container, node) : 0),
        }),
    oomScoreAdj: oomScoreAdj(pod, container, node.memoryBytes),
    ...(hugepages.length === 0 ? {} : { hugepageLimits: hugepages }),
    ...(Object.keys(unified).length === 0 ? {} : { unified }),
  }
}
/** hugepages-2Mi in the kernel's way: 2MB. */
export function hugepageName(resource: string): string {
  const bytes = quantityValue(resource.slice('hugepages-'.length))
  if (bytes >= 2 ** 30) return `${bytes / 2 ** 30}GB`
  return bytes >= 2 ** 20 ? `${bytes / 2 ** 20}MB` : `${bytes / 1024}KB`
}

/** The other way: the kernel says 2MB and 1GB for what resources call 2Mi and 1Gi. */
export const hugepageResource = (pageSize: string): string =>
  `hugepages-${pageSize.replace(/([kKMG])B$/, (_, unit: string) => `${unit.toUpperCase()}i`)}`

/** What the cgroup around the pod gets. */
export function podCgroupResources(
  pod: Pod,
  { podPidsLimit: pidsMax, cpuCfsQuota }: Pick<KubeletConfig, 'podPidsLimit' | 'cpuCfsQuota'>,
): CgroupResources {
  const { spec } = pod
  const pids = pidsMax === undefined ? {} : { pidsMax }
  if (qosOf(pod) === 'BestEffort') return { cpuShares: minShares, ...pids }
  const quota = cpuCfsQuota && allLimited(spec, 'cpu') ? cpuQuotaUs(podAmount(spec, 'limits', 'cpu')) : undefined
  const memory = allLimited(spec, 'memory') ? podAmount(spec, 'limits', 'memory') : 0
  const hugepages = Object.keys(podRequests(spec))
    .filter((name) => name.startsWith('hugepages-'))
    .map((name) => ({ pageSize: hugepageName(name), bytes: podAmount(spec, 'requests', name) }))
  return {
    cpuShares: cpuShares(podAmount(spec, 'requests', 'cpu')),
    cpuPeriodUs: periodUs,
    cpuQuotaUs: quota ?? -1,
    memoryBytes: memory === 0 ? -1 : memory,
    ...(hugepages.length === 0 ? {} : { hugepages }),
    ...pids,
  }
}
/** Resources of a sandbox and its overhead, which CRI passes on to virtual machine runtimes. */
export function sandboxResources(pod: Pod): LinuxResources {
  const quota = cpuQuotaUs(podAmount(pod.spec, 'limits', 'cpu'))
  const memory = podAmount(pod.spec, 'limits', 'memory')
  return {
    cpuPeriod: periodUs,
    cpuShares: cpuShares(podAmount(pod.spec, 'requests', 'cpu')),
    ...(quota === undefined ? {} : { cpuQuota: quota }),
    ...(memory === 0 ? {} : { memoryLimitBytes: memory }),
  }
}

const qosPaths: Readonly<Record<QosClass, string>> = {
  Guaranteed: '/kubepods',
  Burstable: '/kubepods/burstable',
  BestEffort: '/kubepods/besteffort',
}
export const qosCgroup = (qos: QosClass): string => qosPaths[qos]
export const podCgroup = (pod: Pod): string => `${qosPaths[qosOf(pod)]}/pod${pod.metadata.uid}`

/** True when some container of the pod is privileged. */
export const hasPrivileged = (spec: PodSpec): boolean =>
  everyContainer(spec).some((container) => container.securityContext?.privileged === true)
