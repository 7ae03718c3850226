// Names that are not the cluster's: asked from upstream servers, kept for their time to live. One question under way is
// asked once, however many clients wait for it.
import { type Answer, decode, encode, type Packet, type Question, type RecordType } from 'dns-packet'
import type { Clock } from '../ports/clock.ts'
import type { DnsSockets } from '../ports/dns-sockets.ts'
import type { Log } from '../ports/log.ts'
import type { Random } from '../ports/random.ts'

export interface ForwardOptions {
  readonly sockets: DnsSockets
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly upstreams?: readonly string[]
  readonly stubDomains?: Readonly<Record<string, readonly string[]>>
}
export interface Forwarder {
  /** The upstream's answer under the client's id, cut to `limit` bytes; undefined when nobody answered. */
  forward(query: Uint8Array, question: Question, limit: number): Promise<Uint8Array | undefined>
  /** Answer records of a name; undefined when nobody answered. */
  resolve(name: string, type: RecordType): Promise<readonly Answer[] | undefined>
}

const timeoutMs = 2000
const maxEntries = 10_000
const minTtlSeconds = 1
const maxTtlSeconds = 3600
const failureTtlMs = 1000

/** EDNS(0) of RFC 6891, with the payload that passes every link unfragmented (DNS Flag Day 2020). */
export const edns0 = {
  type: 'OPT',
  name: '.',
  udpPayloadSize: 1232,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0,
  flag_do: false,
  options: [],
} as Answer

interface Entry {
  readonly bytes: Uint8Array | undefined
  readonly expiresMs: number
}

/** How long an answer may be kept: its smallest TTL; the SOA's for a negative one. */
function ttlOf(packet: Packet): number {
  const ttls = [...(packet.answers ?? []), ...(packet.authorities ?? [])].map((r) => ('ttl' in r ? (r.ttl ?? 0) : 0))
  return Math.min(Math.max(ttls.length === 0 ? minTtlSeconds : Math.min(...ttls), minTtlSeconds), maxTtlSeconds)
}

export function createForwarder(options: ForwardOptions): Forwarder {
  const { sockets, clock, random, log } = options
  const cache = new Map<string, Entry>()
  const pending = new Map<string, Promise<Uint8Array | undefined>>()
  const stubs = Object.entries(options.stubDomains ?? {}).sort(([a], [b]) => b.length - a.length)
  let machine: Promise<readonly string[]> | undefined
  async function serversFor(name: string): Promise<readonly string[]> {
    for (const [domain, servers] of stubs) if (name === domain || name.endsWith(`.${domain}`)) return servers
    if (options.upstreams !== undefined) return options.upstreams
    machine ??= sockets.upstreams()
    return machine
  }
  async function ask(name: string, query: Uint8Array): Promise<Uint8Array | undefined> {
    for (const server of await serversFor(name)) {
      try {
        const answer = await sockets.exchange(server, query, timeoutMs)
        const rcode = (answer[3] ?? 0) & 0x0f
        // Another server may know better than one that fails or refuses.
        if (rcode !== 2 && rcode !== 5) return answer
      } catch (error) {
        log.debug('no answer from upstream DNS', {
          server,
          name,
          error: error instanceof Error ? error.message : String(error),
        })
      }
    }
    return undefined
  }
  async function cached(question: Question): Promise<Uint8Array | undefined> {
    const name = question.name.toLowerCase()
    const key = `${question.type} ${name}`
    const known = cache.get(key)
    if (known !== undefined && known.expiresMs > clock.monotonic()) return known.bytes
    const under = pending.get(key)
    if (under !== undefined) return under
    const id = Math.floor(random.float() * 65_536)
    const query = encode({
      type: 'query',
      id,
      flags: 1 << 8,
      questions: [{ ...question, name, class: 'IN' }],
      additionals: [edns0],
    })
    const asking = ask(name, query)
      .then((bytes) => {
        if (cache.size >= maxEntries) cache.clear()
        const lifeMs = bytes === undefined ? failureTtlMs : ttlOf(decode(Buffer.from(bytes))) * 1000
        cache.set(key, { bytes, expiresMs: clock.monotonic() + lifeMs })
        return bytes
      })
      .finally(() => pending.delete(key))
    pending.set(key, asking)
    return asking
  }
  return {
    async forward(query, question, limit) {
      const bytes = await cached(question)
      if (bytes === undefined) return undefined
      const packet = decode(Buffer.from(bytes))
      const id = ((query[0] ?? 0) << 8) | (query[1] ?? 0)
      const flags = (packet.flags ?? 0) & ~(1 << 9)
      const out = { ...packet, id, questions: [question], flags, additionals: [] }
      const whole = encode(out)
      return whole.length <= limit ? whole : encode({ ...out, answers: [], authorities: [], flags: flags | (1 << 9) })
    },
    async resolve(name, type) {
      const bytes = await cached({ name, type, class: 'IN' })
      return bytes === undefined ? undefined : (decode(Buffer.from(bytes)).answers ?? [])
    },
  }
}
