// Go's time.Duration as text ("1h15m30s", "250ms"), which is how metav1.Duration travels. Milliseconds inside.

const nanosPerUnit: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
}

/** Milliseconds, or undefined where Go would not parse the text. */
export function parseDuration(text: string): number | undefined {
  const match = /^([+-]?)((?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+|0)$/.exec(text)
  if (match === null) return undefined
  const [, sign, body = ''] = match
  if (body === '0') return 0
  let nanos = 0
  for (const [, number = '', unit = ''] of body.matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g)) {
    nanos += Number(number) * (nanosPerUnit[unit] ?? 0)
  }
  // int64 nanoseconds
  if (nanos > 9_223_372_036_854_775_000) return undefined
  return (sign === '-' ? -nanos : nanos) / 1e6
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
