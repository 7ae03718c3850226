// Sets of field paths in the very form that managedFields stores (fieldsV1, KEP-555): nested objects whose keys are path
// elements, `f:name` a field, `k:{"name":"x"}` a list item by key, `v:"x"` an item by value, `i:0` by position. `{}` is a
// member; a node with children is a member when it has "." among them. No other form is needed, so a set costs no parsing.
import { setKey } from './freeze.ts'
import type { Json, JsonObject } from './schema.ts'

export interface FieldSet {
  readonly [element: string]: FieldSet | undefined
}
export const emptySet: FieldSet = Object.freeze({})
/** "." in a node says that the node itself is a member too. */
const SELF = '.'
const self: FieldSet = Object.freeze({})

/** The empty set has no members; as a node below another one, `{}` is a member. */
export const isEmptySet = (set: FieldSet): boolean => {
  for (const _ in set) return false
  return true
}
const isMember = (node: FieldSet): boolean => isEmptySet(node) || node[SELF] !== undefined
const childrenOf = (node: FieldSet): [string, FieldSet][] =>
  Object.entries(node).filter((entry): entry is [string, FieldSet] => entry[0] !== SELF && entry[1] !== undefined)
const childOf = (node: FieldSet, element: string): FieldSet | undefined =>
  Object.hasOwn(node, element) ? node[element] : undefined

const order = (element: string): number => 'fkvi'.indexOf(element.charAt(0))
const byElement = ([a]: readonly [string, FieldSet], [b]: readonly [string, FieldSet]): number =>
  order(a) - order(b) || (a < b ? -1 : a > b ? 1 : 0)

/** A node from its parts; undefined where nothing is in it. */
export function makeNode(member: boolean, children: [string, FieldSet][]): FieldSet | undefined {
  if (children.length === 0) return member ? self : undefined
  const node: Record<string, FieldSet> = {}
  if (member) node[SELF] = self
  for (const [element, child] of children.sort(byElement)) setKey(node, element, child)
  return node
}

type Combine = (a: FieldSet | undefined, b: FieldSet | undefined) => FieldSet | undefined
/** Combines two nodes of which at least one is there. */
function combine(keep: (a: boolean, b: boolean) => boolean, descend: Combine): Combine {
  return (a, b) => {
    const elements = new Set(
      [...(a === undefined ? [] : childrenOf(a)), ...(b === undefined ? [] : childrenOf(b))].map(([e]) => e),
    )
    const children: [string, FieldSet][] = []
    for (const element of elements) {
      const child = descend(a && childOf(a, element), b && childOf(b, element))
      if (child !== undefined) children.push([element, child])
    }
    return makeNode(keep(a !== undefined && isMember(a), b !== undefined && isMember(b)), children)
  }
}

const uniteNodes: Combine = combine(
  (a, b) => a || b,
  (a, b) => (a === undefined ? b : b === undefined || a === b ? a : uniteNodes(a, b)),
)
const intersectNodes: Combine = combine(
  (a, b) => a && b,
  (a, b) => (a === undefined || b === undefined ? undefined : a === b ? a : intersectNodes(a, b)),
)
const subtractNodes: Combine = combine(
  (a, b) => a && !b,
  (a, b) => (a === undefined || b === undefined ? a : subtractNodes(a, b)),
)
/** Takes away everything below a member of `b` as well. */
const subtractTrees: Combine = combine(
  (a, b) => a && !b,
  (a, b) => (a === undefined || b === undefined ? a : isMember(b) ? undefined : subtractTrees(a, b)),
)
/** The root is no path, so it is never a member. */
const atRoot =
  (operation: Combine) =>
  (a: FieldSet, b: FieldSet): FieldSet => {
    const node = operation(isEmptySet(a) ? undefined : a, isEmptySet(b) ? undefined : b)
    return node ?? emptySet
  }
