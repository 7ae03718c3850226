import { describe, expect, it } from 'vitest'
import type { FieldError } from './errors.ts'
import { semanticEqual, schemaEqual, equal } from './equal.ts'
import { canonicalIp, cidrContains, parseCidr } from './ip.ts'
import type { KubeObject, PartialObjectMeta } from './meta.ts'
import { kindSchema } from './meta.ts'
import {
  array,
  enumeration,
  int32,
  map,
  object,
  optional,
  quantity,
  required,
  type Schema,
  string,
  struct,
} from './schema.ts'
import { generateName, validateMeta, validateMetaUpdate } from './validate-meta.ts'
import { validateSchema } from './validate-schema.ts'
import {
  isCIdentifier,
  isConfigMapKey,
  isDns1035Label,
  isDns1123Label,
  isDns1123Subdomain,
  isEnvVarName,
  isHttpHeaderName,
  isQualifiedName,
  isValidIp,
  isValidLabelValue,
  isValidPercent,
  isValidPortName,
  isValidPortNumber,
  isWildcardDns1123Subdomain,
  utf8Length,
  validateCidr,
  validateIntOrPercent,
  validateLabelSelector,
} from './validation.ts'

const lines = (errors: readonly FieldError[]): string[] => errors.map((error) => `${error.field}: ${error.message}`)
const subdomainSentence =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
const labelSentence =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"

describe('validation', () => {
  it.each([
    [isDns1123Label, 'web-1', []],
    [isDns1123Label, 'Web', [labelSentence]],
    [isDns1123Label, 'a'.repeat(64), ['must be no more than 63 bytes']],
    [isDns1123Subdomain, 'a.b-c.d', []],
    [isDns1123Subdomain, 'a..b', [subdomainSentence]],
    [isDns1123Subdomain, `${'a'.repeat(254)}`, ['must be no more than 253 bytes']],
    [
      isDns1035Label,
      '1a',
      [
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
      ],
    ],
    [isWildcardDns1123Subdomain, '*.a.b', []],
    [isQualifiedName, 'app', []],
    [isQualifiedName, 'example.com/App_1.x', []],
    [
      isQualifiedName,
      '',
      [
        'name part must be non-empty',
        "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
      ],
    ],
    [isQualifiedName, '/a', ['prefix part must be non-empty']],
    [isValidLabelValue, '', []],
    [
      isValidLabelValue,
      'a b',
      [
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
      ],
    ],
    [isCIdentifier, 'A_b1', []],
    [isConfigMapKey, 'a.b_C-1', []],
    [isConfigMapKey, '..', ["must not be '..'"]],
    [isConfigMapKey, '..a', ["must not start with '..'"]],
    [isEnvVarName, 'a-b.c d', []],
    [isHttpHeaderName, 'X-A', []],
    [isValidPortName, 'http-1', []],
    [
      isValidPortName,
      '--',
      [
        'must contain at least one letter (a-z)',
        'must not contain consecutive hyphens',
        'must not begin or end with a hyphen',
      ],
    ],
    [isValidPercent, '10%', []],
    [isValidIp, '10.0.0.1', []],
    [isValidIp, '010.0.0.1', ['must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)']],
  ] as [(value: string) => readonly string[], string, string[]][])('%O of %j', (rule, value, wanted) => {
    expect(rule(value)).toEqual(wanted)
  })
  it('checks numbers and ranges', () => {
    expect(isValidPortNumber(0)).toEqual(['must be between 1 and 65535, inclusive'])
    expect(lines(validateIntOrPercent(-1, 'f'))).toEqual(['f: Invalid value: -1: must be greater than or equal to 0'])
    expect(lines(validateIntOrPercent('x', 'f'))).toEqual([
      `f: Invalid value: "x": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')`,
    ])
    expect(utf8Length('aé€😀')).toBe(new TextEncoder().encode('aé€😀').length)
  })
  it('is quick on long hostile names', () => {
    const hostile = `${'a'.repeat(3_000_000)}!`
    expect(isDns1123Subdomain(hostile)).toHaveLength(2)
    expect(isQualifiedName(hostile)).toHaveLength(2)
    expect(isValidLabelValue(hostile)).toHaveLength(2)
  })
  it('reads addresses', () => {
    expect(canonicalIp('2001:DB8:0:0:0:0:0:1')).toBe('2001:db8::1')
    expect(canonicalIp('::ffff:10.0.0.1')).toBe('::ffff:a00:1')
    expect(canonicalIp('::')).toBe('::')
    expect(canonicalIp('1::2::3')).toBeUndefined()
    expect(canonicalIp('1:2:3:4:5:6:7')).toBeUndefined()
    expect(canonicalIp('256.0.0.1')).toBeUndefined()
    expect(parseCidr('10.0.0.0/33')).toBeUndefined()
    expect(cidrContains('10.0.0.0/8', '10.1.0.0/16')).toBe(true)
    expect(cidrContains('10.0.0.0/8', '10.0.0.0/8')).toBe(false)
    expect(cidrContains('10.0.0.0/8', '10.2.3.4')).toBe(true)
    expect(cidrContains('10.0.0.0/8', '2001:db8::1')).toBe(false)
    expect(lines(validateCidr('x', 'f'))).toEqual([
      'f: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
    ])
  })
  it('checks label selectors', () => {
    const selector = {
      matchLabels: { '-': 'x' },
      matchExpressions: [
        { key: 'a', operator: 'In' },
        { key: 'b', operator: 'Exists', values: ['x'] },
        { key: 'c', operator: 'Like' },
      ],
    }
    expect(lines(validateLabelSelector(selector, 's')).slice(1)).toEqual([
      "s.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
      "s.matchExpressions[1].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
      's.matchExpressions[2].operator: Invalid value: "Like": not a valid selector operator',
    ])
  })
})

