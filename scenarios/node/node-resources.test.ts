// What a node gives and what it keeps: CPUs and memory of one's own, devices of a plugin over its real socket, a disk that fills
// up, on a small file system of its own, and memory and process ids that run short. The node's settings come from a
// KubeletConfiguration file.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { configMaps } from '../../src/api/core/config-map.ts'
import { nodes } from '../../src/api/core/node.ts'
import { events } from '../../src/api/core/event.ts'
import { type Pod, pods } from '../../src/api/core/pod.ts'
import { serviceAccounts } from '../../src/api/core/service-account.ts'
import { ApiError } from '../../src/api/machinery/errors.ts'
import { quantityNumber } from '../../src/api/machinery/quantity.ts'
import type { Client } from '../../src/client/client.ts'
import { devicePluginApi } from '../../src/host/device-plugins.ts'
import { podResourcesApi } from '../../src/host/pod-resources.ts'
import { createGrpcClient } from '../../src/host/wire/grpc.ts'
import { type GrpcServer, serveGrpc, serves } from '../../src/host/wire/grpc-server.ts'
import { clientOf } from '../cli/client.ts'
import { type TestCluster, testCluster } from '../cli/cox.ts'
import { busyboxArchive } from '../images/busybox.ts'
import { isReady } from '../kubectl/cluster.ts'
import { able } from '../kubectl/binary.ts'
import { kill, processes } from './host-view.ts'
import { podOf } from './pods.ts'

