// Ages as kubectl prints them: two units at most, coarser with distance ("45s", "3m12s", "5h", "2d3h", "4y12d").
import { parseTime } from './time.ts'

const SECOND = 1000
const MINUTE = 60
const HOUR = 3600
const DAY = 24 * HOUR
const YEAR = 365 * DAY

/** A human duration; the thresholds are those users know from kubectl. */
export function humanDuration(ms: number): string {
  const seconds = Math.trunc(ms / SECOND)
  if (seconds < -1) return '<invalid>'
  if (seconds < 0) return '0s'
  if (seconds < 2 * MINUTE) return `${seconds}s`
  const minutes = Math.trunc(seconds / MINUTE)
  if (minutes < 10) return pair(minutes, 'm', seconds % MINUTE, 's')
  if (minutes < 180) return `${minutes}m`
  const hours = Math.trunc(seconds / HOUR)
  if (hours < 8) return pair(hours, 'h', minutes % 60, 'm')
  if (hours < 48) return `${hours}h`
  const days = Math.trunc(seconds / DAY)
  if (hours < 192) return pair(days, 'd', hours % 24, 'h')
  if (days < 365 * 2) return `${days}d`
  const years = Math.trunc(seconds / YEAR)
  if (days < 365 * 8) return pair(years, 'y', days % 365, 'd')
  return `${years}y`
}
const pair = (big: number, bigUnit: string, small: number, smallUnit: string): string =>
  small === 0 ? `${big}${bigUnit}` : `${big}${bigUnit}${small}${smallUnit}`

/** The age of a timestamp; "<unknown>" where there is none, "<invalid>" where it is not a time. */
export function ageCell(timestamp: string | undefined | null, nowMs: number): string {
  if (timestamp === undefined || timestamp === null || timestamp === '') return '<unknown>'
  const ms = parseTime(timestamp)
  return ms === undefined ? '<invalid>' : humanDuration(nowMs - ms)
}
/** How long something ran, or has been running where `end` is absent. */
export function durationCell(start: string | undefined, end: string | undefined, nowMs: number): string {
  if (start === undefined) return ''
  const from = parseTime(start)
  const to = end === undefined ? nowMs : parseTime(end)
  return from === undefined || to === undefined ? '<invalid>' : humanDuration(to - from)
}
