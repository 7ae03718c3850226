// x-kubernetes-validations (KEP-2876): CEL rules of a schema, compiled once per schema and run over a value. A rule that
// mentions oldSelf runs only where there is an old value to compare with.
import { type CelProgram, type Compiled, compileCel, perCallBudget } from '../cel.ts'
import { solid } from '../compile.ts'
import { equal } from '../equal.ts'
import type { FieldError } from '../errors.ts'
import { ownMember } from '../freeze.ts'
import type { Json, JsonObject, Schema, ValidationRule } from '../schema.ts'
import { type CelType, optionalOf, typeOf } from './types.ts'
import { fromJson, none, Optional, type Value } from './values.ts'

/** What all rules may cost for one object at run time. */
export const objectBudget = 10_000_000

interface Rule {
  readonly rule: ValidationRule
  readonly program: CelProgram
  readonly message: CelProgram | undefined
  readonly transition: boolean
}
/** A rule as far as it compiles. */
export interface CompiledRule {
  readonly rule: ValidationRule
  readonly program: Compiled
  readonly message: Compiled | undefined
}

const compiled = new WeakMap<Schema, readonly CompiledRule[]>()
/** The rules that stand at a schema itself, compiled. */
export function compiledRules(schema: Schema): readonly CompiledRule[] {
  const known = compiled.get(schema)
  if (known !== undefined) return known
  const self = typeOf(schema)
  const made = (solid(schema).constraints?.rules ?? []).map((rule): CompiledRule => {
    const oldSelf: CelType = rule.optionalOldSelf === true ? optionalOf(self) : self
    const variables = { self, oldSelf }
    return {
      rule,
      program: compileCel(rule.rule, { variables }),
      message: rule.messageExpression === undefined ? undefined : compileCel(rule.messageExpression, { variables }),
    }
  })
  compiled.set(schema, made)
  return made
}

const runnable = new WeakMap<Schema, readonly Rule[]>()
/** Those that can run: definitions with others are not accepted, but may lie in the store since before. */
function rulesOf(schema: Schema): readonly Rule[] {
  const known = runnable.get(schema)
  if (known !== undefined) return known
  const made = compiledRules(schema).flatMap(({ rule, program, message }): Rule[] =>
    program.ok
      ? [
          {
            rule,
            program: program.program,
            message: message?.ok === true ? message.program : undefined,
            transition: program.program.reads.has('oldSelf'),
          },
        ]
      : [],
  )
  runnable.set(schema, made)
  return made
}

interface Run {
  budget: number
  readonly errors: FieldError[]
}
const hasRules = new WeakMap<Schema, boolean>()
/** Whether there is a rule at or below a schema. */
function anyRules(schema: Schema, depth = 0): boolean {
  const it = solid(schema)
  const known = hasRules.get(it)
  if (known !== undefined) return known
  if (depth > 100) return false
  const below =
    it.type === 'array'
      ? anyRules(it.items, depth + 1)
      : it.type === 'map'
        ? anyRules(it.values, depth + 1)
        : it.type === 'object' && Object.values(it.fields).some((field) => anyRules(field.schema, depth + 1))
  const result = (it.constraints?.rules?.length ?? 0) > 0 || below
  hasRules.set(it, result)
  return result
}

