// Sets of field paths in the very form that managedFields stores (fieldsV1, KEP-555): nested objects whose keys are path
// elements, `f:name` a field, `k:{"name":"x"}` a list item by key, `v:"x"` an item by value, `i:0` by position. `{}` is a
// member; a node with children is a member when it has "." among them. No other form is needed, so a set costs no parsing.
import { setKey } from './freeze.ts'
import type { Json, JsonObject } from './schema.ts'

export interface FieldSet {
  readonly [element: string]: FieldSet | undefined
}
/** A node under construction. Path elements have a prefix, so no key of it can be __proto__. */
export type FieldSetDraft = Record<string, FieldSet>
export const emptySet: FieldSet = Object.freeze({})
/** "." in a node says that the node itself is a member too. */
const SELF = '.'
/** A member without children. */
export const leafNode: FieldSet = Object.freeze({})

// Sets that are alike are one and the same where they can be: what a client owns in its thousandth Pod is what it owned in
// the first. A node is found by walking a tree of its members in order, and costs nothing when it is there already.
interface Branch {
  node: FieldSet | undefined
  readonly next: Map<string, Map<FieldSet, Branch>>
}
const branch = (): Branch => ({ node: undefined, next: new Map() })
/** Labels and names make ever new sets: from this many branches on, the tree is begun anew. */
const maxBranches = 20_000
let tree = branch()
let branches = 0
const shared = new WeakMap<FieldSet, { text: string | undefined }>()
const keepShared = (node: FieldSet): FieldSet => {
  shared.set(node, { text: undefined })
  return node
}
keepShared(leafNode)

/** Builds the one shared node of a sequence of members, each a path element and a shared node. */
export class SharedNode {
  private at: Branch
  private readonly elements: string[] = []
  private readonly children: FieldSet[] = []
  /** `itself` says whether the node is a member too. */
  constructor(itself: boolean) {
    if (branches > maxBranches) {
      tree = branch()
      branches = 0
    }
    this.at = tree
    if (itself) this.add(SELF, leafNode)
  }
  add(element: string, child: FieldSet): void {
    this.elements.push(element)
    this.children.push(child)
    let byChild = this.at.next.get(element)
    if (byChild === undefined) this.at.next.set(element, (byChild = new Map()))
    let next = byChild.get(child)
    if (next === undefined) {
      next = branch()
      branches++
      byChild.set(child, next)
    }
    this.at = next
  }
  done(): FieldSet {
    if (this.elements.length === 0) return leafNode
    if (this.at.node === undefined) {
      const node: FieldSetDraft = {}
      for (let i = 0; i < this.elements.length; i++) setKey(node, this.elements[i] as string, this.children[i])
      this.at.node = keepShared(Object.freeze(node))
    }
    return this.at.node
  }
}
/** The same set, shared. */
export function share(set: FieldSet): FieldSet {
  if (shared.has(set)) return set
  const node = new SharedNode(false)
  for (const element in set) {
    const child = set[element]
    if (child !== undefined) node.add(element, share(child))
  }
  return node.done()
}
/** The set as JSON text, made once for a shared one. */
export function fieldSetText(set: unknown): string {
  const known = shared.get(set as FieldSet)
  if (known === undefined) return JSON.stringify(set)
  return (known.text ??= JSON.stringify(set))
}

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
/** The node as a member, whatever it was. */
export const asMember = (node: FieldSet | undefined): FieldSet =>
  node === undefined || isMember(node) ? (node ?? leafNode) : { [SELF]: leafNode, ...node }

/** Nodes that do not change are shared, so an operation costs what it changes. */
function uniteNodes(a: FieldSet, b: FieldSet): FieldSet {
  if (a === b) return a
  if (isEmptySet(a)) return asMember(b)
  if (isEmptySet(b)) return asMember(a)
  let out: FieldSetDraft | undefined
  for (const element in b) {
    const theirs = b[element] as FieldSet
    const ours = childOf(a, element)
    const both = ours === undefined ? theirs : element === SELF ? ours : uniteNodes(ours, theirs)
    if (both !== ours) (out ??= { ...a } as FieldSetDraft)[element] = both
  }
  return out ?? a
}
function intersectNodes(a: FieldSet, b: FieldSet): FieldSet | undefined {
  if (a === b) return a
  let out: FieldSetDraft | undefined
  for (const [element, ours] of childrenOf(a)) {
    const theirs = childOf(b, element)
    const both = theirs === undefined ? undefined : intersectNodes(ours, theirs)
    if (both !== undefined) (out ??= {})[element] = both
  }
  if (!isMember(a) || !isMember(b)) return out
  return out === undefined ? leafNode : asMember(out)
}
/** `trees`: everything below a member of `b` goes as well. */
function subtractNodes(a: FieldSet, b: FieldSet, trees: boolean): FieldSet | undefined {
  if (trees && isMember(b)) return undefined
  const children = childrenOf(a)
  const stays = isMember(a) && !isMember(b)
  if (children.length === 0) return stays ? a : undefined
  let out: FieldSetDraft | undefined
  let changed = isMember(a) !== stays
  for (const [element, ours] of children) {
    const theirs = childOf(b, element)
    const left = theirs === undefined ? ours : subtractNodes(ours, theirs, trees)
    if (left !== ours) changed = true
    if (left !== undefined) (out ??= {})[element] = left
  }
  if (!changed) return a
  if (out === undefined) return stays ? leafNode : undefined
  return stays ? asMember(out) : out
}
// the root is no path, so it is never a member
export const unite = (a: FieldSet, b: FieldSet): FieldSet => (isEmptySet(a) ? b : isEmptySet(b) ? a : uniteNodes(a, b))
export const intersect = (a: FieldSet, b: FieldSet): FieldSet =>
  isEmptySet(a) || isEmptySet(b) ? emptySet : (intersectNodes(a, b) ?? emptySet)
