// JSON merge patch (RFC 7386). Frozen input, fresh output that shares what did not change.
import { ownMember, setKey, withinDepth } from './freeze.ts'
import { PatchError } from './json-patch.ts'
import type { Json, JsonObject } from './schema.ts'

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** `target` with `patch` merged in: null removes, objects merge, everything else replaces. Throws PatchError. */
export function mergePatch(target: Json | undefined, patch: Json): Json {
  if (!withinDepth(patch)) throw new PatchError('exceeded max depth')
  return merge(target, patch)
}
function merge(target: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) return patch
  const out: Record<string, Json> = {}
  if (isObject(target)) {
    for (const key in target) {
      const value = target[key]
      if (value !== undefined && !(Object.hasOwn(patch, key) && patch[key] === null)) setKey(out, key, value)
    }
  }
  for (const key in patch) {
    const value = patch[key]
    if (value === undefined || value === null) continue
    setKey(out, key, merge(Object.hasOwn(out, key) ? out[key] : undefined, value))
  }
  return out
}

/** The merge patch that turns `before` into `after`; undefined where they are the same. */
export function createMergePatch(before: Json, after: Json): Json | undefined {
  if (!isObject(before) || !isObject(after)) return sameJson(before, after) ? undefined : after
  const out: Record<string, Json> = {}
  for (const key in before) if (ownMember(after, key) === undefined) setKey(out, key, null)
  for (const key in after) {
    const value = after[key]
    if (value === undefined) continue
    const old = ownMember(before, key)
    const change = old === undefined ? value : createMergePatch(old, value)
    if (change !== undefined) setKey(out, key, change)
  }
  return Object.keys(out).length === 0 ? undefined : out
}
function sameJson(a: Json, b: Json): boolean {
  if (a === b) return true
  if (Array.isArray(a) && Array.isArray(b)) {
    const [left, right] = [a as readonly Json[], b as readonly Json[]]
    return left.length === right.length && left.every((item, i) => sameJson(item, right[i] as Json))
  }
  return isObject(a) && isObject(b) && createMergePatch(a, b) === undefined
}
