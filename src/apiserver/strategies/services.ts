// Addresses and ports of Services. Each cluster IP is an IPAddress object and each node port a record of its own, written
// in the transaction that writes the Service: there is no moment at which one exists without the other, so nothing has to
// be repaired after a crash, and two servers on one store cannot give out the same address.
import type { Service, ServiceSpec } from '../../api/core/service.ts'
import { headless } from '../../api/core/service.ts'
import { ApiError, type FieldError, invalid, invalidField, requiredField } from '../../api/machinery/errors.ts'
import type { KubeObject } from '../../api/machinery/meta.ts'
import type { Draft } from '../../api/machinery/schema.ts'
import { cidrContains, formatIp, parseCidr } from '../../api/machinery/ip.ts'
import type { ServiceCidr } from '../../api/networking/service-cidr.ts'
import { rfc3339 } from '../../ports/clock.ts'
import { collectionOf } from '../admission/lookup.ts'
import type { ServerContext } from '../context.ts'
import { encodeValue, utf8 } from '../storage/layout.ts'
import type { Companion } from '../storage/write.ts'
import type { StorageStrategy } from '../strategies.ts'

type Spec = Draft<ServiceSpec>
type Family = 'IPv4' | 'IPv6'
const familyOf = (text: string): Family => (text.includes(':') ? 'IPv6' : 'IPv4')
const nodePortPrefix = '/registry/ranges/servicenodeports/'
const networking = 'networking.k8s.io'
/** The ServiceCIDR that holds the ranges of the command line; it is in use before its controller has looked at it. */
export const defaultServiceCidr = 'kubernetes'

export const serviceStrategy: StorageStrategy = {
  group: '',
  plural: 'services',
  async allocate(server, draft, old) {
    const service = draft as unknown as Draft<Service>
    const before = old as unknown as Service | undefined
    const addresses = await allocateAddresses(server, service, before)
    const ports = await allocatePorts(server, service, before)
    return [...addresses, ...ports]
  },
  release(server, object) {
    const { spec } = object as unknown as Service
    return [
      ...heldAddresses(spec).map((ip) => ({ key: addressKey(server, ip), value: undefined })),
      ...heldPorts(spec).map((port) => ({ key: portKey(port), value: undefined })),
    ]
  },
}

const refuse = (service: Draft<Service>, errors: readonly FieldError[]): ApiError =>
  invalid('', 'Service', service.metadata.name, errors)

// Addresses

const heldAddresses = (spec: Pick<ServiceSpec, 'clusterIPs' | 'type'>): readonly string[] =>
  spec.type === 'ExternalName' ? [] : (spec.clusterIPs ?? []).filter((ip) => ip !== headless && ip !== '')
const addressKey = (server: ServerContext, ip: string): string =>
  server.resources.required(networking, 'ipaddresses').collection.keyOf('', ip)

async function allocateAddresses(
  server: ServerContext,
  service: Draft<Service>,
  old: Service | undefined,
): Promise<readonly Companion[]> {
  const { spec } = service
  const held = old === undefined ? [] : heldAddresses(old.spec)
  if (spec.type === 'ExternalName') {
    return held.map((ip) => ({ key: addressKey(server, ip), value: undefined }))
  }
  const ranges = await rangesOf(server)
  settleFamilies(service, ranges.primary, ranges.families)
  if (spec.clusterIP === headless || spec.clusterIPs?.[0] === headless) {
    spec.clusterIP = headless
    spec.clusterIPs = [headless]
    return held.map((ip) => ({ key: addressKey(server, ip), value: undefined }))
  }
  const wanted: string[] = []
  for (const [i, family] of (spec.ipFamilies ?? []).entries()) {
    const asked = spec.clusterIPs?.[i] ?? ''
    if (asked === '') wanted.push(await freeAddress(server, ranges, family as Family, wanted))
    else {
      if (!held.includes(asked)) await checkAsked(server, service, ranges, asked)
      wanted.push(asked)
    }
  }
  spec.clusterIPs = wanted
  spec.clusterIP = wanted[0] ?? ''
  return [
    ...wanted.filter((ip) => !held.includes(ip)).map((ip) => addressRecord(server, service, ip)),
    ...held.filter((ip) => !wanted.includes(ip)).map((ip) => ({ key: addressKey(server, ip), value: undefined })),
  ]
}

