// Requests that no well-meaning client sends, and some that it nearly would: a function of the seed. Bodies of every kind by
// its schema, broken JSON, YAML and protobuf, patches of every type, selectors, watch parameters, paths and headers.
import fc from 'fast-check'
import type { Kind } from '../../api/machinery/kind.ts'
import { encodeProtobuf } from '../../api/machinery/protobuf.ts'
import type { Json } from '../../api/machinery/schema.ts'
import { arbitraryOf } from '../../api/machinery/testing/arbitrary.ts'
import type { ApiRequest } from '../request.ts'

export interface HostileRequest {
  readonly method: ApiRequest['method']
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: Uint8Array
}

const encoder = new TextEncoder()
const utf8 = (text: string): Uint8Array => encoder.encode(text)
const namespace = 'default'
const name = fc.oneof(
  { arbitrary: fc.constantFrom('a', 'b', 'web-0', 'x.y.z'), weight: 6 },
  {
    arbitrary: fc.constantFrom('', '.', '..', 'A', '-', 'a/b', 'a%2fb', 'é', '\u0000', 'x'.repeat(300), '__proto__'),
    weight: 1,
  },
)
const path = (kind: Kind, object?: string): string => {
  const root = kind.group === '' ? `/api/${kind.version}` : `/apis/${kind.group}/${kind.version}`
  const scope = kind.namespaced ? `${root}/namespaces/${namespace}` : root
  return `${scope}/${kind.plural}${object === undefined ? '' : `/${encodeURIComponent(object)}`}`
}

// Values

const oddValue: fc.Arbitrary<Json> = fc.oneof(
  fc.constantFrom<Json>(null, '', 0, -1, 1e21, 1.5, true, [], {}, [[]], [null], { '': '' }, 'x'.repeat(70_000)),
  fc.jsonValue({ maxDepth: 4 }) as fc.Arbitrary<Json>,
  fc.constantFrom<Json>(
    { $patch: 'delete' },
    { $patch: 'replace' },
    { $retainKeys: ['a'] },
    { '$setElementOrder/a': [] },
  ),
)
const fieldNames = [
  'metadata',
  'spec',
  'status',
  'data',
  'labels',
  'annotations',
  'name',
  'containers',
  'template',
  'selector',
  'ownerReferences',
  'finalizers',
  'managedFields',
  'generateName',
  'uid',
  'resourceVersion',
  'deletionTimestamp',
  'kind',
  'apiVersion',
  '0',
  '__proto__',
  'constructor',
]
const bodyOf = (() => {
  const made = new Map<Kind, fc.Arbitrary<Json>>()
  return (kind: Kind): fc.Arbitrary<Json> => {
    let arbitrary = made.get(kind)
    if (arbitrary === undefined) {
      arbitrary = fc
        .tuple(
          arbitraryOf(kind.schema),
          name,
          fc.option(fc.tuple(fc.constantFrom(...fieldNames), fc.constantFrom(...fieldNames), oddValue)),
        )
        .map(([value, called, change]) => {
          const { metadata: _metadata, ...rest } = value as Record<string, Json>
          const object: Record<string, Json> = {
            ...rest,
            apiVersion: kind.group === '' ? kind.version : `${kind.group}/${kind.version}`,
            kind: kind.kind,
            metadata: { name: called, labels: { app: called } },
          }
          if (change === null) return object
          const [outer, inner, odd] = change
          const old = object[outer]
          const members =
            typeof old === 'object' && old !== null && !Array.isArray(old) ? Object.entries(old) : undefined
          const changed = members === undefined ? odd : Object.fromEntries([...members, [inner, odd]])
          return { ...object, [outer]: changed as Json }
        })
      made.set(kind, arbitrary)
    }
    return arbitrary
  }
})()

// Texts that are no objects

