// What a node notices how soon, and what it costs, on a cluster that runs: node bench/run.mjs node DATA_DIR WORK...
//   exits [N]            from the end of a container's process to the API's word of it
//   deletions [N]        from the end of a deleted pod's last process to the pod's leaving the API
//   idle [PODS] [S]      processor time of cox with so many pods that do nothing
//   logs [CLIENTS] [S]   10,000 lines a second, followed by many: what it costs, and whether a line is lost
//   cp [MIB]             a file into a pod and out again through kubectl, and cox's memory meanwhile
//   execs [N]            so many exec sessions open at once, each with its own words and exit code
// Images: busybox, loaded before. What it makes stands in a namespace of its own, which goes at the end.
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { namespaces } from '../src/api/core/namespace.ts'
import { serviceAccounts } from '../src/api/core/service-account.ts'
import { type Pod, pods } from '../src/api/core/pod.ts'
import { createCriRuntime } from '../src/host/cri/runtime.ts'
import { instanceOf } from '../src/host/instance.ts'
import { silentLog } from '../src/ports/log.ts'
import { openSession, spdyUpgradeHeaders } from '../src/host/streaming/client.ts'
import { clientOf, transportOf } from '../scenarios/cli/client.ts'

const [dataDir = '', work = '', ...rest] = process.argv.slice(2)
const numbers = rest.map(Number)
const namespace = `node-bench-${process.pid}`
const client = clientOf(dataDir)
const resource = client.resource(pods)
const print = (text: string) => process.stdout.write(`${text}\n`)
const later = (ms: number) => new Promise<void>((done) => setTimeout(done, ms))
const cox = (JSON.parse(readFileSync(join(dataDir, 'cox.json'), 'utf8')) as { pid: number }).pid

/** Processor time of a process so far. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) * 10
}
const rssMiB = (pid: number): number => Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) / 256
/** The most memory that cox had until it is asked. */
function watchMemory(): () => { readonly before: number; readonly peak: number } {
  const before = rssMiB(cox)
  let peak = before
  const timer = setInterval(() => (peak = Math.max(peak, rssMiB(cox))), 100)
  return () => {
    clearInterval(timer)
    return { before, peak }
  }
}
function spread(name: string, ms: readonly number[]): void {
  const sorted = ms.toSorted((a, b) => a - b)
  const at = (part: number) => (sorted[Math.floor((sorted.length - 1) * part)] ?? 0).toFixed(0)
  print(`${name}: p50 ${at(0.5)} ms, p90 ${at(0.9)} ms, most ${at(1)} ms (${sorted.length} times)`)
}

const podOf = (name: string, command: string, more: object = {}) => ({
  metadata: { name, namespace },
  spec: {
    restartPolicy: 'Never',
    terminationGracePeriodSeconds: 30,
    containers: [{ name: 'c', image: 'busybox', imagePullPolicy: 'IfNotPresent', command: ['sh', '-c', command] }],
    ...more,
  },
})
const create = (pod: object) => resource.create(pod as never)
/** What the API tells of pods, and whoever waits for something of it. */
const known = new Map<string, Pod>()
const waiting = new Set<() => void>()
async function follow(): Promise<void> {
  for await (const { type, object } of resource.watch({ namespace })) {
    if (type === 'DELETED') known.delete(object.metadata.name)
    else if (type !== 'BOOKMARK') known.set(object.metadata.name, object)
    for (const look of waiting) look()
  }
}
/** Resolves with the moment in which it was so. */
function when(check: () => boolean, what: string, ms = 300_000): Promise<number> {
  return new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer)
      waiting.delete(look)
    }
    const look = () => {
      if (!check()) return
      end()
      resolve(performance.now())
    }
    const timer = setTimeout(() => {
      end()
      reject(new Error(`not seen: ${what}`))
    }, ms)
    waiting.add(look)
    look()
  })
}
const isReady = (pod: Pod | undefined) =>
  pod?.status.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') === true
