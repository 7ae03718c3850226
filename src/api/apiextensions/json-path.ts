// JSONPath as Kubernetes writes it (https://kubernetes.io/docs/reference/kubectl/jsonpath/): printer columns, scale paths
// and selectable fields of custom resources. A path is compiled once to a list of steps; each step maps the values found
// so far to those one level deeper.
import { ownMember } from '../machinery/freeze.ts'
import type { Json, JsonObject } from '../machinery/schema.ts'

/** The path cannot be read. */
export class JsonPathError extends Error {}

type Step = (values: readonly Json[]) => Json[]
/** Every value at the path, in order; nothing where it leads nowhere. */
export type JsonPath = (root: unknown) => readonly Json[]

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const members = (value: Json): Json[] =>
  Array.isArray(value)
    ? [...(value as readonly Json[])]
    : isObject(value)
      ? Object.values(value).filter((member): member is Json => member !== undefined)
      : []
const perValue =
  (take: (value: Json) => readonly Json[]): Step =>
  (values) =>
    values.flatMap(take)

/** Compiles a path such as .spec.ports[?(@.name=="web")].port. Throws JsonPathError. */
export function compileJsonPath(text: string): JsonPath {
  const reader = new Reader(text)
  const steps = readSteps(reader)
  if (!reader.done) throw new JsonPathError(`unrecognized character in path: ${reader.rest}`)
  return (root) => run(steps, [root as Json])
}
const run = (steps: readonly Step[], start: readonly Json[]): Json[] => {
  let values = [...start]
  for (const step of steps) values = step(values)
  return values
}

class Reader {
  readonly text: string
  at = 0
  constructor(text: string) {
    this.text = text
  }
  get done(): boolean {
    return this.at >= this.text.length
  }
  get rest(): string {
    return this.text.slice(this.at)
  }
  peek(expected: string): boolean {
    return this.text.startsWith(expected, this.at)
  }
  take(expected: string): boolean {
    if (!this.peek(expected)) return false
    this.at += expected.length
    return true
  }
  match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at
    const found = pattern.exec(this.text)
    if (found === null || found.index !== this.at) return undefined
    this.at += found[0].length
    return found[0]
  }
}

function readSteps(reader: Reader): Step[] {
  const steps: Step[] = []
  reader.take('$')
  while (!reader.done) {
    if (reader.take('..')) {
      steps.push(descend)
      if (!reader.peek('[')) steps.push(readName(reader))
    } else if (reader.take('.')) {
      if (!reader.done && !reader.peek('[')) steps.push(readName(reader))
    } else if (reader.peek('[')) steps.push(readBracket(reader))
    else break
  }
  return steps
}

/** The values themselves and everything below them. */
const descend: Step = (values) => {
  const below = (value: Json): Json[] => [value, ...members(value).flatMap(below)]
  return values.flatMap(below)
}
const wildcard: Step = perValue(members)
const named = (name: string): Step =>
  perValue((value) => {
    const member = isObject(value) ? ownMember(value, name) : undefined
    return member === undefined ? [] : [member]
  })

