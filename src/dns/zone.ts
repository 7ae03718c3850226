// What the cluster's own names mean, by the Kubernetes DNS specification 1.1. Pure lookups over indexes that informers
// keep; a name that exists without records of the asked type is told from one that does not exist.
import type { Service } from '../api/core/service.ts'
import type { EndpointSlice } from '../api/discovery/endpoint-slice.ts'

export interface ZoneSource {
  service(namespace: string, name: string): Service | undefined
  hasNamespace(namespace: string): boolean
  slices(namespace: string, service: string): readonly EndpointSlice[]
  /** The Service that holds a cluster address. */
  serviceByIp(ip: string): Service | undefined
  /** Slices of headless Services that hold an endpoint address. */
  slicesByIp(ip: string): readonly EndpointSlice[]
}
export type ZoneRecord =
  | { readonly type: 'A' | 'AAAA' | 'PTR' | 'CNAME'; readonly name: string; readonly data: string }
  | { readonly type: 'TXT'; readonly name: string; readonly data: string }
  | {
      readonly type: 'SRV'
      readonly name: string
      readonly data: {
        readonly priority: number
        readonly weight: number
        readonly port: number
        readonly target: string
      }
    }
export type ZoneAnswer =
  | { readonly found: false }
  | {
      readonly found: true
      readonly records: readonly ZoneRecord[]
      /** Addresses of SRV targets. */
      readonly additional: readonly ZoneRecord[]
      /** ExternalName: the alias must be looked up for the client. */
      readonly alias?: string
    }

const nothing: ZoneAnswer = { found: false }
const noData: ZoneAnswer = { found: true, records: [], additional: [] }
const some = (records: readonly ZoneRecord[], additional: readonly ZoneRecord[] = []): ZoneAnswer => ({
  found: true,
  records,
  additional,
})
const typeOf = (ip: string): 'A' | 'AAAA' => (ip.includes(':') ? 'AAAA' : 'A')
/** 10.1.2.3 to 10-1-2-3, fd00::1 to fd00--1. */
export const dashed = (ip: string): string => ip.replace(/[.:]/g, '-')
export const isHeadless = (service: Service): boolean =>
  service.spec.clusterIP === 'None' && service.spec.type !== 'ExternalName'

interface HeadlessEndpoint {
  readonly host: string
  readonly ip: string
  readonly ports: readonly { readonly name: string; readonly protocol: string; readonly port: number }[]
}

/** Ready endpoints of a headless Service, each with the host label of its own name. */
function endpointsOf(source: ZoneSource, service: Service): HeadlessEndpoint[] {
  const everything = service.spec.publishNotReadyAddresses === true
  const out: HeadlessEndpoint[] = []
  for (const slice of source.slices(service.metadata.namespace ?? '', service.metadata.name)) {
    if (slice.addressType === 'FQDN') continue
    const ports = (slice.ports ?? []).flatMap((p) =>
      p.port === undefined ? [] : [{ name: p.name ?? '', protocol: (p.protocol ?? 'TCP').toLowerCase(), port: p.port }],
    )
    for (const endpoint of slice.endpoints ?? []) {
      if (!everything && endpoint.conditions?.ready === false) continue
      for (const ip of endpoint.addresses) out.push({ host: endpoint.hostname ?? dashed(ip), ip, ports })
    }
  }
  return out
}

const clusterIpsOf = (service: Service): readonly string[] =>
  (service.spec.clusterIPs ?? (service.spec.clusterIP === undefined ? [] : [service.spec.clusterIP])).filter(
    (ip) => ip !== '' && ip !== 'None',
  )

function ofType(records: readonly ZoneRecord[], type: string): ZoneAnswer {
  return type === 'ANY' ? some(records) : some(records.filter((r) => r.type === type))
}

function serviceAnswer(source: ZoneSource, service: Service, name: string, type: string): ZoneAnswer {
  if (service.spec.type === 'ExternalName') {
    const alias = service.spec.externalName ?? ''
    return { found: true, records: [{ type: 'CNAME', name, data: alias }], additional: [], alias }
  }
  const ips = isHeadless(service) ? [...new Set(endpointsOf(source, service).map((e) => e.ip))] : clusterIpsOf(service)
  // A headless Service without a ready endpoint has no name yet.
  if (ips.length === 0) return isHeadless(service) ? nothing : noData
  if (type === 'SRV') return srvAnswer(source, service, name, name, undefined)
  return ofType(
    ips.map((data) => ({ type: typeOf(data), name, data })),
    type,
  )
}

/** `base` is the Service's own name; `wanted` names one port (_port._proto), or nothing for all. */
function srvAnswer(
  source: ZoneSource,
  service: Service,
  name: string,
  base: string,
  wanted: { readonly port: string; readonly protocol: string } | undefined,
): ZoneAnswer {
  const fits = (port: { readonly name: string; readonly protocol: string }) =>
    wanted === undefined || (port.name === wanted.port && port.protocol === wanted.protocol)
  const records = new Map<string, ZoneRecord>()
  const additional = new Map<string, ZoneRecord>()
  if (isHeadless(service)) {
    const endpoints = endpointsOf(source, service)
    for (const e of endpoints)
      for (const port of e.ports.filter(fits)) {
        const target = `${e.host}.${base}`
        records.set(`${target}:${port.port}`, {
          type: 'SRV',
          name,
          data: { priority: 0, weight: 100, port: port.port, target },
        })
        additional.set(`${target}/${e.ip}`, { type: typeOf(e.ip), name: target, data: e.ip })
      }
  } else {
    for (const p of service.spec.ports ?? []) {
      const port = { name: p.name ?? '', protocol: (p.protocol ?? 'TCP').toLowerCase() }
      if (!fits(port)) continue
      records.set(`${p.port}`, { type: 'SRV', name, data: { priority: 0, weight: 100, port: p.port, target: base } })
    }
    for (const ip of clusterIpsOf(service)) additional.set(ip, { type: typeOf(ip), name: base, data: ip })
  }
  return records.size === 0 ? nothing : some([...records.values()], [...additional.values()])
}