/** Puts ipFamilyPolicy and ipFamilies into the form that says what the Service gets. */
function settleFamilies(service: Draft<Service>, primary: Family, available: readonly Family[]): void {
  const { spec } = service
  const selectorless = Object.keys(spec.selector ?? {}).length === 0
  const isHeadless = spec.clusterIP === headless || spec.clusterIPs?.[0] === headless
  const unbound = isHeadless && selectorless
  const asked = (spec.clusterIPs ?? []).filter((ip) => ip !== headless)
  const families = spec.ipFamilies ?? []
  if (spec.ipFamilyPolicy === undefined) {
    const several = asked.length > 1 ? 'cluster IPs' : families.length > 1 ? 'ip families' : undefined
    if (several !== undefined) {
      const text = `must be RequireDualStack or PreferDualStack when multiple ${several} are specified`
      throw refuse(service, [requiredField('spec.ipFamilyPolicy', text)])
    }
    spec.ipFamilyPolicy = unbound ? 'RequireDualStack' : 'SingleStack'
  }
  const dual = spec.ipFamilyPolicy !== 'SingleStack'
  if (spec.ipFamilyPolicy === 'RequireDualStack' && available.length < 2 && !unbound) {
    throw refuse(service, [
      invalidField('spec.ipFamilyPolicy', 'RequireDualStack', 'this cluster is not configured for dual-stack services'),
    ])
  }
  const chosen: Family[] = families.length > 0 ? [...(families as Family[])] : asked.map(familyOf)
  if (chosen.length === 0) chosen.push(primary)
  const other: Family = chosen[0] === 'IPv4' ? 'IPv6' : 'IPv4'
  if (dual && chosen.length === 1 && (unbound || available.includes(other))) chosen.push(other)
  if (!dual && chosen.length > 1) {
    chosen.length = 1
    if (spec.clusterIPs !== undefined && spec.clusterIPs.length > 1) spec.clusterIPs.length = 1
  }
  const errors = chosen.flatMap((family, i) =>
    available.includes(family) || unbound
      ? []
      : [invalidField(`spec.ipFamilies[${i}]`, family, 'not configured on this cluster')],
  )
  if (errors.length > 0) throw refuse(service, errors)
  spec.ipFamilies = chosen
}

interface Ranges {
  readonly cidrs: readonly string[]
  readonly primary: Family
  readonly families: readonly Family[]
}
/** The ranges of all ServiceCIDRs that are in use. */
async function rangesOf(server: ServerContext): Promise<Ranges> {
  const collection = await collectionOf(server, networking, 'servicecidrs')
  const cidrs = new Set<string>(server.options.serviceCidrs)
  const objects = collection === undefined ? [] : collection.all('').map((entry) => collection.object(entry))
  for (const object of objects) {
    const { metadata, spec, status } = object as unknown as ServiceCidr
    const ready = (status.conditions ?? []).some((c) => c.type === 'Ready' && c.status === 'True')
    if (metadata.deletionTimestamp !== undefined || (!ready && metadata.name !== defaultServiceCidr)) continue
    for (const cidr of spec.cidrs ?? []) cidrs.add(cidr)
  }
  const all = [...cidrs]
  const families = [...new Set(server.options.serviceCidrs.map(familyOf))]
  return { cidrs: all, primary: families[0] ?? 'IPv4', families }
}

