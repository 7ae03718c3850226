// One part of the node is killed with -9, or its API server is cut off, at a random instant of a pod's life, again and again:
// after each round every pod is in the phase it should be in, no container has run beside itself or once too often, and
// nothing is left on the host.
// FAULT_ROUNDS sets the rounds of each fault (default 1; 50 is the real thing), FAULT_SEED the first seed, FAULT_ONLY one
// fault by name, FAULT_SECONDS after how long no further round of it is begun. What fails says its seed, and each of several
// rounds says what it took, so that a run can be gone on with from any seed.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { namespaces } from '../../src/api/core/namespace.ts'
import { serviceAccounts } from '../../src/api/core/service-account.ts'
import { type Pod, pods } from '../../src/api/core/pod.ts'
import type { Client } from '../../src/client/client.ts'
import { instanceOf } from '../../src/host/instance.ts'
import { type SeededRandom, seededRandom } from '../../src/sim/seeded-random.ts'
import { clientOf, serverOf } from '../cli/client.ts'
import { type TestCluster, testCluster } from '../cli/cox.ts'
import { busyboxArchive } from '../images/busybox.ts'
import { isReady } from '../kubectl/cluster.ts'
import { able } from '../kubectl/binary.ts'
import { commandOf, kill, podLeftovers, processes } from './host-view.ts'
import { type Relay, relay } from './relay.ts'

const rounds = Number(process.env['FAULT_ROUNDS'] ?? 1)
const firstSeed = Number(process.env['FAULT_SEED'] ?? 1)
const only = process.env['FAULT_ONLY']
const budgetMs = Number(process.env['FAULT_SECONDS'] ?? Number.POSITIVE_INFINITY) * 1000
const patienceMs = 150_000

const faults = ['cox', 'containerd', 'shim', 'pause', 'client', 'connection', 'agent'] as const
/** Those of a node that has its API server elsewhere. */
const apartFaults: readonly string[] = ['connection', 'agent']
type Fault = (typeof faults)[number]
const moments = ['start', 'exec', 'probe', 'delete'] as const

const later = (ms: number) => new Promise<void>((done) => setTimeout(done, ms))
async function until(what: string, check: () => Promise<string | undefined>): Promise<void> {
  const endMs = Date.now() + patienceMs
  for (;;) {
    const missing = await check()
    if (missing === undefined) return
    if (Date.now() > endMs) throw new Error(`${what}: ${missing}`)
    await later(100)
  }
}

