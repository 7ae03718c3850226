// Ranges of addresses as people write them, for pools that addresses are given from.
import { parseCidr, parseIp } from './ip.ts'

const familyOf = (ip: string): 'IPv4' | 'IPv6' => (ip.includes(':') ? 'IPv6' : 'IPv4')

/** A pool is written as CIDRs, or as ranges "first-last". */
export interface IpRange {
  readonly family: 'IPv4' | 'IPv6'
  readonly first: bigint
  readonly last: bigint
}
/** Undefined for what is no range. */
export function parseIpRange(text: string): IpRange | undefined {
  const [from = '', to] = text.split('-').map((part) => part.trim())
  if (to !== undefined) {
    const [a, b] = [parseIp(from), parseIp(to)]
    if (a === undefined || b === undefined || a.version !== b.version || a.value > b.value) return undefined
    return { family: familyOf(from), first: a.value, last: b.value }
  }
  const cidr = parseCidr(from.includes('/') ? from : `${from}/${from.includes(':') ? 128 : 32}`)
  if (cidr === undefined) return undefined
  const bits = BigInt((cidr.version === 4 ? 32 : 128) - cidr.prefix)
  const first = (cidr.value >> bits) << bits
  return { family: familyOf(from), first, last: first + (1n << bits) - 1n }
}
const valueOf = (ip: string): bigint => parseIp(ip)?.value ?? -1n
export const inIpRanges = (ranges: readonly IpRange[], ip: string): boolean =>
  ranges.some((r) => r.family === familyOf(ip) && r.first <= valueOf(ip) && valueOf(ip) <= r.last)

export const rangesOverlap = (a: IpRange, b: IpRange): boolean =>
  a.family === b.family && a.first <= b.last && b.first <= a.last
export const rangeContains = (outer: IpRange, inner: IpRange): boolean =>
  outer.family === inner.family && outer.first <= inner.first && inner.last <= outer.last
