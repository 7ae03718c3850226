// Bootstrap tokens: what a machine has before it has a certificate. A token ID.SECRET is good while the Secret
// kube-system/bootstrap-token-ID says so; its bearer is system:bootstrap:ID.
// (https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/)
import type { Secret } from '../../api/core/secret.ts'
import type { ServerContext } from '../context.ts'
import type { UserInfo } from '../request.ts'
import { known } from './authenticator.ts'
import { forOwnAudience, sameSecret, type TokenChecker } from './bearer-tokens.ts'

const tokenShape = /^([a-z0-9]{6})\.([a-z0-9]{16})$/
const groupShape = /^system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]$/
const defaultGroup = 'system:bootstrappers'

/** Reads the server late: it is made after the authenticators. */
export function bootstrapTokens(serverOf: () => ServerContext): TokenChecker {
  return {
    name: 'bootstrap-tokens',
    async check(token, audiences) {
      const [, id, secret] = tokenShape.exec(token) ?? []
      if (id === undefined || secret === undefined) return undefined
      const server = serverOf()
      const user = bootstrapUser(await secretOf(server, `bootstrap-token-${id}`), id, secret, server.clock.now())
      return user === undefined ? undefined : forOwnAudience(user, server.identity.tokens.issuer, audiences)
    },
  }
}

async function secretOf(server: ServerContext, name: string): Promise<Secret | undefined> {
  const collection = server.resources.storage('', 'secrets')?.collection
  if (collection === undefined) return undefined
  if (!collection.loaded) await collection.ready()
  const entry = collection.find('kube-system', name)
  return entry === undefined ? undefined : (collection.object(entry) as unknown as Secret)
}

/** Whom a token's Secret makes of its bearer; undefined where it is not (or no longer) good for authentication. */
export function bootstrapUser(
  stored: Secret | undefined,
  id: string,
  secret: string,
  nowMs: number,
): UserInfo | undefined {
  if (stored === undefined || stored.metadata.deletionTimestamp !== undefined) return undefined
  if (stored.type !== 'bootstrap.kubernetes.io/token') return undefined
  const data = (key: string): string => atob(stored.data?.[key] ?? '')
  if (!sameSecret(secret, data('token-secret')) || data('token-id') !== id) return undefined
  if (data('usage-bootstrap-authentication') !== 'true') return undefined
  const expiration = data('expiration')
  // A time that cannot be read counts as past.
  if (expiration !== '' && !(Date.parse(expiration) > nowMs)) return undefined
  const extra = data('auth-extra-groups')
  const groups = extra === '' ? [] : extra.split(',').map((group) => group.trim())
  if (!groups.every((group) => groupShape.test(group))) return undefined
  return known({ name: `system:bootstrap:${id}`, groups: [...new Set([...groups, defaultGroup])].sort() })
}
