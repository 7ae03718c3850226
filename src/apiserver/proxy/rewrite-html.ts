// Pages that come through a proxy path: links from the target's root would lead past the proxy, so they get its prefix.
import { readWhole } from '../../ports/outgoing.ts'

/** Attributes that hold a URL, by element, as HTML defines them. */
const attributes =
  /(<(?:a|applet|area|audio|base|blockquote|body|button|del|embed|form|frame|head|html|iframe|img|input|ins|link|object|q|script|source|video)\b[^>]*?\s(?:action|archive|background|cite|classid|codebase|data|formaction|href|icon|longdesc|manifest|poster|profile|src|usemap)\s*=\s*["']?)(\/(?!\/)[^"'\s>]*)/gi
const maxPageBytes = 16 << 20

export const isHtml = (headers: Readonly<Record<string, string>>): boolean =>
  (headers['content-type'] ?? '').toLowerCase().startsWith('text/html') && (headers['content-encoding'] ?? '') === ''

/** The whole page with every absolute path put under `prefix`. Throws OutgoingError beyond 16 MiB. */
export async function rewriteHtml(body: AsyncIterable<Uint8Array>, prefix: string): Promise<Uint8Array> {
  const bytes = await readWhole(body, maxPageBytes)
  const text = new TextDecoder('utf-8', { fatal: false }).decode(bytes)
  let before: string
  let after = text
  // An element may have several such attributes; each pass mends one of them.
  do {
    before = after
    after = before.replace(attributes, (whole, head: string, path: string) =>
      path.startsWith(`${prefix}/`) ? whole : `${head}${prefix}${path}`,
    )
  } while (after !== before)
  return after === text ? bytes : new TextEncoder().encode(after)
}
