// The standard functions of CEL, as one table: name, types, what it does. The checker and the evaluator both read it.
import { RE2JS } from 're2js'
import { parseDuration } from '../duration.ts'
import type { CelType } from './types.ts'
import * as t from './types.ts'
import {
  CelError,
  compareNumbers,
  Duration,
  equals,
  inTimeRange,
  ListValue,
  MapValue,
  noSuchKey,
  noSuchOverload,
  numeric,
  Optional,
  none,
  parseTimestamp,
  type Result,
  Timestamp,
  TypeValue,
  typeName,
  Uint,
  type Value,
} from './values.ts'

export interface Overload {
  readonly name: string
  /** The first parameter is the target of a method. */
  readonly method: boolean
  readonly params: readonly CelType[]
  readonly result: CelType
  readonly run: (...args: never[]) => Result
  /** How the cost grows: with the size of the arguments, as a regular expression, or not at all. */
  readonly cost: 'constant' | 'scan' | 'regex' | 'product'
}
type Run<P extends readonly unknown[]> = (...args: P) => Result
const define =
  (method: boolean) =>
  <P extends readonly unknown[]>(
    name: string,
    params: readonly CelType[],
    result: CelType,
    run: Run<P>,
    cost: Overload['cost'] = 'constant',
  ): Overload => ({ name, method, params, result, run: run as unknown as Overload['run'], cost })
export const globalFunction = define(false)
export const methodOf = define(true)
const fn = globalFunction
const me = methodOf

const overflow = (): CelError => new CelError('return error for overflow')
export const checkedInt = (value: bigint): Result =>
  value > 9223372036854775807n || value < -9223372036854775808n ? overflow() : value
const checkedUint = (value: bigint): Result =>
  value > 18446744073709551615n || value < 0n ? overflow() : new Uint(value)
const checkedTime = (nanos: bigint): Result => (inTimeRange(nanos) ? new Timestamp(nanos) : new CelError('range'))
const maxDuration = 9223372036854775807n
const checkedDuration = (nanos: bigint): Result =>
  nanos > maxDuration || nanos < -maxDuration ? new CelError('range') : new Duration(nanos)

/** JavaScript's code units are not what CEL counts. */
export const chars = (text: string): string[] => (/[\ud800-\udfff]/.test(text) ? Array.from(text) : text.split(''))
const A = t.variable('A')
const B = t.variable('B')
const { bool, int, uint, double, string, bytes, timestamp, duration, dyn } = t

type ArithmeticName = '+' | '-' | '*' | '/' | '%'
function arithmetic(name: ArithmeticName): Overload[] {
  const exact = (a: bigint, b: bigint): bigint | CelError => {
    if (name === '+') return a + b
    if (name === '-') return a - b
    if (name === '*') return a * b
    if (b === 0n) return new CelError(name === '/' ? 'division by zero' : 'modulus by zero')
    return name === '/' ? a / b : a % b
  }
  const real = (a: number, b: number): number =>
    name === '+' ? a + b : name === '-' ? a - b : name === '*' ? a * b : a / b
  const whole =
    (check: (value: bigint) => Result) =>
    (a: bigint, b: bigint): Result => {
      const value = exact(a, b)
      return value instanceof CelError ? value : check(value)
    }
  return [
    fn(name, [int, int], int, whole(checkedInt)),
    fn(name, [uint, uint], uint, (a: Uint, b: Uint) => whole(checkedUint)(a.value, b.value)),
    ...(name === '%' ? [] : [fn(name, [double, double], double, real)]),
  ]
}

