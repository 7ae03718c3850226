// Control groups of both generations behind one interface. Everything of ours is below one group whose name comes from
// the data directory; on v1 the same path stands once per controller, on v2 once.
import * as fs from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { CgroupResources, Cgroups, CgroupStats } from '../ports/node-host.ts'
import { readMounts } from './mounts.ts'
import { isAlive, signal } from './containerd/processes.ts'

interface Hierarchy {
  readonly mountPoint: string
  /** v1: its controllers; v2: empty. */
  readonly controllers: readonly string[]
}
export interface CgroupLayout {
  readonly version: 1 | 2
  readonly all: readonly Hierarchy[]
  /** Where a controller's files are; undefined when the kernel lacks it. */
  pathOf(controller: string): string | undefined
}

/** Source of the hierarchies that clusters mount for themselves. */
export const ownHierarchy = 'coxswain'

/** `own`: where this cluster mounted one for itself; those of other clusters end with them. */
export function findLayout(own?: string): CgroupLayout {
  const mounts = readMounts().filter(({ source, target }) => source !== ownHierarchy || target === own)
  const unified = mounts.filter((m) => m.fsType === 'cgroup2').map((m) => ({ mountPoint: m.target, controllers: [] }))
  const old = mounts
    .filter((m) => m.fsType === 'cgroup')
    .map((m) => ({ mountPoint: m.target, controllers: m.superOptions }))
  const main = unified.find((h) => h.mountPoint === '/sys/fs/cgroup')
  if (main !== undefined) return { version: 2, all: [main], pathOf: () => main.mountPoint }
  if (old.length === 0) throw new Error('no control groups are mounted below /sys/fs/cgroup')
  return {
    version: 1,
    all: [...old, ...unified],
    pathOf: (controller) => old.find((h) => h.controllers.includes(controller))?.mountPoint,
  }
}

const codeOf = (error: unknown) => (error as NodeJS.ErrnoException).code
/** The text of a file; undefined where it is not there (any more). */
async function read(path: string): Promise<string | undefined> {
  try {
    return await fs.readFile(path, 'utf8')
  } catch (error) {
    if (['ENOENT', 'ENODEV', 'ENOTDIR'].includes(codeOf(error) ?? '')) return undefined
    throw error
  }
}
async function set(path: string, value: string): Promise<void> {
  try {
    await fs.writeFile(path, value)
  } catch (error) {
    throw new Error(`set ${path} to ${value}: ${(error as Error).message.split(',')[0]}`, { cause: error })
  }
}
const children = async (path: string): Promise<string[]> => {
  try {
    return (await fs.readdir(path, { withFileTypes: true })).filter((e) => e.isDirectory()).map((e) => e.name)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return []
    throw error
  }
}
const fields = (text: string | undefined): Map<string, number> =>
  new Map((text ?? '').split('\n').map((line) => [line.split(' ')[0] ?? '', Number(line.split(' ')[1])]))

/** v1's shares (2 to 262144) as v2's weight (1 to 10000), as runc maps them. */
export const weightOf = (shares: number): number =>
  1 + Math.floor(((Math.min(Math.max(shares, 2), 262_144) - 2) * 9999) / 262_142)

/** Files and values of a change, in the order in which they are written. */
export function planWrites(version: 1 | 2, r: CgroupResources): { controller: string; file: string; value: string }[] {
  const writes: { controller: string; file: string; value: string }[] = []
  const add = (controller: string, file: string, value: string | number) =>
    writes.push({ controller, file, value: String(value) })
  if (version === 2) {
    if (r.cpuShares !== undefined) add('cpu', 'cpu.weight', weightOf(r.cpuShares))
    if (r.cpuQuotaUs !== undefined)
      add('cpu', 'cpu.max', `${r.cpuQuotaUs < 0 ? 'max' : r.cpuQuotaUs} ${r.cpuPeriodUs ?? 100_000}`)
    if (r.memoryBytes !== undefined) add('memory', 'memory.max', r.memoryBytes < 0 ? 'max' : r.memoryBytes)
    if (r.memoryMinBytes !== undefined) add('memory', 'memory.min', r.memoryMinBytes)
    for (const page of r.hugepages ?? []) add('hugetlb', `hugetlb.${page.pageSize}.max`, page.bytes)
  } else {
    if (r.cpuShares !== undefined) add('cpu', 'cpu.shares', Math.max(r.cpuShares, 2))
    if (r.cpuPeriodUs !== undefined) add('cpu', 'cpu.cfs_period_us', r.cpuPeriodUs)
    if (r.cpuQuotaUs !== undefined) add('cpu', 'cpu.cfs_quota_us', r.cpuQuotaUs)
    if (r.memoryBytes !== undefined) add('memory', 'memory.limit_in_bytes', r.memoryBytes)
    for (const page of r.hugepages ?? []) add('hugetlb', `hugetlb.${page.pageSize}.limit_in_bytes`, page.bytes)
  }
  if (r.pidsMax !== undefined) add('pids', 'pids.max', r.pidsMax < 0 ? 'max' : r.pidsMax)
  if (r.cpusetCpus !== undefined) add('cpuset', 'cpuset.cpus', r.cpusetCpus)
  return writes
}

