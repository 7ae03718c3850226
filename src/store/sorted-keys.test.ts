import fc from 'fast-check'
import { expect, test } from 'vitest'
import { SortedKeys } from './sorted-keys.ts'

interface Entry {
  readonly revision: number
  readonly live: boolean
}

test('behaves like a sorted map, and counts like a scan, over thousands of keys', () => {
  // A seed, not the steps: thousands of generated steps would be printed and shrunk.
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      let state = seed >>> 0
      const next = (below: number) => {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
        return Math.floor((state / 2 ** 32) * below)
      }
      const key = () => {
        const n = next(3000)
        return `/${n % 7}/${n}`
      }
      const steps = Array.from({ length: 2000 + next(4000) }, () => [key(), ['set', 'set', 'kill', 'delete'][next(4)]])
      const after = key()
      const sorted = new SortedKeys<Entry>((entry) => entry.live)
      const plain = new Map<string, Entry>()
      let revision = 0
      for (const [k = '', what] of steps) {
        revision++
        const before = plain.get(k)
        if (what === 'delete') {
          if (before?.live === true) sorted.touch(k, revision, -1)
          expect(sorted.delete(k)).toBe(plain.delete(k))
          continue
        }
        const entry = { revision, live: what === 'set' }
        sorted.set(k, entry, revision, Number(entry.live) - Number(before?.live ?? false))
        plain.set(k, entry)
      }
      expect(sorted.size).toBe(plain.size)
      const ordered = [...plain].sort(([a], [b]) => (a < b ? -1 : 1))
      for (const prefix of ['', '/', '/3/', '/3/1', '/9']) {
        const expected = ordered.filter(([k]) => k.startsWith(prefix) && k > after).map(([, entry]) => entry)
        const seen: Entry[] = []
        expect(sorted.visit(prefix, after, (entry) => seen.push(entry) > 0)).toBeUndefined()
        expect(seen).toEqual(expected)
        const live = expected.filter((entry) => entry.live).length
        expect(sorted.count(prefix, after, revision, (entry) => entry.live)).toBe(live)
      }
      const third = ordered[2]
      let left = 3
      expect(sorted.visit('', undefined, () => --left > 0)).toBe(third?.[0])
      for (const [k, entry] of ordered.slice(0, 50)) expect(sorted.get(k)).toBe(entry)
      expect(sorted.get('/none')).toBeUndefined()
    }),
    { numRuns: 15 },
  )
})
