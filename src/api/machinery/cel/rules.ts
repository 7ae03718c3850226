// x-kubernetes-validations (KEP-2876): CEL rules of a schema, compiled once per schema and run over a value. A rule that
// mentions oldSelf runs only where there is an old value to compare with.
import { type CelProgram, compileCel } from '../cel.ts'
import { solid } from '../compile.ts'
import { equal } from '../equal.ts'
import type { FieldError } from '../errors.ts'
import { ownMember } from '../freeze.ts'
import type { Json, JsonObject, Schema, ValidationRule } from '../schema.ts'
import { assignable, bool, type CelType, optionalOf, string, typeOf } from './types.ts'
import { fromJson, none, Optional, type Value } from './values.ts'

/** What a rule may cost at worst, by the sizes its schema declares, and all rules of a definition together. */
export const ruleCostLimit = 10_000_000
export const totalCostLimit = 100_000_000
/** What all rules may cost for one object at run time. */
export const objectBudget = 10_000_000

interface Rule {
  readonly rule: ValidationRule
  readonly program: CelProgram
  readonly message: CelProgram | undefined
  readonly transition: boolean
}
export interface RuleProblem {
  /** Where the rule stands in the schema: properties and items from the root. */
  readonly path: string
  readonly message: string
}

const compiled = new WeakMap<Schema, { readonly rules: readonly Rule[]; readonly problems: readonly string[] }>()
function rulesOf(schema: Schema) {
  const known = compiled.get(schema)
  if (known !== undefined) return known
  const it = solid(schema)
  const self = typeOf(schema)
  const rules: Rule[] = []
  const problems: string[] = []
  for (const rule of it.constraints?.rules ?? []) {
    const oldSelf: CelType = rule.optionalOldSelf === true ? optionalOf(self) : self
    const variables = { self, oldSelf }
    const made = compileCel(rule.rule, { variables, result: bool })
    const message = rule.messageExpression === undefined ? undefined : compileCel(rule.messageExpression, { variables })
    if (!made.ok) problems.push(`compilation failed: ${made.error}`)
    if (message?.ok === false) problems.push(`messageExpression compilation failed: ${message.error}`)
    if (message?.ok === true && !assignable(string, message.program.type, new Map())) {
      problems.push('messageExpression must evaluate to string')
    }
    if (!made.ok || message?.ok === false) continue
    rules.push({
      rule,
      program: made.program,
      message: message?.program,
      transition: made.program.reads.has('oldSelf'),
    })
  }
  const result = { rules, problems }
  compiled.set(schema, result)
  return result
}

/** What is wrong with the rules of a schema: they do not compile, or may cost too much. */
export function checkRules(schema: Schema): RuleProblem[] {
  const found: RuleProblem[] = []
  const seen = new Set<Schema>()
  let total = 0
  const visit = (current: Schema, path: string, times: number): void => {
    const it = solid(current)
    if (seen.has(it)) return
    seen.add(it)
    const { rules, problems } = rulesOf(current)
    for (const message of problems) found.push({ path, message })
    for (const { program } of rules) {
      const cost = program.estimatedCost * times
      total += cost
      if (cost > ruleCostLimit) found.push({ path, message: tooExpensive('estimated rule cost', cost / ruleCostLimit) })
    }
    const count = times * (typeOf(current).max ?? 1)
    if (it.type === 'array') visit(it.items, `${path}.items`, count)
    if (it.type === 'map') visit(it.values, `${path}.additionalProperties`, count)
    if (it.type === 'object') {
      for (const [name, field] of Object.entries(it.fields)) visit(field.schema, `${path}.properties[${name}]`, times)
    }
    seen.delete(it)
  }
  visit(schema, '', 1)
  if (total > totalCostLimit) {
    found.push({
      path: '',
      message: tooExpensive(
        'x-kubernetes-validations estimated cost total for entire OpenAPIv3 schema',
        total / totalCostLimit,
      ),
    })
  }
  return found
}
function tooExpensive(what: string, factor: number): string {
  const shown = factor > 100 ? 'more than 100x' : `${factor.toFixed(1)}x`
  return `${what} exceeds budget by factor of ${shown} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)`
}