const ready = (name: string) => when(() => isReady(known.get(name)), `${name} ready`)
/** The process of the host whose command line has these words. */
function processOf(words: string): number {
  for (const name of readdirSync('/proc'))
    if (/^\d+$/.test(name) && commandOf(name).includes(words)) return Number(name)
  throw new Error(`no process "${words}"`)
}
function commandOf(pid: string | number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
  } catch {
    // Boundary: it ended while the list was read.
    return ''
  }
}
const lives = (pid: number) => commandOf(pid) !== ''
/** Looks every millisecond. */
async function ended(pid: number): Promise<number> {
  while (lives(pid)) await later(1)
  return performance.now()
}
/** The other process of a pod: its pause. */
function pauseOf(uid: string): number {
  for (const name of readdirSync('/proc'))
    if (/^\d+$/.test(name) && commandOf(name).trim() === '/pause' && cgroupOf(name).includes(uid)) return Number(name)
  throw new Error(`no pause of ${uid}`)
}
const cgroupOf = (pid: string) => readFileSync(`/proc/${pid}/cgroup`, 'utf8')

async function exits(count = 20): Promise<void> {
  const [took, shown]: [number[], number[]] = [[], []]
  const runtime = createCriRuntime({ address: `unix://${instanceOf(dataDir).containerdSocket}`, log: silentLog })
  /** When the runtime itself shows it. */
  const inRuntime = async (id: string) => {
    while ((await runtime.containerStatus(id))?.state === 'running') await later(2)
    return performance.now()
  }
  for (let i = 0; i < count; i++) {
    const name = `exit-${i}`
    await create(podOf(name, `trap 'exit 3' TERM; sleep 70000${i} & wait`))
    await ready(name)
    await later(500)
    const pid = processOf(`sleep 70000${i} & wait`)
    process.kill(pid, 'SIGTERM')
    const began = performance.now()
    const id = known.get(name)?.status.containerStatuses?.[0]?.containerID?.replace(/^.*:\/\//, '') ?? ''
    const inApi = when(() => known.get(name)?.status.phase === 'Failed', `${name} failed`)
    shown.push((await inRuntime(id)) - began)
    took.push((await inApi) - began)
    await resource.delete(name, namespace)
    await when(() => !known.has(name), `${name} gone`)
  }
  runtime.close()
  spread('an exit in the API', took)
  spread('the same in the runtime', shown)
}

async function deletions(count = 20): Promise<void> {
  const [last, own]: [number[], number[]] = [[], []]
  for (let i = 0; i < count; i++) {
    const name = `deletion-${i}`
    // The first process of a container does not end by TERM unless it says so.
    await create(podOf(name, `exec sleep 80000${i}`))
    await ready(name)
    await later(500)
    const pause = pauseOf(known.get(name)?.metadata.uid ?? '')
    const pid = processOf(`sleep 80000${i}`)
    await resource.delete(name, namespace)
    await later(300)
    process.kill(pid, 'SIGKILL')
    const began = performance.now()
    const pauseEnded = ended(pause)
    const gone = await when(() => !known.has(name), `${name} gone`)
    own.push(gone - began)
    last.push(Math.max(0, gone - (await pauseEnded)))
  }
  spread("a deletion in the API after the pod's last process (pause)", last)
  spread('the same after the last of its containers', own)
}

async function idle(count = 110, seconds = 60): Promise<void> {
  for (let i = 0; i < count; i += 10) {
    const names = Array.from({ length: Math.min(10, count - i) }, (_, k) => `idle-${i + k}`)
    await Promise.all(names.map((name) => create(podOf(name, 'exec sleep 1000000'))))
    await Promise.all(names.map(ready))
  }
  await later(10_000)
  const runtime = processOf(`containerd --config ${dataDir}`)
  const before = [cpuMs(cox), cpuMs(runtime)] as const
  await later(seconds * 1000)
  const share = (ms: number) => `${(ms / (seconds * 10)).toFixed(2)} %`
  print(
    `${count} idle pods, ${seconds} s: cox ${share(cpuMs(cox) - before[0])} of a core, containerd ${share(cpuMs(runtime) - before[1])}, ` +
      `${rssMiB(cox).toFixed(0)} MiB resident`,
  )
}

/** Emits what is due by the clock of the machine, in hundredths of a second: 100 lines each. */
const tenThousandLines = (seconds: number) => `
now() { read up _ </proc/uptime; echo \${up%.*}\${up#*.}; }
echo 'the log begins'; until [ -e /tmp/go ]; do sleep 0.1; done
start=$(now); i=0; all=${seconds * 10_000}
while [ $i -lt $all ]; do
  due=$(( ($(now) - start) * 100 )); [ $due -gt $all ] && due=$all
  [ $due -gt $i ] && awk -v a=$i -v b=$due 'BEGIN { while (a < b) print "a line of the log with the number " ++a }' && i=$due
  usleep 20000
done`
async function logs(clients = 50, seconds = 20): Promise<void> {
  const total = seconds * 10_000
  await create(podOf('logger', tenThousandLines(seconds)))
  await ready('logger')
  const path = `/api/v1/namespaces/${namespace}/pods/logger/log?follow=true`
  let first = 0
  const reading = Array.from({ length: clients }, async () => {
    const transport = transportOf(dataDir)
    const { stream, status } = await transport.send({ method: 'GET', path })
    if (stream?.kind !== 'bytes') throw new Error(`the log answered ${status}`)
    first++
    let [lines, bytes] = [0, 0]
    let tail = Buffer.alloc(0)
    for await (const chunk of stream.chunks) {
      if (bytes === 0) for (const look of waiting) look()
      bytes += chunk.length
      for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, at + 1)) lines++
      tail = Buffer.concat([tail.subarray(-100), chunk.subarray(-100)])
    }
    transport.close?.()
    return { lines, bytes, last: Number(/number (\d+)\n$/.exec(tail.toString())?.[1]) }
  })
  while (first < clients) await later(50)
  const memory = watchMemory()
  const before = cpuMs(cox)
  const began = performance.now()
  execFileSync('kubectl', kubectl('exec', 'logger', '--', 'touch', '/tmp/go'))
  const read = await Promise.all(reading)
  const took = (performance.now() - began) / 1000
  const { before: rss, peak } = memory()
  const expected = Array.from({ length: total }, (_, i) => `a line of the log with the number ${i + 1}\n`.length)
  const size = expected.reduce((sum, n) => sum + n, 'the log begins\n'.length)
  const short = read.filter(({ lines, bytes, last }) => lines !== total + 1 || bytes !== size || last !== total)
  print(
    `${total} lines in ${took.toFixed(1)} s to ${clients} clients: ${short.length} of them lost lines` +
      `${short.length === 0 ? '' : ` (${JSON.stringify(short[0])})`}; cox ${((cpuMs(cox) - before) / took / 10).toFixed(0)} % of a core, ` +
      `${rss.toFixed(0)} MiB before and ${peak.toFixed(0)} at most`,
  )
}

