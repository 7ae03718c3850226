// Service account tokens. The signature of a token is checked once and remembered; what it is bound to (the account, a
// pod, a node, a secret) is looked up every time, so that a token dies with its pod.
import type { KubeObject } from '../../api/machinery/meta.ts'
import type { TokenClaims } from '../../ports/identity.ts'
import type { ServerContext } from '../context.ts'
import type { UserInfo } from '../request.ts'
import { credentialId, known } from './authenticator.ts'
import { useLegacyToken } from './legacy-tokens.ts'
import type { CheckedToken, TokenChecker } from './bearer-tokens.ts'

/** Tokens whose signature is remembered. */
const rememberedTokens = 4096
/** How long a deleted pod's token still works, so that it can say good-bye. */
const deletionLeewayMs = 60_000

/** Reads the server late: it is made after the authenticators. */
export function serviceAccountTokens(serverOf: () => ServerContext): TokenChecker {
  const verified = new Map<string, TokenClaims | undefined>()
  const claimsOf = async (token: string): Promise<TokenClaims | undefined> => {
    if (verified.has(token)) return verified.get(token)
    const claims = await serverOf().identity.tokens.verify(token)
    if (verified.size >= rememberedTokens) verified.clear()
    verified.set(token, claims)
    return claims
  }
  const check = async (token: string, audiences: readonly string[]): Promise<CheckedToken | undefined> => {
    const claims = await claimsOf(token)
    if (claims === undefined || !isComplete(claims)) return undefined
    const server = serverOf()
    const nowSeconds = server.clock.now() / 1000
    if (claims.exp < nowSeconds || claims.nbf > nowSeconds + 1) return undefined
    const shared = claims.aud.filter((audience) => audiences.includes(audience))
    if (shared.length === 0) return undefined
    const user = await userOf(server, claims)
    return user === undefined ? undefined : { user, audiences: shared }
  }
  return {
    name: 'service-account-tokens',
    // A JSON web token has three parts; anything else is no token of ours.
    check: (token, audiences) => (token.split('.').length === 3 ? check(token, audiences) : undefined),
  }
}

/** A signature says who wrote a token, not that anything stands in it. */
const isComplete = ({ exp, nbf, aud }: Partial<TokenClaims>): boolean =>
  typeof exp === 'number' && typeof nbf === 'number' && Array.isArray(aud)

async function userOf(server: ServerContext, claims: TokenClaims): Promise<UserInfo | undefined> {
  const bound = claims['kubernetes.io']
  if (bound === undefined) return undefined
  const { namespace, serviceaccount, pod, node, secret } = bound
  if (claims.sub !== `system:serviceaccount:${namespace}:${serviceaccount.name}`) return undefined
  if (!(await lives(server, 'serviceaccounts', namespace, serviceaccount))) return undefined
  if (pod !== undefined && !(await lives(server, 'pods', namespace, pod))) return undefined
  if (secret !== undefined) {
    const held = await living(server, 'secrets', namespace, secret)
    if (held === undefined || !useLegacyToken(server, held)) return undefined
  }
  // A token bound to a node alone dies with it; with a pod, the node is only told of.
  if (node !== undefined && pod === undefined && !(await lives(server, 'nodes', '', node))) return undefined
  const extra: Record<string, readonly string[]> = {}
  if (claims.jti !== undefined) extra[credentialId] = [`JTI=${claims.jti}`]
  if (pod !== undefined) {
    extra['authentication.kubernetes.io/pod-name'] = [pod.name]
    extra['authentication.kubernetes.io/pod-uid'] = [pod.uid]
  }
  if (node !== undefined) {
    extra['authentication.kubernetes.io/node-name'] = [node.name]
    if (node.uid !== undefined) extra['authentication.kubernetes.io/node-uid'] = [node.uid]
  }
  return known({
    name: claims.sub,
    uid: serviceaccount.uid,
    groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`],
    ...(Object.keys(extra).length > 0 ? { extra } : {}),
  })
}

/** The object, if it is there, is the same one, and has not been deleted for long. */
async function living(
  server: ServerContext,
  plural: string,
  namespace: string,
  { name, uid }: { readonly name: string; readonly uid?: string },
): Promise<KubeObject | undefined> {
  const { collection } = server.resources.required('', plural)
  if (!collection.loaded) await collection.ready()
  const entry = collection.find(namespace, name)
  if (entry === undefined) return undefined
  const object: KubeObject = collection.object(entry)
  const { uid: found, deletionTimestamp } = object.metadata
  if (uid !== undefined && found !== uid) return undefined
  const gone = deletionTimestamp !== undefined && Date.parse(deletionTimestamp) + deletionLeewayMs <= server.clock.now()
  return gone ? undefined : object
}
const lives = async (...asked: Parameters<typeof living>): Promise<boolean> => (await living(...asked)) !== undefined
