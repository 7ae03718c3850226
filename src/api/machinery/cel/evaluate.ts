// Runs a CEL expression: the tree becomes closures once, which then run over the data many times. Every step is paid from
// a budget; when that is empty, the evaluation ends.
import { dottedName, isTypeName } from './check.ts'
import { indexed, itemsOf, type Overload } from './functions.ts'
import type { Node } from './syntax.ts'
import type { CelType } from './types.ts'
import {
  CelError,
  ComputedStruct,
  Duration,
  equals,
  isKey,
  ListValue,
  MapValue,
  none,
  noSuchKey,
  noSuchOverload,
  Opaque,
  Optional,
  type Result,
  Timestamp,
  TypeValue,
  Uint,
  type Value,
} from './values.ts'

/** The budget of an evaluation is spent; it is not an error that the expression could absorb. */
export class CostExceeded extends Error {}

export interface Frame {
  readonly variables: ReadonlyMap<string, Value>
  /** Variables of comprehensions, innermost last. */
  readonly locals: (readonly [string, Value])[]
  budget: number
}
export type Step = (frame: Frame) => Result
type Functions = ReadonlyMap<string, readonly Overload[]>

const pay = (frame: Frame, cost: number): void => {
  frame.budget -= cost
  if (frame.budget < 0) throw new CostExceeded('operation cancelled: actual cost limit exceeded')
}

/** Makes the closure of an expression. `known` are the names of variables. */
export function planCel(node: Node, functions: Functions, known: ReadonlySet<string>): Step {
  return new Planner(functions).plan(node, known)
}

class StructValue extends MapValue {
  override readonly type: string
  constructor(type: string, entries: readonly (readonly [Value, Value])[]) {
    super(entries)
    this.type = type
  }
}

class Planner {
  private readonly functions: Functions
  constructor(functions: Functions) {
    this.functions = functions
  }

  plan(node: Node, known: ReadonlySet<string>): Step {
    switch (node.kind) {
      case 'literal': {
        const { value } = node
        const constant: Value =
          typeof value === 'object' && value !== null && 'unsigned' in value ? new Uint(value.unsigned) : value
        return () => constant
      }
      case 'ident':
        return this.ident(node.name)
      case 'select':
        return this.select(node, known)
      case 'index':
        return this.index(node, known)
      case 'call':
        return this.call(node, known)
      case 'list':
        return this.list(node, known)
      case 'map':
        return this.map(node, known)
      case 'struct':
        return this.struct(node, known)
      case 'macro':
        return this.macro(node, known)
      case 'bind': {
        const value = this.plan(node.value, known)
        const body = this.plan(node.body, new Set([...known, node.variable]))
        return (frame) => {
          const bound = value(frame)
          return bound instanceof CelError ? bound : within(frame, [[node.variable, bound]], body)
        }
      }
      case 'optMap': {
        const operand = this.plan(node.operand, known)
        const body = this.plan(node.body, new Set([...known, node.variable]))
        return (frame) => {
          const value = operand(frame)
          if (value instanceof CelError) return value
          if (!(value instanceof Optional)) return noSuchOverload()
          if (value.value === undefined) return none
          const result = within(frame, [[node.variable, value.value]], body)
          return result instanceof CelError || node.flat ? result : new Optional(result)
        }
      }
    }
  }