const deep = (open: string, close: string, depth: number): string => open.repeat(depth) + close.repeat(depth)
const rawJson = fc.oneof(
  fc.constantFrom(
    '',
    '{',
    '[',
    'null',
    '"',
    '1',
    '{}',
    '[]',
    '{"a":1,"a":2}',
    '{"metadata":{"name":"a","name":"b"},"metadata":{}}',
    '\ufeff{}',
    '{}x',
    '{"kind":1}',
    '{"kind":"Pod","apiVersion":{}}',
    '{"metadata":{"name":"\\ud800"}}',
    '{"metadata":{"name":"a\\u0000b"}}',
    '{"spec":{"replicas":1e999}}',
    '{"spec":{"replicas":-9223372036854775809}}',
    '{"spec":{"replicas":0.1}}',
    `{"data":{"k":${'9'.repeat(5000)}}}`,
  ),
  fc
    .constantFrom(10, 1000, 10_000, 100_000)
    .chain((depth) =>
      fc.constantFrom(
        deep('[', ']', depth),
        '['.repeat(depth),
        `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`,
        `{"metadata":{"name":"a"},"spec":${'{"spec":'.repeat(depth)}{}${'}'.repeat(depth)}}`,
        `{"metadata":{"annotations":${deep('[', ']', depth)}}}`,
      ),
    ),
  fc.string({ maxLength: 60 }),
  fc.json({ maxDepth: 6 }),
)
const bomb = (levels: number, width: number): string =>
  Array.from({ length: levels }, (_, i) =>
    i === 0 ? 'a0: &a0 [x]' : `a${i}: &a${i} [${Array.from({ length: width }, () => `*a${i - 1}`).join(',')}]`,
  ).join('\n')
const rawYaml = fc.oneof(
  fc.constantFrom(
    'a: &a [*a]',
    'a: *b',
    'a: b: c',
    '- \t- x',
    '--- 1\n--- 2',
    '{a: 1, a: 2}',
    '? [a, b]\n: c',
    '!!binary x',
    'a: !!js/function x',
    '<<: {a: 1}',
    'a: &x {b: *x}',
    '%YAML 9.9\n---\na',
    'a: |\n  x\n y',
    '\u0000',
    'y: n\non: off',
    '1: 2\n1.0: 3',
    'metadata: {name: 012}',
    '"\\ud800": 1',
  ),
  fc.tuple(fc.constantFrom(5, 10, 30), fc.constantFrom(2, 10)).map(([levels, width]) => bomb(levels, width)),
  fc.constantFrom(1000, 10_000).map((depth) => deep('[', ']', depth)),
  fc.constantFrom(500, 2000).map((depth) => Array.from({ length: depth }, (_, i) => `${' '.repeat(i)}a:`).join('\n')),
  fc.string({ maxLength: 60 }),
)
const invalidUtf8 = fc
  .tuple(
    fc.constantFrom('{"metadata":{"name":"a', '{"data":{"k":"', '{"'),
    fc.uint8Array({ minLength: 1, maxLength: 6 }),
    fc.constantFrom('"}}', '":1}', ''),
  )
  .map(([before, bytes, after]) => Uint8Array.from([...utf8(before), ...bytes, 0xc3, 0x28, ...utf8(after)]))
const large = fc
  .tuple(fc.constantFrom(3_000_000, 3_145_728, 3_145_729, 4_000_000), fc.constantFrom('x', '[', '{"a":', '"', ' '))
  .map(([size, piece]) =>
    utf8(
      `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"big"},"data":{"k":"${piece
        .replaceAll('"', '')
        .repeat(size)
        .slice(0, size - 80)}"}}`,
    ),
  )

