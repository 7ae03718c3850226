// Short names for templates: FNV-1a over canonical JSON, in the letters that generated names use.
const alphabet = 'bcdfghjklmnpqrstvwxz2456789'

/** 32-bit FNV-1a of a text's UTF-8 bytes. */
export function fnv32a(text: string): number {
  let hash = 0x811c9dc5
  for (const byte of new TextEncoder().encode(text)) {
    hash ^= byte
    hash = Math.imul(hash, 0x01000193) >>> 0
  }
  return hash
}

/** JSON with sorted keys and without undefined members, so that equal data gives equal text. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`).join(',')}}`
}

/** Makes a number's digits safe to end a name with: no vowels, so no words. */
export const safeName = (text: string): string =>
  Array.from(text, (c) => alphabet[(c.codePointAt(0) ?? 0) % alphabet.length]).join('')

/** The hash of a template; `collisionCount` gives another one when a name is taken. */
export const templateHash = (template: unknown, collisionCount: number | undefined): string =>
  safeName(String(fnv32a(canonicalJson(template) + (collisionCount === undefined ? '' : `#${collisionCount}`))))
