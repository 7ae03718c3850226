// What one service port puts into the table. A plain one is elements of maps alone: its address leads to the balance chain
// for its number of endpoints, and address and slot (a random number below that) to an endpoint. So a change of endpoints
// is a few elements. Affinity, source ranges, Local policies and many endpoints have chains of their own.
import type { Endpoint, ServiceRule } from '../../ports/dataplane.ts'
import { balanceName, hash, MASQUERADE, maxBalanced, proto, type Way, word } from './table.ts'

export interface ServiceText {
  readonly rule: ServiceRule
  /** Own chains, each with the lines that fill it. */
  readonly chains: ReadonlyMap<string, readonly string[]>
  /** Own sets with their declaration body. */
  readonly sets: ReadonlyMap<string, string>
  /** Elements of the shared maps: map name to keys and values. */
  readonly elements: ReadonlyMap<string, ReadonlyMap<string, string>>
}

/** Kept by the ten thousand, so in one piece: a template leaves a tree of its parts. */
const element = (...parts: readonly (string | number)[]): string => parts.join(' . ')
const placeOf = (e: Endpoint): string => element(e.ip, e.port)

/** A slot for each endpoint: who had one keeps it where there is still room, so that few elements change. */
function slots(endpoints: readonly Endpoint[], before: readonly (string | undefined)[]): string[] {
  const wanted = new Set(endpoints.map(placeOf))
  const out: (string | undefined)[] = Array.from({ length: endpoints.length })
  for (let i = 0; i < out.length; i++) {
    const kept = before[i]
    if (kept !== undefined && wanted.delete(kept)) out[i] = kept
  }
  const rest = wanted.values()
  return out.map((place) => place ?? (rest.next().value as string))
}
/** The places of a key's slots in what a service had before. */
function slotsBefore(old: ServiceText | undefined, map: string, key: string): (string | undefined)[] {
  const elements = old?.elements.get(map)
  const out: string[] = []
  if (elements !== undefined)
    for (let place = elements.get(`${key} . 0`); place !== undefined; place = elements.get(`${key} . ${out.length}`))
      out.push(place)
  return out
}

/** The text of a rule under construction. */
class Text {
  readonly rule: ServiceRule
  readonly chains = new Map<string, readonly string[]>()
  readonly sets = new Map<string, string>()
  readonly elements = new Map<string, Map<string, string>>()
  private readonly old: ServiceText | undefined
  constructor(rule: ServiceRule, old: ServiceText | undefined) {
    this.rule = rule
    this.old = old
  }
  add(map: string, key: string, value: string): void {
    let elements = this.elements.get(map)
    if (elements === undefined) {
      elements = new Map()
      this.elements.set(map, elements)
    }
    elements.set(key, value)
  }
  /** Leads `key` of a service map to `endpoints` through a shared chain. */
  balanced(map: string, key: string, way: Way, endpoints: readonly Endpoint[]): void {
    const { family } = this.rule
    const places = way === 'port' ? `portendpoints${family}` : `endpoints${family}`
    slots(endpoints, slotsBefore(this.old, places, key)).forEach((place, i) => this.add(places, element(key, i), place))
    this.add(map, key, `goto ${balanceName(way, family, endpoints.length)}`)
  }
}

/** `old` is what the service had: endpoints keep their slots. */
export function serviceText(rule: ServiceRule, old: ServiceText | undefined): ServiceText {
  const text = new Text(rule, old)
  const { family: f, clusterIP, port, nodePort } = rule
  const p = proto(rule.protocol)
  const at = (ip: string) => element(ip, p, port)
  const portKey = `${p} . ${nodePort}`
  const many = Math.max(rule.internalEndpoints.length, rule.externalEndpoints.length) > maxBalanced
  const own = rule.affinitySeconds !== undefined || rule.keepClientAddress || many
  const id = hash(`${f}/${rule.key}`)
  if (clusterIP !== undefined) {
    if (rule.internalEndpoints.length === 0)
      text.add(`refused${f}`, at(clusterIP), rule.dropInternal ? 'drop' : 'goto refuse')
    else if (own) text.add(`services${f}`, at(clusterIP), `goto ${internalChain(text, id)}`)
    else text.balanced(`services${f}`, at(clusterIP), 'cluster', rule.internalEndpoints)
  }
  const externals = [...rule.externalIPs, ...rule.loadBalancerIPs]
  if (nodePort === undefined && externals.length === 0) return text
  if (rule.externalEndpoints.length === 0) {
    const verdict = rule.dropExternal ? 'drop' : 'goto refuse'
    for (const ip of externals) text.add(`refused${f}`, at(ip), verdict)
    if (nodePort !== undefined) text.add(`refusedports${f}`, portKey, verdict)
    return text
  }
  const ranges = rule.sourceRanges.filter((r) => r.includes(':') === (f === 6))
  const entry = own || ranges.length > 0 ? externalChain(text, id) : undefined
  for (const ip of rule.externalIPs)
    if (entry === undefined) text.balanced(`services${f}`, at(ip), 'address', rule.externalEndpoints)
    else text.add(`services${f}`, at(ip), `goto ${entry}`)
  const guarded = entry === undefined || ranges.length === 0 ? entry : firewallChain(text, id, ranges, entry)
  for (const ip of rule.loadBalancerIPs)
    if (guarded === undefined) text.balanced(`services${f}`, at(ip), 'address', rule.externalEndpoints)
    else text.add(`services${f}`, at(ip), `goto ${guarded}`)
  if (nodePort === undefined) return text
  if (entry === undefined) text.balanced(`nodeports${f}`, portKey, 'port', rule.externalEndpoints)
  else text.add(`nodeports${f}`, portKey, `goto ${entry}`)
  return text
}

