// The Dataplane on nftables: one table of ours in family inet. A packet meets a constant number of lookups whatever the
// number of services: maps lead from an address and port to the chain of that service port, and only that chain knows
// its endpoints. Every change is one `nft -f -`, which the kernel takes whole or not at all.
import type { Dataplane, DataplaneState, Endpoint, PolicyRule, Protocol, ServiceRule } from '../ports/dataplane.ts'
import type { Log } from '../ports/log.ts'
import type { Shell } from './shell.ts'

export interface NftablesOptions {
  /** Table name; unique to this cluster on the machine, letters, digits and underscores. */
  readonly table: string
  readonly log: Log
  /** Starts nft and conntrack without stopping our event loop. */
  readonly shell: Shell
  /** Runs commands inside this network namespace (`ip netns`), for several nodes on one machine. */
  readonly netns?: string
}

/** Bit of the packet mark that asks postrouting to masquerade. The same bit for every cluster: masquerading is the same wish. */
const MASQUERADE = '0x4000'

/** FNV-1a, 64 bits as hex: chain names must be short and stable. */
function hash(text: string): string {
  let h = 0xcbf29ce484222325n
  for (let i = 0; i < text.length; i++) h = ((h ^ BigInt(text.charCodeAt(i))) * 0x100000001b3n) & 0xffffffffffffffffn
  return h.toString(16).padStart(16, '0')
}

const proto = (p: Protocol) => p.toLowerCase()
const word = (family: 4 | 6) => (family === 4 ? 'ip' : 'ip6')

/** What a service port adds to the shared maps: map name to element key and verdict. */
interface Elements {
  readonly [map: string]: readonly string[]
}
interface ServiceText {
  readonly rule: ServiceRule
  /** Own chains, each with the lines that fill it. */
  readonly chains: ReadonlyMap<string, readonly string[]>
  /** Own sets with their declaration body. */
  readonly sets: ReadonlyMap<string, string>
  /** "key : verdict" by map. */
  readonly elements: Elements
}

function balance(rule: ServiceRule, endpoints: readonly Endpoint[]): string {
  const family = word(rule.family)
  const [only] = endpoints
  if (endpoints.length === 1 && only !== undefined)
    return `meta l4proto ${proto(rule.protocol)} dnat ${family} to ${rule.family === 6 ? `[${only.ip}]` : only.ip}:${only.port}`
  const choices = endpoints.map((e, i) => `${i} : ${e.ip} . ${e.port}`).join(', ')
  return `meta l4proto ${proto(rule.protocol)} dnat ${family} addr . port to numgen random mod ${endpoints.length} map { ${choices} }`
}

/** The chain that sends a packet to one of the endpoints; with affinity each endpoint gets a chain and a set of clients. */
function endpointLines(
  rule: ServiceRule,
  id: string,
  endpoints: readonly Endpoint[],
  chains: Map<string, readonly string[]>,
  sets: Map<string, string>,
): string[] {
  if (rule.affinitySeconds === undefined || endpoints.length === 1) return [balance(rule, endpoints)]
  const family = word(rule.family)
  const names = endpoints.map((e) => `${id}-${hash(`${e.ip}/${e.port}`).slice(0, 8)}`)
  const lines: string[] = []
  endpoints.forEach((e, i) => {
    const chain = `ep-${names[i]}`
    const set = `aff-${names[i]}`
    sets.set(
      set,
      `type ${rule.family === 4 ? 'ipv4_addr' : 'ipv6_addr'}; flags dynamic,timeout; timeout ${rule.affinitySeconds}s;`,
    )
    chains.set(chain, [`update @${set} { ${family} saddr }`, balance(rule, [e])])
    lines.push(`${family} saddr @${set} goto ${chain}`)
  })
  const choices = names.map((n, i) => `${i} : goto ep-${n}`).join(', ')
  lines.push(`numgen random mod ${endpoints.length} vmap { ${choices} }`)
  return lines
}

