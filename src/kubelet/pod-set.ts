// The pods of this node by UID, each with its worker. A pod of the same name waits for its predecessor's end.
import type { Node } from '../api/core/node.ts'
import { portsConflict, refusePod } from './admission.ts'
import type { KubeletContext } from './context.ts'
import { ghostPod } from './ghost-pod.ts'
import { podPaths, podsRoot } from './paths.ts'
import { noPressure, type Pressure } from './node-status.ts'
import { MirrorPods, mirrors } from './mirror-pods.ts'
import { removePodFiles } from './pod-volumes.ts'
import { PodWorker } from './pod-worker.ts'
import { cpuShares, podAmount, qosCgroup, qosOf } from './resources.ts'
import { type Pending, pinnedResize, resizePending } from './resize.ts'
import { isMirrorPod } from './static-pods.ts'
import type { Waiting } from './status.ts'
import { namespaceOf, type Pod } from './types.ts'

const sameName = (a: Pod, b: Pod) => a.metadata.name === b.metadata.name && namespaceOf(a) === namespaceOf(b)

export class PodSet {
  readonly #context: KubeletContext
  readonly #workers = new Map<string, PodWorker>()
  readonly #listeners = new Map<string, Set<() => void>>()
  readonly #allocatable: () => Readonly<Record<string, string>>
  readonly #node: () => Node | undefined
  readonly #mirrors: MirrorPods
  /** Mirrors that came before the manifests; undefined once these are read. */
  #strays: Map<string, Pod> | undefined = new Map()
  readonly #static = new Map<'file' | 'http', readonly Pod[]>()
  #burstableShares = 0
  #stopped = false
  /** The machine is about to go down: no more pods. */
  isGoingDown = false
  /** What the node runs short of. */
  pressure: () => Pressure = () => noPressure
  constructor(
    context: KubeletContext,
    node: () => Node | undefined,
    allocatable: () => Readonly<Record<string, string>>,
  ) {
    this.#context = context
    this.#node = node
    this.#mirrors = new MirrorPods(context)
    this.#allocatable = allocatable
  }
  allocatable(): Readonly<Record<string, string>> {
    return this.#allocatable()
  }
  worker(uid: string): PodWorker | undefined {
    return this.#workers.get(uid)
  }
  workers(): Iterable<PodWorker> {
    return this.#workers.values()
  }
  find(namespace: string, name: string): PodWorker | undefined {
    let found: PodWorker | undefined
    for (const worker of this.#workers.values()) {
      if (worker.pod.metadata.name !== name || namespaceOf(worker.pod) !== namespace) continue
      if (found === undefined || found.isEnding) found = worker
    }
    return found
  }
  /** Takes in a pod as the API says it. */
  apply(pod: Pod): void {
    if (isMirrorPod(pod)) return this.#applyMirror(pod)
    this.#apply(pod)
  }
  /** The static pods of one source as they are now. */
  set(source: 'file' | 'http', pods: readonly Pod[]): void {
    const before = this.#static.get(source) ?? []
    this.#static.set(source, pods)
    for (const gone of before) if (!pods.some((p) => p.metadata.uid === gone.metadata.uid)) this.#removeStatic(gone)
    for (const pod of pods) {
      if (this.#workers.has(pod.metadata.uid)) continue
      this.#apply(pod)
      if (this.#strays === undefined) this.#showMirror(pod)
    }
  }
  #removeStatic(pod: Pod): void {
    const worker = this.#workers.get(pod.metadata.uid)
    if (worker?.mirror !== undefined) void this.#mirrors.remove(worker.mirror)
    worker?.remove(pod)
    this.#sweep()
  }
  #staticWorker(pod: Pod): PodWorker | undefined {
    for (const worker of this.#workers.values())
      if (worker.isStatic && !worker.isRemoved && sameName(worker.pod, pod)) return worker
    return undefined
  }
  #showMirror(pod: Pod): void {
    this.#mirrors.make(pod, () => {
      const worker = this.#workers.get(pod.metadata.uid)
      return worker !== undefined && !worker.isRemoved && worker.mirror === undefined
    })
  }
  #applyMirror(mirror: Pod): void {
    const worker = this.#staticWorker(mirror)
    if (worker !== undefined && mirrors(mirror, worker.pod)) worker.mirror = mirror
    else if (this.#strays === undefined) void this.#mirrors.remove(mirror)
    else this.#strays.set(mirror.metadata.uid, mirror)
  }
  /** All manifests have been read once: now it is known which pods and mirrors nobody wants. */
  sourcesRead(): void {
    const strays = this.#strays
    this.#strays = undefined
    for (const mirror of strays?.values() ?? []) this.#applyMirror(mirror)
    for (const worker of this.#workers.values())
      if (worker.isStatic && worker.mirror === undefined && !worker.isRemoved) this.#showMirror(worker.pod)
    this.endOrphans()
  }
  #apply(pod: Pod): void {
    const known = this.#workers.get(pod.metadata.uid)
    if (known !== undefined) {
      const resized = known.pod.metadata.generation !== pod.metadata.generation
      known.update(pod)
      if (resized) this.#balance()
      return
    }
    const refusal = this.#refusal(pod)
    const worker = new PodWorker(this.#context, pod)
    this.#workers.set(pod.metadata.uid, worker)
    this.#balance()
    if (refusal !== undefined) {
      this.#context.record(pod, undefined, 'Warning', refusal.reason, refusal.message)
      worker.fail(refusal.reason, refusal.message)
    }
    worker.wake()
  }
  /** Why the node does not take a pod; one that runs here already has been taken. */
  #refusal(pod: Pod): Waiting | undefined {
    const { view, config, cpus, memory, devices, topology } = this.#context
    const { phase } = pod.status
    const over = phase === 'Succeeded' || phase === 'Failed' || pod.metadata.deletionTimestamp !== undefined
    if (over || view.pod(pod.metadata.uid).sandboxes.length > 0) return undefined
    if (this.isGoingDown) return { reason: 'NodeShutdown', message: 'Pod was rejected as the node is shutting down.' }
    const others = this.#others(pod)
    const refusal = refusePod(pod, {
      node: this.#node(),
      allocatable: this.#allocatable(),
      others,
      config,
      pressure: this.pressure(),
      features: this.#context.runtimeFeatures,
      missing: this.#context.machine.missing,
    })
    if (refusal !== undefined) return refusal
    const threads = cpus.refuseThreads(pod)
    if (threads !== undefined) return { reason: 'SMTAlignmentError', message: `Pod was rejected: ${threads}` }
    const nodesOf = topology.admit(pod)
    if (nodesOf === undefined)
      return {
        reason: 'TopologyAffinityError',
        message: 'Pod was rejected: Resources cannot be allocated with Topology locality',
      }
    devices.prefer(pod.metadata.uid, nodesOf)
    const why = cpus.allocate(pod, nodesOf) ?? memory.allocate(pod, nodesOf)
    return why === undefined ? undefined : { reason: 'UnexpectedAdmissionError', message: `Pod was rejected: ${why}` }
  }
  /** The other pods that hold resources of the node. One that was deleted by force holds none, though it may still be
   * ending here: the API has given its place away. */
  #others(pod: Pod): readonly Pod[] {
    const holding = [...this.#workers.values()].filter(
      (w) => !w.isEnded && !w.hasFailed && !w.isRemoved && w.uid !== pod.metadata.uid,
    )
    return holding.map((w) => w.pod)
  }
  /** Resolves when host ports that a pod wants lead to no pod any more that has gone: the API forgets a pod before its network
   * is down. */
  async portsFreed(pod: Pod): Promise<void> {
    const gone = [...this.#workers.values()].filter(
      (w) => (w.isEnded || w.hasFailed || w.isRemoved) && w.uid !== pod.metadata.uid && portsConflict(pod, [w.pod]),
    )
    await Promise.all(gone.map((worker) => worker.whenNetworkDown()))
  }
  resizePending(pod: Pod): Pending | undefined {
    const granted = this.#workers.get(pod.metadata.uid)?.pod
    const pinned = granted === undefined ? undefined : pinnedResize(granted, pod, this.#context.config)
    return pinned ?? resizePending(pod, this.#others(pod), this.#allocatable())
  }
  /** Looks at every wish for other resources, once all pods are known. */
  considerResizes(): void {
    for (const worker of this.#workers.values()) worker.considerResize()
  }
  /** Resources have become free: wishes that had to wait are looked at again. */
  #reconsider(): void {
    for (const worker of this.#workers.values())
      if (worker.resize.pending?.reason === 'Deferred') worker.considerResize()
  }
  remove(last: Pod): void {
    if (isMirrorPod(last)) {
      const worker = this.#staticWorker(last)
      this.#strays?.delete(last.metadata.uid)
      if (worker === undefined || worker.mirror?.metadata.uid !== last.metadata.uid) return
      worker.mirror = undefined
      this.#showMirror(worker.pod)
      return
    }
    this.#workers.get(last.metadata.uid)?.remove(last)
    this.#sweep()
  }
  /** The wall clock was set: what is to happen at a moment of it may be due. */
  clockWasSet(): void {
    for (const worker of this.#workers.values()) worker.wake()
  }
  runtimeChanged(uid: string): void {
    const worker = this.#workers.get(uid)
    worker?.runtimeChanged()
    // Something of a pod that is forgotten: a call that seemed to fail had come through.
    if (worker === undefined && this.#strays === undefined && !this.#stopped) this.#endOrphan(uid)
    for (const listener of this.#listeners.get(uid) ?? []) listener()
  }
  onChange(uid: string, changed: () => void): () => void {
    const set = this.#listeners.get(uid) ?? new Set()
    this.#listeners.set(uid, set)
    set.add(changed)
    return () => {
      set.delete(changed)
      if (set.size === 0) this.#listeners.delete(uid)
    }
  }
  /** Ends what runs here of pods that the API does not have, and removes their files. */
  endOrphans(): void {
    const { view, log } = this.#context
    for (const uid of view.uids()) if (!this.#workers.has(uid)) this.#endOrphan(uid)
    Promise.all([this.#removeOrphanFiles(), this.#removeOrphanCgroups(), this.#releaseOrphans()]).catch(
      (error: unknown) => {
        log.warn('cannot remove what is left of a pod that is gone', { error: String(error) })
      },
    )
  }
  #endOrphan(uid: string): void {
    const { view, log } = this.#context
    const runtime = view.pod(uid)
    if (runtime.sandboxes.length + runtime.containers.length === 0) return
    const pod = ghostPod(uid, runtime)
    const { name, namespace } = pod.metadata
    log.info('ending a pod that the API does not have', { pod: name, namespace, uid })
    const worker = new PodWorker(this.#context, pod)
    this.#workers.set(uid, worker)
    worker.remove(pod)
    this.#sweep()
  }
  /** What pods have for themselves that went while no kubelet ran is free again. */
  async #releaseOrphans(): Promise<void> {
    const { cpus, memory, devices } = this.#context
    for (const holder of [cpus, memory, devices])
      for (const uid of holder.holders()) if (!this.#workers.has(uid)) await holder.release(uid)
  }
  async #removeOrphanCgroups(): Promise<void> {
    const { cgroups } = this.#context.host
    for (const qos of ['Guaranteed', 'Burstable', 'BestEffort'] as const)
      for (const name of await cgroups.list(qosCgroup(qos)))
        if (name.startsWith('pod') && !this.#workers.has(name.slice('pod'.length)))
          await cgroups.remove(`${qosCgroup(qos)}/${name}`)
  }
  async #removeOrphanFiles(): Promise<void> {
    const { disk, config } = this.#context
    for (const { name } of (await disk.readdir(podsRoot(config.rootDirectory))) ?? []) {
      if (this.#workers.has(name)) continue
      const paths = podPaths(config.rootDirectory, name)
      await removePodFiles(disk, paths)
      await disk.remove(paths.directory)
    }
  }
  /** Removes what is left of pods that have ended. */
  async reclaim(): Promise<void> {
    for (const worker of this.#workers.values()) await worker.reclaim()
  }
  /** Ends every pod here and now; the API keeps them. */
  async removeAll(graceSeconds: number): Promise<void> {
    this.#stopped = true
    await Promise.all([...this.#workers.values()].map((worker) => worker.evacuate(graceSeconds)))
    this.#workers.clear()
  }
  stop(): void {
    this.#stopped = true
    for (const worker of this.#workers.values()) worker.stop()
    this.#workers.clear()
  }
  /** Drops workers of which nothing is left; called when something ended. */
  #sweep(): void {
    for (const [uid, worker] of this.#workers)
      if (worker.isForgotten) this.#workers.delete(uid)
      else if (worker.isRemoved) worker.whenForgotten(() => this.#drop(uid, worker))
  }
  #drop(uid: string, worker: PodWorker): void {
    if (this.#workers.get(uid) === worker) this.#workers.delete(uid)
    this.#balance()
    this.#reconsider()
  }
  /** The shares of all Burstable pods together follow their requests. Boundary: a failure is logged. */
  #balance(): void {
    let milli = 0
    for (const { pod, isEnded } of this.#workers.values())
      if (!isEnded && qosOf(pod) === 'Burstable') milli += podAmount(pod.spec, 'requests', 'cpu')
    const shares = cpuShares(milli)
    if (shares === this.#burstableShares) return
    this.#burstableShares = shares
    this.#context.host.cgroups.update(qosCgroup('Burstable'), { cpuShares: shares }).catch((error: unknown) => {
      this.#context.log.warn('cannot set the shares of Burstable pods', { error: String(error) })
    })
  }
}
