// JSON patch (RFC 6902). The document may be frozen: containers along a changed path are copied once, the rest is shared.
// Upstream's reading where the standard is silent: negative indexes count from the end, a test against null passes where
// nothing is, the work of `copy` is bounded.
import { equal } from './equal.ts'
import { draftOf, setKey, withinDepth } from './freeze.ts'
import type { Json, JsonObject } from './schema.ts'

/** The patch does not fit the document, or is no patch; the message is upstream's. */
export class PatchError extends Error {}

export interface PatchOperation {
  readonly op: 'add' | 'remove' | 'replace' | 'move' | 'copy' | 'test'
  readonly path: string
  readonly from?: string
  readonly value?: Json
}
/** What the server accepts in one patch. */
export const maxPatchOperations = 10_000
const maxCopiedBytes = 3 * 1024 * 1024

/** Checks that a body is a JSON patch. Throws PatchError. */
export function parsePatch(body: Json): readonly PatchOperation[] {
  if (!Array.isArray(body))
    throw new PatchError('json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp')
  if (!withinDepth(body)) throw new PatchError('exceeded max depth')
  for (const operation of body as readonly Json[]) {
    if (typeof operation !== 'object' || operation === null || Array.isArray(operation)) {
      throw new PatchError('json: cannot unmarshal JSON value into Go value of type jsonpatch.Operation')
    }
  }
  return body as unknown as readonly PatchOperation[]
}

/** The patched document. Throws PatchError. */
export function applyPatch(document: Json, patch: readonly PatchOperation[]): Json {
  const state: State = { root: document, owned: new WeakSet(), copied: 0 }
  for (const operation of patch) applyOne(state, operation)
  return state.root
}

interface State {
  root: Json
  /** Containers made by this patch, which may be changed in place. */
  readonly owned: WeakSet<object>
  copied: number
}
type Container = Record<string, Json> | Json[]

function applyOne(state: State, operation: PatchOperation): void {
  const { op, path, from, value } = operation
  if (typeof path !== 'string') throw new PatchError(`${op} operation missing or invalid path`)
  switch (op) {
    case 'add':
      return add(state, path, given(op, path, value), 'add')
    case 'remove':
      take(state, path, 'remove')
      return
    case 'replace':
      return replace(state, path, given(op, path, value))
    case 'test':
      return test(state, path, value)
    case 'move': {
      const source = fromOf(op, from)
      if (path !== source && path.startsWith(`${source}/`)) {
        throw new PatchError(`error in move for path: '${path}': cannot move a value into one of its children`)
      }
      return add(state, path, take(state, source, 'move'), 'move')
    }
    case 'copy': {
      const moved = find(state.root, tokens(fromOf(op, from)), 'copy', fromOf(op, from))
      state.copied += JSON.stringify(moved).length
      if (state.copied > maxCopiedBytes) {
        throw new PatchError(
          `Unable to complete the copy, the accumulated size increase of copy is ${state.copied}, exceeding the limit ${maxCopiedBytes}`,
        )
      }
      return add(state, path, draftOf(moved), 'copy')
    }
    default:
      throw new PatchError(`Unexpected kind: ${String(op)}`)
  }
}
function given(op: string, path: string, value: Json | undefined): Json {
  if (value === undefined) throw new PatchError(`${op} operation does not apply: ${path}: missing value`)
  return value
}
function fromOf(op: string, from: string | undefined): string {
  if (typeof from !== 'string') throw new PatchError(`${op} operation does not apply: missing from`)
  return from
}

/** The parts of a JSON pointer. */
export function tokens(path: string): string[] {
  if (path === '') return []
  return path
    .split('/')
    .slice(1)
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'))
}

const missingPath = (op: string, path: string) =>
  new PatchError(`${op} operation does not apply: doc is missing path: ${JSON.stringify(path)}: missing value`)
const missingKey = (op: string, path: string) =>
  new PatchError(`${op} operation does not apply: doc is missing key: ${path}: missing value`)

const isContainer = (value: Json | undefined): value is Exclude<Json, null | boolean | number | string> =>
  typeof value === 'object' && value !== null

