// JSON Schema constraints, checked with the sentences users know from custom resources. Compiled once per constraint.
import { equal } from './equal.ts'
import { type FieldError, invalidField, tooLongField, tooManyField, typeInvalidField } from './errors.ts'
import { ownMember } from './freeze.ts'
import { formatSatisfied } from './formats.ts'
import type { Constraints, Json, JsonObject } from './schema.ts'

/** Adds what is wrong with `value` to `errors`; `path` is made only when something is. */
export type ConstraintCheck = (value: Json, path: () => string, errors: FieldError[]) => void

type Step = ConstraintCheck
const isObject = (value: Json): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const codePoints = (text: string): number => {
  let count = 0
  for (const _ of text) count++
  return count
}

/** Undefined where there is nothing to check. */
export function compileConstraints(c: Constraints): ConstraintCheck | undefined {
  const steps: Step[] = [...numberSteps(c), ...textSteps(c), ...listSteps(c), ...objectSteps(c), ...logicSteps(c)]
  const { enumValues } = c
  if (enumValues !== undefined) {
    const supported = enumValues.map((value) => (typeof value === 'string' ? value : JSON.stringify(value)))
    steps.push((value, path, errors) => {
      if (value === null && c.nullable === true) return
      if (enumValues.some((known) => equal(known, value))) return
      // In the order of the author.
      const shown = supported.map((text) => JSON.stringify(text)).join(', ')
      const message = `Unsupported value: ${JSON.stringify(value)}: supported values: ${shown}`
      errors.push({ type: 'FieldValueNotSupported', field: path(), message })
    })
  }
  if (steps.length === 0) return undefined
  return (value, path, errors) => {
    for (const step of steps) step(value, path, errors)
  }
}

function numberSteps(c: Constraints): Step[] {
  const steps: Step[] = []
  const rule = (bad: (value: number) => boolean, sentence: string) =>
    steps.push((value, path, errors) => {
      if (typeof value !== 'number' || !bad(value)) return
      const at = path()
      errors.push(invalidField(at, value, `${at} in body ${sentence}`))
    })
  const { minimum, maximum, multipleOf } = c
  if (minimum !== undefined) {
    if (c.exclusiveMinimum) rule((n) => n <= minimum, `should be greater than ${minimum}`)
    else rule((n) => n < minimum, `should be greater than or equal to ${minimum}`)
  }
  if (maximum !== undefined) {
    if (c.exclusiveMaximum) rule((n) => n >= maximum, `should be less than ${maximum}`)
    else rule((n) => n > maximum, `should be less than or equal to ${maximum}`)
  }
  if (multipleOf !== undefined && multipleOf !== 0) {
    const wholeMultiple = (n: number) => Math.abs(n / multipleOf - Math.round(n / multipleOf)) < 1e-9
    rule((n) => !wholeMultiple(n), `should be a multiple of ${multipleOf}`)
  }
  return steps
}

function textSteps(c: Constraints): Step[] {
  const steps: Step[] = []
  const rule = (bad: (value: string) => boolean, make: (at: string, value: string) => FieldError) =>
    steps.push((value, path, errors) => {
      if (typeof value === 'string' && bad(value)) errors.push(make(path(), value))
    })
  const { pattern, minLength, maxLength, format } = c
  if (maxLength !== undefined)
    rule(
      (v) => v.length > maxLength && codePoints(v) > maxLength,
      (at) => tooLongField(at, maxLength),
    )
  if (minLength !== undefined) {
    rule(
      (v) => codePoints(v) < minLength,
      (at, v) => invalidField(at, v, `${at} in body should be at least ${minLength} chars long`),
    )
  }
  if (pattern !== undefined) {
    const expression = goPattern(pattern)
    rule(
      (v) => !expression.test(v),
      (at, v) => invalidField(at, v, `${at} in body should match '${pattern}'`),
    )
  }
  if (format !== undefined) {
    rule(
      (v) => !formatSatisfied(format, v),
      (at, v) => typeInvalidField(at, v, `${at} in body must be of type ${format}: ${JSON.stringify(v)}`),
    )
  }
  return steps
}
/** A Go regular expression as a JavaScript one: inline flags and \z, \A are what differs in practice. */
export function goPattern(pattern: string): RegExp {
  let source = pattern
  let flags = ''
  const inline = /^\(\?([ims]+)\)/.exec(source)
  if (inline !== null) {
    source = source.slice(inline[0].length)
    flags = inline[1] ?? ''
  }
  source = source.replaceAll('\\z', '$').replaceAll('\\A', '^').replaceAll('(?P<', '(?<')
  try {
    return new RegExp(source, `${flags}u`)
  } catch (error) {
    // what Unicode mode refuses, such as \- outside a class, is tried without it
    if (error instanceof SyntaxError) return new RegExp(source, flags)
    throw error
  }
}

