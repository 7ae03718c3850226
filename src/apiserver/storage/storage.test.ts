import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeValue, encodeValue, hasLayout, joinServed, layoutOf, servedBytes, textOf, utf8 } from './layout.ts'
import { Ordered } from './ordered.ts'
import { Recent } from './recent.ts'

describe('layout', () => {
  const layout = layoutOf('v1', 'ConfigMap')
  const object = {
    data: { resourceVersion: 'mine' },
    metadata: { name: 'a', resourceVersion: '7', annotations: { resourceVersion: 'kept' } },
    kind: 'ConfigMap',
    apiVersion: 'v1',
  }
  it('leaves out the version of the object and nothing else, and serves it again', () => {
    const value = encodeValue(layout, object)
    expect(hasLayout(layout, value)).toBe(true)
    expect(JSON.parse(textOf(value))).toEqual({
      ...object,
      metadata: { name: 'a', annotations: { resourceVersion: 'kept' } },
    })
    expect(JSON.parse(textOf(servedBytes(layout, value, 12)))).toEqual({
      ...object,
      metadata: { ...object.metadata, resourceVersion: '12' },
    })
    expect(decodeValue(value, 12).metadata.resourceVersion).toBe('12')
    const framed = servedBytes(layout, value, 3, utf8('{"object":'), utf8('}\n'))
    expect(JSON.parse(textOf(framed)).object.metadata.resourceVersion).toBe('3')
  })
  it('puts managedFields last, whatever they hold', () => {
    const managed = (managedFields: unknown) =>
      JSON.parse(textOf(encodeValue(layout, { metadata: { managedFields, name: 'a' } }))).metadata
    const entry = { manager: 'm', fieldsV1: { 'f:spec': {} }, subresource: 'status' }
    for (const fields of [[], [entry], [entry, { manager: 'n' }], [null], 'odd'])
      expect(managed(fields)).toEqual({ name: 'a', managedFields: fields })
    expect(Object.keys(managed([entry]))).toEqual(['name', 'managedFields'])
    expect(JSON.parse(textOf(encodeValue(layout, { metadata: { managedFields: [entry] } })))).toEqual({
      kind: layout.kind,
      apiVersion: layout.apiVersion,
      metadata: { managedFields: [entry] },
    })
  })
  it('joins lists of any length', () => {
    const value = encodeValue(layout, object)
    for (const count of [0, 1, 3]) {
      const items = Array.from({ length: count }, (_, i) => ({ value, modRevision: i + 1 }))
      const list = JSON.parse(textOf(joinServed(layout, items, utf8('{"items":['), utf8(']}'))))
      expect(list.items.map((o: typeof object) => o.metadata.resourceVersion)).toEqual(
        items.map((i) => String(i.modRevision)),
      )
    }
  })
  it('knows a foreign value', () => {
    expect(hasLayout(layout, utf8('{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}'))).toBe(false)
  })
})

describe('Ordered', () => {
  it('is a sorted map under any sequence of writes', () => {
    const key = fc.integer({ min: 0, max: 2000 }).map((n) => `/r/${n % 7}/${n}`)
    const operation = fc.tuple(fc.boolean(), key)
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 3000, size: 'max' }), (operations) => {
        const ordered = new Ordered<{ key: string; n: number }>()
        const model = new Map<string, number>()
        operations.forEach(([remove, key], n) => {
          if (remove) {
            ordered.delete(key)
            model.delete(key)
          } else {
            ordered.set({ key, n })
            model.set(key, n)
          }
        })
        const sorted = [...model].sort(([a], [b]) => (a < b ? -1 : 1))
        expect(ordered.slice('').map((e) => [e.key, e.n])).toEqual(sorted)
        expect(ordered.size).toBe(model.size)
        for (const prefix of ['/r/3/', '/r/9/']) {
          const expected = sorted.filter(([k]) => k.startsWith(prefix)).map(([k]) => k)
          expect(ordered.slice(prefix).map((e) => e.key)).toEqual(expected)
          expect([...ordered.range(prefix)].map((e) => e.key)).toEqual(expected)
          const after = expected[Math.floor(expected.length / 2)]
          if (after !== undefined) {
            expect([...ordered.range(prefix, after)].map((e) => e.key)).toEqual(expected.filter((k) => k > after))
          }
        }
      }),
      { numRuns: 30 },
    )
  })
})

it('Recent keeps what was used and forgets the rest', () => {
  const recent = new Recent<object, number>(2)
  const keys = Array.from({ length: 6 }, (_, i) => ({ i }))
  const [first] = keys
  for (const key of keys) {
    recent.set(key, 1)
    if (first !== undefined) expect(recent.get(first)).toBe(1)
  }
  expect(keys.map((k) => recent.get(k) ?? 0).reduce((a, b) => a + b)).toBeLessThanOrEqual(4)
})

it('Recent forgets what nobody asked for between two calls of age', () => {
  const recent = new Recent<object, number>(10)
  const [used, unused] = [{}, {}]
  recent.set(used, 1)
  recent.set(unused, 2)
  recent.age()
  expect(recent.get(used)).toBe(1)
  recent.age()
  expect(recent.get(used)).toBe(1)
  expect(recent.get(unused)).toBeUndefined()
})