/** Index of an existing item, counting from the end when negative. */
function existingIndex(list: readonly Json[], token: string, op: string): number {
  if (!/^-?(?:0|[1-9]\d*)$/.test(token)) {
    throw new PatchError(
      `${op} operation does not apply: error in ${op} for path: strconv.Atoi: parsing ${JSON.stringify(token)}: invalid syntax`,
    )
  }
  const index = Number(token) < 0 ? list.length + Number(token) : Number(token)
  if (index < 0 || index >= list.length) {
    throw new PatchError(
      `${op} operation does not apply: Unable to access invalid index: ${token}: invalid index referenced`,
    )
  }
  return index
}

function member(container: Json | undefined, token: string, op: string): Json | undefined {
  if (Array.isArray(container)) {
    const list = container as readonly Json[]
    return list[existingIndex(list, token, op)]
  }
  const object = container as JsonObject
  return isContainer(container) && Object.hasOwn(object, token) ? object[token] : undefined
}
function find(root: Json, path: readonly string[], op: string, text: string): Json {
  let current: Json | undefined = root
  for (const token of path) {
    if (!isContainer(current)) throw missingPath(op, text)
    current = member(current, token, op)
  }
  if (current === undefined) throw missingKey(op, text)
  return current
}

/** The container of the last token, made changeable all the way down from the root. */
function parentOf(state: State, path: readonly string[], op: string, text: string): Container {
  if (!isContainer(state.root)) throw missingPath(op, text)
  let current = own(state, state.root)
  state.root = current
  for (const token of path.slice(0, -1)) {
    const next: Json | undefined = member(current, token, op)
    if (!isContainer(next)) throw missingPath(op, text)
    const copy = own(state, next)
    if (Array.isArray(current)) current[existingIndex(current, token, op)] = copy
    else setKey(current, token, copy)
    current = copy
  }
  return current
}
function own(state: State, value: object): Container {
  if (state.owned.has(value)) return value as Container
  const copy: Container = Array.isArray(value) ? [...(value as readonly Json[])] : copyObject(value as JsonObject)
  state.owned.add(copy)
  return copy
}
function copyObject(value: JsonObject): Record<string, Json> {
  const out: Record<string, Json> = {}
  for (const key in value) if (value[key] !== undefined) setKey(out, key, value[key])
  return out
}

function add(state: State, text: string, value: Json, op: string): void {
  const path = tokens(text)
  const last = path.at(-1)
  if (last === undefined) {
    state.root = value
    return
  }
  const parent = parentOf(state, path, op, text)
  if (!Array.isArray(parent)) return setKey(parent, last, value)
  if (last === '-') {
    parent.push(value)
    return
  }
  const index = /^-?(?:0|[1-9]\d*)$/.test(last) ? Number(last) : existingIndex(parent, last, op)
  const at = index < 0 ? parent.length + 1 + index : index
  if (at < 0 || at > parent.length) {
    throw new PatchError(
      `${op} operation does not apply: doc is missing path: ${JSON.stringify(text)}: Unable to access invalid index: ${last}: invalid index referenced`,
    )
  }
  parent.splice(at, 0, value)
}

/** Removes and answers what stands at the path. */
function take(state: State, text: string, op: string): Json {
  const path = tokens(text)
  const last = path.at(-1)
  if (last === undefined) throw new PatchError(`${op} operation does not apply: cannot ${op} the whole document`)
  const parent = parentOf(state, path, op, text)
  if (Array.isArray(parent)) {
    const [removed] = parent.splice(existingIndex(parent, last, op), 1)
    return removed as Json
  }
  const removed = Object.hasOwn(parent, last) ? parent[last] : undefined
  if (removed === undefined) throw missingKey(op, text)
  delete parent[last]
  return removed
}

function replace(state: State, text: string, value: Json): void {
  const path = tokens(text)
  const last = path.at(-1)
  if (last === undefined) {
    state.root = value
    return
  }
  const parent = parentOf(state, path, 'replace', text)
  if (Array.isArray(parent)) parent[existingIndex(parent, last, 'replace')] = value
  else if (!Object.hasOwn(parent, last)) throw missingKey('replace', text)
  else setKey(parent, last, value)
}

function test(state: State, text: string, wanted: Json | undefined): void {
  let current: Json | undefined = state.root
  for (const token of tokens(text)) {
    if (!isContainer(current)) {
      current = undefined
      break
    }
    current = member(current, token, 'test')
  }
  if (!equal(current ?? null, wanted ?? null)) throw new PatchError(`testing value ${text} failed: test failed`)
}