function listSteps(c: Constraints): Step[] {
  const steps: Step[] = []
  const { minItems, maxItems, uniqueItems, items } = c
  const rule = (bad: (value: readonly Json[]) => boolean, make: (at: string, value: readonly Json[]) => FieldError) =>
    steps.push((value, path, errors) => {
      if (Array.isArray(value) && bad(value as readonly Json[])) errors.push(make(path(), value as readonly Json[]))
    })
  if (maxItems !== undefined)
    rule(
      (v) => v.length > maxItems,
      (at, v) => tooManyField(at, v.length, maxItems),
    )
  if (minItems !== undefined) {
    rule(
      (v) => v.length < minItems,
      (at, v) => invalidField(at, v.length, `${at} in body should have at least ${minItems} items`),
    )
  }
  if (uniqueItems === true) {
    rule(
      (v) => v.some((item, i) => v.slice(0, i).some((earlier) => equal(earlier, item))),
      (at, v) => invalidField(at, v, `${at} in body shouldn't contain duplicates`),
    )
  }
  const check = items === undefined ? undefined : compileConstraints(items)
  if (check !== undefined) {
    steps.push((value, path, errors) => {
      if (!Array.isArray(value)) return
      ;(value as readonly Json[]).forEach((item, i) => check(item, () => `${path()}[${i}]`, errors))
    })
  }
  return steps
}

function objectSteps(c: Constraints): Step[] {
  const steps: Step[] = []
  const rule = (run: (value: JsonObject, path: () => string, errors: FieldError[]) => void) =>
    steps.push((value, path, errors) => {
      if (isObject(value)) run(value, path, errors)
    })
  const { minProperties, maxProperties, requiredKeys, properties, additionalProperties } = c
  const child = (path: () => string, name: string) => () => (path() === '' ? name : `${path()}.${name}`)
  if (maxProperties !== undefined) {
    rule((value, path, errors) => {
      const count = Object.keys(value).length
      if (count > maxProperties) errors.push(tooManyField(path(), count, maxProperties))
    })
  }
  if (minProperties !== undefined) {
    rule((value, path, errors) => {
      const count = Object.keys(value).length
      const at = path()
      if (count < minProperties) {
        errors.push(invalidField(at, count, `${at} in body should have at least ${minProperties} properties`))
      }
    })
  }
  for (const name of requiredKeys ?? []) {
    rule((value, path, errors) => {
      if (ownMember(value, name) === undefined) {
        errors.push({ type: 'FieldValueRequired', field: child(path, name)(), message: 'Required value' })
      }
    })
  }
  for (const [name, constraint] of Object.entries(properties ?? {})) {
    const check = compileConstraints(constraint)
    if (check !== undefined) {
      rule((value, path, errors) => {
        const member = ownMember(value, name)
        if (member !== undefined) check(member, child(path, name), errors)
      })
    }
  }
  const other = additionalProperties === undefined ? undefined : compileConstraints(additionalProperties)
  if (other !== undefined) {
    rule((value, path, errors) => {
      for (const [name, member] of Object.entries(value)) {
        if (member !== undefined && !Object.hasOwn(properties ?? {}, name)) other(member, child(path, name), errors)
      }
    })
  }
  return steps
}

function logicSteps(c: Constraints): Step[] {
  const steps: Step[] = []
  const compileAll = (list: readonly Constraints[]) => list.map((constraint) => compileConstraints(constraint))
  const holds = (check: ConstraintCheck | undefined, value: Json): boolean => {
    if (check === undefined) return true
    const errors: FieldError[] = []
    check(value, () => '', errors)
    return errors.length === 0
  }
  const complain = (value: Json, at: string, sentence: string): FieldError =>
    invalidField(at, isObject(value) || Array.isArray(value) ? '' : value, `${JSON.stringify(at)} ${sentence}`)
  const { allOf, anyOf, oneOf, not } = c
  if (allOf !== undefined) {
    for (const check of compileAll(allOf)) if (check !== undefined) steps.push(check)
  }
  if (anyOf !== undefined) {
    const checks = compileAll(anyOf)
    steps.push((value, path, errors) => {
      if (checks.some((check) => holds(check, value))) return
      errors.push(complain(value, path(), 'must validate at least one schema (anyOf)'))
      for (const check of checks) check?.(value, path, errors)
    })
  }
  if (oneOf !== undefined) {
    const checks = compileAll(oneOf)
    steps.push((value, path, errors) => {
      const count = checks.filter((check) => holds(check, value)).length
      if (count === 1) return
      const found = count === 0 ? 'Found none valid' : `Found ${count} valid alternatives`
      errors.push(complain(value, path(), `must validate one and only one schema (oneOf). ${found}`))
    })
  }
  if (not !== undefined) {
    const check = compileConstraints(not)
    steps.push((value, path, errors) => {
      if (holds(check, value)) errors.push(complain(value, path(), 'must not validate the schema (not)'))
    })
  }
  return steps
}