function serviceText(rule: ServiceRule): ServiceText {
  const id = hash(`${rule.family}/${rule.key}`)
  const chains = new Map<string, readonly string[]>()
  const sets = new Map<string, string>()
  const elements: Record<string, string[]> = {}
  const add = (map: string, key: string, verdict: string) => {
    ;(elements[map] ??= []).push(`${key} : ${verdict}`)
  }
  const p = proto(rule.protocol)
  const f = rule.family
  const family = word(f)
  const externals = [...rule.externalIPs, ...rule.loadBalancerIPs]
  if (rule.clusterIP !== undefined) {
    const key = `${rule.clusterIP} . ${p} . ${rule.port}`
    if (rule.internalEndpoints.length > 0) {
      chains.set(`svc-${id}`, [
        `${family} saddr != @pods${f} ct original ${family} daddr @clusters${f} meta mark set meta mark | ${MASQUERADE}`,
        ...endpointLines(rule, id, rule.internalEndpoints, chains, sets),
      ])
      add(`services${f}`, key, `goto svc-${id}`)
    } else add(`refused${f}`, key, rule.dropInternal ? 'drop' : 'goto refuse')
  }
  if (rule.nodePort === undefined && externals.length === 0) return { rule, chains, sets, elements }
  if (rule.externalEndpoints.length === 0) {
    const verdict = rule.dropExternal ? 'drop' : 'goto refuse'
    for (const ip of externals) add(`refused${f}`, `${ip} . ${p} . ${rule.port}`, verdict)
    if (rule.nodePort !== undefined) add(`refusedports${f}`, `${p} . ${rule.nodePort}`, verdict)
    return { rule, chains, sets, elements }
  }
  const external = `ext-${id}`
  chains.set(external, [
    rule.keepClientAddress
      ? `fib saddr type local meta mark set meta mark | ${MASQUERADE}`
      : `meta mark set meta mark | ${MASQUERADE}`,
    ...endpointLines(rule, `${id}x`, rule.externalEndpoints, chains, sets),
  ])
  // A Local policy counts for traffic from outside; pods and the node itself reach any endpoint by these addresses.
  let entry = external
  if (rule.keepClientAddress && rule.internalEndpoints.length > 0 && chains.has(`svc-${id}`)) {
    entry = `in-${id}`
    chains.set(entry, [`${family} saddr @pods${f} goto svc-${id}`, `goto ${external}`])
  }
  for (const ip of rule.externalIPs) add(`services${f}`, `${ip} . ${p} . ${rule.port}`, `goto ${entry}`)
  let guarded = entry
  const ranges = rule.sourceRanges.filter((r) => r.includes(':') === (f === 6))
  if (ranges.length > 0) {
    guarded = `fw-${id}`
    chains.set(guarded, [`${family} saddr { ${ranges.join(', ')} } goto ${entry}`, 'drop'])
  }
  for (const ip of rule.loadBalancerIPs) add(`services${f}`, `${ip} . ${p} . ${rule.port}`, `goto ${guarded}`)
  if (rule.nodePort !== undefined) add(`nodeports${f}`, `${p} . ${rule.nodePort}`, `goto ${entry}`)
  return { rule, chains, sets, elements }
}

