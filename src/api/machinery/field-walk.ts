// Walks over objects as server-side apply sees them (KEP-555): structs and maps by field, lists of type map by their keys,
// lists of type set by value, everything atomic as one leaf. Here are the four walks: which fields an object holds, what
// differs between two, merging one into another, taking fields away.
import { solid } from './compile.ts'
import { equal } from './equal.ts'
import { below, contains, type FieldSet, fieldElement, keyElement, makeNode, valueElement } from './field-set.ts'
import { ownMember, setKey } from './freeze.ts'
import type { Json, JsonObject, ObjectSchema, Schema } from './schema.ts'

/** A list or map that cannot be merged by its keys: duplicate or missing keys; the message is upstream's. */
export class FieldWalkError extends Error {}

type Shape =
  | { readonly type: 'leaf' }
  | { readonly type: 'fields'; readonly of: (name: string) => Place; readonly declares: (name: string) => boolean }
  | Items
interface Items {
  readonly type: 'items'
  readonly item: Place
  /** The path element of an item, or why it has none. */
  readonly element: (item: Json) => string | FieldWalkError
  readonly keys: readonly string[]
}
/** A schema at a place in an object; the place may overrule whether a map is atomic. */
export interface Place {
  readonly schema: Schema
  readonly mapType?: 'atomic' | 'granular'
}

const leaf: Shape = { type: 'leaf' }
const anyPlace: Place = { schema: { type: 'any' } }
/** Any JSON: objects by field, lists as a whole. */
const untyped: Shape = { type: 'fields', of: () => anyPlace, declares: () => false }
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
        ? { type: 'fields', of: () => ({ schema: schema.values }), declares: () => false }
        : structShape(schema)
  shapes.set(schema, shape)
  return shape
}
function structShape(schema: ObjectSchema): Shape {
  const places = new Map(
    Object.entries(schema.fields).map(
      ([name, field]) =>
        [name, { schema: field.schema, ...(field.mapType === undefined ? {} : { mapType: field.mapType }) }] as const,
    ),
  )
  return { type: 'fields', of: (name) => places.get(name) ?? anyPlace, declares: (name) => places.has(name) }
}
function listShape(item: Place, listType: string | undefined, keys: readonly string[]): Shape {
  if (listType === 'set') return { type: 'items', item, element: valueElement, keys: [] }
  if (listType !== 'map') return leaf
  const fields = solid(item.schema)
  const fallback = (key: string): Json | undefined =>
    fields.type === 'object' ? fields.fields[key]?.default : undefined
  const element = (value: Json): string | FieldWalkError => {
    if (!isObject(value)) return new FieldWalkError('associative list with keys may not have non-map elements')
    const known = keys.flatMap((key) => {
      const member = ownMember(value, key) ?? fallback(key)
      return member === undefined ? [] : [[key, member] as const]
    })
    if (known.length === 0) {
      const names = keys.map((key) => JSON.stringify(key)).join(' ')
      return new FieldWalkError(
        `associative list with keys has an element that omits all key fields [${names}] (and doesn't have default values for any key fields)`,
      )
    }
    return keyElement(known)
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
  return asList(value).map((item, i) => {
    const element = shape.element(item)
    return [typeof element === 'string' ? element : `i:${i}`, item]
  })
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
  if (shape.type === 'leaf' || value === null || value === undefined) return makeNode(true, [])
  const children: [string, FieldSet][] = []
  if (shape.type === 'fields') {
    for (const [name, member] of Object.entries(asObject(value))) {
      if (member === undefined) continue
      const node = fieldsOf(shape.of(name), member)
      // an empty struct and every entry of a map are claimed themselves
      const itself = isEmpty(member) ? !Array.isArray(member) : !shape.declares(name)
      const whole = itself ? makeNode(true, entries(node)) : node
      if (whole !== undefined) children.push([fieldElement(name), whole])
    }
    return makeNode(false, children)
  }
  for (const [element, item] of claimedItems(shape, value)) {
    children.push([element, makeNode(true, entries(fieldsOf(shape.item, item))) ?? {}])
  }
  return makeNode(false, children)
}
const entries = (node: FieldSet | undefined): [string, FieldSet][] =>
  Object.entries(node ?? {}).filter((entry): entry is [string, FieldSet] => entry[0] !== '.' && entry[1] !== undefined)

export interface Changes {
  readonly added: FieldSet
  readonly modified: FieldSet
  readonly removed: FieldSet
}
interface Change {
  readonly added?: FieldSet | undefined
  readonly modified?: FieldSet | undefined
  readonly removed?: FieldSet | undefined
}
/** What is new, different and gone in `after`. */
export function compareFields(place: Place, before: Json | undefined, after: Json | undefined): Changes {
  const change = compare(place, before, after) ?? {}
  return { added: change.added ?? {}, modified: change.modified ?? {}, removed: change.removed ?? {} }
}
function compare(place: Place, before: Json | undefined, after: Json | undefined): Change | undefined {
  if (before === after) return undefined
  const shape = shapeOf(place, after ?? before)
  if (shape.type === 'leaf' || (isEmpty(before) && isEmpty(after)) || differInKind(before, after)) {
    const whole = makeNode(true, [])
    if (before === undefined) return { added: whole }
    if (after === undefined) return { removed: whole }
    return equal(before, after) ? undefined : { modified: whole }
  }
  const added: [string, FieldSet][] = []
  const modified: [string, FieldSet][] = []
  const removed: [string, FieldSet][] = []
  const visit = (element: string, inner: Place, old: Json | undefined, next: Json | undefined) => {
    const change = compare(inner, old, next)
    if (change?.added !== undefined) added.push([element, change.added])
    if (change?.modified !== undefined) modified.push([element, change.modified])
    if (change?.removed !== undefined) removed.push([element, change.removed])
  }
  if (shape.type === 'fields') {
    const [old, next] = [asObject(before), asObject(after)]
    for (const name in next) visit(fieldElement(name), shape.of(name), ownMember(old, name), next[name])
    for (const name in old)
      if (!Object.hasOwn(next, name)) visit(fieldElement(name), shape.of(name), old[name], undefined)
  } else {
    const [old, next] = [storedItems(shape, before), storedItems(shape, after)]
    for (const [element, item] of next) visit(element, shape.item, old.get(element), item)
    for (const [element, item] of old) if (!next.has(element)) visit(element, shape.item, item, undefined)
  }
  const change = {
    added: makeNode(before === undefined, added),
    modified: makeNode(false, modified),
    removed: makeNode(after === undefined, removed),
  }
  return (change.added ?? change.modified ?? change.removed) ? change : undefined
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
