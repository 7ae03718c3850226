import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { applyConfiguration, trackUpdate } from './apply.ts'
import { decode, decodeSparse } from './decode.ts'
import { applyDefaults } from './defaults.ts'
import { ApiError } from './errors.ts'
import {
  type FieldSet,
  fieldSetText,
  intersect,
  parseFieldSet,
  printPaths,
  sameSet,
  share,
  subtract,
  subtractAll,
  unite,
} from './field-set.ts'
import { compareFields, fieldsOf, mergeFields, withoutFields } from './field-walk.ts'
import { freeze } from './freeze.ts'
import { kindSchema } from './meta.ts'
import {
  array,
  defaulted,
  int32,
  type Json,
  type JsonObject,
  map,
  object,
  optional,
  required,
  string,
  struct,
} from './schema.ts'
import { arbitraryOf } from './testing/arbitrary.ts'

const port = object('Port', {
  containerPort: required(1, int32()),
  protocol: defaulted(2, string(), 'TCP', { publishDefault: true }),
  name: optional(3, string()),
})
const container = object('Container', {
  name: required(1, string()),
  image: optional(2, string()),
  args: optional(3, array(string())),
  ports: optional(4, array(port, { listType: 'map', listMapKeys: ['containerPort', 'protocol'] })),
  resources: struct(5, object('Resources', { limits: optional(1, map(string())) })),
})
const schema = kindSchema('Thing', {
  spec: struct(
    2,
    object('Spec', {
      replicas: optional(1, int32()),
      selector: optional(2, object('Selector', { matchLabels: optional(1, map(string())) }, { mapType: 'atomic' })),
      containers: required(3, array(container, { listType: 'map', listMapKeys: ['name'] })),
      tags: optional(4, array(string(), { listType: 'set' })),
      policy: defaulted(5, string(), 'Always'),
    }),
  ),
  status: struct(3, object('Status', { phase: optional(1, string()) })),
})
const base = { apiVersion: 'v1', kind: 'Thing' }
const writer = { apiVersion: 'v1', nowMs: 1000 }
const apply = (
  live: JsonObject | undefined,
  manager: string,
  body: JsonObject,
  force = false,
  nowMs = 1000,
): JsonObject => {
  const config = decodeSparse<JsonObject>(schema, { ...base, ...body }).value as JsonObject
  const made = applyConfiguration(schema, live, config, { ...writer, manager, force, nowMs })
  const { value } = decode<JsonObject>(schema, made)
  applyDefaults(schema, value)
  return freeze(value as JsonObject)
}
type Entry = { manager: string; operation: string; fieldsV1: FieldSet; time: string }
const managedFields = (object: JsonObject) =>
  ((object.metadata as JsonObject).managedFields ?? []) as unknown as Entry[]
const ownedBy = (object: JsonObject, manager: string) =>
  printPaths(managedFields(object).find((entry) => entry.manager === manager)?.fieldsV1 ?? {})
const update = (live: JsonObject | undefined, manager: string, body: JsonObject, nowMs = 2000): JsonObject => {
  const { value } = decode<JsonObject>(schema, { ...base, ...body })
  applyDefaults(schema, value)
  const next = value as JsonObject
  const entries = trackUpdate(schema, live, next, { ...writer, manager, nowMs })
  return freeze({ ...next, metadata: { ...(next.metadata as JsonObject), managedFields: entries as unknown as Json } })
}
const containers = (...list: Json[]): JsonObject => ({ spec: { containers: list } })
const spec = (object: JsonObject) => object.spec as JsonObject