function ordered(name: '<' | '<=' | '>' | '>='): Overload[] {
  const holds = (order: -1 | 0 | 1 | undefined): boolean =>
    order !== undefined &&
    (name === '<' ? order < 0 : name === '<=' ? order <= 0 : name === '>' ? order > 0 : order >= 0)
  const plain = <T extends bigint | number | string | boolean>(a: T, b: T) =>
    holds(a < b ? -1 : a > b ? 1 : a === b ? 0 : undefined)
  const numbers = [int, uint, double]
  return [
    ...numbers.flatMap((a) =>
      numbers.map((b) =>
        fn(name, [a, b], bool, (x: Value, y: Value) =>
          holds(compareNumbers(numeric(x) as bigint | number, numeric(y) as bigint | number)),
        ),
      ),
    ),
    fn(name, [string, string], bool, (a: string, b: string) => holds(compareText(a, b)), 'scan'),
    fn(name, [bool, bool], bool, (a: boolean, b: boolean) => plain(a, b)),
    fn(name, [bytes, bytes], bool, (a: Uint8Array, b: Uint8Array) => holds(compareBytes(a, b)), 'scan'),
    fn(name, [timestamp, timestamp], bool, (a: Timestamp, b: Timestamp) => plain(a.nanos, b.nanos)),
    fn(name, [duration, duration], bool, (a: Duration, b: Duration) => plain(a.nanos, b.nanos)),
  ]
}
/** By code points. */
export function compareText(a: string, b: string): -1 | 0 | 1 {
  if (a === b) return 0
  const [x, y] = [chars(a), chars(b)]
  for (let i = 0; i < Math.min(x.length, y.length); i++) {
    const order = (x[i]?.codePointAt(0) ?? 0) - (y[i]?.codePointAt(0) ?? 0)
    if (order !== 0) return order < 0 ? -1 : 1
  }
  return x.length < y.length ? -1 : 1
}
function compareBytes(a: Uint8Array, b: Uint8Array): -1 | 0 | 1 {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    if (a[i] !== b[i]) return (a[i] as number) < (b[i] as number) ? -1 : 1
  }
  return a.length === b.length ? 0 : a.length < b.length ? -1 : 1
}
const joined = (a: Uint8Array, b: Uint8Array): Uint8Array => {
  const out = new Uint8Array(a.length + b.length)
  out.set(a)
  out.set(b, a.length)
  return out
}
export const itemsOf = (list: ListValue): Value[] => Array.from({ length: list.size }, (_, i) => list.at(i))
/** Lists of type set and map are united, the right one winning; others are appended. */
function concat(a: ListValue, b: ListValue): ListValue {
  if (!a.unordered) return new ListValue([...itemsOf(a), ...itemsOf(b)])
  const left = itemsOf(a)
  return new ListValue([...left, ...itemsOf(b).filter((item) => !left.some((known) => equals(known, item)))])
}
const operators: readonly Overload[] = [
  ...(['+', '-', '*', '/', '%'] as const).flatMap(arithmetic),
  ...(['<', '<=', '>', '>='] as const).flatMap(ordered),
  fn('+', [string, string], string, (a: string, b: string) => a + b, 'scan'),
  fn('+', [bytes, bytes], bytes, joined, 'scan'),
  fn('+', [t.listOf(A), t.listOf(A)], t.listOf(A), concat, 'scan'),
  fn('+', [timestamp, duration], timestamp, (a: Timestamp, b: Duration) => checkedTime(a.nanos + b.nanos)),
  fn('+', [duration, timestamp], timestamp, (a: Duration, b: Timestamp) => checkedTime(a.nanos + b.nanos)),
  fn('+', [duration, duration], duration, (a: Duration, b: Duration) => checkedDuration(a.nanos + b.nanos)),
  fn('-', [timestamp, timestamp], duration, (a: Timestamp, b: Timestamp) => checkedDuration(a.nanos - b.nanos)),
  fn('-', [timestamp, duration], timestamp, (a: Timestamp, b: Duration) => checkedTime(a.nanos - b.nanos)),
  fn('-', [duration, duration], duration, (a: Duration, b: Duration) => checkedDuration(a.nanos - b.nanos)),
  fn('-_', [int], int, (a: bigint) => checkedInt(-a)),
  fn('-_', [double], double, (a: number) => -a),
  fn('-_', [duration], duration, (a: Duration) => checkedDuration(-a.nanos)),
  fn('!_', [bool], bool, (a: boolean) => !a),
  fn('==', [A, A], bool, (a: Value, b: Value) => equals(a, b), 'scan'),
  fn('!=', [A, A], bool, (a: Value, b: Value) => !equals(a, b), 'scan'),
  fn(
    'in',
    [A, t.listOf(A)],
    bool,
    (a: Value, list: ListValue) => itemsOf(list).some((item) => equals(a, item)),
    'scan',
  ),
  fn('in', [A, t.mapOf(A, B)], bool, (a: Value, map: MapValue) => map.get(a) !== undefined),
]

