// Finds devices for claims on one node: pure, by trying one device after another and stepping back where that leads nowhere
// (https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/). Alternatives are tried in their
// order; a search that takes too many steps is given up.
import type { Toleration } from '../../api/core/toleration.ts'
import { untoleratedTaint } from '../../api/core/toleration.ts'
import { compareQuantities, type Quantity, subtractQuantities } from '../../api/machinery/quantity.ts'
import { sameJson } from '../state/pod-info.ts'
import type { DeviceClass, ResourceClaim } from '../../api/resource/resource.ts'
import { addConsumed, type Consumed, shareOf } from './capacity.ts'
import { qualified, selects } from './device-selectors.ts'
import type { Holdings } from './holdings.ts'
import { type NearPool, type NodeDevice, nodeSelectorOf } from './node-devices.ts'

export type Allocation = NonNullable<ResourceClaim['status']['allocation']>
type Results = NonNullable<Allocation['devices']['results']>
type Request = NonNullable<ResourceClaim['spec']['devices']['requests']>[number]
type Exact = NonNullable<Request['exactly']>
type Constraint = NonNullable<ResourceClaim['spec']['devices']['constraints']>[number]

/** One way to satisfy a request. */
interface Option {
  /** "request" or "request/alternative". */
  readonly name: string
  readonly request: string
  readonly wants: Pick<Exact, 'selectors' | 'tolerations' | 'adminAccess' | 'allocationMode' | 'count' | 'capacity'>
  readonly deviceClass: DeviceClass
}
interface Wanted {
  readonly claim: ResourceClaim
  readonly options: readonly Option[]
}
/** One device that was chosen. */
interface Choice {
  readonly claim: ResourceClaim
  readonly option: Option
  readonly device: NodeDevice
  /** Of a device that several may have: what this one takes of its capacities. */
  readonly share: Consumed | undefined
}

const maxSteps = 10_000
/** Devices of one claim. */
const maxDevices = 32

export interface AllocateOptions {
  readonly claims: readonly ResourceClaim[]
  readonly pools: readonly NearPool[]
  readonly classOf: (name: string) => DeviceClass | undefined
  readonly held: Holdings
  /** Names one of the shares of a device. */
  readonly newShareId: () => string
  readonly nodeName: string
  readonly timestamp: string
}
/** Allocations in the order of the claims; a text where a request is broken; undefined where there are no such devices. */
export function allocate(options: AllocateOptions): readonly Allocation[] | string | undefined {
  const wanted: Wanted[] = []
  for (const claim of options.claims)
    for (const request of claim.spec.devices.requests ?? []) {
      const found = optionsOf(claim, request, options.classOf)
      if (typeof found === 'string') return found
      wanted.push({ claim, options: found })
    }
  const search = new Search(options, wanted)
  const found = search.run()
  if (search.broken !== undefined) return search.broken
  if (!found) return undefined
  return options.claims.map((claim) => allocationOf(claim, search.chosen, options))
}

/** How a request can be satisfied, best first; a text where its class is missing. */
function optionsOf(
  claim: ResourceClaim,
  { name, exactly, firstAvailable }: Request,
  classOf: AllocateOptions['classOf'],
): readonly Option[] | string {
  const ways = exactly === undefined ? (firstAvailable ?? []) : [{ ...exactly, name: '' }]
  const options: Option[] = []
  for (const way of ways) {
    const full = way.name === '' ? name : `${name}/${way.name}`
    const deviceClass = classOf(way.deviceClassName)
    if (deviceClass === undefined)
      return `claim ${claim.metadata.name}, request ${full}: device class ${way.deviceClassName} does not exist`
    options.push({ name: full, request: name, wants: way, deviceClass })
  }
  return options
}