  private ident(name: string): Step {
    return (frame) => {
      pay(frame, 1)
      for (let i = frame.locals.length - 1; i >= 0; i--) {
        const local = frame.locals[i] as readonly [string, Value]
        if (local[0] === name) return local[1]
      }
      const value = frame.variables.get(name)
      if (value !== undefined) return value
      return isTypeName(name) ? new TypeValue(name) : new CelError(`no such attribute: ${name}`)
    }
  }
  private select(node: Node & { kind: 'select' }, known: ReadonlySet<string>): Step {
    const name = dottedName(node)
    if (name !== undefined && isTypeName(name)) return () => new TypeValue(name)
    const operand = this.plan(node.operand, known)
    const { field, test, optional } = node
    return (frame) => {
      pay(frame, 1)
      const value = operand(frame)
      if (value instanceof CelError) return value
      const chained = value instanceof Optional
      const inner = chained ? value.value : value
      if (inner === undefined) return test ? false : none
      if (!(inner instanceof MapValue)) return noSuchOverload()
      const member = inner instanceof ComputedStruct ? inner.read(field) : inner.get(field)
      if (member instanceof CelError) return member
      if (test) return member !== undefined
      if (optional || chained) return member === undefined ? none : new Optional(member)
      return member === undefined ? noSuchKey(field) : member
    }
  }
  private index(node: Node & { kind: 'index' }, known: ReadonlySet<string>): Step {
    const operand = this.plan(node.operand, known)
    const position = this.plan(node.index, known)
    return (frame) => {
      pay(frame, 1)
      const value = operand(frame)
      if (value instanceof CelError) return value
      const index = position(frame)
      if (index instanceof CelError) return index
      const chained = value instanceof Optional
      const inner = chained ? value.value : value
      if (inner === undefined) return none
      const member = indexed(inner, index)
      if (!node.optional && !chained) return member
      return member instanceof CelError ? none : new Optional(member)
    }
  }

  private list(node: Node & { kind: 'list' }, known: ReadonlySet<string>): Step {
    const elements = node.elements.map(({ value, optional }) => [this.plan(value, known), optional] as const)
    return (frame) => {
      pay(frame, 10)
      const items: Value[] = []
      for (const [step, optional] of elements) {
        const value = step(frame)
        if (value instanceof CelError) return value
        if (!optional) items.push(value)
        else if (!(value instanceof Optional)) return noSuchOverload()
        else if (value.value !== undefined) items.push(value.value)
      }
      return new ListValue(items)
    }
  }
  private map(node: Node & { kind: 'map' }, known: ReadonlySet<string>): Step {
    const planned = node.entries.map(
      ({ key, value, optional }) => [this.plan(key, known), this.plan(value, known), optional] as const,
    )
    return (frame) => {
      pay(frame, 30)
      const entries: [Value, Value][] = []
      for (const [keyStep, valueStep, optional] of planned) {
        const key = keyStep(frame)
        if (key instanceof CelError) return key
        const value = valueStep(frame)
        if (value instanceof CelError) return value
        if (!isKey(key)) return new CelError('unsupported key type')
        if (entries.some(([known]) => equals(known, key))) return new CelError('Failed with repeated key')
        if (!optional) entries.push([key, value])
        else if (!(value instanceof Optional)) return noSuchOverload()
        else if (value.value !== undefined) entries.push([key, value.value])
      }
      return new MapValue(entries)
    }
  }
  private struct(node: Node & { kind: 'struct' }, known: ReadonlySet<string>): Step {
    const planned = node.fields.map(({ name, value, optional }) => [name, this.plan(value, known), optional] as const)
    return (frame) => {
      pay(frame, 40)
      const entries: [Value, Value][] = []
      for (const [name, step, optional] of planned) {
        const value = step(frame)
        if (value instanceof CelError) return value
        if (!optional) entries.push([name, value])
        else if (!(value instanceof Optional)) return noSuchOverload()
        else if (value.value !== undefined) entries.push([name, value.value])
      }
      return new StructValue(node.type, entries)
    }
  }

