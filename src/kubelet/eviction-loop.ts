// Keeps the node usable: looks every ten seconds at what is left of memory, disk, inodes and process ids, frees what
// nobody uses, and then evicts one pod at a time. A pressure once seen is reported for five minutes more.
import { every, type Timer } from '../ports/clock.ts'
import type { ContainerStats } from '../ports/container-runtime.ts'
import type { KubeletContext } from './context.ts'
import {
  type Candidate,
  evictionMessage,
  hasStorageLimits,
  type Observations,
  rankForEviction,
  type Shortage,
  storageLimitExceeded,
  type StorageUsage,
  type Usage,
} from './eviction.ts'
import { imageFileSystem } from './image-gc.ts'
import { containerNameOf } from './labels.ts'
import { noPressure, type Pressure } from './node-status.ts'
import type { PodSet } from './pod-set.ts'
import type { PodWorker } from './pod-worker.ts'
import { podCgroup } from './resources.ts'
import { assess, type Assessment, nothingPassed, type Passed, thresholdsOf } from './thresholds.ts'

const periodMs = 10_000
/** A pod that uses more than it said gets next to no time. */
const graceSeconds = 1

export interface EvictionOptions {
  /** Frees disk that nobody uses: dead containers, images. */
  readonly reclaimDisk: () => Promise<void>
  readonly recordNode: (type: 'Normal' | 'Warning', reason: string, message: string) => void
  /** The pressure has changed. */
  readonly onPressure: () => void
}