const regexes = new Map<string, RE2JS>()
/** A compiled RE2 expression, or the error it has. */
export function regex(pattern: string): RE2JS | CelError {
  const known = regexes.get(pattern)
  if (known !== undefined) return known
  try {
    const made = RE2JS.compile(pattern)
    if (regexes.size > 500) regexes.clear()
    regexes.set(pattern, made)
    return made
  } catch (error) {
    if (error instanceof Error) return new CelError(`error parsing regexp: ${error.message}`)
    throw error
  }
}
function matches(text: string, pattern: string): Result {
  const compiled = regex(pattern)
  return compiled instanceof CelError ? compiled : compiled.test(text)
}
const size = (value: string | Uint8Array | ListValue | MapValue): bigint =>
  BigInt(typeof value === 'string' ? chars(value).length : value instanceof Uint8Array ? value.length : value.size)
const sized = [string, bytes, t.listOf(A), t.mapOf(A, B)]
const basics: readonly Overload[] = [
  ...sized.flatMap((of) => [fn('size', [of], int, size), me('size', [of], int, size)]),
  me('contains', [string, string], bool, (a: string, b: string) => a.includes(b), 'product'),
  me('startsWith', [string, string], bool, (a: string, b: string) => a.startsWith(b), 'scan'),
  me('endsWith', [string, string], bool, (a: string, b: string) => a.endsWith(b), 'scan'),
  me('matches', [string, string], bool, matches, 'regex'),
  fn('matches', [string, string], bool, matches, 'regex'),
  fn('dyn', [A], dyn, (a: Value) => a),
  fn('type', [A], t.type, (a: Value) => new TypeValue(typeName(a))),
]

const intFromDouble = (a: number): Result =>
  Number.isFinite(a) && Math.abs(a) < 9223372036854775808
    ? BigInt(Math.trunc(a))
    : new CelError('range error converting double to int')
const printDouble = (a: number): string =>
  Number.isNaN(a)
    ? 'NaN'
    : a === Infinity
      ? '+Inf'
      : a === -Infinity
        ? '-Inf'
        : Math.abs(a) >= 1e21 || (a !== 0 && Math.abs(a) < 1e-4)
          ? goExponent(a)
          : String(a)
const goExponent = (a: number): string => a.toExponential().replace(/e([+-])(\d)$/, 'e$10$2')
function decodeUtf8(a: Uint8Array): Result {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(a)
  } catch (error) {
    if (error instanceof TypeError) return new CelError('invalid UTF-8 in bytes, cannot convert to string')
    throw error
  }
}
export function printTime({ nanos }: Timestamp): string {
  const seconds = nanos >= 0n || nanos % 1_000_000_000n === 0n ? nanos / 1_000_000_000n : nanos / 1_000_000_000n - 1n
  const rest = nanos - seconds * 1_000_000_000n
  const whole = new Date(Number(seconds) * 1000)
    .toISOString()
    .slice(0, 19)
    .replace(/^\+0*(\d{4})/, '$1')
  return rest === 0n ? `${whole}Z` : `${whole}.${String(rest).padStart(9, '0').replace(/0+$/, '')}Z`
}
export const printDuration = ({ nanos }: Duration): string => {
  const seconds = nanos / 1_000_000_000n
  const rest = nanos % 1_000_000_000n
  if (rest === 0n) return `${seconds}s`
  const sign = nanos < 0n ? '-' : ''
  const digits = String(rest < 0n ? -rest : rest)
    .padStart(9, '0')
    .replace(/0+$/, '')
  return `${sign}${seconds < 0n ? -seconds : seconds}.${digits}s`
}
function toDuration(text: string): Result {
  const match = /^(-?)(\d+)(?:\.(\d{1,9}))?s$/.exec(text)
  if (match !== null) {
    const nanos = BigInt(match[2] ?? '') * 1_000_000_000n + BigInt((match[3] ?? '').padEnd(9, '0'))
    return checkedDuration(match[1] === '-' ? -nanos : nanos)
  }
  const ms = parseDuration(text)
  return ms === undefined
    ? new CelError(`time: invalid duration ${JSON.stringify(text)}`)
    : checkedDuration(BigInt(Math.round(ms * 1e6)))
}
const wholeNumber = (text: string, kind: string, check: (value: bigint) => Result): Result =>
  /^[+-]?\d{1,40}$/.test(text)
    ? check(BigInt(text.replace('+', '')))
    : new CelError(`strconv.Parse${kind}: parsing ${JSON.stringify(text)}: invalid syntax`)
