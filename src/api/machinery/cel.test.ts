import { tests } from '@bufbuild/cel-spec/testdata/conformance.js'
import { describe, expect, it } from 'vitest'
import { type CelAnswer, compileCel } from './cel.ts'
import { planCel } from './cel/evaluate.ts'
import { extensionFunctions } from './cel/extensions.ts'
import { type Overload, standardFunctions } from './cel/functions.ts'
import { validateRules } from './cel/rules.ts'
import { parseCel } from './cel/syntax.ts'
import * as t from './cel/types.ts'
import {
  CelError,
  Duration,
  equals,
  fromJson,
  ListValue,
  MapValue,
  parseTimestamp,
  toJson,
  TypeValue,
  typeName,
  Uint,
  type Value,
} from './cel/values.ts'
import { array, int32, map, object, optional, type Schema, string, type ValidationRule } from './schema.ts'

type Data = Readonly<Record<string, unknown>>
type Suite = (typeof tests)['suites'] extends readonly (infer S)[] | undefined ? S : never

/** Protobuf messages, enums and container resolution are no part of CEL in Kubernetes, nor is the math extension. */
const skippedSuites = [
  'proto2',
  'proto2_ext',
  'proto3',
  'enums',
  'wrappers',
  'dynamic',
  'math_ext',
  'block_ext',
  'namespace',
  'type_deductions',
]
const skipped = /TestAllTypes|google\.protobuf\.(?!Timestamp|Duration)|NestedEnum|cel\.expr\.|optional_type\(/

function valueOf(data: Data | undefined): Value | undefined {
  const [kind = '', x] = Object.entries(data ?? {})[0] ?? []
  switch (kind) {
    case 'int64Value':
      return BigInt(x as string)
    case 'uint64Value':
      return new Uint(BigInt(x as string))
    case 'doubleValue':
      return Number(x)
    case 'bytesValue':
      return Uint8Array.from(atob(x as string), (c) => c.charCodeAt(0))
    case 'stringValue':
    case 'boolValue':
    case 'nullValue':
      return kind === 'nullValue' ? null : (x as Value)
    case 'typeValue':
      return new TypeValue(x as string)
    case 'listValue':
      return new ListValue(((x as { values?: Data[] }).values ?? []).map((item) => valueOf(item) as Value))
    case 'mapValue': {
      const entries = (x as { entries?: { key: Data; value: Data }[] }).entries ?? []
      return new MapValue(entries.map(({ key, value }) => [valueOf(key) as Value, valueOf(value) as Value] as const))
    }
    case 'objectValue': {
      const { '@type': type, value } = x as { '@type': string; value: string }
      if (type.endsWith('.Timestamp')) return parseTimestamp(value)
      return type.endsWith('.Duration') ? new Duration(BigInt(Math.round(Number(value.slice(0, -1)) * 1e9))) : undefined
    }
    default:
      return undefined
  }
}
/** Equal, and of the same types at every depth. */
function same(a: Value, b: Value): boolean {
  if (typeof a === 'number' && Number.isNaN(a)) return typeof b === 'number' && Number.isNaN(b)
  if (typeName(a) !== typeName(b)) return false
  if (a instanceof ListValue && b instanceof ListValue) {
    return a.size === b.size && Array.from({ length: a.size }, (_, i) => same(a.at(i), b.at(i))).every(Boolean)
  }
  if (a instanceof MapValue && b instanceof MapValue) {
    return (
      a.size === b.size &&
      a.keys().every((key) => b.get(key) !== undefined && same(a.get(key) as Value, b.get(key) as Value))
    )
  }
  return equals(a, b)
}
const functions = new Map<string, Overload[]>()
for (const overload of [...standardFunctions, ...extensionFunctions]) {
  functions.set(overload.name, [...(functions.get(overload.name) ?? []), overload])
}
/** Runs without types, as tests with disableCheck ask for. */
function unchecked(source: string, variables: ReadonlyMap<string, Value>): Value | CelError {
  try {
    return planCel(parseCel(source), functions, new Set(variables.keys()))({ variables, locals: [], budget: 1e7 })
  } catch (error) {
    return new CelError((error as Error).message)
  }
}

const outcome = (answer: CelAnswer): Value | CelError => (answer.ok ? answer.value : new CelError(answer.error))

describe('the CEL specification', () => {
  let ran = 0
  const run = (suite: Suite): string[] => {
    const failures = (suite.suites ?? []).flatMap((inner) => run(inner as Suite))
    for (const { original, error } of suite.tests ?? []) {
      const {
        expr,
        value,
        evalError,
        bindings = {},
        typeEnv = [],
        container,
        disableCheck,
      } = original as unknown as {
        expr: string
        value?: Data
        evalError?: unknown
        bindings?: Record<string, { value: Data }>
        typeEnv?: { name: string }[]
        container?: string
        disableCheck?: boolean
      }
      const wanted = valueOf(value)
      const names = [...Object.keys(bindings), ...typeEnv.map(({ name }) => name)]
      if (container !== undefined || skipped.test(expr) || (value !== undefined && wanted === undefined)) continue
      if (names.some((name) => name.includes('.')) || JSON.stringify(value ?? '').includes('enumValue')) continue
      const variables = Object.fromEntries(
        Object.entries(bindings).map(([name, bound]) => [name, valueOf(bound.value)] as const),
      )
      if (Object.values(variables).includes(undefined)) continue
      ran++
      const made = compileCel(expr, { variables: Object.fromEntries(names.map((name) => [name, t.dyn])) })
      const bound = variables as Record<string, Value>
      const result =
        disableCheck === true
          ? unchecked(expr, new Map(Object.entries(bound)))
          : made.ok
            ? outcome(made.program.run(bound, 1e7))
            : new CelError(made.error)
      const mustFail = evalError !== undefined || (value === undefined && error !== undefined)
      const right = mustFail
        ? result instanceof CelError
        : !(result instanceof CelError) && (wanted === undefined || same(result, wanted))
      if (!right)
        failures.push(
          `${expr}: ${result instanceof CelError ? result.message : typeName(result)}, wanted ${JSON.stringify(value)}`,
        )
    }
    return failures
  }
  it.each(
    (tests.suites ?? [])
      .filter(({ name }) => !skippedSuites.includes(name))
      .map((suite) => [suite.name, suite] as const),
  )('%s', (_, suite) => expect(run(suite as Suite).join('\n')).toBe(''))
  it('was not skipped', () => expect(ran).toBeGreaterThan(1200))
})

const evaluate = (source: string, variables: Record<string, Value> = {}): unknown => {
  const made = compileCel(source, {
    variables: Object.fromEntries(Object.keys(variables).map((name) => [name, t.dyn])),
  })
  if (!made.ok) return made.error
  const answer = made.program.run(variables)
  return answer.ok ? toJson(answer.value) : `error: ${answer.error}`
}

describe('the libraries of Kubernetes', () => {
  it.each([
    ['[1, 2, 3].sum() == 6 && [3, 1].min() == 1 && ["a", "b"].isSorted()', true],
    ['"abc 123".find("[0-9]+")', '123'],
    ['"123 abc 456".findAll("[0-9]+", 1)', ['123']],
    ['url("https://user:pass@example.com:80/path%20with?a=1&a=2#f").getHost()', 'example.com:80'],
    ['url("https://example.com:80/p").getPort()', '80'],
    ['url("https://[::1]:80/p").getHostname()', '::1'],
    ['url("/absolute/path").getHost()', ''],
    ['url("https://a/?k=1&k=2").getQuery()["k"]', ['1', '2']],
    ['isURL("https://a b") || isURL("../relative")', false],
    ['ip("192.168.0.1").family()', 4],
    ['ip("fe80::1").isLinkLocalUnicast() && ip("127.0.0.1").isLoopback() && ip("8.8.8.8").isGlobalUnicast()', true],
    ['ip.isCanonical("2001:DB8::1")', false],
    ['cidr("10.0.0.0/8").containsIP("10.1.2.3") && !cidr("10.0.0.0/8").containsCIDR("10.0.0.0/7")', true],
    ['string(cidr("10.1.2.3/8").masked())', '10.0.0.0/8'],
    ['quantity("1Gi").isGreaterThan(quantity("1G")) && quantity("50k").add(20).asInteger() == 50020', true],
    ['quantity("1500m").isInteger()', false],
    ['isQuantity("1x")', false],
    ['quantity("x").sign()', expect.stringContaining('error: quantities must match')],
    ['format.dns1123Label().validate("Abc").value()[0].startsWith("a lowercase RFC 1123 label")', true],
    ['format.named("uuid").value().validate("123e4567-e89b-12d3-a456-426614174000").hasValue()', false],
    ['semver("1.2.3-rc.1").isLessThan(semver("1.2.3")) && semver("v1.2", true).minor() == 2', true],
    ['sets.contains([1, 2], [2]) && !sets.intersects([1], [2])', true],
    ['base64.encode(b"hello")', 'aGVsbG8='],
  ])('%s', (source, wanted) => expect(evaluate(source)).toEqual(wanted))
  it('sees JSON without copying it, property names with strange letters too', () => {
    const self = fromJson({ a: { 'b-c': 1, 'x.y': [1, 2.5], in: true }, list: ['p'] }, undefined)
    expect(evaluate('self.a.b__dash__c == 1 && self.a.x__dot__y[1] == 2.5 && self.a.__in__', { self })).toBe(true)
    expect(evaluate('self.a.?nothing.orValue("none")', { self })).toBe('none')
    expect(evaluate('self.a.nothing', { self })).toBe('error: no such key: nothing')
    expect(evaluate('self.list.map(x, x + "q")', { self })).toEqual(['pq'])
  })
  it('ends what costs too much', () => {
    const made = compileCel(
      '[1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, [1,2,3,4,5,6,7,8,9].all(c, a + b + c > 0)))',
      { variables: {} },
    )
    expect(made.ok && made.program.run({}, 500)).toMatchObject({ ok: false, costExceeded: true })
    expect(made.ok && made.program.run({})).toMatchObject({ ok: true, value: true })
  })
  it('is safe against hostile sources', () => {
    for (const source of [
      '('.repeat(10_000),
      '['.repeat(10_000),
      '-'.repeat(10_000) + '1',
      'a'.repeat(200_000),
      `${'a.'.repeat(5000)}a`,
      '"'.repeat(3),
      '\\',
    ]) {
      expect(compileCel(source, { variables: { a: t.dyn } }).ok).toBe(false)
    }
    expect(evaluate('"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!".matches("(a+)+$")')).toBe(false)
  })
})

describe('validation rules', () => {
  const rule = (text: string, more: Partial<ValidationRule> = {}): ValidationRule => ({ rule: text, ...more })
  const schema: Schema = {
    ...object('', {
      replicas: optional(0, {
        ...int32(),
        constraints: { rules: [rule('self > 0', { message: 'must be positive' })] },
      }),
      max: optional(0, int32()),
      names: optional(0, {
        ...array({ ...string(), constraints: { maxLength: 10 } }, { listType: 'set' }),
        constraints: { maxItems: 5 },
      }),
      fixed: optional(0, {
        ...string(),
        constraints: { rules: [rule('self == oldSelf', { message: 'is immutable', reason: 'FieldValueForbidden' })] },
      }),
      labels: optional(0, map(string())),
      ports: optional(0, {
        ...array(object('', { port: optional(0, int32()) }), { listType: 'map', listMapKeys: ['port'] }),
        constraints: {
          maxItems: 3,
          rules: [rule('self.all(p, p.port < 100)', { messageExpression: '"too large: " + string(self[0].port)' })],
        },
      }),
    }),
    structural: true,
    constraints: { rules: [rule('!has(self.max) || self.replicas <= self.max', { fieldPath: '.replicas' })] },
  } as Schema
  it('run over values', () => {
    const lines = (value: unknown, old?: unknown) =>
      validateRules(schema, value, old).map(({ type, field, message }) => [type, field, message])
    expect(lines({ replicas: 1, max: 2, fixed: 'a', ports: [{ port: 1 }] })).toEqual([])
    expect(lines({ replicas: 3, max: 2 })).toEqual([
      ['FieldValueInvalid', 'replicas', 'Invalid value: failed rule: !has(self.max) || self.replicas <= self.max'],
    ])
    expect(lines({ replicas: 0 })).toEqual([['FieldValueInvalid', 'replicas', 'Invalid value: 0: must be positive']])
    expect(lines({ fixed: 'b' }, { fixed: 'a' })).toEqual([['FieldValueForbidden', 'fixed', 'Forbidden: is immutable']])
    expect(lines({ ports: [{ port: 200 }] })).toEqual([['FieldValueInvalid', 'ports', 'Invalid value: too large: 200']])
    expect(lines({ replicas: 0, max: 1 }, { replicas: 0, max: 2 })).toEqual([])
  })
})
