// What a node's operator may set, with upstream's defaults.
import type { MemoryReservation } from './memory-map.ts'
import type { VerificationPolicy } from './pulled-images.ts'
import type { TopologyPolicy, TopologyScope } from './topology.ts'

export interface KubeletConfig {
  /** Directory of pods, volumes and the kubelet's own state. */
  readonly rootDirectory: string
  /** Directory of local volumes, which outlive pods and the kubelet's own state. */
  readonly volumesDirectory: string
  /** Directory of container logs. */
  readonly podLogsDirectory: string
  readonly clusterDomain: string
  readonly clusterDns: readonly string[]
  readonly resolvConf: string
  readonly maxPods: number
  /** So many pods a CPU at most, within maxPods; 0 for no such limit. */
  readonly podsPerCore: number
  readonly podPidsLimit: number | undefined
  readonly cpuManagerPolicy: 'none' | 'static'
  /** A container has whole cores for itself or none: others never run on a sibling thread. */
  readonly fullPcpusOnly: boolean
  /** Containers that share CPUs keep off the reserved ones too. */
  readonly strictCpuReservation: boolean
  /** Limits of CPU are enforced. */
  readonly cpuCfsQuota: boolean
  /** Out of memory, only the process that is chosen is killed, not all of its container (cgroup v2). */
  readonly singleProcessOomKill: boolean
  /** Whether Burstable containers may swap, in proportion to what they request of the memory (cgroup v2). */
  readonly swapBehavior: 'NoSwap' | 'LimitedSwap'
  /** CPUs that no container has for itself, such as "0-1"; default: as many of the first as are reserved in all. */
  readonly reservedSystemCpus: string | undefined
  /** Whether containers of Guaranteed pods have their memory on NUMA nodes of their own. */
  readonly memoryManagerPolicy: 'None' | 'Static'
  /** What of each NUMA node stays with the system: in all as much as is kept from pods. */
  readonly reservedMemory: readonly MemoryReservation[]
  readonly topologyManagerPolicy: TopologyPolicy
  readonly topologyManagerScope: TopologyScope
  readonly nodeLabels: Readonly<Record<string, string>>
  readonly nodeTaints: readonly { readonly key: string; readonly value?: string; readonly effect: string }[]
  /** Kept from pods: reserved for the system and for us. */
  readonly systemReserved: Readonly<Record<string, string>>
  readonly kubeReserved: Readonly<Record<string, string>>
  /** On whom these amounts are enforced: pods, system-reserved, kube-reserved, and the latter with -compressible (CPU alone). */
  readonly enforceNodeAllocatable: readonly string[]
  /** Groups of the machine whose limits the reserved amounts are, where that is enforced. */
  readonly systemReservedCgroup: string | undefined
  readonly kubeReservedCgroup: string | undefined
  readonly containerLogMaxBytes: number
  readonly containerLogMaxFiles: number
  /** How often the size of logs is looked at. */
  readonly containerLogMonitorMs: number
  /** Whether the node gives logs and lets in exec, attach and port-forward. */
  readonly debuggingHandlers: boolean
  /** One pull at a time, whatever maxParallelImagePulls says. */
  readonly serializeImagePulls: boolean
  readonly maxParallelImagePulls: number
  /** A CredentialProviderConfig, and the folder of the programs that it names. */
  readonly credentialProviderConfig: string | undefined
  readonly credentialProviderBinDirectory: string | undefined
  /** Whether a pod must show that it may use an image that is there (KEP-2535), and which preloaded ones it may. */
  readonly imagePullVerification: VerificationPolicy
  readonly preloadedImagesAllowlist: readonly string[]
  readonly allowedUnsafeSysctls: readonly string[]
  readonly seccompDefault: boolean
  readonly nodeStatusUpdateMs: number
  readonly nodeStatusReportMs: number
  readonly nodeLeaseSeconds: number
  /** So many images stand in the node's status, the biggest; -1 for all. */
  readonly nodeStatusMaxImages: number
  readonly maxCrashBackOffMs: number
  readonly registerNode: boolean
  /** Port of the kubelet's HTTPS API; 0 while it is served in process only. */
  readonly port: number
  /** Folder of static pod manifests, and a URL of such a manifest. */
  readonly staticPodPath: string | undefined
  readonly staticPodUrl: string | undefined
  /** Headers that the URL is asked with. */
  readonly staticPodUrlHeaders: readonly { readonly name: string; readonly value: string }[]
  /** How often the URL is asked. */
  readonly staticPodUrlPeriodMs: number
  /** Amounts or percentages by signal: below, pods go at once. */
  readonly evictionHard: Readonly<Record<string, string>>
  /** Below for so long, pods go with the grace of evictionMaxPodGraceSeconds at most. */
  readonly evictionSoft: Readonly<Record<string, string>>
  readonly evictionSoftGraceMs: Readonly<Record<string, number>>
  readonly evictionMaxPodGraceSeconds: number
  /** Once a threshold was passed, pods go until so much more is free. */
  readonly evictionMinimumReclaim: Readonly<Record<string, string>>
  /** A pressure is reported for so long after it was last seen. */
  readonly evictionTransitionMs: number
  readonly imageGcHighPercent: number
  readonly imageGcLowPercent: number
  /** Younger images stay. */
  readonly imageGcLeastAgeMs: number
  /** Images unused for longer go although the disk has room; 0 for never. */
  readonly imageGcMostAgeMs: number
  /** How long pods may take to end when the machine goes down, 0 to leave them to it; so much of it is for critical pods. */
  readonly shutdownGraceSeconds: number
  readonly shutdownGraceCriticalSeconds: number
  /** Instead of both: time for the pods from each priority up. */
  readonly shutdownGraceByPriority: readonly { readonly priority: number; readonly graceSeconds: number }[]
  readonly providerId: string | undefined
  readonly version: string
}

