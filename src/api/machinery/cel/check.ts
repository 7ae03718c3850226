// The static side of CEL: undeclared names, undefined fields, calls that no overload fits, and how much an expression can
// cost at worst. What cannot be known before it runs is dyn and checked when it runs.
import type { Overload } from './functions.ts'
import type { Node } from './syntax.ts'
import {
  assignable,
  type Bindings,
  type CelType,
  dyn,
  int,
  isDyn,
  join,
  printType,
  string,
  substitute,
} from './types.ts'
import * as t from './types.ts'

export interface Problem {
  readonly message: string
  readonly at: number
}
export interface Declarations {
  readonly variables: ReadonlyMap<string, CelType>
  /** By name; methods and global functions together. */
  readonly functions: ReadonlyMap<string, readonly Overload[]>
  /** Types that can be built with TYPE{...}. */
  readonly structs?: Pick<ReadonlyMap<string, CelType>, 'get'>
}
export interface Checked {
  readonly type: CelType
  readonly problems: readonly Problem[]
  readonly types: ReadonlyMap<Node, CelType>
}

type Scope = ReadonlyMap<string, CelType>
const extend = (scope: Scope, ...names: (readonly [string, CelType])[]): Scope => new Map([...scope, ...names])

/** Types every node and collects what is wrong. */
export function checkCel(root: Node, declarations: Declarations): Checked {
  const checker = new Checker(declarations)
  const type = checker.visit(root, declarations.variables)
  return { type, problems: checker.problems, types: checker.types }
}

const typeNames = new Map<string, string>(
  ['bool', 'int', 'uint', 'double', 'string', 'bytes', 'list', 'map', 'null_type', 'type'].map((name) => [name, name]),
)
export const isTypeName = (name: string): boolean =>
  typeNames.has(name) ||
  name === 'google.protobuf.Timestamp' ||
  name === 'google.protobuf.Duration' ||
  name === 'optional_type'
/** a.b.c of nested selects, when it is nothing but names. */
export function dottedName(node: Node): string | undefined {
  if (node.kind === 'ident') return node.name
  if (node.kind !== 'select' || node.test || node.optional) return undefined
  const left = dottedName(node.operand)
  return left === undefined ? undefined : `${left}.${node.field}`
}

class Checker {
  readonly problems: Problem[] = []
  readonly types = new Map<Node, CelType>()
  private readonly declarations: Declarations
  constructor(declarations: Declarations) {
    this.declarations = declarations
  }
  visit(node: Node, scope: Scope): CelType {
    const type = this.infer(node, scope)
    this.types.set(node, type)
    return type
  }
  private problem(message: string, at: number): CelType {
    this.problems.push({ message, at })
    return dyn
  }

  private infer(node: Node, scope: Scope): CelType {
    switch (node.kind) {
      case 'literal':
        return literalType(node.value)
      case 'ident':
        return (
          scope.get(node.name) ??
          (isTypeName(node.name)
            ? t.type
            : this.problem(`undeclared reference to '${node.name}' (in container '')`, node.at))
        )
      case 'select':
        return this.select(node, scope)
      case 'index':
        return this.index(node, scope)
      case 'call':
        return this.call(node, scope)
      case 'list': {
        const types = node.elements.map(({ value, optional }) => unwrap(this.visit(value, scope), optional))
        return { kind: 'list', of: types.length === 0 ? dyn : types.reduce(join), max: types.length }
      }
      case 'map': {
        const keys = node.entries.map(({ key }) => this.visit(key, scope))
        const values = node.entries.map(({ value, optional }) => unwrap(this.visit(value, scope), optional))
        const of = (types: CelType[]) => (types.length === 0 ? dyn : types.reduce(join))
        return { kind: 'map', key: of(keys), value: of(values), max: node.entries.length }
      }
      case 'struct':
        return this.struct(node, scope)
      case 'macro':
        return this.macro(node, scope)
      case 'bind': {
        const value = this.visit(node.value, scope)
        return this.visit(node.body, extend(scope, [node.variable, value]))
      }
      case 'optMap': {
        const operand = this.visit(node.operand, scope)
        const inner = operand.kind === 'optional' ? operand.of : dyn
        const body = this.visit(node.body, extend(scope, [node.variable, inner]))
        return node.flat ? body : t.optionalOf(body)
      }
    }
  }

