// The CEL rules of a definition before they are accepted: they compile, answer what they must, point at fields that are
// there, and cannot cost too much in the worst case that the schema's sizes allow.
import type { Compiled } from '../machinery/cel.ts'
import { compiledRules } from '../machinery/cel/rules.ts'
import { assignable, bool, string as text, typeOf } from '../machinery/cel/types.ts'
import { solid } from '../machinery/compile.ts'
import { type FieldError, forbiddenField, invalidField, notSupportedField, requiredField } from '../machinery/errors.ts'
import type { Schema, ValidationRule } from '../machinery/schema.ts'

/** What a rule may cost at worst, and all rules of a definition together. */
const ruleCostLimit = 10_000_000
const totalCostLimit = 100_000_000
/** Rules named when the total is too much. */
const namedExpensive = 4

interface Run {
  readonly errors: FieldError[]
  readonly costs: { readonly at: string; readonly cost: number }[]
}

/** What is wrong with the rules of a schema that stands at `at`. */
export function validateRuleDefinitions(schema: Schema, at: string): FieldError[] {
  const run: Run = { errors: [], costs: [] }
  visit(schema, at, 1, undefined, run)
  const total = run.costs.reduce((sum, { cost }) => sum + cost, 0)
  if (total > totalCostLimit) {
    const expensive = run.costs.toSorted((a, b) => b.cost - a.cost).slice(0, namedExpensive)
    for (const rule of expensive) {
      run.errors.push(
        forbiddenField(
          rule.at,
          'contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema',
        ),
      )
    }
    const what = 'x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema'
    run.errors.push(forbiddenField(at, tooExpensive(what, total / totalCostLimit)))
  }
  return run.errors
}

function tooExpensive(what: string, factor: number): string {
  const shown = factor > 100 ? 'more than 100x' : `${factor.toFixed(1)}x`
  return `${what} exceeds budget by factor of ${shown} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)`
}

/** `times` is how often the value can be there; `loose` is the list above it whose items have no identity. */
function visit(schema: Schema, at: string, times: number, loose: string | undefined, run: Run): void {
  const it = solid(schema)
  compiledRules(schema).forEach((rule, i) => {
    checkRule(rule, schema, `${at}.x-kubernetes-validations[${i}]`, times, loose, run)
  })
  const count = times * (typeOf(schema).max ?? 1)
  if (it.type === 'array')
    visit(it.items, `${at}.items`, count, it.list?.listType === 'map' ? loose : (loose ?? at), run)
  if (it.type === 'map') {
    visit(it.values, `${at}.additionalProperties`, count, it.mapType === 'atomic' ? (loose ?? at) : loose, run)
  }
  if (it.type === 'object') {
    const inner = it.mapType === 'atomic' ? (loose ?? at) : loose
    for (const [name, field] of Object.entries(it.fields)) {
      visit(field.schema, `${at}.properties[${name}]`, times, inner, run)
    }
  }
}

