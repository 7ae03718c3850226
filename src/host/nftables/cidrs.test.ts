import { expect, test } from 'vitest'
import { canonicalRanges } from './cidrs.ts'

test.each([
  [
    'host bits go, single addresses have no prefix',
    ['10.1.2.3/24', '10.1.3.4/32', '10.1.3.5'],
    ['10.1.2.0/24', '10.1.3.4', '10.1.3.5'],
  ],
  [
    'what is within another is left out',
    ['10.1.2.3', '10.0.0.0/8', '10.255.0.0/16', '11.0.0.1'],
    ['10.0.0.0/8', '11.0.0.1'],
  ],
  ['everything holds everything', ['0.0.0.0/0', '255.255.255.255', '128.0.0.0/1'], ['0.0.0.0/0']],
  [
    'both halves, up to the last address',
    ['128.0.0.0/1', '0.0.0.0/1', '255.255.255.255'],
    ['128.0.0.0/1', '0.0.0.0/1'],
  ],
  ['the same twice is one', ['192.0.2.1', '192.0.2.1/32'], ['192.0.2.1']],
  [
    'what is no address',
    [
      '256.0.0.1',
      '1.2.3',
      '1.2.3.4.5',
      '01.2.3.4',
      '1.2.3.4/33',
      '1.2.3.4/',
      '1..2.3',
      '',
      '1.2.3.4/8/8',
      '1.2.3.4x',
      '/8',
    ],
    [],
  ],
  ['the other family', ['fd00::1', '::ffff:1.2.3.4'], []],
])('IPv4: %s', (_what, list, wanted) => {
  expect(canonicalRanges(list, 4)).toEqual(wanted)
})
test.each([
  ['host bits and zeros', ['fd00:0:0::1/64', 'fd00:1::0001'], ['fd00::/64', 'fd00:1::1']],
  ['what is within another is left out', ['fd00::1', 'fd00::/8', '10.0.0.1'], ['fd00::/8']],
])('IPv6: %s', (_what, list, wanted) => {
  expect(canonicalRanges(list, 6)).toEqual(wanted)
})
