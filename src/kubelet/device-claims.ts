// The devices of ResourceClaims (KEP-4381): drivers on the node make them ready before a pod's first container, and take
// them back after the last pod's end. What was made ready is kept in a file, so that a restarted kubelet can take it back.
import { claimsOfPod, extendedPodClaim, isMadeFor, usesClaims } from '../api/resource/pod-claims.ts'
import { type ResourceClaim, resourceClaims, resourceSlices } from '../api/resource/resource.ts'
import type { Client } from '../client/client.ts'
import { createTurns } from '../client/turns.ts'
import type { Clock, Timer } from '../ports/clock.ts'
import type { Disk } from '../ports/disk.ts'
import type { Log } from '../ports/log.ts'
import type { ClaimName, DeviceDriver, NodePlugin, NodePlugins, PreparedDevice } from '../ports/node-plugins.ts'
import type { ClaimSet } from '../ports/pod-resources.ts'
import { type AnyContainer, namespaceOf, type Pod } from './types.ts'

/** Of each driver by its name. */
type Devices = Readonly<Record<string, readonly PreparedDevice[]>>
interface Prepared extends ClaimName {
  readonly pods: readonly string[]
  /** Undefined while some driver has yet to make its devices ready. */
  readonly devices: Devices | undefined
  readonly drivers: readonly string[]
}
interface Driver {
  readonly plugin: NodePlugin
  readonly calls: DeviceDriver
  connected: boolean
}

/** Slices of a driver that has gone, or was not reached, so long tell of devices that nobody can use. */
const absenceMs = 30_000

export interface DeviceClaimsOptions {
  /** Undefined where the node has no plugins. */
  readonly plugins: NodePlugins | undefined
  readonly client: Client
  readonly disk: Disk
  readonly clock: Clock
  readonly log: Log
  readonly nodeName: string
  /** Where drivers put their sockets to register. */
  readonly directory: string
  readonly file: string
  /** A driver came: pods that wait for it may go on. */
  readonly onDriver: () => void
}

export class DeviceClaims {
  readonly #options: DeviceClaimsOptions
  /** Several of one name while a driver is replaced: the newest that is connected is asked. */
  readonly #drivers = new Map<string, Driver[]>()
  /** By UID of the claim. */
  readonly #claims = new Map<string, Prepared>()
  readonly #wipes = new Map<string, Timer>()
  #watching: { close(): void } | undefined
  /** One change at a time: two pods that share a claim have it prepared once. */
  readonly #inTurn = createTurns()
  constructor(options: DeviceClaimsOptions) {
    this.#options = options
  }

