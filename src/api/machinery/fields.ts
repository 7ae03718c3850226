// Field selectors: "status.phase!=Running,metadata.name=x". Commas, equals signs and backslashes in a value are escaped
// with a backslash. Only the fields that a kind names can be selected.
import type { Kind } from './kind.ts'
import { SelectorError } from './labels.ts'
import type { KubeObject } from './meta.ts'

export interface FieldRequirement {
  readonly field: string
  readonly operator: '=' | '!='
  readonly value: string
}
export type FieldSelector = readonly FieldRequirement[]

function splitTerms(text: string): string[] {
  const terms: string[] = []
  let start = 0
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '\\') i++
    else if (text[i] === ',') {
      terms.push(text.slice(start, i))
      start = i + 1
    }
  }
  terms.push(text.slice(start))
  return terms
}
function unescape(value: string): string {
  let out = ''
  for (let i = 0; i < value.length; i++) {
    const c = value.charAt(i)
    if (c === '\\') {
      i++
      const next = value.charAt(i)
      if (next !== '\\' && next !== ',' && next !== '=') {
        throw new SelectorError(
          next === ''
            ? `invalid field selector: invalid escape sequence: \\`
            : `invalid field selector: invalid escape sequence: \\${next}`,
        )
      }
      out += next
    } else if (c === ',' || c === '=') {
      throw new SelectorError(`invalid field selector: unescaped character in value: ${c}`)
    } else out += c
  }
  return out
}

/** Throws SelectorError. */
export function parseFieldSelector(text: string): FieldSelector {
  const requirements: FieldRequirement[] = []
  for (const term of splitTerms(text)) {
    if (term === '') continue
    const match = /^(.*?)(!=|==|=)([^]*)$/.exec(term)
    if (match === null) throw new SelectorError(`invalid selector: '${text}'; can't understand '${term}'`)
    const [, field = '', operator, value = ''] = match
    requirements.push({ field, operator: operator === '!=' ? '!=' : '=', value: unescape(value) })
  }
  return requirements
}

const escapeValue = (value: string): string => value.replace(/[\\,=]/g, (c) => `\\${c}`)
export const formatFieldSelector = (selector: FieldSelector): string =>
  selector.map(({ field, operator, value }) => `${field}${operator}${escapeValue(value)}`).join(',')

type Selectable = Pick<Kind<never>, 'selectableFields'>
/** Upstream's complaint about the first field that the kind cannot select, or undefined. */
export function unsupportedField(kind: Selectable, selector: FieldSelector): string | undefined {
  for (const { field } of selector) {
    if (field === 'metadata.name' || field === 'metadata.namespace') continue
    if (kind.selectableFields === undefined) {
      return `"${field}" is not a known field selector: only "metadata.name", "metadata.namespace"`
    }
    if (!Object.hasOwn(kind.selectableFields, field)) return `field label not supported: ${field}`
  }
  return undefined
}

/** The value of a selectable field; '' where the object says nothing. */
export function fieldValue<T extends KubeObject>(
  kind: Pick<Kind<T>, 'selectableFields'>,
  object: T,
  field: string,
): string {
  if (field === 'metadata.name') return object.metadata.name
  if (field === 'metadata.namespace') return object.metadata.namespace ?? ''
  return kind.selectableFields?.[field]?.(object) ?? ''
}
export function matchesFields<T extends KubeObject>(
  kind: Pick<Kind<T>, 'selectableFields'>,
  selector: FieldSelector,
  object: T,
): boolean {
  for (const { field, operator, value } of selector) {
    if ((fieldValue(kind, object, field) === value) !== (operator === '=')) return false
  }
  return true
}
/** The value asked for exactly, for a look-up by name or by index. */
export const exactField = (selector: FieldSelector, field: string): string | undefined =>
  selector.find((requirement) => requirement.field === field && requirement.operator === '=')?.value