describe('metadata', () => {
  const namespaced = { namespaced: true }
  const check = (meta: PartialObjectMeta, kind: Parameters<typeof validateMeta>[0] = namespaced) =>
    lines(validateMeta(kind, { namespace: 'default', ...meta }))
  it.each([
    [{ name: 'web' }, []],
    [{}, ['metadata.name: Required value: name or generateName is required']],
    [{ name: 'Web' }, [`metadata.name: Invalid value: "Web": ${subdomainSentence}`]],
    [{ name: 'web', generateName: 'web-' }, []],
    [{ name: 'web', namespace: 'A' }, [`metadata.namespace: Invalid value: "A": ${labelSentence}`]],
    [{ name: 'web', namespace: '' }, ['metadata.namespace: Required value']],
    [
      { name: 'web', annotations: { a: 'x'.repeat(262144) } },
      ['metadata.annotations: Too long: may not be more than 262144 bytes'],
    ],
    [
      { name: 'web', finalizers: ['kubernetes', 'a.b/c', 'mine'] },
      [
        'metadata.finalizers[2]: Invalid value: "mine": name is neither a standard finalizer name nor is it fully qualified',
      ],
    ],
    [{ name: 'web', generation: -1 }, ['metadata.generation: Invalid value: -1: must be greater than or equal to 0']],
    [
      { name: 'web', ownerReferences: [{ apiVersion: 'apps/', kind: '', name: 'n', uid: 'u' }] },
      [
        'metadata.ownerReferences[0].apiVersion: Invalid value: "apps/": version must not be empty',
        'metadata.ownerReferences[0].kind: Invalid value: "": kind must not be empty',
      ],
    ],
    [
      {
        name: 'web',
        ownerReferences: ['a', 'b'].map((name) => ({ apiVersion: 'v1', kind: 'K', name, uid: name, controller: true })),
      },
      [
        expect.stringMatching(
          /^metadata.ownerReferences: Invalid value: .*: Only one reference can have Controller set to true. Found "true" in references for K\/a and K\/b$/,
        ),
      ],
    ],
    [
      { name: 'web', managedFields: [{ operation: 'X', fieldsType: 'Y' }] },
      [
        'metadata.managedFields[0].operation: Invalid value: "X": must be `Apply` or `Update`',
        'metadata.managedFields[0].fieldsType: Invalid value: "Y": must be `FieldsV1`',
      ],
    ],
  ] as [PartialObjectMeta, unknown[]][])('of %j', (meta, wanted) => expect(check(meta)).toEqual(wanted))
  it('knows other name rules and cluster scope', () => {
    expect(check({ name: 'system:node:x' }, { namespaced: true, nameRule: 'path-segment' })).toEqual([])
    expect(check({ name: 'a/b%' }, { namespaced: true, nameRule: 'path-segment' })).toEqual([
      `metadata.name: Invalid value: "a/b%": may not contain '/'`,
      `metadata.name: Invalid value: "a/b%": may not contain '%'`,
    ])
    expect(check({ name: 'a' }, { namespaced: false })).toEqual([
      'metadata.namespace: Forbidden: not allowed on this type',
    ])
  })
  it('generates names', () => {
    let seed = 0
    const random = () => (seed = (seed + 0.37) % 1)
    expect(generateName('web-', random)).toMatch(/^web-[bcdfghjklmnpqrstvwxz2456789]{5}$/)
    expect(generateName('x'.repeat(100), random)).toHaveLength(63)
  })
  it('guards updates', () => {
    const old = {
      name: 'web',
      namespace: 'default',
      uid: 'u',
      resourceVersion: '5',
      creationTimestamp: 't',
      generation: 2,
      deletionTimestamp: 'd',
      finalizers: ['a/b'],
    } as KubeObject['metadata']
    expect(validateMetaUpdate({ ...old, finalizers: [] }, old)).toEqual([])
    expect(
      lines(
        validateMetaUpdate(
          { ...old, name: 'x', uid: 'v', resourceVersion: '', generation: 1, finalizers: ['a/b', 'c/d'] },
          old,
        ),
      ),
    ).toEqual([
      'metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"c/d"}',
      'metadata.resourceVersion: Invalid value: "": must be specified for an update',
      'metadata.generation: Invalid value: 1: must not be decremented',
      'metadata.name: Invalid value: "x": field is immutable',
      'metadata.uid: Invalid value: "v": field is immutable',
    ])
  })
})

