// Walks over objects as server-side apply sees them (KEP-555): structs and maps by field, lists of type map by their keys,
// lists of type set by value, everything atomic as one leaf. Here are the four walks: which fields an object holds, what
// differs between two, merging one into another, taking fields away.
import { solid } from './compile.ts'
import { equal } from './equal.ts'
import {
  asMember,
  below,
  contains,
  emptySet,
  type FieldSet,
  type FieldSetDraft,
  fieldElement,
  keyElement,
  leafNode,
  SharedNode,
  valueElement,
} from './field-set.ts'
import { ownMember, setKey } from './freeze.ts'
import type { Json, JsonObject, ObjectSchema, Schema } from './schema.ts'

/** A list or map that cannot be merged by its keys: duplicate or missing keys; the message is upstream's. */
export class FieldWalkError extends Error {}

interface Fields {
  readonly type: 'fields'
  readonly of: (name: string) => Member
  readonly declares: (name: string) => boolean
}
interface Items {
  readonly type: 'items'
  readonly item: Place
  /** The path element of an item, or why it has none. */
  readonly element: (item: Json) => string | FieldWalkError
  readonly keys: readonly string[]
}
type Shape = { readonly type: 'leaf' } | Fields | Items
/** A schema at a place in an object; the place may overrule whether a map is atomic. */
export interface Place {
  readonly schema: Schema
  readonly mapType?: 'atomic' | 'granular'
}
/** A member's place and its path element. */
interface Member extends Place {
  readonly path: string
}

const leaf: Shape = { type: 'leaf' }
/** Any JSON: objects by field, lists as a whole. */
const untyped: Fields = {
  type: 'fields',
  of: (name) => ({ schema: { type: 'any' }, path: fieldElement(name) }),
  declares: () => false,
}
const shapes = new WeakMap<Schema, Shape>()

function shapeOf(place: Place, value: Json | undefined): Shape {
  const schema = solid(place.schema)
  if (schema.type === 'any') return isObject(value) ? untyped : leaf
  if (schema.type !== 'array' && schema.type !== 'map' && schema.type !== 'object') return leaf
  const granular = schema.type === 'array' || (place.mapType ?? schema.mapType) !== 'atomic'
  if (!granular) return leaf
  const known = shapes.get(schema)
  if (known !== undefined) return known
  const shape: Shape =
    schema.type === 'array'
      ? listShape({ schema: schema.items }, schema.list?.listType, schema.list?.listMapKeys ?? [])
      : schema.type === 'map'
        ? { type: 'fields', of: (name) => ({ schema: schema.values, path: fieldElement(name) }), declares: () => false }
        : structShape(schema)
  shapes.set(schema, shape)
  return shape
}
function structShape(schema: ObjectSchema): Fields {
  const members = new Map<string, Member>()
  for (const [name, { schema: inner, mapType }] of Object.entries(schema.fields)) {
    members.set(name, { schema: inner, path: fieldElement(name), ...(mapType === undefined ? {} : { mapType }) })
  }
  return { type: 'fields', of: (name) => members.get(name) ?? untyped.of(name), declares: (name) => members.has(name) }
}
function listShape(item: Place, listType: string | undefined, listKeys: readonly string[]): Shape {
  if (listType === 'set') return { type: 'items', item, element: valueElement, keys: [] }
  if (listType !== 'map') return leaf
  const keys = [...listKeys].sort()
  const fields = solid(item.schema)
  const fallback = keys.map((key) => (fields.type === 'object' ? fields.fields[key]?.default : undefined))
  const element = (value: Json): string | FieldWalkError => {
    if (!isObject(value)) return new FieldWalkError('associative list with keys may not have non-map elements')
    const known: [string, Json][] = []
    keys.forEach((key, i) => {
      const member = ownMember(value, key) ?? fallback[i]
      if (member !== undefined) known.push([key, member])
    })
    if (known.length > 0) return keyElement(known)
    const names = listKeys.map((key) => JSON.stringify(key)).join(' ')
    return new FieldWalkError(
      `associative list with keys has an element that omits all key fields [${names}] (and doesn't have default values for any key fields)`,
    )
  }
  return { type: 'items', item, element, keys }
}

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const asObject = (value: Json | undefined): JsonObject => (isObject(value) ? value : {})
const asList = (value: Json | undefined): readonly Json[] => (Array.isArray(value) ? (value as readonly Json[]) : [])
const isEmpty = (value: Json | undefined): boolean =>
  value === undefined || value === null || (typeof value === 'object' && Object.keys(value).length === 0)