function readName(reader: Reader): Step {
  if (reader.take('*')) return wildcard
  const name = reader.match(/(?:\\.|[^\s.[\](){}'"=<>!@|,*?\\])+/y)
  if (name === undefined) throw new JsonPathError(`invalid path: ${reader.rest}`)
  return named(name.replace(/\\(.)/g, '$1'))
}

function readBracket(reader: Reader): Step {
  reader.take('[')
  if (reader.take('?(')) return readFilter(reader)
  const parts: Step[] = []
  do {
    reader.match(/\s*/y)
    parts.push(readMember(reader))
    reader.match(/\s*/y)
  } while (reader.take(','))
  if (!reader.take(']')) throw new JsonPathError('unterminated array')
  const [only] = parts
  return parts.length === 1 && only !== undefined
    ? only
    : (values) => values.flatMap((value) => parts.flatMap((part) => part([value])))
}

function readMember(reader: Reader): Step {
  if (reader.take('*')) return wildcard
  const quoted = readQuoted(reader)
  if (quoted !== undefined) return named(quoted)
  const range = reader.match(/-?\d*(?::-?\d*){0,2}/y) ?? ''
  if (range === '') throw new JsonPathError(`invalid array index ${reader.rest}`)
  const [from = '', to, by = ''] = range.split(':')
  return perValue((value) => {
    if (!Array.isArray(value)) return []
    const list = value as readonly Json[]
    if (to === undefined) {
      const item = list.at(Number(from))
      return item === undefined ? [] : [item]
    }
    const slice = list.slice(from === '' ? 0 : Number(from), to === '' ? list.length : Number(to))
    const stride = by === '' ? 1 : Math.max(1, Number(by))
    return slice.filter((_, i) => i % stride === 0)
  })
}
function readQuoted(reader: Reader): string | undefined {
  const text = reader.match(/'(?:[^'\\]|\\.)*'/y) ?? reader.match(/"(?:[^"\\]|\\.)*"/y)
  return text?.slice(1, -1).replace(/\\(.)/g, '$1')
}

type Operand = (item: Json) => Json | undefined
const operators: Readonly<Record<string, (a: Json | undefined, b: Json | undefined) => boolean>> = {
  '==': (a, b) => a === b,
  '!=': (a, b) => a !== b,
  '>=': (a, b) => comparable(a, b) && (a as number) >= (b as number),
  '<=': (a, b) => comparable(a, b) && (a as number) <= (b as number),
  '>': (a, b) => comparable(a, b) && (a as number) > (b as number),
  '<': (a, b) => comparable(a, b) && (a as number) < (b as number),
}
const comparable = (a: Json | undefined, b: Json | undefined): boolean =>
  (typeof a === 'number' && typeof b === 'number') || (typeof a === 'string' && typeof b === 'string')

/** [?(@.type=="Ready")]: the items for which the comparison holds, or that have the member where there is none. */
function readFilter(reader: Reader): Step {
  const left = readOperand(reader)
  reader.match(/\s*/y)
  const symbol = reader.match(/==|!=|>=|<=|>|</y)
  let test: (item: Json) => boolean = (item) => left(item) !== undefined
  if (symbol !== undefined) {
    reader.match(/\s*/y)
    const right = readOperand(reader)
    const compare = operators[symbol]
    test = (item) => compare?.(left(item), right(item)) === true
  }
  reader.match(/\s*/y)
  if (!reader.take(')]')) throw new JsonPathError('unterminated filter')
  return perValue((value) => members(value).filter(test))
}
function readOperand(reader: Reader): Operand {
  reader.match(/\s*/y)
  if (reader.take('@')) {
    const steps = readSteps(reader)
    return (item) => run(steps, [item])[0]
  }
  const quoted = readQuoted(reader)
  if (quoted !== undefined) return () => quoted
  const word = reader.match(/true|false|null|-?\d+(?:\.\d+)?/y)
  if (word === undefined) throw new JsonPathError(`unrecognized character in filter: ${reader.rest}`)
  const value = JSON.parse(word) as Json
  return () => value
}

/** How a value is printed: text as it is, everything else as JSON. */
export const printFound = (values: readonly Json[]): string =>
  values.map((value) => (typeof value === 'string' ? value : JSON.stringify(value))).join(' ')

/** A plain member path (.spec.replicas) as its names; undefined for anything with indexes or filters. */
export function memberPath(text: string): readonly string[] | undefined {
  const names = /^(?:\.(?:\\.|[^.[\]'"\\*@?$()\s])+)+$/.test(text) ? text.slice(1).match(/(?:\\.|[^.\\])+/g) : null
  return names === null ? undefined : names.map((name) => name.replace(/\\(.)/g, '$1'))
}
