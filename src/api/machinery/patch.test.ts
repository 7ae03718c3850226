import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { freeze } from './freeze.ts'
import { applyPatch, PatchError, type PatchOperation, parsePatch } from './json-patch.ts'
import { createMergePatch, mergePatch } from './merge-patch.ts'
import { array, int32, type Json, map, object, optional, string } from './schema.ts'
import { StrategicPatchError, strategicMerge } from './strategic-merge.ts'

describe('JSON patch', () => {
  const apply = (document: Json, ...patch: PatchOperation[]) => applyPatch(freeze(document), patch)
  it.each([
    [{ a: 1 }, [{ op: 'add', path: '/b', value: [1] }], { a: 1, b: [1] }],
    [
      { a: [1, 3] },
      [
        { op: 'add', path: '/a/1', value: 2 },
        { op: 'add', path: '/a/-', value: 4 },
      ],
      { a: [1, 2, 3, 4] },
    ],
    [{ a: [1, 3] }, [{ op: 'add', path: '/a/-1', value: 9 }], { a: [1, 3, 9] }],
    [{ a: { b: 1 } }, [{ op: 'remove', path: '/a/b' }], { a: {} }],
    [{ a: [1, 2] }, [{ op: 'remove', path: '/a/-1' }], { a: [1] }],
    [{ a: { b: 1 } }, [{ op: 'replace', path: '/a/b', value: null }], { a: { b: null } }],
    [{ a: { b: 1 } }, [{ op: 'move', from: '/a/b', path: '/c' }], { a: {}, c: 1 }],
    [
      { a: { b: [1] } },
      [
        { op: 'copy', from: '/a', path: '/c' },
        { op: 'add', path: '/c/b/0', value: 0 },
      ],
      { a: { b: [1] }, c: { b: [0, 1] } },
    ],
    [{ 'a/b': { '~': 1 } }, [{ op: 'replace', path: '/a~1b/~0', value: 2 }], { 'a/b': { '~': 2 } }],
    [
      { a: 1 },
      [
        { op: 'test', path: '/a', value: 1 },
        { op: 'test', path: '/x', value: null },
      ],
      { a: 1 },
    ],
    [{ a: 1 }, [{ op: 'replace', path: '', value: 7 }], 7],
    [{}, [{ op: 'add', path: '/__proto__', value: 1 }], JSON.parse('{"__proto__":1}')],
  ] as [Json, PatchOperation[], Json][])('%j with %j', (document, patch, wanted) => {
    expect(apply(document, ...patch)).toEqual(wanted)
  })
  it.each([
    [{}, { op: 'remove', path: '/a' }, 'remove operation does not apply: doc is missing key: /a: missing value'],
    [
      {},
      { op: 'replace', path: '/a', value: 1 },
      'replace operation does not apply: doc is missing key: /a: missing value',
    ],
    [
      {},
      { op: 'add', path: '/a/b', value: 1 },
      'add operation does not apply: doc is missing path: "/a/b": missing value',
    ],
    [{ a: 1 }, { op: 'test', path: '/a', value: 2 }, 'testing value /a failed: test failed'],
    [
      { a: [] },
      { op: 'remove', path: '/a/0' },
      'remove operation does not apply: Unable to access invalid index: 0: invalid index referenced',
    ],
    [{ a: [] }, { op: 'add', path: '/a/2', value: 1 }, /invalid index referenced/],
    [{ a: [] }, { op: 'add', path: '/a/x', value: 1 }, /invalid syntax/],
    [{}, { op: 'add', path: '/a' }, 'missing value'],
    [{}, { op: 'jump', path: '/a' }, 'Unexpected kind: jump'],
    [{ a: {} }, { op: 'move', from: '/a', path: '/a/b' }, /children/],
    [{}, { op: 'add' }, /missing or invalid path/],
  ] as unknown as [Json, PatchOperation, string | RegExp][])('%j refuses %j', (document, patch, message) => {
    expect(() => apply(document, patch)).toThrow(message)
  })
  it('shares what did not change and leaves the document alone', () => {
    const document = freeze({ a: { deep: [1] }, b: { x: 1 } })
    const result = applyPatch(document, [{ op: 'replace', path: '/b/x', value: 2 }]) as unknown as typeof document
    expect(result.a).toBe(document.a)
    expect(document).toEqual({ a: { deep: [1] }, b: { x: 1 } })
  })
  it('refuses depth', () => {
    const deep = (open: string, close: string) => JSON.parse(open.repeat(20_000) + '1' + close.repeat(20_000)) as Json
    expect(() => parsePatch([{ op: 'add', path: '/a', value: deep('[', ']') }])).toThrow('exceeded max depth')
    expect(() => mergePatch({}, deep('{"a":', '}'))).toThrow('exceeded max depth')
    expect(() => strategicMerge(object('X', {}), {}, deep('{"a":', '}'))).toThrow('exceeded max depth')
  })
  it('copies by value', () => {
    const patch: PatchOperation[] = [
      { op: 'add', path: '/a', value: {} },
      { op: 'add', path: '/a/x', value: 1 },
      { op: 'copy', from: '/a', path: '/b' },
      { op: 'add', path: '/b/y', value: 2 },
    ]
    expect(apply({}, ...patch)).toEqual({ a: { x: 1 }, b: { x: 1, y: 2 } })
  })
  it('bounds the work of copy', () => {
    const patch: PatchOperation[] = [{ op: 'add', path: '/a', value: 'x'.repeat(100) }]
    for (let i = 0; i < 40; i++) patch.push({ op: 'copy', from: '', path: `/c${i}` })
    expect(() => apply({}, ...patch)).toThrow(/accumulated size increase/)
    expect(() => parsePatch({})).toThrow(PatchError)
    expect(() => parsePatch([1])).toThrow(PatchError)
  })
})