function internalChain(text: Text, id: string): string {
  const { rule } = text
  const family = word(rule.family)
  const mark = `meta mark set meta mark | ${MASQUERADE}`
  text.chains.set(`svc-${id}`, [
    `${family} saddr != @pods${rule.family} ct original ${family} daddr @clusters${rule.family} ${mark}`,
    ...endpointLines(text, id, rule.internalEndpoints),
  ])
  return `svc-${id}`
}

function externalChain(text: Text, id: string): string {
  const { rule } = text
  const external = `ext-${id}`
  const mark = `meta mark set meta mark | ${MASQUERADE}`
  text.chains.set(external, [
    rule.keepClientAddress ? `fib saddr type local ${mark}` : mark,
    ...endpointLines(text, `${id}x`, rule.externalEndpoints),
  ])
  // A Local policy counts for traffic from outside; pods and the node itself reach any endpoint by these addresses.
  if (!rule.keepClientAddress || !text.chains.has(`svc-${id}`)) return external
  const pods = `${word(rule.family)} saddr @pods${rule.family}`
  text.chains.set(`in-${id}`, [`${pods} goto svc-${id}`, `goto ${external}`])
  return `in-${id}`
}
function firewallChain(text: Text, id: string, ranges: readonly string[], entry: string): string {
  const from = `${word(text.rule.family)} saddr { ${ranges.join(', ')} }`
  text.chains.set(`fw-${id}`, [`${from} goto ${entry}`, 'drop'])
  return `fw-${id}`
}

function dnat(rule: ServiceRule, endpoints: readonly Endpoint[]): string {
  const family = word(rule.family)
  const [only] = endpoints
  if (endpoints.length === 1 && only !== undefined)
    return `meta l4proto ${proto(rule.protocol)} dnat ${family} to ${rule.family === 6 ? `[${only.ip}]` : only.ip}:${only.port}`
  const choices = endpoints.map((e, i) => `${i} : ${placeOf(e)}`).join(', ')
  return `meta l4proto ${proto(rule.protocol)} dnat ${family} addr . port to numgen random mod ${endpoints.length} map { ${choices} }`
}

/** Lines that send a packet to one of the endpoints; with affinity each endpoint gets a chain and a set of clients. */
function endpointLines(text: Text, id: string, endpoints: readonly Endpoint[]): string[] {
  const { rule } = text
  if (rule.affinitySeconds === undefined || endpoints.length === 1) return [dnat(rule, endpoints)]
  const family = word(rule.family)
  const names = endpoints.map((e) => `${id}-${hash(`${e.ip}/${e.port}`).slice(0, 8)}`)
  const lines: string[] = []
  endpoints.forEach((e, i) => {
    const chain = `ep-${names[i]}`
    const set = `aff-${names[i]}`
    text.sets.set(
      set,
      `type ${rule.family === 4 ? 'ipv4_addr' : 'ipv6_addr'}; flags dynamic,timeout; timeout ${rule.affinitySeconds}s;`,
    )
    text.chains.set(chain, [`update @${set} { ${family} saddr }`, dnat(rule, [e])])
    lines.push(`${family} saddr @${set} goto ${chain}`)
  })
  const choices = names.map((n, i) => `${i} : goto ep-${n}`).join(', ')
  lines.push(`numgen random mod ${endpoints.length} vmap { ${choices} }`)
  return lines
}
