// The static CPU policy (https://kubernetes.io/docs/tasks/administer-cluster/cpu-management-policies/): a Guaranteed
// container that asks for whole CPUs gets them for itself, whole cores and sockets first; all others share the rest. The
// choice is pure; assignments are kept in a file in upstream's form, so that a restarted kubelet keeps them.
import type { ContainerRuntime } from '../ports/container-runtime.ts'
import type { Disk } from '../ports/disk.ts'
import type { Log } from '../ports/log.ts'
import type { MachineFacts } from '../ports/node-host.ts'
import type { KubeletConfig } from './config.ts'
import { formatCpus, parseCpus } from './cpu-list.ts'
import { containerNameOf, podUidOf } from './labels.ts'
import { amount, qosOf, reservedAmount } from './resources.ts'
import type { RuntimeView } from './runtime-view.ts'
import { type Container, isSidecar, type Pod } from './types.ts'

type Topology = MachineFacts['topology']

/** `count` of the free CPUs: whole sockets, then whole cores, then what is left, from where least is free. */
export function takeCpus(topology: Topology, free: ReadonlySet<number>, count: number): readonly number[] | undefined {
  if (free.size < count) return undefined
  const taken: number[] = []
  const left = () => topology.filter(({ cpu }) => free.has(cpu) && !taken.includes(cpu))
  const groups = (cpus: Topology, keyOf: (cpu: Topology[number]) => string) => {
    const found = new Map<string, Topology>()
    for (const cpu of cpus) found.set(keyOf(cpu), [...(found.get(keyOf(cpu)) ?? []), cpu])
    return found
  }
  const socketOf = (c: Topology[number]) => String(c.socket)
  const coreOf = (c: Topology[number]) => `${c.socket}/${c.core}`
  for (const keyOf of [socketOf, coreOf]) {
    const whole = groups(topology, keyOf)
    const freeNow = groups(left(), keyOf)
    for (const [key, cpus] of [...freeNow].sort(([, a], [, b]) => (a[0]?.cpu ?? 0) - (b[0]?.cpu ?? 0)))
      if (cpus.length === whole.get(key)?.length && cpus.length <= count - taken.length)
        taken.push(...cpus.map((c) => c.cpu))
  }
  const bySocket = groups(left(), socketOf)
  const byCore = groups(left(), coreOf)
  const rest = left().sort(
    (a, b) =>
      (bySocket.get(socketOf(a))?.length ?? 0) - (bySocket.get(socketOf(b))?.length ?? 0) ||
      (byCore.get(coreOf(a))?.length ?? 0) - (byCore.get(coreOf(b))?.length ?? 0) ||
      a.cpu - b.cpu,
  )
  taken.push(...rest.slice(0, count - taken.length).map((c) => c.cpu))
  return taken.sort((a, b) => a - b)
}

/** The same, from these NUMA nodes first. */
function takeNear(topology: Topology, free: ReadonlySet<number>, count: number, nodes: number | undefined) {
  if (nodes === undefined) return takeCpus(topology, free, count)
  const near = new Set(topology.filter((c) => free.has(c.cpu) && isIn(nodes, c.numaNode)).map((c) => c.cpu))
  const first = takeCpus(topology, near, Math.min(count, near.size)) ?? []
  const others = new Set([...free].filter((cpu) => !first.includes(cpu)))
  const rest = takeCpus(topology, others, count - first.length)
  return rest === undefined ? undefined : [...first, ...rest].sort((a, b) => a - b)
}
const isIn = (nodes: number, node: number): boolean => (nodes & (1 << node)) !== 0

/** How many CPUs a container has for itself; 0 where it shares. */
export function exclusiveCpus(pod: Pod, container: Container): number {
  const milli = amount(container.resources?.requests ?? container.resources?.limits, 'cpu')
  return qosOf(pod) === 'Guaranteed' && milli > 0 && milli % 1000 === 0 ? milli / 1000 : 0
}

/** CPUs that stay shared: those that are named, else as many of the first as the reserved amounts make. */
export function reservedCpus(config: Parameters<typeof reservedAmount>[0], topology: Topology): readonly number[] {
  if (config.reservedSystemCpus !== undefined) return parseCpus(config.reservedSystemCpus)
  const all = new Set(topology.map((c) => c.cpu))
  return takeCpus(topology, all, Math.min(all.size, Math.ceil(reservedAmount(config, 'cpu') / 1000))) ?? []
}

