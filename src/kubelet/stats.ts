// What pods and the node use, measured when somebody asks: the summary (kubelet's stats/v1alpha1) and the resource metrics
// that feed `kubectl top` and autoscalers. Rates are taken between two askings at least a second apart.
import { rfc3339, rfc3339Micro } from '../ports/clock.ts'
import type { ContainerStats } from '../ports/container-runtime.ts'
import type { InterfaceUsage, NodeUsage } from '../ports/node-host.ts'
import type { KubeletContext } from './context.ts'
import { containerNameOf } from './labels.ts'
import type { PodSet } from './pod-set.ts'
import type { PodWorker } from './pod-worker.ts'
import { podCgroup } from './resources.ts'
import { isHostNetwork, namespaceOf } from './types.ts'

interface Sample {
  readonly atMs: number
  readonly cpuNanoseconds: number
}
const leastIntervalMs = 1000
const rememberMs = 120_000

/** Turns growing counters into rates. */
class Rates {
  readonly #samples = new Map<string, { readonly base: Sample; readonly last: Sample; readonly rate?: number }>()
  /** Nano-cores since the base sample; the rate of before where that is too near; undefined for the first. */
  rate(key: string, atMs: number, cpuNanoseconds: number): number | undefined {
    const known = this.#samples.get(key)
    const now = { atMs, cpuNanoseconds }
    if (known === undefined || cpuNanoseconds < known.last.cpuNanoseconds) {
      this.#samples.set(key, { base: now, last: now })
      return undefined
    }
    const elapsedMs = atMs - known.base.atMs
    if (elapsedMs < leastIntervalMs) return known.rate
    const rate = Math.round(((cpuNanoseconds - known.base.cpuNanoseconds) * 1000) / elapsedMs)
    // The next rate begins at the last sample that is far enough away.
    const base = atMs - known.last.atMs >= leastIntervalMs ? known.last : known.base
    this.#samples.set(key, { base, last: now, rate })
    return rate
  }
  forgetOlder(nowMs: number): void {
    for (const [key, { last }] of this.#samples) if (nowMs - last.atMs > rememberMs) this.#samples.delete(key)
  }
}

export interface CpuFigures {
  readonly time: string
  readonly usageNanoCores?: number
  readonly usageCoreNanoSeconds: number
}
export interface MemoryFigures {
  readonly time: string
  readonly usageBytes: number
  readonly workingSetBytes: number
  readonly rssBytes: number
  readonly pageFaults: number
  readonly majorPageFaults: number
  readonly availableBytes?: number
}
export interface FsFigures {
  readonly time: string
  readonly availableBytes: number
  readonly capacityBytes: number
  readonly usedBytes: number
  readonly inodesFree: number
  readonly inodes: number
  readonly inodesUsed: number
}
export interface ContainerFigures {
  readonly name: string
  readonly startTime: string
  readonly startedAtMs: number
  readonly cpu: CpuFigures
  readonly memory: MemoryFigures
  readonly rootfs: FsFigures
}
export interface PodFigures {
  readonly podRef: { readonly name: string; readonly namespace: string; readonly uid: string }
  readonly startTime: string
  readonly containers: readonly ContainerFigures[]
  readonly cpu: CpuFigures
  readonly memory: MemoryFigures
  /** Of the pod's own network; not on the host's. */
  readonly network?: object
  readonly 'ephemeral-storage': FsFigures
  readonly process_stats: { readonly process_count: number }
}
export interface Summary {
  readonly node: {
    readonly nodeName: string
    readonly startTime: string
    readonly cpu: CpuFigures
    readonly memory: MemoryFigures
    readonly network: object
    readonly fs: FsFigures
    readonly runtime: { readonly imageFs: FsFigures; readonly containerFs: FsFigures }
    readonly rlimit: { readonly time: string; readonly maxpid: number; readonly curproc: number }
  }
  readonly pods: readonly PodFigures[]
}

export class Stats {
  readonly #context: KubeletContext
  readonly #pods: PodSet
  readonly #rates = new Rates()
  readonly #startedAtMs: number
  /** Processes in the pods' networks, by sandbox. */
  readonly #pids = new Map<string, number>()
  constructor(context: KubeletContext, pods: PodSet) {
    this.#context = context
    this.#pods = pods
    this.#startedAtMs = context.clock.now()
  }

