// Functions beyond the standard ones that CEL expressions in Kubernetes may use: strings, lists, sets, base64.
import {
  chars,
  compareText,
  globalFunction as fn,
  itemsOf,
  methodOf as me,
  type Overload,
  printDuration,
  printTime,
} from './functions.ts'
import * as t from './types.ts'
import {
  CelError,
  compareNumbers,
  Duration,
  equals,
  ListValue,
  MapValue,
  noSuchOverload,
  numeric,
  type Result,
  Timestamp,
  typeName,
  TypeValue,
  Uint,
  type Value,
} from './values.ts'

const { bool, int, string, bytes } = t
const A = t.variable('A')
const listOfA = t.listOf(A)

const outOfRange = (index: bigint): CelError => new CelError(`index out of range: ${index}`)
function indexOf(text: string, part: string, from: bigint, last: boolean): Result {
  const [all, wanted] = [chars(text), chars(part)]
  if (from < 0n || from > BigInt(all.length)) return outOfRange(from)
  const at = (i: number) => wanted.every((c, k) => all[i + k] === c)
  if (last) {
    for (let i = Math.min(Number(from), all.length - wanted.length); i >= 0; i--) if (at(i)) return BigInt(i)
  } else for (let i = Number(from); i <= all.length - wanted.length; i++) if (at(i)) return BigInt(i)
  return -1n
}
function substring(text: string, from: bigint, to: bigint): Result {
  const all = chars(text)
  if (from < 0n || from > BigInt(all.length)) return outOfRange(from)
  if (to < 0n || to > BigInt(all.length)) return outOfRange(to)
  if (from > to) return new CelError(`invalid substring range. start: ${from}, end: ${to}`)
  return all.slice(Number(from), Number(to)).join('')
}
function replace(text: string, from: string, to: string, limit: bigint): string {
  if (limit < 0n) return text.replaceAll(from, () => to)
  let out = ''
  let rest = text
  for (let i = 0n; i < limit; i++) {
    const at = rest.indexOf(from)
    if (at < 0) break
    const step = from === '' && i > 0n ? 1 : 0
    if (step > rest.length) break
    out += rest.slice(0, at + step) + to
    rest = rest.slice(at + step + from.length)
  }
  return out + rest
}
function split(text: string, separator: string, limit: bigint): ListValue {
  if (limit === 0n) return new ListValue([])
  const parts = separator === '' ? chars(text) : text.split(separator)
  if (limit < 0n || parts.length <= limit) return new ListValue(parts)
  const head = parts.slice(0, Number(limit) - 1)
  return new ListValue([...head, parts.slice(Number(limit) - 1).join(separator)])
}
const ascii = (text: string, from: RegExp, shift: number): string =>
  text.replace(from, (c) => String.fromCharCode(c.charCodeAt(0) + shift))
/** What Unicode calls white space. */
const trim = (text: string): string => text.replace(/^[\p{White_Space}]+|[\p{White_Space}]+$/gu, '')
function joinTexts(list: ListValue, separator: string): Result {
  const items = itemsOf(list)
  return items.every((item) => typeof item === 'string') ? items.join(separator) : noSuchOverload()
}
const quoted: Readonly<Record<string, string>> = {
  '\x07': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '\\': '\\\\',
  '"': '\\"',
}
/** Halves of surrogate pairs become U+FFFD. */
const quote = (text: string): string =>
  `"${Array.from(text, (c) => quoted[c] ?? (/^[\ud800-\udfff]$/.test(c) ? '\ufffd' : c)).join('')}"`

