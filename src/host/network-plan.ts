// Address ranges of a cluster, chosen once and kept: they follow from the data directory, step aside for what the machine
// routes already, and are claimed in /run, so that clusters side by side do not meet.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
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

/** Second octets that are spoken for: by routes narrower than 10.0.0.0/8, and by clusters that run. */
export function takenOctets(routes: string, claims: readonly NetworkPlan[]): Set<number> {
  const taken = new Set<number>()
  for (const line of routes.split('\n').slice(1)) {
    const [, destination, , , , , , mask] = line.split('\t')
    if (destination === undefined || mask === undefined) continue
    // The kernel writes addresses as little-endian numbers.
    const octets = Buffer.from(destination, 'hex').reverse()
    const width = Buffer.from(mask, 'hex').reverse()
    if (octets[0] !== 10 || (width[1] ?? 0) === 0) continue
    for (let octet = 0; octet < 256; octet++) if ((octet & (width[1] ?? 0)) === octets[1]) taken.add(octet)
  }
  for (const { clusterCidr, serviceCidr } of claims)
    for (const cidr of [clusterCidr, serviceCidr]) taken.add(Number(cidr.split('.')[1]))
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

/** The plan of this data directory, made at the first start; a cluster that has begun with both address families keeps
 * them. `claim` for the run of a cluster with real pods. */
export function networkPlan(instance: Instance, claim: boolean, dualStack = false): NetworkPlan {
  const file = planFile(instance)
  const mine = join(claimsFolder, `${instance.id}.json`)
  let plan = keptPlan(instance)
  if (plan === undefined) {
    const others = existsSync(claimsFolder)
      ? readdirSync(claimsFolder)
          .filter((name) => name.endsWith('.json') && name !== `${instance.id}.json`)
          .map((name) => read(join(claimsFolder, name)))
      : []
    plan = choosePlan(instance.id, takenOctets(existsSync(routes) ? readFileSync(routes, 'utf8') : '', others))
    writeFileSync(file, `${JSON.stringify(plan)}\n`)
  }
  if (dualStack && plan.six === undefined) {
    plan = { ...plan, six: planSix(instance.id) }
    writeFileSync(file, `${JSON.stringify(plan)}\n`)
  }
  if (claim) {
    mkdirSync(claimsFolder, { recursive: true })
    writeFileSync(mine, JSON.stringify(plan))
  }
  return plan
}
export const releaseClaim = (instance: Instance): void =>
  rmSync(join(claimsFolder, `${instance.id}.json`), { force: true })