const toDouble = (text: string): Result =>
  /^[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[iI]nf(?:inity)?|[nN]a[nN])$/.test(text)
    ? Number(text.replace(/inf(?:inity)?/i, 'Infinity').replace(/nan/i, 'NaN'))
    : new CelError(`strconv.ParseFloat: parsing ${JSON.stringify(text)}: invalid syntax`)
const toBool = (text: string): Result => {
  if (['1', 't', 'T', 'true', 'TRUE', 'True'].includes(text)) return true
  if (['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(text)) return false
  return new CelError(`Type conversion error from 'string' to 'bool'`)
}
const conversions: readonly Overload[] = [
  fn('int', [int], int, (a: bigint) => a),
  fn('int', [uint], int, (a: Uint) => checkedInt(a.value)),
  fn('int', [double], int, intFromDouble),
  fn('int', [string], int, (a: string) => wholeNumber(a, 'Int', checkedInt)),
  fn('int', [timestamp], int, (a: Timestamp) => a.nanos / 1_000_000_000n),
  fn('uint', [uint], uint, (a: Uint) => a),
  fn('uint', [int], uint, (a: bigint) => checkedUint(a)),
  fn('uint', [double], uint, (a: number) =>
    Number.isFinite(a) && a >= 0 && a < 18446744073709551616
      ? new Uint(BigInt(Math.trunc(a)))
      : new CelError('range error converting double to uint'),
  ),
  fn('uint', [string], uint, (a: string) => wholeNumber(a, 'Uint', checkedUint)),
  fn('double', [double], double, (a: number) => a),
  fn('double', [int], double, (a: bigint) => Number(a)),
  fn('double', [uint], double, (a: Uint) => Number(a.value)),
  fn('double', [string], double, toDouble),
  fn('bool', [bool], bool, (a: boolean) => a),
  fn('bool', [string], bool, toBool),
  fn('string', [string], string, (a: string) => a),
  fn('string', [bool], string, (a: boolean) => String(a)),
  fn('string', [int], string, (a: bigint) => String(a)),
  fn('string', [uint], string, (a: Uint) => String(a.value)),
  fn('string', [double], string, printDouble),
  fn('string', [bytes], string, decodeUtf8, 'scan'),
  fn('string', [timestamp], string, printTime),
  fn('string', [duration], string, printDuration),
  fn('bytes', [bytes], bytes, (a: Uint8Array) => a),
  fn('bytes', [string], bytes, (a: string) => new TextEncoder().encode(a), 'scan'),
  fn('timestamp', [timestamp], timestamp, (a: Timestamp) => a),
  fn('timestamp', [int], timestamp, (a: bigint) => checkedTime(a * 1_000_000_000n)),
  fn(
    'timestamp',
    [string],
    timestamp,
    (a: string) => parseTimestamp(a) ?? new CelError(`parsing time ${JSON.stringify(a)} failed`),
  ),
  fn('duration', [duration], duration, (a: Duration) => a),
  fn('duration', [int], duration, (a: bigint) => checkedDuration(a)),
  fn('duration', [string], duration, toDuration),
]

/** A date shifted into a time zone: an offset or a name. */
function zoned({ nanos }: Timestamp, zone: string): Date | CelError {
  const ms = Number(nanos / 1_000_000n)
  const offset = /^([+-]?)(\d{2}):(\d{2})$/.exec(zone)
  if (offset !== null) {
    const minutes = Number(offset[2]) * 60 + Number(offset[3])
    return new Date(ms + (offset[1] === '-' ? -minutes : minutes) * 60_000)
  }
  try {
    const parts = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    }).formatToParts(new Date(ms))
    const part = (name: string) => Number(parts.find((one) => one.type === name)?.value ?? 0)
    return new Date(
      Date.UTC(part('year'), part('month') - 1, part('day'), part('hour'), part('minute'), part('second'), ms % 1000),
    )
  } catch (error) {
    if (error instanceof RangeError) return new CelError(`unknown time zone ${zone}`)
    throw error
  }
}
const timeParts: Readonly<Record<string, (date: Date) => number>> = {
  getFullYear: (d) => d.getUTCFullYear(),
  getMonth: (d) => d.getUTCMonth(),
  getDate: (d) => d.getUTCDate(),
  getDayOfMonth: (d) => d.getUTCDate() - 1,
  getDayOfWeek: (d) => d.getUTCDay(),
  getDayOfYear: (d) =>
    Math.floor(
      (Date.UTC(d.getUTCFullYear(), d.getUTCMonth(), d.getUTCDate()) - Date.UTC(d.getUTCFullYear(), 0, 1)) / 86_400_000,
    ),
  getHours: (d) => d.getUTCHours(),
  getMinutes: (d) => d.getUTCMinutes(),
  getSeconds: (d) => d.getUTCSeconds(),
  getMilliseconds: (d) => d.getUTCMilliseconds(),
}
const times: readonly Overload[] = [
  ...Object.entries(timeParts).flatMap(([name, part]) => [
    me(name, [timestamp], int, ({ nanos }: Timestamp) => BigInt(part(new Date(Number(nanos / 1_000_000n))))),
    me(name, [timestamp, string], int, (time: Timestamp, zone: string) => {
      const date = zoned(time, zone)
      return date instanceof CelError ? date : BigInt(part(date))
    }),
  ]),
  me('getHours', [duration], int, (d: Duration) => d.nanos / 3_600_000_000_000n),
  me('getMinutes', [duration], int, (d: Duration) => d.nanos / 60_000_000_000n),
  me('getSeconds', [duration], int, (d: Duration) => d.nanos / 1_000_000_000n),
  me('getMilliseconds', [duration], int, (d: Duration) => (d.nanos / 1_000_000n) % 1000n),
]