describe.runIf(able).each([
  ['a node with its server', faults.filter((fault) => !apartFaults.includes(fault))],
  ['an agent apart from its server', faults.filter((fault) => apartFaults.includes(fault))],
] as const)('rounds of faults: %s', (_, own) => {
  const wanted = own.filter((fault) => only === undefined || only === fault)
  const apart = own.some((fault) => apartFaults.includes(fault))
  /** Holds the node. */
  let cluster: TestCluster
  /** Holds the API server; the same where they are not apart. */
  let control: TestCluster
  let link: Relay | undefined
  let client: Client
  let guard: string
  const run = async (where: TestCluster, ...args: readonly string[]) => {
    const { code, stdout, stderr } = await where.run(args)
    if (code !== 0) throw new Error(stderr)
    return stdout.trim()
  }
  const up = async () => {
    if (apart) await upApart()
    else await run(cluster, 'up', '--detach', '--yes', '--listen', '127.0.0.1:0')
    client = clientOf(control.dataDir)
  }
  /** The server says that it is reached where the relay listens. */
  const upApart = async () => {
    const [host, seen] = ['127.0.0.2', '127.0.0.1']
    await run(control, 'server', '--detach', '--listen', `${host}:0`, '--advertise-address', seen)
    const port = Number(new URL(serverOf(control.dataDir).url).port)
    link = await relay({ host: seen, port }, { host, port })
    const token = await run(control, 'token', 'create')
    await run(cluster, 'agent', '--detach', '--yes', '--server', `https://${seen}:${port}`, '--token', token)
  }
  beforeAll(async () => {
    if (wanted.length === 0) return
    cluster = testCluster('rounds')
    control = apart ? testCluster('rounds-server') : cluster
    guard = join(cluster.dataDir, 'guard')
    await up()
    mkdirSync(guard)
    const archive = join(cluster.dataDir, 'busybox.tar')
    writeFileSync(archive, await busyboxArchive())
    await cluster.run(['image', 'load', archive])
    await until('the default service account', async () =>
      (await client.resource(serviceAccounts).find('default', 'default')) === undefined ? 'is missing' : undefined,
    )
  })
  afterAll(async () => {
    await cluster?.remove()
    if (control !== cluster) await control?.remove()
    await link?.close()
  })

  /** Takes away what a failed round has left. */
  async function none(): Promise<void> {
    for (const { metadata } of (await client.resource(pods).list({ namespace: 'default' })).items)
      await client.resource(pods).delete(metadata.name, 'default', { gracePeriodSeconds: 1 })
    await until('pods of the last round', async () => {
      const { items } = await client.resource(pods).list({ namespace: 'default' })
      return items.length === 0 ? undefined : items.map(said).join('; ')
    })
  }
  /** Ends one part of the node, and starts again what nobody else starts. */
  const strike: Readonly<Record<Fault, (random: SeededRandom) => Promise<void>>> = {
    async cox() {
      kill([coxOf(cluster.dataDir)])
      await up()
    },
    async containerd() {
      kill(processes((command) => command.startsWith('containerd --config') && command.includes(cluster.dataDir)))
    },
    async shim(random) {
      const shims = processes((c) => c.includes('containerd-shim') && c.includes(`${cluster.dataDir}/`))
      kill(shims.length === 0 ? [] : [shims[random.below(shims.length)] ?? 0])
    },
    async pause(random) {
      const root = instanceOf(cluster.dataDir).cgroupRoot
      const all = processes((c) => c.trim() === '/pause').filter((pid) => cgroupOf(pid).includes(`${root}/`))
      kill(all.length === 0 ? [] : [all[random.below(all.length)] ?? 0])
    },
    async client() {
      kill(processes((c) => c.includes('cox.js exec faulty-') && !c.includes('--detach')))
    },
    async connection(random) {
      if (random.below(2) === 0) await link?.cut()
      else link?.silence()
      await later(random.below(6_000))
      await link?.mend()
    },
    /** It starts again while its server is out of reach. */
    async agent(random) {
      await link?.cut()
      kill([coxOf(cluster.dataDir)])
      const back = run(cluster, 'agent', '--detach', '--yes')
      await later(random.below(6_000))
      await link?.mend()
      await back
    },
  }

  async function round(fault: Fault, seed: number): Promise<string> {
    const random = seededRandom(seed)
    const moment = moments[random.below(moments.length)] ?? 'start'
    const delayMs = random.below(moment === 'start' ? 900 : 500)
    const place = `seed ${seed}: ${fault} at ${moment} after ${delayMs} ms`
    rmSync(guard, { recursive: true })
    mkdirSync(guard)
    const names = { server: `faulty-server-${seed}`, job: `faulty-job-${seed}`, flaky: `faulty-flaky-${seed}` }
    const resource = client.resource(pods)
    for (const manifest of [server(names.server, guard), job(names.job, guard), flaky(names.flaky, guard)])
      await resource.create(manifest as never)
    const look = async (name: string) => client.resource(pods).find(name, 'default')
    const ready = () =>
      until(place, async () => {
        const pod = await look(names.server)
        return pod !== undefined && isReady(pod) ? undefined : `the server is not ready: ${said(pod)}`
      })
    if (moment !== 'start') await ready()
    const exec =
      moment === 'exec' || fault === 'client'
        ? control.run(['exec', names.server, '--', 'sh', '-c', 'sleep 1; echo fine'])
        : undefined
    if (moment === 'delete')
      for (const name of Object.values(names)) await resource.delete(name, 'default', { gracePeriodSeconds: 2 })
    await later(delayMs)
    await strike[fault](random)
    if (exec !== undefined) await exec
    if (moment !== 'delete') {
      await ready()
      await until(place, async () => wrongJob(await look(names.job), fault))
      await until(place, async () => {
        const pod = await look(names.flaky)
        return pod?.status.phase === 'Succeeded' ? undefined : `the flaky one has not succeeded: ${said(pod)}`
      })
      for (const name of Object.values(names)) await client.resource(pods).delete(name, 'default')
    }
    await until(place, async () => {
      const { items: left } = await client.resource(pods).list({ namespace: 'default' })
      return left.length === 0 ? undefined : `not deleted: ${left.map(said).join('; ')}`
    })
    expect(readText(join(guard, 'twice')), `${place}: ran beside itself`).toBe('')
    const starts = readText(join(guard, 'starts')).split('\n')
    expect(starts.filter((line) => line === names.job).length, `${place}: starts of a job that runs once`).toBeLessThan(
      2,
    )
    await until(place, async () => {
      const left = await podLeftovers(cluster.dataDir)
      return left.length === 0 ? undefined : `left on the host: ${left.join(', ')}`
    })
    return moment
  }

  for (const fault of own)
    it.runIf(wanted.includes(fault))(
      `${fault}: ${rounds} rounds`,
      async () => {
        await none()
        const beganMs = Date.now()
        for (let i = 0; i < rounds && Date.now() - beganMs < budgetMs; i++) {
          const roundMs = Date.now()
          const seed = firstSeed + i + faults.indexOf(fault) * 1000
          const moment = await round(fault, seed).catch((error: unknown) => {
            throw new Error(`${String(error)}\n${told(cluster.dataDir, seed)}`, { cause: error })
          })
          if (rounds > 1) console.log(`${fault} FAULT_SEED=${firstSeed + i} ${moment}: ${Date.now() - roundMs} ms`)
        }
        expect((await client.resource(namespaces).list()).items.length).toBeGreaterThan(3)
      },
      rounds * patienceMs * 3,
    )
})

