// The machine under a node as a port: facts about it, its cgroups, how much of it is left, kernel settings.
// Cgroup paths are in the kubelet's terms ('/kubepods/burstable/podUID'), the same for v1 and v2; the host puts them
// under its own root and knows where each controller is mounted.
export interface MachineFacts {
  readonly hostname: string
  readonly operatingSystem: 'linux'
  /** Go's names: amd64, arm64 ... */
  readonly architecture: string
  readonly kernelVersion: string
  /** PRETTY_NAME of os-release. */
  readonly osImage: string
  readonly machineId: string
  readonly systemUuid: string
  /** Another one after every boot of the machine. */
  readonly bootId: string
  readonly cpuCount: number
  readonly memoryBytes: number
  readonly swapBytes: number
  /** Addresses for the Node object, the preferred one first, at most one a family. */
  readonly addresses: readonly string[]
  readonly hugepages: readonly { readonly pageSize: string; readonly bytes: number }[]
  /** CPU numbers by NUMA node, core and socket, for the static CPU policy. */
  readonly topology: readonly {
    readonly cpu: number
    readonly core: number
    readonly socket: number
    readonly numaNode: number
  }[]
  /** What each NUMA node has, for the static memory policy. */
  readonly numaNodes: readonly {
    readonly id: number
    readonly memoryBytes: number
    readonly hugepages: readonly { readonly pageSize: string; readonly bytes: number }[]
  }[]
  /** What the kernel lacks, in words for a condition or an event ("no SCTP"). */
  readonly missing: readonly string[]
}

/** What `missing` says of a kernel whose AppArmor is not there or not on. */
export const noAppArmor = 'no AppArmor'

/** Absent means: leave it. */
export interface CgroupResources {
  readonly cpuShares?: number
  /** Microseconds per period, -1 for no limit. */
  readonly cpuQuotaUs?: number
  readonly cpuPeriodUs?: number
  /** -1 for no limit. */
  readonly memoryBytes?: number
  /** v2 memory.min; ignored on v1. */
  readonly memoryMinBytes?: number
  readonly pidsMax?: number
  readonly hugepages?: readonly { readonly pageSize: string; readonly bytes: number }[]
  readonly cpusetCpus?: string
}
export interface CgroupStats {
  readonly timestampMs: number
  readonly cpuUsageNanoseconds: number
  readonly memoryUsageBytes: number
  readonly memoryWorkingSetBytes: number
  readonly memoryRssBytes: number
  readonly memoryPageFaults: number
  readonly memoryMajorPageFaults: number
  /** Undefined without a limit. */
  readonly memoryLimitBytes: number | undefined
  readonly processes: number
  /** How often the kernel killed for memory in it. */
  readonly oomKills: number
}
export interface Cgroups {
  readonly version: 1 | 2
  /** What `SandboxConfig.linux.cgroupParent` must say for a kubelet path, in the form that the runtime expects. */
  parentFor(path: string): string
  /** Makes it, parents included, and sets what is given; on v2 controllers are enabled on the way down. */
  ensure(path: string, resources: CgroupResources): Promise<void>
  /** Sets what is given; DiskError-like failures (too small a memory limit) are thrown as Error with the cause. */
  update(path: string, resources: CgroupResources): Promise<void>
  /** The same for a group of the machine's, by its whole path ('/system.slice'); false where there is none. */
  limit(path: string, resources: CgroupResources): Promise<boolean>
  /** Kills what is left in it and below, then removes it and its children; no error when absent. */
  remove(path: string): Promise<void>
  /** KILL to every process in it and below. */
  kill(path: string): Promise<void>
  stats(path: string): Promise<CgroupStats | undefined>
  /** Names of its direct children; empty when absent. */
  list(path: string): Promise<readonly string[]>
}

/** How loaded the machine is now: what eviction and /stats/summary look at. */
export interface NodeUsage {
  readonly timestampMs: number
  readonly cpuUsageNanoseconds: number
  readonly memoryAvailableBytes: number
  readonly memoryUsageBytes: number
  readonly memoryWorkingSetBytes: number
  readonly memoryRssBytes: number
  readonly memoryPageFaults: number
  readonly memoryMajorPageFaults: number
  readonly pidsMax: number
  readonly pidsRunning: number
  readonly interfaces: readonly InterfaceUsage[]
}
export interface InterfaceUsage {
  readonly name: string
  readonly rxBytes: number
  readonly rxErrors: number
  readonly txBytes: number
  readonly txErrors: number
}

export interface NodeHost {
  facts(): Promise<MachineFacts>
  usage(): Promise<NodeUsage>
  readonly cgroups: Cgroups
  /** Counters of the interfaces that the process sees (any process of a pod); undefined when it is gone. */
  networkUsage(pid: number): Promise<readonly InterfaceUsage[] | undefined>
  /** Lets the traffic of the pod that a process is in go no faster than it is shaped to, from its first byte on. Rejects where
   * that cannot be set. */
  limitBursts(pid: number): Promise<void>
  /** Value of a kernel setting ('net.ipv4.ip_forward'), undefined when the kernel has none. */
  sysctl(name: string): Promise<string | undefined>
  setSysctl(name: string, value: string): Promise<void>
  /** Called when the kernel kills for memory outside any container (the event SystemOOM); close is idempotent. */
  watchSystemOom(onKill: (victim: { readonly process: string; readonly pid: number }) => void): { close(): void }
}