const kubectl = (...args: readonly string[]): string[] => [
  '--kubeconfig',
  join(dataDir, 'kubeconfig'),
  '-n',
  namespace,
  ...args,
]
async function cp(mebibytes = 1024): Promise<void> {
  const folder = mkdtempSync(join(os.tmpdir(), 'cox-bench-cp-'))
  try {
    const [there, back] = [join(folder, 'there'), join(folder, 'back')]
    const block = randomBytes(1 << 20)
    const sum = createHash('sha256')
    const file = openSync(there, 'w')
    for (let i = 0; i < mebibytes; i++) {
      block.writeUInt32LE(i, 0)
      writeSync(file, block)
      sum.update(block)
    }
    closeSync(file)
    const wanted = sum.digest('hex')
    const container = {
      name: 'c',
      image: 'busybox',
      imagePullPolicy: 'IfNotPresent',
      command: ['sleep', '1000000'],
      volumeMounts: [{ name: 'own', mountPath: '/own' }],
    }
    await create(podOf('copied', '', { containers: [container], volumes: [{ name: 'own', emptyDir: {} }] }))
    await ready('copied')
    for (const [from, to] of [
      [there, 'copied:/own/file'],
      ['copied:/own/file', back],
    ] as const) {
      const memory = watchMemory()
      const before = cpuMs(cox)
      const began = performance.now()
      const { status, stderr } = await ran('kubectl', kubectl('cp', from, to))
      if (status !== 0) throw new Error(`kubectl cp: ${stderr}`)
      const seconds = (performance.now() - began) / 1000
      const { before: rss, peak } = memory()
      print(
        `${mebibytes} MiB ${to === back ? 'out of' : 'into'} a pod in ${seconds.toFixed(1)} s (${(mebibytes / seconds).toFixed(0)} MiB/s): ` +
          `cox ${((cpuMs(cox) - before) / 1000).toFixed(1)} s of processor time, ${rss.toFixed(0)} MiB before and ${peak.toFixed(0)} at most`,
      )
    }
    const got = spawnSync('sha256sum', [back], { encoding: 'utf8' }).stdout.split(' ')[0]
    print(got === wanted ? 'what came back is what went' : 'WHAT CAME BACK IS NOT WHAT WENT')
  } finally {
    rmSync(folder, { recursive: true })
  }
}
async function ran(file: string, args: readonly string[]): Promise<{ status: number | null; stderr: string }> {
  const { spawn } = await import('node:child_process')
  const child = spawn(file, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  return new Promise((resolve) => child.on('close', (status) => resolve({ status, stderr })))
}

async function execs(count = 300): Promise<void> {
  await create(podOf('execs', 'exec sleep 1000000'))
  await ready('execs')
  const memory = watchMemory()
  const before = cpuMs(cox)
  const began = performance.now()
  let open = 0
  let go = () => {}
  const all = new Promise<void>((done) => (go = done))
  const session = async (i: number): Promise<string | undefined> => {
    const transport = transportOf(dataDir)
    const query = new URLSearchParams({ stdin: 'true', stdout: 'true', stderr: 'true' })
    for (const word of ['sh', '-c', `echo up; read x; echo "$x" ${i}; exit ${i % 100}`]) query.append('command', word)
    const upgraded = await transport.upgrade?.({
      method: 'POST',
      path: `/api/v1/namespaces/${namespace}/pods/execs/exec?${query.toString()}`,
      headers: spdyUpgradeHeaders('v4.channel.k8s.io'),
    })
    if (upgraded?.ok !== true) return `session ${i} was not opened`
    const opened = await openSession(upgraded.stream, { stdin: true, stdout: true, stderr: true, tty: false })
    let said = ''
    for await (const chunk of opened.stdout ?? []) {
      if (said === '' && ++open === count) go()
      const first = said === ''
      said += new TextDecoder().decode(chunk)
      if (first) void all.then(() => opened.stdin?.write(Buffer.from(`word ${i}\n`)))
    }
    const { exitCode } = await opened.result
    transport.close?.()
    const wanted = `up\nword ${i} ${i}\n`
    return said === wanted && exitCode === i % 100
      ? undefined
      : `session ${i}: ${JSON.stringify(said)}, exit ${exitCode}`
  }
  const sessions = Array.from({ length: count }, (_, i) => session(i))
  void all.then(() => print(`${count} sessions open after ${((performance.now() - began) / 1000).toFixed(1)} s`))
  const wrong = (await Promise.all(sessions)).filter((text) => text !== undefined)
  const { before: rss, peak } = memory()
  print(
    `${count} exec sessions at once in ${((performance.now() - began) / 1000).toFixed(1)} s, ${wrong.length} wrong${wrong.length === 0 ? '' : ` (${wrong[0]})`}: ` +
      `cox ${(cpuMs(cox) - before).toFixed(0)} ms of processor time, ${rss.toFixed(0)} MiB before and ${peak.toFixed(0)} at most`,
  )
}

const works: Readonly<Record<string, (...args: number[]) => Promise<void>>> = {
  exits,
  deletions,
  idle,
  logs,
  cp,
  execs,
}
const chosen = works[work]
if (chosen === undefined) throw new Error(`say DATA_DIR and one of: ${Object.keys(works).join(', ')}`)
await client.resource(namespaces).create({ metadata: { name: namespace } } as never)
for (let tries = 0; (await client.resource(serviceAccounts).find('default', namespace)) === undefined; tries++) {
  if (tries > 100) throw new Error('no default service account')
  await later(100)
}
void follow()
try {
  await chosen(...numbers)
  print(
    `load average ${os
      .loadavg()
      .map((n) => n.toFixed(1))
      .join(' ')}`,
  )
} finally {
  // Not with the namespace: its pods would have their whole grace.
  for (const name of known.keys()) {
    await resource.delete(name, namespace, { gracePeriodSeconds: 0 })
    await when(() => !known.has(name), `${name} gone`)
  }
  await client.resource(namespaces).delete(namespace)
}
for (let tries = 0; tries < 600 && (await client.resource(namespaces).find(namespace)) !== undefined; tries++)
  await later(200)
process.exit(0)
