import { describe, expect, it } from 'vitest'
import { exactField, formatFieldSelector, matchesFields, parseFieldSelector, unsupportedField } from './fields.ts'
import { freeze } from './freeze.ts'
import {
  exactMatches,
  formatLabels,
  formatLabelSelector,
  formatSelector,
  labelSelectorMatcher,
  matchesSelector,
  parseSelector,
  SelectorError,
  selectorOfLabels,
} from './labels.ts'
import type { KubeObject } from './meta.ts'

describe('label selectors', () => {
  it.each([
    ['', ''],
    ['a=b', 'a=b'],
    ['b == c , a!=d', 'a!=d,b==c'],
    ['x in (b,a),y notin (c)', 'x in (a,b),y notin (c)'],
    ['!x, y', '!x,y'],
    ['x=', 'x='],
    ['x in (a,)', 'x in (,a)'],
    ['x in ()', 'x in ()'],
    ['x>1,y<2', 'x>1,y<2'],
    ['in in (in)', 'in in (in)'],
    ['example.com/a-b_c.d=1', 'example.com/a-b_c.d=1'],
    ['a,', undefined],
  ])('reads %j', (text, printed) => {
    if (printed === undefined) expect(() => parseSelector(text)).toThrow(SelectorError)
    else expect(formatSelector(parseSelector(text))).toBe(printed)
  })
  it.each([
    [',a', "found ',', expected: !, identifier, or 'end of string'"],
    ['a=b,,', "found ',', expected: identifier after ','"],
    ['a b', "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"],
    ['a in b', "unable to parse requirement: found 'b', expected: '('"],
    ['a in (b', "unable to parse requirement: found '', expected: ',' or ')'"],
    ['a=(b)', "unable to parse requirement: found '(', expected: identifier"],
    [
      'a>x',
      `unable to parse requirement: values[0]: Invalid value: "x": for 'Gt', 'Lt' operators, the value must be an integer`,
    ],
    ['a=b c', "found 'c', expected: ',' or 'end of string'"],
    ['!', "unable to parse requirement: found '', expected: identifier"],
    ['-a=b', /^unable to parse requirement: <nil>: Invalid value: "-a": name part must consist of/],
    ['a=-b', /^unable to parse requirement: values\[0]\[a]: Invalid value: "-b": a valid label must be/],
  ])('refuses %j', (text, message) => expect(() => parseSelector(text)).toThrow(message))
  it.each([
    ['a=1', { a: '1' }, true],
    ['a=1', {}, false],
    ['a!=1', {}, true],
    ['a in (1,2)', { a: '2' }, true],
    ['a notin (1,2)', { a: '2' }, false],
    ['a', { a: '' }, true],
    ['!a', { a: '' }, false],
    ['a>5', { a: '10' }, true],
    ['a<5', { a: '10' }, false],
    ['a<5', { a: 'x' }, false],
    ['constructor', {}, false],
    ['', undefined, true],
  ])('%s on %j is %s', (text, labels, wanted) =>
    expect(matchesSelector(parseSelector(text), labels as Record<string, string>)).toBe(wanted),
  )
  it('offers equalities to an index', () => {
    expect(exactMatches(parseSelector('a=1,b in (2),c in (3,4),d!=5'))).toEqual([
      ['a', '1'],
      ['b', '2'],
    ])
    expect(formatSelector(selectorOfLabels({ a: 'b' }))).toBe('a=b')
  })
  it('reads the object form', () => {
    const selector = freeze({
      matchLabels: { app: 'web' },
      matchExpressions: [
        { key: 'tier', operator: 'In', values: ['b', 'a'] },
        { key: 'canary', operator: 'DoesNotExist' },
      ],
    })
    expect(formatLabelSelector(selector)).toBe('app=web,!canary,tier in (a,b)')
    const matches = labelSelectorMatcher(selector)
    expect(labelSelectorMatcher(selector)).toBe(matches)
    expect(matches({ app: 'web', tier: 'a' })).toBe(true)
    expect(matches({ app: 'web', tier: 'a', canary: '' })).toBe(false)
    expect(labelSelectorMatcher(undefined)({})).toBe(false)
    expect(labelSelectorMatcher({})({})).toBe(true)
    expect(() => labelSelectorMatcher({ matchExpressions: [{ key: 'a', operator: 'Like' }] })).toThrow(
      '"Like" is not a valid label selector operator',
    )
    expect(formatLabelSelector({ matchExpressions: [{ key: 'a', operator: 'Like' }] })).toBe('<error>')
    expect(formatLabelSelector({})).toBe('<none>')
    expect(formatLabels({ b: '2', a: '1' })).toBe('a=1,b=2')
    expect(formatLabels(undefined)).toBe('<none>')
  })
  it('takes long hostile texts quickly', () => {
    expect(() => parseSelector(`${'a'.repeat(1_000_000)}!`)).toThrow(SelectorError)
    expect(parseSelector(new Array(20_000).fill('a=b').join(','))).toHaveLength(20_000)
  })
})

describe('field selectors', () => {
  const pod = { metadata: { name: 'p', namespace: 'n' }, phase: 'Running' } as unknown as KubeObject & { phase: string }
  const kind = { selectableFields: { 'status.phase': (object: typeof pod) => object.phase } }
  it('reads, prints and matches', () => {
    const selector = parseFieldSelector('metadata.name=p,status.phase!=Failed,status.phase==Running,')
    expect(formatFieldSelector(selector)).toBe('metadata.name=p,status.phase!=Failed,status.phase=Running')
    expect(matchesFields(kind, selector, pod)).toBe(true)
    expect(matchesFields(kind, parseFieldSelector('metadata.namespace!=n'), pod)).toBe(false)
    expect(exactField(selector, 'metadata.name')).toBe('p')
    expect(parseFieldSelector('a=x\\,y\\=z\\\\')).toEqual([{ field: 'a', operator: '=', value: 'x,y=z\\' }])
    expect(parseFieldSelector('')).toEqual([])
  })
  it.each([
    ['a', "invalid selector: 'a'; can't understand 'a'"],
    ['a=b=c', 'invalid field selector: unescaped character in value: ='],
    ['a=b\\c', 'invalid field selector: invalid escape sequence: \\c'],
  ])('refuses %j', (text, message) => expect(() => parseFieldSelector(text)).toThrow(message))
  it('knows what a kind can select', () => {
    expect(unsupportedField(kind, parseFieldSelector('status.phase=x,metadata.name=y'))).toBeUndefined()
    expect(unsupportedField(kind, parseFieldSelector('spec.x=1'))).toBe('field label not supported: spec.x')
    expect(unsupportedField({}, parseFieldSelector('spec.x=1'))).toBe(
      '"spec.x" is not a known field selector: only "metadata.name", "metadata.namespace"',
    )
  })
})