interface Saved {
  readonly policyName: string
  readonly defaultCpuSet: string
  readonly entries?: Readonly<Record<string, Readonly<Record<string, string>>>>
}
export interface CpusOptions extends Pick<KubeletConfig, 'fullPcpusOnly' | 'strictCpuReservation'> {
  readonly policy: 'none' | 'static'
  /** Never given to one container alone. */
  readonly reserved: readonly number[]
  readonly topology: Topology
  readonly disk: Disk
  readonly runtime: ContainerRuntime
  readonly view: RuntimeView
  readonly log: Log
  readonly file: string
}

export class Cpus {
  readonly #options: CpusOptions
  /** CPUs by pod UID and container name. */
  readonly #own = new Map<string, Map<string, readonly number[]>>()
  #saving: Promise<void> = Promise.resolve()
  constructor(options: CpusOptions) {
    this.#options = options
  }
  async start(): Promise<void> {
    const { policy, disk, file } = this.#options
    if (policy === 'none') return disk.remove(file)
    const text = await disk.readFile(file)
    if (text === undefined) return this.#save()
    const saved = JSON.parse(new TextDecoder().decode(text)) as Saved
    for (const [uid, containers] of Object.entries(saved.entries ?? {}))
      this.#own.set(uid, new Map(Object.entries(containers).map(([name, cpus]) => [name, parseCpus(cpus)])))
  }