  private select(node: Node & { kind: 'select' }, scope: Scope): CelType {
    const name = dottedName(node)
    if (name !== undefined && isTypeName(name)) return t.type
    const operand = this.visit(node.operand, scope)
    const chained = operand.kind === 'optional'
    const found = this.member(chained ? operand.of : operand, node.field, node.at)
    if (node.test) return t.bool
    return node.optional || chained ? t.optionalOf(found) : found
  }
  private member(operand: CelType, field: string, at: number): CelType {
    if (operand.kind === 'object') return operand.field(field) ?? this.problem(`undefined field '${field}'`, at)
    if (operand.kind === 'map') return operand.value
    if (isDyn(operand) || operand.kind === 'variable') return dyn
    return this.problem(`type '${printType(operand)}' does not support field selection`, at)
  }
  private index(node: Node & { kind: 'index' }, scope: Scope): CelType {
    const operand = this.visit(node.operand, scope)
    const index = this.visit(node.index, scope)
    const chained = operand.kind === 'optional'
    const inner = chained ? operand.of : operand
    const found =
      inner.kind === 'list' && assignable(int, index, new Map())
        ? inner.of
        : inner.kind === 'map' && assignable(inner.key, index, new Map())
          ? inner.value
          : inner.kind === 'object' && assignable(string, index, new Map())
            ? dyn
            : isDyn(inner)
              ? dyn
              : this.problem(noOverload('_[_]', [operand, index], false), node.at)
    return node.optional || chained ? t.optionalOf(found) : found
  }

  private call(node: Node & { kind: 'call' }, scope: Scope): CelType {
    if (node.name === '&&' || node.name === '||' || node.name === '_?_:_') return this.logic(node, scope)
    // a function of a namespace, such as optional.of, is no method of a variable
    const space = node.target === undefined ? undefined : dottedName(node.target)
    const global = space === undefined ? undefined : this.declarations.functions.get(`${space}.${node.name}`)
    const isGlobal = node.target === undefined || (global !== undefined && !scope.has(space?.split('.')[0] ?? ''))
    const args = node.args.map((arg) => this.visit(arg, scope))
    const types = isGlobal ? args : [this.visit(node.target as Node, scope), ...args]
    const name = isGlobal && space !== undefined ? `${space}.${node.name}` : node.name
    const overloads = this.declarations.functions.get(name)?.filter(({ method }) => method !== isGlobal) ?? []
    if (overloads.length === 0) {
      return this.problem(`undeclared reference to '${name}' (in container '')`, node.at)
    }
    const results = overloads.flatMap((overload): CelType[] => {
      const bindings: Bindings = new Map()
      const fits =
        overload.params.length === types.length &&
        overload.params.every((param, i) => assignable(param, types[i] as CelType, bindings))
      return fits ? [substitute(overload.result, bindings)] : []
    })
    const [first, ...others] = results
    if (first === undefined) return this.problem(noOverload(name, types, !isGlobal), node.at)
    return others.reduce(join, first)
  }
  private logic(node: Node & { kind: 'call' }, scope: Scope): CelType {
    const types = node.args.map((arg) => this.visit(arg, scope))
    const conditions = node.name === '_?_:_' ? types.slice(0, 1) : types
    if (!conditions.every((type) => assignable(t.bool, type, new Map()))) {
      this.problem(noOverload(node.name === '_?_:_' ? '_?_:_' : `_${node.name}_`, types, false), node.at)
    }
    return node.name === '_?_:_' ? join(types[1] ?? dyn, types[2] ?? dyn) : t.bool
  }

  private struct(node: Node & { kind: 'struct' }, scope: Scope): CelType {
    const type = this.declarations.structs?.get(node.type)
    if (type === undefined) this.problem(`undeclared reference to '${node.type}' (in container '')`, node.at)
    for (const { name, value } of node.fields) {
      this.visit(value, scope)
      if (type?.kind === 'object' && type.field(name) === undefined) this.problem(`undefined field '${name}'`, value.at)
    }
    return type ?? dyn
  }

  private macro(node: Node & { kind: 'macro' }, scope: Scope): CelType {
    const range = this.visit(node.range, scope)
    const [key, value] = this.iterated(range, node)
    const [first = '', second] = node.variables
    const inner =
      second === undefined
        ? extend(scope, [first, range.kind === 'map' || range.kind === 'object' ? key : value])
        : extend(scope, [first, key], [second, value])
    if (node.filter !== undefined) this.condition(node.filter, inner)
    switch (node.macro) {
      case 'all':
      case 'exists':
      case 'exists_one':
        this.condition(node.body, inner)
        return t.bool
      case 'filter':
        this.condition(node.body, inner)
        return range.kind === 'map' || range.kind === 'object' ? { ...t.listOf(key), ...sized(range) } : range
      case 'sortBy':
        this.visit(node.body, inner)
        return range
      case 'map':
      case 'transformList':
        return { kind: 'list', of: this.visit(node.body, inner), ...sized(range) }
      case 'transformMap':
        return { kind: 'map', key, value: this.visit(node.body, inner), ...sized(range) }
      case 'transformMapEntry': {
        const entry = this.visit(node.body, inner)
        return entry.kind === 'map' ? { ...entry, ...sized(range) } : t.mapOf(dyn, dyn)
      }
    }
  }
  /** Types of key (or position) and value of what is iterated over. */
  private iterated(range: CelType, node: Node): readonly [CelType, CelType] {
    if (range.kind === 'list') return [int, range.of]
    if (range.kind === 'map') return [range.key, range.value]
    if (range.kind === 'object') return [string, dyn]
    if (!isDyn(range))
      this.problem(
        `expression of type '${printType(range)}' cannot be range of a comprehension (must be list, map, or dynamic)`,
        node.at,
      )
    return [dyn, dyn]
  }
  private condition(node: Node, scope: Scope): void {
    const type = this.visit(node, scope)
    if (!assignable(t.bool, type, new Map())) this.problem(noOverload('_&&_', [t.bool, type], false), node.at)
  }
}

