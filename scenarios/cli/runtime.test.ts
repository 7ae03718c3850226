// The runtime port on a real, private containerd: sandbox, container, logs, exec, port-forward, events, images.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { removeNode } from '../../src/host/cleanup.ts'
import { writeCniConfig, cniFolders } from '../../src/host/cni/cni-config.ts'
import { type Containerd, shimsOf, startContainerd } from '../../src/host/containerd/containerd.ts'
import { containerdExtras } from '../../src/host/containerd/import.ts'
import { createCriRuntime, type CriRuntime } from '../../src/host/cri/runtime.ts'
import { type Instance, instanceOf } from '../../src/host/instance.ts'
import type { ContainerConfig, RuntimeEvent, SandboxConfig } from '../../src/ports/container-runtime.ts'
import { silentLog } from '../../src/ports/log.ts'
import { busyboxArchive } from '../images/busybox.ts'

const dataDir = mkdtempSync(join(tmpdir(), 'cox-runtime-'))
let instance: Instance
let containerd: Containerd
let runtime: CriRuntime
let sandbox: string
const events: RuntimeEvent[] = []

const sandboxConfig = (): SandboxConfig => ({
  metadata: { name: 'web', uid: 'uid-1', namespace: 'default', attempt: 0 },
  hostname: 'web',
  logDirectory: join(dataDir, 'logs'),
  dns: { servers: ['10.0.0.10'], searches: ['default.svc.cluster.local'], options: ['ndots:5'] },
  portMappings: [],
  labels: { app: 'web' },
  annotations: {},
  linux: {
    cgroupParent: `${instance.cgroupRoot}/kubepods/poduid-1`,
    sysctls: {},
    security: {
      namespaces: { network: 'pod', pid: 'container', ipc: 'pod' },
      supplementalGroups: [],
      privileged: false,
      readonlyRootfs: true,
    },
  },
})
const containerConfig = (name: string, command: string[], extra: Partial<ContainerConfig> = {}): ContainerConfig => ({
  metadata: { name, attempt: 0 },
  image: { reference: 'docker.io/library/busybox:latest', userSpecifiedImage: 'busybox' },
  command,
  args: [],
  workingDir: '',
  env: [{ key: 'GREETING', value: 'hello' }],
  mounts: [],
  devices: [],
  labels: {},
  annotations: {},
  logPath: `${name}.log`,
  stdin: false,
  stdinOnce: false,
  tty: false,
  linux: {
    resources: { cpuShares: 102, memoryLimitBytes: 64 << 20, oomScoreAdj: 900 },
    security: {
      privileged: false,
      namespaces: { network: 'pod', pid: 'container', ipc: 'pod' },
      readonlyRootfs: false,
      supplementalGroups: [],
      noNewPrivs: false,
      maskedPaths: [],
      readonlyPaths: [],
    },
  },
  ...extra,
})
const text = async (chunks: AsyncIterable<Uint8Array> | undefined) => {
  const parts: Uint8Array[] = []
  for await (const chunk of chunks ?? []) parts.push(chunk)
  return Buffer.concat(parts).toString('utf8')
}

beforeAll(async () => {
  instance = instanceOf(dataDir)
  writeCniConfig(instance, { podCidrs: ['10.123.45.0/24'] })
  const options = { instance, log: silentLog, cniBinDir: '/usr/lib/cni', cniConfDir: cniFolders(instance).confDir }
  containerd = await startContainerd(options)
  runtime = createCriRuntime({
    address: containerd.address,
    log: silentLog,
    extras: containerdExtras(containerd.socket),
  })
  runtime.watchEvents((event) => events.push(event))
})
afterAll(async () => {
  runtime?.close()
  containerd?.release()
  await removeNode({ instance, onProgress: () => {} })
  rmSync(dataDir, { recursive: true })
})

