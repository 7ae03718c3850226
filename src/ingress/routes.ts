// From Ingress objects to a routing table, and from a request to its backend. Pure. The rules are those of
// https://kubernetes.io/docs/concepts/services-networking/ingress/: the most precise host decides which paths are looked
// at, among them the longest wins, and Exact wins over Prefix of the same length. The older Ingress wins a tie.
import type { HttpIngressPath, Ingress, IngressBackend, IngressTls } from '../api/networking/ingress.ts'

export interface Backend {
  readonly namespace: string
  readonly service: string
  /** Name or number of the Service's port. */
  readonly port: string | number
}
interface PathRoute {
  readonly exact: boolean
  /** Normalized, without a slash at the end (the root is ''); Exact keeps its slash. */
  readonly path: string
  readonly backend: Backend | undefined
}
interface HostRoutes {
  /** In the order in which they are tried. */
  readonly paths: PathRoute[]
  defaultBackend: Backend | undefined
}
/** Where the certificate for a name is. */
export interface CertificateSource {
  readonly namespace: string
  readonly secret: string
}
export interface RoutingTable {
  /** By lower-case host; "*.example.com" for wildcards, '' for every host. */
  readonly hosts: ReadonlyMap<string, HostRoutes>
  readonly defaultBackend: Backend | undefined
  /** By lower-case host, as above. */
  readonly certificates: ReadonlyMap<string, CertificateSource>
}

/** A resource backend has no address that we could know: it is like a Service that does not exist. */
function backendOf(namespace: string, { service }: IngressBackend): Backend | undefined {
  if (service === undefined) return undefined
  const { name, number } = service.port
  return { namespace, service: service.name, port: name !== undefined && name !== '' ? name : (number ?? 0) }
}

const withoutSlash = (path: string): string => path.replace(/\/+$/, '')

function pathRoute(namespace: string, { path = '', pathType, backend }: HttpIngressPath): PathRoute {
  const exact = pathType === 'Exact'
  const normal = normalizePath(path)
  return { exact, path: exact ? normal : withoutSlash(normal), backend: backendOf(namespace, backend) }
}

const byAge = (a: Ingress, b: Ingress): number =>
  a.metadata.creationTimestamp.localeCompare(b.metadata.creationTimestamp) ||
  `${a.metadata.namespace}/${a.metadata.name}`.localeCompare(`${b.metadata.namespace}/${b.metadata.name}`)

/** The table of the Ingresses that are ours. */
export function planRoutes(ingresses: readonly Ingress[]): RoutingTable {
  const hosts = new Map<string, HostRoutes>()
  const certificates = new Map<string, CertificateSource>()
  let defaultBackend: Backend | undefined
  for (const ingress of ingresses.toSorted(byAge)) {
    const { namespace = '' } = ingress.metadata
    const { rules = [], tls = [] } = ingress.spec
    const ownDefault =
      ingress.spec.defaultBackend === undefined ? undefined : backendOf(namespace, ingress.spec.defaultBackend)
    defaultBackend ??= ownDefault
    for (const rule of rules) {
      const host = (rule.host ?? '').toLowerCase()
      let routes = hosts.get(host)
      if (routes === undefined) {
        routes = { paths: [], defaultBackend: undefined }
        hosts.set(host, routes)
      }
      routes.defaultBackend ??= ownDefault
      for (const path of rule.http?.paths ?? []) routes.paths.push(pathRoute(namespace, path))
      // A rule without paths is every path of the host.
      if (rule.http === undefined && ownDefault !== undefined)
        routes.paths.push({ exact: false, path: '', backend: ownDefault })
    }
    for (const entry of tls) addCertificate(certificates, namespace, entry)
  }
  for (const { paths } of hosts.values())
    paths.sort((a, b) => b.path.length - a.path.length || Number(b.exact) - Number(a.exact))
  return { hosts, defaultBackend, certificates }
}
function addCertificate(into: Map<string, CertificateSource>, namespace: string, { hosts, secretName }: IngressTls) {
  if (secretName === undefined || secretName === '') return
  // Without hosts it is for every name that has none of its own.
  for (const host of hosts === undefined || hosts.length === 0 ? [''] : hosts) {
    const name = host.toLowerCase()
    if (!into.has(name)) into.set(name, { namespace, secret: secretName })
  }
}

/** Exact name, then the wildcard that stands for its first label, then what is for everybody. */
function* hostKeys(host: string): Iterable<string> {
  yield host
  const dot = host.indexOf('.')
  if (dot > 0) yield `*${host.slice(dot)}`
  yield ''
}
/** Host without port, lower case, without the dot at the end; an IPv6 address without its brackets. */
export function hostOf(authority: string): string {
  const bracket = /^\[([^\]]*)\]/.exec(authority)
  return (bracket?.[1] ?? authority.replace(/:\d*$/, '')).toLowerCase().replace(/\.$/, '')
}

/** The path that rules are compared with: what its percent-encoding and dot segments mean, so that no other spelling of
 * a path gets round its rule. */
export function normalizePath(target: string): string {
  const mark = target.search(/[?#]/)
  const raw = mark < 0 ? target : target.slice(0, mark)
  if (!/%|\/\/|\/\./.test(raw)) return raw
  let decoded: string
  try {
    decoded = decodeURIComponent(raw.replace(/%2f/gi, '%252f'))
  } catch (error) {
    // Not UTF-8: compared as it stands.
    if (!(error instanceof URIError)) throw error
    decoded = raw
  }
  const out: string[] = []
  const segments = decoded.split('/')
  segments.forEach((segment, i) => {
    const last = i === segments.length - 1
    if (segment === '..') out.pop()
    else if (segment !== '.' && (segment !== '' || last)) return void out.push(segment)
    if (last) out.push('')
  })
  return `/${out.join('/')}`
}

/** Prefix compares whole elements: /foo holds /foo/bar, not /foobar. */
const fits = (route: PathRoute, path: string): boolean =>
  route.exact
    ? route.path === path
    : path.startsWith(route.path) && (path.length === route.path.length || path[route.path.length] === '/')

export type Route =
  | { readonly found: true; readonly backend: Backend }
  /** A rule fits, but its backend is of a kind that cannot be served. */
  | { readonly found: false; readonly why: 'no rule' | 'no backend' }

/** The backend of a request by its authority (host, port optional) and target (path with query). */
export function route(table: RoutingTable, authority: string, target: string): Route {
  const path = normalizePath(target)
  for (const key of hostKeys(hostOf(authority))) {
    const routes = table.hosts.get(key)
    if (routes === undefined) continue
    const rule = routes.paths.find((candidate) => fits(candidate, path))
    const backend = rule === undefined ? (routes.defaultBackend ?? table.defaultBackend) : rule.backend
    if (backend !== undefined) return { found: true, backend }
    return { found: false, why: rule === undefined ? 'no rule' : 'no backend' }
  }
  return table.defaultBackend === undefined
    ? { found: false, why: 'no rule' }
    : { found: true, backend: table.defaultBackend }
}

/** Where the certificate for a server name is; undefined where no Ingress names one. */
export function certificateOf(table: RoutingTable, serverName: string | undefined): CertificateSource | undefined {
  for (const key of hostKeys(hostOf(serverName ?? ''))) {
    const source = table.certificates.get(key)
    if (source !== undefined) return source
  }
  return undefined
}
