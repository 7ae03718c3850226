// The continue token of chunked lists: where the last page ended and at which revision, in base64url JSON as upstream's.
import { badRequest } from '../../api/machinery/errors.ts'
import { jsonError } from '../../api/machinery/json-error.ts'
import type { Collection } from '../storage/collection.ts'

interface Token {
  readonly v: string
  /** -1: go on with whatever is there now. */
  readonly rv: number
  /** The first key that is wanted, without the collection's prefix. */
  readonly start: string
  /** When the list began, seconds since 1970. */
  readonly t: number
}
/** A list that takes longer must begin anew, as with upstream, where compaction takes its revision away by then. */
export const lifetimeSeconds = 360

const toBase64Url = (text: string): string => {
  let binary = ''
  for (const byte of new TextEncoder().encode(text)) binary += String.fromCharCode(byte)
  return btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}
const fromBase64Url = (text: string): string => {
  const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'))
  return new TextDecoder().decode(Uint8Array.from(binary, (c) => c.charCodeAt(0)))
}

export function encodeContinue(
  collection: Collection,
  lastKey: string,
  revision: number,
  startedSeconds: number,
): string {
  const token: Token = {
    v: 'meta.k8s.io/v1',
    rv: revision,
    start: `${lastKey.slice(collection.prefix.length + 1)}\u0000`,
    t: startedSeconds,
  }
  return toBase64Url(JSON.stringify(token))
}

/** Throws ApiError BadRequest for what is no token of ours. */
export function decodeContinue(
  collection: Collection,
  text: string,
): { readonly after: string; readonly revision: number; readonly startedSeconds: number } {
  const bad = (why: string) => badRequest(`invalid continue token: continue key is not valid: ${why}`)
  let decoded: string
  try {
    decoded = fromBase64Url(text)
  } catch (error) {
    throw bad(error instanceof Error ? error.message : String(error))
  }
  let token: Partial<Token>
  try {
    token = JSON.parse(decoded) as Partial<Token>
  } catch (error) {
    throw bad(jsonError(decoded) ?? String(error))
  }
  if (typeof token !== 'object' || token === null || token.v !== 'meta.k8s.io/v1') {
    throw bad('server does not recognize this encoded version')
  }
  if (typeof token.start !== 'string' || token.start === '' || token.start.includes('..'))
    throw bad('encoded start key empty')
  if (typeof token.rv !== 'number' || !Number.isSafeInteger(token.rv) || token.rv === 0) {
    throw bad('incorrect encoded start resourceVersion (version meta.k8s.io/v1)')
  }
  return {
    after: `${collection.prefix}/${token.start.endsWith('\u0000') ? token.start.slice(0, -1) : token.start}`,
    revision: token.rv,
    startedSeconds: typeof token.t === 'number' ? token.t : 0,
  }
}
