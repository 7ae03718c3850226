// A container runtime without containers: sandboxes and containers are records whose scripts say when they end and what
// they answer. It keeps CRI's manners: ids, states, events that may come late, images that must be pulled first.
import { type Clock, sleep, type Timer } from '../ports/clock.ts'
import type {
  ContainerConfig,
  ContainerRuntime,
  ContainerStats,
  ContainerStatus,
  ContainerSummary,
  ExecResult,
  LinuxResources,
  RegistryAuth,
  RuntimeCondition,
  RuntimeFeatures,
  RuntimeEvent,
  RuntimeImage,
  SandboxConfig,
  SandboxStatus,
  SandboxSummary,
  StreamOptions,
  StreamSession,
} from '../ports/container-runtime.ts'
import type { ByteStream } from '../ports/transport.ts'
import { archiveNames } from './image-archive.ts'
import { commandScript, type ContainerScript, type ContainerStart, type ExecAnswer } from './script.ts'
import type { SeededRandom } from './seeded-random.ts'
import type { SimDisk } from './sim-disk.ts'
import { SimImages } from './sim-images.ts'
import { httpConnection, Pipe, session } from './streams.ts'
import { fullName, type SimWorld } from './world.ts'

interface Sandbox {
  readonly config: SandboxConfig
  readonly status: SandboxStatus
}
interface Container {
  readonly config: ContainerConfig
  readonly sandbox: SandboxConfig
  readonly script: ContainerScript
  readonly timers: Timer[]
  readonly attached: Set<Pipe>
  /** Told when it has ended. */
  readonly ended: Set<() => void>
  status: ContainerStatus
  startedMonotonicMs: number
}

const terminationPathAnnotation = 'io.kubernetes.container.terminationMessagePath'
const killedCode = 137
const terminatedCode = 143
const defaultMemoryBytes = 10 * 2 ** 20
/** Between crossing the memory limit and the kernel's answer. */
const oomAfterMs = 100
const notFoundText = (what: string, id: string) =>
  `rpc error: code = NotFound desc = an error occurred when try to find ${what} "${id}": not found`

export interface SimRuntimeOptions {
  readonly node: string
  readonly world: SimWorld
  readonly disk: SimDisk
  readonly random: SeededRandom
  /** Addresses for pods: "10.244.3" gives 10.244.3.2 and so on. */
  readonly podNetwork: string
}

export class SimRuntime implements ContainerRuntime {
  private readonly node: string
  private readonly world: SimWorld
  private readonly disk: SimDisk
  private readonly clock: Clock
  private readonly random: SeededRandom
  private readonly podNetwork: string
  private readonly sandboxes = new Map<string, Sandbox>()
  private readonly containers = new Map<string, Container>()
  private readonly images: SimImages
  private readonly listeners = new Set<(event: RuntimeEvent) => void>()
  private readonly addresses = new Set<number>()
  /** Names in use, with whose they are. */
  private readonly names = new Map<string, string>()
  private down = false

  constructor(options: SimRuntimeOptions) {
    this.node = options.node
    this.world = options.world
    this.disk = options.disk
    this.clock = options.world.clock
    this.random = options.random
    this.podNetwork = options.podNetwork
    this.images = new SimImages(options.world)
  }

  // What a test does to the runtime.