const strings: readonly Overload[] = [
  me('charAt', [string, int], string, (a: string, i: bigint) => {
    const all = chars(a)
    return i < 0n || i > BigInt(all.length) ? outOfRange(i) : (all[Number(i)] ?? '')
  }),
  me('indexOf', [string, string], int, (a: string, b: string) => indexOf(a, b, 0n, false), 'product'),
  me(
    'indexOf',
    [string, string, int],
    int,
    (a: string, b: string, from: bigint) => indexOf(a, b, from, false),
    'product',
  ),
  me(
    'lastIndexOf',
    [string, string],
    int,
    (a: string, b: string) => indexOf(a, b, BigInt(chars(a).length), true),
    'product',
  ),
  me(
    'lastIndexOf',
    [string, string, int],
    int,
    (a: string, b: string, from: bigint) => indexOf(a, b, from, true),
    'product',
  ),
  me('lowerAscii', [string], string, (a: string) => ascii(a, /[A-Z]/g, 32), 'scan'),
  me('upperAscii', [string], string, (a: string) => ascii(a, /[a-z]/g, -32), 'scan'),
  me(
    'replace',
    [string, string, string],
    string,
    (a: string, b: string, c: string) => replace(a, b, c, -1n),
    'product',
  ),
  me('replace', [string, string, string, int], string, replace, 'product'),
  me('split', [string, string], t.listOf(string), (a: string, b: string) => split(a, b, -1n), 'scan'),
  me('split', [string, string, int], t.listOf(string), split, 'scan'),
  me(
    'substring',
    [string, int],
    string,
    (a: string, from: bigint) => substring(a, from, BigInt(chars(a).length)),
    'scan',
  ),
  me('substring', [string, int, int], string, substring, 'scan'),
  me('trim', [string], string, trim, 'scan'),
  me('join', [t.listOf(string)], string, (list: ListValue) => joinTexts(list, ''), 'scan'),
  me('join', [t.listOf(string), string], string, joinTexts, 'scan'),
  me('reverse', [string], string, (a: string) => chars(a).reverse().join(''), 'scan'),
  fn('strings.quote', [string], string, quote, 'scan'),
  me('format', [string, t.listOf(t.dyn)], string, format, 'scan'),
]