export const defaultKubeletConfig: KubeletConfig = {
  rootDirectory: '/var/lib/kubelet',
  volumesDirectory: '/var/lib/kubelet/local-volumes',
  podLogsDirectory: '/var/log/pods',
  clusterDomain: 'cluster.local',
  clusterDns: [],
  resolvConf: '/etc/resolv.conf',
  maxPods: 110,
  podsPerCore: 0,
  podPidsLimit: undefined,
  cpuManagerPolicy: 'none',
  fullPcpusOnly: false,
  strictCpuReservation: false,
  cpuCfsQuota: true,
  singleProcessOomKill: false,
  swapBehavior: 'NoSwap',
  reservedSystemCpus: undefined,
  memoryManagerPolicy: 'None',
  reservedMemory: [],
  topologyManagerPolicy: 'none',
  topologyManagerScope: 'container',
  nodeLabels: {},
  nodeTaints: [],
  systemReserved: {},
  kubeReserved: {},
  enforceNodeAllocatable: ['pods'],
  systemReservedCgroup: undefined,
  kubeReservedCgroup: undefined,
  containerLogMaxBytes: 10 * 2 ** 20,
  containerLogMaxFiles: 5,
  containerLogMonitorMs: 10_000,
  debuggingHandlers: true,
  serializeImagePulls: false,
  maxParallelImagePulls: 5,
  credentialProviderConfig: undefined,
  credentialProviderBinDirectory: undefined,
  imagePullVerification: 'NeverVerifyPreloadedImages',
  preloadedImagesAllowlist: [],
  allowedUnsafeSysctls: [],
  seccompDefault: false,
  nodeStatusUpdateMs: 10_000,
  nodeStatusReportMs: 300_000,
  nodeLeaseSeconds: 40,
  nodeStatusMaxImages: 50,
  maxCrashBackOffMs: 300_000,
  registerNode: true,
  port: 10250,
  staticPodPath: undefined,
  staticPodUrl: undefined,
  staticPodUrlHeaders: [],
  staticPodUrlPeriodMs: 20_000,
  evictionHard: {
    'memory.available': '100Mi',
    'nodefs.available': '10%',
    'nodefs.inodesFree': '5%',
    'imagefs.available': '15%',
    'imagefs.inodesFree': '5%',
  },
  evictionSoft: {},
  evictionSoftGraceMs: {},
  evictionMaxPodGraceSeconds: 0,
  evictionMinimumReclaim: {},
  evictionTransitionMs: 300_000,
  imageGcHighPercent: 85,
  imageGcLowPercent: 80,
  imageGcLeastAgeMs: 120_000,
  imageGcMostAgeMs: 0,
  shutdownGraceSeconds: 0,
  shutdownGraceCriticalSeconds: 0,
  shutdownGraceByPriority: [],
  providerId: undefined,
  version: 'v1.36.2+coxswain',
}