  /** The daemon dies: every call fails and events are lost, but containers run on. */
  crash(): void {
    this.down = true
  }
  /** The daemon is back; whoever listens must list everything. */
  recover(): void {
    this.down = false
    this.tell({ type: 'resync' })
  }
  /** The machine dies: every container ends, and the daemon with them. */
  powerOff(): void {
    this.down = true
    for (const container of this.containers.values()) this.end(container, killedCode, 'Error')
    for (const [id, sandbox] of this.sandboxes) this.setReady(id, sandbox, false)
  }
  powerOn(): void {
    this.recover()
  }
  /** Ends running containers of this name, as their own exit would. */
  kill(name: string, code = killedCode, reason?: string): void {
    for (const container of this.containers.values())
      if (container.config.metadata.name === name) this.end(container, code, reason ?? reasonOf(code))
  }
  /** KILL to everything below a cgroup. */
  killCgroup(path: string): void {
    for (const container of this.containers.values()) {
      const parent = container.sandbox.linux.cgroupParent
      if (parent === path || parent.startsWith(`${path}/`)) this.end(container, killedCode, 'Error')
    }
  }
  /** Puts an image on the node without pulling it. */
  load(reference: string): void {
    this.images.add(fullName(reference))
  }
  /** Containers that run now. */
  running(): readonly { readonly id: string; readonly name: string; readonly podUid: string }[] {
    const out: { id: string; name: string; podUid: string }[] = []
    for (const [id, { status, config, sandbox }] of this.containers)
      if (status.state === 'running') out.push({ id, name: config.metadata.name, podUid: sandbox.metadata.uid })
    return out
  }
  /** What its containers use now. */
  usage(cgroup = ''): { readonly cpuMillicores: number; readonly memoryBytes: number } {
    let cpuMillicores = 0
    let memoryBytes = 0
    for (const { status, script, sandbox } of this.containers.values()) {
      if (status.state !== 'running' || !sandbox.linux.cgroupParent.startsWith(cgroup)) continue
      cpuMillicores += script.usage?.cpuMillicores ?? 0
      memoryBytes += script.usage?.memoryBytes ?? defaultMemoryBytes
    }
    return { cpuMillicores, memoryBytes }
  }

  // The port.

  async version() {
    this.checkUp()
    return { name: 'simulation', version: '1.0.0', apiVersion: 'v1' }
  }
  features(): Promise<RuntimeFeatures> {
    return Promise.resolve({
      supplementalGroupsPolicy: true,
      imageVolumes: true,
      handlers: [{ name: '', recursiveReadOnlyMounts: true, userNamespaces: true }],
    })
  }
  async status(): Promise<readonly RuntimeCondition[]> {
    this.checkUp()
    const good = (type: string): RuntimeCondition => ({ type, status: true, reason: '', message: '' })
    return [good('RuntimeReady'), good('NetworkReady')]
  }

  async runPodSandbox(config: SandboxConfig): Promise<string> {
    const { name, namespace, uid, attempt } = config.metadata
    const reserved = [name, namespace, uid, attempt].join('_')
    this.reserve('sandbox', reserved)
    try {
      await this.work(this.world.latency('sandboxMs'))
    } catch (error) {
      this.names.delete(reserved)
      throw error
    }
    const id = this.newId()
    this.names.set(reserved, id)
    const hostNetwork = config.linux.security.namespaces.network === 'node'
    const ips = hostNetwork ? [] : [this.takeAddress()]
    const status: SandboxStatus = {
      id,
      metadata: config.metadata,
      ready: true,
      createdAtMs: this.clock.now(),
      labels: config.labels,
      annotations: config.annotations,
      runtimeHandler: '',
      ips,
      namespaces: config.linux.security.namespaces,
    }
    this.sandboxes.set(id, { config, status })
    for (const ip of ips) this.world.listen(ip, { running: () => this.runningIn(id) })
    this.tell({ type: 'created', containerId: id, sandboxId: id, podUid: config.metadata.uid })
    this.tell({ type: 'started', containerId: id, sandboxId: id, podUid: config.metadata.uid })
    return id
  }
  async stopPodSandbox(sandboxId: string): Promise<void> {
    this.checkUp()
    const sandbox = this.sandboxes.get(sandboxId)
    if (sandbox === undefined) return
    for (const container of this.containers.values())
      if (container.status.sandboxId === sandboxId) this.end(container, killedCode, 'Error')
    this.setReady(sandboxId, sandbox, false)
  }
  async removePodSandbox(sandboxId: string): Promise<void> {
    await this.stopPodSandbox(sandboxId)
    const sandbox = this.sandboxes.get(sandboxId)
    if (sandbox === undefined) return
    for (const [id, container] of this.containers)
      if (container.status.sandboxId === sandboxId) this.forget(id, container)
    this.sandboxes.delete(sandboxId)
    this.release(sandboxId)
    this.tell({ type: 'deleted', containerId: sandboxId, sandboxId, podUid: sandbox.config.metadata.uid })
  }
  async podSandboxStatus(sandboxId: string): Promise<SandboxStatus | undefined> {
    this.checkUp()
    return this.sandboxes.get(sandboxId)?.status
  }
  sandboxPid = (): Promise<undefined> => Promise.resolve(undefined)
  async listPodSandboxes(): Promise<readonly SandboxSummary[]> {
    this.checkUp()
    return [...this.sandboxes.values()].map((sandbox) => sandbox.status)
  }

