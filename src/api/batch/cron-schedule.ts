// The schedule grammar of a CronJob: five fields or a @macro, as documented for CronJob. croner's grammar is wider
// (seconds, L, W, #), so the text is checked here first and only what Kubernetes accepts reaches it.
import { Cron } from 'croner'

const macros: Readonly<Record<string, string>> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
}
const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']
const days = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat']
const fields: readonly {
  readonly name: string
  readonly min: number
  readonly max: number
  readonly names?: readonly string[]
}[] = [
  { name: 'minute', min: 0, max: 59 },
  { name: 'hour', min: 0, max: 23 },
  { name: 'day of month', min: 1, max: 31 },
  { name: 'month', min: 1, max: 12, names: months },
  { name: 'day of week', min: 0, max: 6, names: days },
]

export interface CronSchedule {
  /** First time after `afterMs`, milliseconds since 1970; undefined when there is none. */
  next(afterMs: number, timeZone: string | undefined): number | undefined
}
export type ParsedSchedule =
  | { readonly ok: true; readonly schedule: CronSchedule }
  | { readonly ok: false; readonly error: string }

function checkPart(part: string, field: (typeof fields)[number]): string | undefined {
  const [range = '', step, extra] = part.split('/')
  if (extra !== undefined) return `too many slashes: ${part}`
  if (step !== undefined && !/^[1-9]\d*$/.test(step)) return `step of range should be a positive number: ${part}`
  if (range === '*' || range === '?') return undefined
  const [from = '', to, more] = range.split('-')
  if (more !== undefined) return `too many hyphens: ${part}`
  const value = (text: string): number | undefined => {
    const named = field.names?.indexOf(text.toLowerCase()) ?? -1
    if (named >= 0) return named + (field.names === months ? 1 : 0)
    return /^\d+$/.test(text) ? Number(text) : undefined
  }
  const a = value(from)
  const b = to === undefined ? a : value(to)
  if (a === undefined || b === undefined) return `failed to parse int from ${a === undefined ? from : to}`
  if (a < field.min) return `beginning of range (${a}) below minimum (${field.min}): ${part}`
  if (b > field.max) return `end of range (${b}) above maximum (${field.max}): ${part}`
  if (a > b) return `beginning of range (${a}) beyond end of range (${b}): ${part}`
  return undefined
}

const everyPattern = /^@every\s+((?:\d+(?:\.\d+)?(?:ns|us|ms|s|m|h))+)$/
const unitMs: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/** Parses a schedule; the error names the offending part. */
export function parseCronSchedule(text: string): ParsedSchedule {
  const trimmed = text.trim().replace(/^(?:CRON_)?TZ=\S+\s+/, '')
  const everyMatch = everyPattern.exec(trimmed)
  if (everyMatch?.[1] !== undefined) {
    let periodMs = 0
    for (const [, amount, unit] of everyMatch[1].matchAll(/(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)/g))
      periodMs += Number(amount) * (unitMs[unit ?? ''] ?? 0)
    const period = Math.max(1000, Math.floor(periodMs / 1000) * 1000)
    return { ok: true, schedule: { next: (after) => Math.floor(after / 1000) * 1000 + period } }
  }
  const macro = Object.hasOwn(macros, trimmed) ? macros[trimmed] : undefined
  if (trimmed.startsWith('@') && macro === undefined) return { ok: false, error: `unrecognized descriptor: ${trimmed}` }
  const expression = macro ?? trimmed
  const parts = expression.split(/\s+/)
  if (parts.length !== 5)
    return { ok: false, error: `expected exactly 5 fields, found ${parts.length}: ${JSON.stringify(parts)}` }
  for (const [i, field] of fields.entries())
    for (const part of (parts[i] ?? '').split(',')) {
      const error = checkPart(part, field)
      if (error !== undefined) return { ok: false, error }
    }
  const pattern = parts.map((p) => p.replace(/^\?/, '*')).join(' ')
  const byZone = new Map<string, Cron>()
  return {
    ok: true,
    schedule: {
      next(afterMs, timeZone = 'UTC') {
        let cron = byZone.get(timeZone)
        if (cron === undefined) byZone.set(timeZone, (cron = new Cron(pattern, { timezone: timeZone, paused: true })))
        return cron.nextRun(new Date(afterMs))?.getTime()
      },
    },
  }
}