  async start(): Promise<void> {
    const { plugins, directory, disk, file } = this.#options
    if (plugins === undefined) return
    await disk.mkdir(directory, { mode: 0o750 })
    const text = await disk.readFile(file)
    if (text !== undefined)
      for (const claim of JSON.parse(new TextDecoder().decode(text)) as Prepared[]) this.#claims.set(claim.uid, claim)
    this.#watching = await plugins.watch(directory, {
      register: (plugin) => this.#register(plugin),
      gone: (plugin) => this.#gone(plugin),
    })
    // No driver has registered yet; those that come tell of their devices anew.
    this.#wipe('', 0)
  }
  stop(): void {
    this.#watching?.close()
    for (const timer of this.#wipes.values()) timer.cancel()
    for (const { calls } of [...this.#drivers.values()].flat()) calls.close()
    this.#drivers.clear()
  }

  /** Has every device of a pod made ready. Answers why that is not possible now; it may be tried again. */
  prepare(pod: Pod): Promise<string | undefined> {
    if (!usesClaims(pod)) return Promise.resolve(undefined)
    return this.#inTurn(() => this.#prepare(pod))
  }
  /** The pod's containers have ended. Throws where a driver cannot take its devices back now; it may be tried again. */
  release(uid: string): Promise<void> {
    if (!this.#isUser(uid)) return Promise.resolve()
    return this.#inTurn(() => this.#release(uid))
  }
  /** Users of claims that the node knows nothing of any more. */
  usersBut(known: (uid: string) => boolean): readonly string[] {
    return [...new Set([...this.#claims.values()].flatMap(({ pods }) => pods))].filter((uid) => !known(uid))
  }
  /** Names of the devices that the runtime gives a container. */
  cdiDevicesOf(pod: Pod, container: AnyContainer): readonly string[] {
    const every = this.#devicesOf(pod, container).flatMap(({ devices }) => devices.flatMap((d) => d.cdiDevices))
    return [...new Set(every)]
  }
  /** The same, for those who watch over devices. */
  heldBy(pod: Pod, container: AnyContainer): readonly ClaimSet[] {
    return this.#devicesOf(pod, container).map(({ claim: { namespace, name }, driver, devices }) => ({
      claimNamespace: namespace,
      claimName: name,
      devices: devices.map(({ pool, device, cdiDevices, shareId }) => ({ driver, pool, device, cdiDevices, shareId })),
    }))
  }

  #devicesOf(pod: Pod, container: AnyContainer) {
    const named = ('resources' in container ? container.resources?.claims : undefined) ?? []
    const extended = pod.status.extendedResourceClaimStatus?.requestMappings ?? []
    const asked = extended.filter(({ containerName }) => containerName === container.name)
    const wished = [...named, ...asked.map(({ requestName }) => ({ name: extendedPodClaim, request: requestName }))]
    const own = claimsOfPod(pod)
    return wished.flatMap(({ name, request }) => {
      const known = own.find((c) => c.podClaim === name)
      const claim = [...this.#claims.values()].find(
        (c) => c.name === known?.name && c.namespace === namespaceOf(pod) && c.pods.includes(pod.metadata.uid),
      )
      if (claim === undefined) return []
      return Object.entries(claim.devices ?? {}).map(([driver, devices]) => ({
        claim,
        driver,
        devices: devices.filter((d) => isOf(d, request)),
      }))
    })
  }
  #isUser(uid: string): boolean {
    return [...this.#claims.values()].some(({ pods }) => pods.includes(uid))
  }
  async #save(): Promise<void> {
    const { disk, file } = this.#options
    const text = JSON.stringify([...this.#claims.values()])
    await disk.replaceFile(file, new TextEncoder().encode(text), { mode: 0o600 })
  }

  async #prepare(pod: Pod): Promise<string | undefined> {
    const { uid } = pod.metadata
    const wanted = new Map<string, ClaimName[]>()
    let changed = false
    for (const { podClaim, name, template } of claimsOfPod(pod)) {
      if (name === undefined) return `pod claim ${podClaim}: ResourceClaim not created yet`
      const title = `${namespaceOf(pod)}/${name}`
      const known = [...this.#claims.values()].find((c) => c.name === name && c.namespace === namespaceOf(pod))
      if (known?.devices !== undefined && known.pods.includes(uid)) continue
      const claim = await this.#options.client.resource(resourceClaims).find(name, namespaceOf(pod))
      const why = refusal(pod, claim, title, template !== undefined)
      if (why !== undefined || claim === undefined) return why
      const before = this.#claims.get(claim.metadata.uid)
      if (known !== undefined && known.uid !== claim.metadata.uid)
        return `ResourceClaim ${title} was replaced, and the devices of the old one are still in use`
      const drivers = [...new Set((claim.status.allocation?.devices.results ?? []).map((r) => r.driver))]
      const pods = [...new Set([...(before?.pods ?? []), uid])]
      const id: ClaimName = { uid: claim.metadata.uid, namespace: namespaceOf(pod), name }
      this.#claims.set(id.uid, {
        ...id,
        pods,
        drivers,
        devices: before?.devices ?? (drivers.length === 0 ? {} : undefined),
      })
      changed = true
      if (before?.devices === undefined)
        for (const driver of drivers) wanted.set(driver, [...(wanted.get(driver) ?? []), id])
    }
    // Known before any driver is called: whatever happens in between, it is taken back.
    if (changed) await this.#save()
    return this.#askDrivers(wanted)
  }
  async #askDrivers(wanted: ReadonlyMap<string, readonly ClaimName[]>): Promise<string | undefined> {
    const ready = new Map<string, Record<string, readonly PreparedDevice[]>>()
    for (const name of wanted.keys())
      if (this.#driver(name) === undefined) return `prepare dynamic resources: DRA driver ${name} is not registered`
    for (const [name, claims] of wanted) {
      const answers = await this.#ask(name, (driver) => driver.prepare(claims))
      for (const { uid, ...claim } of claims) {
        const devices = answers(uid)
        if (devices instanceof Error) return failure('NodePrepareResources', claim, devices)
        ready.set(uid, { ...ready.get(uid), [name]: devices })
      }
    }
    if (ready.size === 0) return undefined
    for (const [uid, devices] of ready) {
      const claim = this.#claims.get(uid)
      if (claim !== undefined) this.#claims.set(uid, { ...claim, devices })
    }
    await this.#save()
    return undefined
  }

  async #release(uid: string): Promise<void> {
    const last: Prepared[] = []
    for (const claim of this.#claims.values()) {
      if (!claim.pods.includes(uid)) continue
      if (claim.pods.length === 1) last.push(claim)
      else this.#claims.set(claim.uid, { ...claim, pods: claim.pods.filter((pod) => pod !== uid) })
    }
    const failures: string[] = []
    const undone = new Set<string>()
    for (const driver of new Set(last.flatMap(({ drivers }) => drivers))) {
      const claims = last.filter(({ drivers }) => drivers.includes(driver))
      const names = claims.map(({ uid: id, namespace, name }) => ({ uid: id, namespace, name }))
      const answers = await this.#ask(driver, (calls) => calls.unprepare(names))
      for (const { uid: id, ...claim } of names) {
        const error = answers(id)
        if (error === undefined) continue
        undone.add(id)
        failures.push(failure('NodeUnprepareResources', claim, error))
      }
    }
    for (const claim of last) if (!undone.has(claim.uid)) this.#claims.delete(claim.uid)
    await this.#save()
    if (failures.length > 0) throw new Error(failures.join('; '))
  }

  /** What a driver answers for each claim, by its UID. Boundary: a driver that cannot be asked has failed for all. */
  async #ask<T>(
    name: string,
    call: (driver: DeviceDriver) => Promise<ReadonlyMap<string, T>>,
  ): Promise<(uid: string) => T | Error> {
    const driver = this.#driver(name)
    if (driver === undefined) return () => new Error(`DRA driver ${name} is not registered`)
    try {
      const answers = await call(driver.calls)
      return (uid) =>
        answers.has(uid) ? (answers.get(uid) as T) : new Error('the driver answered nothing for the claim')
    } catch (error) {
      return () => asError(error)
    }
  }
  #driver(name: string): Driver | undefined {
    const known = this.#drivers.get(name)
    return known?.findLast(({ connected }) => connected) ?? known?.at(-1)
  }
  #register(plugin: NodePlugin): Promise<void> {
    const { plugins } = this.#options
    if (plugin.type !== 'DRAPlugin' || plugins === undefined)
      return Promise.reject(new Error(`no handler registered for plugin type: ${plugin.type}`))
    const known = this.#drivers.get(plugin.name) ?? []
    if (known.some((driver) => driver.plugin.endpoint === plugin.endpoint))
      return Promise.reject(new Error(`endpoint ${plugin.endpoint} of DRA driver ${plugin.name} is already registered`))
    try {
      const tell = (connected: boolean) => this.#connection(driver, connected)
      const driver: Driver = { plugin, calls: plugins.driver(plugin, tell), connected: false }
      this.#drivers.set(plugin.name, [...known, driver])
      this.#watchOver(plugin.name)
      return Promise.resolve()
    } catch (error) {
      return Promise.reject(asError(error))
    }
  }
  /** A driver that was killed leaves its socket: only the connection tells. */
  #connection(driver: Driver, connected: boolean): void {
    driver.connected = connected
    this.#watchOver(driver.plugin.name)
    if (connected) this.#options.onDriver()
  }
  #gone(plugin: NodePlugin): void {
    const known = this.#drivers.get(plugin.name) ?? []
    for (const { plugin: one, calls } of known) if (one.endpoint === plugin.endpoint) calls.close()
    const left = known.filter((driver) => driver.plugin.endpoint !== plugin.endpoint)
    if (left.length > 0) this.#drivers.set(plugin.name, left)
    else this.#drivers.delete(plugin.name)
    this.#watchOver(plugin.name)
  }
  /** What nobody of a driver's name is there to stand for is taken away after a while. */
  #watchOver(name: string): void {
    if (this.#drivers.get(name)?.some(({ connected }) => connected) === true) {
      this.#wipes.get(name)?.cancel()
      this.#wipes.delete(name)
    } else if (!this.#wipes.has(name)) this.#wipe(name, absenceMs)
  }
  /** Takes away what a driver, or all of them, told of this node's devices: a kubelet may delete such slices, not read them. */
  #wipe(driver: string, delayMs: number): void {
    const { clock, client, nodeName, log } = this.#options
    const of = [`spec.nodeName=${nodeName}`, ...(driver === '' ? [] : [`spec.driver=${driver}`])]
    const wipe = () => {
      this.#wipes.delete(driver)
      return client
        .resource(resourceSlices)
        .deleteCollection({ fieldSelector: of.join(',') })
        .catch((error: unknown) => {
          // Boundary: without the API nobody is told of devices that are not there.
          log.warn('cannot take away the resource slices of an absent driver', { driver, error: String(error) })
          if (driver === '') this.#wipe(driver, absenceMs)
          else this.#watchOver(driver)
        })
    }
    this.#wipes.set(
      driver,
      clock.after(delayMs, () => void wipe()),
    )
  }
}

