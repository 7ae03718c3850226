// What the runtime holds, kept at hand: one list at the start, then single looks at what an event names. Everybody reads
// from here without asking the runtime; a slow relist catches what no event told.
import type { Clock, Timer } from '../ports/clock.ts'
import type {
  ContainerRuntime,
  ContainerStatus,
  ContainerSummary,
  RuntimeEvent,
  SandboxStatus,
  SandboxSummary,
} from '../ports/container-runtime.ts'
import type { Log } from '../ports/log.ts'
import { messagePolicyOf, podUidOf } from './labels.ts'
import { nothingRuns, type PodRuntime } from './plan-pod.ts'

/** Without lost events nothing is found by it, so it may be slow. */
const relistMs = 30_000
const retryMs = 1000

export class RuntimeView {
  readonly #runtime: ContainerRuntime
  readonly #clock: Clock
  readonly #log: Log
  readonly #onChange: (uid: string) => void
  readonly #containers = new Map<string, ContainerStatus>()
  readonly #sandboxes = new Map<string, SandboxStatus>()
  readonly #byPod = new Map<string, PodRuntime>()
  /** Looks under way by id; `again` when something happened since the look began. */
  readonly #looking = new Map<string, { again: boolean; readonly done: Promise<void> }>()
  /** Ends that the runtime's status does not show yet. */
  readonly #exits = new Map<string, Extract<RuntimeEvent, { type: 'exited' }>>()
  /** Who waits for the end of a sandbox, by its id. */
  readonly #endWaiters = new Map<string, (() => void)[]>()
  /** Pods of which something may be unknown, and since when. */
  readonly #doubted = new Map<string, number>()
  #events: { close(): void } | undefined
  #timer: Timer | undefined
  #stopped = false
  /** A list has succeeded: the node's Ready condition waits for it. */
  listed = false

  constructor(runtime: ContainerRuntime, clock: Clock, log: Log, onChange: (uid: string) => void) {
    this.#runtime = runtime
    this.#clock = clock
    this.#log = log
    this.#onChange = onChange
  }

