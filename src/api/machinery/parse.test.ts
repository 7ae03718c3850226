import { describe, expect, it } from 'vitest'
import { ParseError, parseJson, parseYaml, strictFindings } from './parse.ts'

const json = (text: string) => parseJson(new TextEncoder().encode(text), { duplicates: true })
const yaml = (text: string) => parseYaml(text, { duplicates: true })

describe('parseJson', () => {
  it('finds duplicates by path, once each', () => {
    const parsed = json('{"a":1,"b":{"c":[{"d":1},{"d":1,"d":2,"d":3}]},"a":"x:\\"y"}')
    expect(parsed.duplicates).toEqual(['b.c[1].d', 'a'])
    expect(parsed.value).toEqual({ a: 'x:"y', b: { c: [{ d: 1 }, { d: 3 }] } })
  })
  it.each([
    '{"a":":","b":"\\\\","c":"\\"","d":[],"e":{}}',
    '[1,{"a":1},{"a":1}]',
    '"x"',
    '{"__proto__":1}',
    '{"a":{"a":1}}',
  ])('finds none in %s', (text) => expect(json(text).duplicates).toEqual([]))
  it('reports unknown and duplicate fields in the order of the text', () => {
    const parsed = json('{"spec":{"foo":1,"paused":true,"paused":false,"x":{"bar":1},"foo":2}}')
    const findings = strictFindings(parsed, ['spec.foo', 'spec.x.bar'])
    expect(findings?.error).toBe(
      'strict decoding error: unknown field "spec.foo", duplicate field "spec.paused", unknown field "spec.x.bar"',
    )
    expect(findings?.warnings).toEqual([
      'unknown field "spec.foo"',
      'duplicate field "spec.paused"',
      'unknown field "spec.x.bar"',
    ])
    expect(strictFindings(json('{}'), [])).toBeUndefined()
  })
  it.each([
    ['', 'unexpected end of JSON input'],
    ['{', 'unexpected end of JSON input'],
    ['{"a"', 'unexpected end of JSON input'],
    ['x', "invalid character 'x' looking for beginning of value"],
    ['{"a":}', "invalid character '}' looking for beginning of value"],
    ['{a:1}', "invalid character 'a' looking for beginning of object key string"],
    ['{"a":1,}', "invalid character '}' looking for beginning of object key string"],
    ['{"a" 1}', "invalid character '1' after object key"],
    ['{"a":1 "b"}', `invalid character '"' after object key:value pair`],
    ['[1 2]', "invalid character '2' after array element"],
    ['[1,]', "invalid character ']' looking for beginning of value"],
    ['{} x', "invalid character 'x' after top-level value"],
    ['"a\nb"', "invalid character '\\n' in string literal"],
    ['"\\x"', "invalid character 'x' in string escape code"],
    ['"\\u12g4"', "invalid character 'g' in \\u hexadecimal character escape"],
    ['trux', "invalid character 'x' in literal true (expecting 'e')"],
    ['-x', "invalid character 'x' in numeric literal"],
    ['1.x', "invalid character 'x' after decimal point in numeric literal"],
    ['01', "invalid character '1' after top-level value"],
  ])('says of %j what Go says', (text, message) => {
    expect(() => json(text)).toThrow(new ParseError(message))
  })
  it('turns what is not Unicode into U+FFFD', () => {
    expect(parseJson(new Uint8Array([0x22, 0xff, 0x22]), { duplicates: true }).value).toBe('\ufffd')
    expect(json('{"a":"\\ud800x","b":"\\ud83d\\ude00"}').value).toEqual({ a: '\ufffdx', b: '😀' })
    expect(() => parseJson(new Uint8Array([0xef, 0xbb, 0xbf, 0x31]), { duplicates: true })).toThrow(ParseError)
  })
  it('takes any depth and any size', () => {
    const deep = '['.repeat(100_000) + ']'.repeat(100_000)
    expect(json(deep).duplicates).toEqual([])
    expect(json(`{"a":1,"a":${'{"b":'.repeat(5000)}1${'}'.repeat(5000)}}`).duplicates).toEqual(['a'])
    expect(() => json('{"a":['.repeat(100_000))).toThrow(ParseError)
  })
})

