// Label selectors: the text grammar of ?labelSelector= and kubectl -l, and the LabelSelector object. Both become a list of
// requirements, all of which must hold.
import { printValue } from './errors.ts'
import type { LabelSelector } from './meta.ts'
import { isQualifiedName, isValidLabelValue } from './validation.ts'

export type Operator = 'in' | 'notin' | '=' | '==' | '!=' | 'exists' | '!' | 'gt' | 'lt'
export interface Requirement {
  readonly key: string
  readonly operator: Operator
  /** Sorted; one for = and !=, none for exists and !. */
  readonly values: readonly string[]
}
/** All must hold; the empty list holds for everything. */
export type Selector = readonly Requirement[]
export type Labels = Readonly<Record<string, string>>

/** The text is no selector; the message is upstream's. */
export class SelectorError extends Error {}

interface Token {
  readonly kind: 'identifier' | '!' | ')' | ',' | '==' | '=' | '!=' | '>' | '<' | '(' | 'in' | 'notin' | 'end'
  readonly text: string
}
function tokenize(source: string): Token[] {
  const tokens: Token[] = []
  let i = 0
  while (i < source.length) {
    const c = source.charAt(i)
    if (c === ' ' || c === '\t' || c === '\r' || c === '\n') {
      i++
      continue
    }
    if ('=!<>(),'.includes(c)) {
      const two = source.slice(i, i + 2)
      const text = two === '==' || two === '!=' ? two : c
      tokens.push({ kind: text as Token['kind'], text })
      i += text.length
      continue
    }
    let end = i
    while (end < source.length && !'=!<>(), \t\r\n'.includes(source.charAt(end))) end++
    const text = source.slice(i, end)
    tokens.push({ kind: text === 'in' || text === 'notin' ? text : 'identifier', text })
    i = end
  }
  tokens.push({ kind: 'end', text: '' })
  return tokens
}

const endToken: Token = { kind: 'end', text: '' }
class Parser {
  private readonly tokens: readonly Token[]
  private position = 0
  constructor(source: string) {
    this.tokens = tokenize(source)
  }
  /** Within values, "in" and "notin" are ordinary words. */
  private peek(asValue = false): Token {
    const token = this.tokens[this.position] ?? endToken
    return asValue && (token.kind === 'in' || token.kind === 'notin') ? { ...token, kind: 'identifier' } : token
  }
  private take(asValue = false): Token {
    const token = this.peek(asValue)
    this.position++
    return token
  }

  parse(): Requirement[] {
    const requirements: Requirement[] = []
    for (;;) {
      const { kind, text } = this.peek(true)
      if (kind === 'end') return requirements
      if (kind !== 'identifier' && kind !== '!') {
        throw new SelectorError(`found '${text}', expected: !, identifier, or 'end of string'`)
      }
      requirements.push(this.requirement())
      const next = this.take(true)
      if (next.kind === 'end') return requirements
      if (next.kind !== ',') throw new SelectorError(`found '${next.text}', expected: ',' or 'end of string'`)
      const after = this.peek(true)
      if (after.kind !== 'identifier' && after.kind !== '!') {
        throw new SelectorError(`found '${after.text}', expected: identifier after ','`)
      }
    }
  }

  private requirement(): Requirement {
    const bad = (message: string): never => {
      throw new SelectorError(`unable to parse requirement: ${message}`)
    }
    let token = this.take(true)
    const negated = token.kind === '!'
    if (negated) token = this.take(true)
    if (token.kind !== 'identifier') bad(`found '${token.text}', expected: identifier`)
    const key = token.text
    const keyErrors = isQualifiedName(key)
    if (keyErrors.length > 0) bad(`<nil>: Invalid value: ${printValue(key)}: ${keyErrors.join('; ')}`)
    if (negated) return { key, operator: '!', values: [] }
    const following = this.peek()
    if (following.kind === 'end' || following.kind === ',') return { key, operator: 'exists', values: [] }
    const operator = this.take()
    const { kind, text } = operator
    if (kind === 'in' || kind === 'notin') return checked({ key, operator: kind, values: this.list(bad) }, bad)
    if (kind === '=' || kind === '==' || kind === '!=') {
      return checked({ key, operator: kind, values: [this.exactValue(bad)] }, bad)
    }
    if (kind === '>' || kind === '<') {
      return checked({ key, operator: kind === '>' ? 'gt' : 'lt', values: [this.exactValue(bad)] }, bad)
    }
    return bad(`found '${text}', expected: in, notin, =, ==, !=, gt, lt`)
  }

  private exactValue(bad: (message: string) => never): string {
    const token = this.peek(true)
    if (token.kind === 'end' || token.kind === ',') return ''
    this.position++
    return token.kind === 'identifier' ? token.text : bad(`found '${token.text}', expected: identifier`)
  }

  /** The values in parentheses; "()" and a comma without a neighbour stand for the empty value. */
  private list(bad: (message: string) => never): string[] {
    const open = this.take(true)
    if (open.kind !== '(') bad(`found '${open.text}', expected: '('`)
    const values = new Set<string>()
    for (let expectsValue = true; ; ) {
      const token = this.take(true)
      if (token.kind === 'identifier' && expectsValue) {
        values.add(token.text)
        expectsValue = false
      } else if (token.kind === ')') {
        if (expectsValue) values.add('')
        return [...values].sort()
      } else if (token.kind === ',') {
        if (expectsValue) values.add('')
        expectsValue = true
      } else bad(`found '${token.text}', expected: ',' or ')'`)
    }
  }
}

