// resource.Quantity: fixed-point numbers with decimal (k, M), binary (Ki, Mi) or exponent suffixes. Every quantity is a
// whole number of nanos in a bigint, which is exactly the precision upstream keeps; smaller parts round away from zero.

export type QuantityFormat = 'DecimalSI' | 'BinarySI' | 'DecimalExponent'
export interface Quantity {
  readonly nanos: bigint
  readonly format: QuantityFormat
}

/** The text is not a quantity; the message is upstream's. */
export class QuantityError extends Error {}
/** What upstream says of a text that is not even shaped like a quantity. */
export const quantityFormat =
  "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
const wrongNumber = 'unable to parse numeric part of quantity'
const wrongSuffix = "unable to parse quantity's suffix"

/** Nanos in one. */
export const NANO = 1_000_000_000n
const shape = /^([+-]?)([0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$/
const decimalExponents: Readonly<Record<string, number>> = {
  n: -9,
  u: -6,
  m: -3,
  '': 0,
  k: 3,
  M: 6,
  G: 9,
  T: 12,
  P: 15,
  E: 18,
}
const decimalSuffixes = new Map(Object.entries(decimalExponents).map(([suffix, exponent]) => [exponent, suffix]))
const binaryExponents: Readonly<Record<string, number>> = { Ki: 10, Mi: 20, Gi: 30, Ti: 40, Pi: 50, Ei: 60 }
const binarySuffixes = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei']
/** Numbers of absurd size are capped, as upstream caps what does not fit its arithmetic. */
const maxUnits = (1n << 63n) - 1n
const maxExponent = 40

const parsed = new Map<string, Quantity>()
const cacheLimit = 4096

/** Throws QuantityError. */
export function parseQuantity(text: string): Quantity {
  const known = parsed.get(text)
  if (known !== undefined) return known
  const quantity = parse(text)
  if (parsed.size >= cacheLimit) parsed.clear()
  parsed.set(text, quantity)
  return quantity
}

function parse(text: string): Quantity {
  const match = shape.exec(text)
  if (match === null) throw new QuantityError(quantityFormat)
  const [, sign, number = '', suffix = ''] = match
  const [whole = '', fraction = '', ...more] = number.split('.')
  if (more.length > 0 || (whole === '' && fraction === '')) throw new QuantityError(wrongNumber)
  const { format, exponent, shift } = readSuffix(suffix)
  const digits = `${whole}${fraction}`.replace(/^0+/, '')
  if (digits === '') return { nanos: 0n, format }
  // digits x 10^power nanos
  const power = exponent - fraction.length + 9
  let nanos: bigint
  if (digits.length + power - 9 > maxExponent) nanos = maxUnits * NANO
  else if (power >= 0) nanos = (BigInt(digits) * 10n ** BigInt(power)) << BigInt(shift)
  else if (digits.length + power < -20) nanos = 1n
  else nanos = divideUp(BigInt(digits) << BigInt(shift), 10n ** BigInt(-power))
  return { nanos: sign === '-' ? -nanos : nanos, format }
}

function readSuffix(suffix: string): { format: QuantityFormat; exponent: number; shift: number } {
  const decimal = Object.hasOwn(decimalExponents, suffix) ? decimalExponents[suffix] : undefined
  if (decimal !== undefined) return { format: 'DecimalSI', exponent: decimal, shift: 0 }
  const binary = Object.hasOwn(binaryExponents, suffix) ? binaryExponents[suffix] : undefined
  if (binary !== undefined) return { format: 'BinarySI', exponent: 0, shift: binary }
  const match = /^[eE]([-+]?[0-9]{1,9})$/.exec(suffix)
  if (match === null) throw new QuantityError(wrongSuffix)
  return { format: 'DecimalExponent', exponent: Number(match[1]), shift: 0 }
}

/** Division that rounds away from zero. */
function divideUp(value: bigint, by: bigint): bigint {
  const quotient = value / by
  if (quotient * by === value) return quotient
  return value < 0n ? quotient - 1n : quotient + 1n
}

/** The canonical text: no fraction, the largest suffix that loses nothing. */
export function formatQuantity(quantity: Quantity): string {
  const { nanos } = quantity
  if (nanos === 0n) return '0'
  const units = nanos / NANO
  const exact = units * NANO === nanos
  if (quantity.format === 'BinarySI' && exact && (units <= -1024n || units >= 1024n)) {
    let mantissa = units
    let step = 0
    while (step < binarySuffixes.length - 1 && mantissa % 1024n === 0n) {
      mantissa /= 1024n
      step++
    }
    return `${mantissa}${binarySuffixes[step]}`
  }
  let mantissa = nanos
  let exponent = -9
  while (mantissa % 1000n === 0n && (exponent < 18 || quantity.format === 'DecimalExponent')) {
    mantissa /= 1000n
    exponent += 3
  }
  if (quantity.format === 'DecimalExponent') return exponent === 0 ? `${mantissa}` : `${mantissa}e${exponent}`
  return `${mantissa}${decimalSuffixes.get(exponent)}`
}

const canonical = new Map<string, string>()
/** The canonical text of a quantity; throws QuantityError. "1000m" is "1", "0.5Gi" is "512Mi". */
export function canonicalQuantity(text: string): string {
  const known = canonical.get(text)
  if (known !== undefined) return known
  const result = formatQuantity(parseQuantity(text))
  if (canonical.size >= cacheLimit) canonical.clear()
  canonical.set(text, result)
  return result
}

export type QuantityLike = Quantity | string
const of = (quantity: QuantityLike): Quantity => (typeof quantity === 'string' ? parseQuantity(quantity) : quantity)

export function compareQuantities(a: QuantityLike, b: QuantityLike): -1 | 0 | 1 {
  const left = of(a).nanos
  const right = of(b).nanos
  return left < right ? -1 : left > right ? 1 : 0
}
const isZero = (quantity: Quantity) => quantity.nanos === 0n
/** The sum in the format of the first, or of the second where the first is zero. */
export function addQuantities(a: QuantityLike, b: QuantityLike): Quantity {
  const [left, right] = [of(a), of(b)]
  return { nanos: left.nanos + right.nanos, format: isZero(left) ? right.format : left.format }
}
export function subtractQuantities(a: QuantityLike, b: QuantityLike): Quantity {
  const [left, right] = [of(a), of(b)]
  return { nanos: left.nanos - right.nanos, format: isZero(left) ? right.format : left.format }
}
export const multiplyQuantity = (quantity: QuantityLike, by: number): Quantity => {
  const { nanos, format } = of(quantity)
  return { nanos: nanos * BigInt(by), format }
}
export const maxQuantity = (a: QuantityLike, b: QuantityLike): Quantity =>
  compareQuantities(a, b) >= 0 ? of(a) : of(b)

const clamp = (value: bigint): number =>
  value > BigInt(Number.MAX_SAFE_INTEGER)
    ? Number.MAX_SAFE_INTEGER
    : value < BigInt(Number.MIN_SAFE_INTEGER)
      ? Number.MIN_SAFE_INTEGER
      : Number(value)
/** Whole units, rounded up (away from zero); beyond 2^53 clamped. */
export const quantityValue = (quantity: QuantityLike): number => clamp(divideUp(of(quantity).nanos, NANO))
/** Thousandths, rounded up: millicores of a cpu quantity. */
export const quantityMilliValue = (quantity: QuantityLike): number => clamp(divideUp(of(quantity).nanos, 1_000_000n))
/** As a floating point number, for ratios. */
export const quantityNumber = (quantity: QuantityLike): number => {
  const { nanos } = of(quantity)
  return Number(nanos / NANO) + Number(nanos % NANO) / 1e9
}
export const isInteger = (quantity: QuantityLike): boolean => of(quantity).nanos % NANO === 0n

export const quantityOf = (units: number, format: QuantityFormat = 'DecimalSI'): Quantity => ({
  nanos: BigInt(Math.ceil(units)) * NANO,
  format,
})
export const milliQuantity = (milli: number, format: QuantityFormat = 'DecimalSI'): Quantity => ({
  nanos: BigInt(Math.ceil(milli)) * 1_000_000n,
  format,
})
/** Undefined where the text is not a quantity. */
export function tryParseQuantity(text: string): Quantity | undefined {
  if (!shape.test(text)) return undefined
  try {
    return parseQuantity(text)
  } catch (error) {
    if (error instanceof QuantityError) return undefined
    throw error
  }
}