  async createContainer(sandboxId: string, config: ContainerConfig): Promise<string> {
    const pod = this.sandboxes.get(sandboxId)?.config.metadata
    const { name, attempt } = config.metadata
    const reserved = [name, pod?.name, pod?.namespace, pod?.uid, attempt].join('_')
    this.reserve('container', reserved)
    try {
      await this.work(this.world.latency('createMs'))
      const id = this.makeContainer(sandboxId, config)
      this.names.set(reserved, id)
      return id
    } catch (error) {
      this.names.delete(reserved)
      throw error
    }
  }
  private makeContainer(sandboxId: string, config: ContainerConfig): string {
    const sandbox = this.sandboxes.get(sandboxId)
    if (sandbox === undefined || !sandbox.status.ready) throw new Error(notFoundText('sandbox', sandboxId))
    const image = this.images.find(config.image.reference)
    if (image === undefined) throw new Error(notFoundText('image', config.image.reference))
    const id = this.newId()
    const script = this.world.scriptOf(config.image.userSpecifiedImage)(this.startOf(config, sandbox.config))
    const status: ContainerStatus = {
      id,
      sandboxId,
      metadata: config.metadata,
      image: config.image.userSpecifiedImage,
      imageRef: image.id,
      state: 'created',
      createdAtMs: this.clock.now(),
      labels: config.labels,
      annotations: config.annotations,
      startedAtMs: 0,
      finishedAtMs: 0,
      exitCode: 0,
      reason: '',
      message: '',
      logPath: `${sandbox.config.logDirectory}/${config.logPath}`,
      mounts: config.mounts,
      resources: config.linux.resources,
      user: userOf(config, image),
    }
    const container: Container = {
      config,
      sandbox: sandbox.config,
      script,
      timers: [],
      attached: new Set(),
      ended: new Set(),
      status,
      startedMonotonicMs: 0,
    }
    this.containers.set(id, container)
    this.disk.append(status.logPath, new Uint8Array())
    this.tellOf('created', container)
    return id
  }
  async startContainer(containerId: string): Promise<void> {
    await this.work(this.world.latency('startMs'))
    const container = this.need(containerId)
    if (container.status.state !== 'created')
      throw new Error(`rpc error: code = Unknown desc = container is in CONTAINER_${container.status.state} state`)
    const { script } = container
    if (script.startError !== undefined) {
      const finishedAtMs = this.clock.now()
      const end = { state: 'exited', exitCode: 128, reason: 'StartError', message: script.startError } as const
      container.status = { ...container.status, ...end, finishedAtMs }
      this.tellOf('stopped', container)
      throw new Error(`rpc error: code = Unknown desc = failed to start containerd task: ${script.startError}`)
    }
    container.status = { ...container.status, state: 'running', startedAtMs: this.clock.now() }
    container.startedMonotonicMs = this.clock.monotonic()
    this.tellOf('started', container)
    this.play(container)
  }
  async stopContainer(containerId: string, timeoutSeconds: number): Promise<void> {
    this.checkUp()
    const container = this.containers.get(containerId)
    if (container === undefined || container.status.state !== 'running') return
    const { afterMs, code } = container.script.onStop ?? { afterMs: 0, code: terminatedCode }
    const graceMs = timeoutSeconds * 1000
    const ended = new Promise<void>((done) => container.ended.add(done))
    if (graceMs <= 0) this.end(container, killedCode, 'Error')
    else if (afterMs <= graceMs) this.later(container, afterMs, () => this.end(container, code, reasonOf(code)))
    else this.later(container, graceMs, () => this.end(container, killedCode, 'Error'))
    await ended
  }
  async removeContainer(containerId: string): Promise<void> {
    this.checkUp()
    const container = this.containers.get(containerId)
    if (container === undefined) return
    this.end(container, killedCode, 'Error')
    this.forget(containerId, container)
  }
  async containerStatus(containerId: string): Promise<ContainerStatus | undefined> {
    this.checkUp()
    return this.containers.get(containerId)?.status
  }
  async listContainers(): Promise<readonly ContainerSummary[]> {
    this.checkUp()
    return [...this.containers.values()].map((container) => container.status)
  }
  async updateContainerResources(containerId: string, resources: LinuxResources): Promise<void> {
    this.checkUp()
    const container = this.need(containerId)
    container.status = { ...container.status, resources: { ...container.status.resources, ...resources } }
    this.checkMemory(container)
  }
  async reopenContainerLog(containerId: string): Promise<void> {
    this.checkUp()
    this.disk.append(this.need(containerId).status.logPath, new Uint8Array())
  }