  private call(node: Node & { kind: 'call' }, known: ReadonlySet<string>): Step {
    const { name, args } = node
    if (name === '&&' || name === '||') return this.logic(args, name === '||', known)
    if (name === '_?_:_') {
      const [condition, yes, no] = args.map((arg) => this.plan(arg, known)) as [Step, Step, Step]
      return (frame) => {
        const value = condition(frame)
        if (typeof value === 'boolean') return value ? yes(frame) : no(frame)
        return value instanceof CelError ? value : noSuchOverload()
      }
    }
    const space = node.target === undefined ? undefined : dottedName(node.target)
    const qualified = space === undefined ? name : `${space}.${name}`
    const isGlobal =
      node.target === undefined ||
      (space !== undefined && this.functions.has(qualified) && !known.has(space.split('.')[0] ?? ''))
    const overloads = (this.functions.get(isGlobal ? qualified : name) ?? []).filter(
      (overload) => overload.method !== isGlobal && overload.params.length === args.length + (isGlobal ? 0 : 1),
    )
    const operands = (isGlobal ? args : [node.target as Node, ...args]).map((arg) => this.plan(arg, known))
    return (frame) => {
      const values: Value[] = []
      for (const operand of operands) {
        const value = operand(frame)
        if (value instanceof CelError) return value
        values.push(value)
      }
      for (const overload of overloads) {
        if (!overload.params.every((param, i) => fits(param, values[i] as Value))) continue
        pay(frame, runtimeCost(overload, values))
        return (overload.run as (...values: Value[]) => Result)(...values)
      }
      return noSuchOverload()
    }
  }
  /** An error on one side is forgotten when the other side decides. */
  private logic(args: readonly Node[], decisive: boolean, known: ReadonlySet<string>): Step {
    const [left, right] = args.map((arg) => this.plan(arg, known)) as [Step, Step]
    return (frame) => {
      const first = left(frame)
      if (first === decisive) return decisive
      const second = right(frame)
      if (second === decisive) return decisive
      if (typeof first === 'boolean' && typeof second === 'boolean') return !decisive
      if (first instanceof CelError) return first
      return second instanceof CelError ? second : noSuchOverload()
    }
  }

  private macro(node: Node & { kind: 'macro' }, known: ReadonlySet<string>): Step {
    const range = this.plan(node.range, known)
    const inner = new Set([...known, ...node.variables])
    const body = this.plan(node.body, inner)
    const filter = node.filter === undefined ? undefined : this.plan(node.filter, inner)
    const [first = '', second] = node.variables
    const locals = (key: Value, value: Value, isMap: boolean): (readonly [string, Value])[] =>
      second === undefined
        ? [[first, isMap ? key : value]]
        : [
            [first, key],
            [second, value],
          ]
    return (frame) => {
      const source = range(frame)
      if (source instanceof CelError) return source
      if (!(source instanceof ListValue) && !(source instanceof MapValue)) return noSuchOverload()
      return iterate(node.macro, source, (key, value) => {
        pay(frame, 1)
        const names = locals(key, value, source instanceof MapValue)
        if (filter !== undefined) {
          const kept = within(frame, names, filter)
          if (kept instanceof CelError) return kept
          if (kept !== true) return kept === false ? undefined : noSuchOverload()
        }
        return within(frame, names, body)
      })
    }
  }
}

function within(frame: Frame, locals: readonly (readonly [string, Value])[], step: Step): Result {
  frame.locals.push(...locals)
  const result = step(frame)
  frame.locals.length -= locals.length
  return result
}