describe('server-side apply', () => {
  it('records what the applier says, nothing else', () => {
    const made = apply(undefined, 'me', {
      metadata: { name: 'x', labels: { app: 'web' } },
      spec: {
        replicas: 2,
        selector: { matchLabels: { app: 'web' } },
        containers: [{ name: 'c', ports: [{ containerPort: 80 }] }],
        tags: ['a'],
      },
    })
    expect(spec(made).policy).toBe('Always')
    expect(managedFields(made)).toEqual([
      {
        manager: 'me',
        operation: 'Apply',
        apiVersion: 'v1',
        time: '1970-01-01T00:00:01Z',
        fieldsType: 'FieldsV1',
        fieldsV1: {
          'f:metadata': { 'f:labels': { 'f:app': {} } },
          'f:spec': {
            'f:containers': {
              'k:{"name":"c"}': {
                '.': {},
                'f:name': {},
                'f:ports': { 'k:{"containerPort":80,"protocol":"TCP"}': { '.': {}, 'f:containerPort': {} } },
              },
            },
            'f:replicas': {},
            'f:selector': {},
            'f:tags': { 'v:"a"': {} },
          },
        },
      },
    ])
  })
  it('takes away what the applier no longer says, and nobody else owns', () => {
    let object = apply(undefined, 'me', {
      metadata: { labels: { a: '1', b: '2' } },
      ...containers({ name: 'c', image: 'i', args: ['x'] }, { name: 'd' }),
    })
    object = apply(object, 'other', { metadata: { labels: { b: '2' } }, ...containers({ name: 'd', image: 'j' }) })
    object = apply(object, 'me', { metadata: { labels: { c: '3' } }, ...containers({ name: 'c', image: 'i' }) })
    expect((object.metadata as JsonObject).labels).toEqual({ b: '2', c: '3' })
    expect(spec(object).containers).toEqual([
      { name: 'c', image: 'i', resources: {} },
      { name: 'd', image: 'j', resources: {} },
    ])
    object = apply(object, 'other', { metadata: {} })
    expect(spec(object).containers).toEqual([{ name: 'c', image: 'i', resources: {} }])
    expect(managedFields(object).map((entry) => entry.manager)).toEqual(['me'])
  })
  it('conflicts with the words of upstream', () => {
    const live = update(undefined, 'kubectl-create', {
      spec: { replicas: 1, containers: [{ name: 'c', image: 'i', ports: [{ containerPort: 80 }] }], tags: ['a'] },
    })
    const conflict = (body: JsonObject) => {
      try {
        apply(live, 'me', body)
      } catch (error) {
        if (error instanceof ApiError) return error
        throw error
      }
      return undefined
    }
    const one = conflict({ spec: { replicas: 2 } })
    expect(one?.message).toBe('Apply failed with 1 conflict: conflict with "kubectl-create" using v1: .spec.replicas')
    expect(one?.toStatus()).toMatchObject({
      reason: 'Conflict',
      code: 409,
      details: {
        causes: [
          {
            reason: 'FieldManagerConflict',
            message: 'conflict with "kubectl-create" using v1',
            field: '.spec.replicas',
          },
        ],
      },
    })
    expect(conflict({ spec: { replicas: 2, containers: [{ name: 'c', image: 'j' }] } })?.message).toBe(
      'Apply failed with 2 conflicts: conflicts with "kubectl-create" using v1:\n- .spec.containers[name="c"].image\n- .spec.replicas',
    )
    expect(conflict({ spec: { replicas: 1 } })).toBeUndefined()
    const forced = apply(live, 'me', { spec: { replicas: 2 } }, true)
    expect(spec(forced).replicas).toBe(2)
    expect(ownedBy(forced, 'kubectl-create')).not.toContain('.spec.replicas')
    expect(ownedBy(forced, 'me')).toEqual(['.spec.replicas'])
    const applied = apply(undefined, 'one', { spec: { replicas: 1 } })
    expect(() => apply(applied, 'two', { spec: { replicas: 2 } })).toThrow(
      'Apply failed with 1 conflict: conflict with "one": .spec.replicas',
    )
  })
  it('shares a field that both set to the same value', () => {
    let object = apply(undefined, 'one', { spec: { replicas: 1 } })
    object = apply(object, 'two', { spec: { replicas: 1 } })
    object = apply(object, 'one', { spec: {} })
    expect(spec(object).replicas).toBe(1)
    expect(ownedBy(object, 'two')).toEqual(['.spec.replicas'])
    object = apply(object, 'two', { spec: {} })
    expect(spec(object).replicas).toBeUndefined()
  })
  it('merges sets and lists, keeps the order of the applier', () => {
    let object = apply(undefined, 'one', { spec: { tags: ['a', 'b'], containers: [{ name: 'a' }, { name: 'b' }] } })
    object = apply(object, 'two', { spec: { tags: ['c'], containers: [{ name: 'z' }, { name: 'b' }] } })
    expect(spec(object).tags).toEqual(['a', 'b', 'c'])
    expect((spec(object).containers as unknown as { name: string }[]).map((c) => c.name)).toEqual(['a', 'z', 'b'])
    object = apply(object, 'one', { spec: { tags: ['b'] } })
    expect(spec(object).tags).toEqual(['b', 'c'])
  })
  it.each([
    [
      ['a', 'b'],
      ['b', 'a'],
      ['b', 'a'],
    ],
    [
      ['a', 'x', 'b'],
      ['b', 'a'],
      ['x', 'b', 'a'],
    ],
    [
      ['a', 'x', 'b'],
      ['a', 'b'],
      ['a', 'x', 'b'],
    ],
    [
      ['x', 'a'],
      ['n', 'a'],
      ['x', 'n', 'a'],
    ],
    [
      ['a', 'x'],
      ['a', 'n'],
      ['a', 'x', 'n'],
    ],
  ])('orders %j and %j as %j', (live, config, wanted) => {
    const before = decode<JsonObject>(schema, { spec: { tags: live } }).value as JsonObject
    expect(spec(apply(before, 'me', { spec: { tags: config } })).tags).toEqual(wanted)
  })
  it('refuses double keys and items without any', () => {
    expect(() => apply(undefined, 'me', containers({ name: 'a' }, { name: 'a' }))).toThrow(
      'duplicate entries for key [name="a"]',
    )
    expect(() => apply(undefined, 'me', containers({ image: 'a' }))).toThrow(/omits all key fields \["name"\]/)
  })
  it('does not touch the time when nothing changes', () => {
    const first = apply(undefined, 'me', { spec: { replicas: 1 } }, false, 1000)
    const again = apply(first, 'me', { spec: { replicas: 1 } }, false, 9000)
    expect(again).toEqual(first)
  })
  it('never changes its input', () => {
    const live = update(undefined, 'a', containers({ name: 'c', image: 'i' }))
    const text = JSON.stringify(live)
    apply(live, 'me', { metadata: { labels: { x: '1' } } })
    expect(JSON.stringify(live)).toBe(text)
  })
  it('lets kubectl change over from the client side', () => {
    const annotations = {
      'kubectl.kubernetes.io/last-applied-configuration': JSON.stringify({ ...base, spec: { replicas: 3 } }),
    }
    const live = update(undefined, 'kubectl-client-side-apply', { metadata: { annotations }, spec: { replicas: 3 } })
    const next = apply(live, 'kubectl', { spec: { replicas: 4 } })
    expect(spec(next).replicas).toBe(4)
    const recorded = ((next.metadata as JsonObject).annotations as Record<string, string>)[
      'kubectl.kubernetes.io/last-applied-configuration'
    ]
    expect(JSON.parse(recorded ?? '')).toMatchObject({ spec: { replicas: 4 } })
    expect(() => apply(live, 'helm', { spec: { replicas: 4 } })).toThrow(ApiError)
  })
})

