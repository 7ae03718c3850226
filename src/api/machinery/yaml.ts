// YAML as Kubernetes reads it: YAML 1.1 scalars as Go's reader resolves them (yes/no/on/off are booleans; y, n, times and
// 1:30 are texts), keys turned into strings and sorted, aliases bounded, duplicate keys reported by line.
import {
  type CollectionTag,
  Composer,
  type CST,
  type Document,
  isScalar,
  Lexer,
  LineCounter,
  Parser,
  type ScalarTag,
  visit,
} from 'yaml'
import { setKey } from './freeze.ts'
import type { Json } from './schema.ts'

const bool: ScalarTag = {
  identify: (value) => typeof value === 'boolean',
  default: true,
  tag: 'tag:yaml.org,2002:bool',
  test: /^(?:true|True|TRUE|yes|Yes|YES|on|On|ON|false|False|FALSE|no|No|NO|off|Off|OFF)$/,
  resolve: (text) => /^(?:t|y|on)/i.test(text),
}
const dropped = [
  'tag:yaml.org,2002:timestamp',
  'tag:yaml.org,2002:set',
  'tag:yaml.org,2002:omap',
  'tag:yaml.org,2002:pairs',
  'tag:yaml.org,2002:bool',
]
/** The library's own patterns take "." and "e5" for numbers. */
const float: ScalarTag = {
  identify: (value) => typeof value === 'number',
  default: true,
  tag: 'tag:yaml.org,2002:float',
  test: /^[-+]?(?:\.[0-9]+|[0-9][0-9_]*\.[0-9_]*|(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)[eE][-+]?[0-9]+)$/,
  resolve: (text) => Number.parseFloat(text.replaceAll('_', '')),
}
type Tag = ScalarTag | CollectionTag | string
function goTags(tags: readonly Tag[]): (ScalarTag | CollectionTag)[] {
  const kept = tags.filter((tag): tag is ScalarTag | CollectionTag => {
    if (typeof tag === 'string' || dropped.includes(tag.tag)) return false
    // sexagesimal numbers, and floats but for .inf and .nan
    if ('format' in tag && (tag.format === 'TIME' || tag.format === 'EXP')) return false
    return tag.tag !== float.tag || ('test' in tag && tag.test?.test('.inf') === true)
  })
  return [...kept, float, bool]
}

export type YamlResult = { readonly value: Json; readonly duplicates: readonly string[] } | { readonly error: string }
const maxAliases = 1000
const maxNesting = 500
const maxCollections = 10_000
const tooDeep = 'error converting YAML to JSON: yaml: exceeded max depth'

/** What the parser must not see, found on the bare lexemes: its own work grows with the square of the depth of brackets and
 * of dashes on one line, of brackets that close nothing, and of the number of collections in brackets. */
function lexicalProblem(text: string): string | undefined {
  let brackets = 0
  let dashes = 0
  let collections = 0
  for (const lexeme of new Lexer().lex(text)) {
    if (lexeme === '[' || lexeme === '{') {
      brackets++
      collections++
    } else if (lexeme === ']' || lexeme === '}') brackets--
    else if (lexeme === '-' || lexeme === '?') dashes++
    else if (lexeme.startsWith('\n') || lexeme.startsWith('\r')) dashes = 0
    if (brackets > maxNesting || dashes > maxNesting) return 'exceeded max depth'
    if (brackets < 0) return 'did not find expected node content'
    if (collections > maxCollections) return 'too many collections in brackets: send the document as JSON'
  }
  return undefined
}

/** The composer is recursive, and an engine whose stack is nearly used up does not always throw: compiling a regular
 * expression there ends the process. So depth is measured first, on the flat tokens and without recursion. */
function nestsWithin(tokens: readonly CST.Token[]): boolean {
  const pending: { readonly token: CST.Token | null | undefined; readonly depth: number }[] = []
  for (const token of tokens) pending.push({ token: token.type === 'document' ? token.value : token, depth: 1 })
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { token, depth } = next
    if (token === null || token === undefined || !('items' in token)) continue
    if (depth > maxNesting) return false
    for (const { key, value } of token.items)
      pending.push({ token: key, depth: depth + 1 }, { token: value, depth: depth + 1 })
  }
  return true
}

/** The first document of a YAML text. */
export function parseYamlText(text: string): YamlResult {
  const lines = new LineCounter()
  try {
    const refused = lexicalProblem(text)
    if (refused !== undefined) return { error: `error converting YAML to JSON: yaml: ${refused}` }
    const tokens = Array.from(new Parser(lines.addNewLine).parse(text))
    if (!nestsWithin(tokens)) return { error: tooDeep }
    const composer = new Composer({
      version: '1.1',
      schema: 'yaml-1.1',
      merge: true,
      uniqueKeys: false,
      strict: true,
      logLevel: 'silent',
      lineCounter: lines,
      customTags: goTags,
    })
    const { value: document } = composer.compose(tokens)[Symbol.iterator]().next() as { value: Document | undefined }
    if (document === undefined) return { value: null, duplicates: [] }
    const [error] = document.errors
    if (error !== undefined) {
      const line = lines.linePos(error.pos[0]).line
      const sentence = error.message.split(' at line ')[0]?.toLowerCase() ?? ''
      return { error: `error converting YAML to JSON: yaml: line ${line}: ${sentence}` }
    }
    const found: { readonly line: number; readonly text: string }[] = []
    visit(document, {
      Map: (_, node) => {
        const seen = new Set<string>()
        for (const { key } of node.items) {
          if (!isScalar(key)) continue
          const name = String(key.value)
          if (seen.has(name) && name !== '<<') {
            const line = lines.linePos(key.range?.[0] ?? 0).line
            found.push({ line, text: `line ${line}: key ${JSON.stringify(name)} already set in map` })
          }
          seen.add(name)
        }
      },
    })
    const value: unknown = document.toJS({ mapAsMap: true, maxAliasCount: maxAliases })
    const duplicates = found.sort((a, b) => a.line - b.line).map(({ text }) => text)
    return { value: toJson(value, 0), duplicates }
  } catch (error) {
    // RangeError: the reader's own recursion; ReferenceError: too many aliases
    if (error instanceof RangeError) return { error: tooDeep }
    if (error instanceof ReferenceError) {
      return { error: 'error converting YAML to JSON: yaml: document contains excessive aliasing' }
    }
    if (error instanceof NotJson) return { error: `error converting YAML to JSON: ${error.message}` }
    throw error
  }
}

class NotJson extends Error {}
function toJson(value: unknown, depth: number): Json {
  if (depth > 1000) throw new NotJson('yaml: exceeded max depth')
  if (value === null || value === undefined) return null
  if (typeof value === 'string' || typeof value === 'boolean') return value
  if (typeof value === 'bigint') return Number(value)
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new NotJson(`json: unsupported value: ${value}`)
    return value
  }
  if (Array.isArray(value)) return value.map((item) => toJson(item, depth + 1))
  if (value instanceof Map) {
    const entries = [...value].map(([key, member]) => [keyText(key), toJson(member, depth + 1)] as const)
    const out: Record<string, Json> = {}
    for (const [key, member] of entries.sort((a, b) => (a[0] < b[0] ? -1 : 1))) setKey(out, key, member)
    return out
  }
  if (value instanceof Uint8Array) return String.fromCharCode(...value)
  throw new NotJson(`unsupported value of type ${typeof value}`)
}
function keyText(key: unknown): string {
  if (typeof key === 'string') return key
  if (typeof key === 'number' || typeof key === 'boolean' || typeof key === 'bigint') return String(key)
  if (key === null) return 'null'
  throw new NotJson('unsupported map key')
}