const protobufOf = (kind: Kind): fc.Arbitrary<Uint8Array> =>
  fc.oneof(
    fc
      .tuple(bodyOf(kind), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }), fc.nat(30))
      .map(([object, flips, cut]) => {
        let bytes: Uint8Array
        try {
          bytes = encodeProtobuf(kind.schema, object as { apiVersion: string; kind: string })
        } catch {
          // Not every odd value has a form on the wire: then the magic number alone will do.
          bytes = Uint8Array.from([0x6b, 0x38, 0x73, 0])
        }
        const out = bytes.slice(0, Math.max(0, bytes.length - (cut < 10 ? cut : 0)))
        for (const [at, value] of flips) if (out.length > 0) out[at % out.length] = value
        return out
      }),
    fc.uint8Array({ maxLength: 80 }).map((bytes) => Uint8Array.from([0x6b, 0x38, 0x73, 0, ...bytes])),
    fc.constant(Uint8Array.from([0x6b, 0x38, 0x73, 0, ...Array.from({ length: 5000 }, () => 0x0a)])),
  )

// Patches

const pointer = fc.oneof(
  fc
    .array(fc.constantFrom(...fieldNames, '-', '~0', '~1', '~2', ''), { maxLength: 4 })
    .map((parts) => parts.map((p) => `/${p}`).join('')),
  fc.constantFrom(
    '',
    '/',
    '/data/k',
    '/metadata/labels/app',
    '/metadata/name',
    '/spec/containers/99999999999',
    '/spec/containers/-1',
    'data',
  ),
)
const jsonPatch = fc.oneof(
  fc.array(
    fc.record(
      {
        op: fc.constantFrom('add', 'remove', 'replace', 'move', 'copy', 'test', 'x'),
        path: pointer,
        from: pointer,
        value: oddValue,
      },
      { requiredKeys: ['op'] },
    ),
    { maxLength: 6 },
  ),
  // Doubles what is there, again and again.
  fc
    .constantFrom(5, 25, 40)
    .map((times) =>
      Array.from({ length: times }, (_, i) => ({ op: 'copy', from: '/metadata', path: `/metadata/annotations/a${i}` })),
    ),
  fc.constant(Array.from({ length: 10_001 }, () => ({ op: 'test', path: '/kind', value: 'x' }))),
  oddValue,
)
const mergePatch = fc.oneof(
  fc
    .tuple(fc.constantFrom(...fieldNames), fc.constantFrom(...fieldNames), oddValue)
    .map(([outer, inner, value]) => ({ [outer]: { [inner]: value } })),
  oddValue,
  fc.constantFrom<Json>(
    { data: { k: null } },
    { metadata: { finalizers: null } },
    { metadata: { ownerReferences: [{ $patch: 'delete', uid: 'x' }] } },
    { spec: { containers: [{ $patch: 'delete' }, { name: 'c', $patch: 'x' }] } },
    { spec: { '$setElementOrder/containers': [{ name: 'q' }, 1], containers: [{ name: 'c', image: 1 }] } },
    { '$deleteFromPrimitiveList/finalizers': 5 },
  ),
)

// Queries

const selector = fc.oneof(
  fc
    .array(
      fc.constantFrom(
        'a',
        'app',
        '=',
        '==',
        '!=',
        '!',
        ' in ',
        ' notin ',
        '(',
        ')',
        ',',
        '>',
        '<',
        '1',
        'x/y',
        '/',
        'metadata.name',
        'spec.nodeName',
        'status.phase',
        '\\',
        '\\,',
        '\\x',
        'é',
        ' ',
      ),
      { maxLength: 8 },
    )
    .map((parts) => parts.join('')),
  fc.string({ maxLength: 20 }),
  fc.constant(Array.from({ length: 5000 }, (_, i) => `k${i}=v`).join(',')),
)
const number = fc.constantFrom('0', '1', '2', '-1', '', 'x', '1e3', '99999999999999999999', '1.5', 'NaN')
const truth = fc.constantFrom('true', 'false', '1', '0', '', 'x')
const continuation = fc.oneof(
  fc.constantFrom(
    '',
    'x',
    'e30',
    btoa('{"v":"meta.k8s.io/v1","rv":-1,"start":"x"}'),
    btoa('{"v":"meta.k8s.io/v1","rv":1,"start":"../../x"}'),
    btoa('[]'),
  ),
  fc.uint8Array({ maxLength: 20 }).map((bytes) => btoa(String.fromCharCode(...bytes))),
)
const query = fc
  .record(
    {
      labelSelector: selector,
      fieldSelector: selector,
      limit: number,
      continue: continuation,
      resourceVersion: number,
      resourceVersionMatch: fc.constantFrom('Exact', 'NotOlderThan', '', 'x'),
      timeoutSeconds: number,
      watch: truth,
      allowWatchBookmarks: truth,
      sendInitialEvents: truth,
      dryRun: fc.constantFrom('All', '', 'x'),
      fieldManager: fc.constantFrom('m', '', 'x'.repeat(200), '\u0007'),
      force: truth,
      fieldValidation: fc.constantFrom('Ignore', 'Warn', 'Strict', '', 'x'),
      gracePeriodSeconds: number,
      propagationPolicy: fc.constantFrom('Orphan', 'Background', 'Foreground', 'x', ''),
      orphanDependents: truth,
      includeObject: fc.constantFrom('None', 'Metadata', 'Object', 'x'),
      pretty: truth,
    },
    { requiredKeys: [] },
  )
  .map((params) => new URLSearchParams(Object.entries(params).slice(0, 5)).toString())
