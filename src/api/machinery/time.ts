// metav1.Time and MicroTime as text: RFC 3339 in UTC, whole seconds or exactly six digits. Time is text everywhere in the
// API; only arithmetic turns it into milliseconds.

import { rfc3339 } from '../../ports/clock.ts'

const shape = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:[.,](\d+))?(Z|[+-]\d{2}:\d{2})$/
/** What most clients send, checked without building anything. */
const plain = /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\dZ$/

interface Instant {
  /** Milliseconds since 1970 of the whole second. */
  readonly secondMs: number
  readonly micros: number
}

function parse(text: string): Instant | undefined {
  const match = shape.exec(text)
  if (match === null) return undefined
  const [, year, month, day, hour, minute, second, fraction = '', zone = 'Z'] = match
  const [y, mo, d, h, mi, s] = [year, month, day, hour, minute, second].map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  if (mo < 1 || mo > 12 || d < 1 || h > 23 || mi > 59 || s > 59) return undefined
  const date = new Date(0)
  date.setUTCFullYear(y, mo - 1, d)
  date.setUTCHours(h, mi, s)
  if (date.getUTCDate() !== d) return undefined
  let secondMs = date.getTime()
  if (zone !== 'Z') {
    const offset = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4, 6))
    secondMs -= (zone.startsWith('-') ? -offset : offset) * 60_000
  }
  return { secondMs, micros: Number(fraction.slice(0, 6).padEnd(6, '0')) }
}

/** "2026-01-02T03:04:05Z" for milliseconds since 1970. */
export const formatTime = rfc3339
/** "2026-01-02T03:04:05.678000Z" for milliseconds since 1970. */
export const formatMicroTime = (ms: number): string => `${new Date(ms).toISOString().slice(0, -1)}000Z`
/** Milliseconds since 1970, or undefined where the text is not a time. */
export function parseTime(text: string): number | undefined {
  const instant = parse(text)
  return instant === undefined ? undefined : instant.secondMs + Math.floor(instant.micros / 1000)
}
/** The time as metav1.Time prints it, or undefined. */
export function normalizeTime(text: string): string | undefined {
  if (plain.test(text)) return text
  const instant = parse(text)
  return instant === undefined ? undefined : formatTime(instant.secondMs)
}
/** The time as metav1.MicroTime prints it, or undefined. */
export function normalizeMicroTime(text: string): string | undefined {
  const instant = parse(text)
  if (instant === undefined) return undefined
  return `${formatTime(instant.secondMs).slice(0, -1)}.${String(instant.micros).padStart(6, '0')}Z`
}
/** What Go's time package says of a text that is no RFC 3339 time; the layouts are Go's own reference times. */
export function timeError(text: string): string {
  const layout = '2006-01-02T15:04:05Z07:00'
  const parts: readonly (readonly [RegExp, string])[] = [
    [/^\d{4}/, '2006'],
    [/^-/, '-'],
    [/^\d{2}/, '01'],
    [/^-/, '-'],
    [/^\d{2}/, '02'],
    [/^T/, 'T'],
    [/^\d{2}/, '15'],
    [/^:/, ':'],
    [/^\d{2}/, '04'],
    [/^:/, ':'],
    [/^\d{2}(?:[.,]\d+)?/, '05'],
    [/^(?:Z|[+-]\d{2}:\d{2})/, 'Z07:00'],
  ]
  let rest = text
  for (const [part, name] of parts) {
    const match = part.exec(rest)
    if (match === null) {
      return `parsing time ${JSON.stringify(text)} as "${layout}": cannot parse ${JSON.stringify(rest)} as "${name}"`
    }
    rest = rest.slice(match[0].length)
  }
  if (rest !== '') return `parsing time ${JSON.stringify(text)}: extra text: ${JSON.stringify(rest)}`
  const [, month, day, hour, minute] = /^\d{4}-(\d{2})-(\d{2})T(\d{2}):(\d{2})/.exec(text)?.map(Number) ?? []
  const field =
    month === undefined || month < 1 || month > 12
      ? 'month'
      : hour !== undefined && hour > 23
        ? 'hour'
        : minute !== undefined && minute > 59
          ? 'minute'
          : day === undefined || parse(text) === undefined
            ? 'day'
            : 'second'
  return `parsing time ${JSON.stringify(text)}: ${field} out of range`
}