  async execSync(containerId: string, command: readonly string[], timeoutSeconds: number): Promise<ExecResult> {
    this.checkUp()
    const container = this.needRunning(containerId)
    const answer = this.execAnswer(container, command)
    const delayMs = answer.delayMs ?? 0
    const limitMs = timeoutSeconds > 0 ? timeoutSeconds * 1000 : Number.POSITIVE_INFINITY
    if (delayMs > 0) await sleep(this.clock, Math.min(delayMs, limitMs))
    const said = (text: string | undefined) => new TextEncoder().encode(text ?? '')
    if (delayMs > limitMs) return { stdout: said(''), stderr: said(''), exitCode: -1, timedOut: true }
    return { stdout: said(answer.stdout), stderr: said(answer.stderr), exitCode: answer.exitCode, timedOut: false }
  }
  async exec(containerId: string, command: readonly string[], options: StreamOptions): Promise<StreamSession> {
    this.checkUp()
    const answer = this.execAnswer(this.needRunning(containerId), command)
    const stdout = new Pipe()
    const stderr = new Pipe()
    const run = async () => {
      if ((answer.delayMs ?? 0) > 0) await sleep(this.clock, answer.delayMs ?? 0)
      if (answer.stdout !== undefined) stdout.push(new TextEncoder().encode(answer.stdout))
      if (answer.stderr !== undefined) stderr.push(new TextEncoder().encode(answer.stderr))
      stdout.end()
      stderr.end()
      return { exitCode: answer.exitCode, message: '' }
    }
    return session(options, stdout, stderr, run(), () => {})
  }
  async attach(containerId: string, options: StreamOptions): Promise<StreamSession> {
    this.checkUp()
    const container = this.needRunning(containerId)
    const stdout = new Pipe()
    container.attached.add(stdout)
    const ended = new Promise<{ exitCode: number; message: string }>((done) =>
      container.ended.add(() => {
        stdout.end()
        done({ exitCode: container.status.exitCode, message: '' })
      }),
    )
    return session(options, stdout, new Pipe(), ended, () => container.attached.delete(stdout))
  }
  async portForward(sandboxId: string, port: number): Promise<ByteStream> {
    this.checkUp()
    const sandbox = this.sandboxes.get(sandboxId)
    if (sandbox === undefined || !sandbox.status.ready) throw new Error(notFoundText('sandbox', sandboxId))
    const ip = sandbox.status.ips[0] ?? ''
    return httpConnection((path) => this.world.http(ip, port, path))
  }
  async containerStats(): Promise<readonly ContainerStats[]> {
    this.checkUp()
    const stats: ContainerStats[] = []
    for (const [containerId, { status, script, config, startedMonotonicMs }] of this.containers) {
      if (status.state !== 'running') continue
      const millicores = script.usage?.cpuMillicores ?? 0
      const memory = script.usage?.memoryBytes ?? defaultMemoryBytes
      stats.push({
        containerId,
        labels: config.labels,
        timestampMs: this.clock.now(),
        cpuUsageNanoCores: millicores * 1e6,
        cpuUsageCoreNanoSeconds: millicores * 1e3 * (this.clock.monotonic() - startedMonotonicMs),
        memoryWorkingSetBytes: memory,
        memoryUsageBytes: memory,
        memoryRssBytes: memory,
        memoryPageFaults: 0,
        memoryMajorPageFaults: 0,
        rootfsUsedBytes: 4096,
        rootfsInodesUsed: 1,
      })
    }
    return stats
  }
  watchEvents(onEvent: (event: RuntimeEvent) => void): { close(): void } {
    this.listeners.add(onEvent)
    return { close: () => void this.listeners.delete(onEvent) }
  }