async function checkAsked(server: ServerContext, service: Draft<Service>, ranges: Ranges, ip: string): Promise<void> {
  const bad = (why: string) =>
    refuse(service, [
      invalidField('spec.clusterIPs', service.spec.clusterIPs ?? [], `failed to allocate IP ${ip}: ${why}`),
    ])
  const range = ranges.cidrs.find((cidr) => cidrContains(cidr, ip))
  if (range === undefined) throw bad('the provided network does not match the current range')
  const collection = await collectionOf(server, networking, 'ipaddresses')
  if (collection?.find('', ip) !== undefined) throw bad('provided IP is already allocated')
}

/** A free address: by chance in the upper part of a range, because people choose fixed ones from the lower part. */
async function freeAddress(
  server: ServerContext,
  ranges: Ranges,
  family: Family,
  taken: readonly string[],
): Promise<string> {
  const collection = await collectionOf(server, networking, 'ipaddresses')
  const isFree = (ip: string) => collection?.find('', ip) === undefined && !taken.includes(ip)
  for (const cidr of ranges.cidrs.filter((c) => familyOf(c) === family)) {
    const found = freeIn(server, cidr, isFree)
    if (found !== undefined) return found
  }
  throw new ApiError('InternalError', 'Internal error occurred: failed to allocate a serviceIP: range is full')
}

function freeIn(server: ServerContext, cidr: string, isFree: (ip: string) => boolean): string | undefined {
  const range = parseCidr(cidr)
  if (range === undefined) return undefined
  const bits = (range.version === 4 ? 32 : 128) - range.prefix
  // The first address names the network; of IPv4 the last is the broadcast address.
  const size = Number(bits > 31 ? 2n ** 31n : 2n ** BigInt(bits)) - (range.version === 4 ? 2 : 1)
  if (size < 1) return undefined
  const network = (range.value >> BigInt(bits)) << BigInt(bits)
  const at = (offset: number) => formatIp({ version: range.version, value: network + BigInt(offset + 1) })
  const reserved = size < 16 ? 0 : Math.min(Math.max(16, Math.floor(size / 16)), 256)
  for (const [from, count] of [
    [reserved, size - reserved],
    [0, reserved],
  ] as const) {
    const start = Math.floor(server.random.float() * count)
    for (let i = 0; i < count; i++) {
      const ip = at(from + ((start + i) % count))
      if (isFree(ip)) return ip
    }
  }
  return undefined
}

function addressRecord(server: ServerContext, service: Draft<Service>, ip: string): Companion {
  const { collection } = server.resources.required(networking, 'ipaddresses')
  const { namespace = '', name } = service.metadata
  const object = {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'IPAddress',
    metadata: {
      name: ip,
      uid: server.random.uuid(),
      creationTimestamp: rfc3339(server.clock.now()),
      labels: {
        'ipaddress.kubernetes.io/ip-family': familyOf(ip),
        'ipaddress.kubernetes.io/managed-by': 'ipallocator.k8s.io',
      },
    },
    spec: { parentRef: { group: '', resource: 'services', namespace, name } },
  }
  return { key: addressKey(server, ip), value: encodeValue(collection.layout, object as unknown as KubeObject) }
}

// Ports

const portKey = (port: number): string => `${nodePortPrefix}${port}`
const needsPorts = (spec: Pick<ServiceSpec, 'type' | 'allocateLoadBalancerNodePorts'>): boolean =>
  spec.type === 'NodePort' || spec.type === 'LoadBalancer'
const allocatesPorts = (spec: Pick<ServiceSpec, 'type' | 'allocateLoadBalancerNodePorts'>): boolean =>
  spec.type === 'NodePort' || (spec.type === 'LoadBalancer' && spec.allocateLoadBalancerNodePorts !== false)

function heldPorts(spec: Pick<ServiceSpec, 'ports' | 'type' | 'healthCheckNodePort'>): readonly number[] {
  if (!needsPorts(spec)) return []
  const ports = (spec.ports ?? []).map((port) => port.nodePort ?? 0)
  return [...new Set([...ports, spec.healthCheckNodePort ?? 0])].filter((port) => port !== 0)
}

