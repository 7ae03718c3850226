// Frozen in, draft out. A frozen object is taken to be frozen all the way down, so freezing twice costs nothing and the
// unchanged parts of a new version are shared with the old one.
import type { Draft, Json } from './schema.ts'

/** Freezes plain JSON data at every depth and answers it. */
export function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    if (Array.isArray(value)) for (const item of value) freeze(item)
    else for (const key in value) freeze(value[key])
  }
  return value
}

/** Sets an own property even where the key is __proto__. */
export function setKey(target: Record<string, unknown>, key: string, value: unknown): void {
  if (key === '__proto__')
    Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true })
  else target[key] = value
}

/** An own member: keys such as constructor and __proto__ are keys like any other. */
export const ownMember = <T>(source: { readonly [key: string]: T }, key: string): T | undefined =>
  Object.hasOwn(source, key) ? source[key] : undefined

/** A mutable deep copy of plain JSON data; undefined members are left out. */
export function draftOf<T>(value: T): Draft<T> {
  return copy(value) as Draft<T>
}
function copy(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(copy)
  const out: Record<string, unknown> = {}
  for (const [key, member] of Object.entries(value)) if (member !== undefined) setKey(out, key, copy(member))
  return out
}

/** Containers may not nest deeper than this anywhere in an object: recursion over stored data is safe below it. */
export const maxDepth = 1000

/** True when no container nests deeper than `limit`; uses no recursion of its own. */
export function withinDepth(value: Json | undefined, limit = maxDepth): boolean {
  const pending: (readonly [Json | undefined, number])[] = [[value, 1]]
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const [current, depth] = next
    if (typeof current !== 'object' || current === null) continue
    if (depth > limit) return false
    for (const member of Object.values(current)) {
      if (typeof member === 'object' && member !== null) pending.push([member, depth + 1])
    }
  }
  return true
}