  async listImages(): Promise<readonly RuntimeImage[]> {
    this.checkUp()
    return this.images.list()
  }
  async imageStatus(reference: string): Promise<RuntimeImage | undefined> {
    this.checkUp()
    return this.images.find(reference)
  }
  async pullImage(reference: string, _auth: RegistryAuth | undefined, _sandbox: SandboxConfig): Promise<string> {
    await this.work(this.world.latency('pullMs', this.world.lookUp(reference)?.pullMs))
    return this.images.pull(reference).id
  }
  async removeImage(reference: string): Promise<void> {
    this.checkUp()
    this.images.remove(reference)
  }
  async importImage(archive: AsyncIterable<Uint8Array>): Promise<readonly string[]> {
    this.checkUp()
    const names = (await archiveNames(archive)).map(fullName)
    for (const name of names) this.images.add(name)
    return names
  }
  async imageFsInfo() {
    this.checkUp()
    return this.images.fsInfo()
  }

  private async work(ms: number): Promise<void> {
    this.checkUp()
    if (ms > 0) await sleep(this.clock, ms)
    this.checkUp()
  }
  /** As containerd does: two sandboxes, or two containers, of one name cannot be. */
  private reserve(what: 'sandbox' | 'container', name: string): void {
    const holder = this.names.get(name)
    if (holder !== undefined)
      throw new Error(
        `rpc error: code = Unknown desc = failed to reserve ${what} name "${name}": name "${name}" is reserved for "${holder}"`,
      )
    this.names.set(name, '')
  }
  private release(id: string): void {
    for (const [name, holder] of this.names) if (holder === id) this.names.delete(name)
  }
  private checkUp(): void {
    if (this.down)
      throw new Error('rpc error: code = Unavailable desc = connection error: the container runtime is not running')
  }
  private need(id: string): Container {
    const container = this.containers.get(id)
    if (container === undefined) throw new Error(notFoundText('container', id))
    return container
  }
  private needRunning(id: string): Container {
    const container = this.need(id)
    if (container.status.state !== 'running')
      throw new Error(`rpc error: code = Unknown desc = container is in CONTAINER_${container.status.state} state`)
    return container
  }
  private newId(): string {
    return Array.from(this.random.bytes(32), (byte) => byte.toString(16).padStart(2, '0')).join('')
  }
  private takeAddress(): string {
    let last = 2
    while (this.addresses.has(last)) last++
    this.addresses.add(last)
    return `${this.podNetwork}.${last}`
  }
  private setReady(id: string, sandbox: Sandbox, ready: boolean): void {
    if (sandbox.status.ready === ready) return
    this.sandboxes.set(id, { ...sandbox, status: { ...sandbox.status, ready } })
    for (const ip of sandbox.status.ips) {
      this.world.unlisten(ip)
      this.addresses.delete(Number(ip.split('.').pop()))
    }
    this.tell({ type: 'stopped', containerId: id, sandboxId: id, podUid: sandbox.config.metadata.uid })
  }
  private *runningIn(sandboxId: string): Iterable<{ script: ContainerScript; uptimeMs: number }> {
    for (const container of this.containers.values())
      if (container.status.sandboxId === sandboxId && container.status.state === 'running')
        yield { script: container.script, uptimeMs: this.uptime(container) }
  }
  private uptime(container: Container): number {
    return this.clock.monotonic() - container.startedMonotonicMs
  }
  private startOf(config: ContainerConfig, sandbox: SandboxConfig): ContainerStart {
    return {
      node: this.node,
      namespace: sandbox.metadata.namespace,
      pod: sandbox.metadata.name,
      container: config.metadata.name,
      image: config.image.userSpecifiedImage,
      command: config.command,
      args: config.args,
      env: Object.fromEntries(config.env.map(({ key, value }) => [key, value])),
      restarts: config.metadata.attempt,
      config,
      sandbox,
    }
  }