/** nat chains may not drop; a firewalled load balancer is therefore marked here and dropped by the filter chains. */
const skeleton = (table: string): string => `
table inet ${table} {}
delete table inet ${table}
table inet ${table} {
  set pods4 { type ipv4_addr; flags interval; auto-merge; }
  set pods6 { type ipv6_addr; flags interval; auto-merge; }
  set clusters4 { type ipv4_addr; flags interval; auto-merge; }
  set clusters6 { type ipv6_addr; flags interval; auto-merge; }
  set own4 { type ipv4_addr; flags interval; auto-merge; }
  set own6 { type ipv6_addr; flags interval; auto-merge; }
  set hairpin4 { type ipv4_addr . ipv4_addr; }
  set hairpin6 { type ipv6_addr . ipv6_addr; }
  set portaddresses4 { type ipv4_addr; flags interval; auto-merge; }
  set portaddresses6 { type ipv6_addr; flags interval; auto-merge; }
  map services4 { type ipv4_addr . inet_proto . inet_service : verdict; }
  map services6 { type ipv6_addr . inet_proto . inet_service : verdict; }
  map refused4 { type ipv4_addr . inet_proto . inet_service : verdict; }
  map refused6 { type ipv6_addr . inet_proto . inet_service : verdict; }
  map nodeports4 { type inet_proto . inet_service : verdict; }
  map nodeports6 { type inet_proto . inet_service : verdict; }
  map refusedports4 { type inet_proto . inet_service : verdict; }
  map refusedports6 { type inet_proto . inet_service : verdict; }
  map ingress4 { type ipv4_addr : verdict; }
  map ingress6 { type ipv6_addr : verdict; }
  map egress4 { type ipv4_addr : verdict; }
  map egress6 { type ipv6_addr : verdict; }
  chain refuse { meta l4proto tcp reject with tcp reset; reject; }
  chain services {
    ip daddr . meta l4proto . th dport vmap @services4
    ip6 daddr . meta l4proto . th dport vmap @services6
    fib daddr type local ip daddr != 127.0.0.0/8 jump nodeports
  }
  chain nodeports {
    meta nfproto ipv4 meta l4proto . th dport vmap @nodeports4
    meta nfproto ipv6 meta l4proto . th dport vmap @nodeports6
  }
  chain prerouting { type nat hook prerouting priority dstnat; policy accept; meta l4proto { tcp, udp, sctp } jump services; }
  chain output { type nat hook output priority -100; policy accept; meta l4proto { tcp, udp, sctp } jump services; }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ct status dnat ip saddr . ip daddr @hairpin4 masquerade
    ct status dnat ip6 saddr . ip6 daddr @hairpin6 masquerade
    meta mark & ${MASQUERADE} == ${MASQUERADE} meta mark set meta mark & 0xffffbfff masquerade fully-random
  }
  chain unserved {
    ip daddr @own4 return
    ip6 daddr @own6 return
    ip daddr . meta l4proto . th dport vmap @refused4
    ip6 daddr . meta l4proto . th dport vmap @refused6
    ct status dnat return
    ip daddr @clusters4 goto refuse
    ip6 daddr @clusters6 goto refuse
  }
  chain unservedports {
    meta nfproto ipv4 meta l4proto . th dport vmap @refusedports4
    meta nfproto ipv6 meta l4proto . th dport vmap @refusedports6
    ip daddr . meta l4proto . th dport vmap @refused4
    ip6 daddr . meta l4proto . th dport vmap @refused6
  }
  chain policies {
    ct state established,related accept
    ip saddr vmap @egress4
    ip6 saddr vmap @egress6
    jump arriving
  }
  chain leaving { jump arriving; accept; }
  chain arriving {
    ip daddr vmap @ingress4
    ip6 daddr vmap @ingress6
  }
  chain filterarriving { type filter hook prerouting priority -90; policy accept; ct state new jump unserved; }
  chain filterforward { type filter hook forward priority -10; policy accept; jump policies; }
  chain filteroutput { type filter hook output priority -10; policy accept; ct state new jump unserved; }
  chain filterinput { type filter hook input priority -10; policy accept; ct state new fib daddr type local jump unservedports; ct state established,related accept; ip saddr vmap @egress4; ip6 saddr vmap @egress6; }
}
`

interface PolicyText {
  readonly chain: string
  readonly lines: readonly string[]
  readonly map: string
  readonly podIP: string
}

/** All rules of one pod and direction make one chain: what any policy allows returns, the rest is dropped. */
function policyTexts(rules: readonly PolicyRule[]): Map<string, PolicyText> {
  const byPod = new Map<string, PolicyRule[]>()
  for (const rule of rules) {
    const key = `${rule.direction}/${rule.podIP}`
    const list = byPod.get(key)
    if (list === undefined) byPod.set(key, [rule])
    else list.push(rule)
  }
  const out = new Map<string, PolicyText>()
  for (const [key, list] of byPod) {
    const [first] = list
    if (first === undefined) continue
    const f = first.podIP.includes(':') ? 6 : 4
    const side = `${word(f)} ${first.direction === 'ingress' ? 'saddr' : 'daddr'}`
    const lines: string[] = []
    const allowed = (match: string) => {
      // Leaving is not yet arriving: what egress lets pass must still satisfy the receiver's own policies.
      if (first.direction === 'ingress') lines.push(`${match} accept`)
      else lines.push(`${match} goto leaving`)
    }
    for (const rule of list)
      for (const allow of rule.allow) {
        const peers = allow.peers.filter((p) => p.includes(':') === (f === 6))
        if (allow.peers.length > 0 && peers.length === 0) continue
        const except = allow.except.filter((p) => p.includes(':') === (f === 6))
        const who = [
          ...(peers.length > 0 ? [`${side} { ${peers.join(', ')} }`] : []),
          ...(except.length > 0 ? [`${side} != { ${except.join(', ')} }`] : []),
        ].join(' ')
        if (allow.ports.length === 0) allowed(who)
        for (const port of allow.ports) {
          const range = port.endPort === undefined ? String(port.port) : `${port.port}-${port.endPort}`
          allowed(`${who} ${proto(port.protocol)} dport ${range}`.trim())
        }
      }
    lines.push('drop')
    out.set(key, {
      chain: `pol-${first.direction === 'ingress' ? 'i' : 'e'}-${hash(key)}`,
      lines,
      map: `${first.direction}${f}`,
      podIP: first.podIP,
    })
  }
  return out
}

