// The table of the service proxy before any service is in it: sets, maps and the chains that every packet meets. What
// depends on services and policies are elements of these maps, and chains that they lead to.
import type { Protocol } from '../../ports/dataplane.ts'

/** Bit of the packet mark that asks postrouting to masquerade. The same bit for every cluster: masquerading is the same wish. */
export const MASQUERADE = '0x4000'

export type Family = 4 | 6
export const proto = (p: Protocol) => p.toLowerCase()
export const word = (family: Family) => (family === 4 ? 'ip' : 'ip6')

/** FNV-1a, 64 bits as hex: chain names must be short and stable. */
export function hash(text: string): string {
  let h = 0xcbf29ce484222325n
  for (let i = 0; i < text.length; i++) h = ((h ^ BigInt(text.charCodeAt(i))) * 0x100000001b3n) & 0xffffffffffffffffn
  return h.toString(16).padStart(16, '0')
}

const families = [
  { f: 4, ip: 'ip', address: 'ipv4_addr' },
  { f: 6, ip: 'ip6', address: 'ipv6_addr' },
] as const
const each = (lines: (family: (typeof families)[number]) => readonly string[]) =>
  families.flatMap((family) => lines(family).map((line) => `  ${line}`)).join('\n')

/** Who is led to an endpoint: a client of a cluster IP, of another address of the Service, or of a node port. */
export type Way = 'cluster' | 'address' | 'port'
/** Service ports with at most so many endpoints share balance chains. They are all declared with the table: nft 1.0.6
 * takes no rule that uses such a map once the map stands. */
export const maxBalanced = 32
export const balanceName = (way: Way, family: Family, count: number) => `${way}${family}-${count}`

/** The chain for service ports of `count` endpoints: the endpoint of a random slot below that number. */
function balanceChain(way: Way, f: Family, count: number): string {
  const family = word(f)
  const slot = `meta l4proto . th dport . numgen random mod ${count}`
  const [key, map] = way === 'port' ? [slot, 'portendpoints'] : [`${family} daddr . ${slot}`, 'endpoints']
  const outside = `${family} saddr != @pods${f} ct original ${family} daddr @clusters${f} `
  return `chain ${balanceName(way, f, count)} {
    ${way === 'cluster' ? outside : ''}meta mark set meta mark | ${MASQUERADE}
    meta l4proto { tcp, udp, sctp } dnat ${family} addr . port to ${key} map @${map}${f}
  }`
}
const balanceChains = (f: Family): readonly string[] =>
  (['cluster', 'address', 'port'] as const).flatMap((way) =>
    Array.from({ length: maxBalanced }, (_, i) => balanceChain(way, f, i + 1)),
  )

/** The slot of an endpoint among those of its service port is part of the key. */
const slot = 'numgen random mod 65536'

/** Declares the table anew, whatever was there. nat chains may not refuse, so refusing stands in filter chains. */
export const skeleton = (table: string): string => `
table inet ${table} {}
delete table inet ${table}
table inet ${table} {
${each(({ f, ip, address }) => [
  `set pods${f} { type ${address}; flags interval; auto-merge; }`,
  `set clusters${f} { type ${address}; flags interval; auto-merge; }`,
  `set own${f} { type ${address}; flags interval; auto-merge; }`,
  `set portaddresses${f} { type ${address}; flags interval; auto-merge; }`,
  `set hairpin${f} { type ${address} . ${address}; }`,
  `map services${f} { type ${address} . inet_proto . inet_service : verdict; }`,
  `map refused${f} { type ${address} . inet_proto . inet_service : verdict; }`,
  `map nodeports${f} { type inet_proto . inet_service : verdict; }`,
  `map refusedports${f} { type inet_proto . inet_service : verdict; }`,
  `map endpoints${f} { typeof ${ip} daddr . meta l4proto . th dport . ${slot} : ${ip} daddr . th dport; }`,
  `map portendpoints${f} { typeof meta l4proto . th dport . ${slot} : ${ip} daddr . th dport; }`,
  `map ingress${f} { type ${address} : verdict; }`,
  `map egress${f} { type ${address} : verdict; }`,
  ...balanceChains(f),
])}
  chain refuse { meta l4proto tcp reject with tcp reset; reject; }
  chain services {
    ip daddr . meta l4proto . th dport vmap @services4
    ip6 daddr . meta l4proto . th dport vmap @services6
    fib daddr type local ip daddr != 127.0.0.0/8 jump nodeports
    fib daddr type local ip6 daddr != ::1 jump nodeports
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
