// Registry credentials from docker-registry Secrets: which of them fit an image, most specific first.
import type { RegistryAuth } from '../ports/container-runtime.ts'
import { registryPath } from './image-reference.ts'
import { base64Bytes } from './volumes/sources.ts'
import type { SecretData } from './volumes/volume.ts'

const text = (base64: string): string => new TextDecoder().decode(base64Bytes(base64))

interface DockerEntry {
  readonly username?: string
  readonly password?: string
  readonly auth?: string
  readonly identitytoken?: string
  readonly registrytoken?: string
}
/** Without the server: containerd takes it for a URL, and gives nothing to a host that it does not find in it. */
function toAuth(entry: DockerEntry): RegistryAuth {
  let { username, password } = entry
  if (entry.auth !== undefined && (username === undefined || password === undefined)) {
    const [user, ...rest] = text(entry.auth).split(':')
    username ??= user
    password ??= rest.join(':')
  }
  return {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(entry.identitytoken === undefined ? {} : { identityToken: entry.identitytoken }),
    ...(entry.registrytoken === undefined ? {} : { registryToken: entry.registrytoken }),
  }
}

/** Servers and credentials of one Secret; empty when it is of another type or damaged. */
function entriesOf(secret: SecretData): readonly (readonly [string, DockerEntry])[] {
  const config = secret.data?.['.dockerconfigjson']
  const legacy = secret.data?.['.dockercfg']
  const body = config ?? legacy
  if (body === undefined) return []
  let parsed: unknown
  try {
    parsed = JSON.parse(text(body))
  } catch {
    // Boundary: a Secret that a user damaged gives no credentials; the pull then fails and says so.
    return []
  }
  const auths = config === undefined ? parsed : (parsed as { auths?: unknown } | null)?.auths
  return typeof auths === 'object' && auths !== null ? Object.entries(auths as Record<string, DockerEntry>) : []
}

/** host[:port]/path of what a user wrote as a server: with or without scheme, /v1/ or /v2/, '*' in the host. */
const cleanServer = (server: string): string =>
  server
    .replace(/^https?:\/\//, '')
    .replace(/\/v[12]\/?$/, '')
    .replace(/\/$/, '')

function matchesHost(pattern: string, host: string): boolean {
  const [patternParts, hostParts] = [pattern.split('.'), host.split('.')]
  if (patternParts.length !== hostParts.length) return false
  return patternParts.every((part, i) => {
    const shape = part.split('*').map((piece) => piece.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    return new RegExp(`^${shape.join('.*')}$`).test(hostParts[i] ?? '')
  })
}
/** Whether credentials for `server` are meant for an image at `path` (registryPath). */
export function fits(server: string, path: string): boolean {
  const cleaned = cleanServer(server)
  const [host = '', ...prefix] = cleaned.split('/')
  const [imageHost = '', ...imagePath] = path.split('/')
  const hub = ['index.docker.io', 'docker.io', 'registry-1.docker.io']
  const sameHost = matchesHost(host, imageHost) || (hub.includes(host) && imageHost === 'docker.io')
  return sameHost && `${imagePath.join('/')}/`.startsWith(prefix.length === 0 ? '' : `${prefix.join('/')}`)
}

/** The order of servers: the most specific first. */
export const longestFirst = (a: string, b: string): number => cleanServer(b).length - cleanServer(a).length

/** Each with the Secret that it stands in. */
export function credentialsFor<S extends SecretData>(
  image: string,
  secrets: readonly S[],
): readonly { readonly auth: RegistryAuth; readonly secret: S }[] {
  const path = registryPath(image)
  return secrets
    .flatMap((secret) => entriesOf(secret).map(([server, entry]) => ({ server, entry, secret })))
    .filter(({ server }) => fits(server, path))
    .sort((a, b) => longestFirst(a.server, b.server))
    .map(({ entry, secret }) => ({ auth: toAuth(entry), secret }))
}
