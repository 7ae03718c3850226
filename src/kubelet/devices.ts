// Devices of device plugins: which there are, and whose each is. Allocations are kept in a file, so that a restarted
// kubelet knows them; devices are told again by the plugins, which register when they see the new socket.
import { createTurns } from '../client/turns.ts'
import type { Clock, Timer } from '../ports/clock.ts'
import type {
  DeviceAllocation,
  DevicePlugin,
  DevicePlugins,
  DeviceRegistration,
  PluginDevice,
} from '../ports/device-plugins.ts'
import type { Disk } from '../ports/disk.ts'
import type { Log } from '../ports/log.ts'
import type { DeviceSet } from '../ports/pod-resources.ts'
import { amount } from './resources.ts'
import { type Container, everyContainer, isSidecar, type Pod } from './types.ts'

const apiVersion = 'v1beta1'
/** A plugin that went away may be restarting: so long its devices are counted, but not given. */
const absenceMs = 300_000

interface Offer {
  plugin: DevicePlugin | undefined
  registration: DeviceRegistration
  devices: readonly PluginDevice[]
  readonly stop: AbortController
  removal: Timer | undefined
}
interface Held {
  readonly resource: string
  readonly ids: readonly string[]
  readonly allocation: DeviceAllocation
}
/** By container name. */
type PodHeld = Record<string, readonly Held[]>
interface Saved {
  readonly pods: Readonly<Record<string, PodHeld>>
  readonly resources: Readonly<Record<string, readonly string[]>>
}
export type DeviceCounts = Readonly<Record<string, { readonly capacity: number; readonly allocatable: number }>>

export interface DevicesOptions {
  /** Undefined where the node has no plugins. */
  readonly plugins: DevicePlugins | undefined
  readonly disk: Disk
  readonly clock: Clock
  readonly log: Log
  /** Folder of the sockets and of our file. */
  readonly directory: string
  /** The node has other devices now. */
  readonly onChange: () => void
}

export class Devices {
  readonly #options: DevicesOptions
  readonly #offers = new Map<string, Offer>()
  readonly #held = new Map<string, PodHeld>()
  /** Resources of an earlier run whose plugins have not come back: counted, not given. */
  readonly #remembered = new Map<string, readonly string[]>()
  /** Of plugins that are gone for good: reported as none. */
  readonly #former = new Set<string>()
  /** NUMA nodes by pod and container. */
  readonly #preferred = new Map<string, ReadonlyMap<string, number>>()
  #server: { close(): Promise<void> } | undefined
  /** One allocation at a time: none sees devices free that another is about to take. */
  readonly #inTurn = createTurns()
  constructor(options: DevicesOptions) {
    this.#options = options
  }