const oddQuery = fc.oneof(
  { arbitrary: fc.constant(''), weight: 3 },
  { arbitrary: query.map((q) => `?${q}`), weight: 2 },
  { arbitrary: fc.constantFrom('?%', '?%zz=1', '?a=%ff', '?=&&&=', '?limit'), weight: 1 },
)
const accept = fc.oneof(
  { arbitrary: fc.constant('application/json'), weight: 6 },
  {
    arbitrary: fc.constantFrom(
      'application/json',
      'application/yaml',
      'application/vnd.kubernetes.protobuf',
      'application/json;as=Table;v=v1;g=meta.k8s.io',
      'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io',
      'application/json;as=x',
      '*/*',
      '',
      ';;,',
      'text/html',
      'application/json;q=x, */*;q=',
    ),
    weight: 2,
  },
)

const patchTypes = [
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
  'application/apply-patch+yaml',
  'text/x',
] as const
const pathPiece = fc.constantFrom(
  'api',
  'apis',
  'v1',
  'apps',
  'namespaces',
  'default',
  'pods',
  'a',
  'status',
  'scale',
  'log',
  'exec',
  'proxy',
  'watch',
  '',
  '.',
  '..',
  '%2e%2e',
  '%00',
  '%ff',
  '%',
  '%zz',
  'é',
  'openapi',
  'v3',
  'healthz',
  'x'.repeat(5000),
)