describe('containerd', () => {
  test('it answers, and its network is ready', async () => {
    expect(await runtime.version()).toMatchObject({ name: 'containerd', apiVersion: 'v1' })
    const conditions = await runtime.status()
    expect(conditions.map((c) => [c.type, c.status])).toEqual([
      ['RuntimeReady', true],
      ['NetworkReady', true],
    ])
  })
  test('an archive is loaded under the names that users write, and pinned', async () => {
    const archive = await busyboxArchive()
    const names = await runtime.importImage(
      (async function* () {
        for (let at = 0; at < archive.length; at += 65536) yield archive.subarray(at, at + 65536)
      })(),
    )
    expect(names).toContain('docker.io/library/busybox:latest')
    expect(await runtime.imageStatus('busybox')).toMatchObject({ pinned: true })
    expect(await runtime.imageStatus('nothing-of-this-name')).toBeUndefined()
    const pause = (await runtime.listImages()).find((image) => image.repoTags.some((tag) => tag.includes('pause')))
    expect(pause).toMatchObject({ pinned: true })
    expect(pause?.sizeBytes).toBeLessThan(10_000)
  })
  test.each([
    ['text', Buffer.from('this is no archive at all, but a line of text\n'.repeat(50)), /not an image archive/],
    ['an empty file', Buffer.alloc(0), /the archive is empty/],
    ['broken gzip', Buffer.from([0x1f, 0x8b, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]), /archive/],
  ])('%s is refused with one clear line', async (_, content, message) => {
    const importing = runtime.importImage(
      (async function* () {
        if (content.length > 0) yield content
      })(),
    )
    await expect(importing).rejects.toThrow(message)
  })
})