/** `root`: the group below which everything is, such as /coxswain-1a2b3c4d. */
export function createCgroups(
  root: string,
  layout: CgroupLayout = findLayout(),
): Cgroups & { removeAll(): Promise<void> } {
  const controllers = ['cpu', 'cpuacct', 'memory', 'pids', 'cpuset', 'hugetlb']
  const bases = [...new Set(controllers.flatMap((name) => layout.pathOf(name) ?? []))]
  const made = new Set<string>()
  const below = (base: string, path: string) => join(base, root, path)

  const make = async (path: string): Promise<void> => {
    const full = join(root, path)
    if (made.has(full) && bases.every((base) => existsSync(join(base, full)))) return
    for (const base of bases) {
      let folder = base
      if (layout.version === 2) await enableControllers(folder)
      for (const part of full.split('/').filter(Boolean)) {
        const parent = folder
        folder = join(folder, part)
        await fs.mkdir(folder, { recursive: true })
        // A new v1 cpuset is empty, and nothing may run in it.
        if (layout.version === 1 && base === layout.pathOf('cpuset')) await inheritCpuset(parent, folder)
        else if (layout.version === 2 && folder !== join(base, full)) await enableControllers(folder)
      }
    }
    made.add(full)
  }
  const writeAt = async (full: string, resources: CgroupResources): Promise<void> => {
    for (const { controller, file, value } of planWrites(layout.version, resources)) {
      const base = layout.pathOf(controller)
      const target = base === undefined ? undefined : join(base, full, file)
      // The kernel may lack a controller (hugetlb, pids): what it cannot hold is not asked of it.
      if (target !== undefined && existsSync(target)) await set(target, value)
    }
  }
  const write = (path: string, resources: CgroupResources) => writeAt(join(root, path), resources)
  const processes = async (folder: string): Promise<number[]> => {
    const own = ((await read(join(folder, 'cgroup.procs'))) ?? '').split('\n').filter(Boolean).map(Number)
    const nested = await Promise.all((await children(folder)).map((name) => processes(join(folder, name))))
    return [...own, ...nested.flat()]
  }
  const killAt = async (path: string): Promise<void> => {
    for (let round = 0; round < 50; round++) {
      const found = new Set<number>()
      for (const { mountPoint } of layout.all) {
        const folder = below(mountPoint, path)
        if (layout.version === 2 && existsSync(join(folder, 'cgroup.kill'))) await set(join(folder, 'cgroup.kill'), '1')
        for (const pid of await processes(folder)) found.add(pid)
      }
      // What has ended but is not reaped yet no longer counts.
      const alive = [...found].filter((pid) => pid !== 0 && isAlive(pid))
      if (alive.length === 0) return
      for (const pid of alive) signal(pid, 'SIGKILL')
      await new Promise((resolve) => setTimeout(resolve, 5 + round))
    }
  }
  const removeFolder = async (folder: string): Promise<void> => {
    for (const name of await children(folder)) await removeFolder(join(folder, name))
    for (let round = 0; ; round++) {
      try {
        return await fs.rmdir(folder)
      } catch (error) {
        if (codeOf(error) === 'ENOENT') return
        if (codeOf(error) !== 'EBUSY' || round > 100) throw error
        await new Promise((resolve) => setTimeout(resolve, 5 + round))
      }
    }
  }
  const removeAt = async (path: string): Promise<void> => {
    for (const full of made) if (full === join(root, path) || full.startsWith(`${join(root, path)}/`)) made.delete(full)
    if (layout.all.every(({ mountPoint }) => !existsSync(below(mountPoint, path)))) return
    await killAt(path)
    await Promise.all(layout.all.map(({ mountPoint }) => removeFolder(below(mountPoint, path))))
  }

  return {
    version: layout.version,
    parentFor: (path) => join(root, path),
    async ensure(path, resources) {
      await make(path)
      await write(path, resources)
    },
    update: write,
    async limit(path, resources) {
      if (!layout.all.some(({ mountPoint }) => existsSync(join(mountPoint, path)))) return false
      await writeAt(path, resources)
      return true
    },
    remove: removeAt,
    removeAll: () => removeAt('/'),
    kill: killAt,
    async list(path) {
      const base = layout.pathOf('memory') ?? layout.pathOf('cpu') ?? layout.all[0]?.mountPoint ?? ''
      return (await children(below(base, path))).toSorted()
    },
    async stats(path) {
      const at = (controller: string) => below(layout.pathOf(controller) ?? '/nonexistent', path)
      return layout.version === 2 ? statsV2(at('memory')) : statsV1(at)
    },
  }
}