class Search {
  readonly chosen: Choice[] = []
  broken: string | undefined
  private steps = 0
  private readonly options: AllocateOptions
  private readonly wanted: readonly Wanted[]
  /** How often each device is chosen. */
  private readonly used = new Map<string, number>()
  private readonly devices: readonly NodeDevice[]
  constructor(options: AllocateOptions, wanted: readonly Wanted[]) {
    this.options = options
    this.wanted = wanted
    const devices = options.pools.flatMap(({ pool, devices: near }) => (pool.complete ? near : []))
    // what is ready at once goes before what must be prepared for the node
    this.devices = [...devices.filter((one) => !isPrepared(one)), ...devices.filter(isPrepared)]
  }
  run(): boolean {
    return this.request(0)
  }
  private request(index: number): boolean {
    const wanted = this.wanted[index]
    if (wanted === undefined) return true
    return wanted.options.some((option) => {
      if (this.broken !== undefined) return false
      if (option.wants.allocationMode === 'All') return this.all(wanted, option, index)
      return this.some(wanted, option, option.wants.count ?? 1, 0, index)
    })
  }
  /** `count` more devices from the one at `from` on: which of equal ones comes first does not matter. */
  private some(wanted: Wanted, option: Option, count: number, from: number, index: number): boolean {
    if (count === 0) return this.request(index + 1)
    for (let i = from; i < this.devices.length; i++) {
      const device = this.devices[i]
      if (this.broken !== undefined || ++this.steps > maxSteps) return false
      if (device === undefined || !this.suits(option, device) || !this.take(wanted, option, device)) continue
      const next = isShared(device) ? i : i + 1
      if (this.some(wanted, option, count - 1, next, index)) return true
      this.giveBack()
    }
    return false
  }
  /** Every device that suits must be had, and there must be one. */
  private all(wanted: Wanted, option: Option, index: number): boolean {
    // what is not known yet might suit as well
    if (this.options.pools.some(({ pool }) => !pool.complete)) return false
    const devices = this.devices.filter((device) => this.suits(option, device))
    if (devices.length === 0) return false
    const before = this.chosen.length
    if (devices.every((device) => this.take(wanted, option, device)) && this.request(index + 1)) return true
    while (this.chosen.length > before) this.giveBack()
    return false
  }
  private suits({ wants, deviceClass, name }: Option, { device, driver }: NodeDevice): boolean {
    for (const { cel } of [...(deviceClass.spec.selectors ?? []), ...(wants.selectors ?? [])]) {
      const answer = cel === undefined ? true : selects(cel.expression, device, driver)
      if (answer instanceof Error) this.broken ??= `request ${name}: ${answer.message}`
      if (answer !== true) return false
    }
    for (const [capacity, least] of Object.entries(wants.capacity?.requests ?? {})) {
      const there = qualified(device.capacity, capacity, driver)?.value
      if (there === undefined || compareQuantities(String(there), String(least)) < 0) return false
    }
    return true
  }
  private take({ claim }: Wanted, option: Option, device: NodeDevice): boolean {
    const { wants } = option
    const tolerations = wants.tolerations as readonly Toleration[] | undefined
    if (untoleratedTaint(device.device.taints, tolerations, ['NoSchedule', 'NoExecute']) !== undefined) return false
    if (this.chosen.filter((choice) => choice.claim === claim).length >= maxDevices) return false
    let share: Consumed | undefined
    if (wants.adminAccess !== true) {
      if (this.options.held.isWhole(device.id)) return false
      const inUse = this.used.has(device.id) || this.options.held.isInUse(device.id)
      if (isShared(device)) {
        share = shareOf(device.device, device.driver, wants.capacity?.requests, this.goneOf(device))
        if (share === undefined) return false
      } else if (inUse) return false
      if (!inUse && !this.hasCounters(device)) return false
    }
    const choice = { claim, option, device, share }
    if (!(claim.spec.devices.constraints ?? []).every((constraint) => this.holds(constraint, choice))) return false
    this.chosen.push(choice)
    if (wants.adminAccess !== true) this.used.set(device.id, (this.used.get(device.id) ?? 0) + 1)
    return true
  }
  private giveBack(): void {
    const last = this.chosen.pop()
    if (last === undefined || last.option.wants.adminAccess === true) return
    const { id } = last.device
    const left = (this.used.get(id) ?? 0) - 1
    if (left > 0) this.used.set(id, left)
    else this.used.delete(id)
  }
  /** What others and this search have taken of a shared device. */
  private goneOf({ id }: NodeDevice): Consumed {
    let gone = this.options.held.consumed(id) ?? {}
    if (this.used.has(id))
      for (const { device, share } of this.chosen)
        if (device.id === id && share !== undefined) gone = addConsumed(gone, share)
    return gone
  }
  private holds({ requests = [], matchAttribute, distinctAttribute }: Constraint, choice: Choice): boolean {
    const concerns = ({ claim, option }: Choice) =>
      claim === choice.claim &&
      (requests.length === 0 || requests.includes(option.request) || requests.includes(option.name))
    if (!concerns(choice)) return true
    const others = this.chosen.filter(concerns)
    const attribute = matchAttribute ?? distinctAttribute
    if (attribute === undefined) return true
    const of = ({ device: { device, driver } }: Choice) => qualified(device.attributes, attribute, driver)
    const mine = of(choice)
    if (mine === undefined) return false
    return others.every((other) => sameJson(of(other), mine) === (matchAttribute !== undefined))
  }
  /** Whether what the device takes from its pool's counters is still there (KEP-4815). */
  private hasCounters(device: NodeDevice): boolean {
    for (const { counterSet, counters } of device.device.consumesCounters ?? [])
      for (const [name, { value }] of Object.entries(counters)) {
        const whole = device.pool.counters.get(counterSet)?.[name]?.value
        if (whole === undefined) return false
        let left: Quantity = subtractQuantities(String(whole), String(value))
        for (const other of device.pool.consumers) {
          if (!this.used.has(other.id) && !this.options.held.isInUse(other.id)) continue
          for (const taken of other.device.consumesCounters ?? []) {
            const amount = taken.counterSet === counterSet ? taken.counters[name]?.value : undefined
            if (amount !== undefined) left = subtractQuantities(left, String(amount))
          }
        }
        if (compareQuantities(left, '0') < 0) return false
      }
    return true
  }
}

