// Address ranges in the form that the kernel takes: canonical, none within another. A policy may hold a hundred thousand: those of
// IPv4 are plain numbers here.
import { formatIp, type Ip, parseCidr, parseIp } from '../../api/machinery/ip.ts'

/** Of lists that are asked again: those of a policy stay while everything else changes. */
const known = new WeakMap<readonly string[], Partial<Record<4 | 6, readonly string[]>>>()

/** One family's CIDRs and addresses of a list, which may overlap and have host bits; what is neither is left out. Single
 * addresses are written without a prefix. */
export function canonicalRanges(list: readonly string[], family: 4 | 6): readonly string[] {
  const families = known.get(list) ?? {}
  known.set(list, families)
  return (families[family] ??= family === 4 ? ranges4(list) : ranges6(list))
}

const slash = 47
const dot = 46
/** Address times 64 plus prefix; -1 for what is no IPv4 address or range. */
function parse4(text: string): number {
  let address = 0
  let field = 0
  let digits = 0
  let fields = 0
  let hasPrefix = false
  for (let i = 0; i <= text.length; i++) {
    const code = i === text.length ? -1 : text.charCodeAt(i)
    if (code >= 48 && code <= 57) {
      // No leading zeros, which some read as octal.
      if (digits > 0 && field === 0) return -1
      field = field * 10 + code - 48
      if (++digits > 3) return -1
      continue
    }
    if (digits === 0) return -1
    if (code === -1 && hasPrefix) return field > 32 ? -1 : address * 64 + field
    if (field > 255 || hasPrefix) return -1
    address = address * 256 + field
    fields++
    field = 0
    digits = 0
    if (code === dot && fields < 4) continue
    if (fields !== 4) return -1
    if (code === -1) return address * 64 + 32
    if (code !== slash) return -1
    hasPrefix = true
  }
  return -1
}
const text4 = (n: number): string => `${n >>> 24}.${(n >>> 16) & 255}.${(n >>> 8) & 255}.${n & 255}`

/** Networks by prefix, the widest first. */
function grouped<N>(networks: Iterable<readonly [prefix: number, network: N]>): [number, Set<N>][] {
  const byPrefix = new Map<number, Set<N>>()
  for (const [prefix, network] of networks) {
    const set = byPrefix.get(prefix)
    if (set === undefined) byPrefix.set(prefix, new Set([network]))
    else set.add(network)
  }
  return [...byPrefix].sort((a, b) => a[0] - b[0])
}
function ranges4(list: readonly string[]): string[] {
  const found: [number, number][] = []
  for (const text of list) {
    const packed = parse4(text)
    if (packed < 0) continue
    const prefix = packed % 64
    // A shift by 32 is one by 0.
    found.push([prefix, prefix === 0 ? 0 : Math.floor(packed / 64) >>> (32 - prefix)])
  }
  const groups = grouped(found)
  const out: string[] = []
  for (const [i, [prefix, networks]] of groups.entries()) {
    const wider = groups.slice(0, i)
    for (const network of networks) {
      if (wider.some(([p, others]) => others.has(p === 0 ? 0 : network >>> (prefix - p)))) continue
      const address = text4(prefix === 0 ? 0 : network << (32 - prefix))
      out.push(prefix === 32 ? address : `${address}/${prefix}`)
    }
  }
  return out
}
function ranges6(list: readonly string[]): string[] {
  const found: [number, bigint][] = []
  for (const text of list) {
    if (!text.includes(':')) continue
    const range: (Ip & { readonly prefix?: number }) | undefined = parseCidr(text) ?? parseIp(text)
    if (range?.version !== 6) continue
    const { prefix = 128 } = range
    found.push([prefix, range.value >> BigInt(128 - prefix)])
  }
  const groups = grouped(found)
  const out: string[] = []
  for (const [i, [prefix, networks]] of groups.entries()) {
    const wider = groups.slice(0, i)
    for (const network of networks) {
      if (wider.some(([p, others]) => others.has(network >> BigInt(prefix - p)))) continue
      const address = formatIp({ version: 6, value: network << BigInt(128 - prefix) })
      out.push(prefix === 128 ? address : `${address}/${prefix}`)
    }
  }
  return out
}