function checked(requirement: Requirement, bad: (message: string) => never): Requirement {
  const { key, operator, values } = requirement
  if ((operator === 'in' || operator === 'notin') && values.length === 0) {
    bad("values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty")
  }
  values.forEach((value, i) => {
    if ((operator === 'gt' || operator === 'lt') && !/^[+-]?\d+$/.test(value)) {
      bad(`values[${i}]: Invalid value: ${printValue(value)}: for 'Gt', 'Lt' operators, the value must be an integer`)
    }
    const errors = isValidLabelValue(value)
    if (errors.length > 0) bad(`values[${i}][${key}]: Invalid value: ${printValue(value)}: ${errors.join('; ')}`)
  })
  return requirement
}

/** Parses "app=web,tier in (a,b),!canary". Throws SelectorError. Requirements come back sorted by key. */
export function parseSelector(text: string): Selector {
  const requirements = new Parser(text).parse()
  return requirements.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
}

/** Prints what parseSelector reads. */
export const formatSelector = (selector: Selector): string => selector.map(formatRequirement).join(',')
function formatRequirement({ key, operator, values }: Requirement): string {
  switch (operator) {
    case 'exists':
      return key
    case '!':
      return `!${key}`
    case 'in':
    case 'notin':
      return `${key} ${operator} (${values.join(',')})`
    case 'gt':
      return `${key}>${values[0] ?? ''}`
    case 'lt':
      return `${key}<${values[0] ?? ''}`
    case '=':
    case '==':
    case '!=':
      return `${key}${operator}${values[0] ?? ''}`
  }
}

const wholeNumber = /^[+-]?\d+$/
export function matchesRequirement({ key, operator, values }: Requirement, labels: Labels | undefined): boolean {
  const value = labels !== undefined && Object.hasOwn(labels, key) ? labels[key] : undefined
  switch (operator) {
    case 'in':
    case '=':
    case '==':
      return value !== undefined && values.includes(value)
    case 'notin':
    case '!=':
      return value === undefined || !values.includes(value)
    case 'exists':
      return value !== undefined
    case '!':
      return value === undefined
    case 'gt':
    case 'lt': {
      const [bound = ''] = values
      if (value === undefined || !wholeNumber.test(value) || !wholeNumber.test(bound)) return false
      const [left, right] = [BigInt(value.replace('+', '')), BigInt(bound.replace('+', ''))]
      return operator === 'gt' ? left > right : left < right
    }
  }
}
export const matchesSelector = (selector: Selector, labels: Labels | undefined): boolean => {
  for (const requirement of selector) if (!matchesRequirement(requirement, labels)) return false
  return true
}
/** The key and value that an index can look up, when the selector asks for equality. */
export const exactMatches = (selector: Selector): readonly (readonly [string, string])[] =>
  selector.flatMap(({ key, operator, values }) => {
    const [value] = values
    const exact = operator === '=' || operator === '==' || (operator === 'in' && values.length === 1)
    return exact && value !== undefined ? [[key, value] as const] : []
  })

/** What selectors of objects call the same. */
export const objectOperators: Readonly<Record<string, Operator>> = {
  In: 'in',
  NotIn: 'notin',
  Exists: 'exists',
  DoesNotExist: '!',
}
/** Undefined where the selector is absent: that matches nothing, an empty one matches everything. Throws SelectorError. */
export function selectorOf(selector: LabelSelector | undefined): Selector | undefined {
  if (selector === undefined) return undefined
  const requirements: Requirement[] = Object.entries(selector.matchLabels ?? {}).map(([key, value]) => ({
    key,
    operator: '=',
    values: [value],
  }))
  for (const { key, operator, values } of selector.matchExpressions ?? []) {
    const known = Object.hasOwn(objectOperators, operator) ? objectOperators[operator] : undefined
    if (known === undefined) throw new SelectorError(`"${operator}" is not a valid label selector operator`)
    requirements.push({ key, operator: known, values: [...(values ?? [])].sort() })
  }
  return requirements.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
}
/** Plain labels (a Service's selector) as a selector. */
export const selectorOfLabels = (labels: Labels): Selector =>
  Object.entries(labels).map(([key, value]) => ({ key, operator: '=', values: [value] }))

export type Matcher = (labels: Labels | undefined) => boolean
const matchers = new WeakMap<LabelSelector, Matcher>()
/** A LabelSelector as a predicate: an absent one matches nothing, an empty one everything. Throws SelectorError. */
export function labelSelectorMatcher(selector: LabelSelector | undefined): Matcher {
  if (selector === undefined) return () => false
  const known = matchers.get(selector)
  if (known !== undefined) return known
  const requirements = selectorOf(selector) ?? []
  const matcher: Matcher = (labels) => matchesSelector(requirements, labels)
  // only a frozen selector cannot change under its matcher
  if (Object.isFrozen(selector)) matchers.set(selector, matcher)
  return matcher
}

/** How kubectl shows a LabelSelector: "app=web", "<none>" when it is empty or absent. */
export function formatLabelSelector(selector: LabelSelector | undefined): string {
  if (selector === undefined) return '<none>'
  if (selector.matchExpressions?.some(({ operator }) => !Object.hasOwn(objectOperators, operator))) return '<error>'
  const text = formatSelector(selectorOf(selector) ?? [])
  return text === '' ? '<none>' : text
}
/** Labels as kubectl shows them: "a=b,c=d", "<none>". */
export function formatLabels(labels: Labels | undefined): string {
  const text = Object.keys(labels ?? {})
    .sort()
    .map((key) => `${key}=${labels?.[key] ?? ''}`)
    .join(',')
  return text === '' ? '<none>' : text
}
