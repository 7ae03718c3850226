import { describe, expect, it } from 'vitest'
import { decode, DecodeError } from './decode.ts'
import { applyDefaults } from './defaults.ts'
import { kindSchema } from './meta.ts'
import {
  any,
  array,
  boolean,
  bytes,
  defaulted,
  double,
  enumeration,
  int32,
  int64,
  intOrString,
  lazy,
  map,
  object,
  optional,
  quantity,
  required,
  type Schema,
  string,
  struct,
} from './schema.ts'

const port = object('io.k8s.api.core.v1.ContainerPort', {
  containerPort: required(1, int32()),
  protocol: defaulted(2, enumeration('TCP', 'UDP'), 'TCP'),
  target: optional(3, intOrString()),
})
const container = object('io.k8s.api.core.v1.Container', {
  name: required(1, string()),
  image: optional(2, string()),
  ports: optional(3, array(port, { listType: 'map', listMapKeys: ['containerPort'] })),
  limits: optional(4, map(quantity())),
  resources: struct(5, object('io.k8s.api.core.v1.Resources', { claims: optional(1, array(string())) })),
  periodSeconds: defaulted(6, int32(), 10, { omitZero: true }),
  uid: optional(7, int64()),
})
const podSpec = object('io.k8s.api.core.v1.PodSpec', {
  containers: required(1, array(container)),
  hostNetwork: optional(2, boolean()),
  ratio: optional(3, double()),
  selector: optional(4, map(string())),
  extra: optional(5, any()),
  secret: optional(6, bytes()),
})
const pod = kindSchema('io.k8s.api.core.v1.Pod', { spec: struct(2, podSpec) })
const make = (spec: unknown, metadata: unknown = {}) =>
  decode<Record<string, never>>(pod, { kind: 'Pod', metadata, spec })