interface Run {
  budget: number
  readonly errors: FieldError[]
  /** Rules may pass over what did not change (ratcheting). */
  readonly update: boolean
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
  const run: Run = { budget: objectBudget, errors: [], update: old !== undefined }
  visitValue(schema, value as Json, old as Json | undefined, '', run)
  return run.errors
}
const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function visitValue(schema: Schema, value: Json, old: Json | undefined, path: string, run: Run): void {
  if (!anyRules(schema) || value === null) return
  const it = solid(schema)
  for (const rule of rulesOf(schema).rules) runRule(rule, schema, value, old, path, run)
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
      visitValue(it.items, item, match, `${path}[${i}]`, run)
    })
  } else if (it.type === 'map' && isObject(value)) {
    for (const [key, member] of Object.entries(value)) {
      if (member !== undefined)
        visitValue(it.values, member, isObject(old) ? ownMember(old, key) : undefined, `${path}[${key}]`, run)
    }
  } else if (it.type === 'object' && isObject(value)) {
    for (const [name, field] of Object.entries(it.fields)) {
      const member = ownMember(value, name)
      const at = path === '' ? name : `${path}.${name}`
      if (member !== undefined)
        visitValue(field.schema, member, isObject(old) ? ownMember(old, name) : undefined, at, run)
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
): void {
  const optional = rule.optionalOldSelf === true
  if (transition && old === undefined && !optional) return
  if (!transition && run.update && old !== undefined && equal(value, old)) return
  const variables: Record<string, Value> = { self: fromJson(value, schema) }
  if (transition) {
    const before = old === undefined ? undefined : fromJson(old, schema)
    variables.oldSelf = optional ? (before === undefined ? none : new Optional(before)) : (before ?? null)
  }
  const field = rule.fieldPath === undefined ? path : `${path}${rule.fieldPath}`
  if (run.budget <= 0) return
  const answer = program.run(variables, Math.min(run.budget, 1_000_000))
  run.budget -= answer.cost
  if (!answer.ok) {
    const what = answer.costExceeded
      ? `call cost exceeds limit for rule: ${rule.rule}`
      : `${JSON.stringify(answer.error).slice(1, -1)} evaluating rule: ${rule.message ?? rule.rule}`
    run.errors.push(failed('FieldValueInvalid', field, value, what))
  } else if (answer.value !== true) {
    run.errors.push(
      failed(reasons[rule.reason ?? ''] ?? 'FieldValueInvalid', field, value, sentence(rule, message, variables, run)),
    )
  }
}
function sentence(
  rule: ValidationRule,
  message: CelProgram | undefined,
  variables: Record<string, Value>,
  run: Run,
): string {
  const made = message?.run(variables, Math.min(Math.max(run.budget, 0), 1_000_000))
  if (made !== undefined) run.budget -= made.cost
  const text = made?.ok === true && typeof made.value === 'string' ? made.value.trim() : ''
  // an empty message, or one of several lines, is as good as none
  if (text !== '' && !text.includes('\n')) return text
  return rule.message ?? `failed rule: ${rule.rule}`
}
const reasons: Readonly<Record<string, FieldError['type']>> = {
  FieldValueInvalid: 'FieldValueInvalid',
  FieldValueForbidden: 'FieldValueForbidden',
  FieldValueRequired: 'FieldValueRequired',
  FieldValueDuplicate: 'FieldValueDuplicate',
}
const words: Readonly<Record<string, string>> = {
  FieldValueInvalid: 'Invalid value',
  FieldValueForbidden: 'Forbidden',
  FieldValueRequired: 'Required value',
  FieldValueDuplicate: 'Duplicate value',
}
/** Upstream shows the type of a structured value instead of the value. */
function failed(type: FieldError['type'], field: string, value: Json, detail: string): FieldError {
  const shown = Array.isArray(value) ? '"array"' : isObject(value) ? '"object"' : JSON.stringify(value)
  const head = words[type] ?? 'Invalid value'
  if (type === 'FieldValueDuplicate') return { type, field, message: `${head}: ${shown}` }
  return { type, field, message: type === 'FieldValueInvalid' ? `${head}: ${shown}: ${detail}` : `${head}: ${detail}` }
}
