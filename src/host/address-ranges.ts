// Whether ranges of addresses can be a cluster's: apart from each other, from what the machine routes already and from the link
// it stands on. A range that is refused names the flag that asked for it.
import { type Cidr, formatIp, parseCidr } from '../api/machinery/ip.ts'
import { type IpRange, parseIpRange, rangeContains, rangesOverlap } from '../api/machinery/ip-range.ts'

/** Ranges that a user asked for, of IPv4 and then of IPv6; an empty list leaves the choice to us. */
export interface AskedRanges {
  readonly clusterCidrs: readonly string[]
  readonly serviceCidrs: readonly string[]
}
/** The message is for the user. */
export class AddressRangeError extends Error {
  override readonly name = 'AddressRangeError'
}

/** What a flag takes: the shortest and longest prefixes of a family, and why. */
interface Limits {
  readonly 4: readonly [number, number]
  readonly 6: readonly [number, number]
  readonly why: string
}
/** A node takes a /24 or a /64 of it. */
const clusterLimits: Limits = { 4: [8, 24], 6: [48, 64], why: 'each node takes a /24 of IPv4 or a /64 of IPv6' }
/** The tenth address is the DNS's; upstream gives out of 20 bits at most. */
const serviceLimits: Limits = { 4: [12, 28], 6: [108, 124], why: 'a service range has 16 to 1,048,576 addresses' }

function refuseShape(flag: string, cidrs: readonly string[], limits: Limits): string | undefined {
  const parsed: Cidr[] = []
  for (const text of cidrs) {
    const cidr = parseCidr(text)
    if (cidr === undefined) return `${flag} wants a CIDR such as 10.42.0.0/16, not "${text}"`
    const bits = BigInt((cidr.version === 4 ? 32 : 128) - cidr.prefix)
    const network = `${formatIp({ version: cidr.version, value: (cidr.value >> bits) << bits })}/${cidr.prefix}`
    if (network !== text) return `${flag} wants the first address of the range: ${network}, not ${text}`
    const [shortest, longest] = limits[cidr.version]
    if (cidr.prefix < shortest || cidr.prefix > longest)
      return `${flag} wants a prefix of /${shortest} to /${longest}, not ${text}: ${limits.why}`
    parsed.push(cidr)
  }
  const versions = parsed.map(({ version }) => version).join()
  return ['', '4', '4,6'].includes(versions)
    ? undefined
    : `${flag} wants one IPv4 range, and after a comma one of IPv6 where both families are wanted, not "${cidrs.join()}"`
}
/** Reads the two flags; throws AddressRangeError. */
export function askedRanges(clusterFlag: string | undefined, serviceFlag: string | undefined): AskedRanges {
  const list = (text: string | undefined) => (text === undefined ? [] : text.split(',').map((part) => part.trim()))
  const asked = { clusterCidrs: list(clusterFlag), serviceCidrs: list(serviceFlag) }
  const refused =
    refuseShape('--cluster-cidr', asked.clusterCidrs, clusterLimits) ??
    refuseShape('--service-cidr', asked.serviceCidrs, serviceLimits)
  if (refused !== undefined) throw new AddressRangeError(refused)
  return asked
}

/** A range and whose it is, in words that stand in a message. */
export interface NamedRange {
  readonly name: string
  readonly text: string
}
const rangeOf = ({ text }: NamedRange): IpRange | undefined => parseIpRange(text)
/** Says which two of `own` overlap; undefined where they are apart. */
export function overlapAmong(own: readonly NamedRange[]): string | undefined {
  for (const [i, a] of own.entries())
    for (const b of own.slice(i + 1)) {
      const [x, y] = [rangeOf(a), rangeOf(b)]
      if (x !== undefined && y !== undefined && rangesOverlap(x, y))
        return `${a.name} ${a.text} and ${b.name} ${b.text} overlap: choose ranges that are apart`
    }
  return undefined
}
/** Says which of `own` meets one of `others`: by default where it holds it within, because of routes the narrower one wins. */
export function overlapWith(
  own: readonly NamedRange[],
  others: readonly NamedRange[],
  meets: (a: IpRange, b: IpRange) => boolean = rangeContains,
): string | undefined {
  for (const a of own)
    for (const b of others) {
      const [x, y] = [rangeOf(a), rangeOf(b)]
      if (x !== undefined && y !== undefined && meets(x, y)) return `${a.name} ${a.text} overlaps ${b.text}, ${b.name}`
    }
  return undefined
}

/** The IPv4 ranges of /proc/net/route, without the default route. */
export function routedRanges(routes: string): NamedRange[] {
  const found: NamedRange[] = []
  for (const line of routes.split('\n').slice(1)) {
    const [device = '', destination, , , , , , mask] = line.split('\t')
    if (destination === undefined || mask === undefined) continue
    // The kernel writes addresses as little-endian numbers.
    const address = [...Buffer.from(destination, 'hex').reverse()].join('.')
    const prefix = [...Buffer.from(mask, 'hex')].reduce(
      (sum, byte) => sum + byte.toString(2).replaceAll('0', '').length,
      0,
    )
    if (prefix > 0) found.push({ name: `which this machine routes by ${device}`, text: `${address}/${prefix}` })
  }
  return found
}
