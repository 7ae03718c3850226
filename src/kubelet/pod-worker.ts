// One worker a pod: whatever happens to it (the API, the runtime, a probe, a timer) wakes the worker, which looks at the
// newest state and brings the pod one step on. Steps of one pod never overlap. Nothing is remembered that a restart could
// not find again in the runtime and the API.
import { pods } from '../api/core/pod.ts'
import { equal } from '../api/machinery/equal.ts'
import { isReason } from '../api/machinery/errors.ts'
import type { Timer } from '../ports/clock.ts'
import type { ContainerStatus } from '../ports/container-runtime.ts'
import { advancePod } from './advance-pod.ts'
import { parseSeconds } from './back-off.ts'
import type { KubeletContext } from './context.ts'
import type { RuntimeFacts } from './field-ref.ts'
import { podGraceSeconds } from './kill-container.ts'
import { containerHash, containerNameOf } from './labels.ts'
import { type PodPaths, podPaths } from './paths.ts'
import type { PodRuntime } from './plan-pod.ts'
import type { PodHandle, ResizeState } from './pod-handle.ts'
import { PodVolumes } from './pod-volumes.ts'
import { podCgroupResources } from './resources.ts'
import {
  restoredPending,
  type Allocation,
  isResizeWished,
  restoredAllocation,
  wishedAllocation,
  withAllocation,
} from './resize.ts'
import { isStaticPod } from './static-pods.ts'
import { computeStatus, isPodDone, type StatusFacts, type Waiting } from './status.ts'
import { erasePod, finishStops, Grace, hurryPod, releasePod, removeRuns, stopPod } from './stop-pod.ts'
import { terminationMessage } from './termination-message.ts'
import { everyContainer, isHostNetwork, namespaceOf, type Pod, podTitle } from './types.ts'

const firstRetryMs = 500
const lastRetryMs = 10_000
/** While containers are being started, what happens on the way is told this late, if it is not overtaken. */
const softDelayMs = 250

export class PodWorker implements PodHandle {
  readonly uid: string
  readonly paths: PodPaths
  readonly volumes: PodVolumes
  readonly waiting = new Map<string, Waiting>()
  readonly holds = new Map<string, number>()
  readonly resize: ResizeState
  readonly stops = new Map<string, Promise<void> | undefined>()
  /** The pod as the API or the manifest says it, with the resources that are granted. */
  pod: Pod
  /** The same with the resources that are wished. */
  #wished: Pod
  #allocation: Allocation
  readonly isStatic: boolean
  #mirror: Pod | undefined
  readonly #context: KubeletContext
  readonly #abort = new AbortController()
  readonly #messages = new Map<string, string>()
  #failure: Waiting | undefined
  #failureGraceSeconds: number | undefined
  #disrupted: Waiting | undefined
  /** The API does not have the pod any more. */
  #gone = false
  #grace: Grace | undefined
  #ended = false
  #released = false
  #forgotten = false
  #dirty = false
  #refresh = false
  #starting = false
  #syncing: Promise<void> | undefined
  #publishing: Promise<void> | undefined
  #publishAgain = false
  #softTimer: Timer | undefined
  #timer: Timer | undefined
  #timerAtMs = Number.POSITIVE_INFINITY
  #retryMs = firstRetryMs
  readonly #onForgotten: (() => void)[] = []
  readonly #onEnded: (() => void)[] = []

