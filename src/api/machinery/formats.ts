// The string formats that a schema may ask for; an unknown format asks for nothing.
import { parseDuration } from './duration.ts'
import { parseCidr, parseIp } from './ip.ts'
import { parseTime } from './time.ts'

const hex = (length: number): string => `[0-9a-fA-F]{${length}}`
const uuid = (version: string): RegExp => new RegExp(`^${hex(8)}-?${hex(4)}-?${version}-?[0-9a-fA-F]{4}-?${hex(12)}$`)
const matches =
  (pattern: RegExp) =>
  (text: string): boolean =>
    pattern.test(text)

const formats: Readonly<Record<string, (text: string) => boolean>> = {
  'date-time': (text) => parseTime(text.replace(/^(\S+) /, '$1T')) !== undefined,
  datetime: (text) => parseTime(text) !== undefined,
  date: (text) => /^\d{4}-\d{2}-\d{2}$/.test(text) && parseTime(`${text}T00:00:00Z`) !== undefined,
  duration: (text) =>
    parseDuration(text) !== undefined ||
    /^[+-]?(\d+\s*(ns|us|µs|ms|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|wks?|weeks?)\s*)+$/.test(text),
  byte: (text) => text.length % 4 === 0 && !/[^A-Za-z0-9+/=]/.test(text) && !/=[^=]/.test(text),
  ipv4: (text) => parseIp(text)?.version === 4,
  ipv6: (text) => parseIp(text)?.version === 6,
  ip: (text) => parseIp(text) !== undefined,
  cidr: (text) => parseCidr(text) !== undefined,
  mac: matches(/^([0-9a-fA-F]{2}([:-])[0-9a-fA-F]{2}(\2[0-9a-fA-F]{2}){4}|([0-9a-fA-F]{4}\.){2}[0-9a-fA-F]{4})$/),
  uuid: matches(uuid('[0-9a-fA-F]{4}')),
  uuid3: matches(uuid('3[0-9a-fA-F]{3}')),
  uuid4: matches(uuid('4[0-9a-fA-F]{3}')),
  uuid5: matches(uuid('5[0-9a-fA-F]{3}')),
  email: matches(/^[^\s@<>]+@[^\s@<>]+$/),
  hostname: (text) =>
    text.length <= 253 &&
    text.split('.').every((label) => /^[A-Za-z0-9](?:[-A-Za-z0-9]{0,61}[A-Za-z0-9])?$/.test(label)),
  uri: matches(/^([a-zA-Z][a-zA-Z0-9+.-]*:\S+|\/\S*)$/),
  hexcolor: matches(/^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$/),
  rgbcolor: matches(/^rgb\(\s*(\d{1,2}|1\d\d|2[0-4]\d|25[0-5])\s*(,\s*(\d{1,2}|1\d\d|2[0-4]\d|25[0-5])\s*){2}\)$/),
  isbn: matches(/^(?:\d[- ]?){9}(?:[\dX]|(?:\d[- ]?){3}\d)$/),
  isbn10: matches(/^(?:\d[- ]?){9}[\dX]$/),
  isbn13: matches(/^(?:\d[- ]?){12}\d$/),
  creditcard: matches(/^(?:\d[ -]?){12,18}\d$/),
  ssn: matches(/^\d{3}[- ]?\d{2}[- ]?\d{4}$/),
  bsonobjectid: matches(/^[0-9a-fA-F]{24}$/),
  'k8s-short-name': matches(/^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/),
  'k8s-long-name': (text) =>
    text.length <= 253 && text.split('.').every((label) => /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?$/.test(label)),
}

export const formatSatisfied = (format: string, text: string): boolean =>
  !Object.hasOwn(formats, format) || formats[format]?.(text) !== false
