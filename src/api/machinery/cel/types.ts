// CEL's static types, as far as schemas give them: what an expression may read is known before it runs. Sizes travel with
// the types, so that the cost of an expression can be bounded without data.
import { solid } from '../compile.ts'
import type { Schema } from '../schema.ts'
import { unescapeName } from './values.ts'

export type ScalarName =
  | 'bool'
  | 'int'
  | 'uint'
  | 'double'
  | 'string'
  | 'bytes'
  | 'null_type'
  | 'timestamp'
  | 'duration'
  | 'type'
  | 'dyn'
export type CelType =
  | { readonly kind: 'scalar'; readonly name: ScalarName; readonly max?: number }
  | { readonly kind: 'list'; readonly of: CelType; readonly max?: number }
  | { readonly kind: 'map'; readonly key: CelType; readonly value: CelType; readonly max?: number }
  | {
      readonly kind: 'object'
      readonly name: string
      readonly field: (name: string) => CelType | undefined
      readonly max?: number
    }
  | { readonly kind: 'optional'; readonly of: CelType; readonly max?: number }
  | { readonly kind: 'opaque'; readonly name: string; readonly max?: number }
  /** A type variable in the signature of a function. */
  | { readonly kind: 'variable'; readonly name: string; readonly max?: number }

const scalar = (name: ScalarName): CelType => ({ kind: 'scalar', name })
export const bool = scalar('bool')
export const int = scalar('int')
export const uint = scalar('uint')
export const double = scalar('double')
export const string = scalar('string')
export const bytes = scalar('bytes')
export const nullType = scalar('null_type')
export const timestamp = scalar('timestamp')
export const duration = scalar('duration')
export const type = scalar('type')
export const dyn = scalar('dyn')
export const listOf = (of: CelType): CelType => ({ kind: 'list', of })
export const mapOf = (key: CelType, value: CelType): CelType => ({ kind: 'map', key, value })
export const optionalOf = (of: CelType): CelType => ({ kind: 'optional', of })
export const opaque = (name: string): CelType => ({ kind: 'opaque', name })
export const variable = (name: string): CelType => ({ kind: 'variable', name })
export const isDyn = (t: CelType): boolean => t.kind === 'scalar' && t.name === 'dyn'

export function printType(t: CelType): string {
  switch (t.kind) {
    case 'scalar':
      return t.name === 'null_type' ? 'null' : t.name
    case 'list':
      return `list(${printType(t.of)})`
    case 'map':
      return `map(${printType(t.key)}, ${printType(t.value)})`
    case 'optional':
      return `optional_type(${printType(t.of)})`
    case 'object':
    case 'opaque':
    case 'variable':
      return t.name
  }
}

/** What an object can weigh at most, as JSON text in a request. */
const maxRequestBytes = 3 * 1024 * 1024
const typesOfSchemas = new WeakMap<Schema, CelType>()

