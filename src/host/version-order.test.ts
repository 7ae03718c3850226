import { expect, test } from 'vitest'
import { isOlder } from './version-order.ts'

test.each([
  ['1.8.1', '1.8', false],
  ['1.8', '1.8', false],
  ['1.10', '1.8', false],
  ['v2.1.9+unknown', '1.7', false],
  ['1.6.20~ds1', '1.7', true],
  ['0.17', '1.8', true],
  ['1.7.9', '1.8', true],
  ['', '1.8', true],
])('%s is older than %s: %s', (version, than, older) => {
  expect(isOlder(version, than)).toBe(older)
})