async function allocatePorts(
  server: ServerContext,
  service: Draft<Service>,
  old: Service | undefined,
): Promise<readonly Companion[]> {
  const { spec } = service
  const held = old === undefined ? [] : heldPorts(old.spec)
  if (needsPorts(spec)) await choosePorts(server, service, held)
  const wanted = heldPorts(spec)
  const owner = utf8(JSON.stringify({ namespace: service.metadata.namespace, name: service.metadata.name }))
  return [
    ...wanted.filter((port) => !held.includes(port)).map((port) => ({ key: portKey(port), value: owner })),
    ...held.filter((port) => !wanted.includes(port)).map((port) => ({ key: portKey(port), value: undefined })),
  ]
}

async function choosePorts(server: ServerContext, service: Draft<Service>, held: readonly number[]): Promise<void> {
  const { spec } = service
  const used = await usedPorts(server)
  const mine = new Set<number>(held)
  const { from, to } = server.options.nodePorts
  const check = (port: number, field: string) => {
    if (port < from || port > to) {
      const text = `provided port is not in the valid range. The range of valid ports is ${from}-${to}`
      throw refuse(service, [invalidField(field, port, text)])
    }
    if (used.has(port) && !mine.has(port)) {
      throw refuse(service, [invalidField(field, port, 'provided port is already allocated')])
    }
    mine.add(port)
  }
  for (const [i, port] of (spec.ports ?? []).entries()) {
    if ((port.nodePort ?? 0) !== 0) check(port.nodePort ?? 0, `spec.ports[${i}].nodePort`)
  }
  if ((spec.healthCheckNodePort ?? 0) !== 0) check(spec.healthCheckNodePort ?? 0, 'spec.healthCheckNodePort')
  const fresh = (): number => {
    const port = freePort(server, (candidate) => !used.has(candidate) && !mine.has(candidate))
    mine.add(port)
    return port
  }
  if (allocatesPorts(spec)) shareOrChoose(spec, fresh)
  if (spec.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local' && (spec.healthCheckNodePort ?? 0) === 0) {
    spec.healthCheckNodePort = fresh()
  }
}

/** The same port number under TCP and UDP gets the same node port. */
function shareOrChoose(spec: Spec, fresh: () => number): void {
  for (const port of spec.ports ?? []) {
    if ((port.nodePort ?? 0) !== 0) continue
    const other = (spec.ports ?? []).find(
      (p) => p !== port && p.port === port.port && p.protocol !== port.protocol && (p.nodePort ?? 0) !== 0,
    )
    port.nodePort = other?.nodePort ?? fresh()
  }
}

async function usedPorts(server: ServerContext): Promise<ReadonlySet<number>> {
  const { items } = await server.store.list(nodePortPrefix)
  return new Set(items.map((kv) => Number(kv.key.slice(nodePortPrefix.length))))
}

/** By chance from the upper part of the range, because people choose fixed ones from the lower part. */
function freePort(server: ServerContext, isFree: (port: number) => boolean): number {
  const { from, to } = server.options.nodePorts
  const size = to - from + 1
  const reserved = size < 16 ? 0 : Math.min(Math.max(16, Math.floor(size / 32)), 128)
  for (const [low, count] of [
    [from + reserved, size - reserved],
    [from, reserved],
  ] as const) {
    const start = Math.floor(server.random.float() * count)
    for (let i = 0; i < count; i++) {
      const port = low + ((start + i) % count)
      if (isFree(port)) return port
    }
  }
  throw new ApiError('InternalError', 'Internal error occurred: failed to allocate a nodePort: range is full')
}

/** The address at a place of the first range: 1 is the kubernetes Service's, 10 the DNS Service's by custom. */
export function serviceAddress(cidr: string, place: number): string {
  const range = parseCidr(cidr)
  if (range === undefined) throw new Error(`no CIDR: ${cidr}`)
  const bits = BigInt((range.version === 4 ? 32 : 128) - range.prefix)
  return formatIp({ version: range.version, value: ((range.value >> bits) << bits) + BigInt(place) })
}