/** The type of a value with this schema. */
export function typeOf(schema: Schema): CelType {
  const it = solid(schema)
  const known = typesOfSchemas.get(it)
  if (known !== undefined) return known
  const made = make(it)
  typesOfSchemas.set(it, made)
  return made
}
function make(schema: ReturnType<typeof solid>): CelType {
  const c = schema.constraints
  switch (schema.type) {
    case 'string':
      return textType(schema.format ?? c?.format, c?.maxLength)
    case 'integer':
      return int
    case 'number':
      return double
    case 'boolean':
      return bool
    case 'quantity':
      return { ...string, max: 64 }
    case 'int-or-string':
      return { ...dyn, max: c?.maxLength ?? maxRequestBytes }
    case 'any':
      return { ...dyn, max: maxRequestBytes }
    case 'array': {
      const max = c?.maxItems ?? Math.floor((maxRequestBytes - 2) / (leastBytes(schema.items) + 1))
      return { kind: 'list', of: typeOf(schema.items), max }
    }
    case 'map': {
      const max = c?.maxProperties ?? Math.floor((maxRequestBytes - 2) / (leastBytes(schema.values) + 6))
      return { kind: 'map', key: string, value: typeOf(schema.values), max }
    }
    case 'object':
      return {
        kind: 'object',
        name: schema.name === '' ? 'object' : schema.name,
        field: (name) => {
          const property = Object.hasOwn(schema.fields, name) ? name : unescapeName(name)
          const found = Object.hasOwn(schema.fields, property) ? schema.fields[property] : undefined
          return found === undefined ? undefined : typeOf(found.schema)
        },
        max: Object.keys(schema.fields).length,
      }
  }
}
function textType(format: string | undefined, maxLength: number | undefined): CelType {
  if (format === 'byte') return { ...bytes, max: maxLength ?? maxRequestBytes }
  if (format === 'date-time' || format === 'micro-time' || format === 'date') return timestamp
  if (format === 'duration') return duration
  return { ...string, max: maxLength ?? maxRequestBytes - 2 }
}
/** The shortest JSON text of a value. */
function leastBytes(schema: Schema): number {
  const it = solid(schema)
  switch (it.type) {
    case 'integer':
    case 'number':
      return 1
    case 'boolean':
      return 4
    case 'object': {
      const demanded = it.constraints?.requiredKeys ?? []
      return (
        2 +
        demanded.reduce((sum, key) => sum + key.length + 4 + leastBytes(it.fields[key]?.schema ?? { type: 'any' }), 0)
      )
    }
    case 'string':
    case 'quantity':
    case 'int-or-string':
    case 'any':
    case 'array':
    case 'map':
      return it.type === 'int-or-string' ? 1 : 2
  }
}

/** Type variables of one call, bound on the way. */
export type Bindings = Map<string, CelType>
/** Whether a value of type `given` may stand where `wanted` is asked for. */
export function assignable(wanted: CelType, given: CelType, bindings: Bindings): boolean {
  if (wanted.kind === 'variable') {
    const bound = bindings.get(wanted.name)
    if (bound === undefined || isDyn(bound)) {
      bindings.set(wanted.name, given)
      return true
    }
    if (assignable(bound, given, bindings)) return true
    if (!assignable(given, bound, bindings)) return false
    bindings.set(wanted.name, given)
    return true
  }
  if (isDyn(wanted) || isDyn(given)) return true
  if (given.kind === 'scalar' && given.name === 'null_type' && wanted.kind !== 'scalar') return true
  if (wanted.kind === 'scalar') return given.kind === 'scalar' && given.name === wanted.name
  if (wanted.kind === 'list') return given.kind === 'list' && assignable(wanted.of, given.of, bindings)
  if (wanted.kind === 'map') {
    if (given.kind === 'object') return isDyn(wanted.value) || wanted.value.kind === 'variable'
    return (
      given.kind === 'map' &&
      assignable(wanted.key, given.key, bindings) &&
      assignable(wanted.value, given.value, bindings)
    )
  }
  if (wanted.kind === 'optional') return given.kind === 'optional' && assignable(wanted.of, given.of, bindings)
  return given.kind === wanted.kind && given.name === wanted.name
}
/** A result type with its variables replaced. */
export function substitute(t: CelType, bindings: Bindings): CelType {
  switch (t.kind) {
    case 'variable':
      return bindings.get(t.name) ?? dyn
    case 'list':
      return { ...t, of: substitute(t.of, bindings) }
    case 'map':
      return { ...t, key: substitute(t.key, bindings), value: substitute(t.value, bindings) }
    case 'optional':
      return { ...t, of: substitute(t.of, bindings) }
    case 'scalar':
    case 'object':
    case 'opaque':
      return t
  }
}
/** The type of either: the same, or dyn. */
export function join(a: CelType, b: CelType): CelType {
  if (a === b || assignable(a, b, new Map())) return isDyn(b) ? b : a
  if (assignable(b, a, new Map())) return b
  return dyn
}