const sameLines = (a: readonly string[], b: readonly string[]) => a.length === b.length && a.every((l, i) => l === b[i])

/** Answers a Dataplane; nothing is touched before the first apply. */
export function nftablesDataplane(options: NftablesOptions): Dataplane {
  const { table } = options
  const prefix = options.netns === undefined ? [] : ['ip', 'netns', 'exec', options.netns]
  const tool = (command: readonly string[], input = '') => {
    const [file = '', ...args] = [...prefix, ...command]
    return options.shell.run(file, args, input)
  }
  const nft = (script: string) => tool(['nft', '-f', '-'], script)
  let ready = false
  let services = new Map<string, ServiceText>()
  let policies = new Map<string, PolicyText>()
  let sets = new Map<string, readonly string[]>()
  let queue: Promise<void> = Promise.resolve()

  /** The lines of one transaction, in an order that never refers to what is not there: declare, fill, map, drop. */
  function transaction(state: DataplaneState) {
    const declare: string[] = []
    const fill: string[] = []
    const unmap: string[] = []
    const remap: string[] = []
    const drop: string[] = []
    const nextServices = new Map<string, ServiceText>()
    const vanishedUdp: { readonly rule: ServiceRule; readonly endpoint: Endpoint }[] = []
    for (const rule of state.services) {
      const key = `${rule.family}/${rule.key}`
      const old = services.get(key)
      nextServices.set(key, old?.rule === rule ? old : serviceText(rule))
    }
    const change = (old: ServiceText | undefined, next: ServiceText | undefined) => {
      if (old === next) return
      for (const [name, body] of next?.sets ?? [])
        if (!old?.sets.has(name)) declare.push(`add set inet ${table} ${name} { ${body} }`)
      for (const [name, lines] of next?.chains ?? []) {
        const before = old?.chains.get(name)
        if (before === undefined) declare.push(`add chain inet ${table} ${name}`)
        else if (sameLines(before, lines)) continue
        else fill.push(`flush chain inet ${table} ${name}`)
        for (const line of lines) fill.push(`add rule inet ${table} ${name} ${line}`)
      }
      for (const map of new Set([...Object.keys(old?.elements ?? {}), ...Object.keys(next?.elements ?? {})])) {
        const before = old?.elements[map] ?? []
        const after = next?.elements[map] ?? []
        for (const e of before) if (!after.includes(e)) unmap.push(`delete element inet ${table} ${map} { ${e} }`)
        for (const e of after) if (!before.includes(e)) remap.push(`add element inet ${table} ${map} { ${e} }`)
      }
      const gone = [...(old?.chains.keys() ?? [])].filter((name) => !next?.chains.has(name))
      for (const name of gone) drop.unshift(`flush chain inet ${table} ${name}`)
      for (const name of gone) drop.push(`delete chain inet ${table} ${name}`)
      for (const name of old?.sets.keys() ?? [])
        if (!next?.sets.has(name)) drop.push(`delete set inet ${table} ${name}`)
      if (old?.rule.protocol === 'UDP') {
        const kept = new Set(
          [...(next?.rule.internalEndpoints ?? []), ...(next?.rule.externalEndpoints ?? [])].map((e) => e.ip),
        )
        for (const endpoint of new Set([...old.rule.internalEndpoints, ...old.rule.externalEndpoints]))
          if (!kept.has(endpoint.ip)) vanishedUdp.push({ rule: old.rule, endpoint })
      }
    }
    for (const [key, next] of nextServices) change(services.get(key), next)
    for (const [key, old] of services) if (!nextServices.has(key)) change(old, undefined)

    const nextPolicies = policyTexts(state.policies)
    for (const [key, next] of nextPolicies) {
      const old = policies.get(key)
      if (old !== undefined && sameLines(old.lines, next.lines)) continue
      if (old === undefined) declare.push(`add chain inet ${table} ${next.chain}`)
      else fill.push(`flush chain inet ${table} ${next.chain}`)
      for (const line of next.lines) fill.push(`add rule inet ${table} ${next.chain} ${line}`)
      if (old === undefined) remap.push(`add element inet ${table} ${next.map} { ${next.podIP} : goto ${next.chain} }`)
    }
    for (const [key, old] of policies)
      if (!nextPolicies.has(key)) {
        unmap.push(`delete element inet ${table} ${old.map} { ${old.podIP} : goto ${old.chain} }`)
        drop.push(`flush chain inet ${table} ${old.chain}`, `delete chain inet ${table} ${old.chain}`)
      }

    const nextSets = plainSets(state)
    for (const [name, members] of nextSets) {
      const old = sets.get(name) ?? []
      if (sameLines(old, members)) continue
      const interval = !name.startsWith('hairpin')
      if (interval) {
        fill.push(`flush set inet ${table} ${name}`)
        if (members.length > 0) fill.push(`add element inet ${table} ${name} { ${members.join(', ')} }`)
        continue
      }
      const before = new Set(old)
      const after = new Set(members)
      const gone = old.filter((m) => !after.has(m))
      const fresh = members.filter((m) => !before.has(m))
      if (gone.length > 0) fill.push(`delete element inet ${table} ${name} { ${gone.join(', ')} }`)
      if (fresh.length > 0) fill.push(`add element inet ${table} ${name} { ${fresh.join(', ')} }`)
    }
    const lines = [...declare, ...fill, ...unmap, ...remap, ...drop]
    return { lines, nextServices, nextPolicies, nextSets, vanishedUdp }
  }

  async function applyOnce(state: DataplaneState): Promise<void> {
    if (!ready) {
      services = new Map()
      policies = new Map()
      sets = new Map()
    }
    const { lines, nextServices, nextPolicies, nextSets, vanishedUdp } = transaction(state)
    if (ready && lines.length === 0) return
    const script = `${ready ? '' : skeleton(table)}${lines.join('\n')}\n`
    await nft(script)
    ready = true
    services = nextServices
    policies = nextPolicies
    sets = nextSets
    await forgetUdp(vanishedUdp)
  }

  /** A UDP flow outlives its endpoint in the connection table: without this it would be sent to nobody for minutes. */
  async function forgetUdp(
    vanished: readonly { readonly rule: ServiceRule; readonly endpoint: Endpoint }[],
  ): Promise<void> {
    for (const { rule, endpoint } of vanished) {
      const destinations = [
        ...(rule.clusterIP === undefined ? [] : [rule.clusterIP]),
        ...rule.externalIPs,
        ...rule.loadBalancerIPs,
      ]
      for (const destination of destinations)
        await conntrackDelete(['--orig-dst', destination, '--reply-src', endpoint.ip])
      if (rule.nodePort !== undefined)
        await conntrackDelete(['--orig-port-dst', String(rule.nodePort), '--reply-src', endpoint.ip])
    }
  }
  async function conntrackDelete(filter: readonly string[]): Promise<void> {
    try {
      await tool(['conntrack', '-D', '-p', 'udp', ...filter])
    } catch (error) {
      // conntrack exits 1 when nothing matched ("0 flow entries have been deleted").
      const message = error instanceof Error ? error.message : String(error)
      if (!message.includes('0 flow entries')) options.log.warn('stale UDP flows were not removed', { error: message })
    }
  }

  return {
    apply(state) {
      const result = queue.then(() => applyOnce(state))
      queue = result.catch(() => {
        // The caller hears of it; the next apply starts from a table whose content is not in doubt.
        ready = false
      })
      return result
    },
    clear() {
      const result = queue.then(async () => {
        await nft(`table inet ${table} {}\ndelete table inet ${table}\n`)
        ready = false
      })
      queue = result.catch(() => {})
      return result
    },
  }
}

function plainSets(state: DataplaneState): Map<string, readonly string[]> {
  const out = new Map<string, readonly string[]>()
  const split = (name: string, values: readonly string[]) => {
    out.set(`${name}4`, values.filter((v) => !v.includes(':')).sort())
    out.set(`${name}6`, values.filter((v) => v.includes(':')).sort())
  }
  split('pods', state.podCidrs)
  split('clusters', state.serviceCidrs)
  split('own', state.ownAddresses)
  split('portaddresses', state.nodePortAddresses)
  const local = new Set<string>()
  for (const rule of state.services)
    for (const e of [...rule.internalEndpoints, ...rule.externalEndpoints]) if (e.local) local.add(e.ip)
  const pairs = [...local].sort()
  out.set(
    'hairpin4',
    pairs.filter((ip) => !ip.includes(':')).map((ip) => `${ip} . ${ip}`),
  )
  out.set(
    'hairpin6',
    pairs.filter((ip) => ip.includes(':')).map((ip) => `${ip} . ${ip}`),
  )
  return out
}
