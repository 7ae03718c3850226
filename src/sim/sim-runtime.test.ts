import { beforeEach, describe, expect, test } from 'vitest'
import type { ContainerConfig, ContainerStatus, RuntimeEvent, SandboxConfig } from '../ports/container-runtime.ts'
import { simNode, type SimNode } from './sim-node.ts'
import { simPorts, type SimPorts } from './sim-ports.ts'

const sandboxConfig: SandboxConfig = {
  metadata: { name: 'web', uid: 'uid-1', namespace: 'default', attempt: 0 },
  hostname: 'web',
  logDirectory: '/var/log/pods/default_web_uid-1',
  portMappings: [],
  labels: {},
  annotations: {},
  linux: {
    cgroupParent: '/kubepods/pod-1',
    sysctls: {},
    security: {
      namespaces: { network: 'pod', pid: 'container', ipc: 'pod' },
      supplementalGroups: [],
      privileged: false,
      readonlyRootfs: false,
    },
  },
}
const containerConfig = (image: string, attempt = 0, memoryLimitBytes = 0): ContainerConfig => ({
  metadata: { name: 'main', attempt },
  image: { reference: image, userSpecifiedImage: image },
  command: [],
  args: [],
  workingDir: '',
  env: [],
  mounts: [],
  devices: [],
  labels: {},
  annotations: {},
  logPath: `main/${attempt}.log`,
  stdin: false,
  stdinOnce: false,
  tty: false,
  linux: {
    resources: { memoryLimitBytes },
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
})

describe('the simulated runtime', () => {
  let sim: SimPorts
  let node: SimNode
  const run = <T>(promise: Promise<T>): Promise<T> => sim.clock.run(promise)
  beforeEach(async () => {
    sim = simPorts({ seed: 1, latencies: { jitter: 0 } })
    node = await simNode(sim.world, 'node-1')
  })
  const started = async (image: string, attempt = 0, memoryLimitBytes = 0) => {
    const { runtime } = node
    await run(runtime.pullImage(image, undefined, sandboxConfig))
    const sandbox = (await runtime.listPodSandboxes())[0]?.id ?? (await run(runtime.runPodSandbox(sandboxConfig)))
    const id = await run(runtime.createContainer(sandbox, containerConfig(image, attempt, memoryLimitBytes)))
    await run(runtime.startContainer(id))
    return { sandbox, id, status: async (): Promise<ContainerStatus | undefined> => runtime.containerStatus(id) }
  }

  test('a container runs, says what its script says, and ends when it says', async () => {
    sim.world.image('job:1', () => ({
      exit: { afterMs: 3000, code: 2 },
      logs: [{ atMs: 1000, text: 'half way\n' }],
    }))
    const events: RuntimeEvent[] = []
    node.runtime.watchEvents((event) => events.push(event))
    const { status } = await started('job:1')
    await sim.clock.advance(2000)
    expect(await status()).toMatchObject({ state: 'running', exitCode: 0 })
    const log = await node.disk.readFile((await status())?.logPath ?? '')
    expect(new TextDecoder().decode(log)).toMatch(/^2026-01-01T00:00:\S+000Z stdout F half way\n$/)
    await sim.clock.advance(1000)
    expect(await status()).toMatchObject({ state: 'exited', exitCode: 2, reason: 'Error' })
    expect(events.map((event) => event.type)).toEqual(['created', 'started', 'created', 'started', 'stopped'])
  })

  test('stopping: at once, by the signal, or by KILL when the grace is over', async () => {
    sim.world.image('stubborn:1', () => ({ onStop: { afterMs: 60_000, code: 0 } }))
    const tame = await started('tame:1')
    await run(node.runtime.stopContainer(tame.id, 30))
    expect(await tame.status()).toMatchObject({ state: 'exited', exitCode: 143 })
    const stubborn = await started('stubborn:1', 1)
    const before = sim.clock.monotonic()
    await run(node.runtime.stopContainer(stubborn.id, 5))
    expect(sim.clock.monotonic() - before).toBe(5000)
    expect(await stubborn.status()).toMatchObject({ state: 'exited', exitCode: 137 })
  })

  test('more memory than the limit is the end', async () => {
    sim.world.image('hungry:1', () => ({ usage: { memoryBytes: 2 ** 30 } }))
    const hungry = await started('hungry:1', 0, 2 ** 20)
    await sim.clock.advance(1000)
    expect(await hungry.status()).toMatchObject({ state: 'exited', exitCode: 137, reason: 'OOMKilled' })
  })

  test('images: absent until pulled, refused by the registry, loaded from an archive', async () => {
    const { runtime } = node
    sim.world.image('secret:1', { pullError: { kind: 'unauthorized', message: 'no credentials' } })
    expect(await runtime.imageStatus('nginx')).toBeUndefined()
    await run(runtime.pullImage('nginx', undefined, sandboxConfig))
    expect((await runtime.imageStatus('docker.io/library/nginx:latest'))?.repoTags).toEqual([
      'docker.io/library/nginx:latest',
    ])
    await expect(run(runtime.pullImage('secret:1', undefined, sandboxConfig))).rejects.toMatchObject({
      kind: 'unauthorized',
    })
    const manifest = new TextEncoder().encode(JSON.stringify([{ RepoTags: ['mine:2'] }]))
    const header = new Uint8Array(512)
    header.set(new TextEncoder().encode('manifest.json'))
    header.set(new TextEncoder().encode(manifest.length.toString(8).padStart(11, '0')), 124)
    const body = new Uint8Array(512)
    body.set(manifest)
    async function* archive() {
      yield header
      yield body
    }
    expect(await runtime.importImage(archive())).toEqual(['docker.io/library/mine:2'])
    expect(await runtime.imageStatus('mine:2')).toBeDefined()
    async function* text() {
      yield new TextEncoder().encode('not an archive '.repeat(100))
    }
    await expect(runtime.importImage(text())).rejects.toThrow('not an image archive')
  })

  test('names are taken once, as containerd does', async () => {
    const { sandbox } = await started('web:1')
    await expect(run(node.runtime.runPodSandbox(sandboxConfig))).rejects.toThrow('is reserved for')
    await expect(run(node.runtime.createContainer(sandbox, containerConfig('web:1')))).rejects.toThrow('is reserved')
    await run(node.runtime.removePodSandbox(sandbox))
    await started('web:1')
  })

  test('a crashed daemon answers nothing while containers run on; a dead machine ends them', async () => {
    const { runtime } = node
    const web = await started('web:1')
    const events: RuntimeEvent[] = []
    runtime.watchEvents((event) => events.push(event))
    runtime.crash()
    await expect(runtime.listContainers()).rejects.toThrow('not running')
    runtime.recover()
    await sim.clock.settle()
    expect(events).toEqual([{ type: 'resync' }])
    expect(await web.status()).toMatchObject({ state: 'running' })
    runtime.powerOff()
    runtime.powerOn()
    expect(await web.status()).toMatchObject({ state: 'exited', exitCode: 137 })
    expect((await runtime.listPodSandboxes())[0]?.ready).toBe(false)
  })

  test('probes and exec meet what the script answers; an ended container refuses', async () => {
    sim.world.image('slow:1', () => ({
      http: ({ port }, uptimeMs) => (port === 80 ? { status: uptimeMs < 5000 ? 503 : 200 } : undefined),
      exec: ([command]) => ({ exitCode: command === 'fail' ? 4 : 0, stdout: `ran ${command}` }),
    }))
    const { id, sandbox } = await started('slow:1')
    const host = (await node.runtime.podSandboxStatus(sandbox))?.ips[0] ?? ''
    const get = (port: number) =>
      node.prober.httpGet({ scheme: 'HTTP', host, port, path: '/', headers: [], timeoutMs: 1000 })
    expect(await get(80)).toMatchObject({ ok: true, status: 503 })
    expect(await get(81)).toMatchObject({ ok: false, kind: 'refused' })
    await sim.clock.advance(5000)
    expect(await get(80)).toMatchObject({ ok: true, status: 200 })
    const ran = await node.runtime.execSync(id, ['fail'], 1)
    expect([ran.exitCode, new TextDecoder().decode(ran.stdout)]).toEqual([4, 'ran fail'])
    const session = await node.runtime.exec(id, ['hello'], { stdin: false, stdout: true, stderr: true, tty: false })
    let said = ''
    for await (const chunk of session.stdout ?? []) said += new TextDecoder().decode(chunk)
    expect([said, (await session.result).exitCode]).toEqual(['ran hello', 0])
    await run(node.runtime.stopContainer(id, 0))
    expect(await get(80)).toMatchObject({ ok: false, kind: 'refused' })
    expect(await node.prober.tcpConnect('10.9.9.9', 80, 100)).toMatchObject({ ok: false, kind: 'unreachable' })
  })
})