describe('schema validation', () => {
  const schema = kindSchema('x.v1.X', {
    spec: struct(
      2,
      object('x.v1.Spec', {
        items: required(
          1,
          array(
            object('x.v1.Item', {
              name: required(1, string()),
              note: required(2, string(), { mayBeEmpty: true }),
              policy: optional(3, enumeration('Always', 'Never')),
              count: required(4, int32()),
            }),
          ),
        ),
        fixed: optional(2, string(), { immutable: true }),
        ref: required(3, object('x.v1.Ref', {})),
        limits: optional(4, map(enumeration('a'))),
      }),
    ),
    status: struct(3, object('x.v1.Status', { phase: required(1, string()), state: optional(2, enumeration('Good')) })),
  })
  const base = { metadata: {}, spec: { items: [{ name: 'a', note: '', count: 0 }], ref: {} }, status: { phase: '' } }
  it('demands required fields and listed values', () => {
    expect(validateSchema(schema, base)).toEqual([])
    const bad = {
      ...base,
      spec: { items: [{ name: '', note: '', count: 0, policy: 'Sometimes' }], limits: { k: 'b' } },
      status: { phase: '', state: 'Bad' },
    }
    expect(lines(validateSchema(schema, bad))).toEqual([
      'spec.items[0].name: Required value',
      'spec.items[0].policy: Unsupported value: "Sometimes": supported values: "Always", "Never"',
      'spec.ref: Required value',
      'spec.limits[k]: Unsupported value: "b": supported values: "a"',
      'status.state: Unsupported value: "Bad": supported values: "Good"',
    ])
    expect(lines(validateSchema(schema, { ...base, spec: { items: [], ref: {} } }))).toEqual([
      'spec.items: Required value',
    ])
  })
  it('keeps immutable fields', () => {
    const next = { ...base, spec: { ...base.spec, fixed: 'y' } }
    expect(lines(validateSchema(schema, next, { ...base, spec: { ...base.spec, fixed: 'x' } }))).toEqual([
      'spec.fixed: Invalid value: "y": field is immutable',
    ])
    expect(validateSchema(schema, next)).toEqual([])
  })
  it('checks custom resources with their sentences, and ratchets', () => {
    const crd: Schema = {
      type: 'object',
      name: '',
      structural: true,
      fields: {
        size: required(0, { type: 'integer', format: 'int64', constraints: { minimum: 1, maximum: 9, multipleOf: 2 } }),
        mode: optional(0, { type: 'string', constraints: { enumValues: ['a', 'b'], pattern: '^[ab]$', minLength: 1 } }),
        when: optional(0, { type: 'string', constraints: { format: 'date-time', nullable: true } }),
        list: optional(0, array({ type: 'string' }, { listType: 'set' })),
        few: optional(0, {
          type: 'array',
          items: { type: 'integer', format: 'int64' },
          constraints: { maxItems: 1, minItems: 1 },
        }),
        either: optional(0, {
          type: 'any',
          constraints: { anyOf: [{ requiredKeys: ['x'] }, { requiredKeys: ['y'] }] },
        }),
        long: optional(0, { type: 'string', constraints: { maxLength: 2 } }),
      },
    }
    expect(
      lines(
        validateSchema(crd, {
          size: 'x',
          mode: 'c',
          when: 'now',
          list: ['p', 'q', 'p'],
          few: [],
          either: {},
          long: 'abc',
        }),
      ),
    ).toEqual([
      'size: Invalid value: "string": size in body must be of type integer: "string"',
      'mode: Invalid value: "c": mode in body should match \'^[ab]$\'',
      'mode: Unsupported value: "c": supported values: "a", "b"',
      'when: Invalid value: "now": when in body must be of type date-time: "now"',
      'list[2]: Duplicate value: "p"',
      'few: Invalid value: 0: few in body should have at least 1 items',
      'either: Invalid value: "": "either" must validate at least one schema (anyOf)',
      'either.x: Required value',
      'either.y: Required value',
      'long: Too long: may not be more than 2 bytes',
    ])
    expect(lines(validateSchema(crd, { few: [1, 2], when: null }))).toEqual([
      'size: Required value',
      'few: Too many: 2: must have at most 1 items',
    ])
    expect(lines(validateSchema(crd, { size: 11 }))).toEqual([
      'size: Invalid value: 11: size in body should be less than or equal to 9',
      'size: Invalid value: 11: size in body should be a multiple of 2',
    ])
    expect(validateSchema(crd, { size: 2, mode: 'c' }, { size: 4, mode: 'c' })).toEqual([])
  })
})

describe('equality', () => {
  it('tells what changed', () => {
    expect(equal({ a: [1, { b: null }] }, { a: [1, { b: null }] })).toBe(true)
    expect(equal({ a: undefined }, {})).toBe(true)
    expect(equal({ a: [] }, {})).toBe(false)
    expect(equal([], {})).toBe(false)
    expect(semanticEqual({ a: [] }, {})).toBe(true)
    expect(semanticEqual({ a: {} }, {})).toBe(false)
    expect(semanticEqual({ a: { b: [1] } }, { a: { b: [1], c: [] } })).toBe(true)
    const schema = object('x', {
      q: optional(1, quantity()),
      m: optional(2, map(string())),
      s: struct(3, object('y', { l: optional(1, array(string())) })),
      p: optional(4, object('z', {})),
    })
    expect(schemaEqual(schema, { q: '1', m: {}, s: { l: [] } }, { q: '1000m' })).toBe(true)
    expect(schemaEqual(schema, { p: {} }, {})).toBe(false)
    expect(schemaEqual(schema, { m: { a: '' } }, { m: {} })).toBe(false)
  })
})