describe('a pod', () => {
  test('a sandbox has an address', async () => {
    sandbox = await runtime.runPodSandbox(sandboxConfig(), '')
    const status = await runtime.podSandboxStatus(sandbox)
    expect(status).toMatchObject({ ready: true, labels: { app: 'web' } })
    expect(status?.ips[0]).toMatch(/^10\.123\.45\.\d+$/)
  })
  test('a container runs, logs, exits, and its end is told when its status says so', async () => {
    const id = await runtime.createContainer(
      sandbox,
      containerConfig('once', ['sh', '-c', 'echo out $GREETING; echo err >&2; exit 3']),
      sandboxConfig(),
    )
    const stopped = new Promise<void>((resolve) => {
      const watch = runtime.watchEvents((event) => {
        if (event.type !== 'stopped' || event.containerId !== id) return
        watch.close()
        resolve()
      })
    })
    await runtime.startContainer(id)
    await stopped
    expect(await runtime.containerStatus(id)).toMatchObject({
      state: 'exited',
      exitCode: 3,
      reason: 'Error',
      sandboxId: sandbox,
    })
    // The runtime copies a container's last words when it has told of its end.
    const log = () => readFileSync(join(dataDir, 'logs', 'once.log'), 'utf8')
    await expect.poll(log).toMatch(/ stdout F out hello\n/)
    await expect.poll(log).toMatch(/ stderr F err\n/)
    await runtime.removeContainer(id)
    expect(await runtime.containerStatus(id)).toBeUndefined()
  })
  let shell: string
  test('exec: output, exit code, stdin, terminal', async () => {
    shell = await runtime.createContainer(sandbox, containerConfig('shell', ['sleep', '1000']), sandboxConfig())
    await runtime.startContainer(shell)
    const result = await runtime.execSync(shell, ['sh', '-c', 'echo a; echo b >&2; exit 4'], 10)
    expect([Buffer.from(result.stdout).toString(), Buffer.from(result.stderr).toString(), result.exitCode]).toEqual([
      'a\n',
      'b\n',
      4,
    ])
    expect((await runtime.execSync(shell, ['sleep', '20'], 1)).timedOut).toBe(true)

    const session = await runtime.exec(shell, ['sh', '-c', 'cat; echo done >&2; exit 5'], {
      stdin: true,
      stdout: true,
      stderr: true,
      tty: false,
    })
    await session.stdin?.write(Buffer.from('typed'))
    await session.stdin?.end()
    expect(await Promise.all([text(session.stdout), text(session.stderr)])).toEqual(['typed', 'done\n'])
    expect(await session.result).toMatchObject({ exitCode: 5 })

    const terminal = await runtime.exec(shell, ['sh'], { stdin: true, stdout: true, stderr: false, tty: true })
    await terminal.resize(97, 31)
    await terminal.stdin?.write(Buffer.from('stty size; exit 6\n'))
    expect(await text(terminal.stdout)).toContain('31 97')
    expect(await terminal.result).toMatchObject({ exitCode: 6 })
  })
  test('exec: 100 MB come through whole', async () => {
    const session = await runtime.exec(shell, ['dd', 'if=/dev/zero', 'bs=1M', 'count=100'], {
      stdin: false,
      stdout: true,
      stderr: true,
      tty: false,
    })
    let bytes = 0
    const errors = text(session.stderr)
    for await (const chunk of session.stdout ?? []) bytes += chunk.length
    expect(bytes).toBe(100 << 20)
    expect(await errors).toContain('100+0 records')
    expect(await session.result).toMatchObject({ exitCode: 0 })
  })
  test('a port of the pod is reached', async () => {
    const server = await runtime.exec(shell, ['sh', '-c', 'echo served | nc -l -p 8080'], {
      stdin: false,
      stdout: true,
      stderr: true,
      tty: false,
    })
    await expect
      .poll(async () => Buffer.from((await runtime.execSync(shell, ['netstat', '-ltn'], 5)).stdout).toString())
      .toContain(':8080')
    const stream = await runtime.portForward(sandbox, 8080)
    expect(await text(stream.readable)).toBe('served\n')
    stream.destroy()
    server.close()
    const refused = await runtime.portForward(sandbox, 81)
    await expect(text(refused.readable)).rejects.toThrow(/refused/)
  })
  test('its limits are in its cgroup', async () => {
    const v1 = `/sys/fs/cgroup/memory${instance.cgroupRoot}/kubepods/poduid-1/${shell}/memory.limit_in_bytes`
    const v2 = `/sys/fs/cgroup${instance.cgroupRoot}/kubepods/poduid-1/${shell}/memory.max`
    expect(readFileSync(existsSync(v1) ? v1 : v2, 'utf8').trim()).toBe(String(64 << 20))
    await runtime.updateContainerResources(shell, { memoryLimitBytes: 80 << 20 })
    expect(readFileSync(existsSync(v1) ? v1 : v2, 'utf8').trim()).toBe(String(80 << 20))
  })
  test('statistics', async () => {
    const stats = (await runtime.containerStats()).find((one) => one.containerId === shell)
    expect(stats?.memoryWorkingSetBytes).toBeGreaterThan(0)
    expect(stats?.cpuUsageCoreNanoSeconds).toBeGreaterThan(0)
    expect((await runtime.imageFsInfo())?.path).toContain(dataDir)
  })
  test('a killed containerd comes back with the same containers', async () => {
    const before = (await runtime.listContainers()).map((one) => [one.id, one.state])
    const pid = containerd.pid()
    events.length = 0
    process.kill(pid, 'SIGKILL')
    await expect.poll(() => containerd.pid() !== pid, { timeout: 60_000 }).toBe(true)
    await expect
      .poll(() => runtime.listContainers().then((all) => all.map((one) => [one.id, one.state]), String), {
        timeout: 60_000,
      })
      .toEqual(before)
    await expect.poll(() => events.some((event) => event.type === 'resync')).toBe(true)
  })
  test('stop and remove are idempotent', async () => {
    await runtime.stopContainer(shell, 0)
    expect(await runtime.containerStatus(shell)).toMatchObject({ state: 'exited', exitCode: 137 })
    await runtime.stopPodSandbox(sandbox)
    await runtime.stopPodSandbox(sandbox)
    await runtime.removePodSandbox(sandbox)
    await runtime.removePodSandbox(sandbox)
    expect(await runtime.podSandboxStatus(sandbox)).toBeUndefined()
    expect(await runtime.listContainers()).toEqual([])
  })
  test('nothing is left but containerd itself', () => {
    expect(shimsOf(instance)).toEqual([])
  })
})
