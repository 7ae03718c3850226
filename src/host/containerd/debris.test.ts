import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterAll, afterEach, beforeEach, expect, it } from 'vitest'
import { silentLog } from '../../ports/log.ts'
import { deleteLease, listLeases, listSandboxRecords } from '../cri/containerd-messages.ts'
import { mountsBelow } from '../mounts.ts'
import { createShell } from '../shell.ts'
import { type GrpcServer, serveGrpc, serves } from '../wire/grpc-server.ts'
import { type DebrisSweeper, sweepDebris } from './debris.ts'
import { argumentsOf, startOf } from './processes.ts'

const startedAtMs = Date.parse('2026-01-01T00:00:10Z')
let dataDir: string
let socket: string
let server: GrpcServer
let debris: DebrisSweeper
let deleted: string[]
/** How often containerd was asked. */
let looked: number
/** Beside "known", which says nothing of itself. */
let records: { readonly id: string; readonly spec?: object; readonly extensions?: readonly object[] }[]
const shell = createShell()
const shims: ChildProcess[] = []
afterAll(() => shell.close())

beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'cox-debris-'))
  socket = join(dataDir, 'c.sock')
  deleted = []
  records = []
  const at = (seconds: number) => ({ seconds: startedAtMs / 1000 + seconds, nanos: 500_000_000 })
  looked = 0
  const forget = serves(deleteLease, (request) => {
    deleted.push((request as { readonly id: string }).id)
    return Promise.resolve({})
  })
  server = await serveGrpc(
    socket,
    new Map([
      serves(listSandboxRecords, () => Promise.resolve({ containers: [{ id: 'known' }, ...records] })),
      serves(listLeases, () => {
        looked++
        return Promise.resolve({
          leases: [
            { id: 'old', createdAt: at(-1) },
            { id: 'in-use', createdAt: at(0) },
          ],
        })
      }),
      forget,
    ]),
  )
  debris = sweepDebris({
    instance: { dataDir, containerdSocket: socket },
    shell,
    log: silentLog,
    startedAtMs: () => startedAtMs,
    unnamedMs: 200,
    delaysMs: [100],
  })
})
afterEach(async () => {
  for (const shim of shims.splice(0)) shim.kill('SIGKILL')
  debris.close()
  await server.close()
  rmSync(dataDir, { recursive: true })
})

/** A process that looks like the shim of a container, until its input ends. */
async function shimOf(id: string, namespace = 'k8s.io'): Promise<ChildProcess> {
  const args = ['-c', 'read line', 'sh', '-namespace', namespace, '-id', id, '-address', socket]
  const shim = spawn('sh', args, { argv0: 'containerd-shim-runc-v2', stdio: ['pipe', 'ignore', 'ignore'] })
  shims.push(shim)
  await expect.poll(() => argumentsOf(shim.pid ?? 0)?.includes(socket)).toBe(true)
  return shim
}

it.runIf(process.platform === 'linux')('takes away what no record names, and nothing else', async () => {
  const bundles = join(dataDir, 'containerd', 'state', 'io.containerd.runtime.v2.task', 'k8s.io')
  for (const id of ['known', 'lost']) mkdirSync(join(bundles, id, 'rootfs'), { recursive: true })
  const [known, lost, foreign] = await Promise.all([shimOf('known'), shimOf('lost'), shimOf('lost', 'other')])
  const ended = new Promise((resolve) => lost.on('exit', (_, by) => resolve(by)))
  expect(await debris.sweep()).toEqual(['shim lost', 'bundle lost', 'lease old'])
  expect(await ended).toBe('SIGKILL')
  expect([known.exitCode, known.signalCode, foreign.exitCode, foreign.signalCode]).toEqual([null, null, null, null])
  expect(existsSync(join(bundles, 'known'))).toBe(true)
  expect(existsSync(join(bundles, 'lost'))).toBe(false)
  expect(deleted).toEqual(['old'])
})
it.runIf(process.platform === 'linux')('gives back what was half deleted when it looks again', async () => {
  const state = join(dataDir, 'containerd', 'state')
  const bundle = join(state, 'io.containerd.runtime.v2.task', 'k8s.io', 'known')
  mkdirSync(bundle, { recursive: true })
  for (const [name, text] of Object.entries({ runtime: 'crun', 'init.pid': '4711', 'config.json': '{}' }))
    writeFileSync(join(bundle, name), text)
  expect(await debris.sweep()).toEqual(['lease old'])
  expect(await debris.sweep()).toContain('half deleted container known')
  expect(existsSync(join(state, 'oci', 'k8s.io', 'known', 'status'))).toBe(true)
})
it.runIf(process.platform === 'linux' && process.getuid?.() === 0)(
  'takes away a network namespace that has been in no record for a while',
  async () => {
    const folder = join(dataDir, 'containerd', 'state', 'io.containerd.grpc.v1.cri', 'netns')
    mkdirSync(folder, { recursive: true })
    const names = ['cni-0a', 'cni-0b', 'cni-0c', 'cni-0d']
    const mounted = () => mountsBelow(folder).map(({ target }) => basename(target))
    try {
      for (const name of names) {
        writeFileSync(join(folder, name), '')
        execFileSync('mount', ['--bind', '/proc/self/ns/net', join(folder, name)])
      }
      const says = (text: string) => ({ value: Buffer.from(text) })
      records = [
        { id: 'a', spec: says(`{"path":"${folder}/cni-0a"}`) },
        { id: 'b', extensions: [{ key: 'metadata', value: says(`{"NetNSPath":"${folder}/cni-0b"}`) }] },
      ]
      expect(await debris.sweep()).toEqual(['lease old'])
      const seenMs = performance.now()
      records.push({ id: 'c', spec: says(`{"path":"${folder}/cni-0c"}`) })
      await expect.poll(() => debris.sweep(), { timeout: 60_000 }).toEqual(['lease old', 'network namespace cni-0d'])
      expect(performance.now() - seenMs).toBeGreaterThan(150)
      expect(mounted().sort()).toEqual(['cni-0a', 'cni-0b', 'cni-0c'])
      expect(existsSync(join(folder, 'cni-0d'))).toBe(false)
    } finally {
      for (const name of mounted()) execFileSync('umount', ['-l', join(folder, name)])
    }
  },
)
it.runIf(process.platform === 'linux')('looks once more for a reason that comes while it waits', async () => {
  debris.soon()
  debris.soon()
  await expect.poll(() => looked, { timeout: 10_000 }).toBe(2)
})
it.runIf(process.platform === 'linux')('knows when a process was started', async () => {
  const before = Date.now()
  const { pid = 0 } = await shimOf('known')
  expect(Math.abs(startOf(pid) - before)).toBeLessThan(60_000)
  expect(startOf(process.pid)).toBeLessThan(before + 2000)
})
