// What a containerd of our own leaves behind when it, a shim or its caller is killed in the middle of a call, and what it
// would keep until it is started anew, or for ever: shims and bundles of containers that it no longer knows, network
// namespaces that it had not written down yet, and leases that a dead containerd held on snapshots. A container's record is
// made before its shim and bundle and goes after them: what was seen before the records were listed and has none is nobody's.
// A namespace is made before it is written down: it is nobody's when it has been in no record for a while.
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { Log } from '../../ports/log.ts'
import { deleteLease, listLeases, listRecords, listSandboxRecords } from '../cri/containerd-messages.ts'
import type { Instance } from '../instance.ts'
import { mountsBelow } from '../mounts.ts'
import type { Shell } from '../shell.ts'
import { createGrpcClient, type GrpcClient, isGrpcError } from '../wire/grpc.ts'
import { argumentsOf, signal } from './processes.ts'
import { shimsOf } from './containerd.ts'
import { giveEndedState, withoutState } from './lost-state.ts'

/** How long after a reason to look: once soon, once when containerd itself has given up. */
const usualDelaysMs = [10_000, 75_000]
const call = { metadata: { 'containerd-namespace': 'k8s.io' }, timeoutMs: 30_000 }

export interface DebrisOptions {
  readonly instance: Pick<Instance, 'dataDir' | 'containerdSocket'>
  readonly shell: Pick<Shell, 'run'>
  readonly log: Log
  /** When the containerd that runs now was started, milliseconds since 1970. */
  readonly startedAtMs: () => number
  /** How long a network namespace may be in no record; default: a minute, which no sandbox takes to start. */
  readonly unnamedMs?: number
  /** How long after each reason it is looked. */
  readonly delaysMs?: readonly number[]
}
export interface DebrisSweeper {
  /** Something was removed or broke: look soon. */
  soon(): void
  /** Looks now; answers what was cleared away, in words. Throws GrpcError. */
  sweep(): Promise<readonly string[]>
  close(): void
}

export function sweepDebris(options: DebrisOptions): DebrisSweeper {
  const { instance, log, delaysMs = usualDelaysMs } = options
  const client = createGrpcClient(`unix://${instance.containerdSocket}`)
  const timers = new Map<number, NodeJS.Timeout>()
  /** Delays that ran when there was another reason: they are waited for once more. */
  const again = new Set<number>()
  /** Without a state of crun's when we looked last. For a moment that is so of every container that is being deleted. */
  let suspects: readonly string[] = []
  const giveStates = (): readonly string[] => {
    const state = join(instance.dataDir, 'containerd', 'state')
    const found = withoutState(state)
    const lost = found.filter((id) => suspects.includes(id))
    suspects = found
    for (const id of lost) giveEndedState(state, id)
    return lost.map((id) => `half deleted container ${id}`)
  }
  /** Network namespaces that were in no record: since when. */
  const unnamed = new Map<string, number>()
  const sweep = async () => [
    ...(await clearAway(options, client)),
    ...(await clearNamespaces(options, client, unnamed)),
    ...giveStates(),
  ]
  /** Boundary: what cannot be cleared away now is looked at another time. */
  const attempt = async () => {
    try {
      const cleared = await sweep()
      if (cleared.length > 0) log.warn('cleared away what containerd left behind', { what: cleared.join(', ') })
    } catch (error) {
      log.info('what containerd may have left behind was not cleared away', { error: String(error) })
    }
  }
  const arm = (delayMs: number) => {
    const timer = setTimeout(() => {
      timers.delete(delayMs)
      if (again.delete(delayMs)) arm(delayMs)
      void attempt()
    }, delayMs)
    timers.set(delayMs, timer.unref())
  }
  return {
    sweep,
    soon() {
      for (const delayMs of delaysMs) {
        if (timers.has(delayMs)) again.add(delayMs)
        else arm(delayMs)
      }
    },
    close() {
      for (const timer of timers.values()) clearTimeout(timer)
      client.close()
    },
  }
}

async function clearAway(
  { instance, shell, startedAtMs }: DebrisOptions,
  client: GrpcClient,
): Promise<readonly string[]> {
  const cleared: string[] = []
  const bundles = join(instance.dataDir, 'containerd', 'state', 'io.containerd.runtime.v2.task', 'k8s.io')
  const shims = shimsOf(instance).map((pid) => ({ pid, id: idOf(pid) }))
  const folders = existsSync(bundles) ? readdirSync(bundles) : []
  const [{ containers }, { leases }] = await Promise.all([
    client.call(listRecords, { filters: [] }, call),
    client.call(listLeases, { filters: [] }, call),
  ])
  const known = new Set(containers.map(({ id }) => id))
  for (const { pid, id } of shims) {
    if (id === undefined || known.has(id)) continue
    signal(pid, 'SIGKILL')
    cleared.push(`shim ${id}`)
  }
  for (const id of folders) {
    if (known.has(id)) continue
    const folder = join(bundles, id)
    for (const { target } of mountsBelow(folder).toReversed()) await shell.run('umount', ['-l', target])
    rmSync(folder, { recursive: true, force: true })
    cleared.push(`bundle ${id}`)
  }
  for (const { id, createdAt } of leases) {
    if (createdAt === undefined || createdAt.seconds * 1000 + createdAt.nanos / 1e6 >= startedAtMs()) continue
    try {
      await client.call(deleteLease, { id, sync: false }, call)
    } catch (error) {
      if (!isGrpcError(error, 'NotFound')) throw error
    }
    cleared.push(`lease ${id}`)
  }
  return cleared
}
async function clearNamespaces(
  { instance, shell, unnamedMs = 60_000 }: DebrisOptions,
  client: GrpcClient,
  unnamed: Map<string, number>,
): Promise<readonly string[]> {
  const folder = join(instance.dataDir, 'containerd', 'state', 'io.containerd.grpc.v1.cri', 'netns')
  const mounted = mountsBelow(folder).map(({ target }) => target)
  const filters = ['labels."io.cri-containerd.kind"==sandbox']
  const { containers } =
    mounted.length === 0 ? { containers: [] } : await client.call(listSandboxRecords, { filters }, call)
  const parts = containers.flatMap(({ spec, extensions }) => [spec, ...extensions.map(({ value }) => value)])
  const named = new Set(
    parts.flatMap(
      (part) =>
        Buffer.from(part?.value ?? [])
          .toString('latin1')
          .match(/cni-[0-9a-f-]+/g) ?? [],
    ),
  )
  const nobodys = mounted.filter((target) => !named.has(basename(target)))
  for (const target of unnamed.keys()) if (!nobodys.includes(target)) unnamed.delete(target)
  const cleared: string[] = []
  for (const target of nobodys) {
    const sinceMs = unnamed.get(target) ?? performance.now()
    unnamed.set(target, sinceMs)
    if (performance.now() - sinceMs < unnamedMs) continue
    await shell.run('umount', ['-l', target])
    rmSync(target, { force: true })
    unnamed.delete(target)
    cleared.push(`network namespace ${basename(target)}`)
  }
  return cleared
}
/** The container of a shim; undefined where it is gone or runs no container of pods. */
function idOf(pid: number): string | undefined {
  const args = argumentsOf(pid) ?? []
  const valueOf = (flag: string) => args[args.indexOf(flag) + 1]
  return args.includes('-id') && valueOf('-namespace') === 'k8s.io' ? valueOf('-id') : undefined
}
