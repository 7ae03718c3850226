import { describe, expect, it } from 'vitest'
import { ageCell, humanDuration } from './age.ts'
import { formatDuration, parseDuration } from './duration.ts'
import { parsePercent, scaledValue } from './int-or-string.ts'
import { formatMicroTime, formatTime, normalizeMicroTime, normalizeTime, parseTime, timeError } from './time.ts'

describe('time', () => {
  it.each([
    ['2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z'],
    ['2026-01-02T03:04:05.999Z', '2026-01-02T03:04:05Z'],
    ['2026-01-02T03:04:05+02:30', '2026-01-02T00:34:05Z'],
    ['2026-01-02T23:04:05-02:00', '2026-01-03T01:04:05Z'],
    ['2024-02-29T00:00:00Z', '2024-02-29T00:00:00Z'],
    ['2023-02-29T00:00:00Z', undefined],
    ['2023-02-28T24:00:00Z', undefined],
    ['2023-13-01T00:00:00Z', undefined],
    ['2023-02-28 00:00:00Z', undefined],
    ['yesterday', undefined],
    ['', undefined],
  ])('normalises %j to %j', (text, wanted) => expect(normalizeTime(text)).toBe(wanted))
  it('keeps six digits in a MicroTime', () => {
    expect(normalizeMicroTime('2026-01-02T03:04:05Z')).toBe('2026-01-02T03:04:05.000000Z')
    expect(normalizeMicroTime('2026-01-02T03:04:05.123Z')).toBe('2026-01-02T03:04:05.123000Z')
    expect(normalizeMicroTime('2026-01-02T03:04:05.1234567Z')).toBe('2026-01-02T03:04:05.123456Z')
    expect(formatMicroTime(1234)).toBe('1970-01-01T00:00:01.234000Z')
    expect(formatTime(1234)).toBe('1970-01-01T00:00:01Z')
    expect(parseTime('1970-01-01T00:00:01.234Z')).toBe(1234)
  })
  it('says what Go says of a bad time', () => {
    expect(timeError('abc')).toBe('parsing time "abc" as "2006-01-02T15:04:05Z07:00": cannot parse "abc" as "2006"')
    expect(timeError('2026-01-02')).toBe(
      'parsing time "2026-01-02" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T"',
    )
    expect(timeError('2026-13-02T00:00:00Z')).toBe('parsing time "2026-13-02T00:00:00Z": month out of range')
    expect(timeError('2026-01-02T00:00:00Zx')).toBe('parsing time "2026-01-02T00:00:00Zx": extra text: "x"')
  })
})

describe('duration', () => {
  it.each([
    ['1h15m30.5s', 4_530_500],
    ['300ms', 300],
    ['-1.5h', -5_400_000],
    ['0', 0],
    ['1us', 0.001],
    ['100ns', 0.0001],
    ['1', undefined],
    ['', undefined],
    ['1d', undefined],
    ['h', undefined],
    ['9999999h', undefined],
  ])('parses %j', (text, ms) => expect(parseDuration(text)).toBe(ms))
  it.each([
    [0, '0s'],
    [250, '250ms'],
    [1500, '1.5s'],
    [60_000, '1m0s'],
    [5_400_000, '1h30m0s'],
    [-1000, '-1s'],
    [0.0015, '1.5µs'],
    [0.0001, '100ns'],
    [86_400_000, '24h0m0s'],
  ])('prints %d ms', (ms, text) => expect(formatDuration(ms)).toBe(text))
})

describe('age', () => {
  const [m, h, d, y] = [60, 3600, 86_400, 365 * 86_400]
  it.each([
    [-5, '<invalid>'],
    [-1, '0s'],
    [0, '0s'],
    [119, '119s'],
    [2 * m, '2m'],
    [2 * m + 5, '2m5s'],
    [10 * m + 5, '10m'],
    [179 * m, '179m'],
    [3 * h, '3h'],
    [3 * h + 5 * m, '3h5m'],
    [8 * h + 5 * m, '8h'],
    [47 * h, '47h'],
    [2 * d, '2d'],
    [2 * d + 3 * h, '2d3h'],
    [8 * d + h, '8d'],
    [729 * d, '729d'],
    [2 * y + 3 * d, '2y3d'],
    [9 * y + d, '9y'],
  ])('of %d seconds', (seconds, text) => expect(humanDuration(seconds * 1000)).toBe(text))
  it('of a timestamp', () => {
    expect(ageCell('1970-01-01T00:00:00Z', 5000)).toBe('5s')
    expect(ageCell(undefined, 5000)).toBe('<unknown>')
    expect(ageCell('x', 5000)).toBe('<invalid>')
  })
})

describe('int or string', () => {
  it('scales percentages', () => {
    expect(scaledValue(3, 10, 'up')).toBe(3)
    expect(scaledValue('25%', 10, 'up')).toBe(3)
    expect(scaledValue('25%', 10, 'down')).toBe(2)
    expect(scaledValue('x', 10, 'down')).toBeUndefined()
    expect(parsePercent('110%')).toBe(110)
    expect(parsePercent('-1%')).toBeUndefined()
  })
})