const sized = (type: CelType): { max?: number } => (type.max === undefined ? {} : { max: type.max })
const unwrap = (type: CelType, optional: boolean): CelType => (optional && type.kind === 'optional' ? type.of : type)
function literalType(value: unknown): CelType {
  if (value === null) return t.nullType
  if (typeof value === 'boolean') return t.bool
  if (typeof value === 'bigint') return int
  if (typeof value === 'number') return t.double
  if (typeof value === 'string') return { ...string, max: value.length } as CelType
  return value instanceof Uint8Array ? ({ ...t.bytes, max: value.length } as CelType) : t.uint
}
const operatorNames: Readonly<Record<string, string>> = { '!_': '!_', '-_': '-_', in: '@in' }
function noOverload(name: string, types: readonly CelType[], method: boolean): string {
  const shown = operatorNames[name] ?? (/^[-+*/%<>=!]+$/.test(name) ? `_${name}_` : name)
  const [target, ...args] = types.map(printType)
  const signature = method ? `${target ?? ''}.(${args.join(', ')})` : `(${types.map(printType).join(', ')})`
  return `found no matching overload for '${shown}' applied to '${signature}'`
}

/** How much larger than the data an expression's work may grow; counted as upstream counts, roughly: one per step, a tenth
 * per character scanned, a comprehension its body times the largest size of its range. */
export function estimateCost(root: Node, checked: Checked, functions: Declarations['functions']): number {
  const sizeOf = (node: Node): number => checked.types.get(node)?.max ?? 1
  const cost = (node: Node): number => {
    switch (node.kind) {
      case 'literal':
        return 0
      case 'ident':
        return 1
      case 'select':
        return 1 + cost(node.operand)
      case 'index':
        return 1 + cost(node.operand) + cost(node.index)
      case 'list':
        return 10 + sum(node.elements.map(({ value }) => cost(value)))
      case 'map':
        return 30 + sum(node.entries.flatMap(({ key, value }) => [cost(key), cost(value)]))
      case 'struct':
        return 40 + sum(node.fields.map(({ value }) => cost(value)))
      case 'bind':
        return 1 + cost(node.value) + cost(node.body)
      case 'optMap':
        return 1 + cost(node.operand) + cost(node.body)
      case 'macro': {
        const step = 2 + cost(node.body) + (node.filter === undefined ? 0 : cost(node.filter))
        return cost(node.range) + 1 + (sizeOf(node.range) || 0) * step
      }
      case 'call':
        return callCost(node)
    }
  }
  const callCost = (node: Node & { kind: 'call' }): number => {
    const operands = node.target === undefined ? node.args : [node.target, ...node.args]
    const own = sum(operands.map(cost))
    if (node.name === '_?_:_') {
      const [condition, yes, no] = node.args.map(cost)
      return (condition ?? 0) + Math.max(yes ?? 0, no ?? 0)
    }
    const grows = functions.get(node.name)?.map((overload) => overload.cost) ?? []
    const sizes = operands.map(sizeOf)
    const scanned = Math.ceil(
      0.1 * (node.name === '==' || node.name === '!=' ? Math.min(...sizes) : Math.max(0, ...sizes)),
    )
    if (grows.includes('regex'))
      return own + Math.ceil(0.1 * (sizes[0] ?? 0)) * Math.max(1, Math.ceil(0.25 * (sizes[1] ?? 0)))
    if (grows.includes('product'))
      return own + Math.ceil(0.1 * (sizes[0] ?? 0)) * Math.max(1, Math.ceil(0.1 * (sizes[1] ?? 0)))
    return own + (grows.includes('scan') ? Math.max(1, scanned) : 1)
  }
  return cost(root)
}
const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)