const readText = (path: string): string => {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return ''
    throw error
  }
}
/** What the node wrote of the pods of a round; its log goes with the cluster. */
const told = (dataDir: string, seed: number): string =>
  readText(join(dataDir, 'cox.log'))
    .split('\n')
    .filter((line) => line.includes(`-${seed}`))
    .slice(-60)
    .join('\n')
const cgroupOf = (pid: number): string => readText(`/proc/${pid}/cgroup`)
function coxOf(dataDir: string): number {
  const { pid } = JSON.parse(readFileSync(join(dataDir, 'cox.json'), 'utf8')) as { pid: number }
  if (!commandOf(pid).includes('cox.js')) throw new Error(`process ${pid} is no cox`)
  return pid
}
const said = (pod: Pod | undefined): string =>
  pod === undefined ? 'gone' : `${pod.metadata.name} ${JSON.stringify(pod.status.containerStatuses ?? pod.status)}`
/** A job is not run again. One whose container was killed has failed, and so has one whose start was cut off with the
 * call that asked for it, or whose end nobody was there to see. */
function wrongJob(pod: Pod | undefined, fault: Fault): string | undefined {
  const { phase, containerStatuses } = pod?.status ?? {}
  if (phase === 'Succeeded') return undefined
  const cutOff = containerStatuses?.[0]?.state?.terminated?.reason === 'StartError'
  const mayFail = fault === 'cox' || fault === 'agent' ? cutOff : fault !== 'client' && fault !== 'connection'
  return phase === 'Failed' && mayFail ? undefined : `the job has not ended as it should: ${said(pod)}`
}

/** A pod whose container notes its start, and whether the run before it lives yet: it sees the host's processes. */
const guarded = (name: string, guard: string, restartPolicy: string, body: string, more: object = {}): object => ({
  metadata: { name, namespace: 'default' },
  spec: {
    restartPolicy,
    hostPID: true,
    terminationGracePeriodSeconds: 2,
    volumes: [
      { name: 'guard', hostPath: { path: guard } },
      { name: 'own', emptyDir: {} },
    ],
    containers: [
      {
        name: 'c',
        image: 'busybox',
        imagePullPolicy: 'IfNotPresent',
        command: [
          'sh',
          '-c',
          `old=$(cat /guard/${name}.pid 2>/dev/null); grep -qs ${name} /proc/\${old:-none}/cmdline && echo ${name} >>/guard/twice
           echo $$ >/guard/${name}.pid; echo ${name} >>/guard/starts; ${body}`,
        ],
        volumeMounts: [
          { name: 'guard', mountPath: '/guard' },
          { name: 'own', mountPath: '/own' },
        ],
        ...more,
      },
    ],
  },
})
const probe = {
  exec: { command: ['sh', '-c', 'sleep 0.2'] },
  periodSeconds: 1,
  timeoutSeconds: 20,
  failureThreshold: 5,
}
const server = (name: string, guard: string) =>
  guarded(name, guard, 'Always', 'trap "exit 0" TERM; sleep 100000 & wait', {
    readinessProbe: probe,
    livenessProbe: probe,
  })
const job = (name: string, guard: string) => guarded(name, guard, 'Never', 'sleep 1')
const flaky = (name: string, guard: string) =>
  guarded(name, guard, 'OnFailure', '[ -e /own/seen ] || { : >/own/seen; exit 3; }')