describe('tracking of updates', () => {
  it('owns what a write added or changed', () => {
    const made = update(undefined, 'kubectl-create', {
      metadata: { name: 'x', labels: { app: 'web' } },
      ...containers({ name: 'c', image: 'i', resources: { limits: { cpu: '1' } } }),
    })
    expect(managedFields(made)[0]?.fieldsV1).toEqual({
      'f:metadata': { 'f:labels': { '.': {}, 'f:app': {} } },
      'f:spec': {
        'f:containers': {
          'k:{"name":"c"}': {
            '.': {},
            'f:image': {},
            'f:name': {},
            'f:resources': { '.': {}, 'f:limits': { '.': {}, 'f:cpu': {} } },
          },
        },
        'f:policy': {},
      },
    })
    const next = update(made, 'kubectl-edit', {
      ...made,
      spec: { ...spec(made), replicas: 5, policy: 'Never' },
      status: { phase: 'Up' },
    })
    expect(ownedBy(next, 'kubectl-edit')).toEqual(['.spec.policy', '.spec.replicas', '.status.phase'])
    expect(ownedBy(next, 'kubectl-create')).not.toContain('.spec.policy')
    const removed = update(next, 'kubectl-edit', { ...next, spec: { ...spec(next), containers: [] } })
    expect(ownedBy(removed, 'kubectl-create')).toEqual(['.metadata.labels', '.metadata.labels.app'])
  })
  it('keeps entries of subresources apart and ignores what they cannot change', () => {
    const made = update(undefined, 'a', { spec: { replicas: 1 } })
    const next = { ...made, status: { phase: 'Up' } }
    const entries = trackUpdate(schema, made, next, {
      ...writer,
      manager: 'a',
      subresource: 'status',
      ignored: { 'f:spec': {} },
    })
    expect(entries.map(({ manager, subresource, fieldsV1 }) => [manager, subresource, fieldsV1])).toEqual([
      ['a', 'status', { 'f:status': { 'f:phase': {} } }],
      ['a', undefined, { 'f:spec': { 'f:policy': {}, 'f:replicas': {} } }],
    ])
  })
  it('is reset by an empty list, and gathers old managers', () => {
    const made = update(undefined, 'a', { spec: { replicas: 1 } })
    const reset = update(made, 'b', { ...made, metadata: { managedFields: [{}] } })
    expect(managedFields(reset)).toEqual([])
    let object = made
    for (let i = 0; i < 15; i++)
      object = update(
        object,
        `m${i}`,
        {
          ...object,
          metadata: {
            ...(object.metadata as JsonObject),
            labels: { ...((object.metadata as JsonObject).labels as JsonObject), [`l${i}`]: '1' },
          },
        },
        3000 + i * 1000,
      )
    const names = managedFields(object).map((entry) => entry.manager)
    expect(names).toContain('ancient-changes')
    expect(names.length).toBeLessThanOrEqual(11)
    expect(ownedBy(object, 'ancient-changes')).toContain('.metadata.labels.l0')
  })
  it('survives lists that hold an item twice', () => {
    const ports = [
      { containerPort: 80, name: 'a' },
      { containerPort: 80, name: 'b' },
    ]
    const made = update(undefined, 'a', containers({ name: 'c', ports }))
    const next = apply(made, 'me', { metadata: { labels: { x: '1' } } })
    expect((spec(next).containers as unknown as { ports: unknown[] }[])[0]?.ports).toHaveLength(2)
  })
})

