// The cluster's DNS server: cluster names from informers, everything else from upstream through a cache. Answers to
// cluster names are kept as bytes until something that they depend on changes, so a hot name costs one map lookup.
import { type Answer, decode, encode, type Packet, type Question, type StringAnswer } from 'dns-packet'
import { namespaces } from '../api/core/namespace.ts'
import { type Service, services } from '../api/core/service.ts'
import { type EndpointSlice, endpointSlices } from '../api/discovery/endpoint-slice.ts'
import { type IndexBy, type InformerFactory, keyFor } from '../client/informer.ts'
import { type Clock, sleep } from '../ports/clock.ts'
import type { DnsSockets } from '../ports/dns-sockets.ts'
import type { Log } from '../ports/log.ts'
import type { Random } from '../ports/random.ts'
import { createForwarder, edns0, type Forwarder } from './forward.ts'
import { lookup, reverse, type ZoneAnswer, type ZoneSource } from './zone.ts'

export interface DnsOptions {
  readonly informers: InformerFactory
  readonly sockets: DnsSockets
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** Default cluster.local. */
  readonly domain?: string
  /** Where to listen: the cluster DNS addresses of this node. */
  readonly addresses: readonly string[]
  /** Default 53. */
  readonly port?: number
  /** Servers for other names; default: the machine's own. */
  readonly upstreams?: readonly string[]
  /** Domain to servers, for names that other DNS servers own. */
  readonly stubDomains?: Readonly<Record<string, readonly string[]>>
}
export interface DnsServer {
  /** Resolves when the informers are filled and every address is served. */
  readonly ready: Promise<void>
  /** The packet that answers; at once where it is known. */
  answer(query: Uint8Array, via: 'udp' | 'tcp'): Uint8Array | undefined | Promise<Uint8Array | undefined>
  stop(): Promise<void>
}

const ttlSeconds = 5
const maxUdpBytes = 512
/** Answers kept as bytes; dropped whole on change or when this many names were asked. */
const maxCached = 10_000
const maxAliases = 8

const byServiceName: IndexBy<EndpointSlice> = (slice) => {
  const name = slice.metadata.labels?.['kubernetes.io/service-name']
  return name === undefined ? [] : [`${slice.metadata.namespace ?? ''}/${name}`]
}
const byEndpointIp: IndexBy<EndpointSlice> = (slice) => (slice.endpoints ?? []).flatMap((e) => [...e.addresses])
const byClusterIp: IndexBy<Service> = (service) => service.spec.clusterIPs ?? []

const AUTHORITATIVE = 1 << 10
const RECURSION_DESIRED = 1 << 8
const RECURSION_AVAILABLE = 1 << 7
const TRUNCATED = 1 << 9
const rcodes = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 } as const

