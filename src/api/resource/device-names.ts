// Rules of the names and parts that claims, classes and slices share: drivers, pools, attributes, selectors, configuration.
import { validateNodeSelector } from '../core/selector-validation.ts'
import type { NodeSelector } from '../core/affinity.ts'
import {
  duplicateField,
  type FieldError,
  forbiddenField,
  invalidField,
  notSupportedField,
  requiredField,
  tooLongField,
  tooManyField,
} from '../machinery/errors.ts'
import {
  isCIdentifier,
  isDns1123Label,
  isDns1123Subdomain,
  isQualifiedName,
  isValidLabelValue,
  type Sentences,
  utf8Length,
  validateLabelKey,
} from '../machinery/validation.ts'
import { deviceSelectorProgram, maxDeviceSelectorCost } from './device-cel.ts'
import type { ResourceClaimSpec } from './devices.ts'

export type Request = NonNullable<ResourceClaimSpec['devices']['requests']>[number]
export type Exact = NonNullable<Request['exactly']>
type Selectors = NonNullable<Exact['selectors']>
type Tolerations = NonNullable<Exact['tolerations']>
type Opaque = { readonly driver: string; readonly parameters?: unknown }

const invalids = (sentences: Sentences, field: string, value: string): FieldError[] =>
  sentences.map((message) => invalidField(field, value, message))
const maxTextBytes = 10 * 1024

/** At most `max` entries, each by its own rule. */
export function each<T>(
  items: readonly T[] | undefined,
  max: number,
  field: string,
  rule: (item: T, at: string) => readonly FieldError[],
): FieldError[] {
  const list = items ?? []
  const errors = list.flatMap((item, i) => rule(item, `${field}[${i}]`))
  return list.length > max ? [tooManyField(field, list.length, max), ...errors] : errors
}
/** Every entry that another one before it is like. */
export function duplicates<T>(
  items: readonly T[] | undefined,
  keyOf: (item: T) => string,
  fieldOf: (index: number) => string,
): FieldError[] {
  const seen = new Set<string>()
  return (items ?? []).flatMap((item, i) => {
    const key = keyOf(item)
    if (seen.has(key)) return [duplicateField(fieldOf(i), key)]
    seen.add(key)
    return []
  })
}

export function validateDriverName(name: string, field: string): FieldError[] {
  if (name === '') return [requiredField(field)]
  return [
    ...(name.length > 63 ? [tooLongField(field, 63)] : []),
    ...invalids(isDns1123Subdomain(name.toLowerCase()), field, name),
  ]
}
export function validatePoolName(name: string, field: string): FieldError[] {
  if (name === '') return [requiredField(field)]
  const parts = name.split('/').flatMap((part) => invalids(isDns1123Subdomain(part), field, part))
  return [...(name.length > 253 ? [tooLongField(field, 253)] : []), ...parts]
}
export const validateDeviceName = (name: string, field: string): FieldError[] =>
  name === '' ? [requiredField(field)] : invalids(isDns1123Label(name), field, name)

/** "name" or "domain/name" of an attribute or a capacity. */
export function validateAttributeName(name: string, field: string, { full = false } = {}): FieldError[] {
  if (name === '') return [requiredField(field, 'name required')]
  const slash = name.indexOf('/')
  const id = name.slice(slash + 1)
  const domain = slash === -1 ? undefined : name.slice(0, slash)
  const errors: FieldError[] = []
  if (domain === '') errors.push(invalidField(field, domain, 'the domain must not be empty'))
  else if (domain !== undefined) errors.push(...validateDriverName(domain, field))
  if (id === '') errors.push(invalidField(field, id, 'the name must not be empty'))
  else {
    if (id.length > 32) errors.push(tooLongField(field, 32))
    errors.push(...invalids(isCIdentifier(id), field, id))
  }
  if (full && domain === undefined) errors.push(invalidField(field, name, 'must include a domain'))
  return errors
}