const json = fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<Json>
describe('merge patch', () => {
  it.each([
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [['a'], { a: 'b' }, { a: 'b' }],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ] as [Json, Json, Json][])('%j with %j', (target, patch, wanted) => {
    expect(mergePatch(freeze(target), freeze(patch))).toEqual(wanted)
  })
  it('takes every key for a key', () => {
    const hostile = JSON.parse('{"__proto__":1,"constructor":2,"toString":{"a":1}}') as Json
    expect(createMergePatch(hostile, {})).toEqual(JSON.parse('{"__proto__":null,"constructor":null,"toString":null}'))
    expect(mergePatch(hostile, createMergePatch(hostile, {}) ?? {})).toEqual({})
    expect(mergePatch({}, hostile)).toEqual(hostile)
  })
  it('is inverted by createMergePatch', () => {
    const withoutNulls = json.map((value) => mergePatch({}, { value }))
    fc.assert(
      fc.property(withoutNulls, withoutNulls, (a, b) => {
        const patch = createMergePatch(a, b)
        expect(patch === undefined ? a : mergePatch(a, patch)).toEqual(b)
      }),
      { numRuns: 2000 },
    )
  })
})

describe('strategic merge patch', () => {
  const merge = { listType: 'map', patchStrategy: 'merge', patchMergeKey: 'name', listMapKeys: ['name'] } as const
  const container = object('Container', {
    name: optional(1, string()),
    image: optional(2, string()),
    args: optional(3, array(string())),
    env: optional(4, array(object('Env', { name: optional(1, string()), value: optional(2, string()) }), merge)),
  })
  const schema = object('Spec', {
    containers: optional(1, array(container, merge)),
    finalizers: optional(2, array(string(), { patchStrategy: 'merge' })),
    labels: optional(3, map(string())),
    strategy: optional(4, object('Strategy', { type: optional(1, string()), max: optional(2, int32()) }), {
      patchStrategy: 'retainKeys',
    }),
  })
  const run = (original: Json, patch: Json) => strategicMerge(schema, freeze(original), freeze(patch))
  const [a, b] = [{ name: 'a', image: '1', args: ['x'] }, { name: 'b' }]
  it.each([
    [
      'merges by key and appends',
      { containers: [a, b] },
      { containers: [{ name: 'b', image: '2' }, { name: 'c' }] },
      { containers: [a, { name: 'b', image: '2' }, { name: 'c' }] },
    ],
    [
      'replaces atomic lists',
      { containers: [a] },
      { containers: [{ name: 'a', args: ['y'] }] },
      { containers: [{ ...a, args: ['y'] }] },
    ],
    [
      'removes with null',
      { labels: { x: '1', y: '2' } },
      { labels: { x: null }, strategy: null },
      { labels: { y: '2' } },
    ],
    ['deletes an item', { containers: [a, b] }, { containers: [{ name: 'a', $patch: 'delete' }] }, { containers: [b] }],
    [
      'replaces a list',
      { containers: [a, b] },
      { containers: [{ $patch: 'replace' }, { name: 'c', image: null }] },
      { containers: [{ name: 'c' }] },
    ],
    ['replaces an object', { labels: { x: '1' } }, { labels: { $patch: 'replace', y: '2' } }, { labels: { y: '2' } }],
    ['deletes an object', { labels: { x: '1' } }, { labels: { $patch: 'delete' } }, { labels: {} }],
    ['adds to a set', { finalizers: ['p', 'q'] }, { finalizers: ['r', 'p'] }, { finalizers: ['p', 'q', 'r'] }],
    [
      'deletes from a set',
      { finalizers: ['p', 'q'] },
      { '$deleteFromPrimitiveList/finalizers': ['p'] },
      { finalizers: ['q'] },
    ],
    [
      'orders a set',
      { finalizers: ['p', 'q'] },
      { '$setElementOrder/finalizers': ['r', 'q', 'p'], finalizers: ['r'] },
      { finalizers: ['r', 'q', 'p'] },
    ],
    [
      'orders a list by key',
      { containers: [a, { name: 'x' }] },
      { '$setElementOrder/containers': [{ name: 'b' }, { name: 'a' }], containers: [{ name: 'b' }] },
      { containers: [b, a, { name: 'x' }] },
    ],
    [
      'keeps others in place',
      { containers: [{ name: 'x' }, a] },
      { '$setElementOrder/containers': [{ name: 'a' }, { name: 'b' }], containers: [{ name: 'b' }] },
      { containers: [{ name: 'x' }, a, b] },
    ],
    [
      'retains keys',
      { strategy: { type: 'R', max: 3 } },
      { strategy: { $retainKeys: ['type'], type: 'C' } },
      { strategy: { type: 'C' } },
    ],
    [
      'merges deeper lists',
      { containers: [{ name: 'a', env: [{ name: 'e', value: '1' }] }] },
      { containers: [{ name: 'a', env: [{ name: 'f', value: '2' }] }] },
      {
        containers: [
          {
            name: 'a',
            env: [
              { name: 'f', value: '2' },
              { name: 'e', value: '1' },
            ],
          },
        ],
      },
    ],
    [
      'cleans new values',
      {},
      { labels: { a: null, b: '1' }, containers: [{ name: 'z', env: [{ name: 'g', $patch: 'delete' }] }] },
      { labels: { b: '1' }, containers: [{ name: 'z', env: [] }] },
    ],
    ['merges unknown fields as JSON', { x: { y: [1], z: 1 } }, { x: { y: [2] } }, { x: { y: [2], z: 1 } }],
  ] as [string, Json, Json, Json][])('%s', (_, original, patch, wanted) => expect(run(original, patch)).toEqual(wanted))
  it.each([
    [{ containers: [{ image: 'x' }] }, 'map: {"image":"x"} does not contain declared merge key: name'],
    [{ labels: { $patch: 'jump' } }, 'Unknown patch type: "jump"'],
    [[], 'invalid JSON document'],
    [{ strategy: { $retainKeys: ['type'], max: 1 } }, /retainKeys/],
  ] as [Json, string | RegExp][])('refuses %j', (patch, message) => {
    expect(() => run({}, patch)).toThrow(message)
    expect(() => run({}, patch)).toThrow(StrategicPatchError)
  })
})
