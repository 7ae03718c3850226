// Address ranges of a cluster, chosen once and kept: they follow from the data directory, step aside for what the machine
// routes already, and are claimed in /run, so that clusters side by side do not meet.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { formatIp, parseCidr } from '../api/machinery/ip.ts'
import { parseIpRange, rangesOverlap } from '../api/machinery/ip-range.ts'
import {
  AddressRangeError,
  type AskedRanges,
  type NamedRange,
  overlapAmong,
  overlapWith,
  routedRanges,
} from './address-ranges.ts'
import type { Instance } from './instance.ts'

/** The same in IPv6, of a cluster that has both families. */
export interface NetworkPlan6 {
  readonly clusterCidr: string
  readonly nodeCidr: string
  readonly serviceCidr: string
  readonly dnsAddress: string
}
export interface NetworkPlan {
  /** Pods of the whole cluster. */
  readonly clusterCidr: string
  /** Pods of the first node. */
  readonly nodeCidr: string
  readonly serviceCidr: string
  /** The cluster's DNS, inside the service range. */
  readonly dnsAddress: string
  /** The API inside the cluster: the first address of the service range. */
  readonly apiAddress: string
  /** Undefined for IPv4 alone. */
  readonly six?: NetworkPlan6
}

const claimsFolder = '/run/coxswain'
/** Linux only; elsewhere containers are simulated, and no address is real. */
const routes = '/proc/net/route'
const planFile = (instance: Instance) => join(instance.dataDir, 'network.json')
const planAt = (pods: number, services: number): NetworkPlan => ({
  clusterCidr: `10.${pods}.0.0/16`,
  nodeCidr: `10.${pods}.0.0/24`,
  serviceCidr: `10.${services}.0.0/16`,
  dnsAddress: `10.${services}.0.10`,
  apiAddress: `10.${services}.0.1`,
})

/** Unique local addresses (RFC 4193) that follow from the id: no two clusters share them. */
export function planSix(id: string): NetworkPlan6 {
  const site = `fdc0:${id.slice(0, 4)}:${id.slice(4, 8)}`
  return {
    clusterCidr: `${site}:100::/56`,
    nodeCidr: `${site}:100::/64`,
    serviceCidr: `${site}::/112`,
    dnsAddress: `${site}::a`,
  }
}

const rangesOf = ({ clusterCidr, serviceCidr, six }: NetworkPlan): readonly string[] => [
  clusterCidr,
  serviceCidr,
  ...(six === undefined ? [] : [six.clusterCidr, six.serviceCidr]),
]
/** Second octets that are spoken for: by routes narrower than 10.0.0.0/8, by this machine's links and by clusters that run. */
export function takenOctets(
  routes: string,
  claims: readonly NetworkPlan[],
  links: readonly string[] = [],
): Set<number> {
  const routed = routedRanges(routes).flatMap(({ text }) => (Number(text.split('/')[1]) > 8 ? [text] : []))
  // A link as wide as all of 10.0.0.0/8 leaves room beside this machine's own address.
  const own = links.map((link) => (Number(link.split('/')[1]) > 8 ? link : (link.split('/')[0] ?? '')))
  const spoken = [...routed, ...own, ...claims.flatMap(rangesOf)].flatMap((text) => parseIpRange(text) ?? [])
  const taken = new Set<number>()
  for (let octet = 0; octet < 256; octet++) {
    const first = BigInt(((10 << 24) >>> 0) + (octet << 16))
    const range = { family: 'IPv4', first, last: first + 0xffffn } as const
    if (spoken.some((other) => rangesOverlap(range, other))) taken.add(octet)
  }
  return taken
}
/** The first free pair, looked for from a place that the id gives. */
export function choosePlan(id: string, taken: ReadonlySet<number>): NetworkPlan {
  const start = Number.parseInt(id, 16) % 60
  const free = (from: number) => {
    for (let i = 0; i < 60; i++) {
      const octet = from + ((start + i) % 60)
      if (!taken.has(octet)) return octet
    }
    throw new Error('no free address range in 10.130.0.0 to 10.249.255.255: end a cluster with "cox down"')
  }
  return planAt(free(130), free(190))
}