function requestOf(kinds: readonly Kind[]): fc.Arbitrary<HostileRequest> {
  // Objects that are there are more interesting to patch than those that are not.
  const everyday = kinds.filter(({ plural }) => ['configmaps', 'services', 'deployments', 'secrets'].includes(plural))
  const kind = fc.oneof(fc.constantFrom(...kinds), fc.constantFrom(...(everyday.length > 0 ? everyday : kinds)))
  const json = (body: Json | object): Uint8Array => utf8(JSON.stringify(body))
  const writes = kind.chain((k) =>
    fc
      .tuple(
        fc.constantFrom('POST' as const, 'PUT' as const),
        name,
        oddQuery,
        accept,
        fc.oneof(
          { arbitrary: bodyOf(k).map((b) => ['application/json', json(b)] as const), weight: 12 },
          { arbitrary: bodyOf(k).map((b) => ['application/yaml', json(b)] as const), weight: 1 },
          { arbitrary: rawJson.map((b) => ['application/json', utf8(b)] as const), weight: 3 },
          { arbitrary: rawYaml.map((b) => ['application/yaml', utf8(b)] as const), weight: 3 },
          { arbitrary: invalidUtf8.map((b) => ['application/json', b] as const), weight: 1 },
          { arbitrary: protobufOf(k).map((b) => ['application/vnd.kubernetes.protobuf', b] as const), weight: 3 },
        ),
      )
      .map(
        ([method, object, q, accepted, [type, body]]): HostileRequest => ({
          method,
          path: path(k, method === 'POST' ? undefined : object) + q,
          headers: { accept: accepted, 'content-type': type },
          body,
        }),
      ),
  )
  const patches = fc
    .tuple(kind, name, oddQuery, fc.constantFrom(...patchTypes), fc.constantFrom('', '', '', '/status', '/scale', '/x'))
    .chain(([k, object, q, type, sub]) => {
      const value = type.startsWith('application/json-patch')
        ? jsonPatch
        : type.includes('apply')
          ? bodyOf(k)
          : mergePatch
      return fc
        .oneof(
          { arbitrary: value.map((v) => json(v as Json)), weight: 8 },
          { arbitrary: rawJson.map(utf8), weight: 1 },
          { arbitrary: rawYaml.map(utf8), weight: 1 },
        )
        .map(
          (body): HostileRequest => ({
            method: 'PATCH',
            path: path(k, object) + sub + q,
            headers: { 'content-type': type },
            body,
          }),
        )
    })
  const reads = fc
    .tuple(
      kind,
      fc.option(name),
      oddQuery,
      accept,
      fc.constantFrom('GET' as const, 'GET' as const, 'GET' as const, 'DELETE' as const, 'HEAD' as const),
    )
    .map(
      ([k, object, q, accepted, method]): HostileRequest => ({
        method,
        path: path(k, object ?? undefined) + q,
        headers: { accept: accepted },
      }),
    )
  const paths = fc
    .tuple(
      fc.array(pathPiece, { maxLength: 9 }),
      oddQuery,
      fc.constantFrom(
        'GET' as const,
        'POST' as const,
        'PUT' as const,
        'PATCH' as const,
        'DELETE' as const,
        'OPTIONS' as const,
        'HEAD' as const,
      ),
    )
    .map(([parts, q, method]): HostileRequest => ({ method, path: `/${parts.join('/')}${q}`, headers: {} }))
  const headers = fc
    .tuple(
      kind,
      fc.constantFrom(
        'authorization',
        'impersonate-user',
        'impersonate-extra-%zz',
        'impersonate-group',
        'accept',
        'content-type',
        'if-none-match',
        'audit-id',
      ),
      fc.oneof(
        fc.constantFrom('Bearer', 'Bearer x', 'Bearer a.b.c', 'Bearer e30.e30.e30', 'Basic x', '%', 'a'.repeat(10_000)),
        fc.string({ maxLength: 20 }),
      ),
    )
    .map(([k, header, value]): HostileRequest => ({ method: 'GET', path: path(k), headers: { [header]: value } }))
  const oversize = fc
    .tuple(
      fc.constantFrom('POST' as const, 'PATCH' as const),
      fc.constantFrom('application/json', 'application/yaml', ...patchTypes),
      large,
    )
    .map(
      ([method, type, body]): HostileRequest => ({
        method,
        path: method === 'POST' ? '/api/v1/namespaces/default/configmaps' : '/api/v1/namespaces/default/configmaps/a',
        headers: { 'content-type': type },
        body,
      }),
    )
  return fc.oneof(
    { arbitrary: writes, weight: 400 },
    { arbitrary: patches, weight: 300 },
    { arbitrary: reads, weight: 200 },
    { arbitrary: paths, weight: 60 },
    { arbitrary: headers, weight: 30 },
    { arbitrary: oversize, weight: 2 },
  )
}

/** `count` requests; the same for the same seed. */
export function* hostileRequests(kinds: readonly Kind[], seed: number, count: number): Iterable<HostileRequest> {
  const arbitrary = requestOf(kinds)
  const batch = 200
  for (let done = 0; done < count; done += batch) {
    yield* fc.sample(arbitrary, { seed: seed + done, numRuns: Math.min(batch, count - done) })
  }
}