  #cpu(key: string, atMs: number, nanoseconds: number): CpuFigures {
    const rate = this.#rates.rate(key, atMs, nanoseconds)
    return {
      time: rfc3339Micro(atMs),
      ...(rate === undefined ? {} : { usageNanoCores: rate }),
      usageCoreNanoSeconds: nanoseconds,
    }
  }
  async summary(): Promise<Summary> {
    const { host, runtime, clock, nodeName, view } = this.#context
    const [usage, stats, fs] = await Promise.all([host.usage(), runtime.containerStats(), this.#fileSystem()])
    const byContainer = new Map(stats.map((s) => [s.containerId, s]))
    const pods: PodFigures[] = []
    for (const worker of this.#pods.workers()) {
      const figures = await this.#pod(worker, byContainer, fs)
      if (figures !== undefined) pods.push(figures)
    }
    this.#rates.forgetOlder(clock.now())
    for (const id of this.#pids.keys()) if (!view.hasSandbox(id)) this.#pids.delete(id)
    const time = rfc3339Micro(usage.timestampMs)
    return {
      node: {
        nodeName,
        startTime: rfc3339(this.#startedAtMs),
        cpu: this.#cpu('node', usage.timestampMs, usage.cpuUsageNanoseconds),
        memory: memoryOf(usage, time),
        network: networkOf(usage.interfaces, time),
        fs,
        runtime: { imageFs: await this.#imageFs(fs), containerFs: fs },
        rlimit: { time, maxpid: usage.pidsMax, curproc: usage.pidsRunning },
      },
      pods,
    }
  }
  async #fileSystem(): Promise<FsFigures> {
    const { disk, config, clock } = this.#context
    const { capacityBytes, availableBytes, inodes, inodesFree } = await disk.fileSystem(config.rootDirectory)
    return {
      time: rfc3339(clock.now()),
      availableBytes,
      capacityBytes,
      usedBytes: capacityBytes - availableBytes,
      inodesFree,
      inodes,
      inodesUsed: inodes - inodesFree,
    }
  }
  async #imageFs(fs: FsFigures): Promise<FsFigures> {
    const info = await this.#context.runtime.imageFsInfo()
    return info === undefined ? fs : { ...fs, usedBytes: info.usedBytes, inodesUsed: info.inodesUsed }
  }
  async #interfaces(worker: PodWorker): Promise<readonly InterfaceUsage[] | undefined> {
    const { view, runtime, host } = this.#context
    const sandbox = view.pod(worker.uid).sandboxes.find((s) => s.ready)
    if (sandbox === undefined || isHostNetwork(worker.pod)) return undefined
    const pid = this.#pids.get(sandbox.id) ?? (await runtime.sandboxPid(sandbox.id))
    if (pid === undefined) return undefined
    this.#pids.set(sandbox.id, pid)
    return host.networkUsage(pid)
  }
  async #pod(
    worker: PodWorker,
    stats: ReadonlyMap<string, ContainerStats>,
    fs: FsFigures,
  ): Promise<PodFigures | undefined> {
    const { view, host } = this.#context
    const { metadata, status } = worker.pod
    const running = view.pod(worker.uid).containers.filter((c) => c.state === 'running')
    if (running.length === 0) return undefined
    const containers: ContainerFigures[] = []
    for (const container of running) {
      const found = stats.get(container.id)
      if (found === undefined) continue
      const time = rfc3339Micro(found.timestampMs)
      const cpu = this.#cpu(container.id, found.timestampMs, found.cpuUsageCoreNanoSeconds)
      containers.push({
        name: containerNameOf(container),
        startTime: rfc3339(container.startedAtMs),
        startedAtMs: container.startedAtMs,
        cpu:
          found.cpuUsageNanoCores === undefined || cpu.usageNanoCores !== undefined
            ? cpu
            : { ...cpu, usageNanoCores: found.cpuUsageNanoCores },
        memory: {
          time,
          usageBytes: found.memoryUsageBytes,
          workingSetBytes: found.memoryWorkingSetBytes,
          rssBytes: found.memoryRssBytes,
          pageFaults: found.memoryPageFaults,
          majorPageFaults: found.memoryMajorPageFaults,
        },
        rootfs: { ...fs, usedBytes: found.rootfsUsedBytes, inodesUsed: found.rootfsInodesUsed },
      })
    }
    const [cgroup, interfaces] = await Promise.all([
      host.cgroups.stats(podCgroup(worker.pod)),
      this.#interfaces(worker),
    ])
    const time = containers[0]?.cpu.time ?? fs.time
    const sum = (of: (c: ContainerFigures) => number) => containers.reduce((total, c) => total + of(c), 0)
    const used = sum((c) => c.rootfs.usedBytes)
    return {
      podRef: { name: metadata.name, namespace: namespaceOf(worker.pod), uid: worker.uid },
      startTime: status.startTime ?? rfc3339(this.#startedAtMs),
      containers,
      cpu:
        cgroup === undefined
          ? {
              time,
              usageNanoCores: sum((c) => c.cpu.usageNanoCores ?? 0),
              usageCoreNanoSeconds: sum((c) => c.cpu.usageCoreNanoSeconds),
            }
          : this.#cpu(worker.uid, cgroup.timestampMs, cgroup.cpuUsageNanoseconds),
      memory:
        cgroup === undefined
          ? {
              time,
              usageBytes: sum((c) => c.memory.usageBytes),
              workingSetBytes: sum((c) => c.memory.workingSetBytes),
              rssBytes: sum((c) => c.memory.rssBytes),
              pageFaults: sum((c) => c.memory.pageFaults),
              majorPageFaults: sum((c) => c.memory.majorPageFaults),
            }
          : {
              time: rfc3339Micro(cgroup.timestampMs),
              usageBytes: cgroup.memoryUsageBytes,
              workingSetBytes: cgroup.memoryWorkingSetBytes,
              rssBytes: cgroup.memoryRssBytes,
              pageFaults: cgroup.memoryPageFaults,
              majorPageFaults: cgroup.memoryMajorPageFaults,
            },
      ...(interfaces === undefined ? {} : { network: networkOf(interfaces, rfc3339Micro(this.#context.clock.now())) }),
      'ephemeral-storage': { ...fs, usedBytes: used, inodesUsed: sum((c) => c.rootfs.inodesUsed) },
      process_stats: { process_count: cgroup?.processes ?? containers.length },
    }
  }
}

const memoryOf = (usage: NodeUsage, time: string): MemoryFigures => ({
  time,
  availableBytes: usage.memoryAvailableBytes,
  usageBytes: usage.memoryUsageBytes,
  workingSetBytes: usage.memoryWorkingSetBytes,
  rssBytes: usage.memoryRssBytes,
  pageFaults: usage.memoryPageFaults,
  majorPageFaults: usage.memoryMajorPageFaults,
})
/** The first interface's figures, and those of all. */
const networkOf = (interfaces: readonly InterfaceUsage[], time: string): object => ({
  time,
  ...interfaces[0],
  interfaces,
})
