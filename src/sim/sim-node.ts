// A simulated machine: facts, cgroups, a prober, packet rules that are only remembered.
import { sleep } from '../ports/clock.ts'
import type { Dataplane, DataplaneState } from '../ports/dataplane.ts'
import type { Cgroups, MachineFacts, NodeHost, NodeUsage } from '../ports/node-host.ts'
import type { NodePorts } from '../ports/ports.ts'
import type { Prober } from '../ports/prober.ts'
import { simDrivers } from './sim-drivers.ts'
import { SimDisk } from './sim-disk.ts'
import { SimRuntime } from './sim-runtime.ts'
import type { SimWorld } from './world.ts'

export interface SimNodeOptions {
  readonly cpus?: number
  readonly memoryBytes?: number
  readonly diskBytes?: number
}
export interface SimNode extends NodePorts {
  readonly name: string
  readonly address: string
  readonly runtime: SimRuntime
  readonly disk: SimDisk
  readonly dataplane: SimDataplane
}

const systemMemoryBytes = 256 * 2 ** 20

/** Makes a machine in a world. Its name is also its host name. */
export async function simNode(world: SimWorld, name: string, options: SimNodeOptions = {}): Promise<SimNode> {
  const { clock } = world
  const number = world.nextNode()
  const random = world.random.fork(`node/${name}`)
  const { cpus = 4, memoryBytes = 8 * 2 ** 30, diskBytes = 100 * 2 ** 30 } = options
  const disk = new SimDisk({ clock, capacityBytes: diskBytes })
  const text = (content: string) => new TextEncoder().encode(content)
  await disk.mkdir('/etc')
  await disk.mkdir('/tmp', { mode: 0o1777 })
  await disk.mkdir('/var/lib')
  await disk.mkdir('/var/log')
  await disk.writeFile('/etc/hosts', text('127.0.0.1\tlocalhost\n'))
  await disk.writeFile('/etc/resolv.conf', text('nameserver 10.0.0.1\n'))
  const podNetwork = `10.244.${number}`
  const runtime = new SimRuntime({ node: name, world, disk, random: random.fork('runtime'), podNetwork })
  const address = `10.0.${number >> 8}.${(number & 255) + 10}`
  const facts: MachineFacts = {
    hostname: name,
    operatingSystem: 'linux',
    architecture: 'amd64',
    kernelVersion: '6.1.0-simulated',
    osImage: 'Simulation',
    machineId: random.uuid().replaceAll('-', ''),
    systemUuid: random.uuid(),
    bootId: random.uuid(),
    cpuCount: cpus,
    memoryBytes,
    swapBytes: 0,
    addresses: [address],
    hugepages: [],
    topology: Array.from({ length: cpus }, (_, cpu) => ({ cpu, core: cpu, socket: 0, numaNode: 0 })),
    numaNodes: [{ id: 0, memoryBytes, hugepages: [] }],
    missing: [],
  }
  return {
    name,
    address,
    runtime,
    disk,
    host: simHost(world, facts, runtime),
    prober: simProber(world),
    dataplane: new SimDataplane(),
    nodePlugins: simDrivers(world, name),
  }
}

function simHost(world: SimWorld, facts: MachineFacts, runtime: SimRuntime): NodeHost {
  const sysctls = new Map([['net.ipv4.ip_forward', '1']])
  return {
    facts: () => Promise.resolve(facts),
    async usage(): Promise<NodeUsage> {
      const { cpuMillicores, memoryBytes } = runtime.usage()
      const used = systemMemoryBytes + memoryBytes
      return {
        timestampMs: world.clock.now(),
        cpuUsageNanoseconds: cpuMillicores * 1e3 * world.clock.monotonic(),
        memoryAvailableBytes: Math.max(0, facts.memoryBytes - used),
        memoryUsageBytes: used,
        memoryWorkingSetBytes: used,
        memoryRssBytes: used,
        memoryPageFaults: 0,
        memoryMajorPageFaults: 0,
        pidsMax: 32_768,
        pidsRunning: 100 + runtime.running().length,
        interfaces: [{ name: 'eth0', rxBytes: 0, rxErrors: 0, txBytes: 0, txErrors: 0 }],
      }
    },
    cgroups: simCgroups(world, runtime),
    networkUsage: () => Promise.resolve(undefined),
    limitBursts: () => Promise.resolve(),
    sysctl: (name) => Promise.resolve(sysctls.get(name)),
    async setSysctl(name, value) {
      sysctls.set(name, value)
    },
    watchSystemOom: () => ({ close: () => {} }),
  }
}

function simCgroups(world: SimWorld, runtime: SimRuntime): Cgroups {
  const limits = new Map<string, number | undefined>()
  return {
    version: 2,
    parentFor: (path) => path,
    async ensure(path, resources) {
      const elements = path.split('/').slice(1)
      elements.forEach((_, i) => {
        const parent = `/${elements.slice(0, i + 1).join('/')}`
        if (!limits.has(parent)) limits.set(parent, undefined)
      })
      if (resources.memoryBytes !== undefined) limits.set(path, resources.memoryBytes)
    },
    limit: () => Promise.resolve(false),
    async update(path, resources) {
      if (!limits.has(path)) throw new Error(`no cgroup ${path}`)
      if (resources.memoryBytes !== undefined) limits.set(path, resources.memoryBytes)
    },
    async remove(path) {
      runtime.killCgroup(path)
      for (const known of limits.keys()) if (known === path || known.startsWith(`${path}/`)) limits.delete(known)
    },
    async kill(path) {
      runtime.killCgroup(path)
    },
    async stats(path) {
      if (!limits.has(path)) return undefined
      const { cpuMillicores, memoryBytes } = runtime.usage(path)
      const limit = limits.get(path)
      return {
        timestampMs: world.clock.now(),
        cpuUsageNanoseconds: cpuMillicores * 1e3 * world.clock.monotonic(),
        memoryUsageBytes: memoryBytes,
        memoryWorkingSetBytes: memoryBytes,
        memoryRssBytes: memoryBytes,
        memoryPageFaults: 0,
        memoryMajorPageFaults: 0,
        memoryLimitBytes: limit === undefined || limit < 0 ? undefined : limit,
        processes: 1,
        oomKills: 0,
      }
    },
    async list(path) {
      const prefix = path === '/' ? '/' : `${path}/`
      return [...limits.keys()]
        .filter((known) => known.startsWith(prefix) && !known.slice(prefix.length).includes('/'))
        .map((known) => known.slice(prefix.length))
        .sort()
    },
  }
}

function simProber(world: SimWorld): Prober {
  const { clock } = world
  const timeout = { ok: false, kind: 'timeout', message: 'i/o timeout' } as const
  return {
    async httpGet({ host, port, path, timeoutMs }) {
      const { delayMs, ...answer } = world.http(host, port, path)
      if (delayMs > 0) await sleep(clock, Math.min(delayMs, timeoutMs))
      return delayMs >= timeoutMs && delayMs > 0 ? timeout : answer
    },
    async tcpConnect(host, port) {
      return world.tcp(host, port)
    },
    async grpcHealth(host, port, service) {
      const status = world.grpc(host, port, service)
      return status === undefined ? world.noAnswer(host) : { ok: true, status }
    },
  }
}

/** Remembers what the packet rules should be. */
export class SimDataplane implements Dataplane {
  /** What was applied last; undefined after `clear` and before the first. */
  state: DataplaneState | undefined

  async apply(state: DataplaneState): Promise<void> {
    this.state = state
  }
  async clear(): Promise<void> {
    this.state = undefined
  }
}