const config = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cpuManagerPolicy: static
kubeReserved: {cpu: "1", memory: 64Mi}
evictionPressureTransitionPeriod: 1s
imageMinimumGCAge: 1h
`
const diskThresholds = 'evictionHard: {nodefs.available: 40%, nodefs.inodesFree: 40%}\n'
const staticMemory = 'memoryManagerPolicy: Static\nreservedMemory: [{numaNode: 0, limits: {memory: 64Mi}}]\n'
const hugepages = '/sys/kernel/mm/hugepages'
const cores = execFileSync('nproc', { encoding: 'utf8' }).trim()

describe.runIf(able && Number(cores) > 1)('what a node has', () => {
  let cluster: TestCluster
  let client: Client
  let folder: string
  let plugin: GrpcServer | undefined
  /** Where static pods are found, and what is found there. */
  let urls: Server
  let manifest: string | undefined
  beforeAll(async () => {
    cluster = testCluster('small')
    folder = mkdtempSync(join(tmpdir(), 'cox-disk-'))
    const image = join(folder, 'disk')
    execFileSync('truncate', ['-s', '600M', image])
    execFileSync('mkfs.ext4', ['-q', '-N', '8000', image])
    execFileSync('mount', ['-o', 'loop', image, cluster.dataDir])
    urls = createServer((_, response) => {
      response.end(manifest ?? '')
    })
    await new Promise<void>((done) => urls.listen(0, '127.0.0.1', done))
    const { port } = urls.address() as AddressInfo
    await up(
      `${config}${diskThresholds}${staticMemory}staticPodURL: http://127.0.0.1:${port}/pods.yaml\nhttpCheckFrequency: 1s\n`,
    )
    const archive = join(folder, 'busybox.tar')
    writeFileSync(archive, await busyboxArchive())
    await cluster.run(['image', 'load', archive])
    const end = Date.now() + 60_000
    while ((await client.resource(serviceAccounts).find('default', 'default')) === undefined && Date.now() < end)
      await new Promise((done) => setTimeout(done, 100))
  })
  afterAll(async () => {
    await plugin?.close()
    urls.close()
    await cluster.run(['down'])
    execFileSync('umount', [cluster.dataDir])
    await cluster.remove()
    rmSync(folder, { recursive: true })
  })

  const up = async (settings: string) => {
    const file = join(folder, 'kubelet.yaml')
    writeFileSync(file, settings)
    const args = ['up', '--detach', '--yes', '--listen', '127.0.0.1:0', '--kubelet-config', file]
    const { code, stderr } = await cluster.run(args)
    if (code !== 0) throw new Error(stderr)
    client = clientOf(cluster.dataDir)
  }
  const run = async (name: string, line: string, container: object = {}, spec: object = {}) => {
    const c = {
      name: 'c',
      image: 'busybox',
      imagePullPolicy: 'IfNotPresent',
      command: ['sh', '-c', line],
      ...container,
    }
    const whole = { terminationGracePeriodSeconds: 0, restartPolicy: 'Never', containers: [c], ...spec }
    await client.resource(pods).create({ metadata: { name, namespace: 'default' }, spec: whole } as never)
  }
  const podIs = async (name: string, what: (pod: Pod) => unknown, expected: unknown = true) =>
    expect
      .poll(async () => what(await client.resource(pods).get(name, 'default')), { timeout: 120_000, interval: 200 })
      .toEqual(expected)
  const said = (pod: Pod) => pod.status.containerStatuses?.[0]?.state?.terminated?.message
  const says = (line: string) => `${line} >/dev/termination-log`
  const nodeIs = async (type: string, status: string) =>
    expect
      .poll(
        async () => {
          const [node] = (await client.resource(nodes).list()).items
          return node?.status.conditions?.find((c) => c.type === type)?.status
        },
        { timeout: 60_000, interval: 200 },
      )
      .toBe(status)

  it('gives a container whole CPUs and memory of its own, and the others what is left', async () => {
    const limits = { cpu: '1', memory: '20Mi' }
    const list = "grep Cpus_allowed_list /proc/self/status | tr -d '\\n' | cut -f2"
    await run('own', `${says(list)}; sleep 100000`, { resources: { limits } })
    await podIs('own', (p) => p.status.phase, 'Running')
    await run('sharing', says(list))
    await podIs('sharing', said, Number(cores) === 2 ? '0\n' : `0,2-${Number(cores) - 1}\n`)
    const { stdout } = await cluster.run(['exec', 'own', '--', 'cat', '/dev/termination-log'])
    expect(stdout).toBe('1\n')
    const resources = createGrpcClient(`unix://${join(cluster.dataDir, 'kubelet', 'pod-resources', 'kubelet.sock')}`)
    const { pods: told } = await resources.call(podResourcesApi.list, {})
    resources.close()
    expect(told.find((pod) => pod.name === 'own')?.containers).toEqual([
      {
        name: 'c',
        devices: [],
        cpuIds: [1],
        memory: [{ memoryType: 'memory', size: 20 * 2 ** 20, topology: { nodes: [{ id: 0 }] } }],
        claims: [],
      },
    ])
    await client.resource(pods).delete('own', 'default')
  })

  it('has the huge pages of its machine, and refuses what it has not', async () => {
    const { status } = (await client.resource(nodes).list()).items[0] ?? {}
    const sizes = existsSync(hugepages) ? readdirSync(hugepages) : []
    const allOf = (size: string) => {
      const kib = Number(/(\d+)kB$/.exec(size)?.[1])
      const bytes = kib * 1024 * Number(readFileSync(join(hugepages, size, 'nr_hugepages'), 'utf8'))
      return [kib === 2048 ? '2Mi' : '1Gi', bytes] as const
    }
    const machine = new Map([['2Mi', 0] as const, ...sizes.filter((s) => /-(2048|1048576)kB$/.test(s)).map(allOf)])
    for (const [size, bytes] of machine)
      expect(quantityNumber(status?.capacity?.[`hugepages-${size}`] ?? '-1'), size).toBe(bytes)
    const more = `${(machine.get('2Mi') ?? 0) / 2 ** 20 + 2}Mi`
    const resources = { limits: { cpu: '10m', memory: '10Mi', 'hugepages-2Mi': more } }
    await run(
      'huge',
      'true',
      { resources },
      { nodeName: (await client.resource(nodes).list()).items[0]?.metadata.name },
    )
    await podIs('huge', (p) => [p.status.phase, p.status.reason], ['Failed', 'OutOfhugepages-2Mi'])
    await client.resource(pods).delete('huge', 'default')
  })

  it('runs a pod whose manifest a URL has, as long as it has it', async () => {
    const name = `linked-${(await client.resource(nodes).list()).items[0]?.metadata.name ?? ''}`
    manifest = podOf('linked', { c: '' })
    const found = async () => (await client.resource(pods).find(name, 'default'))?.status.phase
    await expect.poll(found, { timeout: 120_000 }).toBe('Running')
    manifest = '{kind: PodList, apiVersion: v1, items: []}'
    await expect.poll(found, { timeout: 120_000 }).toBeUndefined()
  })

  it('gives a container devices of a plugin', async () => {
    const directory = join(cluster.dataDir, 'kubelet', 'device-plugins')
    const resourceName = 'vendor.example/thing'
    let leave = () => {}
    plugin = await serveGrpc(
      join(directory, 'thing.sock'),
      new Map([
        serves(devicePluginApi.listAndWatch, async function* (_, signal) {
          yield { devices: [{ id: 'a', health: 'Healthy' }] }
          await new Promise<void>((done) => {
            leave = done
            signal.addEventListener('abort', () => done())
          })
        }),
        serves(devicePluginApi.allocate, () =>
          Promise.resolve({
            containers: [
              {
                devices: [{ containerPath: '/dev/thing', hostPath: '/dev/null', permissions: 'rw' }],
                env: { THING: 'a' },
              },
            ],
          }),
        ),
      ]),
    )
    const kubelet = createGrpcClient(`unix://${join(directory, 'kubelet.sock')}`)
    await kubelet.call(devicePluginApi.register, { version: 'v1beta1', endpoint: 'thing.sock', resourceName })
    kubelet.close()
    const allocatable = async () => (await client.resource(nodes).list()).items[0]?.status.allocatable?.[resourceName]
    await expect.poll(allocatable, { timeout: 60_000 }).toBe('1')
    await run('with-thing', says('test -c /dev/thing && echo $THING'), {
      resources: { limits: { [resourceName]: '1' } },
    })
    await podIs('with-thing', said, 'a\n')
    leave()
    await expect.poll(allocatable, { timeout: 60_000 }).toBe('0')
  })

  it.each([
    ['disk', 'dd if=/dev/zero of=/data/big bs=1M count=400', 'ephemeral-storage'],
    ['inodes', 'i=0; while [ $i -lt 6000 ]; do : >/data/$i; i=$((i+1)); done', 'inodes'],
  ])('throws out the pod that fills its %s, and says so', async (name, line, resource) => {
    const volumes = [{ name: 'data', emptyDir: {} }]
    const mounted = { volumeMounts: [{ name: 'data', mountPath: '/data' }] }
    await run(`modest-${name}`, 'sleep 100000')
    await run(`greedy-${name}`, `${line}; sleep 100000`, mounted, { volumes })
    await podIs(`greedy-${name}`, (p) => p.status.reason, 'Evicted')
    const greedy = await client.resource(pods).get(`greedy-${name}`, 'default')
    expect(greedy.status.phase).toBe('Failed')
    expect(greedy.status.message).toMatch(new RegExp(`^The node was low on resource: ${resource}\\. `))
    await nodeIs('DiskPressure', 'False')
    expect((await client.resource(pods).get(`modest-${name}`, 'default')).status.phase).toBe('Running')
  })

  it('starts a container again that ended while the disk was full to its last block, when there is room', async () => {
    const line = 'trap exit TERM; : steadfast; sleep 100000 & wait'
    const steadfast = () => processes((command) => command.includes(': steadfast;'))
    // Those of the system are not thrown out.
    await run('steadfast', line, {}, { priorityClassName: 'system-node-critical', restartPolicy: 'Always' })
    await podIs('steadfast', isReady)
    const filler = join(cluster.dataDir, 'filler')
    const write = async () => {
      try {
        await client.resource(configMaps).create({ metadata: { generateName: 'w-', namespace: 'default' }, data: {} })
        return 'written'
      } catch (error) {
        return error instanceof ApiError ? error.message : error
      }
    }
    // Whoever makes room for pods gets it: it is filled again until nothing is left for a write.
    const fill = async () => {
      spawnSync('dd', ['if=/dev/zero', `of=${filler}`, 'bs=64k', 'oflag=append', 'conv=notrunc'])
      return write()
    }
    await expect.poll(fill, { timeout: 60_000 }).toContain('no space left on device')
    kill(steadfast())
    for (let refused = 0; refused < 20; ) if (String(await fill()).includes('no space left on device')) refused++
    rmSync(filler)
    await expect.poll(write, { timeout: 60_000 }).toBe('written')
    await podIs('steadfast', (p) => isReady(p) && (p.status.containerStatuses?.[0]?.restartCount ?? 0) > 0)
    expect(steadfast()).toHaveLength(1)
    await nodeIs('DiskPressure', 'False')
    await nodeIs('Ready', 'True')
    await run('afterwards', says('echo fine'))
    await podIs('afterwards', said, 'fine\n')
  })

  const nodeSays = async (type: string) => {
    const [node] = (await client.resource(nodes).list()).items
    const { status, reason } = node?.status.conditions?.find((c) => c.type === type) ?? {}
    return [status, reason, ...(node?.spec.taints ?? []).map((t) => `${t.key}:${t.effect}`)]
  }
  /** When a pod was thrown out; undefined while it runs. */
  const evictedAt = ({ status }: Pod) =>
    status.conditions?.find((c) => c.type === 'DisruptionTarget' && c.status === 'True')?.lastTransitionTime
  // Thresholds that no machine keeps: what else runs on it does not matter, and whoever is left out goes in its turn.
  it.each([
    [
      'memory',
      'memory.available',
      'Memory',
      'dd if=/dev/zero of=/big/zeros bs=1M count=60; ',
      /Container c was using \S+, request is 1Mi, has larger consumption of memory\. /,
    ],
    [
      'pids',
      'pid.available',
      'PID',
      'i=0; while [ $i -lt 20 ]; do sleep 100000 & i=$((i+1)); done; ',
      /available: \d+\. $/,
    ],
  ] as const)(
    'throws out the pod that has most of what is short of %s first',
    async (resource, signal, type, line, told) => {
      const condition = `${type}Pressure`
      const taint = `node.kubernetes.io/${type.toLowerCase()}-pressure:NoSchedule`
      const big = { name: 'big', emptyDir: { medium: 'Memory' } }
      const mine = { volumeMounts: [{ name: 'big', mountPath: '/big' }], resources: { requests: { memory: '1Mi' } } }
      await run(`greedy-${resource}`, `${line}exec sleep 100000`, mine, { volumes: [big] })
      await run(`modest-${resource}`, 'exec sleep 100000')
      await run(`needed-${resource}`, 'exec sleep 100000', {}, { priorityClassName: 'system-node-critical' })
      for (const name of ['greedy', 'modest', 'needed'])
        await podIs(`${name}-${resource}`, (p) => p.status.phase, 'Running')
      await cluster.kill()
      await up(`${config}evictionHard: {${signal}: 100%}\n`)
      const enough = type === 'PID' ? 'KubeletHasSufficientPID' : 'KubeletHasSufficientMemory'
      await expect
        .poll(() => nodeSays(condition), { timeout: 120_000 })
        .toEqual(['True', enough.replace('Sufficient', 'Insufficient'), taint])
      await podIs(`greedy-${resource}`, (p) => [p.status.phase, p.status.reason], ['Failed', 'Evicted'])
      const greedy = await client.resource(pods).get(`greedy-${resource}`, 'default')
      const modest = await client.resource(pods).get(`modest-${resource}`, 'default')
      const message = new RegExp(`^The node was low on resource: ${resource}\\. Threshold quantity: \\S+, available: `)
      expect(greedy.status.message).toMatch(message)
      expect(greedy.status.message).toMatch(told)
      expect((evictedAt(modest) ?? 'later') > (evictedAt(greedy) ?? '')).toBe(true)
      const [evicted] = (await client.resource(events).list()).items.filter(
        (e) => e.involvedObject.name === greedy.metadata.name && e.reason === 'Evicted',
      )
      expect(evicted).toMatchObject({ type: 'Warning', message: greedy.status.message })
      await cluster.kill()
      await up(config)
      await expect.poll(() => nodeSays(condition), { timeout: 120_000 }).toEqual(['False', enough])
      expect((await client.resource(pods).get(`needed-${resource}`, 'default')).status.phase).toBe('Running')
      for (const name of ['greedy', 'modest', 'needed'])
        await client.resource(pods).delete(`${name}-${resource}`, 'default')
    },
  )
})
