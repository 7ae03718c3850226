// How an object lies in the store: our own JSON text without resourceVersion, always beginning with the same bytes for
// one kind ({"kind":"Pod","apiVersion":"v1","metadata":{), so that the served form is the stored one with
// "resourceVersion":"N", put in at a known place. An object is therefore turned into text once, when it is written.
import { fieldSetText } from '../../api/machinery/field-set.ts'
import type { KubeObject } from '../../api/machinery/meta.ts'

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** Fixed bytes at the head of every stored value of one kind and version. */
export interface Layout {
  readonly apiVersion: string
  readonly kind: string
  readonly head: Uint8Array
  readonly headText: string
}
export function layoutOf(apiVersion: string, kind: string): Layout {
  const headText = `{"kind":${JSON.stringify(kind)},"apiVersion":${JSON.stringify(apiVersion)},"metadata":{`
  return { apiVersion, kind, headText, head: encoder.encode(headText) }
}

/** An object whose server-set metadata may still be missing. */
export interface Writable {
  readonly metadata: object
}

/** The stored form. resourceVersion is left out, managedFields come last in metadata; the order of the other fields is kept. */
export function encodeValue(layout: Layout, object: Writable): Uint8Array {
  const { kind: _kind, apiVersion: _apiVersion, metadata, ...rest } = object as Writable & Record<string, unknown>
  const { resourceVersion: _version, managedFields, ...kept } = metadata as Record<string, unknown>
  const fields = managedFields === undefined ? '' : `"managedFields":${managersText(managedFields)}`
  const meta = joined(JSON.stringify(kept).slice(1, -1), fields)
  return encoder.encode(joined(`${layout.headText}${meta}}`, JSON.stringify(rest).slice(1, -1)) + '}')
}
const joined = (a: string, b: string): string => (a === '' || b === '' ? a + b : `${a},${b}`)
/** A client's set of fields is mostly the one of its last write: its text is made once. */
function managersText(managers: unknown): string {
  if (!Array.isArray(managers)) return JSON.stringify(managers)
  return `[${managers
    .map((entry: Record<string, unknown>) => {
      if (entry === null || typeof entry !== 'object' || entry['fieldsV1'] === undefined) return JSON.stringify(entry)
      const { fieldsV1, ...head } = entry
      return `{${joined(JSON.stringify(head).slice(1, -1), `"fieldsV1":${fieldSetText(fieldsV1)}`)}}`
    })
    .join(',')}]`
}

/** True when `value` is laid out as `layout` says (another writer's value may not be). */
export function hasLayout(layout: Layout, value: Uint8Array): boolean {
  const { head } = layout
  if (value.length <= head.length) return false
  for (let i = 0; i < head.length; i++) if (value[i] !== head[i]) return false
  return true
}

/** The object of a stored value, with its resourceVersion. Not frozen. */
export function decodeValue(value: Uint8Array, revision: number): KubeObject {
  const parsed = JSON.parse(decoder.decode(value)) as { metadata: Record<string, unknown> }
  parsed.metadata['resourceVersion'] = String(revision)
  return parsed as unknown as KubeObject
}

/** The bytes of `"resourceVersion":"N",`. */
function versionBytes(revision: number): Uint8Array {
  return encoder.encode(`"resourceVersion":"${revision}",`)
}

/** The served form: one allocation, `before` and `after` framing it (a watch event's words). */
export function servedBytes(
  layout: Layout,
  value: Uint8Array,
  revision: number,
  before?: Uint8Array,
  after?: Uint8Array,
): Uint8Array {
  const version = versionBytes(revision)
  const start = before === undefined ? 0 : before.length
  const out = new Uint8Array(start + value.length + version.length + (after === undefined ? 0 : after.length))
  if (before !== undefined) out.set(before)
  const at = layout.head.length
  out.set(value.subarray(0, at), start)
  out.set(version, start + at)
  out.set(value.subarray(at), start + at + version.length)
  if (after !== undefined) out.set(after, start + value.length + version.length)
  return out
}

/** Joins served forms into one body: `head`, items with commas between them, `tail`. */
export function joinServed(
  layout: Layout,
  items: readonly { readonly value: Uint8Array; readonly modRevision: number }[],
  head: Uint8Array,
  tail: Uint8Array,
): Uint8Array {
  const versions = items.map((item) => versionBytes(item.modRevision))
  let size = head.length + tail.length + Math.max(0, items.length - 1)
  for (let i = 0; i < items.length; i++) size += (items[i]?.value.length ?? 0) + (versions[i]?.length ?? 0)
  const out = new Uint8Array(size)
  out.set(head)
  let at = head.length
  const split = layout.head.length
  for (let i = 0; i < items.length; i++) {
    const value = items[i]?.value
    const version = versions[i]
    if (value === undefined || version === undefined) continue
    if (i > 0) out[at++] = 0x2c
    out.set(layout.head, at)
    at += split
    out.set(version, at)
    at += version.length
    out.set(value.subarray(split), at)
    at += value.length - split
  }
  out.set(tail, at)
  return out
}

export const utf8 = (text: string): Uint8Array => encoder.encode(text)
export const textOf = (bytes: Uint8Array): string => decoder.decode(bytes)
