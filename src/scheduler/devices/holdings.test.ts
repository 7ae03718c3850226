import { expect, test } from 'vitest'
import type { Allocation } from './allocate.ts'
import { Holdings } from './holdings.ts'

const results = (...devices: readonly object[]): Allocation =>
  ({ devices: { results: devices.map((one) => ({ driver: 'd', pool: 'p', ...one })) } }) as unknown as Allocation
const share = (device: string, shareID: string, memory: string) => ({ device, shareID, consumedCapacity: { memory } })

test('a device is in use from the assumption until neither it nor the claim says so', () => {
  const held = new Holdings()
  const allocation = results({ device: 'a' }, { device: 'b', adminAccess: true })
  held.assume('new', allocation)
  held.rename('new', 'uid')
  expect(held.pendingOf('new')).toBeUndefined()
  expect([held.isWhole('d/p/a'), held.isInUse('d/p/b')]).toEqual([true, false])
  const written = results({ device: 'a' })
  held.write('uid', written)
  held.release(allocation)
  expect([held.pendingOf('uid'), held.isWhole('d/p/a')]).toEqual([undefined, true])
  held.write('uid', written)
  held.write('uid', undefined)
  expect([held.isWhole('d/p/a'), held.isInUse('d/p/a')]).toEqual([false, false])
})

test('what a claim says goes before what was assumed for it', () => {
  const held = new Holdings()
  const assumed = results({ device: 'a' })
  held.assume('uid', assumed)
  held.write('uid', results({ device: 'b' }))
  expect([held.isInUse('d/p/a'), held.isInUse('d/p/b')]).toEqual([false, true])
  held.write('uid', undefined)
  expect([held.isInUse('d/p/a'), held.isInUse('d/p/b')]).toEqual([true, false])
  held.release(assumed)
  expect(held.isInUse('d/p/a')).toBe(false)
})

test('shares add up, within a claim and over several, and are given back to the last', () => {
  const held = new Holdings()
  held.write('one', results(share('a', '1', '2Gi'), share('a', '2', '512Mi')))
  held.write('two', results(share('a', '3', '1Gi')))
  expect([held.isWhole('d/p/a'), held.isInUse('d/p/a')]).toEqual([false, true])
  expect(held.consumed('d/p/a')).toEqual({ memory: '3584Mi' })
  held.write('one', results(share('a', '1', '2Gi')))
  expect(held.consumed('d/p/a')).toEqual({ memory: '3Gi' })
  held.write('one', undefined)
  held.write('two', undefined)
  expect([held.consumed('d/p/a'), held.isInUse('d/p/a')]).toEqual([undefined, false])
})