/** Starts serving; `ready` rejects with one clear line when an address is not to be had. */
export function startDns(options: DnsOptions): DnsServer {
  const domain = (options.domain ?? 'cluster.local').toLowerCase()
  const serviceInformer = options.informers.informer(services)
  const sliceInformer = options.informers.informer(endpointSlices)
  const namespaceInformer = options.informers.informer(namespaces)
  const slices = sliceInformer.index(byServiceName)
  const slicesByIp = sliceInformer.index(byEndpointIp)
  const servicesByIp = serviceInformer.index(byClusterIp)
  const source: ZoneSource = {
    service: (namespace, name) => serviceInformer.get(name, namespace),
    hasNamespace: (name) => namespaceInformer.get(name) !== undefined,
    slices: (namespace, service) => slices.get(keyFor(service, namespace)),
    serviceByIp: (ip) => servicesByIp.get(ip)[0],
    slicesByIp: (ip) => slicesByIp.get(ip),
  }
  let cache = new Map<string, Uint8Array>()
  const forget = () => {
    if (cache.size > 0) cache = new Map()
  }
  const removers = [serviceInformer, sliceInformer, namespaceInformer].map((informer) =>
    informer.handle({ add: forget, update: forget, delete: forget } as never),
  )
  const forwarder = createForwarder(options)
  const servers: { close(): Promise<void> }[] = []

  const answer: DnsServer['answer'] = (bytes, via) => {
    // The id is the client's own; everything else of a repeated question is the same.
    const key = bytes.length > 12 && bytes.length <= maxCachedQuestion ? via + latin1(bytes) : undefined
    const known = key === undefined ? undefined : cache.get(key)
    if (known === undefined) return find(bytes, via, key)
    const out = Buffer.allocUnsafe(known.length)
    out.set(known)
    out[0] = bytes[0] ?? 0
    out[1] = bytes[1] ?? 0
    return out
  }
  const find = async (bytes: Uint8Array, via: 'udp' | 'tcp', key: string | undefined) => {
    const current = cache
    const result = await compute(bytes, via, { source, domain, forwarder })
    if (result?.cacheable === true && key !== undefined && current === cache) {
      if (cache.size >= maxCached) cache = new Map()
      cache.set(key, result.bytes)
    }
    return result?.bytes
  }
  const stopped = new AbortController()
  /** Boundary: where somebody else has the address, it is told of and tried again until it is ours. */
  const serve = async (address: string) => {
    while (!stopped.signal.aborted)
      try {
        servers.push(await options.sockets.serve(address, options.port ?? 53, answer))
        return
      } catch (error) {
        options.log.error('cannot answer DNS questions, trying again', { address, error: String(error) })
        await sleep(options.clock, retryMs, stopped.signal)
      }
  }
  const ready = Promise.all([serviceInformer.synced, sliceInformer.synced, namespaceInformer.synced]).then(async () => {
    for (const address of options.addresses) await serve(address)
  })
  return {
    ready,
    answer,
    async stop() {
      stopped.abort()
      for (const remove of removers) remove()
      await Promise.all(servers.map((s) => s.close()))
    },
  }
}

const retryMs = 5000
/** Longer questions are not asked twice. */
const maxCachedQuestion = 600
/** A question without its id. */
const latin1 = ({ buffer, byteOffset, length }: Uint8Array): string =>
  Buffer.from(buffer, byteOffset, length).toString('latin1', 2)

interface Computing {
  readonly source: ZoneSource
  readonly domain: string
  readonly forwarder: Forwarder
}
interface Computed {
  readonly bytes: Uint8Array
  /** Depends on cluster objects alone. */
  readonly cacheable: boolean
}

