// A whole cluster on virtual time, ready to be asked: control plane, simulated nodes, checkers and a journal. Nothing moves
// unless `advance`, `until` or `run` lets time pass.
import { type Cluster, type ClusterOptions, startCluster } from '../cluster.ts'
import { pods } from '../api/core/pod.ts'
import type { KubeletConfig } from '../kubelet/config.ts'
import type { StopOptions } from '../kubelet/kubelet.ts'
import { every } from '../ports/clock.ts'
import { openMemoryStore } from '../store/memory.ts'
import { type Checkers, startCheckers } from './checkers.ts'
import { Link } from './faults.ts'
import { type Journal, startJournal } from './journal.ts'
import type { SimNode, SimNodeOptions } from './sim-node.ts'
import { type SimOptions, type SimPorts, simPorts } from './sim-ports.ts'

export interface SimClusterOptions extends SimOptions, Omit<ClusterOptions, 'store'> {
  /** How many nodes, named node-1, node-2 ..., or what each is like by name. Default: 1. */
  readonly nodes?: number | Readonly<Record<string, SimNodeOptions>>
  /** Settings of every node's agent. Slower heartbeats make long times pass faster. */
  readonly kubelet?: Partial<KubeletConfig>
  /** Keep every write as a line (`journal`). Default: true. */
  readonly journal?: boolean
}
export interface SimCluster extends Cluster {
  readonly sim: SimPorts
  readonly machines: ReadonlyMap<string, SimNode>
  readonly checkers: Checkers
  readonly journal: Journal | undefined
  /** Lets everything happen that needs no time. */
  settle(): Promise<void>
  /** Lets virtual time pass. */
  advance(ms: number): Promise<void>
  /** Lets time pass until the promise is settled; answers its value. */
  run<T>(promise: Promise<T>): Promise<T>
  /** Lets time pass until `check` answers something; throws when it does not within `maxMs` (default 10 minutes). */
  until<T>(check: () => Promise<T | undefined | false>, maxMs?: number): Promise<T>
  /** Adds a simulated machine with its agent. */
  addMachine(name: string, options?: SimNodeOptions): Promise<SimNode>
  /** Cuts a node off from the API; its containers run on. */
  partition(name: string): void
  /** Mends the link again. */
  reconnect(name: string): void
  /** The machine dies: its agent and every container on it. */
  powerOff(name: string): Promise<void>
  /** The machine boots and its agent starts; the containers of before are there, ended. */
  powerOn(name: string): Promise<void>
}

const pollMs = 100
/** As much history is kept, and at most twice as much. */
const historyMs = 3_600_000
const simNetwork = { clusterCidrs: ['10.244.0.0/16'], dnsAddresses: ['10.96.0.10'] } as const

/** Starts a simulated cluster and waits until its nodes are ready to be used. */
export async function startSimCluster(options: SimClusterOptions = {}): Promise<SimCluster> {
  const sim = simPorts(options)
  const { clock, faults } = sim
  const machines = new Map<string, SimNode>()
  const links = new Map<string, Link>()
  const checkers = startCheckers(openMemoryStore({ clock }), clock, () => machines.values())
  const journal = options.journal === false ? undefined : startJournal(checkers.store, clock)
  clock.onStep = () => checkers.step()
  const cluster = await clock.run(startCluster(sim, { ...simNetwork, ...options, store: checkers.store }))
  checkers.watchPods(cluster.informers.informer(pods))
  let anHourAgo = checkers.store.currentRevision()
  const forgetting = every(clock, historyMs, async () => {
    await checkers.store.compact(anHourAgo)
    anHourAgo = checkers.store.currentRevision()
  })

  const linkOf = (name: string): Link => {
    const link = links.get(name) ?? new Link()
    links.set(name, link)
    return link
  }
  const startAgent = async (machine: SimNode) => {
    const { name, runtime, disk } = machine
    await clock.run(
      cluster.addNode({
        name,
        ...(options.kubelet === undefined ? {} : { config: options.kubelet }),
        ports: { ...machine, runtime: faults.runtime(runtime, name), disk: faults.disk(disk, name) },
        transport: (inner) => linkOf(name).over(faults.transport(inner, name)),
      }),
    )
  }
  const machineOf = (name: string): SimNode => {
    const machine = machines.get(name)
    if (machine === undefined) throw new Error(`there is no machine ${name}`)
    return machine
  }

  const simCluster: SimCluster = {
    ...cluster,
    sim,
    machines,
    checkers,
    journal,
    settle: () => clock.settle(),
    advance: (ms) => clock.advance(ms),
    run: (promise) => clock.run(promise),
    async until(check, maxMs = 600_000) {
      const endMs = clock.monotonic() + maxMs
      for (;;) {
        const found = await clock.run(check())
        if (found !== undefined && found !== false) return found
        if (clock.monotonic() >= endMs) throw new Error(`it did not come true within ${maxMs} ms of virtual time`)
        await clock.advance(pollMs)
      }
    },
    async addMachine(name, nodeOptions) {
      const machine = await sim.node(name, nodeOptions)
      machines.set(name, machine)
      await startAgent(machine)
      return machine
    },
    partition: (name) => linkOf(name).down(),
    reconnect: (name) => linkOf(name).mend(),
    async powerOff(name) {
      const { runtime } = machineOf(name)
      linkOf(name).down()
      runtime.powerOff()
      const node = cluster.nodes.get(name)
      if (node !== undefined) await clock.run(node.stop({ pods: 'keep' }))
    },
    async powerOn(name) {
      const machine = machineOf(name)
      machine.runtime.powerOn()
      linkOf(name).mend()
      await startAgent(machine)
    },
    async stop(stopOptions?: StopOptions) {
      forgetting.cancel()
      await clock.run(cluster.stop(stopOptions))
      clock.onStep = undefined
      journal?.stop()
      checkers.stop()
      await clock.run(checkers.store.close())
    },
  }
  const { nodes = 1 } = options
  const wanted =
    typeof nodes === 'number'
      ? Array.from({ length: nodes }, (_, i): [string, SimNodeOptions] => [`node-${i + 1}`, {}])
      : Object.entries(nodes)
  for (const [name, nodeOptions] of wanted) await simCluster.addMachine(name, nodeOptions)
  await clock.settle()
  return simCluster
}