/** printf with the verbs of CEL: %s %d %f %e %b %x %X %o %%. */
function format(pattern: string, args: ListValue): Result {
  let out = ''
  let next = 0
  const verbs = /%(?:%|(?:\.(\d+))?([a-zA-Z]))|%/g
  let last = 0
  for (const match of pattern.matchAll(verbs)) {
    out += pattern.slice(last, match.index)
    last = match.index + match[0].length
    if (match[0] === '%%') {
      out += '%'
      continue
    }
    const [, precision, verb = ''] = match
    if (next >= args.size) return new CelError(`index ${next} out of range`)
    const text = printVerb(verb, args.at(next++), precision === undefined ? undefined : Number(precision))
    if (text instanceof CelError) return text
    out += text
  }
  return out + pattern.slice(last)
}
function printVerb(verb: string, value: Value, precision: number | undefined): string | CelError {
  const bad = (what: string) => new CelError(`error during formatting: ${what}`)
  const n = numeric(value)
  const special =
    typeof n === 'number' && !Number.isFinite(n)
      ? Number.isNaN(n)
        ? 'NaN'
        : n > 0
          ? 'Infinity'
          : '-Infinity'
      : undefined
  switch (verb) {
    case 's':
      return printValue(value) ?? bad(`could not convert argument of type ${typeName(value)}`)
    case 'd':
      if (special !== undefined) return special
      return n === undefined
        ? bad(`decimal clause can only be used on numbers, was given ${typeName(value)}`)
        : String(n)
    case 'f':
      if (special !== undefined || n === undefined)
        return special ?? bad(`fixed-point clause can only be used on numbers, was given ${typeName(value)}`)
      return fixed(Number(n), precision ?? 6)
    case 'e':
      if (special !== undefined || n === undefined)
        return special ?? bad(`scientific clause can only be used on numbers, was given ${typeName(value)}`)
      return Number(n)
        .toExponential(precision ?? 6)
        .replace(/e([+-])(\d)$/, 'e$10$2')
    case 'b':
      if (typeof value === 'boolean') return value ? '1' : '0'
      return typeof n === 'bigint'
        ? n.toString(2)
        : bad(`only integers and bools can be formatted as binary, was given ${typeName(value)}`)
    case 'o':
      return typeof n === 'bigint'
        ? n.toString(8)
        : bad(`octal clause can only be used on integers, was given ${typeName(value)}`)
    case 'x':
    case 'X': {
      const hex = hexOf(value)
      if (hex === undefined)
        return bad(`only integers, byte buffers, and strings can be formatted as hex, was given ${typeName(value)}`)
      return verb === 'X' ? hex.toUpperCase() : hex
    }
    default:
      return new CelError(`could not parse formatting clause: unrecognized formatting clause ${JSON.stringify(verb)}`)
  }
}
/** Halves are rounded to the even neighbour, as Go does. */
function fixed(n: number, digits: number): string {
  const scaled = n * 10 ** digits
  const half = Math.abs(scaled % 1) === 0.5
  if (!half || Math.abs(scaled) > 2 ** 50) return n.toFixed(Math.min(digits, 100))
  const even = 2 * Math.round(scaled / 2)
  return (even / 10 ** digits).toFixed(digits)
}
function hexOf(value: Value): string | undefined {
  const n = numeric(value)
  if (typeof n === 'bigint') return n.toString(16)
  const raw = typeof value === 'string' ? new TextEncoder().encode(value) : value
  return raw instanceof Uint8Array ? Array.from(raw, (byte) => byte.toString(16).padStart(2, '0')).join('') : undefined
}
function printValue(value: Value): string | undefined {
  if (value === null) return 'null'
  if (typeof value === 'string') return value
  if (typeof value === 'boolean' || typeof value === 'bigint') return String(value)
  if (typeof value === 'number')
    return Number.isFinite(value) ? String(value) : Number.isNaN(value) ? 'NaN' : value > 0 ? 'Infinity' : '-Infinity'
  if (value instanceof Uint) return String(value.value)
  if (value instanceof Timestamp) return printTime(value)
  if (value instanceof Duration) return printDuration(value)
  if (value instanceof TypeValue) return value.name
  if (value instanceof Uint8Array) return new TextDecoder().decode(value)
  if (value instanceof ListValue) {
    const items = itemsOf(value).map(printValue)
    return items.includes(undefined) ? undefined : `[${items.join(', ')}]`
  }
  if (value instanceof MapValue) {
    const entries = value.keys().map((key) => [printValue(key), printValue(value.get(key) as Value)] as const)
    if (entries.some(([key, member]) => key === undefined || member === undefined)) return undefined
    const sorted = entries.sort(([a = ''], [b = '']) => compareText(a, b))
    return `{${sorted.map(([key, member]) => `${key}: ${member}`).join(', ')}}`
  }
  return undefined
}

/** Order of two values of one type that has an order. */
function compare(a: Value, b: Value): -1 | 0 | 1 | undefined {
  const [x, y] = [numeric(a), numeric(b)]
  if (x !== undefined && y !== undefined) return compareNumbers(x, y)
  if (typeof a === 'string' && typeof b === 'string') return compareText(a, b)
  if (typeof a === 'boolean' && typeof b === 'boolean') return compareNumbers(Number(a), Number(b))
  if (a instanceof Timestamp && b instanceof Timestamp) return compareNumbers(a.nanos, b.nanos)
  return a instanceof Duration && b instanceof Duration ? compareNumbers(a.nanos, b.nanos) : undefined
}
function extreme(list: ListValue, wanted: 1 | -1): Result {
  const items = itemsOf(list)
  const [first] = items
  if (first === undefined) return new CelError(`${wanted > 0 ? 'max' : 'min'} called on empty list`)
  return items.reduce((best, item) => (compare(item, best) === wanted ? item : best), first)
}
function total(list: ListValue): Result {
  const items = itemsOf(list)
  const [first] = items
  if (first === undefined) return 0n
  if (items.every((item) => typeof item === 'bigint')) return items.reduce((a, b) => a + b, 0n)
  if (items.every((item) => typeof item === 'number')) return items.reduce((a, b) => a + b, 0)
  if (items.every((item) => item instanceof Uint)) return new Uint(items.reduce((a, b) => a + b.value, 0n))
  if (items.every((item) => item instanceof Duration)) return new Duration(items.reduce((a, b) => a + b.nanos, 0n))
  return noSuchOverload()
}
const isSorted = (list: ListValue): boolean =>
  itemsOf(list).every((item, i) => i === 0 || compare(list.at(i - 1), item) !== 1)
