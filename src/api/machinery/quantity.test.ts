import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  addQuantities,
  canonicalQuantity,
  compareQuantities,
  formatQuantity,
  maxQuantity,
  milliQuantity,
  multiplyQuantity,
  parseQuantity,
  quantityMilliValue,
  quantityNumber,
  quantityOf,
  quantityValue,
  subtractQuantities,
  tryParseQuantity,
} from './quantity.ts'

describe('quantity', () => {
  it.each([
    ['0', '0'],
    ['0m', '0'],
    ['-0', '0'],
    ['0.0Ki', '0'],
    ['+5', '5'],
    ['0.001', '1m'],
    ['1000m', '1'],
    ['1500m', '1500m'],
    ['1.5', '1500m'],
    ['.5', '500m'],
    ['5.', '5'],
    ['1000', '1k'],
    ['1000000', '1M'],
    ['1001', '1001'],
    ['1000k', '1M'],
    ['100E', '100E'],
    ['1000E', '1000E'],
    ['0.5Gi', '512Mi'],
    ['1024Mi', '1Gi'],
    ['1000Mi', '1000Mi'],
    ['1.5Ki', '1536'],
    ['1Ki', '1Ki'],
    ['1000Ki', '1000Ki'],
    ['512', '512'],
    ['0.3Ki', '307200m'],
    ['1025.5Ki', '1050112'],
    ['1e3', '1e3'],
    ['12e6', '12e6'],
    ['1E6', '1e6'],
    ['1e1', '10'],
    ['1e-3', '1e-3'],
    ['1.5e3', '1500'],
    ['0.1n', '1n'],
    ['-0.1n', '-1n'],
    ['1.1n', '2n'],
    ['-1.5', '-1500m'],
    ['-1000m', '-1'],
    ['1e1000', '9223372036854775807'],
    ['1e-1000', '1e-9'],
    ['0e999999999', '0'],
    ['128974848', '128974848'],
    ['129e6', '129e6'],
    ['129M', '129M'],
    ['123Mi', '123Mi'],
  ])('prints %s as %s', (text, canonical) => {
    expect(canonicalQuantity(text)).toBe(canonical)
    expect(canonicalQuantity(canonical)).toBe(canonical)
  })
  it.each([
    ['', /must match the regular expression/],
    ['abc', /must match the regular expression/],
    ['1 Gi', /must match the regular expression/],
    ['1.2.3', /numeric part/],
    ['.', /numeric part/],
    ['1GiB', /must match the regular expression/],
    ['1Kii', /suffix/],
    ['1mm', /suffix/],
    ['1e', /suffix/],
    ['1ee3', /suffix/],
    ['1K', /suffix/],
  ])('refuses %j', (text, message) => {
    expect(() => parseQuantity(text)).toThrow(message)
    expect(tryParseQuantity(text)).toBeUndefined()
  })
  it('computes', () => {
    expect(compareQuantities('1', '1000m')).toBe(0)
    expect(compareQuantities('1Gi', '1G')).toBe(1)
    expect(compareQuantities('-1', '0')).toBe(-1)
    expect(formatQuantity(addQuantities('100m', '0.9'))).toBe('1')
    expect(formatQuantity(addQuantities('0', '1Gi'))).toBe('1Gi')
    expect(formatQuantity(subtractQuantities('1Gi', '512Mi'))).toBe('512Mi')
    expect(formatQuantity(multiplyQuantity('250m', 4))).toBe('1')
    expect(formatQuantity(maxQuantity('1Ki', '1k'))).toBe('1Ki')
    expect(quantityValue('1500m')).toBe(2)
    expect(quantityValue('-1500m')).toBe(-2)
    expect(quantityMilliValue('0.1')).toBe(100)
    expect(quantityMilliValue('100E')).toBe(Number.MAX_SAFE_INTEGER)
    expect(quantityNumber('1500m')).toBe(1.5)
    expect(formatQuantity(quantityOf(2048, 'BinarySI'))).toBe('2Ki')
    expect(formatQuantity(milliQuantity(2500))).toBe('2500m')
  })
  it('survives a round trip for every number, suffix and sign', () => {
    const suffixes = ['n', 'u', 'm', '', 'k', 'M', 'G', 'T', 'P', 'E', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei', 'e3', 'e-3']
    const property = fc.property(
      fc.integer({ min: -1e9, max: 1e9 }),
      fc.nat(999),
      fc.constantFrom(...suffixes),
      (whole, fraction, suffix) => {
        const text = `${whole}.${fraction}${suffix}`
        const first = parseQuantity(text)
        expect(parseQuantity(formatQuantity(first)).nanos).toBe(first.nanos)
      },
    )
    fc.assert(property, { numRuns: 500 })
  })
})