/** Runs all rules of a schema over a value that is otherwise valid; `old` on update. */
export function validateRules(schema: Schema, value: unknown, old?: unknown): FieldError[] {
  const run: Run = { budget: objectBudget, errors: [] }
  visitValue(schema, value as Json, old as Json | undefined, '', run, false)
  return run.errors
}
const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** `kept`: this is part of something that did not change, whose rules may be broken as before (ratcheting, KEP-4008). */
function visitValue(schema: Schema, value: Json, old: Json | undefined, path: string, run: Run, kept: boolean): void {
  if (!anyRules(schema) || value === null) return
  const it = solid(schema)
  const same = kept || (old !== undefined && equal(value, old))
  for (const rule of rulesOf(schema)) runRule(rule, schema, value, old, path, run, same)
  if (it.type === 'array' && Array.isArray(value)) {
    const { listType, listMapKeys } = it.list ?? {}
    const before = Array.isArray(old) ? (old as readonly Json[]) : []
    ;(value as readonly Json[]).forEach((item, i) => {
      const match =
        listType === 'map'
          ? before.find(
              (other) =>
                isObject(other) && isObject(item) && (listMapKeys ?? []).every((key) => equal(other[key], item[key])),
            )
          : undefined
      visitValue(it.items, item, match, `${path}[${i}]`, run, same)
    })
  } else if (it.type === 'map' && isObject(value)) {
    for (const [key, member] of Object.entries(value)) {
      if (member !== undefined)
        visitValue(it.values, member, isObject(old) ? ownMember(old, key) : undefined, `${path}[${key}]`, run, same)
    }
  } else if (it.type === 'object' && isObject(value)) {
    for (const [name, field] of Object.entries(it.fields)) {
      const member = ownMember(value, name)
      const at = path === '' ? name : `${path}.${name}`
      if (member !== undefined)
        visitValue(field.schema, member, isObject(old) ? ownMember(old, name) : undefined, at, run, same)
    }
  }
}

function runRule(
  { rule, program, message, transition }: Rule,
  schema: Schema,
  value: Json,
  old: Json | undefined,
  path: string,
  run: Run,
  same: boolean,
): void {
  const optional = rule.optionalOldSelf === true
  if (transition && old === undefined && !optional) return
  if (!transition && same) return
  const variables: Record<string, Value> = { self: fromJson(value, schema) }
  if (transition) {
    const before = old === undefined ? undefined : fromJson(old, schema)
    variables.oldSelf = optional ? (before === undefined ? none : new Optional(before)) : (before ?? null)
  }
  const at = `${path}${rule.fieldPath ?? ''}`.replace(/^\./, '')
  const field = at === '' ? '<nil>' : at
  const fail = (type: FieldError['type'], text: string) => run.errors.push({ type, field, message: text })
  if (run.budget <= 0) return
  const answer = program.run(variables, Math.min(run.budget, perCallBudget))
  run.budget -= answer.cost
  if (!answer.ok) {
    const shown = `Invalid value: ${JSON.stringify(typeNameOf(value))}`
    if (run.budget <= 0) {
      fail(
        'FieldValueInvalid',
        `${shown}: validation failed due to running out of cost budget, no further validation rules will be run`,
      )
    } else if (answer.costExceeded) {
      fail('FieldValueInvalid', `${shown}: call cost exceeds limit for rule: ${rule.rule}`)
    } else fail('FieldValueInvalid', `${shown}: ${answer.error} evaluating rule: ${rule.message ?? rule.rule}`)
    return
  }
  if (answer.value === true) return
  const text = sentence(rule, message, variables, run)
  // Structures are not shown, and neither is what stands somewhere else than the rule.
  const shown = typeof value === 'object' ? '' : ` ${JSON.stringify(value)}:`
  switch (rule.reason) {
    case 'FieldValueForbidden':
      return void fail('FieldValueForbidden', `Forbidden: ${text}`)
    case 'FieldValueRequired':
      return void fail('FieldValueRequired', `Required value: ${text}`)
    case 'FieldValueDuplicate':
      return void fail('FieldValueDuplicate', `Duplicate value${shown === '' ? '' : `: ${JSON.stringify(value)}`}`)
    case undefined:
    default:
      return void fail('FieldValueInvalid', `Invalid value:${shown} ${text}`)
  }
}
function typeNameOf(value: Json): string {
  if (Array.isArray(value)) return 'array'
  return typeof value === 'number' ? (Number.isInteger(value) ? 'integer' : 'number') : typeof value
}
function sentence(
  rule: ValidationRule,
  message: CelProgram | undefined,
  variables: Record<string, Value>,
  run: Run,
): string {
  const made = message?.run(variables, Math.min(Math.max(run.budget, 0), perCallBudget))
  if (made !== undefined) run.budget -= made.cost
  const text = made?.ok === true && typeof made.value === 'string' ? made.value.trim() : ''
  // an empty message, or one of several lines, is as good as none
  if (text !== '' && !text.includes('\n')) return text
  return rule.message ?? `failed rule: ${rule.rule}`
}
