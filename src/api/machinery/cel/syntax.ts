// CEL source to a syntax tree, macros expanded into comprehension nodes on the way. Positions are offsets into the source;
// the depth of nesting is bounded, so no expression overflows the stack.

/** The text is no CEL expression. */
export class CelSyntaxError extends Error {
  readonly at: number
  constructor(message: string, at: number) {
    super(message)
    this.at = at
  }
}

export type Literal = null | boolean | number | bigint | string | Uint8Array | Unsigned
export interface Unsigned {
  readonly unsigned: bigint
}
export type MacroKind =
  | 'all'
  | 'exists'
  | 'exists_one'
  | 'map'
  | 'filter'
  | 'transformList'
  | 'transformMap'
  | 'transformMapEntry'
  | 'sortBy'
export type Node = { readonly at: number } & (
  | { readonly kind: 'literal'; readonly value: Literal }
  | { readonly kind: 'ident'; readonly name: string }
  /** `test`: has(operand.field). `optional`: operand.?field. */
  | {
      readonly kind: 'select'
      readonly operand: Node
      readonly field: string
      readonly test: boolean
      readonly optional: boolean
    }
  | { readonly kind: 'index'; readonly operand: Node; readonly index: Node; readonly optional: boolean }
  | { readonly kind: 'call'; readonly name: string; readonly target: Node | undefined; readonly args: readonly Node[] }
  | { readonly kind: 'list'; readonly elements: readonly { readonly value: Node; readonly optional: boolean }[] }
  | {
      readonly kind: 'map'
      readonly entries: readonly { readonly key: Node; readonly value: Node; readonly optional: boolean }[]
    }
  | {
      readonly kind: 'struct'
      readonly type: string
      readonly fields: readonly { readonly name: string; readonly value: Node; readonly optional: boolean }[]
    }
  | {
      readonly kind: 'macro'
      readonly macro: MacroKind
      readonly range: Node
      readonly variables: readonly string[]
      readonly filter: Node | undefined
      readonly body: Node
    }
  | { readonly kind: 'bind'; readonly variable: string; readonly value: Node; readonly body: Node }
  /** optional.optMap(x, body) and optFlatMap. */
  | {
      readonly kind: 'optMap'
      readonly operand: Node
      readonly variable: string
      readonly body: Node
      readonly flat: boolean
    }
)

interface Token {
  readonly kind: 'int' | 'uint' | 'float' | 'string' | 'bytes' | 'ident' | 'quoted' | 'op' | 'end'
  readonly text: string
  readonly at: number
  readonly value?: Literal
}

const reserved = new Set(
  'as break const continue else for function if import let loop package namespace return var void while'.split(' '),
)
const operators = [
  '&&',
  '||',
  '<=',
  '>=',
  '==',
  '!=',
  '+',
  '-',
  '*',
  '/',
  '%',
  '<',
  '>',
  '!',
  '?',
  ':',
  '.',
  ',',
  '(',
  ')',
  '[',
  ']',
  '{',
  '}',
]
const maxDepth = 250
const maxLength = 100_000