const isZero = (value: Value): boolean =>
  value === null ||
  value === false ||
  value === 0n ||
  value === 0 ||
  value === '' ||
  (value instanceof Uint && value.value === 0n) ||
  ((value instanceof ListValue || value instanceof MapValue) && value.size === 0) ||
  (value instanceof Uint8Array && value.length === 0) ||
  (value instanceof Duration && value.nanos === 0n) ||
  (value instanceof Optional && value.value === undefined)
const optional = t.optionalOf(A)
const optionals: readonly Overload[] = [
  fn('optional.of', [A], optional, (a: Value) => new Optional(a)),
  fn('optional.none', [], t.optionalOf(dyn), () => none),
  fn('optional.ofNonZeroValue', [A], optional, (a: Value) => (isZero(a) ? none : new Optional(a))),
  me('hasValue', [optional], bool, (a: Optional) => a.value !== undefined),
  me('value', [optional], A, (a: Optional) =>
    a.value === undefined ? new CelError('optional.none() dereference') : a.value,
  ),
  me('or', [optional, optional], optional, (a: Optional, b: Optional) => (a.value === undefined ? b : a)),
  me('orValue', [optional, A], A, (a: Optional, b: Value) => (a.value === undefined ? b : a.value)),
  fn(
    'optional.unwrap',
    [t.listOf(optional)],
    t.listOf(A),
    (list: ListValue) =>
      new ListValue(
        itemsOf(list).flatMap((item) => (item instanceof Optional && item.value !== undefined ? [item.value] : [])),
      ),
  ),
  me(
    'unwrapOpt',
    [t.listOf(optional)],
    t.listOf(A),
    (list: ListValue) =>
      new ListValue(
        itemsOf(list).flatMap((item) => (item instanceof Optional && item.value !== undefined ? [item.value] : [])),
      ),
  ),
]

export const standardFunctions: readonly Overload[] = [...operators, ...basics, ...conversions, ...times, ...optionals]

/** operand[index]: a member of a list or a map. */
export function indexed(operand: Value, index: Value): Result {
  if (operand instanceof MapValue) {
    const member = operand.get(index)
    return member === undefined
      ? noSuchKey(typeof index === 'string' ? index : String(numeric(index) ?? index === true))
      : member
  }
  if (!(operand instanceof ListValue)) return noSuchOverload()
  const position = numeric(index)
  if (position === undefined || (typeof position === 'number' && !Number.isInteger(position))) return noSuchOverload()
  const at = Number(position)
  return at >= 0 && at < operand.size ? operand.at(at) : new CelError(`index out of bounds: ${at}`)
}
