// A runtime for unit tests: containers run until they are stopped, or end as a script says. Every call is recorded.
import type { Clock } from '../../ports/clock.ts'
import {
  type ContainerConfig,
  type ContainerRuntime,
  type ContainerStatus,
  ImagePullError,
  type RuntimeEvent,
  type RuntimeImage,
  type SandboxConfig,
  type SandboxStatus,
} from '../../ports/container-runtime.ts'
import type { MemoryDisk } from './memory-disk.ts'

/** How a container ends by itself: after a time, with a code, saying something. */
export interface Ending {
  readonly afterMs: number
  readonly exitCode: number
  readonly message?: string
  readonly oom?: boolean
}
export interface FakeRuntime extends ContainerRuntime {
  /** "stop a 30", "create a" ...: what was asked, in order. */
  readonly calls: string[]
  readonly sandboxes: Map<string, SandboxStatus & { config: SandboxConfig }>
  readonly containers: Map<string, ContainerStatus & { config: ContainerConfig }>
  readonly images: Map<string, RuntimeImage>
  /** By container name: how the run number n ends. */
  readonly endings: Map<string, (run: number) => Ending | undefined>
  /** Answers of execSync by the command's first word; default: exit code 0. */
  readonly execs: Map<string, () => { exitCode: number; output?: string }>
  /** Containers that ignore the stop signal. */
  readonly stubborn: Set<string>
  /** References that cannot be pulled, with what the registry says. */
  readonly unpullable: Map<string, string>
  /** Makes the next sandbox fail. */
  sandboxError: string | undefined
  running(): string[]
  /** The process of a running container has ended, and its status does not say so yet. */
  exit(name: string, exitCode: number): void
  end(name: string, exitCode: number, reason?: string): void
  /** The same of every sandbox. */
  exitSandbox(): void
  killSandbox(): void
}

export const imageOf = (name: string): RuntimeImage => ({
  id: `sha256:${name}`,
  repoTags: [name],
  repoDigests: [],
  sizeBytes: 1000,
  uid: 0,
  username: '',
  pinned: false,
})