export class EvictionLoop {
  readonly #context: KubeletContext
  readonly #pods: PodSet
  readonly #options: EvictionOptions
  readonly #lastSeenMs = new Map<keyof Pressure, number>()
  readonly #thresholds: ReturnType<typeof thresholdsOf>
  #passed: Passed = nothingPassed
  #timer: Timer | undefined
  pressure: Pressure = noPressure
  constructor(context: KubeletContext, pods: PodSet, options: EvictionOptions) {
    this.#context = context
    this.#pods = pods
    this.#options = options
    this.#thresholds = thresholdsOf(context.config)
  }
  start(): void {
    this.#timer = every(this.#context.clock, periodMs, () => this.#look())
  }
  stop(): void {
    this.#timer?.cancel()
  }
  /** Boundary: a look that fails is logged; the next one comes. */
  async #look(): Promise<void> {
    try {
      await this.look()
    } catch (error) {
      this.#context.log.warn('cannot look at what the node has left', { error: String(error) })
    }
  }

  async look(): Promise<void> {
    await this.#evictByOwnLimits()
    let assessed = await this.#assess()
    this.#notePressure(assessed.short)
    const [first] = assessed.due
    // One at a time: what the last one frees counts before another goes.
    if (first === undefined || [...this.#pods.workers()].some((w) => w.isEvicted && !w.isEnded)) return
    this.#options.recordNode('Warning', 'EvictionThresholdMet', `Attempting to reclaim ${first.resource}`)
    if (assessed.due.some((s) => s.resource === 'ephemeral-storage' || s.resource === 'inodes')) {
      await this.#options.reclaimDisk()
      assessed = await this.#assess()
    }
    const [worst] = assessed.due
    if (worst !== undefined) await this.#evictOne(worst, worst.podGraceSeconds)
  }
  async #assess(): Promise<Assessment> {
    const assessed = assess(this.#thresholds, await this.#observe(), this.#passed, this.#context.clock.monotonic())
    this.#passed = assessed.passed
    return assessed
  }
  async #observe(): Promise<Observations> {
    const { host, disk, config, machine } = this.#context
    const [usage, fs, imageFs] = await Promise.all([
      host.usage(),
      disk.fileSystem(config.rootDirectory),
      imageFileSystem(this.#context),
    ])
    return {
      'memory.available': { available: usage.memoryAvailableBytes, capacity: machine.memoryBytes },
      'nodefs.available': { available: fs.availableBytes, capacity: fs.capacityBytes },
      'nodefs.inodesFree': { available: fs.inodesFree, capacity: fs.inodes },
      'imagefs.available': { available: imageFs.availableBytes, capacity: imageFs.capacityBytes },
      'imagefs.inodesFree': { available: imageFs.inodesFree, capacity: imageFs.inodes },
      'pid.available': { available: usage.pidsMax - usage.pidsRunning, capacity: usage.pidsMax },
    }
  }
  #notePressure(short: readonly Shortage[]): void {
    const nowMs = this.#context.clock.monotonic()
    const seen = (key: keyof Pressure, under: boolean): boolean => {
      if (under) this.#lastSeenMs.set(key, nowMs)
      const last = this.#lastSeenMs.get(key)
      return last !== undefined && nowMs - last < this.#context.config.evictionTransitionMs
    }
    const pressure = {
      memory: seen(
        'memory',
        short.some((s) => s.resource === 'memory'),
      ),
      disk: seen(
        'disk',
        short.some((s) => s.resource === 'ephemeral-storage' || s.resource === 'inodes'),
      ),
      pid: seen(
        'pid',
        short.some((s) => s.resource === 'pids'),
      ),
    }
    const before = this.pressure
    this.pressure = pressure
    if (before.memory !== pressure.memory || before.disk !== pressure.disk || before.pid !== pressure.pid)
      this.#options.onPressure()
  }
  #active(): PodWorker[] {
    return [...this.#pods.workers()].filter((w) => !w.isEnding && !w.hasFailed)
  }
  async #evictOne(shortage: Shortage, podGraceSeconds: number): Promise<void> {
    const byUid = new Map<string, PodWorker>()
    const candidates: Candidate[] = []
    const stats = shortage.resource === 'pids' ? [] : await this.#context.runtime.containerStats()
    for (const worker of this.#active()) {
      byUid.set(worker.uid, worker)
      candidates.push({ pod: worker.pod, usage: await this.#usage(worker, shortage.resource, stats) })
    }
    const [first] = rankForEviction(candidates, shortage.resource)
    if (first === undefined) {
      this.#context.log.warn('nothing can be evicted', { resource: shortage.resource })
      return
    }
    const own = first.pod.spec.terminationGracePeriodSeconds ?? podGraceSeconds
    byUid
      .get(first.pod.metadata.uid)
      ?.evict(evictionMessage(first, shortage), Math.max(1, Math.min(own, podGraceSeconds)))
  }
  async #usage(worker: PodWorker, resource: string, stats: readonly ContainerStats[]): Promise<Usage> {
    if (resource === 'ephemeral-storage' || resource === 'inodes') {
      const { containers, volumes } = await this.#storage(worker, resource === 'inodes', stats)
      const sum = (all: ReadonlyMap<string, number>) => [...all.values()].reduce((total, n) => total + n, 0)
      return { total: sum(containers) + sum(volumes), containers }
    }
    const { host } = this.#context
    const cgroup = await host.cgroups.stats(podCgroup(worker.pod))
    if (resource === 'pids') return { total: cgroup?.processes ?? 0, containers: new Map() }
    const containers = new Map<string, number>()
    for (const status of this.#context.view.pod(worker.uid).containers) {
      const found = stats.find((s) => s.containerId === status.id)
      if (found !== undefined) containers.set(containerNameOf(status), found.memoryWorkingSetBytes)
    }
    const total = cgroup?.memoryWorkingSetBytes ?? [...containers.values()].reduce((sum, n) => sum + n, 0)
    return { total, containers }
  }
  async #storage(worker: PodWorker, inodes: boolean, stats: readonly ContainerStats[]): Promise<StorageUsage> {
    const { disk, view } = this.#context
    const containers = new Map<string, number>()
    for (const status of view.pod(worker.uid).containers) {
      const found = stats.find((s) => s.containerId === status.id)
      const log = inodes ? undefined : await disk.stat(status.logPath)
      const own = (inodes ? found?.rootfsInodesUsed : found?.rootfsUsedBytes) ?? 0
      const name = containerNameOf(status)
      containers.set(name, (containers.get(name) ?? 0) + own + (log?.sizeBytes ?? 0))
    }
    const volumes = new Map<string, number>()
    for (const { name, emptyDir } of worker.pod.spec.volumes ?? []) {
      const path = worker.volumes.mounted.get(name)?.hostPath
      if (emptyDir === undefined || emptyDir.medium === 'Memory' || path === undefined) continue
      const used = await disk.usage(path)
      volumes.set(name, inodes ? used.inodes : used.bytes)
    }
    return { containers, volumes }
  }
  /** Pods that use more ephemeral storage than they said they would. */
  async #evictByOwnLimits(): Promise<void> {
    const limited = this.#active().filter(({ pod }) => hasStorageLimits(pod))
    if (limited.length === 0) return
    const stats = await this.#context.runtime.containerStats()
    for (const worker of limited) {
      const message = storageLimitExceeded(worker.pod, await this.#storage(worker, false, stats))
      if (message !== undefined) worker.evict(message, graceSeconds)
    }
  }
}
