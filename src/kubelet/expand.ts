// $(NAME) in commands, arguments and values. "$$(NAME)" is the literal "$(NAME)"; a name nobody knows stays as written.

/** `lookup` answers undefined for an unknown name. */
export function expand(text: string, lookup: (name: string) => string | undefined): string {
  let out = ''
  let at = 0
  while (at < text.length) {
    const dollar = text.indexOf('$', at)
    if (dollar === -1 || dollar === text.length - 1) return out + text.slice(at)
    out += text.slice(at, dollar)
    const next = text[dollar + 1]
    const close = next === '(' ? text.indexOf(')', dollar + 2) : -1
    if (close !== -1) {
      const name = text.slice(dollar + 2, close)
      out += lookup(name) ?? `$(${name})`
      at = close + 1
    } else {
      // "$$" is one dollar; "$x" and an unclosed "$(" mean themselves.
      out += next === '$' ? '$' : `$${next}`
      at = dollar + 2
    }
  }
  return out
}