  /** Whether a container is to have CPUs of its own. */
  wants(pod: Pod, container: Container): boolean {
    return this.#options.policy === 'static' && exclusiveCpus(pod, container) > 0
  }
  /** How many CPUs sets of NUMA nodes have for containers alone, in all and free of others and of `taken`. */
  countsBy(taken: ReadonlySet<number>): readonly [(nodes: number) => number, (nodes: number) => number] {
    const { topology } = this.#options
    const countOf = (cpus: readonly number[]) => (nodes: number) =>
      topology.filter((c) => cpus.includes(c.cpu) && isIn(nodes, c.numaNode)).length
    return [countOf(this.allocatable()), countOf(this.#free().filter((cpu) => !taken.has(cpu)))]
  }
  /** The CPUs that `allocate` will give a container. */
  wouldTake(pod: Pod, container: Container, nodes: number, taken: ReadonlySet<number>): readonly number[] {
    if (!this.wants(pod, container)) return []
    const free = new Set(this.#free().filter((cpu) => !taken.has(cpu)))
    return takeNear(this.#options.topology, free, exclusiveCpus(pod, container), nodes) ?? []
  }
  /** Gives a pod the CPUs that are its own, from the NUMA nodes of each container first; answers why that is not possible. */
  allocate(pod: Pod, nodesOf: ReadonlyMap<string, number> = new Map()): string | undefined {
    if (this.#options.policy === 'none' || this.#own.has(pod.metadata.uid)) return undefined
    const { initContainers = [], containers } = pod.spec
    const lasting = [...initContainers.filter(isSidecar), ...containers]
    const mine = new Map<string, readonly number[]>()
    const free = new Set(this.#free())
    const take = (name: string, count: number, from: ReadonlySet<number>): string | undefined => {
      const cpus = takeNear(this.#options.topology, from, count, nodesOf.get(name))
      if (cpus === undefined)
        return `Allocate failed due to not enough cpus available to satisfy request: requested=${count}, available=${from.size}, which is unexpected`
      mine.set(name, cpus)
      return undefined
    }
    for (const container of lasting) {
      const count = exclusiveCpus(pod, container)
      const why = count === 0 ? undefined : take(container.name, count, free)
      if (why !== undefined) return why
      for (const cpu of mine.get(container.name) ?? []) free.delete(cpu)
    }
    // Init containers have ended before the others start: they use what these will have.
    const later = new Set([...containers.flatMap((c) => mine.get(c.name) ?? []), ...free])
    for (const container of initContainers.filter((c) => !isSidecar(c))) {
      const count = exclusiveCpus(pod, container)
      const why = count === 0 ? undefined : take(container.name, count, later)
      if (why !== undefined) return why
    }
    if (mine.size === 0) return undefined
    this.#own.set(pod.metadata.uid, mine)
    this.#changed()
    return undefined
  }
  /** Why a pod cannot have whole cores, where containers get no less; undefined where it can. */
  refuseThreads(pod: Pod): string | undefined {
    const { policy, fullPcpusOnly, topology } = this.#options
    if (policy === 'none' || !fullPcpusOnly) return undefined
    const free = new Set(this.#free())
    const threads = new Map<string, number[]>()
    for (const { socket, core, cpu } of topology) {
      const key = `${socket}/${core}`
      threads.set(key, [...(threads.get(key) ?? []), cpu])
    }
    const perCore = Math.max(1, ...[...threads.values()].map((cpus) => cpus.length))
    const whole = [...threads.values()].filter((cpus) => cpus.every((cpu) => free.has(cpu))).flat().length
    const { initContainers = [], containers } = pod.spec
    let wanted = 0
    for (const container of [...initContainers, ...containers]) {
      const count = exclusiveCpus(pod, container)
      if (count % perCore !== 0)
        return `SMT Alignment Error: requested ${count} cpus not multiple cpus per core = ${perCore}`
      if (containers.includes(container) || isSidecar(container)) wanted += count
    }
    return wanted <= whole
      ? undefined
      : `SMT Alignment Error: not enough free physical CPUs: available physical CPUs = ${whole}, requested CPUs = ${wanted}, CPUs per core = ${perCore}`
  }
  /** The CPUs a container may run on; undefined where the policy says nothing. */
  cpusetOf(uid: string, container: string): string | undefined {
    if (this.#options.policy === 'none') return undefined
    return formatCpus(this.#own.get(uid)?.get(container) ?? this.#shared())
  }
  /** CPUs that a container has for itself. */
  ownOf(uid: string, container: string): readonly number[] {
    return this.#own.get(uid)?.get(container) ?? []
  }
  /** All that containers can have for themselves; none without the static policy. */
  allocatable(): readonly number[] {
    const { policy, topology, reserved } = this.#options
    return policy === 'none' ? [] : topology.map((c) => c.cpu).filter((cpu) => !reserved.includes(cpu))
  }
  /** Whether a container, or any of the pod, has CPUs of its own. */
  hasOwn(uid: string, container?: string): boolean {
    const own = this.#own.get(uid)
    return own !== undefined && (container === undefined || own.has(container))
  }
  /** Pods that have some for themselves. */
  holders(): readonly string[] {
    return [...this.#own.keys()]
  }
  /** The pod has ended: its CPUs are everybody's again. */
  release(uid: string): void {
    if (this.#own.delete(uid)) this.#changed()
  }

  #taken(): ReadonlySet<number> {
    return new Set([...this.#own.values()].flatMap((containers) => [...containers.values()].flat()))
  }
  #shared(): readonly number[] {
    const { strictCpuReservation, reserved } = this.#options
    const left = this.#left()
    return strictCpuReservation ? left.filter((cpu) => !reserved.includes(cpu)) : left
  }
  /** What no container has for itself. */
  #left(): readonly number[] {
    const taken = this.#taken()
    return this.#options.topology.map((c) => c.cpu).filter((cpu) => !taken.has(cpu))
  }
  #free(): readonly number[] {
    return this.#left().filter((cpu) => !this.#options.reserved.includes(cpu))
  }
  /** Boundary: containers that cannot be moved now are told of; they get the right set with their next start. */
  #changed(): void {
    const { log } = this.#options
    this.#saving = this.#saving
      .then(async () => {
        await this.#save()
        await this.#moveSharers()
      })
      .catch((error: unknown) => log.warn('cannot spread containers over the CPUs', { error: String(error) }))
  }
  async #moveSharers(): Promise<void> {
    const { view, runtime } = this.#options
    const cpusetCpus = formatCpus(this.#shared())
    for (const status of view.containers()) {
      const uid = podUidOf(status)
      if (status.state !== 'running' || this.#own.get(uid)?.has(containerNameOf(status)) === true) continue
      await runtime.updateContainerResources(status.id, { cpusetCpus })
    }
  }
  async #save(): Promise<void> {
    const entries = Object.fromEntries(
      [...this.#own].map(([uid, containers]) => [
        uid,
        Object.fromEntries([...containers].map(([name, cpus]) => [name, formatCpus(cpus)])),
      ]),
    )
    const saved: Saved = { policyName: this.#options.policy, defaultCpuSet: formatCpus(this.#shared()), entries }
    await this.#options.disk.replaceFile(this.#options.file, new TextEncoder().encode(JSON.stringify(saved)))
  }
}