describe('field sets', () => {
  const place = { schema }
  const values = arbitraryOf(schema).map((value) => decode<JsonObject>(schema, value).value as JsonObject)
  const unique = values.filter((value) => noDoubles(value))
  it('obey the laws of sets', () => {
    const sets = unique.map((value) => fieldsOf(place, value) ?? {})
    fc.assert(
      fc.property(sets, sets, (a, b) => {
        expect(sameSet(unite(a, b), unite(b, a))).toBe(true)
        expect(sameSet(unite(subtract(a, b), intersect(a, b)), a)).toBe(true)
        expect(sameSet(subtract(a, a), {})).toBe(true)
        expect(sameSet(intersect(a, unite(a, b)), a)).toBe(true)
        expect(sameSet(subtractAll(a, a), {})).toBe(true)
        expect(parseFieldSet(JSON.parse(JSON.stringify(a)) as Json)).toEqual(a)
      }),
      { numRuns: 150 },
    )
  })
  it('find no difference between equals, and everything in a merge', () => {
    fc.assert(
      fc.property(unique, unique, (a, b) => {
        expect(compareFields(place, a, JSON.parse(JSON.stringify(a)) as Json)).toEqual({
          added: {},
          modified: {},
          removed: {},
        })
        const merged = mergeFields(place, freeze(a), freeze(b))
        const after = compareFields(place, b, merged)
        expect(after.modified).toEqual({})
        expect(after.removed).toEqual({})
        expect(mergeFields(place, merged, b)).toEqual(merged)
        const claimed = fieldsOf(place, b) ?? {}
        expect(intersect(fieldsOf(place, withoutFields(place, b, claimed) ?? {}) ?? {}, claimed)).toEqual({})
      }),
      { numRuns: 150 },
    )
  })
  it('that are alike are one, and keep their text', () => {
    const owned = (shard: string) =>
      managedFields(update(undefined, 'm', { metadata: { labels: { shard } }, ...containers({ name: 'c' }) }))[0]
    expect(owned('1')?.fieldsV1).toBe(owned('2')?.fieldsV1)
    fc.assert(
      fc.property(
        unique.map((value) => fieldsOf(place, value) ?? {}),
        (set) => {
          const shared = share(set)
          expect(shared).toEqual(set)
          expect(share(JSON.parse(JSON.stringify(set)) as FieldSet)).toBe(shared)
          expect(fieldSetText(shared)).toBe(JSON.stringify(set))
          expect(parseFieldSet(shared as Json)).toBe(shared)
        },
      ),
      { numRuns: 100 },
    )
  })
  it('read only what is a set', () => {
    expect(parseFieldSet({ 'k:{ "b": 1, "a": "\\u003c" }': { '.': {} } })).toEqual({ 'k:{"a":"<","b":1}': { '.': {} } })
    for (const bad of [[], 1, { x: {} }, { 'k:{': {} }, { 'f:a': 1 }, { 'i:x': {} }, { 'k:[1]': {} }] as Json[]) {
      expect(parseFieldSet(bad)).toBeUndefined()
    }
  })
})

function noDoubles(value: Json): boolean {
  try {
    fieldsOf({ schema }, value)
    return true
  } catch {
    return false
  }
}