const read = (path: string): NetworkPlan => JSON.parse(readFileSync(path, 'utf8')) as NetworkPlan

/** The plan of this data directory; undefined before its first start. */
export const keptPlan = (instance: Instance): NetworkPlan | undefined =>
  existsSync(planFile(instance)) ? read(planFile(instance)) : undefined

/** Keeps a plan that was made elsewhere: by the cluster that this node has joined. */
export const keepPlan = (instance: Instance, plan: NetworkPlan): void =>
  writeFileSync(planFile(instance), `${JSON.stringify(plan)}\n`)

/** The address at a place of a range. */
function placeIn(cidr: string, place: number): string {
  const range = parseCidr(cidr)
  if (range === undefined) throw new Error(`${cidr} is no CIDR`)
  return formatIp({ version: range.version, value: range.value + BigInt(place) })
}
const firstSlice = (cidr: string, prefix: number): string => cidr.replace(/\/\d+$/, `/${prefix}`)
/** `plan` with what was asked for in the place of what was chosen. */
export function withAsked(plan: NetworkPlan, id: string, asked: AskedRanges, dualStack: boolean): NetworkPlan {
  const [clusterCidr = plan.clusterCidr, clusterSix] = asked.clusterCidrs
  const [serviceCidr = plan.serviceCidr, serviceSix] = asked.serviceCidrs
  const four: NetworkPlan = {
    clusterCidr,
    nodeCidr: firstSlice(clusterCidr, 24),
    serviceCidr,
    dnsAddress: placeIn(serviceCidr, 10),
    apiAddress: placeIn(serviceCidr, 1),
  }
  if (!dualStack && clusterSix === undefined && serviceSix === undefined && plan.six === undefined) return four
  const own = plan.six ?? planSix(id)
  const [pods, services] = [clusterSix ?? own.clusterCidr, serviceSix ?? own.serviceCidr]
  const six = {
    clusterCidr: pods,
    nodeCidr: firstSlice(pods, 64),
    serviceCidr: services,
    dnsAddress: placeIn(services, 10),
  }
  return { ...four, six }
}

/** A plan's ranges as flags name them. */
const namedRanges = ({ clusterCidr, serviceCidr, six }: NetworkPlan): readonly NamedRange[] => [
  { name: '--cluster-cidr', text: clusterCidr },
  { name: '--service-cidr', text: serviceCidr },
  ...(six === undefined
    ? []
    : [
        { name: '--cluster-cidr', text: six.clusterCidr },
        { name: '--service-cidr', text: six.serviceCidr },
      ]),
]
function refuseOther(plan: NetworkPlan, asked: AskedRanges, file: string): string | undefined {
  const kept = namedRanges(plan)
  const wanted = [
    ...asked.clusterCidrs.map((text) => ({ name: '--cluster-cidr', text })),
    ...asked.serviceCidrs.map((text) => ({ name: '--service-cidr', text })),
  ]
  const other = wanted.find(({ name, text }) => !kept.some((own) => own.name === name && own.text === text))
  if (other === undefined) return undefined
  const had = kept.filter(({ name }) => name === other.name).map(({ text }) => text)
  return `${other.name} ${other.text}: this cluster has had ${had.join()} since its first start (${file}): leave the flag out, or begin a cluster anew with another --data-dir`
}

export interface PlanOptions {
  /** For the run of a cluster with real pods: others on this machine step around its ranges. */
  readonly claim: boolean
  readonly dualStack?: boolean
  readonly asked?: AskedRanges
  /** Addresses of this machine with the prefixes of their links; none where no address is real. */
  readonly links?: readonly string[]
  /** Addresses for load balancers, which are nobody else's. */
  readonly pool?: readonly string[]
}
const nothingAsked: AskedRanges = { clusterCidrs: [], serviceCidrs: [] }
const linkName = 'the link of this machine'
/** An address with its prefix as the network of the link, and as itself where the link is wide. */
const linkRanges = (links: readonly string[]): readonly NamedRange[] =>
  links.flatMap((link) => [
    { name: linkName, text: link },
    { name: "this machine's own address", text: link.split('/')[0] ?? '' },
  ])

