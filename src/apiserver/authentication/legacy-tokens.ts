// Tokens that live in Secrets: each use is dated on the Secret, once a day, and one that was marked invalid is refused.
import { dayOf, invalidSinceLabel, lastUsedLabel } from '../../api/core/legacy-token.ts'
import { secrets } from '../../api/core/secret.ts'
import { isReason } from '../../api/machinery/errors.ts'
import type { KubeObject } from '../../api/machinery/meta.ts'
import type { ServerContext } from '../context.ts'
import { known } from './authenticator.ts'

const self = Object.freeze(known({ name: 'system:apiserver', groups: ['system:masters'] }))

/** False where the token of this Secret may not be used any more. Dates the use in the background. */
export function useLegacyToken(server: ServerContext, { metadata }: KubeObject): boolean {
  const { labels, name, namespace, uid } = metadata
  if (labels?.[invalidSinceLabel] !== undefined) {
    server.log.warn('a legacy service account token that was marked invalid was used', {
      secret: `${namespace}/${name}`,
    })
    return false
  }
  const today = dayOf(server.clock.now())
  if (labels?.[lastUsedLabel] === today) return true
  const patch = { metadata: { uid, labels: { [lastUsedLabel]: today } } }
  server
    .clientFor(self)
    .resource(secrets)
    .patch(name, namespace, 'merge', patch)
    .catch((error: unknown) => {
      // The next use dates it.
      if (!isReason(error, 'NotFound') && !isReason(error, 'Conflict'))
        server.log.warn('the use of a token could not be dated', {
          secret: `${namespace}/${name}`,
          error: String(error),
        })
    })
  return true
}
