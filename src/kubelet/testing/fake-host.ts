// A machine and a prober for unit tests.
import type { CgroupResources, InterfaceUsage, MachineFacts, NodeHost, NodeUsage } from '../../ports/node-host.ts'
import type { ConnectAnswer, HttpProbeAnswer, Prober } from '../../ports/prober.ts'

export interface FakeHost extends NodeHost {
  /** Paths of the cgroups that exist. */
  readonly paths: Set<string>
  /** What groups of the machine were limited to. */
  readonly limits: Map<string, CgroupResources>
  /** Processes whose pods' traffic was limited from the first byte on. */
  readonly limited: number[]
  /** What usage() answers. */
  load: NodeUsage
  /** What networkUsage() answers of a fake sandbox's process. */
  /** The kernel kills for memory. */
  killForMemory: (victim: { readonly process: string; readonly pid: number }) => void
  podInterfaces: readonly InterfaceUsage[] | undefined
}
/** `machine`: facts that differ from a plain machine's. */
export function fakeHost(machine: Partial<MachineFacts> = {}): FakeHost {
  const paths = new Set<string>()
  const host: FakeHost = {
    paths,
    limits: new Map(),
    limited: [],
    facts: () =>
      Promise.resolve({
        hostname: 'host',
        operatingSystem: 'linux',
        architecture: 'amd64',
        kernelVersion: '6.1',
        osImage: 'Test',
        machineId: 'm',
        systemUuid: 's',
        bootId: 'b',
        cpuCount: 2,
        memoryBytes: 2 ** 33,
        swapBytes: 0,
        addresses: ['192.168.0.10'],
        hugepages: [],
        topology: [],
        numaNodes: [{ id: 0, memoryBytes: 2 ** 33, hugepages: [] }],
        missing: [],
        ...machine,
      }),
    usage: () => Promise.resolve(host.load),
    load: {
      timestampMs: 0,
      cpuUsageNanoseconds: 0,
      memoryAvailableBytes: 2 ** 32,
      memoryUsageBytes: 0,
      memoryWorkingSetBytes: 0,
      memoryRssBytes: 0,
      memoryPageFaults: 0,
      memoryMajorPageFaults: 0,
      pidsMax: 30_000,
      pidsRunning: 100,
      interfaces: [],
    },
    cgroups: {
      version: 1,
      parentFor: (path) => path,
      ensure: (path) => Promise.resolve(void paths.add(path)),
      update: () => Promise.resolve(),
      limit(path, resources) {
        host.limits.set(path, resources)
        return Promise.resolve(path !== '/absent')
      },
      remove: (path) => Promise.resolve(void paths.delete(path)),
      kill: () => Promise.resolve(),
      stats: () => Promise.resolve(undefined),
      list: () => Promise.resolve([]),
    },
    podInterfaces: undefined,
    networkUsage: (pid) => Promise.resolve(pid === 4711 ? host.podInterfaces : undefined),
    limitBursts: (pid) => Promise.resolve(void host.limited.push(pid)),
    sysctl: () => Promise.resolve(undefined),
    setSysctl: () => Promise.resolve(),
    watchSystemOom(onKill) {
      host.killForMemory = onKill
      return { close: () => {} }
    },
    killForMemory: () => {},
  }
  return host
}

export interface FakeProber extends Prober {
  /** What every HTTP probe is answered. */
  http: HttpProbeAnswer
  tcp: ConnectAnswer
  readonly requests: string[]
}
export function fakeProber(): FakeProber {
  const prober: FakeProber = {
    http: { ok: true, status: 200, location: undefined, body: '' },
    tcp: { ok: true },
    requests: [],
    httpGet(request) {
      prober.requests.push(`${request.scheme} ${request.host}:${request.port}${request.path}`)
      return Promise.resolve(prober.http)
    },
    tcpConnect(host, port) {
      prober.requests.push(`TCP ${host}:${port}`)
      return Promise.resolve(prober.tcp)
    },
    grpcHealth: () => Promise.resolve({ ok: true, status: 'SERVING' }),
  }
  return prober
}