function serviceNames(
  source: ZoneSource,
  labels: readonly string[],
  name: string,
  suffix: string,
  type: string,
): ZoneAnswer {
  const namespace = labels.at(-1) ?? ''
  if (labels.length === 0) return noData
  if (labels.length === 1) return source.hasNamespace(namespace) ? noData : nothing
  const service = source.service(namespace, labels.at(-2) ?? '')
  if (service === undefined) return nothing
  const base = `${service.metadata.name}.${namespace}.${suffix}`
  const rest = labels.slice(0, -2)
  if (rest.length === 0) return serviceAnswer(source, service, name, type)
  const [first = '', second = ''] = rest
  if (rest.length === 2 && first.startsWith('_') && second.startsWith('_')) {
    const answer = srvAnswer(source, service, name, base, { port: first.slice(1), protocol: second.slice(1) })
    return type === 'SRV' || type === 'ANY' || !answer.found ? answer : noData
  }
  // _proto alone exists above its ports.
  if (rest.length === 1 && first.startsWith('_')) return noData
  if (rest.length !== 1 || !isHeadless(service)) return nothing
  const records = endpointsOf(source, service)
    .filter((e) => e.host === first)
    .map((e): ZoneRecord => ({ type: typeOf(e.ip), name, data: e.ip }))
  return records.length === 0 ? nothing : ofType(records, type)
}

/** 1-2-3-4.namespace.pod: the address that the name itself says. */
function podNames(source: ZoneSource, labels: readonly string[], name: string, type: string): ZoneAnswer {
  const namespace = labels.at(-1)
  if (namespace === undefined) return noData
  if (!source.hasNamespace(namespace)) return nothing
  if (labels.length === 1) return noData
  const [label = ''] = labels
  if (labels.length !== 2) return nothing
  if (/^\d{1,3}(-\d{1,3}){3}$/.test(label)) {
    const ip = label.replaceAll('-', '.')
    return ip.split('.').every((b) => Number(b) <= 255) ? ofType([{ type: 'A', name, data: ip }], type) : nothing
  }
  if (/^[0-9a-f-]+$/.test(label) && label.includes('-'))
    return ofType([{ type: 'AAAA', name, data: label.replaceAll('-', ':') }], type)
  return nothing
}

/** The address of a reverse name, undefined when it is none. */
export function reverseAddress(name: string): string | undefined {
  const four = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.in-addr\.arpa$/.exec(name)
  if (four !== null) return [four[4], four[3], four[2], four[1]].join('.')
  const six = /^((?:[0-9a-f]\.){32})ip6\.arpa$/.exec(name)
  if (six?.[1] === undefined) return undefined
  const digits = six[1].replaceAll('.', '').split('').reverse().join('')
  return new URL(`http://[${digits.match(/.{4}/g)?.join(':') ?? ''}]/`).hostname.slice(1, -1)
}

/** PTR of a cluster address or of a headless endpoint; undefined when the address is not ours. */
export function reverse(source: ZoneSource, name: string, domain: string): ZoneAnswer | undefined {
  const ip = reverseAddress(name)
  if (ip === undefined) return undefined
  const service = source.serviceByIp(ip)
  if (service !== undefined)
    return some([{ type: 'PTR', name, data: `${service.metadata.name}.${service.metadata.namespace}.svc.${domain}` }])
  const records: ZoneRecord[] = []
  for (const slice of source.slicesByIp(ip)) {
    const owner = source.service(
      slice.metadata.namespace ?? '',
      slice.metadata.labels?.['kubernetes.io/service-name'] ?? '',
    )
    if (owner === undefined || !isHeadless(owner)) continue
    for (const endpoint of slice.endpoints ?? [])
      if (endpoint.addresses.includes(ip))
        records.push({
          type: 'PTR',
          name,
          data: `${endpoint.hostname ?? dashed(ip)}.${owner.metadata.name}.${owner.metadata.namespace}.svc.${domain}`,
        })
  }
  return records.length === 0 ? undefined : some(records)
}

/** Answers a name inside `domain` (lower case, no dot at the end); undefined when the name is outside. */
export function lookup(source: ZoneSource, name: string, type: string, domain: string): ZoneAnswer | undefined {
  if (name === domain) return noData
  if (!name.endsWith(`.${domain}`)) return undefined
  const labels = name.slice(0, -domain.length - 1).split('.')
  const kind = labels.at(-1)
  if (kind === 'svc') return serviceNames(source, labels.slice(0, -1), name, `svc.${domain}`, type)
  if (kind === 'pod') return podNames(source, labels.slice(0, -1), name, type)
  if (labels.length === 1 && kind === 'dns-version') return ofType([{ type: 'TXT', name, data: '1.1.0' }], type)
  return nothing
}
