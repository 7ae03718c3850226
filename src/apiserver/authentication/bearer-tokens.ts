// Bearer tokens: each checker knows one kind of token, is asked in order, and says who it is for. The same checkers answer
// requests (for the server's own audience) and TokenReviews (for the audiences that the asker names).
import type { ApiRequest, UserInfo } from '../request.ts'
import { type Authenticator, known } from './authenticator.ts'

export interface CheckedToken {
  readonly user: UserInfo
  /** Those of the asked audiences that the token is good for. */
  readonly audiences: readonly string[]
}
type Checked = CheckedToken | undefined
export interface TokenChecker {
  readonly name: string
  /** Undefined for a token that is of another kind, not valid, or for none of `audiences`. */
  check(token: string, audiences: readonly string[]): Checked | Promise<Checked>
}
export interface BearerTokens extends Authenticator {
  /** Asks every checker about a token (TokenReview). */
  review(token: string, audiences: readonly string[]): Promise<Checked>
}

/** `ownAudience` is whom a token must be for to be taken by this server. */
export function bearerTokens(checkers: readonly TokenChecker[], ownAudience: string): BearerTokens {
  const own = [ownAudience]
  const review = async (token: string, audiences: readonly string[]): Promise<Checked> => {
    for (const checker of checkers) {
      const pending = checker.check(token, audiences)
      const checked = pending instanceof Promise ? await pending : pending
      if (checked !== undefined) return checked
    }
    return undefined
  }
  return {
    name: 'bearer-tokens',
    review,
    async authenticate(request) {
      const token = bearerToken(request)
      if (token === undefined) return undefined
      return (await review(token, own))?.user ?? 'refused'
    },
  }
}

/** The token of an Authorization header, or of the WebSocket subprotocol that browsers use instead. */
function bearerToken(request: ApiRequest): string | undefined {
  const header = request.headers['authorization']
  if (header !== undefined) {
    const match = /^bearer +(\S+)$/i.exec(header.trim())
    return match?.[1]
  }
  const protocols = request.headers['sec-websocket-protocol']
  if (protocols === undefined || request.upgrade === undefined) return undefined
  const prefix = 'base64url.bearer.authorization.k8s.io.'
  const found = protocols
    .split(',')
    .map((p) => p.trim())
    .find((p) => p.startsWith(prefix))
  if (found === undefined) return undefined
  const text = found.slice(prefix.length)
  // What is not base64url is no token; it must not become an error of ours.
  return /^[\w-]+={0,2}$/.test(text) ? fromBase64Url(text) : text
}
function fromBase64Url(text: string): string {
  const plain = text.replaceAll('-', '+').replaceAll('_', '/').replace(/=+$/, '')
  return plain.length % 4 === 1 ? text : atob(plain)
}

/** Tokens that carry no audience of their own are for this server. */
export const forOwnAudience = (user: UserInfo, own: string, asked: readonly string[]): Checked =>
  asked.includes(own) ? { user, audiences: [own] } : undefined

/** Tokens listed at start (`--token-auth-file`). */
export function staticTokens(tokens: ReadonlyMap<string, UserInfo>, ownAudience: string): TokenChecker {
  const users = new Map([...tokens].map(([token, user]) => [token, Object.freeze(known(user))]))
  return {
    name: 'static-tokens',
    check(token, audiences) {
      const user = users.get(token)
      return user === undefined ? undefined : forOwnAudience(user, ownAudience, audiences)
    },
  }
}

/** Compares secrets in a time that depends on their length alone. */
export function sameSecret(a: string, b: string): boolean {
  let different = a.length ^ b.length
  for (let i = 0; i < a.length; i++) different |= a.charCodeAt(i) ^ b.charCodeAt(i % Math.max(1, b.length))
  return different === 0
}