const position = (list: ListValue, value: Value, last: boolean): bigint => {
  const items = itemsOf(list)
  return BigInt(
    last ? items.findLastIndex((item) => equals(item, value)) : items.findIndex((item) => equals(item, value)),
  )
}
const includes = (list: ListValue, value: Value): boolean => itemsOf(list).some((item) => equals(item, value))
const contains = (a: ListValue, b: ListValue): boolean => itemsOf(b).every((item) => includes(a, item))
function flatten(list: ListValue, depth: bigint): Value[] {
  return itemsOf(list).flatMap((item) => (item instanceof ListValue && depth > 0n ? flatten(item, depth - 1n) : [item]))
}
function slice(list: ListValue, from: bigint, to: bigint): Result {
  if (from < 0n || to < 0n) return new CelError(`cannot slice(${from}, ${to}), negative indexes not supported`)
  if (from > to)
    return new CelError(`cannot slice(${from}, ${to}), start index must be less than or equal to end index`)
  if (to > BigInt(list.size)) return new CelError(`cannot slice(${from}, ${to}), list is length ${list.size}`)
  return new ListValue(itemsOf(list).slice(Number(from), Number(to)))
}
const distinct = (list: ListValue): ListValue =>
  new ListValue(itemsOf(list).filter((item, i, all) => all.findIndex((other) => equals(other, item)) === i))

const lists: readonly Overload[] = [
  me('isSorted', [listOfA], bool, isSorted, 'scan'),
  me('sum', [listOfA], A, total, 'scan'),
  me('min', [listOfA], A, (list: ListValue) => extreme(list, -1), 'scan'),
  me('max', [listOfA], A, (list: ListValue) => extreme(list, 1), 'scan'),
  me('indexOf', [listOfA, A], int, (list: ListValue, a: Value) => position(list, a, false), 'scan'),
  me('lastIndexOf', [listOfA, A], int, (list: ListValue, a: Value) => position(list, a, true), 'scan'),
  me('flatten', [t.listOf(t.dyn)], t.listOf(t.dyn), (list: ListValue) => new ListValue(flatten(list, 1n)), 'scan'),
  me('slice', [listOfA, int, int], listOfA, slice, 'scan'),
  me('distinct', [listOfA], listOfA, distinct, 'product'),
  me('reverse', [listOfA], listOfA, (list: ListValue) => new ListValue(itemsOf(list).reverse()), 'scan'),
  me(
    'sort',
    [listOfA],
    listOfA,
    (list: ListValue) => new ListValue(itemsOf(list).sort((a, b) => compare(a, b) ?? 0)),
    'scan',
  ),
  fn('sets.contains', [listOfA, listOfA], bool, contains, 'product'),
  fn(
    'sets.equivalent',
    [listOfA, listOfA],
    bool,
    (a: ListValue, b: ListValue) => contains(a, b) && contains(b, a),
    'product',
  ),
  fn(
    'sets.intersects',
    [listOfA, listOfA],
    bool,
    (a: ListValue, b: ListValue) => itemsOf(a).some((item) => includes(b, item)),
    'product',
  ),
]

function fromBase64(text: string): Result {
  const padded = text.replace(/=+$/, '')
  if (/[^A-Za-z0-9+/]/.test(padded)) return new CelError('illegal base64 data')
  return Uint8Array.from(atob(padded), (c) => c.charCodeAt(0))
}
const encoders: readonly Overload[] = [
  fn(
    'base64.encode',
    [bytes],
    string,
    (a: Uint8Array) => btoa(Array.from(a, (byte) => String.fromCharCode(byte)).join('')),
    'scan',
  ),
  fn('base64.decode', [string], bytes, fromBase64, 'scan'),
]

export const extensionFunctions: readonly Overload[] = [...strings, ...lists, ...encoders]