/** Exactly one of the named members is there. */
export function oneOf(present: Readonly<Record<string, boolean>>, field: string): FieldError[] {
  const names = Object.keys(present)
  const which = `exactly one of ${names.map((name) => `\`${name}\``).join(', ')} is required`
  const count = names.filter((name) => present[name]).length
  if (count === 1) return []
  return [
    count === 0 ? requiredField(field, which) : invalidField(field, null, `${which}, but multiple fields are set`),
  ]
}

/** `known` are expressions that are stored already: they stay as they are, whatever the limits have become. */
export const validateSelectors = (
  selectors: Selectors | undefined,
  field: string,
  known: ReadonlySet<string> = new Set(),
): FieldError[] =>
  each(selectors, 32, field, ({ cel }, at) => {
    if (cel === undefined) return [requiredField(`${at}.cel`)]
    const { expression } = cel
    const where = `${at}.cel.expression`
    if (known.has(expression)) return []
    if (expression === '') return [requiredField(where)]
    if (utf8Length(expression) > maxTextBytes) return [tooLongField(where, maxTextBytes)]
    const program = deviceSelectorProgram(expression)
    if (typeof program === 'string') return [invalidField(where, expression, `compilation failed: ${program}`)]
    return program.estimatedCost > maxDeviceSelectorCost
      ? [forbiddenField(where, 'too complex, exceeds cost limit')]
      : []
  })
export const expressionsOf = (selectors: Selectors | undefined): string[] =>
  (selectors ?? []).flatMap(({ cel }) => (cel === undefined ? [] : [cel.expression]))

export const validateTolerations = (tolerations: Tolerations | undefined, field: string): FieldError[] =>
  each(tolerations, 16, field, ({ key = '', operator = '', value = '', effect = '' }, at) => {
    const errors: FieldError[] = key === '' ? [] : [...validateLabelKey(key, `${at}.key`)]
    if (operator === 'Exists') {
      if (value !== '') errors.push(invalidField(`${at}.value`, value, 'must be empty for operator `Exists`'))
    } else if (operator === 'Equal') {
      if (key === '') errors.push(requiredField(`${at}.key`, 'must not be empty for operator `Equal`'))
      errors.push(...invalids(isValidLabelValue(value), `${at}.value`, value))
    } else if (operator === '') errors.push(requiredField(`${at}.operator`))
    else errors.push(notSupportedField(`${at}.operator`, operator, ['Equal', 'Exists']))
    if (effect !== '' && !['NoExecute', 'NoSchedule', 'None'].includes(effect))
      errors.push(notSupportedField(`${at}.effect`, effect, ['NoExecute', 'NoSchedule', 'None']))
    return errors
  })

/** JSON of a driver's own: an object, and not too long. */
export function validateRaw(raw: unknown, field: string): FieldError[] {
  if (raw === undefined || raw === null) return [requiredField(field)]
  if (typeof raw !== 'object' || Array.isArray(raw))
    return [invalidField(field, '<value omitted>', 'must be a valid JSON object')]
  return utf8Length(JSON.stringify(raw)) > maxTextBytes ? [tooLongField(field, maxTextBytes)] : []
}
export function validateOpaque(opaque: Opaque | undefined, field: string): FieldError[] {
  if (opaque === undefined) return [requiredField(`${field}.opaque`)]
  return [
    ...validateDriverName(opaque.driver, `${field}.opaque.driver`),
    ...validateRaw(opaque.parameters, `${field}.opaque.parameters`),
  ]
}
/** Types of conditions that binding waits for. */
export const validateConditionTypes = (types: readonly string[] | undefined, field: string): FieldError[] => [
  ...each(types, 4, field, (type, at) => invalids(isQualifiedName(type), at, type)),
  ...duplicates(
    types,
    (type) => type,
    (i) => `${field}[${i}]`,
  ),
]
/** Of devices: one term, neither more nor less. */
export function validateOneTerm(selector: NodeSelector, field: string): FieldError[] {
  const { nodeSelectorTerms: terms } = selector
  const errors = validateNodeSelector(selector, field)
  if (terms.length > 1)
    errors.push(invalidField(`${field}.nodeSelectorTerms`, terms as never, 'must have exactly one node selector term'))
  return errors
}
