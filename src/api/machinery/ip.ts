// IP addresses and prefixes as numbers. Strict: no leading zeros in IPv4, no zones.
import { type FieldError, invalidField } from './errors.ts'

export interface Ip {
  readonly version: 4 | 6
  readonly value: bigint
}
export interface Cidr extends Ip {
  readonly prefix: number
}

const ipv4 = /^(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$/
function parse4(text: string): bigint | undefined {
  const match = ipv4.exec(text)
  if (match === null) return undefined
  let value = 0n
  for (const part of match.slice(1)) {
    const octet = Number(part)
    if (octet > 255) return undefined
    value = (value << 8n) | BigInt(octet)
  }
  return value
}
function parse6(text: string): bigint | undefined {
  let source = text
  const lastColon = source.lastIndexOf(':')
  if (source.includes('.')) {
    const tail = parse4(source.slice(lastColon + 1))
    if (tail === undefined) return undefined
    source = `${source.slice(0, lastColon + 1)}${(tail >> 16n).toString(16)}:${(tail & 0xffffn).toString(16)}`
  }
  const halves = source.split('::')
  if (halves.length > 2) return undefined
  const groups = halves.map((half) => (half === '' ? [] : half.split(':')))
  if (!groups.flat().every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return undefined
  const [head = [], tail = []] = groups
  const missing = 8 - head.length - tail.length
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined
  const all = [...head, ...new Array<string>(missing).fill('0'), ...tail]
  return all.reduce((value, group) => (value << 16n) | BigInt(`0x${group}`), 0n)
}

/** Undefined where the text is no address. An IPv4-mapped IPv6 address is an IPv6 address. */
export function parseIp(text: string): Ip | undefined {
  const four = parse4(text)
  if (four !== undefined) return { version: 4, value: four }
  if (!text.includes(':')) return undefined
  const six = parse6(text)
  return six === undefined ? undefined : { version: 6, value: six }
}

/** The canonical text (RFC 5952). */
export function formatIp(ip: Ip): string {
  if (ip.version === 4) return [24n, 16n, 8n, 0n].map((shift) => (ip.value >> shift) & 255n).join('.')
  const groups = Array.from({ length: 8 }, (_, i) => ((ip.value >> BigInt(112 - 16 * i)) & 0xffffn).toString(16))
  let best = { start: -1, length: 1 }
  for (let start = 0; start < 8; start++) {
    let length = 0
    while (start + length < 8 && groups[start + length] === '0') length++
    if (length > best.length) best = { start, length }
  }
  if (best.start < 0) return groups.join(':')
  return `${groups.slice(0, best.start).join(':')}::${groups.slice(best.start + best.length).join(':')}`
}

/** The canonical text of an address, or undefined. */
export function canonicalIp(text: string): string | undefined {
  const ip = parseIp(text)
  return ip === undefined ? undefined : formatIp(ip)
}

/** Undefined where the text is no prefix. `value` keeps the host bits as written. */
export function parseCidr(text: string): Cidr | undefined {
  const match = /^(.*)\/(0|[1-9]\d{0,2})$/.exec(text)
  const ip = match === null ? undefined : parseIp(match[1] ?? '')
  const prefix = Number(match?.[2])
  if (ip === undefined || prefix > bitsOf(ip)) return undefined
  return { ...ip, prefix }
}
const bitsOf = (ip: Ip): number => (ip.version === 4 ? 32 : 128)
const network = (ip: Ip, prefix: number): bigint => ip.value >> BigInt(bitsOf(ip) - prefix)

/** True when `inner`, an address or a prefix, lies within `outer`; a prefix must be longer than the outer one. */
export function cidrContains(outer: string, inner: string): boolean {
  const around = parseCidr(outer)
  const within = inner.includes('/') ? parseCidr(inner) : parseIp(inner)
  if (around === undefined || within === undefined || around.version !== within.version) return false
  if ('prefix' in within && (within as Cidr).prefix <= around.prefix) return false
  return network(around, around.prefix) === network(within, around.prefix)
}

const isValidCidr = (text: string): readonly string[] =>
  parseCidr(text) === undefined ? ['must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)'] : []
export const validateCidr = (text: string, field: string): readonly FieldError[] =>
  isValidCidr(text).map((message) => invalidField(field, text, message))
