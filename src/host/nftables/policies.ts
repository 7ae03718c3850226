// What NetworkPolicies put into the table: a chain for each pod and direction, and named sets of peers that all pods of a
// policy share. A pod that comes or goes is one element of a set; a packet meets one lookup for each rule of a policy,
// whatever the number of peers.
import type { PolicyAllow, PolicyRule } from '../../ports/dataplane.ts'
import { canonicalRanges } from './cidrs.ts'
import { type Family, hash, proto, word } from './table.ts'

export interface PolicyChain {
  readonly name: string
  readonly lines: readonly string[]
  /** The map that leads to it, and its key there. */
  readonly map: string
  readonly podIP: string
}
export interface PolicySet {
  readonly body: string
  readonly members: readonly string[]
  /** Intervals are replaced whole, single addresses one by one. */
  readonly interval: boolean
}
export interface PolicyTexts {
  readonly chains: ReadonlyMap<string, PolicyChain>
  readonly sets: ReadonlyMap<string, PolicySet>
}

const familyOf = (ip: string): Family => (ip.includes(':') ? 6 : 4)

/** Ranges or single addresses of a list, the same array for the same list. */
const parts = new WeakMap<readonly string[], Map<boolean, readonly string[]>>()
function partOf(ranges: readonly string[], wide: boolean): readonly string[] {
  const known = parts.get(ranges) ?? new Map<boolean, readonly string[]>()
  parts.set(ranges, known)
  const found = known.get(wide) ?? ranges.filter((range) => range.includes('/') === wide)
  known.set(wide, found)
  return found
}

/** Matches of the peers of one rule; undefined where it has none of this family. */
function peerMatches(
  allow: PolicyAllow,
  name: string,
  side: string,
  family: Family,
  sets: Map<string, PolicySet>,
): readonly string[] | undefined {
  if (allow.peers.length === 0) return ['']
  const type = family === 4 ? 'ipv4_addr' : 'ipv6_addr'
  const ranges = canonicalRanges(allow.peers, family)
  const except = canonicalRanges(allow.except, family)
  const groups = [
    { suffix: 'a', members: partOf(ranges, false), flags: '' },
    { suffix: 'n', members: partOf(ranges, true), flags: ' flags interval;' },
  ].filter(({ members }) => members.length > 0)
  if (groups.length === 0) return undefined
  const declare = (suffix: string, members: readonly string[], flags: string) => {
    sets.set(`${name}-${suffix}`, { body: `type ${type};${flags}`, members, interval: flags !== '' })
    return `@${name}-${suffix}`
  }
  const without = except.length === 0 ? '' : ` ${side} != ${declare('x', except, ' flags interval;')}`
  return groups.map(({ suffix, members, flags }) => `${side} ${declare(suffix, members, flags)}${without}`)
}

/** One match for each protocol: ports and ranges are one lookup. */
function portMatches(allow: PolicyAllow): readonly string[] {
  if (allow.ports.length === 0) return ['']
  const byProtocol = new Map<string, [number, number][]>()
  for (const { protocol, port, endPort } of allow.ports) {
    const list = byProtocol.get(protocol) ?? []
    list.push([port, endPort ?? port])
    byProtocol.set(protocol, list)
  }
  return [...byProtocol].map(([protocol, ports]) => {
    const merged: [number, number][] = []
    for (const [from, to] of ports.sort((a, b) => a[0] - b[0])) {
      const last = merged.at(-1)
      if (last !== undefined && from <= last[1] + 1) last[1] = Math.max(last[1], to)
      else merged.push([from, to])
    }
    const text = merged.map(([from, to]) => (from === to ? String(from) : `${from}-${to}`))
    return `${proto(protocol as 'TCP')} dport ${text.length === 1 ? text[0] : `{ ${text.join(', ')} }`}`
  })
}

/** All rules of one pod and direction make one chain: what any policy allows passes, the rest is dropped. */
export function policyTexts(rules: readonly PolicyRule[]): PolicyTexts {
  const byPod = new Map<string, PolicyRule[]>()
  for (const rule of rules) {
    const key = `${rule.direction}/${rule.podIP}`
    const list = byPod.get(key)
    if (list === undefined) byPod.set(key, [rule])
    else list.push(rule)
  }
  const chains = new Map<string, PolicyChain>()
  const sets = new Map<string, PolicySet>()
  // A policy's peers are the same for every pod that it selects: looked at once.
  const peers = new Map<string, readonly string[] | undefined>()
  for (const [key, list] of byPod) {
    const [first] = list
    if (first === undefined) continue
    const { podIP, direction } = first
    const family = familyOf(podIP)
    const side = `${word(family)} ${direction === 'ingress' ? 'saddr' : 'daddr'}`
    // Leaving is not yet arriving: what egress lets pass must still satisfy the receiver's own policies.
    const verdict = direction === 'ingress' ? 'accept' : 'goto leaving'
    const lines: string[] = []
    for (const rule of list)
      for (const allow of rule.allow) {
        const name = `peers-${hash(`${rule.key}/${direction}/${allow.id}/${family}`)}`
        if (!peers.has(name)) peers.set(name, peerMatches(allow, name, side, family, sets))
        for (const who of peers.get(name) ?? [])
          for (const port of portMatches(allow)) lines.push(`${who} ${port} ${verdict}`.trim().replace(/ +/g, ' '))
      }
    lines.push('drop')
    const name = `pol-${direction === 'ingress' ? 'i' : 'e'}-${hash(key)}`
    chains.set(key, { name, lines, map: `${direction}${family}`, podIP })
  }
  return { chains, sets }
}