function checkRule(
  { rule, program, message }: { rule: ValidationRule; program: Compiled; message: Compiled | undefined },
  schema: Schema,
  at: string,
  times: number,
  loose: string | undefined,
  { errors, costs }: Run,
): void {
  const bad = (part: string, detail: string) => errors.push(invalidRule(`${at}.${part}`, rule, detail))
  checkWords(rule, schema, at, errors)
  if (rule.rule.trim() === '') {
    errors.push(requiredField(`${at}.rule`, 'rule is not specified'))
    return
  }
  if (!program.ok) bad('rule', `compilation failed: ${program.error}`)
  else {
    const made = program.program
    if (!assignable(bool, made.type, new Map())) bad('rule', 'cel expression must evaluate to a bool')
    const cost = made.estimatedCost * times
    costs.push({ at: `${at}.rule`, cost })
    if (cost > ruleCostLimit) {
      errors.push(forbiddenField(`${at}.rule`, tooExpensive('estimated rule cost', cost / ruleCostLimit)))
    }
    if (made.reads.has('oldSelf') && loose !== undefined) {
      const why = `oldSelf cannot be used on the uncorrelatable portion of the schema within ${loose}`
      errors.push(invalidField(`${at}.rule`, rule.rule, why))
    }
  }
  if (message?.ok === false) bad('messageExpression', `messageExpression compilation failed: ${message.error}`)
  if (message?.ok === true) {
    const made = message.program
    if (!assignable(text, made.type, new Map())) bad('messageExpression', 'messageExpression must evaluate to a string')
    const cost = made.estimatedCost * times
    costs.push({ at: `${at}.messageExpression`, cost })
    if (cost > ruleCostLimit) {
      const what = 'estimated messageExpression cost'
      errors.push(forbiddenField(`${at}.messageExpression`, tooExpensive(what, cost / ruleCostLimit)))
    }
  }
  if (rule.optionalOldSelf !== undefined && !(program.ok && program.program.reads.has('oldSelf'))) {
    errors.push(
      invalidField(`${at}.optionalOldSelf`, rule.optionalOldSelf, 'may not be set if oldSelf is not used in rule'),
    )
  }
}

const reasons = ['FieldValueDuplicate', 'FieldValueForbidden', 'FieldValueInvalid', 'FieldValueRequired']
function checkWords(rule: ValidationRule, schema: Schema, at: string, errors: FieldError[]): void {
  if (rule.message !== undefined && rule.message !== '') {
    if (rule.message.trim() === '') {
      errors.push(invalidField(`${at}.message`, rule.message, 'must be non-empty if specified'))
    } else if (/[\r\n]/.test(rule.message.trim())) {
      errors.push(invalidField(`${at}.message`, rule.message, 'must not contain line breaks'))
    } else if (/[\r\n]/.test(rule.rule.trim()) && rule.message === '') {
      errors.push(requiredField(`${at}.message`, 'message must be specified if rule contains line breaks'))
    }
  }
  if (rule.messageExpression !== undefined && rule.messageExpression.trim() === '') {
    errors.push(requiredField(`${at}.messageExpression`, 'must be non-empty if specified'))
  }
  if (rule.reason !== undefined && !reasons.includes(rule.reason)) {
    errors.push(notSupportedField(`${at}.reason`, rule.reason, reasons))
  }
  const path = rule.fieldPath
  if (path !== undefined && path !== '' && !leadsToField(schema, path)) {
    errors.push(invalidField(`${at}.fieldPath`, path, 'must be a valid path'))
  }
}

/** Whether a path such as .spec['a-b'].c stays inside the schema; lists have no places to point at. */
function leadsToField(schema: Schema, path: string): boolean {
  const element = /\.([A-Za-z_][A-Za-z0-9_]*)|\['((?:[^'\\]|\\.)*)'\]/y
  let current = solid(schema)
  let at = 0
  while (at < path.length) {
    element.lastIndex = at
    const found = element.exec(path)
    if (found === null) return false
    at = element.lastIndex
    const name = found[1] ?? (found[2] ?? '').replace(/\\(.)/g, '$1')
    if (current.type === 'map') current = solid(current.values)
    else if (current.type === 'object' && Object.hasOwn(current.fields, name)) {
      const field = current.fields[name]
      if (field === undefined) return false
      current = solid(field.schema)
    } else return false
  }
  return true
}

/** The whole rule is the value that upstream shows. */
function invalidRule(field: string, rule: ValidationRule, detail: string): FieldError {
  const shown = JSON.stringify({
    Rule: rule.rule,
    Message: rule.message ?? '',
    MessageExpression: rule.messageExpression ?? '',
    Reason: rule.reason ?? null,
    FieldPath: rule.fieldPath ?? '',
    OptionalOldSelf: rule.optionalOldSelf ?? null,
  }).replace(/[<>&]/g, (c) => `\\u00${c.charCodeAt(0).toString(16)}`)
  return { type: 'FieldValueInvalid', field, message: `Invalid value: ${shown}: ${detail}` }
}
