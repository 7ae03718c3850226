// A proxy in front of this server that has found out who asks: it shows a certificate of an authority that is trusted for
// that, and tells in X-Remote-* headers. From anybody else these headers mean nothing.
// (https://kubernetes.io/docs/reference/access-authn-authz/authentication/#authenticating-proxy)
import { type ApiRequest, headerValues, type UserInfo } from '../request.ts'
import { type Authenticator, known } from './authenticator.ts'

/** Names of the headers, as they are published for aggregated servers. */
export const frontProxyHeaders = {
  user: 'X-Remote-User',
  uid: 'X-Remote-Uid',
  group: 'X-Remote-Group',
  extraPrefix: 'X-Remote-Extra-',
} as const
const names = {
  user: frontProxyHeaders.user.toLowerCase(),
  uid: frontProxyHeaders.uid.toLowerCase(),
  group: frontProxyHeaders.group.toLowerCase(),
  extraPrefix: frontProxyHeaders.extraPrefix.toLowerCase(),
}

/** `allowed`: common names of the proxies; empty: whoever has a certificate of their authority. */
export const frontProxies = (allowed: readonly string[]): Authenticator => ({
  name: 'requestheader',
  authenticate(request) {
    const { certificate } = request
    if (certificate === undefined || certificate === 'refused' || !certificate.isFrontProxy) return undefined
    if (allowed.length > 0 && !allowed.includes(certificate.name)) return 'refused'
    return userOf(request)
  },
})

function userOf(request: ApiRequest): UserInfo | undefined {
  const [name] = headerValues(request, names.user)
  if (name === undefined) return undefined
  const groups = headerValues(request, names.group)
  const [uid] = headerValues(request, names.uid)
  const extra: Record<string, readonly string[]> = {}
  for (const header of Object.keys(request.headers))
    if (header.startsWith(names.extraPrefix))
      extra[keyOf(header.slice(names.extraPrefix.length))] = headerValues(request, header)
  const user = {
    name,
    groups,
    ...(uid === undefined ? {} : { uid }),
    ...(Object.keys(extra).length === 0 ? {} : { extra }),
  }
  return name === 'system:anonymous' || groups.includes('system:unauthenticated') ? user : known(user)
}

/** The key of an extra header, percent-decoded; one that cannot be decoded stays as it is. */
export function keyOf(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch (error) {
    if (error instanceof URIError) return text
    throw error
  }
}