export const subtract = (a: FieldSet, b: FieldSet): FieldSet =>
  isEmptySet(a) || isEmptySet(b) ? a : (subtractNodes(a, b, false) ?? emptySet)
export const subtractAll = (a: FieldSet, b: FieldSet): FieldSet =>
  isEmptySet(a) || isEmptySet(b) ? a : (subtractNodes(a, b, true) ?? emptySet)

export function sameSet(a: FieldSet, b: FieldSet): boolean {
  if (a === b) return true
  const [left, right] = [Object.keys(a), Object.keys(b)]
  if (left.length !== right.length) return false
  return left.every((element) => {
    const [x, y] = [childOf(a, element), childOf(b, element)]
    return x !== undefined && y !== undefined && sameSet(x, y)
  })
}

/** Nodes known to be in order all the way down. */
const ordered = new WeakSet<FieldSet>()
/** The set with its elements sorted, as every server writes it: the text is then the same for equal sets, whoever reads it
 * and writes it again. Nodes that are in order are answered as they are, and remembered. */
export function inOrder(set: FieldSet): FieldSet {
  if (ordered.has(set)) return set
  const elements = Object.keys(set)
  let same = true
  for (let i = 1; i < elements.length; i++) if ((elements[i - 1] ?? '') > (elements[i] ?? '')) same = false
  if (!same) elements.sort()
  const out: FieldSetDraft = {}
  for (const element of elements) {
    const child = set[element] ?? leafNode
    const sorted = inOrder(child)
    if (sorted !== child) same = false
    out[element] = sorted
  }
  const answer = same ? set : out
  ordered.add(answer)
  return answer
}

/** What stands below an element, when anything does. */
export const below = (set: FieldSet | undefined, element: string): FieldSet | undefined =>
  set === undefined ? undefined : childOf(set, element)
/** Whether the node itself is in the set. */
export const contains = (node: FieldSet | undefined): boolean => node !== undefined && isMember(node)

const order = (element: string): number => 'fkvi'.indexOf(element.charAt(0))
const byElement = ([a]: readonly [string, FieldSet], [b]: readonly [string, FieldSet]): number =>
  order(a) - order(b) || (a < b ? -1 : a > b ? 1 : 0)
/** Every member as upstream prints a path: .spec.containers[name="web"].image */
export function printPaths(set: FieldSet): string[] {
  const paths: string[] = []
  const visit = (node: FieldSet, path: string) => {
    if (path !== '' && isMember(node)) paths.push(path)
    for (const [element, child] of childrenOf(node).sort(byElement)) visit(child, path + printElement(element))
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
/** The element of a list item with these keys, which are sorted by name. */
export function keyElement(keys: readonly (readonly [string, Json])[]): string {
  let text = 'k:{'
  for (const [name, value] of keys) {
    text += `${text.length > 3 ? ',' : ''}${JSON.stringify(name)}:${JSON.stringify(value)}`
  }
  return `${text}}`
}
const byName = ([a]: readonly [string, Json], [b]: readonly [string, Json]): number => (a < b ? -1 : 1)

/** Reads fieldsV1 as it came from a client; undefined where it is no field set. Keys are brought into our spelling; what
 * is spelled so already is answered as it is. */
export function parseFieldSet(value: Json | undefined, depth = 0): FieldSet | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || depth > 500) return undefined
  const source = value as JsonObject
  if (shared.has(source as FieldSet)) return source as FieldSet
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
  const keys = Object.entries(value as JsonObject).map(([name, member]) => [name, member ?? null] as const)
  return keyElement(keys.sort(byName))
}