/** `visit` answers undefined for what a filter leaves out. */
type Visit = (key: Value, value: Value) => Result | undefined
function iterate(macro: (Node & { kind: 'macro' })['macro'], source: ListValue | MapValue, visit: Visit): Result {
  const entries: (readonly [Value, Value])[] =
    source instanceof ListValue
      ? itemsOf(source).map((item, i) => [BigInt(i), item] as const)
      : source.keys().map((key) => [key, source.get(key) as Value] as const)
  switch (macro) {
    case 'all':
    case 'exists':
      return quantify(entries, visit, macro === 'exists')
    case 'exists_one': {
      let found = 0
      for (const [key, value] of entries) {
        const holds = visit(key, value)
        if (holds instanceof CelError) return holds
        if (typeof holds !== 'boolean') return noSuchOverload()
        if (holds) found++
      }
      return found === 1
    }
    case 'filter': {
      const kept: Value[] = []
      for (const [key, value] of entries) {
        const holds = visit(key, value)
        if (holds instanceof CelError) return holds
        if (typeof holds !== 'boolean') return noSuchOverload()
        if (holds) kept.push(source instanceof MapValue ? key : value)
      }
      return new ListValue(kept)
    }
    case 'map':
    case 'transformList': {
      const made = collect(entries, visit)
      return made instanceof CelError ? made : new ListValue(made.map(([, value]) => value))
    }
    case 'transformMap': {
      const made = collect(entries, visit)
      return made instanceof CelError ? made : new MapValue(made)
    }
    case 'transformMapEntry': {
      const made = collect(entries, visit)
      return made instanceof CelError ? made : merged(made.map(([, value]) => value))
    }
    case 'sortBy': {
      const made = collect(entries, visit)
      if (made instanceof CelError) return made
      const rank = (value: Value) =>
        value instanceof Timestamp || value instanceof Duration
          ? value.nanos
          : value instanceof Uint
            ? value.value
            : value
      const sorted = entries
        .map(([, value], i) => [value, rank((made[i] as readonly [Value, Value])[1])] as const)
        .sort(([, a], [, b]) => ((a as string) < (b as string) ? -1 : (a as string) > (b as string) ? 1 : 0))
      return new ListValue(sorted.map(([value]) => value))
    }
  }
}
/** all and exists: an error counts only when nothing decides. */
function quantify(entries: readonly (readonly [Value, Value])[], visit: Visit, decisive: boolean): Result {
  let error: CelError | undefined
  for (const [key, value] of entries) {
    const holds = visit(key, value)
    if (holds === decisive) return decisive
    if (holds instanceof CelError) error ??= holds
    else if (typeof holds !== 'boolean') error ??= noSuchOverload()
  }
  return error ?? !decisive
}
function collect(entries: readonly (readonly [Value, Value])[], visit: Visit): [Value, Value][] | CelError {
  const made: [Value, Value][] = []
  for (const [key, value] of entries) {
    const result = visit(key, value)
    if (result instanceof CelError) return result
    if (result !== undefined) made.push([key, result])
  }
  return made
}
function merged(maps: readonly Value[]): Result {
  const entries: [Value, Value][] = []
  for (const map of maps) {
    if (!(map instanceof MapValue)) return noSuchOverload()
    for (const key of map.keys()) {
      if (entries.some(([known]) => equals(known, key))) return new CelError('insert failed: key already exists')
      entries.push([key, map.get(key) as Value])
    }
  }
  return new MapValue(entries)
}

/** Whether a value may be passed where a parameter of this type stands. */
function fits(param: CelType, value: Value): boolean {
  switch (param.kind) {
    case 'variable':
      return true
    case 'list':
      return value instanceof ListValue
    case 'map':
    case 'object':
      return value instanceof MapValue
    case 'optional':
      return value instanceof Optional
    case 'opaque':
      return value instanceof Opaque && value.type === param.name
    case 'scalar':
      return fitsScalar(param.name, value)
  }
}
function fitsScalar(name: (CelType & { kind: 'scalar' })['name'], value: Value): boolean {
  switch (name) {
    case 'dyn':
      return true
    case 'bool':
      return typeof value === 'boolean'
    case 'int':
      return typeof value === 'bigint'
    case 'uint':
      return value instanceof Uint
    case 'double':
      return typeof value === 'number'
    case 'string':
      return typeof value === 'string'
    case 'bytes':
      return value instanceof Uint8Array
    case 'null_type':
      return value === null
    case 'timestamp':
      return value instanceof Timestamp
    case 'duration':
      return value instanceof Duration
    case 'type':
      return value instanceof TypeValue
  }
}

function sizeOf(value: Value | undefined): number {
  if (typeof value === 'string' || value instanceof Uint8Array) return value.length
  return value instanceof ListValue || value instanceof MapValue ? value.size : 1
}
function runtimeCost(overload: Overload, values: readonly Value[]): number {
  const [a, b] = [sizeOf(values[0]), sizeOf(values[1])]
  switch (overload.cost) {
    case 'constant':
      return 1
    case 'scan':
      return Math.max(1, Math.ceil(0.1 * Math.max(a, b)))
    case 'regex':
      return Math.max(1, Math.ceil(0.1 * a) * Math.ceil(0.25 * b))
    case 'product':
      return Math.max(1, Math.ceil(0.1 * a) * Math.ceil(0.1 * b))
  }
}
