// Bytes of a request body to JSON: JSON or YAML, with the duplicate keys that strict validation reports. Duplicates cost
// a lean scan that only counts keys; where the count differs from what JSON.parse kept, a second scan names them.
import { withinDepth } from './freeze.ts'
import { jsonError } from './json-error.ts'
import type { Json } from './schema.ts'
import { parseYamlText } from './yaml.ts'

export type FieldValidation = 'Ignore' | 'Warn' | 'Strict'

export interface Parsed {
  readonly value: Json
  /** Paths of keys that came twice (JSON), or the sentences of the YAML reader. */
  readonly duplicates: readonly string[]
  /** Where each path of a JSON text came first, known only when there are duplicates: to report in order. */
  readonly order?: ReadonlyMap<string, number>
  readonly yaml: boolean
}

/** The text is neither JSON nor YAML; the message is Go's. */
export class ParseError extends Error {}

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })
/** As Go: bytes that are not UTF-8 become U+FFFD. */
export const decodeText = (bytes: Uint8Array): string => utf8.decode(bytes)

/** Parses a JSON body. Throws ParseError. */
export function parseJson(body: Uint8Array | string, options: { readonly duplicates: boolean }): Parsed {
  const text = typeof body === 'string' ? body : decodeText(body)
  const value = parseJsonText(text)
  if (!options.duplicates) return { value, duplicates: [], yaml: false }
  if (countKeysInText(text) === countKeys(value)) return { value, duplicates: [], yaml: false }
  return { value, yaml: false, ...findDuplicates(text) }
}
function parseJsonText(text: string): Json {
  let value: Json
  try {
    value = JSON.parse(text) as Json
  } catch (error) {
    if (error instanceof SyntaxError) throw new ParseError(jsonError(text) ?? error.message)
    throw error
  }
  return text.includes('\\ud') || text.includes('\\uD') ? wellFormed(value) : value
}
/** Halves of surrogate pairs become U+FFFD, as they would in UTF-8. */
function wellFormed(value: Json): Json {
  if (!withinDepth(value)) throw new ParseError('exceeded max depth')
  return JSON.parse(JSON.stringify(value).replace(/\\u[dD][89a-fA-F][0-9a-fA-F]{2}/g, '\ufffd')) as Json
}

/** Parses a YAML body; what begins with a brace is tried as JSON first. Throws ParseError. */
export function parseYaml(body: Uint8Array | string, options: { readonly duplicates: boolean }): Parsed {
  const text = typeof body === 'string' ? body : decodeText(body)
  if (/^\s*\{/.test(text)) {
    try {
      return parseJson(text, options)
    } catch (error) {
      if (!(error instanceof ParseError)) throw error
    }
  }
  const result = parseYamlText(text)
  if ('error' in result) throw new ParseError(result.error)
  return { value: result.value, duplicates: options.duplicates ? result.duplicates : [], yaml: true }
}

/** What strict decoding makes of duplicates and unknown fields: one error, or the warnings. */
export function strictFindings(
  parsed: Parsed,
  unknownFields: readonly string[],
): { readonly error: string; readonly warnings: readonly string[] } | undefined {
  if (parsed.duplicates.length === 0 && unknownFields.length === 0) return undefined
  const unknown = unknownFields.map((path) => `unknown field ${JSON.stringify(path)}`)
  if (parsed.yaml) {
    const yaml = parsed.duplicates.length === 0 ? [] : [`yaml: unmarshal errors:\n  ${parsed.duplicates.join('\n  ')}`]
    return { error: strictError([...yaml, ...unknown]), warnings: [...parsed.duplicates, ...unknown] }
  }
  const known = new Set(unknownFields)
  const position = (path: string) => parsed.order?.get(path) ?? 0
  const findings = [
    ...unknownFields.map((path) => ({ at: position(path), text: `unknown field ${JSON.stringify(path)}` })),
    ...parsed.duplicates
      .filter((path) => !known.has(path))
      .map((path) => ({ at: position(`again ${path}`), text: `duplicate field ${JSON.stringify(path)}` })),
  ]
  const texts = findings.sort((a, b) => a.at - b.at).map((finding) => finding.text)
  return { error: strictError(texts), warnings: texts }
}
const strictError = (texts: readonly string[]): string => `strict decoding error: ${texts.join(', ')}`

/** Every object key is followed by the only kind of colon that stands outside a string. */
function countKeysInText(text: string): number {
  let count = 0
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c === 0x22) i = endOfString(text, i)
    else if (c === 0x3a) count++
  }
  return count
}
/** The position of the quote that closes the string opened at `start`. */
function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1)
  while (end !== -1) {
    let back = end - 1
    while (text.charCodeAt(back) === 0x5c) back--
    if ((end - back) % 2 === 1) return end
    end = text.indexOf('"', end + 1)
  }
  return text.length
}
function countKeys(value: Json): number {
  let count = 0
  const pending: Json[] = [value]
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    if (typeof next !== 'object' || next === null) continue
    if (Array.isArray(next)) {
      for (const item of next as readonly Json[]) if (typeof item === 'object' && item !== null) pending.push(item)
      continue
    }
    const members = next as { readonly [key: string]: Json }
    for (const key in members) {
      count++
      const member = members[key]
      if (typeof member === 'object' && member !== null) pending.push(member)
    }
  }
  return count
}

const maxDuplicates = 100
/** The slow scan: which keys came twice in one object, by path, and in which order paths came. */
function findDuplicates(text: string): { duplicates: string[]; order: Map<string, number> } {
  interface Frame {
    readonly path: string
    /** Keys seen so far, or undefined in an array. */
    readonly keys: Set<string> | undefined
    index: number
    key: string
  }
  const duplicates: string[] = []
  const order = new Map<string, number>()
  const stack: Frame[] = []
  const memberPath = (frame: Frame | undefined): string => {
    if (frame === undefined) return ''
    if (frame.keys === undefined) return `${frame.path}[${frame.index}]`
    return frame.path === '' ? frame.key : `${frame.path}.${frame.key}`
  }
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    const top = stack.at(-1)
    if (c === 0x22) {
      const end = endOfString(text, i)
      const raw = text.slice(i, end + 1)
      i = end
      if (top?.keys === undefined || !/^\s*:/.test(text.slice(i + 1, i + 64))) continue
      top.key = JSON.parse(raw) as string
      if (stack.length > maxReportedDepth) continue
      const path = memberPath(top)
      if (top.keys.has(top.key)) {
        if (!order.has(`again ${path}`)) {
          order.set(`again ${path}`, i)
          if (duplicates.length < maxDuplicates) duplicates.push(path)
        }
      } else if (!order.has(path)) order.set(path, i)
      top.keys.add(top.key)
    } else if (c === 0x7b || c === 0x5b) {
      const path = stack.length > maxReportedDepth ? '' : memberPath(top)
      stack.push({ path, keys: c === 0x7b ? new Set() : undefined, index: 0, key: '' })
    } else if (c === 0x7d || c === 0x5d) stack.pop()
    else if (c === 0x2c && top !== undefined) top.index++
  }
  return { duplicates, order }
}
/** No schema nests this deep; paths below would only cost memory. */
const maxReportedDepth = 200