  constructor(context: KubeletContext, pod: Pod) {
    this.#context = context
    this.uid = pod.metadata.uid
    this.#wished = pod
    this.isStatic = isStaticPod(pod)
    this.#allocation = restoredAllocation(pod)
    this.pod = withAllocation(pod, this.#allocation)
    const cgroup = podCgroupResources(this.pod, context.config)
    this.resize = { enforced: new Map(), cgroup, pending: restoredPending(pod), progress: undefined }
    this.paths = podPaths(context.config.rootDirectory, this.uid)
    const { disk, clock, objects, tokens, claims, allocatable } = context
    const runtime = { version: context.runtimeVersion, imageVolumes: context.runtimeFeatures.imageVolumes }
    this.volumes = new PodVolumes({ disk, clock, objects, tokens, claims, runtime, allocatable }, this.paths)
    context.objects.follow(pod)
    this.#restoreBackOff()
  }
  get ending(): AbortSignal {
    return this.#abort.signal
  }
  /** True once the pod is being stopped, for whatever reason. */
  get isEnding(): boolean {
    return this.#grace !== undefined
  }
  /** The API's picture of a static pod; undefined takes it away. */
  set mirror(mirror: Pod | undefined) {
    this.#mirror = mirror
    this.publish()
  }
  get mirror(): Pod | undefined {
    return this.#mirror
  }
  get hasFailed(): boolean {
    return this.#failure !== undefined
  }
  /** Thrown out by the node. */
  get isEvicted(): boolean {
    return this.#disrupted !== undefined
  }
  /** Nothing of it runs and its volumes are gone. */
  get isEnded(): boolean {
    return this.#ended
  }
  /** Nothing is left of the pod; its worker may be dropped. */
  get isForgotten(): boolean {
    return this.#forgotten
  }

  /** The API does not have it any more; it may still be ending. */
  get isRemoved(): boolean {
    return this.#gone
  }
  whenForgotten(forgotten: () => void): void {
    if (this.#forgotten) forgotten()
    else this.#onForgotten.push(forgotten)
  }

  /** Takes in what the API says now. */
  update(pod: Pod): void {
    const before = this.pod.metadata
    this.#wished = pod
    this.pod = withAllocation(pod, this.#allocation)
    if (before.generation !== pod.metadata.generation) this.considerResize()
    const { labels, annotations, generation, deletionTimestamp, deletionGracePeriodSeconds } = pod.metadata
    if (!equal(before.labels, labels) || !equal(before.annotations, annotations)) this.#refresh = true
    // What comes back is mostly our own status: then there is nothing to do, and a wait must not be cut short.
    const changed =
      this.#refresh ||
      before.generation !== generation ||
      before.deletionTimestamp !== deletionTimestamp ||
      before.deletionGracePeriodSeconds !== deletionGracePeriodSeconds
    this.publish()
    if (!changed) return
    if (before.generation !== generation) this.holds.clear()
    this.#context.objects.follow(pod)
    if (this.#mustEnd()) this.#abort.abort()
    const seconds = podGraceSeconds(pod)
    if (this.#grace !== undefined && !this.#ended && seconds < this.#grace.seconds) this.#hurry(this.#grace, seconds)
    this.wake()
  }
  /** Grants a wish for other resources if the node has room. */
  considerResize(): void {
    const wished = isResizeWished(this.#wished, this.#allocation)
    if (!wished && this.resize.pending === undefined) return
    const pending = wished ? this.#context.resizePending(this.#wished) : undefined
    const before = this.resize.pending
    this.resize.pending = pending
    if (pending !== undefined && (before?.reason !== pending.reason || before.message !== pending.message))
      this.#context.record(
        this.#wished,
        undefined,
        'Warning',
        `Resize${pending.reason}`,
        `Pod resize ${pending.reason}: ${pending.message}`,
      )
    if (pending === undefined) {
      this.#allocation = wishedAllocation(this.#wished)
      this.pod = this.#wished
    }
    this.publish()
    this.wake()
  }
  /** The API no longer has the pod: whatever runs of it must end. */
  remove(last: Pod): void {
    this.pod = withAllocation(last, this.#allocation)
    this.#gone = true
    this.#abort.abort()
    this.wake()
  }
  /** The pod fails as a whole: evicted, refused by the node, past its deadline. */
  fail(reason: string, message: string, graceSeconds?: number): void {
    if (this.#failure !== undefined || this.isEnding) return
    this.#failure = { reason, message }
    this.#failureGraceSeconds = graceSeconds
    this.#abort.abort()
    this.wake()
  }
  /** The node throws the pod out. */
  evict(message: string, graceSeconds: number): void {
    if (this.#failure !== undefined || this.isEnding) return
    this.#context.record(this.pod, undefined, 'Warning', 'Evicted', message)
    this.terminate('Evicted', message, graceSeconds)
  }
  /** The node ends the pod although it would run on. */
  terminate(reason: string, message: string, graceSeconds: number): void {
    if (this.#failure !== undefined || this.isEnding) return
    this.#disrupted = { reason: 'TerminationByKubelet', message }
    this.fail(reason, message, graceSeconds)
  }
  /** Resolves when nothing of it runs, or it is left as it is. */
  whenEnded(): Promise<void> {
    if (this.#ended || this.#forgotten) return Promise.resolve()
    return new Promise((done) => this.#onEnded.push(done))
  }
  /** Resolves when nothing of it runs and its network is down, or cannot be taken down now. */
  async whenNetworkDown(): Promise<void> {
    await this.whenEnded()
    await Promise.allSettled([...this.stops.values()].map((stop) => stop ?? Promise.resolve()))
  }
  /** What its volumes or environment show has changed. */
  refresh(): void {
    this.#refresh = true
    this.wake()
  }
  /** The runtime holds something else of it. */
  runtimeChanged(): void {
    if (!this.#starting) this.publish()
    else
      this.#softTimer ??= this.#context.clock.after(softDelayMs, () => {
        this.#softTimer = undefined
        this.publish()
      })
    this.wake()
  }
  wake(): void {
    this.#dirty = true
    this.#syncing ??= this.#run()
  }
  wakeIn(delayMs: number): void {
    const { clock } = this.#context
    const atMs = clock.monotonic() + delayMs
    if (atMs >= this.#timerAtMs || this.#forgotten) return
    this.#timer?.cancel()
    this.#timerAtMs = atMs
    this.#timer = clock.after(delayMs, () => {
      this.#timerAtMs = Number.POSITIVE_INFINITY
      this.wake()
    })
  }
  retry(): number {
    const delayMs = this.#retryMs
    this.wakeIn(delayMs)
    this.#retryMs = Math.min(lastRetryMs, this.#retryMs * 2)
    return delayMs
  }
  recovered(): void {
    this.#retryMs = firstRetryMs
  }
  /** Leaves everything as it runs; a later kubelet takes it over. */
  stop(): void {
    this.#forgotten = true
    for (const ended of this.#onEnded.splice(0)) ended()
    this.#timer?.cancel()
    this.#softTimer?.cancel()
    this.#abort.abort()
  }
  facts(): RuntimeFacts {
    const sandbox = this.#context.view.pod(this.uid).sandboxes.find((s) => s.ready)
    const hostIPs = this.#context.hostIPs()
    return {
      podIPs: isHostNetwork(this.pod) ? hostIPs : (sandbox?.ips ?? []),
      hostIPs,
      nodeName: this.#context.nodeName,
    }
  }

  /** Boundary: a step that fails is logged and tried again, later and later. */
  async #run(): Promise<void> {
    await Promise.resolve()
    while (this.#dirty && !this.#forgotten) {
      this.#dirty = false
      try {
        await this.#step()
      } catch (error) {
        this.#context.view.doubt(this.uid)
        this.#context.log.error('pod step failed', { pod: podTitle(this.pod), error: String(error) })
        this.retry()
      }
    }
    this.#syncing = undefined
  }
  async #step(): Promise<void> {
    this.#checkDeadline()
    if (this.#ended) return this.#clear()
    // Woken again by the list that is under way.
    if (!this.#context.view.isSure(this.uid)) return this.publish()
    if (this.isEnding || this.#mustEnd() || this.#isDone()) return this.#end()
    const refresh = this.#refresh
    this.#refresh = false
    this.publish()
    this.#starting = true
    try {
      await advancePod(this.#context, this, refresh)
    } finally {
      this.#starting = false
      this.#softTimer?.cancel()
      this.#softTimer = undefined
    }
    if (refresh && this.ending.aborted) this.#refresh = true
  }
  #mustEnd(): boolean {
    const { phase } = this.#context.writer.last(this.uid) ?? this.pod.status
    const terminal = phase === 'Succeeded' || phase === 'Failed'
    const deleted = this.pod.metadata.deletionTimestamp !== undefined
    return this.#gone || this.#failure !== undefined || deleted || terminal
  }
  #checkDeadline(): void {
    const seconds = this.pod.spec.activeDeadlineSeconds
    const start = (this.#context.writer.last(this.uid) ?? this.pod.status).startTime
    if (seconds === undefined || start === undefined || this.isEnding) return
    const leftMs = Date.parse(start) + seconds * 1000 - this.#context.clock.now()
    if (leftMs > 0) this.wakeIn(leftMs)
    else this.fail('DeadlineExceeded', 'Pod was active on the node longer than the specified deadline')
  }
  #isDone(): boolean {
    const { view, writer } = this.#context
    const runtime = view.pod(this.uid)
    if (runtime.containers.length === 0) return false
    return isPodDone(this.pod, runtime, writer.last(this.uid) ?? this.pod.status, this.#statusFacts(false))
  }

  async #end(): Promise<void> {
    this.#abort.abort()
    const { clock } = this.#context
    const seconds = this.#failureGraceSeconds ?? podGraceSeconds(this.pod)
    this.#grace ??= new Grace(seconds, () => clock.monotonic())
    this.publish()
    try {
      await stopPod(this.#context, this, this.#grace)
      await this.#context.deviceClaims.release(this.uid)
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      this.#context.record(this.pod, undefined, 'Warning', 'FailedKillPod', `error killing pod: ${message}`)
      throw error
    }
    this.#ended = true
    for (const ended of this.#onEnded.splice(0)) ended()
    this.publish()
    await this.#clear()
  }
  /** What nothing waits for goes last, and also where the API cannot be asked. */
  async #clear(): Promise<void> {
    try {
      await this.#afterEnd()
    } finally {
      if (!this.#released) {
        await finishStops(this.#context, this)
        await releasePod(this.#context, this)
      }
      this.#released = true
    }
  }
  /** Asks the API to forget a deleted pod, and takes away the rest once it has. */
  async #afterEnd(): Promise<void> {
    const { writer, client } = this.#context
    if (!this.#gone && this.pod.metadata.deletionTimestamp !== undefined) {
      await this.#publishing
      await writer.flush(this.uid)
      try {
        await client.resource(pods).delete(this.pod.metadata.name, namespaceOf(this.pod), {
          gracePeriodSeconds: 0,
          preconditions: { uid: this.uid },
        })
      } catch (error) {
        // Boundary: somebody else was faster, or a new pod has the name already.
        if (!isReason(error, 'NotFound') && !isReason(error, 'Conflict')) throw error
      }
    }
    if (!this.#gone) return
    await erasePod(this.#context, this)
    this.stop()
    for (const forgotten of this.#onForgotten) forgotten()
  }
  /** The node needs its disk: of a pod that has ended only the API's word is kept, its logs are not. */
  async reclaim(): Promise<void> {
    if (this.#released && !this.#forgotten) await removeRuns(this.#context, this)
  }
  /** Ends everything of the pod on this node without a word to the API. Boundary: what fails is logged. */
  async evacuate(graceSeconds: number): Promise<void> {
    this.stop()
    await this.#syncing
    const { clock, log } = this.#context
    try {
      await stopPod(this.#context, this, new Grace(graceSeconds, () => clock.monotonic()))
      await finishStops(this.#context, this)
      await releasePod(this.#context, this)
      await erasePod(this.#context, this)
      await this.#context.deviceClaims.release(this.uid)
    } catch (error) {
      log.error('cannot end a pod', { pod: podTitle(this.pod), error: String(error) })
    }
  }
  #hurry(grace: Grace, seconds: number): void {
    hurryPod(this.#context, this, grace, seconds).catch((error: unknown) => {
      this.#context.log.warn('cannot hasten a pod to its end', { pod: podTitle(this.pod), error: String(error) })
    })
  }

  /** Computes the status from what is known now and hands it to the writer; also keeps the probes in step. */
  publish(): void {
    if (this.#forgotten) return
    this.#publishAgain = true
    this.#publishing ??= this.#publish()
  }
  async #publish(): Promise<void> {
    await Promise.resolve()
    while (this.#publishAgain && !this.#forgotten) {
      this.#publishAgain = false
      const { view, probes, writer } = this.#context
      for (const status of view.pod(this.uid).containers)
        if (status.state === 'exited' && !this.#messages.has(status.id)) await this.#readMessage(status)
      const runtime = view.pod(this.uid)
      this.#noteEnforced(runtime)
      probes.sync(this.pod, runtime, this.isEnding)
      const old = writer.last(this.uid) ?? this.pod.status
      if (!this.#gone)
        writer.set(this.uid, this.#target(), computeStatus(this.pod, runtime, old, this.#statusFacts(this.#ended)))
    }
    this.#publishing = undefined
  }
  /** The API's object that shows the status. */
  #target(): Pod | undefined {
    return this.isStatic ? this.#mirror : this.#wished
  }
  /** Boundary: a message that cannot be read is none. */
  async #readMessage(status: ContainerStatus): Promise<void> {
    let message = ''
    try {
      message = await terminationMessage(this.#context.disk, status, everyContainer(this.pod.spec).length)
    } catch (error) {
      this.#context.log.warn('cannot read a termination message', { pod: podTitle(this.pod), error: String(error) })
    }
    this.#messages.set(status.id, message === '' ? status.message : message)
  }
  /** A run that is new to us got what is granted; one from before a restart has what the status said of it. */
  #noteEnforced(runtime: PodRuntime): void {
    const { enforced } = this.resize
    const { containerStatuses = [], initContainerStatuses = [] } = this.pod.status
    for (const { id, state, labels, annotations } of runtime.containers) {
      if (state !== 'running' || enforced.has(id)) continue
      const known = [...containerStatuses, ...initContainerStatuses].find((s) => s.containerID?.endsWith(`//${id}`))
      const granted = this.#allocation.get(containerNameOf({ labels, annotations }))
      const resources = known?.resources ?? granted
      if (resources !== undefined) enforced.set(id, resources)
    }
    for (const id of enforced.keys()) if (!runtime.containers.some((c) => c.id === id)) enforced.delete(id)
  }
  #statusFacts(ended: boolean): StatusFacts {
    const { clock, hostIPs, runtimeName, probes } = this.#context
    return {
      nowMs: clock.now(),
      hostIPs: hostIPs(),
      runtimeName,
      waiting: this.waiting,
      started: (id) => probes.started(id),
      ready: (id) => probes.ready(id),
      ended,
      failure: this.#failure,
      resize: this.resize,
      disrupted: this.#disrupted,
      messages: this.#messages,
    }
  }
  /** A wait that was in force when the kubelet stopped is in force again. */
  #restoreBackOff(): void {
    const { containerStatuses = [], initContainerStatuses = [] } = this.pod.status
    for (const { name, state } of [...containerStatuses, ...initContainerStatuses]) {
      if (state?.waiting?.reason !== 'CrashLoopBackOff') continue
      const text = /^back-off (\S+) restarting/.exec(state.waiting.message ?? '')?.[1]
      const delayMs = text === undefined ? undefined : parseSeconds(text)
      const container = everyContainer(this.pod.spec).find((c) => c.name === name)
      if (delayMs !== undefined && container !== undefined)
        this.#context.backOff.restore(`${this.uid}_${name}_${containerHash(container)}`, delayMs)
    }
  }
}