async function compute(bytes: Uint8Array, via: 'udp' | 'tcp', c: Computing): Promise<Computed | undefined> {
  // Too short for a header, or itself an answer: silence, or two servers would answer each other for ever.
  if (bytes.length < 12 || ((bytes[2] ?? 0) & 0x80) !== 0) return undefined
  let query: Packet
  try {
    query = decode(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
  } catch {
    // Malformed: the format error is the answer that the protocol has for it.
    return { bytes: headerOnly(bytes, rcodes.FORMERR), cacheable: false }
  }
  const [question] = query.questions ?? []
  if (question === undefined || query.questions?.length !== 1)
    return { bytes: headerOnly(bytes, rcodes.FORMERR), cacheable: false }
  if (((bytes[2] ?? 0) & 0x78) !== 0) return { bytes: headerOnly(bytes, rcodes.NOTIMP), cacheable: false }
  const limit = via === 'tcp' ? 65_535 : udpLimit(query)
  const name = question.name.toLowerCase().replace(/\.$/, '')
  const zone =
    question.type === 'PTR'
      ? (lookup(c.source, name, 'PTR', c.domain) ?? reverse(c.source, name, c.domain))
      : lookup(c.source, name, question.type, c.domain)
  if (zone === undefined) {
    const answer = await c.forwarder.forward(bytes, question, limit)
    return { bytes: answer ?? headerOnly(bytes, rcodes.SERVFAIL), cacheable: false }
  }
  const alias = zone.found ? zone.alias : undefined
  const { extra, failed } =
    alias === undefined || question.type === 'CNAME' ? { extra: [], failed: false } : await follow(alias, question, c)
  const packet = response(query, question, zone, extra, c.domain, failed)
  return { bytes: fit(packet, limit), cacheable: alias === undefined }
}

/** EDNS: how much the client takes by UDP; at most what passes common networks unfragmented. */
function udpLimit(query: Packet): number {
  const opt = query.additionals?.find((a) => a.type === 'OPT')
  const size = opt !== undefined && 'udpPayloadSize' in opt ? Number(opt.udpPayloadSize) : 0
  return Math.min(Math.max(size, maxUdpBytes), 1232)
}

/** ExternalName: the alias's own records, through cluster names or upstream, at most maxAliases steps (no loops). */
async function follow(first: string, question: Question, c: Computing): Promise<{ extra: Answer[]; failed: boolean }> {
  const extra: Answer[] = []
  let name = first.toLowerCase().replace(/\.$/, '')
  const seen = new Set<string>()
  for (let step = 0; step < maxAliases; step++) {
    if (seen.has(name)) return { extra, failed: true }
    seen.add(name)
    const zone = lookup(c.source, name, question.type, c.domain)
    if (zone === undefined) {
      // Without an answer from upstream the client still learns the alias, and may ask for itself.
      const answers = (await c.forwarder.resolve(name, question.type)) ?? []
      return { extra: [...extra, ...answers], failed: false }
    }
    if (!zone.found) return { extra, failed: false }
    extra.push(...zone.records.map((r) => toAnswer(r)))
    if (zone.alias === undefined) return { extra, failed: false }
    name = zone.alias.toLowerCase().replace(/\.$/, '')
  }
  return { extra, failed: true }
}

const toAnswer = (record: Extract<ZoneAnswer, { found: true }>['records'][number]): Answer =>
  ({ ...record, ttl: ttlSeconds, class: 'IN' }) as StringAnswer

function response(
  query: Packet,
  question: Question,
  zone: ZoneAnswer,
  extra: readonly Answer[],
  domain: string,
  failed: boolean,
): Packet {
  const records = zone.found ? zone.records.map(toAnswer) : []
  // The client sees its own spelling of the name.
  const answers = records.map((r) => (r.name === question.name.toLowerCase() ? { ...r, name: question.name } : r))
  const soa: Answer = {
    type: 'SOA',
    name: domain,
    ttl: ttlSeconds,
    class: 'IN',
    data: {
      mname: `ns.dns.${domain}`,
      rname: `hostmaster.${domain}`,
      serial: 1,
      refresh: 7200,
      retry: 1800,
      expire: 86_400,
      minimum: ttlSeconds,
    },
  }
  const empty = answers.length === 0
  const rcode = failed ? rcodes.SERVFAIL : zone.found ? rcodes.NOERROR : rcodes.NXDOMAIN
  const desired = (query.flags ?? 0) & RECURSION_DESIRED
  const edns = query.additionals?.some((a) => a.type === 'OPT') ?? false
  return {
    type: 'response',
    ...(query.id === undefined ? {} : { id: query.id }),
    flags: AUTHORITATIVE | RECURSION_AVAILABLE | desired | rcode,
    questions: [question],
    answers: [...answers, ...extra],
    authorities: empty ? [soa] : [],
    additionals: [...(zone.found ? zone.additional.map(toAnswer) : []), ...(edns ? [edns0] : [])],
  }
}

/** Encodes within `limit` bytes; what does not fit is left out and the answer marked as truncated. */
function fit(packet: Packet, limit: number): Uint8Array {
  const whole = encode(packet)
  if (whole.length <= limit) return whole
  const lean = encode({ ...packet, additionals: (packet.additionals ?? []).filter((a) => a.type === 'OPT') })
  if (lean.length <= limit) return lean
  const answers = [...(packet.answers ?? [])]
  while (answers.length > 0) {
    answers.length = Math.floor(answers.length / 2)
    const cut = encode({ ...packet, answers, additionals: [], flags: (packet.flags ?? 0) | TRUNCATED })
    if (cut.length <= limit) return cut
  }
  return encode({ ...packet, answers: [], authorities: [], additionals: [], flags: (packet.flags ?? 0) | TRUNCATED })
}

/** The client's header with a result code and nothing behind it. */
function headerOnly(query: Uint8Array, rcode: number): Uint8Array {
  const out = new Uint8Array(12)
  out[0] = query[0] ?? 0
  out[1] = query[1] ?? 0
  out[2] = 0x80 | ((query[2] ?? 0) & 0x79)
  out[3] = 0x80 | rcode
  return out
}
