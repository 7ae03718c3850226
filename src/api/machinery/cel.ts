// CEL, the expression language of validation rules and admission policies: compile once against declared variables, run
// within a budget. The engine is ours, for Kubernetes needs types, costs and libraries that no package has.
import { checkCel, type Declarations, estimateCost } from './cel/check.ts'
import { CostExceeded, planCel } from './cel/evaluate.ts'
import { extensionFunctions } from './cel/extensions.ts'
import { type Overload, standardFunctions } from './cel/functions.ts'
import { kubernetesFunctions } from './cel/kubernetes.ts'
import { CelSyntaxError, type Node, parseCel } from './cel/syntax.ts'
import { assignable, type CelType, printType } from './cel/types.ts'
import { CelError, type Value } from './cel/values.ts'

export interface CelOptions {
  /** What the expression may read, with types (cel/types.ts; typeOf(schema) for an object). */
  readonly variables: Readonly<Record<string, CelType>>
  /** What it must answer; default anything. */
  readonly result?: CelType
  readonly functions?: readonly Overload[]
  readonly structs?: Pick<ReadonlyMap<string, CelType>, 'get'>
}
export type CelAnswer =
  | { readonly ok: true; readonly value: Value; readonly cost: number }
  | { readonly ok: false; readonly error: string; readonly costExceeded: boolean; readonly cost: number }
export interface CelProgram {
  readonly type: CelType
  /** The most that a run can cost, from the declared sizes. */
  readonly estimatedCost: number
  /** The names of variables that the expression reads. */
  readonly reads: ReadonlySet<string>
  readonly run: (variables: Readonly<Record<string, Value>>, budget?: number) => CelAnswer
}
export type Compiled =
  | { readonly ok: true; readonly program: CelProgram }
  | { readonly ok: false; readonly error: string }

/** What one evaluation may cost at run time. */
export const perCallBudget = 1_000_000

const index = (functions: readonly Overload[]): Map<string, Overload[]> => {
  const byName = new Map<string, Overload[]>()
  for (const overload of functions) byName.set(overload.name, [...(byName.get(overload.name) ?? []), overload])
  return byName
}
let known: ReadonlyMap<string, readonly Overload[]> | undefined
function functionsFor(extra: readonly Overload[] | undefined): Declarations['functions'] {
  known ??= index([...standardFunctions, ...extensionFunctions, ...kubernetesFunctions])
  if (extra === undefined) return known
  const all = new Map(known)
  for (const [name, overloads] of index(extra)) all.set(name, [...(all.get(name) ?? []), ...overloads])
  return all
}

/** Parses, checks and plans an expression. The error is as upstream prints it, with the place in the source. */
export function compileCel(source: string, options: CelOptions): Compiled {
  let root: Node
  try {
    root = parseCel(source)
  } catch (error) {
    if (error instanceof CelSyntaxError) return { ok: false, error: located(source, error.message, error.at) }
    throw error
  }
  const functions = functionsFor(options.functions)
  const variables = new Map(Object.entries(options.variables))
  const checked = checkCel(root, {
    variables,
    functions,
    ...(options.structs === undefined ? {} : { structs: options.structs }),
  })
  if (checked.problems.length > 0) {
    return { ok: false, error: checked.problems.map(({ message, at }) => located(source, message, at)).join('\n') }
  }
  if (options.result !== undefined && !assignable(options.result, checked.type, new Map())) {
    return { ok: false, error: `must evaluate to ${printType(options.result)}` }
  }
  const step = planCel(root, functions, new Set(variables.keys()))
  return {
    ok: true,
    program: {
      type: checked.type,
      estimatedCost: estimateCost(root, checked, functions),
      reads: namesIn(root),
      run: (values, budget = perCallBudget) => {
        const frame = { variables: new Map(Object.entries(values)), locals: [], budget }
        try {
          const value = step(frame)
          const cost = budget - frame.budget
          return value instanceof CelError
            ? { ok: false, error: value.message, costExceeded: false, cost }
            : { ok: true, value, cost }
        } catch (error) {
          if (error instanceof CostExceeded)
            return { ok: false, error: error.message, costExceeded: true, cost: budget }
          throw error
        }
      },
    },
  }
}

function located(source: string, message: string, at: number): string {
  const before = source.slice(0, at)
  const line = before.split('\n').length
  const column = at - (before.lastIndexOf('\n') + 1)
  const text = source.split('\n')[line - 1] ?? ''
  return `ERROR: <input>:${line}:${column + 1}: ${message}\n | ${text}\n | ${'.'.repeat(column)}^`
}

/** All identifiers of an expression, locals among them. */
function namesIn(root: Node): Set<string> {
  const names = new Set<string>()
  const pending: (Node | undefined)[] = [root]
  for (let node = pending.pop(); pending.length > 0 || node !== undefined; node = pending.pop()) {
    if (node === undefined) continue
    switch (node.kind) {
      case 'ident':
        names.add(node.name)
        break
      case 'literal':
        break
      case 'select':
        pending.push(node.operand)
        break
      case 'index':
        pending.push(node.operand, node.index)
        break
      case 'call':
        pending.push(node.target, ...node.args)
        break
      case 'list':
        pending.push(...node.elements.map(({ value }) => value))
        break
      case 'map':
        pending.push(...node.entries.flatMap(({ key, value }) => [key, value]))
        break
      case 'struct':
        pending.push(...node.fields.map(({ value }) => value))
        break
      case 'macro':
        pending.push(node.range, node.filter, node.body)
        break
      case 'bind':
        pending.push(node.value, node.body)
        break
      case 'optMap':
        pending.push(node.operand, node.body)
        break
    }
  }
  return names
}