/** Says why a machine with these links cannot be a node of a cluster with this plan; undefined where it can. */
export const refuseLinks = (plan: NetworkPlan, links: readonly string[]): string | undefined =>
  overlapWith(namedRanges(plan), linkRanges(links))

function refusePool(plan: NetworkPlan, pool: readonly string[]): string | undefined {
  const asked = pool.map((text) => ({ name: '--load-balancer-pool', text }))
  const own = namedRanges(plan).map(({ name, text }) => ({ name: `the range of ${name}`, text }))
  return overlapWith(asked, own, rangesOverlap)
}

/** The plan of this data directory, made at the first start; a cluster that has begun with both address families keeps
 * them. Throws AddressRangeError where ranges overlap, or are others than those of the first start. */
export function networkPlan(instance: Instance, options: PlanOptions): NetworkPlan {
  const { claim, dualStack = false, asked = nothingAsked, links = [], pool = [] } = options
  const file = planFile(instance)
  const mine = join(claimsFolder, `${instance.id}.json`)
  let plan = keptPlan(instance)
  const refuse = (why: string | undefined, remedy = '') => {
    if (why !== undefined) throw new AddressRangeError(`${why}${remedy}`)
  }
  if (plan === undefined) {
    const others = existsSync(claimsFolder)
      ? readdirSync(claimsFolder)
          .filter((name) => name.endsWith('.json') && name !== `${instance.id}.json`)
          .map((name) => read(join(claimsFolder, name)))
      : []
    const routed = existsSync(routes) ? readFileSync(routes, 'utf8') : ''
    const taken = takenOctets(routed, [...others, ...askedPlans(asked)], links)
    plan = withAsked(choosePlan(instance.id, taken), instance.id, asked, dualStack)
    refuse(overlapAmong(namedRanges(plan)))
    if (claim) {
      const name = 'which another cluster on this machine has'
      const running = others.flatMap(rangesOf).map((text) => ({ name, text }))
      refuse(
        overlapWith(namedRanges(plan), routedRanges(routed)) ?? overlapWith(namedRanges(plan), running, rangesOverlap),
        ': choose another range',
      )
    }
    refuse(refusePool(plan, pool) ?? refuseLinks(plan, links), ': choose another range')
    writeFileSync(file, `${JSON.stringify(plan)}\n`)
  }
  if (dualStack && plan.six === undefined) {
    plan = { ...plan, six: planSix(instance.id) }
    writeFileSync(file, `${JSON.stringify(plan)}\n`)
  }
  refuse(refuseOther(plan, asked, file))
  refuse(refusePool(plan, pool), ': choose another range')
  refuse(refuseLinks(plan, links), ': give the machine another address, or begin a cluster anew with another range')
  if (claim) {
    mkdirSync(claimsFolder, { recursive: true })
    writeFileSync(mine, JSON.stringify(plan))
  }
  return plan
}
/** What was asked for, so that what we choose steps around it. */
const askedPlans = ({
  clusterCidrs: [clusterCidr],
  serviceCidrs: [serviceCidr],
}: AskedRanges): readonly NetworkPlan[] => {
  const [pods, services] = [clusterCidr ?? serviceCidr, serviceCidr ?? clusterCidr]
  return pods === undefined || services === undefined
    ? []
    : [{ clusterCidr: pods, nodeCidr: '', serviceCidr: services, dnsAddress: '', apiAddress: '' }]
}
export const releaseClaim = (instance: Instance): void =>
  rmSync(join(claimsFolder, `${instance.id}.json`), { force: true })