export function fakeRuntime(clock: Clock, disk: MemoryDisk): FakeRuntime {
  let next = 0
  const calls: string[] = []
  const listeners = new Set<(event: RuntimeEvent) => void>()
  const sandboxes: FakeRuntime['sandboxes'] = new Map()
  const containers: FakeRuntime['containers'] = new Map()
  const images: FakeRuntime['images'] = new Map()
  const endings: FakeRuntime['endings'] = new Map()
  const execs: FakeRuntime['execs'] = new Map()
  const stubborn: FakeRuntime['stubborn'] = new Set()
  const unpullable: FakeRuntime['unpullable'] = new Map()
  const waiters = new Map<string, (() => void)[]>()
  const tell = (type: 'created' | 'started' | 'stopped' | 'deleted', id: string, sandboxId: string) => {
    for (const listener of listeners) listener({ type, containerId: id, sandboxId, podUid: undefined })
  }
  const nameOf = (id: string) => containers.get(id)?.metadata.name ?? id
  const exits = new Map<string, number>()
  const finish = (id: string, asked: number, reason: string) => {
    const exitCode = exits.get(id) ?? asked
    const known = containers.get(id)
    if (known === undefined || known.state !== 'running') return
    containers.set(id, { ...known, state: 'exited', exitCode, reason, finishedAtMs: clock.now() })
    for (const done of waiters.get(id) ?? []) done()
    waiters.delete(id)
    tell('stopped', id, known.sandboxId)
  }
  const exited = (id: string) =>
    new Promise<void>((done) => {
      if (containers.get(id)?.state !== 'running') return done()
      waiters.set(id, [...(waiters.get(id) ?? []), done])
    })
  const need = (id: string) => {
    const known = containers.get(id)
    if (known === undefined) throw new Error(`no such container ${id}`)
    return known
  }
  const absent = (what: string) => () => Promise.reject(new Error(`the fake runtime cannot ${what}`))
  const runtime: FakeRuntime = {
    calls,
    sandboxes,
    containers,
    images,
    endings,
    execs,
    stubborn,
    unpullable,
    sandboxError: undefined,
    running: () => [...containers.values()].filter((c) => c.state === 'running').map((c) => c.metadata.name),
    exit(name, exitCode) {
      for (const { id, metadata, state } of containers.values())
        if (metadata.name === name && state === 'running') {
          exits.set(id, exitCode)
          for (const listener of listeners)
            listener({ type: 'exited', containerId: id, exitCode, finishedAtMs: clock.now() })
        }
    },
    end(name, exitCode, reason = exitCode === 0 ? 'Completed' : 'Error') {
      for (const c of containers.values())
        if (c.metadata.name === name && c.state === 'running') finish(c.id, exitCode, reason)
    },
    exitSandbox() {
      for (const listener of listeners)
        for (const id of sandboxes.keys())
          listener({ type: 'exited', containerId: id, exitCode: 137, finishedAtMs: clock.now() })
    },
    killSandbox() {
      for (const [id, sandbox] of sandboxes) {
        sandboxes.set(id, { ...sandbox, ready: false })
        for (const c of containers.values()) if (c.sandboxId === id) finish(c.id, 137, 'Error')
        tell('stopped', id, id)
      }
    },
    version: () => Promise.resolve({ name: 'fake', version: '1', apiVersion: 'v1' }),
    features: () =>
      Promise.resolve({
        supplementalGroupsPolicy: true,
        imageVolumes: true,
        handlers: [{ name: '', recursiveReadOnlyMounts: true, userNamespaces: true }],
      }),
    status: () =>
      Promise.resolve(
        ['RuntimeReady', 'NetworkReady'].map((type) => ({ type, status: true, reason: '', message: '' })),
      ),
    runPodSandbox(config) {
      calls.push('sandbox')
      if (runtime.sandboxError !== undefined) return Promise.reject(new Error(runtime.sandboxError))
      const id = `sandbox-${next++}`
      sandboxes.set(id, {
        id,
        config,
        metadata: config.metadata,
        ready: true,
        createdAtMs: clock.now() + next / 1000,
        labels: config.labels,
        annotations: config.annotations,
        runtimeHandler: '',
        ips: config.linux.security.namespaces.network === 'node' ? [] : [`10.1.0.${next}`],
        namespaces: config.linux.security.namespaces,
      })
      tell('started', id, id)
      return Promise.resolve(id)
    },
    stopPodSandbox(id) {
      calls.push('stop sandbox')
      const known = sandboxes.get(id)
      if (known !== undefined) sandboxes.set(id, { ...known, ready: false })
      for (const c of containers.values()) if (c.sandboxId === id) finish(c.id, 137, 'Error')
      return Promise.resolve()
    },
    removePodSandbox(id) {
      calls.push('remove sandbox')
      sandboxes.delete(id)
      for (const c of containers.values()) if (c.sandboxId === id) containers.delete(c.id)
      return Promise.resolve()
    },
    podSandboxStatus: (id) => Promise.resolve(sandboxes.get(id)),
    sandboxPid: (id) => Promise.resolve(sandboxes.has(id) ? 4711 : undefined),
    listPodSandboxes: () => Promise.resolve([...sandboxes.values()]),
    createContainer(sandboxId, config, sandboxConfig) {
      calls.push(`create ${config.metadata.name}`)
      const id = `${config.metadata.name}-${next++}`
      containers.set(id, {
        id,
        sandboxId,
        config,
        metadata: config.metadata,
        labels: config.labels,
        annotations: config.annotations,
        image: config.image.userSpecifiedImage,
        imageRef: config.image.reference,
        state: 'created',
        createdAtMs: clock.now() + next / 1000,
        startedAtMs: 0,
        finishedAtMs: 0,
        exitCode: 0,
        reason: '',
        message: '',
        logPath: `${sandboxConfig.logDirectory}/${config.logPath}`,
        mounts: config.mounts,
      })
      return Promise.resolve(id)
    },
    startContainer(id) {
      const known = need(id)
      const { name, attempt } = known.metadata
      calls.push(`start ${name}`)
      disk.put(known.logPath, '')
      containers.set(id, { ...known, state: 'running', startedAtMs: clock.now() })
      tell('started', id, known.sandboxId)
      const ending = endings.get(name)?.(attempt)
      if (ending !== undefined)
        clock.after(ending.afterMs, () => {
          const path = known.mounts.find((m) => m.containerPath === '/dev/termination-log')?.hostPath
          if (ending.message !== undefined && path !== undefined) disk.put(path, ending.message)
          finish(id, ending.exitCode, ending.oom ? 'OOMKilled' : ending.exitCode === 0 ? 'Completed' : 'Error')
        })
      return Promise.resolve()
    },
    async stopContainer(id, timeoutSeconds) {
      calls.push(`stop ${nameOf(id)} ${timeoutSeconds}`)
      if (containers.get(id)?.state !== 'running') return
      if (stubborn.has(nameOf(id))) clock.after(timeoutSeconds * 1000, () => finish(id, 137, 'Error'))
      else finish(id, 143, 'Error')
      await exited(id)
    },
    removeContainer(id) {
      calls.push(`remove ${nameOf(id)}`)
      containers.delete(id)
      return Promise.resolve()
    },
    containerStatus: (id) => Promise.resolve(containers.get(id)),
    listContainers: () => Promise.resolve([...containers.values()]),
    updateContainerResources(id) {
      calls.push(`update ${nameOf(id)}`)
      return Promise.resolve()
    },
    reopenContainerLog(id) {
      disk.put(need(id).logPath, '')
      return Promise.resolve()
    },
    execSync(id, command) {
      calls.push(`exec ${nameOf(id)} ${command.join(' ')}`)
      const { exitCode, output = '' } = execs.get(command[0] ?? '')?.() ?? { exitCode: 0 }
      return Promise.resolve({
        stdout: new TextEncoder().encode(output),
        stderr: new Uint8Array(),
        exitCode,
        timedOut: false,
      })
    },
    exec: absent('exec'),
    attach: absent('attach'),
    portForward: absent('forward ports'),
    containerStats: () => Promise.resolve([]),
    watchEvents(onEvent) {
      listeners.add(onEvent)
      return { close: () => void listeners.delete(onEvent) }
    },
    listImages: () => Promise.resolve([...images.values()]),
    imageStatus: (reference) =>
      Promise.resolve([...images.values()].find((i) => i.id === reference || i.repoTags.includes(reference))),
    pullImage(reference) {
      calls.push(`pull ${reference}`)
      const message = unpullable.get(reference)
      if (message !== undefined) return Promise.reject(new ImagePullError('not-found', message))
      images.set(reference, imageOf(reference))
      return Promise.resolve(reference)
    },
    removeImage(reference) {
      for (const [name, { id }] of images) if (name === reference || id === reference) images.delete(name)
      return Promise.resolve()
    },
    importImage: absent('import images'),
    imageFsInfo: () => Promise.resolve(undefined),
  }
  return runtime
}
