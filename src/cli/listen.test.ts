import { expect, it } from 'vitest'
import { podsReach } from './listen.ts'

const here = ['192.0.2.1', '192.0.2.2']
it.each([
  ['everywhere', '0.0.0.0', undefined, '192.0.2.1'],
  ['at one address', '192.0.2.2', undefined, '192.0.2.2'],
  ['on the loopback device', '127.0.0.1', undefined, '10.0.0.10'],
  ['on the loopback device behind something else', '127.0.0.1', '198.51.100.7', '198.51.100.7'],
  ['at one address behind something else', '192.0.2.2', '198.51.100.7', '198.51.100.7'],
])('an API that listens %s', (_where, listening, advertised, reached) => {
  expect(podsReach(listening, advertised, '10.0.0.10', here)).toBe(reached)
})
it('without a node a loopback socket is for this machine alone', () => {
  expect(podsReach('127.0.0.1', undefined, undefined, here)).toBe('127.0.0.1')
})
