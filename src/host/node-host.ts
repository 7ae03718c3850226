// The NodeHost port on Linux: facts, load and settings of the machine, read from /proc and /sys when asked.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import * as fs from 'node:fs/promises'
import os from 'node:os'
import { join } from 'node:path'
import {
  type Cgroups,
  type InterfaceUsage,
  type MachineFacts,
  noAppArmor,
  type NodeHost,
  type NodeUsage,
} from '../ports/node-host.ts'
import { limitBursts } from './traffic-shaping.ts'

export interface NodeHostOptions {
  readonly cgroups: Cgroups
  /** The node's address, when the one on the default route is not meant. */
  readonly address?: string
}

const architectures: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', arm64: 'arm64', arm: 'arm' }
const text = (path: string): string => (existsSync(path) ? readFileSync(path, 'utf8').trim() : '')

export function createNodeHost(options: NodeHostOptions): NodeHost {
  return {
    cgroups: options.cgroups,
    facts: async () => machineFacts(options.address),
    usage: machineUsage,
    async networkUsage(pid) {
      try {
        return parseInterfaces(await fs.readFile(`/proc/${pid}/net/dev`, 'utf8'))
      } catch (error) {
        if (['ENOENT', 'ESRCH', 'EINVAL'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined
        throw error
      }
    },
    limitBursts,
    async sysctl(name) {
      const path = sysctlPath(name)
      return existsSync(path) ? (await fs.readFile(path, 'utf8')).trim() : undefined
    },
    setSysctl: (name, value) => fs.writeFile(sysctlPath(name), value),
    watchSystemOom,
  }
}
/** 'net.ipv4.ip_forward'; a name with a slash is taken with its dots. */
const sysctlPath = (name: string) => join('/proc/sys', name.includes('/') ? name : name.replaceAll('.', '/'))

export function machineFacts(address: string | undefined): MachineFacts {
  const memory = parseMeminfo(readFileSync('/proc/meminfo', 'utf8'))
  const release = /^PRETTY_NAME="?(.*?)"?$/m.exec(text('/etc/os-release'))?.[1]
  const machineId = text('/etc/machine-id') || text('/var/lib/dbus/machine-id')
  return {
    hostname: os.hostname().toLowerCase(),
    operatingSystem: 'linux',
    architecture: architectures[process.arch] ?? process.arch,
    kernelVersion: os.release(),
    osImage: release ?? 'Linux',
    machineId,
    systemUuid: text('/sys/class/dmi/id/product_uuid') || machineId,
    bootId: text('/proc/sys/kernel/random/boot_id'),
    cpuCount: os.cpus().length,
    memoryBytes: memory.get('MemTotal') ?? os.totalmem(),
    swapBytes: memory.get('SwapTotal') ?? 0,
    addresses: address === undefined ? hostAddresses() : [address],
    hugepages: hugepages('/sys/kernel/mm/hugepages'),
    topology: topology(),
    numaNodes: numaNodes(memory.get('MemTotal') ?? os.totalmem()),
    missing: missingFeatures(),
  }
}

/** The node's addresses: of the interface of the default route, else of the first that has one; loopback at last. */
export function hostAddresses(): string[] {
  const interfaces = os.networkInterfaces()
  const preferred = defaultInterface(text('/proc/net/route'))
  const names = Object.keys(interfaces).toSorted((a, b) => Number(b === preferred) - Number(a === preferred))
  const found = new Map<string, string>()
  for (const name of names)
    for (const { address, family, internal, scopeid } of interfaces[name] ?? [])
      if (!internal && !scopeid && !found.has(family)) found.set(family, address)
  const addresses = ['IPv4', 'IPv6'].flatMap((family) => found.get(family) ?? [])
  return addresses.length > 0 ? addresses : ['127.0.0.1']
}
/** These addresses (default: all of the machine) with the prefixes of the links they are on; one that stands for itself alone (an
 * address of ours) is left out. */
export function linksOf(addresses?: readonly string[]): string[] {
  const all = Object.values(os.networkInterfaces()).flatMap((list) => list ?? [])
  return all.flatMap(({ address, cidr, internal }) =>
    internal || cidr === null || addresses?.includes(address) === false || /\/(32|128)$/.test(cidr) ? [] : [cidr],
  )
}
export function defaultInterface(routes: string): string | undefined {
  const rows = routes
    .split('\n')
    .slice(1)
    .map((line) => line.split('\t'))
  const byMetric = rows
    .filter(([, destination, , flags]) => destination === '00000000' && (Number.parseInt(flags ?? '0', 16) & 1) === 1)
    .toSorted((a, b) => Number(a[6]) - Number(b[6]))
  return byMetric[0]?.[0]
}

function hugepages(folder: string): MachineFacts['hugepages'] {
  if (!existsSync(folder)) return []
  return readdirSync(folder).flatMap((name) => {
    const kilobytes = Number(/^hugepages-(\d+)kB$/.exec(name)?.[1])
    if (!(kilobytes > 0)) return []
    const pageSize =
      kilobytes >= 1 << 20 ? `${kilobytes >> 20}GB` : kilobytes >= 1024 ? `${kilobytes >> 10}MB` : `${kilobytes}KB`
    return [{ pageSize, bytes: Number(text(join(folder, name, 'nr_hugepages'))) * kilobytes * 1024 }]
  })
}
function topology(): MachineFacts['topology'] {
  const folder = '/sys/devices/system/cpu'
  if (!existsSync(folder)) return []
  const cpus = readdirSync(folder).flatMap((name) => {
    const cpu = /^cpu(\d+)$/.exec(name)?.[1]
    const where = join(folder, name)
    if (cpu === undefined || !existsSync(join(where, 'topology'))) return []
    const node = readdirSync(where).find((entry) => /^node\d+$/.test(entry))
    return [
      {
        cpu: Number(cpu),
        core: Number(text(join(where, 'topology/core_id'))),
        socket: Math.max(0, Number(text(join(where, 'topology/physical_package_id')))),
        numaNode: Number(node?.slice(4) ?? 0),
      },
    ]
  })
  return cpus.toSorted((a, b) => a.cpu - b.cpu)
}
/** A kernel without NUMA is one node. */
function numaNodes(memoryBytes: number): MachineFacts['numaNodes'] {
  const folder = '/sys/devices/system/node'
  const ids = (existsSync(folder) ? readdirSync(folder) : []).flatMap((name) => /^node(\d+)$/.exec(name)?.[1] ?? [])
  if (ids.length === 0) return [{ id: 0, memoryBytes, hugepages: hugepages('/sys/kernel/mm/hugepages') }]
  return ids
    .map((id) => ({
      id: Number(id),
      memoryBytes: Number(/MemTotal:\s+(\d+) kB/.exec(text(join(folder, `node${id}/meminfo`)))?.[1] ?? 0) * 1024,
      hugepages: hugepages(join(folder, `node${id}/hugepages`)),
    }))
    .toSorted((a, b) => a.id - b.id)
}
function missingFeatures(): string[] {
  const fileSystems = text('/proc/filesystems')
  const missing: string[] = []
  // A module is loaded when it is first asked for.
  const modules = text(`/lib/modules/${os.release()}/modules.dep`)
  if (!/^SCTP\b/m.test(text('/proc/net/protocols')) && !/\/sctp\.ko/.test(modules)) missing.push('no SCTP')
  if (!/\bnfs4?$/m.test(fileSystems)) missing.push('no NFS client')
  if (text('/sys/module/apparmor/parameters/enabled') !== 'Y') missing.push(noAppArmor)
  if (!existsSync('/proc/net/if_inet6')) missing.push('no IPv6')
  if (!/\boverlay$/m.test(fileSystems)) missing.push('no overlayfs')
  return missing
}

export const parseMeminfo = (table: string): Map<string, number> =>
  new Map([...table.matchAll(/^(\S+):\s+(\d+) kB$/gm)].map((m) => [m[1] ?? '', Number(m[2]) * 1024]))

const nanosecondsPerTick = 10_000_000
async function machineUsage(): Promise<NodeUsage> {
  const [stat, meminfo, vmstat, load, pidMax, net] = await Promise.all(
    ['/proc/stat', '/proc/meminfo', '/proc/vmstat', '/proc/loadavg', '/proc/sys/kernel/pid_max', '/proc/net/dev'].map(
      (path) => fs.readFile(path, 'utf8'),
    ),
  )
  const memory = parseMeminfo(meminfo ?? '')
  const counters = new Map((vmstat ?? '').split('\n').map((line) => [line.split(' ')[0], Number(line.split(' ')[1])]))
  const total = memory.get('MemTotal') ?? 0
  const used = total - (memory.get('MemFree') ?? 0)
  const workingSet = Math.max(0, used - (memory.get('Inactive(file)') ?? 0))
  // user nice system idle iowait irq softirq steal
  const ticks = (/^cpu +(.*)$/m.exec(stat ?? '')?.[1] ?? '').split(' ').map(Number)
  const busy = [0, 1, 2, 5, 6, 7].reduce((sum, i) => sum + (ticks[i] ?? 0), 0)
  return {
    timestampMs: Date.now(),
    cpuUsageNanoseconds: busy * nanosecondsPerTick,
    memoryAvailableBytes: total - workingSet,
    memoryUsageBytes: used,
    memoryWorkingSetBytes: workingSet,
    memoryRssBytes: memory.get('AnonPages') ?? 0,
    memoryPageFaults: counters.get('pgfault') ?? 0,
    memoryMajorPageFaults: counters.get('pgmajfault') ?? 0,
    pidsMax: Number(pidMax),
    pidsRunning: Number(/\d+\/(\d+)/.exec(load ?? '')?.[1] ?? 0),
    interfaces: parseInterfaces(net ?? ''),
  }
}
export function parseInterfaces(table: string): InterfaceUsage[] {
  return table
    .split('\n')
    .slice(2)
    .flatMap((line) => {
      const [name, rest] = line.split(':')
      if (rest === undefined || name?.trim() === 'lo') return []
      const n = rest.trim().split(/\s+/).map(Number)
      return [
        {
          name: name?.trim() ?? '',
          rxBytes: n[0] ?? 0,
          rxErrors: n[2] ?? 0,
          txBytes: n[8] ?? 0,
          txErrors: n[10] ?? 0,
        },
      ]
    })
}

const kernelLog = '/dev/kmsg'
const kernelLogPeriodMs = 2_000
/** Records of the kernel's log are read without waiting, every few seconds: node has no way to be woken by them. */
function watchSystemOom(onKill: (victim: { readonly process: string; readonly pid: number }) => void): {
  close(): void
} {
  let handle: fs.FileHandle | undefined
  let timer: NodeJS.Timeout | undefined
  let closed = false
  const drain = async (tell: boolean) => {
    const buffer = Buffer.alloc(8192)
    for (;;) {
      try {
        const { bytesRead } = await (handle?.read(buffer, 0, buffer.length) ?? { bytesRead: 0 })
        if (bytesRead === 0) return
        const victim = systemOomVictim(buffer.toString('utf8', 0, bytesRead))
        if (tell && victim !== undefined && !closed) onKill(victim)
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code
        // EPIPE: records were overwritten before we read them; the next read goes on behind them.
        if (code === 'EPIPE') continue
        if (code === 'EAGAIN') return
        throw error
      }
    }
  }
  const start = async () => {
    if (!existsSync(kernelLog)) return
    // O_RDONLY | O_NONBLOCK
    handle = await fs.open(kernelLog, 0o4000)
    await drain(false)
    timer = setInterval(() => void drain(true).catch(stop), kernelLogPeriodMs)
    timer.unref()
    if (closed) stop()
  }
  const stop = () => {
    clearInterval(timer)
    const open = handle
    handle = undefined
    void open?.close()
  }
  // A machine that does not show its kernel log (EPERM) tells of no kill.
  start().catch(stop)
  return {
    close() {
      closed = true
      stop()
    },
  }
}
/** "Out of memory: Killed process 12 (name) ...": the whole machine's; a group's own limit reads "Memory cgroup out of memory". */
export function systemOomVictim(record: string): { process: string; pid: number } | undefined {
  const match = /;Out of memory: Killed process (\d+) \((.*?)\)/.exec(record)
  return match === null ? undefined : { pid: Number(match[1]), process: match[2] ?? '' }
}