describe('parseYaml', () => {
  it('reads scalars as Go does', () => {
    const text = `
a: yes
b: Off
c: y
d: n
e: 1:30
f: 2001-01-01
g: 0o17
h: 010
i: 0x1f
j: 1_000
k: 1e3
l: ~
m: "true"
n2: .5
o: e5
p: .
q: !!str 12
r: 12345678901
s: "\\u00e9"
1: one
true: two
`
    expect(yaml(text).value).toEqual({
      a: true,
      b: false,
      c: 'y',
      d: 'n',
      e: '1:30',
      f: '2001-01-01',
      g: '0o17',
      h: 8,
      i: 31,
      j: 1000,
      k: 1000,
      l: null,
      m: 'true',
      n2: 0.5,
      o: 'e5',
      p: '.',
      q: '12',
      r: 12345678901,
      s: 'é',
      1: 'one',
      true: 'two',
    })
  })
  it('follows anchors and merges, and sorts keys', () => {
    const text = 'b: &x {p: 1, q: 2}\na:\n  <<: *x\n  q: 3\n'
    expect(JSON.stringify(yaml(text).value)).toBe('{"a":{"p":1,"q":3},"b":{"p":1,"q":2}}')
  })
  it('takes the first document, and JSON', () => {
    expect(yaml('a: 1\n---\na: 2\n').value).toEqual({ a: 1 })
    expect(yaml('').value).toBeNull()
    expect(yaml(' {"a": [1, "x"]}').value).toEqual({ a: [1, 'x'] })
    expect(yaml('{a: 1}').value).toEqual({ a: 1 })
  })
  it('reports duplicates by line', () => {
    const parsed = yaml('a: 1\nb:\n  c: 1\n  c: 2\na: 2\n')
    expect(parsed.duplicates).toEqual(['line 4: key "c" already set in map', 'line 5: key "a" already set in map'])
    expect(strictFindings(parsed, ['x'])?.error).toBe(
      'strict decoding error: yaml: unmarshal errors:\n  line 4: key "c" already set in map\n  line 5: key "a" already set in map, unknown field "x"',
    )
  })
  it('refuses what is not YAML, bombs and depth', () => {
    expect(() => yaml('a: b: c')).toThrow(ParseError)
    expect(() => yaml('a: [1')).toThrow(ParseError)
    expect(() => yaml('a: *nothing')).toThrow(ParseError)
    expect(() => yaml('a: .inf')).toThrow(ParseError)
    let bomb = 'a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n'
    for (let i = 1; i < 9; i++) bomb += `a${i}: &a${i} [${new Array(10).fill(`*a${i - 1}`).join(',')}]\n`
    expect(() => yaml(bomb)).toThrow(ParseError)
    expect(() => yaml('['.repeat(20_000))).toThrow(ParseError)
    // Once for every depth at which a reader's own recursion may end: none may end the process.
    for (const depth of [501, 1000, 1500, 2000, 5000, 100_000]) {
      expect(() => yaml(`${'['.repeat(depth)}${']'.repeat(depth)}`)).toThrow('exceeded max depth')
    }
    expect(() => yaml(Array.from({ length: 2000 }, (_, i) => `${' '.repeat(i)}a:`).join('\n'))).toThrow('max depth')
    expect(() => yaml(']'.repeat(100_000))).toThrow('did not find expected node content')
    expect(() => yaml(`[${'[],'.repeat(100_000)}]`)).toThrow('too many collections in brackets')
    expect(() => yaml(`${'['.repeat(499)}${']'.repeat(499)}`)).not.toThrow()
  })
})
