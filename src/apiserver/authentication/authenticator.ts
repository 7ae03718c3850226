// Authentication: each method is asked in order; the first that knows the caller decides. A credential that is given but
// wrong is refused (401), no credential at all is system:anonymous.
import { unauthorized } from '../../api/machinery/errors.ts'
import type { ApiRequest, UserInfo } from '../request.ts'

export interface Authenticator {
  readonly name: string
  /** The user; undefined when the request carries no such credential; 'refused' when it does and it is not valid. */
  authenticate(request: ApiRequest): Answer | Promise<Answer>
}
export type Answer = UserInfo | 'refused' | undefined

export const anonymous: UserInfo = Object.freeze({
  name: 'system:anonymous',
  groups: Object.freeze(['system:unauthenticated']),
})
/** Key of the user's extra that says which credential was shown. */
export const credentialId = 'authentication.kubernetes.io/credential-id'
const authenticatedGroup = 'system:authenticated'

/** A user with the group that everybody known belongs to. */
export function known(user: UserInfo): UserInfo {
  return user.groups.includes(authenticatedGroup) ? user : { ...user, groups: [...user.groups, authenticatedGroup] }
}

/** Who sends this request. Throws Unauthorized. `allowAnonymous` false: a request without credentials is refused too. */
export async function authenticate(
  request: ApiRequest,
  methods: readonly Authenticator[],
  allowAnonymous = true,
): Promise<UserInfo> {
  if (request.user !== undefined) return request.user
  let refused = false
  for (const method of methods) {
    const pending = method.authenticate(request)
    const answer = pending instanceof Promise ? await pending : pending
    if (answer === 'refused') refused = true
    else if (answer !== undefined) return answer
  }
  if (refused || !allowAnonymous) throw unauthorized()
  return anonymous
}

/** Client certificates that the TLS layer has verified: CN is the user, O are the groups. (KEP-4193 for the id.) */
export const clientCertificates: Authenticator = {
  name: 'x509',
  authenticate({ certificate }) {
    if (certificate === undefined || certificate === 'refused') return certificate
    if (!certificate.isUser) return 'refused'
    return known({
      name: certificate.name,
      groups: certificate.groups,
      ...(certificate.sha256 === undefined ? {} : { extra: { [credentialId]: [`X509SHA256=${certificate.sha256}`] } }),
    })
  },
}
