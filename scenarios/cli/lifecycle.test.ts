// The life of a cluster on the machine: up, a pod, killed and adopted, kept and taken over, gone without a trace.
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { leftovers } from '../../src/host/cleanup.ts'
import { cniFolders } from '../../src/host/cni/cni-config.ts'
import { shimsOf } from '../../src/host/containerd/containerd.ts'
import { findProcesses } from '../../src/host/containerd/processes.ts'
import { instanceOf } from '../../src/host/instance.ts'
import { busyboxArchive } from '../images/busybox.ts'
import { type TestCluster, testCluster } from './cox.ts'

interface PodList {
  readonly items: readonly {
    readonly metadata: { readonly name: string }
    readonly status: {
      readonly phase: string
      readonly podIP?: string
      readonly containerStatuses?: readonly {
        readonly containerID: string
        readonly ready: boolean
        readonly restartCount: number
      }[]
    }
  }[]
}
const manifest = (name: string) => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: busybox
    imagePullPolicy: IfNotPresent
    command: [sh, -c, "echo started; exec sleep 100000"]
`
const ok = async (cluster: TestCluster, ...args: string[]): Promise<string> => {
  const { code, stdout, stderr } = await cluster.run(args)
  expect(stderr.split('\n').filter((line) => /error/i.test(line))).toEqual([])
  expect(code).toBe(0)
  return stdout
}
const podsOf = async (cluster: TestCluster): Promise<PodList['items']> =>
  (JSON.parse(await ok(cluster, 'get', 'pods', '-o', 'json')) as PodList).items
const idsOf = async (cluster: TestCluster) =>
  (await podsOf(cluster)).flatMap((pod) => pod.status.containerStatuses?.map((one) => one.containerID) ?? [])
async function runPod(cluster: TestCluster, name: string): Promise<void> {
  const file = join(cluster.dataDir, `${name}.yaml`)
  writeFileSync(file, manifest(name))
  await ok(cluster, 'apply', '-f', file)
  await expect
    .poll(
      async () =>
        (await podsOf(cluster)).find((pod) => pod.metadata.name === name)?.status.containerStatuses?.[0]?.ready,
      {
        timeout: 60_000,
      },
    )
    .toBe(true)
}

/** Everything of a cluster that is on the machine besides its files. */
function traces({ dataDir }: TestCluster): string[] {
  const instance = instanceOf(dataDir)
  const tables = execFileSync('nft', ['list', 'tables'], { encoding: 'utf8' }).split('\n')
  const own = [instance.serviceTable, instance.podTable].map((name) => `table inet ${name}`)
  return [
    ...leftovers(instance),
    ...tables.filter((line) => own.includes(line.trim())),
    ...findProcesses((args) => args.some((word) => word.includes(dataDir))).map((pid) => `process ${pid}`),
  ]
}

let archive: Uint8Array
const first = testCluster('life')
const second = testCluster('beside')
beforeAll(async () => {
  archive = await busyboxArchive()
})
afterAll(async () => {
  await first.remove()
  await second.remove()
})
const loadBusybox = async (cluster: TestCluster) => {
  const { code, stdout } = await cluster.run(['image', 'load', '-'], { input: archive })
  expect([code, stdout]).toEqual([0, expect.stringContaining('loaded docker.io/library/busybox:latest\n')])
}

describe('a cluster', () => {
  test('up --detach returns when API and node are ready', async () => {
    const { code, stdout } = await first.run(['up', '--detach'])
    expect(code).toBe(0)
    expect(stdout).toContain('the cluster is ready: https://127.0.0.1:')
    const status = await ok(first, 'status')
    expect(status).toMatch(/api +https:.* ready/)
    expect(status).toMatch(/node \S+ +Ready/)
    expect(await ok(first, 'kubeconfig')).toContain('current-context: coxswain')
  })
  test('a pod runs, is looked at, and answers', async () => {
    await loadBusybox(first)
    expect(await ok(first, 'image', 'ls')).toMatch(/docker\.io\/library\/busybox:latest +[0-9a-f]{12} +\d/)
    await runPod(first, 'demo')
    expect(await ok(first, 'get', 'pods')).toMatch(/demo +1\/1 +Running/)
    expect(await ok(first, 'logs', 'demo')).toBe('started\n')
    expect(await ok(first, 'describe', 'pod', 'demo')).toContain('Started')
    const exec = await first.run(['exec', '-i', 'demo', '--', 'sh', '-c', 'cat; exit 7'], { input: 'through stdin' })
    expect([exec.code, exec.stdout]).toEqual([7, 'through stdin'])
  })
  test('killed and started again, it has the same containers', async () => {
    const before = await idsOf(first)
    const shims = shimsOf(instanceOf(first.dataDir))
    await first.kill()
    expect(shimsOf(instanceOf(first.dataDir))).toEqual(shims)
    await ok(first, 'up', '-d')
    expect(await idsOf(first)).toEqual(before)
    expect((await podsOf(first)).map((pod) => pod.status.containerStatuses?.[0]?.restartCount)).toEqual([0])
  })
  test('down --keep-pods leaves the pods running for the next up', async () => {
    const before = await idsOf(first)
    expect(await ok(first, 'down', '--keep-pods')).toContain('its pods run on')
    expect(shimsOf(instanceOf(first.dataDir))).toHaveLength(1)
    await ok(first, 'up', '-d')
    expect(await idsOf(first)).toEqual(before)
  })
  test('another one beside it is another world', async () => {
    await ok(second, 'up', '-d')
    expect(await podsOf(second)).toEqual([])
    await loadBusybox(second)
    await runPod(second, 'other')
    const [here, there] = [await podsOf(first), await podsOf(second)]
    expect(here.map((pod) => pod.metadata.name)).toEqual(['demo'])
    expect(here[0]?.status.podIP?.split('.')[1]).not.toBe(there[0]?.status.podIP?.split('.')[1])
    // Ending one does not touch the other.
    await ok(second, 'down')
    expect(traces(second)).toEqual([])
    const exec = await first.run(['exec', 'demo', '--', 'hostname'])
    expect(exec.stdout).toBe('demo\n')
  })
  test('down leaves nothing on the machine, and up brings the objects back', async () => {
    expect(await ok(first, 'down')).toContain('the cluster has ended')
    expect(traces(first)).toEqual([])
    await ok(first, 'up', '-d')
    expect((await podsOf(first)).map((pod) => pod.metadata.name)).toEqual(['demo'])
    await expect
      .poll(async () => (await podsOf(first))[0]?.status.containerStatuses?.[0]?.ready, { timeout: 60_000 })
      .toBe(true)
  })
  test('down after a kill takes away everything too', async () => {
    await first.kill()
    expect(traces(first)).not.toEqual([])
    await ok(first, 'down')
    expect(traces(first)).toEqual([])
  })
  test('a network that cannot be taken away is told, and holds up nothing else', async () => {
    await ok(second, 'up', '-d')
    // Killed in the middle of the pod's start, the runtime itself would take it away.
    await expect.poll(() => ok(second, 'get', 'pods'), { timeout: 60_000 }).toMatch(/other +1\/1 +Running/)
    await second.kill()
    const { confDir } = cniFolders(instanceOf(second.dataDir))
    for (const name of readdirSync(confDir)) {
      const path = join(confDir, name)
      writeFileSync(path, readFileSync(path, 'utf8').replace('"bandwidth"', '"no-such-plugin"'))
    }
    const { code, stderr } = await second.run(['down'])
    expect(stderr).toMatch(/ending without the runtime, which refuses: pod default\/other: .*no-such-plugin/)
    expect([code, traces(second)]).toEqual([0, []])
  })
  test('Ctrl-C ends a cluster in the foreground, pods included', async () => {
    const server = first.start(['up'])
    await new Promise<void>((ready) => {
      server.stdout?.on('data', (chunk: Buffer) => {
        if (chunk.toString().includes('the cluster is ready')) ready()
      })
    })
    await expect.poll(() => shimsOf(instanceOf(first.dataDir)).length, { timeout: 60_000 }).toBe(1)
    server.kill('SIGINT')
    expect((await server.done).code).toBe(0)
    expect(traces(first)).toEqual([])
  })
})