  async start(): Promise<void> {
    const { plugins, directory, disk } = this.#options
    if (plugins === undefined) return
    await disk.mkdir(directory, { mode: 0o750 })
    const text = await disk.readFile(this.#file)
    if (text !== undefined) {
      const saved = JSON.parse(new TextDecoder().decode(text)) as Saved
      for (const [uid, held] of Object.entries(saved.pods)) this.#held.set(uid, held)
      for (const [name, ids] of Object.entries(saved.resources)) this.#remembered.set(name, ids)
    }
    this.#server = await plugins.serve(directory, (registration) => this.#register(registration))
  }
  async stop(): Promise<void> {
    for (const offer of this.#offers.values()) this.#leave(offer)
    this.#offers.clear()
    await this.#server?.close()
  }

  /** For the node's status. */
  counts(): DeviceCounts {
    const counts: Record<string, { capacity: number; allocatable: number }> = {}
    for (const name of this.#former) counts[name] = { capacity: 0, allocatable: 0 }
    for (const [name, ids] of this.#remembered) counts[name] = { capacity: ids.length, allocatable: 0 }
    for (const [name, { devices, plugin }] of this.#offers) {
      const healthy = plugin === undefined ? 0 : devices.filter((d) => d.healthy).length
      counts[name] = { capacity: devices.length, allocatable: healthy }
    }
    return counts
  }
  /** How many devices of a resource sets of NUMA nodes have, in all and free; undefined where it says nothing of nodes. */
  countsBy(resource: string): readonly [(nodes: number) => number, (nodes: number) => number] | undefined {
    const healthy = this.#offers.get(resource)?.devices.filter((d) => d.healthy) ?? []
    if (!healthy.some((d) => d.numaNodes.length > 0)) return undefined
    const held = [...this.#held.values()].flatMap((pod) => Object.values(pod).flat())
    const taken = new Set(held.filter((h) => h.resource === resource).flatMap((h) => h.ids))
    const countOf = (devices: readonly PluginDevice[]) => (nodes: number) =>
      devices.filter((d) => isNear(d, nodes)).length
    return [countOf(healthy), countOf(healthy.filter((d) => !taken.has(d.id)))]
  }
  /** The NUMA nodes from which a pod's containers are to have their devices, where there are some. */
  prefer(uid: string, nodesOf: ReadonlyMap<string, number>): void {
    this.#preferred.set(uid, nodesOf)
  }
  /** Gives the pod's containers their devices. Answers why that is not possible. */
  async allocate(pod: Pod): Promise<string | undefined> {
    if (!this.#wants(pod)) return undefined
    return this.#inTurn(() => this.#allocate(pod))
  }
  /** What a container has got, one entry a resource. */
  of(uid: string, container: string): readonly DeviceAllocation[] {
    return this.#held.get(uid)?.[container]?.map((held) => held.allocation) ?? []
  }
  /** The same by name, for those who watch over devices. */
  heldBy(uid: string, container: string): readonly DeviceSet[] {
    return (this.#held.get(uid)?.[container] ?? []).map(({ resource, ids }) => this.#set(resource, ids))
  }
  /** Every healthy device. */
  allocatable(): readonly DeviceSet[] {
    return [...this.#offers].flatMap(([resource, { devices, plugin }]) => {
      const ids = devices.filter((d) => d.healthy).map((d) => d.id)
      return plugin === undefined || ids.length === 0 ? [] : [this.#set(resource, ids)]
    })
  }
  #set(resourceName: string, deviceIds: readonly string[]): DeviceSet {
    const known = this.#offers.get(resourceName)?.devices.filter((d) => deviceIds.includes(d.id)) ?? []
    const numaNodes = [...new Set(known.flatMap((d) => d.numaNodes))].sort((a, b) => a - b)
    return { resourceName, deviceIds, numaNodes }
  }
  /** Tells plugins that asked for it of a container that is about to start. Throws what they answer. */
  async preStart(uid: string, container: string): Promise<void> {
    for (const { resource, ids } of this.#held.get(uid)?.[container] ?? []) {
      const offer = this.#offers.get(resource)
      if (offer?.registration.preStartRequired === true) await offer.plugin?.preStart(ids)
    }
  }
  /** Pods that hold some. */
  holders(): readonly string[] {
    return [...this.#held.keys()]
  }
  /** The pod has ended: what it held is free. */
  async release(uid: string): Promise<void> {
    this.#preferred.delete(uid)
    if (this.#held.delete(uid)) await this.#save()
  }

  get #file(): string {
    return `${this.#options.directory}/kubelet_internal_checkpoint`
  }
  async #save(): Promise<void> {
    const resources = Object.fromEntries([
      ...this.#remembered,
      ...[...this.#offers].map(([name, { devices }]) => [name, devices.map((d) => d.id)] as const),
    ])
    const saved: Saved = { pods: Object.fromEntries(this.#held), resources }
    await this.#options.disk.replaceFile(this.#file, new TextEncoder().encode(JSON.stringify(saved)), { mode: 0o600 })
  }
  #wants(pod: Pod): boolean {
    if (this.#offers.size + this.#remembered.size === 0) return false
    return everyContainer(pod.spec).some((c) =>
      Object.keys(limitsOf(c)).some((name) => this.#offers.has(name) || this.#remembered.has(name)),
    )
  }

  async #allocate(pod: Pod): Promise<string | undefined> {
    const { uid } = pod.metadata
    const held: PodHeld = { ...this.#held.get(uid) }
    /** An init container ends before the others start: they may have what it had. */
    const passedOn = new Map<string, readonly string[]>()
    let changed = false
    for (const container of everyContainer(pod.spec)) {
      for (const name of Object.keys(limitsOf(container))) {
        const isInit = pod.spec.initContainers?.includes(container as Container) === true
        let mine = held[container.name]?.find((h) => h.resource === name)
        if (mine === undefined && (this.#offers.has(name) || this.#remembered.has(name))) {
          const size = amount(limitsOf(container), name)
          const result = await this.#choose(
            name,
            size,
            { uid, container: container.name, held },
            passedOn.get(name) ?? [],
          )
          if (typeof result === 'string') return result
          mine = result
          held[container.name] = [...(held[container.name] ?? []), mine]
          changed = true
        }
        if (mine === undefined) continue
        const before = passedOn.get(name) ?? []
        if (isInit && !isSidecar(container as Container)) passedOn.set(name, [...new Set([...before, ...mine.ids])])
        else
          passedOn.set(
            name,
            before.filter((id) => !mine.ids.includes(id)),
          )
      }
    }
    if (!changed) return undefined
    this.#held.set(uid, held)
    await this.#save()
    return undefined
  }
  /** Boundary: what a plugin refuses is the answer. */
  async #choose(
    resource: string,
    size: number,
    { uid, container, held: own }: { readonly uid: string; readonly container: string; readonly held: PodHeld },
    reusable: readonly string[],
  ): Promise<Held | string> {
    const offer = this.#offers.get(resource)
    const plugin = offer?.plugin
    if (offer === undefined || plugin === undefined)
      return `Allocate failed due to no healthy devices present; cannot allocate unhealthy devices ${resource}, which is unexpected`
    const taken = new Set<string>()
    for (const [other, pod] of [...this.#held, [uid, own] as const])
      if (other !== uid || pod === own)
        for (const held of Object.values(pod).flat())
          if (held.resource === resource) for (const id of held.ids) taken.add(id)
    const nodes = this.#preferred.get(uid)?.get(container)
    const rank = (d: PluginDevice) =>
      Number(reusable.includes(d.id)) * 2 + Number(nodes !== undefined && isNear(d, nodes))
    const sorted = offer.devices
      .filter((d) => d.healthy && (!taken.has(d.id) || reusable.includes(d.id)))
      .sort((a, b) => rank(b) - rank(a) || (a.id < b.id ? -1 : 1))
    const free = sorted.map((d) => d.id)
    const near = nodes === undefined ? free : sorted.filter((d) => isNear(d, nodes)).map((d) => d.id)
    if (free.length < size)
      return `Allocate failed due to requested number of devices unavailable for ${resource}. Requested: ${size}, Available: ${free.length}, which is unexpected`
    try {
      let ids = free.slice(0, size)
      if (offer.registration.preferredAllocation && free.length > size) {
        const offered = near.length >= size ? near : free
        const preferred = (await plugin.preferred(offered, size)).filter((id) => offered.includes(id))
        ids = [...new Set([...preferred, ...free])].slice(0, size)
      }
      return { resource, ids, allocation: await plugin.allocate(ids) }
    } catch (error) {
      return `Allocate failed due to ${error instanceof Error ? error.message : String(error)}, which is unexpected`
    }
  }

  async #register(registration: DeviceRegistration): Promise<void> {
    const { plugins, directory, log, clock } = this.#options
    const { resourceName, version, endpoint } = registration
    if (version !== apiVersion)
      throw new Error(
        `requested API version "${version}" is not supported by kubelet. Supported version is "${apiVersion}"`,
      )
    if (!/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?\/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/.test(resourceName))
      throw new Error(`the ResourceName "${resourceName}" is invalid`)
    if (plugins === undefined) return
    const before = this.#offers.get(resourceName)
    if (before !== undefined) this.#leave(before)
    const plugin = plugins.connect(directory, endpoint)
    const offer: Offer = {
      plugin,
      registration,
      devices: before?.devices ?? [],
      stop: new AbortController(),
      removal: undefined,
    }
    this.#offers.set(resourceName, offer)
    this.#former.delete(resourceName)
    log.info('a device plugin registered', { resource: resourceName, endpoint })
    void this.#follow(resourceName, offer, plugin).then(() => {
      if (this.#offers.get(resourceName) !== offer || offer.stop.signal.aborted) return
      offer.plugin = undefined
      plugin.close()
      this.#options.onChange()
      offer.removal = clock.after(absenceMs, () => {
        this.#offers.delete(resourceName)
        this.#former.add(resourceName)
        this.#options.onChange()
      })
    })
  }
  /** Boundary: a plugin whose stream breaks is gone until it registers again. */
  async #follow(name: string, offer: Offer, plugin: DevicePlugin): Promise<void> {
    try {
      for await (const devices of plugin.watch(offer.stop.signal)) {
        offer.devices = devices
        this.#remembered.delete(name)
        await this.#save()
        this.#options.onChange()
      }
    } catch (error) {
      if (!offer.stop.signal.aborted)
        this.#options.log.warn('a device plugin went away', { resource: name, error: String(error) })
    }
  }
  #leave(offer: Offer): void {
    offer.stop.abort()
    offer.removal?.cancel()
    offer.plugin?.close()
  }
}

/** A device that says nothing of nodes is near all. */
const isNear = ({ numaNodes }: PluginDevice, nodes: number): boolean =>
  numaNodes.length === 0 || numaNodes.some((node) => (nodes & (1 << node)) !== 0)

const limitsOf = (container: ReturnType<typeof everyContainer>[number]): Readonly<Record<string, string>> =>
  'resources' in container ? (container.resources?.limits ?? {}) : {}
