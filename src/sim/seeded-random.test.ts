import { expect, test } from 'vitest'
import { seededRandom } from './seeded-random.ts'

test('the same seed gives the same luck, another seed another', () => {
  const draw = (seed: number) => {
    const random = seededRandom(seed)
    return [random.uuid(), random.float(), [...random.bytes(7)], random.fork('a').uuid()]
  }
  expect(draw(1)).toEqual(draw(1))
  expect(draw(1)).not.toEqual(draw(2))
})

test('a fork does not move its origin', () => {
  const [a, b] = [seededRandom(5), seededRandom(5)]
  a.fork('x').bytes(100)
  expect(a.float()).toBe(b.float())
  expect(a.fork('x').float()).not.toBe(a.fork('y').float())
})

test('floats are spread over [0, 1), bytes over all values, uuids are version 4', () => {
  const random = seededRandom('spread')
  const buckets = new Array<number>(10).fill(0)
  for (let i = 0; i < 10_000; i++) {
    const bucket = Math.floor(random.float() * 10)
    buckets[bucket] = (buckets[bucket] ?? 0) + 1
  }
  expect(Math.min(...buckets)).toBeGreaterThan(850)
  expect(Math.max(...buckets)).toBeLessThan(1150)
  expect(new Set(random.bytes(5000)).size).toBe(256)
  expect(random.uuid()).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
})