export const unite = atRoot((a, b) => (a === undefined || b === undefined ? (a ?? b) : uniteNodes(a, b)))
export const intersect = atRoot((a, b) => (a === undefined || b === undefined ? undefined : intersectNodes(a, b)))
export const subtract = atRoot((a, b) => (a === undefined || b === undefined ? a : subtractNodes(a, b)))
export const subtractAll = atRoot((a, b) => (a === undefined || b === undefined ? a : subtractTrees(a, b)))

export function sameSet(a: FieldSet, b: FieldSet): boolean {
  if (a === b) return true
  const [left, right] = [Object.keys(a), Object.keys(b)]
  if (left.length !== right.length) return false
  return left.every((element) => {
    const [x, y] = [childOf(a, element), childOf(b, element)]
    return x !== undefined && y !== undefined && sameSet(x, y)
  })
}

/** What stands below an element, when anything does. */
export const below = (set: FieldSet | undefined, element: string): FieldSet | undefined =>
  set === undefined ? undefined : childOf(set, element)
/** Whether the node itself is in the set. */
export const contains = (node: FieldSet | undefined): boolean => node !== undefined && isMember(node)

/** Every member as upstream prints a path: .spec.containers[name="web"].image */
export function printPaths(set: FieldSet): string[] {
  const paths: string[] = []
  const visit = (node: FieldSet, path: string) => {
    if (path !== '' && isMember(node)) paths.push(path)
    for (const [element, child] of childrenOf(node)) visit(child, path + printElement(element))
  }
  visit(set, '')
  return paths
}
function printElement(element: string): string {
  const rest = element.slice(2)
  switch (element.charAt(0)) {
    case 'f':
      return `.${rest}`
    case 'k': {
      const keys = Object.entries(JSON.parse(rest) as JsonObject)
      return `[${keys.map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(',')}]`
    }
    case 'v':
      return `[=${rest}]`
    default:
      return `[${rest}]`
  }
}

export const fieldElement = (name: string): string => `f:${name}`
export const valueElement = (value: Json): string => `v:${JSON.stringify(value)}`
/** The element of a list item with these keys; names are sorted. */
export const keyElement = (keys: readonly (readonly [string, Json])[]): string =>
  `k:${JSON.stringify(Object.fromEntries([...keys].sort(([a], [b]) => (a < b ? -1 : 1))))}`

/** Reads fieldsV1 as it came from a client; undefined where it is no field set. Keys are brought into our spelling; what
 * is spelled so already is answered as it is. */
export function parseFieldSet(value: Json | undefined, depth = 0): FieldSet | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || depth > 500) return undefined
  const source = value as JsonObject
  let copy: Record<string, FieldSet> | undefined
  for (const element of Object.keys(source)) {
    const name = element === SELF ? SELF : canonicalElement(element)
    const child = source[element]
    const inner = name === undefined ? undefined : parseFieldSet(child, depth + 1)
    if (name === undefined || inner === undefined) return undefined
    if (copy === undefined && (name !== element || inner !== child)) {
      copy = {}
      for (const earlier of Object.keys(source)) {
        if (earlier === element) break
        setKey(copy, earlier, source[earlier])
      }
    }
    if (copy !== undefined) setKey(copy, name, inner)
  }
  return copy ?? (source as FieldSet)
}
const spellings = new Map<string, string | undefined>()
function canonicalElement(element: string): string | undefined {
  if (element.startsWith('f:')) return element
  if (spellings.has(element)) return spellings.get(element)
  if (spellings.size >= 4096) spellings.clear()
  const canonical = spell(element)
  spellings.set(element, canonical)
  return canonical
}
function spell(element: string): string | undefined {
  if (/^i:\d+$/.test(element)) return element
  if (!/^[kv]:/.test(element)) return undefined
  let value: Json
  try {
    value = JSON.parse(element.slice(2)) as Json
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
  if (element.startsWith('v:')) return valueElement(value)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  return keyElement(Object.entries(value as JsonObject).map(([name, member]) => [name, member ?? null] as const))
}