describe('decode', () => {
  it('builds a fresh object with structs filled and nulls dropped', () => {
    const { value, unknownFields } = make({ containers: [{ name: 'a', image: null, periodSeconds: 0 }] })
    expect(value).toEqual({
      kind: 'Pod',
      metadata: {},
      spec: { containers: [{ name: 'a', resources: {} }] },
    })
    expect(unknownFields).toEqual([])
    expect(decode(pod, {}).value).toEqual({ metadata: {}, spec: { containers: [] } })
  })
  it('fills required scalars with zeros and nulls in lists with zero values', () => {
    expect(make({ containers: [null, { ports: [{}] }], selector: { a: null } }).value).toMatchObject({
      spec: {
        containers: [{ name: '', resources: {} }, { ports: [{ containerPort: 0 }] }],
        selector: { a: '' },
      },
    })
  })
  it('reports unknown fields by path, in order, and prunes them', () => {
    const { value, unknownFields } = make(
      {
        containers: [
          { name: 'a', images: 1 },
          { name: 'b', resources: { x: { y: 1 } } },
        ],
        Containers: [],
      },
      { Labels: {} },
    )
    expect(unknownFields).toEqual([
      'metadata.Labels',
      'spec.containers[0].images',
      'spec.containers[1].resources.x',
      'spec.Containers',
    ])
    expect(value.spec).toEqual({
      containers: [
        { name: 'a', resources: {} },
        { name: 'b', resources: {} },
      ],
    })
  })
  it('drops empty strings that mean nothing', () => {
    expect(make({ containers: [] }, { name: '', namespace: '', resourceVersion: '', uid: '' }).value.metadata).toEqual(
      {},
    )
  })
  it('brings quantities, times and base64 into canonical form', () => {
    const { value } = make(
      { containers: [{ limits: { cpu: 0.5, memory: '1024Mi', pods: '1000m' } }], secret: 'aGVs\nbG8=' },
      { creationTimestamp: '2026-01-01T01:00:00.5+01:00' },
    )
    expect(value).toMatchObject({
      metadata: { creationTimestamp: '2026-01-01T00:00:00Z' },
      spec: { secret: 'aGVsbG8=', containers: [{ limits: { cpu: '500m', memory: '1Gi', pods: '1' } }] },
    })
  })
  it.each([
    [
      { containers: 'x' },
      'json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container',
    ],
    [
      { containers: ['x'] },
      'json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type v1.Container',
    ],
    [
      { containers: [{ name: 1 }] },
      'json: cannot unmarshal number into Go struct field Container.spec.containers.name of type string',
    ],
    [
      { containers: [{ uid: 1.5 }] },
      'json: cannot unmarshal number 1.5 into Go struct field Container.spec.containers.uid of type int64',
    ],
    [
      { containers: [{ ports: [{ containerPort: 4294967296 }] }] },
      'json: cannot unmarshal number 4294967296 into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32',
    ],
    [
      { containers: [{ ports: [{ target: true }] }] },
      'json: cannot unmarshal bool into Go struct field ContainerPort.spec.containers.ports.target of type int32',
    ],
    [
      { containers: [{ limits: [] }] },
      'json: cannot unmarshal array into Go struct field Container.spec.containers.limits of type map[string]resource.Quantity',
    ],
    [
      { hostNetwork: 'true' },
      'json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type bool',
    ],
    [{ selector: { a: 1 } }, 'json: cannot unmarshal number into Go struct field PodSpec.spec.selector of type string'],
    [{ ratio: 'x' }, 'json: cannot unmarshal string into Go struct field PodSpec.spec.ratio of type float64'],
    [[], 'json: cannot unmarshal array into Go struct field Pod.spec of type v1.PodSpec'],
    [
      { containers: [{ limits: { cpu: 'x' } }] },
      "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    ],
    [
      { containers: [{ limits: { cpu: {} } }] },
      "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    ],
    [{ secret: 'a*==' }, 'illegal base64 data at input byte 1'],
    [{ secret: 'abc' }, 'illegal base64 data at input byte 0'],
  ])('refuses %j', (spec, message) => {
    expect(() => make(spec)).toThrow(new DecodeError(message))
  })
  it('keeps hostile keys harmless', () => {
    const hostile = JSON.parse(
      '{"containers":[],"selector":{"__proto__":"x"},"extra":{"__proto__":{"polluted":1}},"__proto__":1}',
    )
    const { value, unknownFields } = make(hostile)
    expect(unknownFields).toEqual(['spec.__proto__'])
    expect(JSON.stringify(value.spec)).toBe(
      '{"containers":[],"selector":{"__proto__":"x"},"extra":{"__proto__":{"polluted":1}}}',
    )
    expect(({} as { polluted?: number }).polluted).toBeUndefined()
  })
  it('refuses what nests too deep', () => {
    let deep: unknown = 1
    for (let i = 0; i < 10_000; i++) deep = [deep]
    expect(() => make({ containers: [], extra: deep })).toThrow('exceeded max depth')
    const tree: Schema = object('x.v1.Tree', {
      child: optional(
        1,
        lazy(() => tree),
      ),
    })
    let nested: unknown = {}
    for (let i = 0; i < 10_000; i++) nested = { child: nested }
    expect(() => decode(tree, nested)).toThrow('exceeded max depth')
    expect(decode(tree, { child: { child: { leaf: 1 } } })).toEqual({
      value: { child: { child: {} } },
      unknownFields: ['child.child.leaf'],
    })
  })
  it('does not keep or change its input', () => {
    const input = { kind: 'Pod', spec: { containers: [], extra: { a: [1] } } }
    const text = JSON.stringify(input)
    const { value } = decode<{ spec: { extra: { a: number[] } } }>(pod, input)
    value.spec.extra.a.push(2)
    expect(JSON.stringify(input)).toBe(text)
  })
  it('leaves custom resources to validation', () => {
    const crd = {
      type: 'object',
      name: '',
      structural: true,
      fields: {
        size: { ...required(0, int32()) },
        note: { ...optional(0, { ...string(), constraints: { nullable: true } }) },
        level: { ...defaulted(0, int32(), 3) },
        list: { ...optional(0, array({ type: 'object', name: '', structural: true, fields: {} } as Schema)) },
      },
    } as const satisfies Schema
    const { value, unknownFields } = decode(crd, {
      size: 'big',
      note: null,
      level: null,
      list: [{ x: 1 }, 'y'],
      gone: 1,
    })
    expect(value).toEqual({ size: 'big', note: null, list: [{}, 'y'] })
    expect(unknownFields).toEqual(['list[0].x', 'gone'])
    applyDefaults(crd, value)
    expect(value).toMatchObject({ level: 3 })
  })
})

describe('defaults', () => {
  it('fills absent, zero and empty values at every depth', () => {
    const { value } = make({
      containers: [{ ports: [{ containerPort: 1 }, { protocol: '' }, { protocol: 'UDP' }], periodSeconds: 0 }],
    })
    applyDefaults(pod, value)
    expect(value.spec).toEqual({
      containers: [
        {
          name: '',
          resources: {},
          periodSeconds: 10,
          ports: [
            { containerPort: 1, protocol: 'TCP' },
            { containerPort: 0, protocol: 'TCP' },
            { containerPort: 0, protocol: 'UDP' },
          ],
        },
      ],
    })
  })
  it('never shares a default object', () => {
    const schema = object('x.v1.X', { list: defaulted(1, array(string()), ['a']) })
    const [one, two] = [{}, {}] as { list?: string[] }[]
    applyDefaults(schema, one)
    one?.list?.push('b')
    applyDefaults(schema, two)
    expect(two).toEqual({ list: ['a'] })
  })
})
