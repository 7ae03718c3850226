// Kubernetes' own CEL libraries: regular expressions, URLs, addresses, quantities, named formats, versions.
import { formatSatisfied } from '../formats.ts'
import { type Cidr, cidrContains, formatIp, type Ip, parseCidr, parseIp } from '../ip.ts'
import {
  addQuantities,
  compareQuantities,
  isInteger,
  type Quantity,
  QuantityError,
  parseQuantity,
  quantityNumber,
  quantityOf,
  subtractQuantities,
  tryParseQuantity,
} from '../quantity.ts'
import {
  isDns1035Label,
  isDns1123Label,
  isDns1123Subdomain,
  isQualifiedName,
  isValidLabelValue,
} from '../validation.ts'
import { checkedInt, globalFunction as fn, methodOf as me, type Overload, regex } from './functions.ts'
import * as t from './types.ts'
import { CelError, ListValue, MapValue, none, Opaque, Optional, type Result, type Value } from './values.ts'

const { bool, int, double, string } = t

function findAll(text: string, pattern: string, limit: bigint): Result {
  const compiled = regex(pattern)
  if (compiled instanceof CelError) return compiled
  const found: string[] = []
  const matcher = compiled.matcher(text)
  while ((limit < 0n || found.length < limit) && matcher.find()) found.push(matcher.group() ?? '')
  return new ListValue(found)
}
const regexes: readonly Overload[] = [
  me(
    'find',
    [string, string],
    string,
    (a: string, b: string) => {
      const all = findAll(a, b, 1n)
      return all instanceof ListValue ? (all.size === 0 ? '' : all.at(0)) : all
    },
    'regex',
  ),
  me('findAll', [string, string], t.listOf(string), (a: string, b: string) => findAll(a, b, -1n), 'regex'),
  me('findAll', [string, string, int], t.listOf(string), findAll, 'regex'),
]