const failure = (call: string, { namespace, name }: Omit<ClaimName, 'uid'>, { message }: Error): string =>
  `${call} failed for ResourceClaim ${namespace}/${name}: ${message}`
const asError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)))
/** Whether a device belongs to a request, "name" or "name/alternative"; to none named: to all. */
const isOf = ({ requests }: PreparedDevice, request: string | undefined): boolean =>
  !request || requests.length === 0 || requests.some((r) => r === request || r.startsWith(`${request}/`))

/** Why a pod may not use a claim. */
function refusal(pod: Pod, claim: ResourceClaim | undefined, title: string, made: boolean): string | undefined {
  const { uid, name } = pod.metadata
  if (claim === undefined) return `failed to fetch ResourceClaim ${title}: resourceclaims.resource.k8s.io not found`
  if (made && !isMadeFor(claim, uid))
    return `ResourceClaim ${title} was not created for pod ${namespaceOf(pod)}/${name}`
  if (claim.metadata.deletionTimestamp !== undefined && claim.status.allocation === undefined)
    return `ResourceClaim ${title} is being deleted`
  if (claim.status.allocation === undefined) return `ResourceClaim ${title} is not allocated`
  if (claim.status.reservedFor?.some((user) => user.uid === uid) !== true)
    return `pod ${namespaceOf(pod)}/${name} (${uid}) is not allowed to use ResourceClaim ${title}`
  return undefined
}
