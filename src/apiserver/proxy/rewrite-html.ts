// Pages that come through a proxy path: links from the target's root would lead past the proxy, so they get its prefix. A page
// is mended as it passes, tag by tag, whatever its size. Bytes are taken for characters one by one: all that is looked for is
// ASCII, and the rest stays as it is in every encoding that contains ASCII.

/** Elements with attributes that hold a URL, and those attributes, as HTML defines them. */
const tags =
  /<(?:a|applet|area|audio|base|blockquote|body|button|del|embed|form|frame|head|html|iframe|img|input|ins|link|object|q|script|source|video)\b[^>]*/gi
const urls =
  /(\s(?:action|archive|background|cite|classid|codebase|data|formaction|href|icon|longdesc|manifest|poster|profile|src|usemap)\s*=\s*["']?)(\/(?!\/)[^"'\s>]*)/gi
/** What is held back for the end of a tag; a longer one is none. */
const maxTagLength = 64 * 1024

export const isHtml = (headers: Readonly<Record<string, string>>): boolean =>
  (headers['content-type'] ?? '').toLowerCase().startsWith('text/html') && (headers['content-encoding'] ?? '') === ''

/** The page with every absolute path put under `prefix`. */
export async function* rewriteHtml(body: AsyncIterable<Uint8Array>, prefix: string): AsyncGenerator<Uint8Array> {
  let held = ''
  for await (const chunk of body) {
    const text = held + characters(chunk)
    const tag = text.lastIndexOf('<')
    const whole = tag === -1 || text.includes('>', tag) || text.length - tag > maxTagLength
    const end = whole ? text.length : tag
    held = text.slice(end)
    if (end > 0) yield bytes(mended(text.slice(0, end), prefix))
  }
  if (held !== '') yield bytes(mended(held, prefix))
}

const mended = (text: string, prefix: string): string =>
  text.replace(tags, (tag) =>
    tag.replace(urls, (whole, head: string, path: string) =>
      path.startsWith(`${prefix}/`) ? whole : `${head}${prefix}${path}`,
    ),
  )

function characters(chunk: Uint8Array): string {
  let text = ''
  for (let at = 0; at < chunk.length; at += 8192) text += String.fromCharCode(...chunk.subarray(at, at + 8192))
  return text
}
function bytes(text: string): Uint8Array {
  const out = new Uint8Array(text.length)
  for (let i = 0; i < text.length; i++) out[i] = text.charCodeAt(i)
  return out
}
