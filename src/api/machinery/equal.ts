// Equality of API data. `equal` compares JSON; `semanticEqual` does not tell an empty list from an absent one, which is
// how the server decides whether anything changed; with a schema it also knows maps, structs and quantities.
import { solid } from './compile.ts'
import { compareQuantities } from './quantity.ts'
import type { ObjectSchema, Schema } from './schema.ts'

/** Deep equality of plain JSON data; a member that is undefined counts as absent. */
export function equal(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) || Array.isArray(b)) {
    return Array.isArray(a) && Array.isArray(b) && sameItems(a, b, equal)
  }
  return sameMembers(a as Members, b as Members, equal)
}

/** Like `equal`, but an absent list and an empty one are the same. */
export function semanticEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (isNothing(a)) return isEmptyList(b) || isNothing(b)
  if (isNothing(b)) return isEmptyList(a)
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) || Array.isArray(b)) {
    return Array.isArray(a) && Array.isArray(b) && sameItems(a, b, semanticEqual)
  }
  return sameMembers(a as Members, b as Members, semanticEqual)
}

/** Equality by schema: quantities by amount, absent lists and maps equal empty ones, absent structs equal `{}`. */
export function schemaEqual(schema: Schema, a: unknown, b: unknown): boolean {
  if (a === b) return true
  const it = solid(schema)
  if (it.type === 'quantity') {
    return typeof a === 'string' && typeof b === 'string' && compareQuantities(a, b) === 0
  }
  if (it.type === 'array') return sameItems(listOf(a), listOf(b), (x, y) => schemaEqual(it.items, x, y))
  if (it.type === 'map') {
    return sameMembers(membersOf(a), membersOf(b), (x, y) => schemaEqual(it.values, x, y), true)
  }
  return it.type === 'object' ? sameStructs(it, a, b) : equal(a, b)
}
function sameStructs(schema: ObjectSchema, a: unknown, b: unknown): boolean {
  if (isNothing(a) || isNothing(b)) return isNothing(a) && isNothing(b)
  const [left, right] = [membersOf(a), membersOf(b)]
  for (const [name, field] of Object.entries(schema.fields)) {
    const empty = field.presence === 'struct' ? {} : undefined
    if (!schemaEqual(field.schema, left[name] ?? empty, right[name] ?? empty)) return false
  }
  return (
    schema.preserveUnknown !== true || equal(unknownMembers(left, schema.fields), unknownMembers(right, schema.fields))
  )
}

type Members = Readonly<Record<string, unknown>>
const isNothing = (value: unknown): boolean => value === undefined || value === null
const isEmptyList = (value: unknown): boolean => Array.isArray(value) && value.length === 0
const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])
const membersOf = (value: unknown): Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Members) : {}
const unknownMembers = (value: Members, fields: object): Members =>
  Object.fromEntries(Object.entries(value).filter(([key]) => !Object.hasOwn(fields, key)))

type Same = (a: unknown, b: unknown) => boolean
const sameItems = (a: readonly unknown[], b: readonly unknown[], same: Same): boolean =>
  a.length === b.length && a.every((item, i) => same(item, b[i]))
function sameMembers(a: Members, b: Members, same: Same, exactKeys = false): boolean {
  for (const key in a) {
    if (exactKeys && !Object.hasOwn(b, key)) return false
    if (!same(a[key], Object.hasOwn(b, key) ? b[key] : undefined)) return false
  }
  for (const key in b) if (!Object.hasOwn(a, key) && (exactKeys || !same(undefined, b[key]))) return false
  return true
}
