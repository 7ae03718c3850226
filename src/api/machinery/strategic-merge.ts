// Strategic merge patch: a merge patch that knows from the schema which lists are merged by key, with the directives
// $patch, $retainKeys, $deleteFromPrimitiveList and $setElementOrder. Frozen input, fresh output; what the schema does not
// name merges as plain JSON, lists by replacement.
import { solid } from './compile.ts'
import { equal } from './equal.ts'
import { ownMember, setKey, withinDepth } from './freeze.ts'
import type { ArraySchema, Json, JsonObject, Schema } from './schema.ts'

/** The patch misuses a directive; the message is upstream's. */
export class StrategicPatchError extends Error {}

const directive = '$patch'
const retainKeys = '$retainKeys'
const deletePrefix = '$deleteFromPrimitiveList/'
const orderPrefix = '$setElementOrder/'

/** `original` with `patch` merged in by the rules of `schema`. Throws StrategicPatchError. */
export function strategicMerge(schema: Schema, original: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) throw new StrategicPatchError('invalid JSON document')
  if (!withinDepth(patch)) throw new StrategicPatchError('exceeded max depth')
  return mergeObject(schema, isObject(original) ? original : {}, patch)
}

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isList = (value: Json | undefined): value is readonly Json[] => Array.isArray(value)

function memberSchema(schema: Schema | undefined, key: string): Schema | undefined {
  if (schema === undefined) return undefined
  const it = solid(schema)
  if (it.type === 'object') return Object.hasOwn(it.fields, key) ? it.fields[key]?.schema : undefined
  return it.type === 'map' ? it.values : undefined
}

function mergeObject(schema: Schema | undefined, original: JsonObject, patch: JsonObject): Json {
  const mode = patch[directive]
  if (mode === 'replace') return cleaned(patch)
  if (mode === 'delete') return {}
  if (mode !== undefined && mode !== 'merge') throw new StrategicPatchError(`Unknown patch type: ${text(mode)}`)
  const out: Record<string, Json> = {}
  const kept = retained(patch)
  for (const key in original) {
    const value = original[key]
    if (value !== undefined && (kept === undefined || kept.has(key))) setKey(out, key, value)
  }
  for (const key in patch) {
    const value = patch[key]
    if (value === undefined || key.startsWith('$')) continue
    if (value === null) {
      delete out[key]
      continue
    }
    const before = ownMember(out, key)
    setKey(out, key, mergeValue(memberSchema(schema, key), before, value))
  }
  for (const key in patch) listDirective(schema, original, out, patch, key)
  return out
}
/** The keys that $retainKeys lets live, when the patch says so. */
function retained(patch: JsonObject): ReadonlySet<string> | undefined {
  const list = patch[retainKeys]
  if (list === undefined) return undefined
  if (!isList(list)) throw new StrategicPatchError('$retainKeys must be a list of keys')
  const keys = new Set<string>(list.filter((key) => typeof key === 'string'))
  for (const key in patch) {
    if (!key.startsWith('$') && patch[key] !== null && !keys.has(key)) {
      throw new StrategicPatchError(`$retainKeys: ${key} is in the patch but not in the list of retained keys`)
    }
  }
  return keys
}

function mergeValue(schema: Schema | undefined, before: Json | undefined, value: Json): Json {
  if (isObject(value)) return mergeObject(schema, isObject(before) ? before : {}, value)
  if (!isList(value)) return value
  const list = schema === undefined ? undefined : solid(schema)
  if (list?.type !== 'array' || !merges(list)) return value.map((item) => cleaned(item))
  return mergeList(list, isList(before) ? before : [], value)
}
const merges = (schema: ArraySchema): boolean => schema.list?.patchStrategy?.includes('merge') === true