const url = t.opaque('kubernetes.URL')
/** An absolute URI or an absolute path, as Go's ParseRequestURI takes it. */
function parseUrl(text: string): URL | undefined {
  if (Array.from(text).some((c) => c <= ' ' || c === '\x7f') || !/^(?:[a-zA-Z][a-zA-Z0-9+.-]*:|\/)/.test(text))
    return undefined
  return URL.canParse(text, 'path://') ? new URL(text, 'path://') : undefined
}
type UrlValue = Opaque<{ readonly parsed: URL; readonly text: string }>
const isPath = ({ value }: UrlValue): boolean => value.text.startsWith('/')
function queryOf({ value }: UrlValue): Result {
  const names = [...new Set(value.parsed.searchParams.keys())]
  return new MapValue(names.map((name) => [name, new ListValue(value.parsed.searchParams.getAll(name))] as const))
}
const toUrl = (text: string): Result => {
  const parsed = parseUrl(text)
  return parsed === undefined
    ? new CelError(
        `URL parse error during conversion from string: parse ${JSON.stringify(text)}: invalid URI for request`,
      )
    : new Opaque('kubernetes.URL', { parsed, text })
}
const urls: readonly Overload[] = [
  fn('url', [string], url, toUrl, 'scan'),
  fn('isURL', [string], bool, (a: string) => parseUrl(a) !== undefined, 'scan'),
  me('getScheme', [url], string, (a: UrlValue) => (isPath(a) ? '' : a.value.parsed.protocol.slice(0, -1))),
  me('getHost', [url], string, (a: UrlValue) =>
    isPath(a) ? '' : (/^[^:]+:\/\/(?:[^@/?#]*@)?([^/?#]*)/.exec(a.value.text)?.[1] ?? ''),
  ),
  me('getHostname', [url], string, (a: UrlValue) => (isPath(a) ? '' : a.value.parsed.hostname.replace(/^\[|\]$/g, ''))),
  me('getPort', [url], string, (a: UrlValue) =>
    isPath(a) ? '' : (/^[^:]+:\/\/[^/?#]*?:(\d+)(?:[/?#]|$)/.exec(a.value.text)?.[1] ?? ''),
  ),
  me('getEscapedPath', [url], string, (a: UrlValue) => a.value.parsed.pathname),
  me('getQuery', [url], t.mapOf(string, t.listOf(string)), queryOf),
]

const ip = t.opaque('net.IP')
const cidr = t.opaque('net.CIDR')
type IpValue = Opaque<Ip>
type CidrValue = Opaque<Cidr>
const inPrefix =
  (prefixes: readonly string[]) =>
  ({ value }: IpValue): boolean =>
    prefixes.some((prefix) => cidrContains(prefix, formatIp(value)))
const unspecified = ({ value }: IpValue): boolean => value.value === 0n
const loopback = inPrefix(['127.0.0.0/8', '::1/128'])
const linkLocalMulticast = inPrefix(['224.0.0.0/24', 'ff02::/16'])
const linkLocalUnicast = inPrefix(['169.254.0.0/16', 'fe80::/10'])
const multicast = inPrefix(['224.0.0.0/4', 'ff00::/8'])
const globalUnicast = (a: IpValue): boolean =>
  !unspecified(a) &&
  !loopback(a) &&
  !multicast(a) &&
  !linkLocalUnicast(a) &&
  !(a.value.version === 4 && a.value.value === 0xffffffffn)
const toIp = (text: string): Result => {
  const parsed = parseIp(text)
  return parsed === undefined
    ? new CelError(`IP Address ${JSON.stringify(text)} parse error during conversion from string`)
    : new Opaque('net.IP', parsed)
}
const toCidr = (text: string): Result => {
  const parsed = parseCidr(text)
  return parsed === undefined
    ? new CelError(`network address parse error during conversion from string: ${JSON.stringify(text)}`)
    : new Opaque('net.CIDR', parsed)
}
const printCidr = ({ value }: CidrValue): string => `${formatIp(value)}/${value.prefix}`
const within = (outer: CidrValue, inner: Ip, prefix: number): boolean => {
  if (outer.value.version !== inner.version || prefix < outer.value.prefix) return false
  const shift = BigInt((inner.version === 4 ? 32 : 128) - outer.value.prefix)
  return outer.value.value >> shift === inner.value >> shift
}
const masked = ({ value }: CidrValue): CidrValue => {
  const shift = BigInt((value.version === 4 ? 32 : 128) - value.prefix)
  return new Opaque('net.CIDR', { ...value, value: (value.value >> shift) << shift })
}
const bitsOf = (value: Ip): number => (value.version === 4 ? 32 : 128)
const withText =
  (convert: (text: string) => Result, then: (value: Opaque) => Result) =>
  (text: string): Result => {
    const value = convert(text)
    return value instanceof Opaque ? then(value) : value
  }
const addresses: readonly Overload[] = [
  fn('ip', [string], ip, toIp, 'scan'),
  fn('isIP', [string], bool, (a: string) => parseIp(a) !== undefined, 'scan'),
  fn(
    'ip.isCanonical',
    [string],
    bool,
    (a: string) => {
      const parsed = parseIp(a)
      return parsed === undefined ? toIp(a) : formatIp(parsed) === a
    },
    'scan',
  ),
  me('family', [ip], int, (a: IpValue) => BigInt(a.value.version)),
  me('isUnspecified', [ip], bool, unspecified),
  me('isLoopback', [ip], bool, loopback),
  me('isLinkLocalMulticast', [ip], bool, linkLocalMulticast),
  me('isLinkLocalUnicast', [ip], bool, linkLocalUnicast),
  me('isGlobalUnicast', [ip], bool, globalUnicast),
  fn('string', [ip], string, (a: IpValue) => formatIp(a.value)),
  fn('cidr', [string], cidr, toCidr, 'scan'),
  fn('isCIDR', [string], bool, (a: string) => parseCidr(a) !== undefined, 'scan'),
  me('containsIP', [cidr, ip], bool, (a: CidrValue, b: IpValue) => within(a, b.value, bitsOf(b.value))),
  me('containsIP', [cidr, string], bool, (a: CidrValue, b: string) =>
    withText(toIp, (value) => within(a, value.value as Ip, bitsOf(value.value as Ip)))(b),
  ),
  me('containsCIDR', [cidr, cidr], bool, (a: CidrValue, b: CidrValue) => within(a, b.value, b.value.prefix)),
  me('containsCIDR', [cidr, string], bool, (a: CidrValue, b: string) =>
    withText(toCidr, (value) => within(a, value.value as Cidr, (value.value as Cidr).prefix))(b),
  ),
  me('ip', [cidr], ip, ({ value }: CidrValue) => new Opaque('net.IP', { version: value.version, value: value.value })),
  me('masked', [cidr], cidr, masked),
  me('prefixLength', [cidr], int, (a: CidrValue) => BigInt(a.value.prefix)),
  fn('string', [cidr], string, printCidr),
]

const quantity = t.opaque('kubernetes.Quantity')
type QuantityValue = Opaque<Quantity>
const made = (value: Quantity): QuantityValue => new Opaque('kubernetes.Quantity', value)
/** The text as CEL's quantity(text). */
export function celQuantity(text: string): Result {
  try {
    return made(parseQuantity(text))
  } catch (error) {
    if (error instanceof QuantityError) return new CelError(error.message)
    throw error
  }
}
const units = ({ value }: QuantityValue): bigint => value.nanos / 1_000_000_000n
const asInteger = (a: QuantityValue): Result => {
  const whole = isInteger(a.value) ? checkedInt(units(a)) : undefined
  return whole === undefined || whole instanceof CelError ? new CelError('cannot convert value to integer') : whole
}
const fitsInt = (a: QuantityValue): boolean => isInteger(a.value) && !(checkedInt(units(a)) instanceof CelError)
const order = (a: QuantityValue, b: QuantityValue): number => compareQuantities(a.value, b.value)
const quantities: readonly Overload[] = [
  fn('quantity', [string], quantity, celQuantity, 'scan'),
  fn('isQuantity', [string], bool, (a: string) => tryParseQuantity(a) !== undefined, 'scan'),
  me('isInteger', [quantity], bool, fitsInt),
  me('asInteger', [quantity], int, asInteger),
  me('asApproximateFloat', [quantity], double, (a: QuantityValue) => quantityNumber(a.value)),
  me('sign', [quantity], int, (a: QuantityValue) => (a.value.nanos > 0n ? 1n : a.value.nanos < 0n ? -1n : 0n)),
  me('add', [quantity, quantity], quantity, (a: QuantityValue, b: QuantityValue) =>
    made(addQuantities(a.value, b.value)),
  ),
  me('add', [quantity, int], quantity, (a: QuantityValue, b: bigint) =>
    made(addQuantities(a.value, quantityOf(Number(b)))),
  ),
  me('sub', [quantity, quantity], quantity, (a: QuantityValue, b: QuantityValue) =>
    made(subtractQuantities(a.value, b.value)),
  ),
  me('sub', [quantity, int], quantity, (a: QuantityValue, b: bigint) =>
    made(subtractQuantities(a.value, quantityOf(Number(b)))),
  ),
  me('isLessThan', [quantity, quantity], bool, (a: QuantityValue, b: QuantityValue) => order(a, b) < 0),
  me('isGreaterThan', [quantity, quantity], bool, (a: QuantityValue, b: QuantityValue) => order(a, b) > 0),
  me('compareTo', [quantity, quantity], int, (a: QuantityValue, b: QuantityValue) => BigInt(order(a, b))),
]

const format = t.opaque('kubernetes.NamedFormat')
type FormatValue = Opaque<string>
const asUri = (text: string): readonly string[] => (parseUrl(text) === undefined ? ['invalid URI'] : [])
const bySchema =
  (name: string) =>
  (text: string): readonly string[] =>
    formatSatisfied(name, text) ? [] : [`invalid ${name}`]
/** Rules by the name of the format. A prefix may end in a dash, for a name is generated from it. */
const formatRules: Readonly<Record<string, (text: string) => readonly string[]>> = {
  dns1123Label: isDns1123Label,
  dns1123Subdomain: isDns1123Subdomain,
  dns1035Label: isDns1035Label,
  dns1123LabelPrefix: (text) => isDns1123Label(text.replace(/-$/, 'a')),
  dns1123SubdomainPrefix: (text) => isDns1123Subdomain(text.replace(/-$/, 'a')),
  dns1035LabelPrefix: (text) => isDns1035Label(text.replace(/-$/, 'a')),
  qualifiedName: isQualifiedName,
  labelValue: isValidLabelValue,
  uri: asUri,
  uuid: bySchema('uuid'),
  byte: bySchema('byte'),
  date: bySchema('date'),
  datetime: bySchema('datetime'),
}
const formats: readonly Overload[] = [
  ...Object.keys(formatRules).map((name) =>
    fn(`format.${name}`, [], format, () => new Opaque('kubernetes.NamedFormat', name)),
  ),
  fn('format.named', [string], t.optionalOf(format), (name: string) =>
    Object.hasOwn(formatRules, name) ? new Optional(new Opaque('kubernetes.NamedFormat', name)) : none,
  ),
  me(
    'validate',
    [format, string],
    t.optionalOf(t.listOf(string)),
    (a: FormatValue, text: string) => {
      const errors = formatRules[a.value]?.(text) ?? []
      return errors.length === 0 ? none : new Optional(new ListValue(errors))
    },
    'scan',
  ),
]

const semver = t.opaque('kubernetes.Semver')
interface Version {
  readonly numbers: readonly [bigint, bigint, bigint]
  readonly pre: readonly string[]
}
type SemverValue = Opaque<Version>
const versionPattern =
  /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?$/
/** Tolerant of a leading v, missing parts and leading zeros where asked. */
function parseVersion(text: string, normalize: boolean): Version | undefined {
  let source = text
  if (normalize) {
    const [, core = '', rest = ''] = /^v?([0-9.]*)(.*)$/.exec(text.trim()) ?? []
    const parts = core.split('.').map((part) => part.replace(/^0+(?=\d)/, ''))
    while (parts.length < 3) parts.push('0')
    source = parts.join('.') + rest
  }
  const match = versionPattern.exec(source)
  if (match === null) return undefined
  const pre = match[4]?.split('.') ?? []
  if (pre.some((part) => /^0\d+$/.test(part))) return undefined
  return { numbers: [BigInt(match[1] ?? 0), BigInt(match[2] ?? 0), BigInt(match[3] ?? 0)], pre }
}
function compareVersions(a: Version, b: Version): -1 | 0 | 1 {
  for (const i of [0, 1, 2] as const) if (a.numbers[i] !== b.numbers[i]) return a.numbers[i] < b.numbers[i] ? -1 : 1
  if (a.pre.length === 0 || b.pre.length === 0) return a.pre.length === b.pre.length ? 0 : a.pre.length === 0 ? 1 : -1
  for (let i = 0; i < Math.max(a.pre.length, b.pre.length); i++) {
    const [x, y] = [a.pre[i], b.pre[i]]
    if (x === y) continue
    if (x === undefined || y === undefined) return x === undefined ? -1 : 1
    const [m, n] = [/^\d+$/.test(x), /^\d+$/.test(y)]
    if (m && n) return BigInt(x) < BigInt(y) ? -1 : 1
    if (m !== n) return m ? -1 : 1
    return x < y ? -1 : 1
  }
  return 0
}
/** The text as CEL's semver(text). */
export const celVersion = (text: string): Result => toVersion(text, false)
const toVersion = (text: string, normalize: boolean): Result => {
  const parsed = parseVersion(text, normalize)
  return parsed === undefined
    ? new CelError(`No Major.Minor.Patch elements found`)
    : new Opaque('kubernetes.Semver', parsed)
}
const versions: readonly Overload[] = [
  fn('semver', [string], semver, celVersion, 'scan'),
  fn('semver', [string, bool], semver, toVersion, 'scan'),
  fn('isSemver', [string], bool, (a: string) => parseVersion(a, false) !== undefined, 'scan'),
  fn('isSemver', [string, bool], bool, (a: string, b: boolean) => parseVersion(a, b) !== undefined, 'scan'),
  ...(['major', 'minor', 'patch'] as const).map((name, i) =>
    me(name, [semver], int, (a: SemverValue): Value => a.value.numbers[i as 0 | 1 | 2]),
  ),
  me('isLessThan', [semver, semver], bool, (a: SemverValue, b: SemverValue) => compareVersions(a.value, b.value) < 0),
  me(
    'isGreaterThan',
    [semver, semver],
    bool,
    (a: SemverValue, b: SemverValue) => compareVersions(a.value, b.value) > 0,
  ),
  me('compareTo', [semver, semver], int, (a: SemverValue, b: SemverValue) => BigInt(compareVersions(a.value, b.value))),
]

export const kubernetesFunctions: readonly Overload[] = [
  ...regexes,
  ...urls,
  ...addresses,
  ...quantities,
  ...formats,
  ...versions,
]