function tokenize(source: string): Token[] {
  const tokens: Token[] = []
  let i = 0
  while (i < source.length) {
    const rest = source.slice(i, i + 64)
    const space = /^(?:[\s]+|\/\/)/.exec(rest)
    if (space !== null) {
      if (space[0] === '//') while (i < source.length && source[i] !== '\n') i++
      else i += space[0].length
      continue
    }
    const token = number(source, i) ?? text(source, i) ?? word(source, i) ?? operator(source, i)
    if (token === undefined) {
      throw new CelSyntaxError(`Syntax error: token recognition error at: '${source.charAt(i)}'`, i)
    }
    tokens.push(token)
    i += token.text.length
  }
  tokens.push({ kind: 'end', text: '', at: source.length })
  return tokens
}
function number(source: string, at: number): Token | undefined {
  const match = /^(?:0[xX][0-9a-fA-F]+|(?:\d+\.\d+|\.\d+|\d+(?=[eE]))(?:[eE][+-]?\d+)?|\d+)[uU]?/.exec(
    source.slice(at, at + 400),
  )
  if (match === null) return undefined
  const [raw] = match
  const digits = raw.replace(/[uU]$/, '')
  if (/^0[xX]|^\d+$/.test(digits)) {
    const value = BigInt(digits)
    return raw === digits
      ? { kind: 'int', text: raw, at, value }
      : { kind: 'uint', text: raw, at, value: { unsigned: value } }
  }
  return { kind: 'float', text: digits, at, value: Number(digits) }
}
function word(source: string, at: number): Token | undefined {
  const match = /^[A-Za-z_][A-Za-z0-9_]*/.exec(source.slice(at, at + 400))
  if (match !== null) return { kind: 'ident', text: match[0], at }
  const quoted = /^`[A-Za-z0-9_.\-/ ]+`/.exec(source.slice(at, at + 400))
  return quoted === null ? undefined : { kind: 'quoted', text: quoted[0], at }
}
function operator(source: string, at: number): Token | undefined {
  const found = operators.find((op) => source.startsWith(op, at))
  return found === undefined ? undefined : { kind: 'op', text: found, at }
}
function text(source: string, at: number): Token | undefined {
  const prefix = /^(?:[rR][bB]?|[bB][rR]?)?(?="|')/.exec(source.slice(at, at + 3))?.[0]
  if (prefix === undefined) return undefined
  const raw = /r/i.test(prefix)
  const isBytes = /b/i.test(prefix)
  const start = at + prefix.length
  const quote = source.startsWith(source.charAt(start).repeat(3), start)
    ? source.charAt(start).repeat(3)
    : source.charAt(start)
  let i = start + quote.length
  while (!source.startsWith(quote, i)) {
    const c = source.charAt(i)
    if (c === '' || (quote.length === 1 && (c === '\n' || c === '\r'))) {
      throw new CelSyntaxError(`Syntax error: token recognition error at: '${source.slice(at, at + 20)}'`, at)
    }
    i += c === '\\' && !raw ? 2 : 1
  }
  const body = source.slice(start + quote.length, i)
  const value = isBytes ? bytesOf(body, raw, at) : raw ? body : unescape(body, at)
  return { kind: isBytes ? 'bytes' : 'string', text: source.slice(at, i + quote.length), at, value }
}
const simpleEscapes: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
  "'": "'",
  '"': '"',
  '`': '`',
  '?': '?',
}
const escapes =
  /\\(?:([abfnrtv\\'"`?])|[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|([\s\S]|$))/g
function unescape(body: string, at: number): string {
  return body.replace(escapes, (_, simple?: string, hex?: string, short?: string, long?: string, octal?: string) => {
    if (simple !== undefined) return simpleEscapes[simple] ?? ''
    const code = hex ?? short ?? long
    const point = code !== undefined ? Number.parseInt(code, 16) : octal !== undefined ? Number.parseInt(octal, 8) : -1
    if (point < 0 || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) {
      throw new CelSyntaxError('Syntax error: invalid escape sequence', at)
    }
    return String.fromCodePoint(point)
  })
}
/** Bytes literals: \x and octal escapes are bytes, everything else is UTF-8. */
function bytesOf(body: string, raw: boolean, at: number): Uint8Array {
  const out: number[] = []
  const encode = (part: string) => out.push(...new TextEncoder().encode(part))
  if (raw) encode(body)
  else {
    let last = 0
    for (const match of body.matchAll(escapes)) {
      encode(body.slice(last, match.index))
      last = match.index + match[0].length
      const code = match[2] ?? undefined
      if (code !== undefined) out.push(Number.parseInt(code, 16))
      else if (match[5] !== undefined) out.push(Number.parseInt(match[5], 8))
      else encode(unescape(match[0], at))
    }
    encode(body.slice(last))
  }
  return Uint8Array.from(out)
}

/** Parses an expression. Throws CelSyntaxError. */
export function parseCel(source: string): Node {
  if (source.length > maxLength)
    throw new CelSyntaxError(`expression code point size exceeds limit: size: ${source.length}, limit ${maxLength}`, 0)
  return new Parser(tokenize(source)).whole()
}

const precedence: readonly (readonly string[])[] = [
  ['||'],
  ['&&'],
  ['<', '<=', '>=', '>', '==', '!=', 'in'],
  ['+', '-'],
  ['*', '/', '%'],
]
const callNames: Readonly<Record<string, string>> = { '!': '!_', '-': '-_' }

class Parser {
  private readonly tokens: readonly Token[]
  private position = 0
  private depth = 0
  constructor(tokens: readonly Token[]) {
    this.tokens = tokens
  }
  private peek(): Token {
    return this.tokens[this.position] as Token
  }
  private take(): Token {
    const token = this.peek()
    if (token.kind !== 'end') this.position++
    return token
  }
  private accept(text: string): Token | undefined {
    const token = this.peek()
    const matches = (token.kind === 'op' || token.kind === 'ident') && token.text === text
    return matches ? this.take() : undefined
  }
  private expect(text: string): Token {
    return this.accept(text) ?? this.fail(`'${text}'`)
  }
  private fail(expecting: string): never {
    const token = this.peek()
    const found = token.kind === 'end' ? '<EOF>' : token.text
    throw new CelSyntaxError(`Syntax error: mismatched input '${found}' expecting ${expecting}`, token.at)
  }
  private nested<T>(run: () => T): T {
    if (++this.depth > maxDepth)
      throw new CelSyntaxError(`expression recursion limit exceeded: ${maxDepth}`, this.peek().at)
    const result = run()
    this.depth--
    return result
  }

  whole(): Node {
    const node = this.expression()
    if (this.peek().kind !== 'end') this.fail('<EOF>')
    return node
  }
  private expression(): Node {
    return this.nested(() => {
      const condition = this.binary(0)
      const question = this.accept('?')
      if (question === undefined) return condition
      const yes = this.binary(0)
      this.expect(':')
      const no = this.expression()
      return { kind: 'call', name: '_?_:_', target: undefined, args: [condition, yes, no], at: question.at }
    })
  }
  private binary(level: number): Node {
    const ops = precedence[level]
    if (ops === undefined) return this.unary()
    let left = this.binary(level + 1)
    for (;;) {
      const token = this.peek()
      if (token.kind !== 'op' && token.text !== 'in') return left
      if (!ops.includes(token.text)) return left
      this.take()
      const right = this.binary(level + 1)
      left = { kind: 'call', name: token.text, target: undefined, args: [left, right], at: token.at }
    }
  }
  private unary(): Node {
    const token = this.peek()
    if (token.kind !== 'op' || (token.text !== '!' && token.text !== '-')) return this.member()
    this.take()
    const next = this.peek()
    if (token.text === '-' && (next.kind === 'int' || next.kind === 'float') && next.at === token.at + 1) {
      // a negative literal reaches one further than a negated one
      this.take()
      const value = next.kind === 'int' ? -(next.value as bigint) : -(next.value as number)
      return this.postfix({ kind: 'literal', value: inRange(value, next.at), at: token.at })
    }
    const operand = this.nested(() => this.unary())
    return { kind: 'call', name: callNames[token.text] ?? token.text, target: undefined, args: [operand], at: token.at }
  }
  private member(): Node {
    return this.postfix(this.primary())
  }
  private postfix(start: Node): Node {
    let node = start
    for (let links = 0; ; links++) {
      if (links > 1000) throw new CelSyntaxError('expression recursion limit exceeded: 1000', node.at)
      const dot = this.accept('.')
      if (dot !== undefined) {
        const optional = this.accept('?') !== undefined
        const name = this.take()
        if (name.kind !== 'ident' && name.kind !== 'quoted') {
          this.position--
          this.fail('IDENTIFIER')
        }
        const field = name.kind === 'quoted' ? name.text.slice(1, -1) : name.text
        node =
          !optional && name.kind === 'ident' && this.accept('(') !== undefined
            ? method(node, field, this.list(')'), name.at)
            : { kind: 'select', operand: node, field, test: false, optional, at: dot.at }
        continue
      }
      const bracket = this.accept('[')
      if (bracket === undefined) return node
      const optional = this.accept('?') !== undefined
      const index = this.expression()
      this.expect(']')
      node = { kind: 'index', operand: node, index, optional, at: bracket.at }
    }
  }
  private list(end: string): Node[] {
    const items: Node[] = []
    while (this.accept(end) === undefined) {
      if (items.length > 0) {
        this.expect(',')
        if (end !== ')' && this.accept(end) !== undefined) return items
      }
      items.push(this.expression())
    }
    return items
  }
  private primary(): Node {
    const token = this.take()
    const { at } = token
    switch (token.kind) {
      case 'int':
        return { kind: 'literal', value: inRange(token.value as bigint, at), at }
      case 'uint':
        return { kind: 'literal', value: unsignedInRange(token.value as Unsigned, at), at }
      case 'float':
      case 'string':
      case 'bytes':
        return { kind: 'literal', value: token.value as Literal, at }
      case 'ident':
        return this.name(token, '')
      case 'op':
        return this.bracketed(token)
      case 'quoted':
      case 'end':
        this.position -= token.kind === 'end' ? 0 : 1
        return this.fail(
          "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        )
    }
  }
  private bracketed(token: Token): Node {
    const { at } = token
    if (token.text === '(') {
      const inner = this.expression()
      this.expect(')')
      return inner
    }
    if (token.text === '[') return { kind: 'list', elements: this.elements(), at }
    if (token.text === '{') return { kind: 'map', entries: this.entries(), at }
    if (token.text === '.' && this.peek().kind === 'ident') return this.name(this.take(), '.')
    this.position--
    return this.fail(
      "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
    )
  }
  private elements(): { value: Node; optional: boolean }[] {
    const elements: { value: Node; optional: boolean }[] = []
    while (this.accept(']') === undefined) {
      if (elements.length > 0) {
        this.expect(',')
        if (this.accept(']') !== undefined) break
      }
      const optional = this.accept('?') !== undefined
      elements.push({ value: this.expression(), optional })
    }
    return elements
  }
  private entries(): { key: Node; value: Node; optional: boolean }[] {
    const entries: { key: Node; value: Node; optional: boolean }[] = []
    while (this.accept('}') === undefined) {
      if (entries.length > 0) {
        this.expect(',')
        if (this.accept('}') !== undefined) break
      }
      const optional = this.accept('?') !== undefined
      const key = this.expression()
      this.expect(':')
      entries.push({ key, value: this.expression(), optional })
    }
    return entries
  }
  private name(token: Token, lead: string): Node {
    const { text: name, at } = token
    if (lead === '' && (name === 'true' || name === 'false')) return { kind: 'literal', value: name === 'true', at }
    if (lead === '' && name === 'null') return { kind: 'literal', value: null, at }
    if (name === 'in' || reserved.has(name)) throw new CelSyntaxError(`Syntax error: reserved identifier: ${name}`, at)
    if (this.accept('(') !== undefined) return global(name, this.list(')'), at)
    const struct = this.structType(name)
    return struct ?? { kind: 'ident', name, at }
  }
  /** `a.b.C{...}`: looks ahead over the dotted name for the brace. */
  private structType(first: string): Node | undefined {
    let ahead = this.position
    let type = first
    const at = this.tokens[this.position - 1]?.at ?? 0
    while (this.tokens[ahead]?.text === '.' && this.tokens[ahead + 1]?.kind === 'ident') {
      type += `.${this.tokens[ahead + 1]?.text ?? ''}`
      ahead += 2
    }
    if (this.tokens[ahead]?.text !== '{' || this.tokens[ahead]?.kind !== 'op') return undefined
    this.position = ahead + 1
    const fields: { name: string; value: Node; optional: boolean }[] = []
    while (this.accept('}') === undefined) {
      if (fields.length > 0) {
        this.expect(',')
        if (this.accept('}') !== undefined) break
      }
      const optional = this.accept('?') !== undefined
      const name = this.take()
      if (name.kind !== 'ident' && name.kind !== 'quoted') {
        this.position--
        this.fail('IDENTIFIER')
      }
      this.expect(':')
      const field = name.kind === 'quoted' ? name.text.slice(1, -1) : name.text
      fields.push({ name: field, value: this.expression(), optional })
    }
    return { kind: 'struct', type, fields, at }
  }
}

function inRange<T extends bigint | number>(value: T, at: number): T {
  if (typeof value === 'bigint' && (value > 9223372036854775807n || value < -9223372036854775808n)) {
    throw new CelSyntaxError('Syntax error: invalid int literal', at)
  }
  return value
}
function unsignedInRange(value: Unsigned, at: number): Unsigned {
  if (value.unsigned > 18446744073709551615n) throw new CelSyntaxError('Syntax error: invalid uint literal', at)
  return value
}

function variable(node: Node | undefined): string {
  if (node?.kind === 'ident') return node.name
  throw new CelSyntaxError('argument must be a simple name', node?.at ?? 0)
}
const predicates: readonly string[] = ['all', 'exists', 'exists_one', 'existsOne', 'filter']

/** A call of a method, or the macro of that name. */
function method(target: Node, name: string, args: readonly Node[], at: number): Node {
  const [first, second, third, fourth] = args
  const macro = (kind: MacroKind, variables: readonly string[], body: Node, filter?: Node): Node => {
    if (new Set(variables).size < variables.length)
      throw new CelSyntaxError('iteration variables must be different', at)
    return { kind: 'macro', macro: kind, range: target, variables, filter, body, at }
  }
  if (predicates.includes(name) && (args.length === 2 || (args.length === 3 && name !== 'filter'))) {
    const kind = (name === 'existsOne' ? 'exists_one' : name) as MacroKind
    const variables = args.slice(0, -1).map(variable)
    return macro(kind, variables, args.at(-1) as Node)
  }
  if (name === 'map' && second !== undefined && args.length <= 3) {
    return macro('map', [variable(first)], third ?? second, third === undefined ? undefined : second)
  }
  if (name === 'sortBy' && second !== undefined && args.length === 2) return macro('sortBy', [variable(first)], second)
  if (/^transform(List|Map|MapEntry)$/.test(name) && third !== undefined && args.length <= 4) {
    const variables = [variable(first), variable(second)]
    return macro(name as MacroKind, variables, fourth ?? third, fourth === undefined ? undefined : third)
  }
  if ((name === 'optMap' || name === 'optFlatMap') && second !== undefined && args.length === 2) {
    return { kind: 'optMap', operand: target, variable: variable(first), body: second, flat: name === 'optFlatMap', at }
  }
  if (
    name === 'bind' &&
    target.kind === 'ident' &&
    target.name === 'cel' &&
    second !== undefined &&
    third !== undefined
  ) {
    return { kind: 'bind', variable: variable(first), value: second, body: third, at }
  }
  return { kind: 'call', name, target, args, at }
}
function global(name: string, args: readonly Node[], at: number): Node {
  const [first] = args
  if (name === 'has' && args.length === 1) {
    if (first?.kind !== 'select') throw new CelSyntaxError('invalid argument to has() macro', at)
    return { ...first, test: true, at }
  }
  return { kind: 'call', name, target: undefined, args, at }
}
