// Go's time.Duration as text ("1h15m30s", "250ms"), which is how metav1.Duration travels. Milliseconds inside.

const unitsMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
}

/** Milliseconds, or undefined where Go would not parse the text. */
export function parseDuration(text: string): number | undefined {
  const match = /^([+-]?)((?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+|0)$/.exec(text)
  if (match === null) return undefined
  const [, sign, body = ''] = match
  if (body === '0') return 0
  let ms = 0
  for (const [, number = '', unit = ''] of body.matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g)) {
    ms += Number(number) * (unitsMs[unit] ?? 0)
  }
  // int64 nanoseconds
  if (ms > 9_223_372_036_854.775) return undefined
  return sign === '-' ? -ms : ms
}

/** As Go prints it: "1m30s", "250ms", "0s", "1h0m0s". */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0s'
  if (ms < 0) return `-${formatDuration(-ms)}`
  const nanos = Math.round(ms * 1e6)
  if (nanos < 1000) return `${nanos}ns`
  if (nanos < 1e6) return `${trim(nanos / 1e3, 3)}µs`
  if (nanos < 1e9) return `${trim(nanos / 1e6, 6)}ms`
  const hours = Math.floor(ms / 3_600_000)
  const minutes = Math.floor((ms % 3_600_000) / 60_000)
  const seconds = trim((nanos % 60e9) / 1e9, 9)
  if (hours > 0) return `${hours}h${minutes}m${seconds}s`
  return minutes > 0 ? `${minutes}m${seconds}s` : `${seconds}s`
}
const trim = (value: number, digits: number): string => value.toFixed(digits).replace(/\.?0+$/, '')