  /** Lists everything once (retried until the runtime answers), then follows. */
  async start(): Promise<void> {
    while (!this.#stopped && !(await this.#relist()))
      await new Promise<void>((done) => this.#clock.after(retryMs, done))
    if (this.#stopped) return
    this.#events = this.#runtime.watchEvents((event) => this.#onEvent(event))
    // What happened between the list and the subscription.
    await this.#relist()
    this.#arm()
  }
  stop(): void {
    this.#stopped = true
    this.#events?.close()
    this.#timer?.cancel()
  }
  pod(uid: string): PodRuntime {
    return this.#byPod.get(uid) ?? nothingRuns
  }
  /** UIDs of every pod that has something in the runtime. */
  uids(): Iterable<string> {
    return this.#byPod.keys()
  }
  hasSandbox(id: string): boolean {
    return this.#sandboxes.has(id)
  }
  /** Resolves when the processes of a sandbox have ended, maybe before the runtime is done with it. */
  whenSandboxEnded(id: string): Promise<void> {
    if (this.#sandboxes.get(id)?.ready !== true) return Promise.resolve()
    return new Promise((ended) => this.#endWaiters.set(id, [...(this.#endWaiters.get(id) ?? []), ended]))
  }
  container(id: string): ContainerStatus | undefined {
    return this.#containers.get(id)
  }
  containers(): Iterable<ContainerStatus> {
    return this.#containers.values()
  }

  /** Looks at one container now; resolves when the view shows at least this moment. */
  lookAtContainer(id: string): Promise<void> {
    return this.#look(id, async () => {
      const status = this.#withExit(id, await this.#runtime.containerStatus(id))
      const uid = podUidOf(status ?? this.#containers.get(id) ?? { labels: {} })
      if (status === undefined) this.#containers.delete(id)
      else this.#containers.set(id, status)
      this.#rebuild(uid)
    })
  }
  lookAtSandbox(id: string): Promise<void> {
    return this.#look(`sandbox/${id}`, async () => {
      const status = await this.#runtime.podSandboxStatus(id)
      const uid = podUidOf(status ?? this.#sandboxes.get(id) ?? { labels: {} })
      if (status?.ready !== true) this.#exits.delete(id)
      this.#setSandbox(id, status)
      this.#rebuild(uid)
    })
  }

  /** One whose process has ended is not ready any more, though the runtime says so later. */
  #setSandbox(id: string, status: SandboxStatus | undefined): void {
    const ready = status?.ready === true && !this.#exits.has(id)
    if (status === undefined) this.#sandboxes.delete(id)
    else this.#sandboxes.set(id, { ...status, ready })
    if (ready) return
    for (const ended of this.#endWaiters.get(id) ?? []) ended()
    this.#endWaiters.delete(id)
  }

  /** A call about a pod failed without saying how far it came: what there is is listed soon. */
  doubt(uid: string): void {
    this.#doubted.set(uid, this.#clock.monotonic())
    if (this.#events !== undefined && !this.#stopped) this.#arm(retryMs)
  }
  /** Whether all is known of a pod. Until then nothing of it may be started: it could be running already. */
  isSure(uid: string): boolean {
    return !this.#doubted.has(uid)
  }
  #settleDoubts(beganMs: number): void {
    for (const [uid, sinceMs] of this.#doubted) {
      if (sinceMs >= beganMs) continue
      this.#doubted.delete(uid)
      this.#onChange(uid)
    }
  }

  /** Looks of one id share a run; a sandbox is also told of as a container, so the two kinds have ids of their own. */
  #look(id: string, look: () => Promise<void>): Promise<void> {
    const busy = this.#looking.get(id)
    if (busy !== undefined) {
      busy.again = true
      return busy.done
    }
    const run = async () => {
      try {
        do {
          entry.again = false
          await look()
        } while (entry.again && !this.#stopped)
      } catch (error) {
        if (this.#events !== undefined && !this.#stopped) this.#arm(retryMs)
        throw error
      } finally {
        this.#looking.delete(id)
      }
    }
    const entry = { again: false, done: Promise.resolve() }
    entry.done = run()
    this.#looking.set(id, entry)
    return entry.done
  }
  #onEvent(event: RuntimeEvent): void {
    if (this.#stopped) return
    if (event.type === 'resync') {
      void this.#relist()
      return
    }
    if (event.type === 'exited') {
      this.#exits.set(event.containerId, event)
      const sandbox = this.#sandboxes.get(event.containerId)
      if (sandbox !== undefined) {
        this.#setSandbox(sandbox.id, sandbox)
        this.#rebuild(podUidOf(sandbox))
      }
      const status = this.#containers.get(event.containerId)
      if (status === undefined) return
      this.#containers.set(event.containerId, this.#withExit(event.containerId, status) ?? status)
      this.#rebuild(podUidOf(status))
      return
    }
    // Nobody but us makes and starts containers, and we look at each when it has started: only ends are news.
    if (event.type === 'created' || event.type === 'started') return
    const { containerId, sandboxId } = event
    const isSandbox = containerId === sandboxId || this.#sandboxes.has(containerId)
    const known = isSandbox || this.#containers.has(containerId) || this.#looking.has(containerId)
    if (!known) return
    const look = isSandbox ? this.lookAtSandbox(containerId) : this.lookAtContainer(containerId)
    // Boundary: a look that fails is made up for by the relist it asks for.
    look.catch((error: unknown) => {
      this.#log.warn('cannot look at what the runtime told of', { containerId, error: String(error) })
    })
  }
  #arm(delayMs = relistMs): void {
    this.#timer?.cancel()
    this.#timer = this.#clock.after(delayMs, () => {
      void this.#relist().then((ok) => {
        if (!this.#stopped) this.#arm(ok ? relistMs : retryMs)
      })
    })
  }
  /** Lists and looks at whatever is new or has another state. Boundary: a failure is logged and answered as false. */
  async #relist(): Promise<boolean> {
    const beganMs = this.#clock.monotonic()
    try {
      const [sandboxes, containers] = await Promise.all([
        this.#runtime.listPodSandboxes(),
        this.#runtime.listContainers(),
      ])
      const looks: Promise<void>[] = []
      for (const { id, ready } of sandboxes)
        if (this.#sandboxes.get(id)?.ready !== ready) looks.push(this.lookAtSandbox(id))
      for (const { id, state } of containers)
        if (this.#containers.get(id)?.state !== state) looks.push(this.lookAtContainer(id))
      const listed = new Set([...sandboxes.map((s) => s.id), ...containers.map((c) => c.id)])
      for (const id of this.#sandboxes.keys()) if (!listed.has(id)) looks.push(this.lookAtSandbox(id))
      for (const id of this.#containers.keys()) if (!listed.has(id)) looks.push(this.lookAtContainer(id))
      await Promise.all(looks)
      this.listed = true
      this.#settleDoubts(beganMs)
      return true
    } catch (error) {
      this.#log.warn('cannot list what the runtime holds', { error: String(error) })
      return false
    }
  }
  /** The status of a container that has ended says so at once, unless its last words are to be found in its log. */
  #withExit(id: string, status: ContainerStatus | undefined): ContainerStatus | undefined {
    const exit = this.#exits.get(id)
    if (exit === undefined) return status
    if (status?.state !== 'running') {
      this.#exits.delete(id)
      return status
    }
    const { exitCode, finishedAtMs } = exit
    if (exitCode !== 0 && messagePolicyOf(status) === 'FallbackToLogsOnError') return status
    const reason = exitCode === 0 ? 'Completed' : 'Error'
    return { ...status, state: 'exited', exitCode, finishedAtMs, reason, isDraining: true }
  }
  #rebuild(uid: string): void {
    if (uid === '') return
    const sandboxes = [...this.#sandboxes.values()].filter((s) => podUidOf(s) === uid)
    const containers = [...this.#containers.values()].filter((c) => podUidOf(c) === uid)
    if (sandboxes.length === 0 && containers.length === 0) this.#byPod.delete(uid)
    else this.#byPod.set(uid, { sandboxes: sandboxes.sort(newestFirst), containers: containers.sort(newestFirst) })
    this.#onChange(uid)
  }
}

/** By attempt before time: a clock that was set back must not make an old run look like the newest. */
const newestFirst = (a: SandboxSummary | ContainerSummary, b: SandboxSummary | ContainerSummary): number =>
  b.metadata.attempt - a.metadata.attempt || b.createdAtMs - a.createdAtMs