/** $deleteFromPrimitiveList/NAME and $setElementOrder/NAME act on the member NAME once that is merged. */
function listDirective(
  schema: Schema | undefined,
  original: JsonObject,
  out: Record<string, Json>,
  patch: JsonObject,
  key: string,
): void {
  const list = patch[key]
  if (key.startsWith(deletePrefix) && isList(list)) {
    const name = key.slice(deletePrefix.length)
    const current = ownMember(out, name)
    if (isList(current))
      setKey(
        out,
        name,
        current.filter((item) => !list.some((gone) => equal(gone, item))),
      )
  } else if (key.startsWith(orderPrefix) && isList(list)) {
    const name = key.slice(orderPrefix.length)
    const current = ownMember(out, name)
    const it = memberSchema(schema, name)
    const mergeKey = it === undefined ? undefined : arrayOf(it)?.list?.patchMergeKey
    const live = ownMember(original, name)
    if (isList(current)) setKey(out, name, ordered(current, list, isList(live) ? live : [], mergeKey))
  }
}
function arrayOf(schema: Schema): ArraySchema | undefined {
  const it = solid(schema)
  return it.type === 'array' ? it : undefined
}

function mergeList(schema: ArraySchema, original: readonly Json[], patch: readonly Json[]): Json[] {
  const mergeKey = schema.list?.patchMergeKey
  if (mergeKey === undefined || patch.every((item) => !isObject(item))) {
    const out = [...original]
    for (const item of patch) if (!out.some((known) => equal(known, item))) out.push(item)
    return out
  }
  const items = patch.map((item) => {
    if (!isObject(item)) throw new StrategicPatchError('expected map elements in a list merged by key')
    return item
  })
  if (items.some((item) => item[directive] === 'replace')) {
    return items.filter((item) => item[directive] !== 'replace').map((item) => cleaned(item))
  }
  let out = [...original]
  const keyOf = (item: JsonObject): Json => {
    const key = item[mergeKey]
    if (key === undefined) {
      throw new StrategicPatchError(`map: ${text(item)} does not contain declared merge key: ${mergeKey}`)
    }
    return key
  }
  const hasKey = (item: Json, key: Json): boolean => isObject(item) && equal(item[mergeKey], key)
  for (const item of items) {
    if (item[directive] !== 'delete') continue
    const key = keyOf(item)
    out = out.filter((known) => !hasKey(known, key))
  }
  for (const item of items) {
    if (item[directive] === 'delete') continue
    const key = keyOf(item)
    const at = out.findIndex((known) => hasKey(known, key))
    if (at < 0) out.push(mergeObject(schema.items, {}, item))
    else {
      const known = out[at]
      out[at] = mergeObject(schema.items, isObject(known) ? known : {}, item)
    }
  }
  // What the patch names keeps the patch's order, and what is new stands before what was there.
  return ordered(
    out,
    items.filter((item) => item[directive] !== 'delete'),
    original,
    mergeKey,
  )
}

/** Items that `order` names come in its order; the others stand before the first one that followed them in `live`. */
function ordered(
  current: readonly Json[],
  order: readonly Json[],
  live: readonly Json[],
  mergeKey: string | undefined,
): Json[] {
  const keyOf = (item: Json): Json => (mergeKey !== undefined && isObject(item) ? (item[mergeKey] ?? null) : item)
  const indexIn = (list: readonly Json[]) => {
    const keys = list.map(keyOf)
    return (item: Json): number => keys.findIndex((key) => equal(key, keyOf(item)))
  }
  const rank = indexIn(order)
  const place = indexIn(live)
  const out = current.filter((item) => rank(item) >= 0).sort((a, b) => rank(a) - rank(b))
  let from = 0
  for (const item of current.filter((candidate) => rank(candidate) < 0)) {
    let at = from
    while (at < out.length && place(out[at] as Json) <= place(item)) at++
    out.splice(at, 0, item)
    from = at + 1
  }
  return out
}

/** A new value as it will be stored: without nulls in objects and without directives. */
function cleaned(value: Json): Json {
  if (isList(value)) return value.map(cleaned)
  if (!isObject(value)) return value
  const out: Record<string, Json> = {}
  for (const key in value) {
    const member = value[key]
    if (member !== undefined && member !== null && !isDirective(key)) setKey(out, key, cleaned(member))
  }
  return out
}
const isDirective = (key: string): boolean =>
  key === directive || key === retainKeys || key.startsWith(deletePrefix) || key.startsWith(orderPrefix)
const text = (value: Json): string => JSON.stringify(value)