async function inheritCpuset(parent: string, folder: string): Promise<void> {
  for (const file of ['cpuset.cpus', 'cpuset.mems']) {
    const path = join(folder, file)
    if (((await read(path)) ?? '').trim() === '') await set(path, ((await read(join(parent, file))) ?? '').trim())
  }
}

/** Lets children use the controllers that this group has. */
async function enableControllers(folder: string): Promise<void> {
  const control = join(folder, 'cgroup.subtree_control')
  const has = new Set(((await read(join(folder, 'cgroup.controllers'))) ?? '').trim().split(' '))
  const enabled = new Set(((await read(control)) ?? '').trim().split(' '))
  for (const name of ['cpu', 'memory', 'pids', 'cpuset', 'io', 'hugetlb']) {
    if (!has.has(name) || enabled.has(name)) continue
    try {
      await fs.writeFile(control, `+${name}`)
    } catch (error) {
      if (codeOf(error) !== 'EBUSY') throw error
      // Inside a container the visible root holds processes itself, which forbids children with controllers.
      await moveProcesses(folder, join(folder, 'coxswain-host'))
      await fs.writeFile(control, `+${name}`)
    }
  }
}
async function moveProcesses(from: string, to: string): Promise<void> {
  await fs.mkdir(to, { recursive: true })
  for (const pid of ((await read(join(from, 'cgroup.procs'))) ?? '').split('\n').filter(Boolean)) {
    try {
      await fs.writeFile(join(to, 'cgroup.procs'), pid)
    } catch (error) {
      // It has ended, or is the kernel's own.
      if (!['ESRCH', 'EINVAL'].includes(codeOf(error) ?? '')) throw error
    }
  }
}

async function statsV2(folder: string): Promise<CgroupStats | undefined> {
  const [current, stat, cpu, max, pids, events] = await Promise.all(
    ['memory.current', 'memory.stat', 'cpu.stat', 'memory.max', 'pids.current', 'memory.events'].map((file) =>
      read(join(folder, file)),
    ),
  )
  if (cpu === undefined) return undefined
  const memory = fields(stat)
  const usage = Number(current ?? 0)
  return {
    timestampMs: Date.now(),
    cpuUsageNanoseconds: (fields(cpu).get('usage_usec') ?? 0) * 1000,
    memoryUsageBytes: usage,
    memoryWorkingSetBytes: Math.max(0, usage - (memory.get('inactive_file') ?? 0)),
    memoryRssBytes: memory.get('anon') ?? 0,
    memoryPageFaults: memory.get('pgfault') ?? 0,
    memoryMajorPageFaults: memory.get('pgmajfault') ?? 0,
    memoryLimitBytes: max === undefined || max.trim() === 'max' ? undefined : Number(max),
    processes: Number(pids ?? 0),
    oomKills: fields(events).get('oom_kill') ?? 0,
  }
}
async function statsV1(at: (controller: string) => string): Promise<CgroupStats | undefined> {
  const [cpu, usageText, stat, limitText, pids, oom] = await Promise.all([
    read(join(at('cpuacct'), 'cpuacct.usage')),
    read(join(at('memory'), 'memory.usage_in_bytes')),
    read(join(at('memory'), 'memory.stat')),
    read(join(at('memory'), 'memory.limit_in_bytes')),
    read(join(at('pids'), 'pids.current')),
    read(join(at('memory'), 'memory.oom_control')),
  ])
  if (cpu === undefined || usageText === undefined) return undefined
  const memory = fields(stat)
  const usage = Number(usageText)
  const limit = Number(limitText)
  return {
    timestampMs: Date.now(),
    cpuUsageNanoseconds: Number(cpu),
    memoryUsageBytes: usage,
    memoryWorkingSetBytes: Math.max(0, usage - (memory.get('total_inactive_file') ?? 0)),
    memoryRssBytes: memory.get('total_rss') ?? 0,
    memoryPageFaults: memory.get('total_pgfault') ?? 0,
    memoryMajorPageFaults: memory.get('total_pgmajfault') ?? 0,
    // Without a limit the kernel says the largest number of whole pages.
    memoryLimitBytes: limit > 2 ** 62 ? undefined : limit,
    processes: Number(pids ?? 0),
    oomKills: fields(oom).get('oom_kill') ?? 0,
  }
}

/** Groups of a data directory that exist, for whoever looks for leftovers. */
export const leftoverCgroups = (root: string): string[] =>
  findLayout()
    .all.map(({ mountPoint }) => join(mountPoint, root))
    .filter((path) => existsSync(path))