/** Items with their path elements, in order. An item that no key can name goes by its position. */
function pairsOf(shape: Items, value: Json | undefined): [string, Json][] {
  return asList(value).map((item, i) => [elementOf(shape, item, i), item])
}
function elementOf(shape: Items, item: Json, position: number): string {
  const element = shape.element(item)
  return typeof element === 'string' ? element : `i:${position}`
}
/** Stored lists may hold an item twice where validation lets them: the first one stands for both. */
function storedItems(shape: Items, value: Json | undefined): Map<string, Json> {
  const items = new Map<string, Json>()
  for (const [element, item] of pairsOf(shape, value)) if (!items.has(element)) items.set(element, item)
  return items
}
/** Items of a configuration. Throws FieldWalkError where an item has no key, or one comes twice. */
function claimedItems(shape: Items, value: Json | undefined): Map<string, Json> {
  const items = new Map<string, Json>()
  for (const item of asList(value)) {
    const element = shape.element(item)
    if (typeof element !== 'string') throw element
    if (items.has(element)) throw new FieldWalkError(`duplicate entries for key [${printKey(element)}]`)
    items.set(element, item)
  }
  return items
}
function printKey(element: string): string {
  if (!element.startsWith('k:')) return `=${element.slice(2)}`
  return Object.entries(JSON.parse(element.slice(2)) as JsonObject)
    .map(([name, member]) => `${name}=${JSON.stringify(member)}`)
    .join(',')
}

/** The fields that a configuration claims: its leaves, its list items, its map entries. */
export function fieldsOf(place: Place, value: Json | undefined): FieldSet | undefined {
  const shape = shapeOf(place, value)
  if (shape.type === 'leaf' || value === null || value === undefined) return leafNode
  let node: FieldSetDraft | undefined
  if (shape.type === 'fields') {
    for (const [name, member] of Object.entries(asObject(value))) {
      if (member === undefined) continue
      const inner = shape.of(name)
      const claimed = fieldsOf(inner, member)
      // an empty struct and every entry of a map are claimed themselves
      const itself = isEmpty(member) ? !Array.isArray(member) : !shape.declares(name)
      if (itself) (node ??= {})[inner.path] = asMember(claimed)
      else if (claimed !== undefined) (node ??= {})[inner.path] = claimed
    }
    return node
  }
  for (const [element, item] of claimedItems(shape, value)) {
    ;(node ??= {})[element] = asMember(fieldsOf(shape.item, item))
  }
  return node
}

export interface Changes {
  readonly added: FieldSet
  readonly modified: FieldSet
  readonly removed: FieldSet
}
interface Change {
  added?: FieldSetDraft
  modified?: FieldSetDraft
  removed?: FieldSetDraft
}
/** What is new, different and gone in `after`. */
export function compareFields(place: Place, before: Json | undefined, after: Json | undefined): Changes {
  const change: Change = {}
  const root: Change = {}
  compareMember(place, 'root', before, after, root)
  for (const kind of ['added', 'modified', 'removed'] as const) {
    const node = root[kind]?.root
    if (node !== undefined) change[kind] = node as FieldSetDraft
  }
  return { added: change.added ?? emptySet, modified: change.modified ?? emptySet, removed: change.removed ?? emptySet }
}
/** Puts the differences of one member under its path element into the change of what holds it. */
function compareMember(
  place: Place,
  path: string,
  before: Json | undefined,
  after: Json | undefined,
  into: Change,
): void {
  if (before === after) return
  if (before === undefined) (into.added ??= {})[path] = everything(place, after as Json)
  else if (after === undefined) (into.removed ??= {})[path] = everything(place, before)
  else {
    const shape = shapeOf(place, after)
    if (shape.type === 'leaf' || (isEmpty(before) && isEmpty(after)) || differInKind(before, after)) {
      if (!equal(before, after)) (into.modified ??= {})[path] = leafNode
      return
    }
    const change: Change = {}
    if (shape.type === 'fields') compareStructs(shape, asObject(before), asObject(after), change)
    else compareLists(shape, before, after, change)
    if (change.added !== undefined) (into.added ??= {})[path] = change.added
    if (change.modified !== undefined) (into.modified ??= {})[path] = change.modified
    if (change.removed !== undefined) (into.removed ??= {})[path] = change.removed
  }
}
function compareStructs(shape: Fields, before: JsonObject, after: JsonObject, change: Change): void {
  for (const name in after) {
    const old = ownMember(before, name)
    const next = after[name]
    if (old === next) continue
    const inner = shape.of(name)
    compareMember(inner, inner.path, old, next, change)
  }
  for (const name in before) {
    if (Object.hasOwn(after, name)) continue
    const inner = shape.of(name)
    compareMember(inner, inner.path, before[name], undefined, change)
  }
}
function compareLists(shape: Items, before: Json, after: Json, change: Change): void {
  const [left, right] = [asList(before), asList(after)]
  if (left.length === right.length && left.every((item, i) => sameItem(shape, item, right[i] as Json))) {
    left.forEach((item, i) => {
      const next = right[i] as Json
      if (item !== next && isObject(item)) compareMember(shape.item, elementOf(shape, item, i), item, next, change)
    })
    return
  }
  const [old, next] = [storedItems(shape, before), storedItems(shape, after)]
  for (const [element, item] of next) compareMember(shape.item, element, old.get(element), item, change)
  for (const [element, item] of old) if (!next.has(element)) compareMember(shape.item, element, item, undefined, change)
}
/** Whether two items at the same position are one and the same, told without spelling their path elements. */
function sameItem(shape: Items, a: Json, b: Json): boolean {
  if (a === b) return true
  if (shape.keys.length === 0 || !isObject(a) || !isObject(b)) return equal(a, b)
  return shape.keys.every((key) => equal(ownMember(a, key), ownMember(b, key)))
}
/** A value that is wholly new or wholly gone: its leaves and every container around them. */
function everything(place: Place, value: Json): FieldSet {
  const shape = shapeOf(place, value)
  if (shape.type === 'leaf' || isEmpty(value)) return leafNode
  const node = new SharedNode(true)
  if (shape.type === 'fields') {
    const members = asObject(value)
    for (const name in members) {
      const member = members[name]
      if (member === undefined) continue
      const inner = shape.of(name)
      node.add(inner.path, everything(inner, member))
    }
  } else {
    const seen = new Set<string>()
    asList(value).forEach((item, i) => {
      const element = elementOf(shape, item, i)
      if (seen.has(element)) return
      seen.add(element)
      node.add(element, everything(shape.item, item))
    })
  }
  return node.done()
}
/** Values of different kinds of JSON replace each other as a whole. */
const differInKind = (before: Json | undefined, after: Json | undefined): boolean =>
  !isEmpty(before) && !isEmpty(after) && Array.isArray(before) !== Array.isArray(after)