  /** Sets what the script says into motion. */
  private play(container: Container): void {
    const { script } = container
    for (const { atMs, text, stream = 'stdout' } of script.logs ?? [])
      this.later(container, atMs, () => this.say(container, text, stream))
    const { exit } = script
    if (exit !== undefined)
      this.later(container, exit.afterMs, () => {
        this.writeTerminationMessage(container)
        const code = exit.oom === true ? killedCode : exit.code
        this.end(container, code, exit.oom === true ? 'OOMKilled' : reasonOf(code))
      })
    this.checkMemory(container)
  }
  private checkMemory(container: Container): void {
    const limit = container.status.resources?.memoryLimitBytes ?? 0
    const used = container.script.usage?.memoryBytes ?? 0
    if (limit > 0 && used > limit) this.later(container, oomAfterMs, () => this.end(container, killedCode, 'OOMKilled'))
  }
  private later(container: Container, ms: number, run: () => void): void {
    if (!Number.isFinite(ms)) return
    const timer = this.clock.after(ms, () => {
      if (container.status.state === 'running') run()
    })
    container.timers.push(timer)
  }
  private say(container: Container, text: string, stream: 'stdout' | 'stderr'): void {
    const time = `${new Date(this.clock.now()).toISOString().slice(0, 23)}000000Z`
    const lines = text.endsWith('\n') ? text.slice(0, -1).split('\n') : text.split('\n')
    const record = lines.map((line) => `${time} ${stream} F ${line}\n`).join('')
    this.disk.append(container.status.logPath, new TextEncoder().encode(record))
    for (const pipe of container.attached) pipe.push(new TextEncoder().encode(text))
  }
  private writeTerminationMessage(container: Container): void {
    const message = container.script.terminationMessage
    const path = container.config.annotations[terminationPathAnnotation] ?? '/dev/termination-log'
    const file = container.config.mounts.find((mount) => mount.containerPath === path)?.hostPath
    if (message !== undefined && file !== undefined) this.disk.append(file, new TextEncoder().encode(message))
  }
  private end(container: Container, exitCode: number, reason: string): void {
    if (container.status.state !== 'running') return
    for (const timer of container.timers.splice(0)) timer.cancel()
    container.status = {
      ...container.status,
      state: 'exited',
      exitCode,
      reason,
      finishedAtMs: this.clock.now(),
    }
    for (const done of container.ended) done()
    container.ended.clear()
    if (reason === 'OOMKilled') this.tellOf('oom', container)
    this.tellOf('stopped', container)
  }
  private forget(id: string, container: Container): void {
    this.containers.delete(id)
    this.release(id)
    this.tellOf('deleted', container)
  }
  private execAnswer(container: Container, command: readonly string[]): ExecAnswer {
    const { exec } = container.script
    if (exec !== undefined) return exec(command, this.uptime(container))
    const ran = commandScript({ ...this.startOf(container.config, container.sandbox), command, args: [] })
    const said = (stream: string) => (ran.logs ?? []).filter((line) => line.stream === stream).map((line) => line.text)
    const delayMs = ran.exit?.afterMs ?? 0
    return { exitCode: ran.exit?.code ?? 0, stdout: said('stdout').join(''), stderr: said('stderr').join(''), delayMs }
  }

  private tellOf(type: 'created' | 'started' | 'stopped' | 'deleted' | 'oom', { status, sandbox }: Container): void {
    this.tell({ type, containerId: status.id, sandboxId: status.sandboxId, podUid: sandbox.metadata.uid })
  }
  /** Events come after the call that caused them; a crashed daemon tells nothing. */
  private tell(event: RuntimeEvent): void {
    queueMicrotask(() => {
      if (this.down) return
      for (const listener of this.listeners) listener(event)
    })
  }
}

const reasonOf = (code: number): string => (code === 0 ? 'Completed' : 'Error')

function userOf(config: ContainerConfig, image: RuntimeImage): NonNullable<ContainerStatus['user']> {
  const { runAsUser, runAsGroup, supplementalGroups } = config.linux.security
  const gid = runAsGroup ?? 0
  return { uid: runAsUser ?? image.uid ?? 0, gid, supplementalGroups: [gid, ...supplementalGroups] }
}
