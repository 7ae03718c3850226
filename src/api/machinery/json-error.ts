// What Go's JSON decoder says of a text that is not JSON. Only run after JSON.parse has refused the text.

type Expect = 'value' | 'first-item' | 'first-key' | 'key' | 'colon' | 'after'
const isSpace = (c: string): boolean => c === ' ' || c === '\t' || c === '\n' || c === '\r'
const show = (c: string): string => (c === "'" ? `'\\''` : c === '"' ? `'"'` : `'${JSON.stringify(c).slice(1, -1)}'`)

/** Go's sentence, or undefined where this reader finds nothing wrong. */
export function jsonError(text: string): string | undefined {
  const open: ('{' | '[')[] = []
  let expect: Expect = 'value'
  let i = 0
  const invalid = (context: string) => `invalid character ${show(text.charAt(i))} ${context}`
  const end = 'unexpected end of JSON input'
  for (; i < text.length; i++) {
    const c = text.charAt(i)
    if (isSpace(c)) continue
    if (expect === 'after') {
      const container = open.at(-1)
      if (container === undefined) return invalid('after top-level value')
      if (c === ',') expect = container === '{' ? 'key' : 'value'
      else if (c === (container === '{' ? '}' : ']')) open.pop()
      else return invalid(container === '{' ? 'after object key:value pair' : 'after array element')
      continue
    }
    if (expect === 'colon') {
      if (c !== ':') return invalid('after object key')
      expect = 'value'
      continue
    }
    if (expect === 'first-key' || expect === 'key') {
      if (c === '}' && expect === 'first-key') {
        open.pop()
        expect = 'after'
        continue
      }
      if (c !== '"') return invalid('looking for beginning of object key string')
    }
    if (c === ']' && expect === 'first-item') {
      open.pop()
      expect = 'after'
      continue
    }
    const isKey: boolean = expect === 'first-key' || expect === 'key'
    if (c === '{' || c === '[') {
      open.push(c)
      expect = c === '{' ? 'first-key' : 'first-item'
      continue
    }
    const token: Token = c === '"' ? stringAt(text, i) : scalarAt(text, i)
    if ('error' in token) return token.error
    i = token.end
    expect = isKey ? 'colon' : 'after'
  }
  return expect === 'after' && open.length === 0 ? undefined : end
}

type Token = { readonly end: number } | { readonly error: string }
function stringAt(text: string, start: number): Token {
  for (let i = start + 1; i < text.length; i++) {
    const c = text.charAt(i)
    if (c === '"') return { end: i }
    if (c < ' ') return { error: `invalid character ${show(c)} in string literal` }
    if (c !== '\\') continue
    const escaped = text.charAt(++i)
    if (escaped === '') break
    if (escaped === 'u') {
      for (let k = 0; k < 4; k++) {
        const digit = text.charAt(++i)
        if (digit === '') return { error: 'unexpected end of JSON input' }
        if (!/[0-9a-fA-F]/.test(digit)) {
          return { error: `invalid character ${show(digit)} in \\u hexadecimal character escape` }
        }
      }
    } else if (!'"\\/bfnrt'.includes(escaped)) {
      return { error: `invalid character ${show(escaped)} in string escape code` }
    }
  }
  return { error: 'unexpected end of JSON input' }
}
function scalarAt(text: string, start: number): Token {
  const c = text.charAt(start)
  const word = c === 't' ? 'true' : c === 'f' ? 'false' : c === 'n' ? 'null' : undefined
  if (word !== undefined) {
    for (let k = 1; k < word.length; k++) {
      const found = text.charAt(start + k)
      if (found === '') return { error: 'unexpected end of JSON input' }
      if (found !== word.charAt(k)) {
        return { error: `invalid character ${show(found)} in literal ${word} (expecting '${word.charAt(k)}')` }
      }
    }
    return { end: start + word.length - 1 }
  }
  const number = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/.exec(text.slice(start, start + 400))
  if (number === null) {
    const next = text.charAt(start + 1)
    if (c === '-') {
      return {
        error: next === '' ? 'unexpected end of JSON input' : `invalid character ${show(next)} in numeric literal`,
      }
    }
    return { error: `invalid character ${show(c)} looking for beginning of value` }
  }
  const after = text.charAt(start + number[0].length)
  if (after === '.' || ((after === 'e' || after === 'E') && !/[eE]/.test(number[0]))) {
    const bad = text.charAt(start + number[0].length + 1)
    if (bad === '') return { error: 'unexpected end of JSON input' }
    return {
      error: `invalid character ${show(bad)} ${after === '.' ? 'after decimal point' : 'in exponent'} in numeric literal`,
    }
  }
  return { end: start + number[0].length - 1 }
}