const isShared = ({ device }: NodeDevice): boolean => device.allowMultipleAllocations === true
const isPrepared = ({ device }: NodeDevice): boolean => (device.bindingConditions ?? []).length > 0

function allocationOf(claim: ResourceClaim, chosen: readonly Choice[], options: AllocateOptions): Allocation {
  const mine = chosen.filter((choice) => choice.claim === claim)
  const results: Results = mine.map(({ option: { name, wants }, device: { driver, pool, device }, share }) => ({
    request: name,
    driver,
    pool: pool.name,
    device: device.name,
    ...(wants.adminAccess === true ? { adminAccess: true } : {}),
    ...(wants.tolerations === undefined ? {} : { tolerations: wants.tolerations }),
    ...(device.bindingConditions === undefined ? {} : { bindingConditions: device.bindingConditions }),
    ...(device.bindingFailureConditions === undefined
      ? {}
      : { bindingFailureConditions: device.bindingFailureConditions }),
    ...(share === undefined ? {} : { shareID: options.newShareId(), consumedCapacity: share }),
  }))
  const classes = new Map(mine.map(({ option }) => [option.name, option.deviceClass]))
  const config = [
    ...[...classes].flatMap(([request, { spec }]) =>
      (spec.config ?? []).map((one) => ({ ...one, source: 'FromClass', requests: [request] })),
    ),
    ...(claim.spec.devices.config ?? []).map((one) => ({ ...one, source: 'FromClaim' })),
  ]
  const nodeSelector = nodeSelectorOf(
    mine.map(({ device }) => device),
    options.nodeName,
  )
  return {
    devices: { results, ...(config.length === 0 ? {} : { config }) },
    ...(nodeSelector === undefined ? {} : { nodeSelector }),
    allocationTimestamp: options.timestamp,
  } as Allocation
}