/** `live` with everything that `config` says; what only `live` has stays. */
export function mergeFields(place: Place, live: Json | undefined, config: Json): Json {
  const shape = shapeOf(place, config)
  if (shape.type === 'leaf' || live === undefined || live === null || config === null) return config
  if (shape.type === 'fields') {
    if (!isObject(live) || !isObject(config)) return config
    const out: Record<string, Json> = {}
    for (const name in live) if (live[name] !== undefined) setKey(out, name, live[name])
    for (const name in config) {
      const member = config[name]
      if (member !== undefined) setKey(out, name, mergeFields(shape.of(name), ownMember(live, name), member))
    }
    return out
  }
  return mergeItems(shape, pairsOf(shape, live), claimedItems(shape, config))
}
/** Items of both come in the configuration's order; live ones stay before the shared item that followed them. */
function mergeItems(shape: Items, live: readonly [string, Json][], config: ReadonlyMap<string, Json>): Json[] {
  const out: Json[] = []
  const known = new Map([...live].reverse())
  const shared = [...config.keys()].filter((element) => known.has(element))
  let at = 0
  /** What only the live list has, up to the next shared item; shared ones that are not next come in their own turn. */
  const emitLive = () => {
    for (; at < live.length; at++) {
      const [element, item] = live[at] as [string, Json]
      if (element === shared[0]) return
      if (!config.has(element)) out.push(item)
    }
  }
  for (const [element, item] of config) {
    emitLive()
    out.push(mergeFields(shape.item, known.get(element), item))
    if (element === shared[0]) shared.shift()
  }
  emitLive()
  return out
}

/** `value` without the members of `gone`; containers that become empty by it go too, the keys of an item stay with it. */
export function withoutFields(place: Place, value: Json, gone: FieldSet): Json | undefined {
  const shape = shapeOf(place, value)
  if (shape.type === 'leaf') return value
  let touched = false
  const reduce = (element: string, inner: Place, member: Json): Json | undefined => {
    const node = below(gone, element)
    if (node === undefined) return member
    touched = true
    return contains(node) ? undefined : withoutFields(inner, member, node)
  }
  if (shape.type === 'fields') {
    const out: Record<string, Json> = {}
    for (const [name, member] of Object.entries(asObject(value))) {
      if (member === undefined) continue
      const kept = reduce(fieldElement(name), shape.of(name), member)
      if (kept !== undefined) setKey(out, name, kept)
    }
    return touched && Object.keys(out).length === 0 ? undefined : out
  }
  const out: Json[] = []
  for (const [element, item] of pairsOf(shape, value)) {
    const kept = reduce(element, shape.item, item)
    if (kept === undefined && !contains(below(gone, element))) out.push(keysOnly(shape.keys, item))
    else if (kept !== undefined) out.push(isObject(kept) ? { ...keysOnly(shape.keys, item), ...kept } : kept)
  }
  return touched && out.length === 0 ? undefined : out
}
const keysOnly = (keys: readonly string[], item: Json): JsonObject =>
  Object.fromEntries(keys.flatMap((key) => (isObject(item) && item[key] !== undefined ? [[key, item[key]]] : [])))
