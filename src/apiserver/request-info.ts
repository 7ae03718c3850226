// The Kubernetes path grammar, parsed once per request into what every later step asks for: which resource, which
// object, which verb. A hand-written splitter, because the grammar is fixed and this runs for every request.
import { badRequest } from '../api/machinery/errors.ts'
import type { ApiRequest } from './request.ts'

export interface RequestInfo {
  /** False for /version, /healthz, discovery and everything else that is no object. */
  readonly isResource: boolean
  /** get, list, watch, create, update, patch, delete, deletecollection; for non-resources the method in lower case. */
  readonly verb: string
  /** Decoded path without the query. */
  readonly path: string
  readonly query: URLSearchParams
  readonly group: string
  readonly version: string
  readonly namespace: string
  readonly resource: string
  readonly subresource: string
  readonly name: string
  /** What follows the subresource (proxy paths), with a leading slash where the request had one; still encoded. */
  readonly rest: string
}

const noQuery = new URLSearchParams()
const verbOfMethod: Readonly<Record<string, string>> = {
  GET: 'get',
  HEAD: 'get',
  POST: 'create',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
  OPTIONS: 'options',
}
/** Subresources of a namespace that are not namespaced resources. */
const namespaceSubresources = new Set(['status', 'finalize'])

const decode = (part: string): string => {
  if (!part.includes('%')) return part
  try {
    return decodeURIComponent(part)
  } catch (error) {
    if (error instanceof URIError) throw badRequest(`invalid URL escape "${part.slice(part.indexOf('%')).slice(0, 3)}"`)
    throw error
  }
}
export const isTrue = (value: string | null): boolean => value !== null && value !== 'false' && value !== '0'

const nonResource = (request: ApiRequest, path: string, query: URLSearchParams): RequestInfo => ({
  isResource: false,
  verb: request.method.toLowerCase(),
  path: decode(path),
  query,
  group: '',
  version: '',
  namespace: '',
  resource: '',
  subresource: '',
  name: '',
  rest: '',
})

/** Reads method and path. Throws ApiError BadRequest for malformed escapes. */
export function resolveRequestInfo(request: ApiRequest): RequestInfo {
  const mark = request.path.indexOf('?')
  const path = mark < 0 ? request.path : request.path.slice(0, mark)
  const query = mark < 0 ? noQuery : new URLSearchParams(request.path.slice(mark + 1))
  const parts = path.split('/')
  // parts[0] is '' (leading slash); a trailing slash leaves '' at the end.
  const isCore = parts[1] === 'api'
  if (!isCore && parts[1] !== 'apis') return nonResource(request, path, query)
  let at = isCore ? 3 : 4
  if (parts.length <= at || parts[at] === '') return nonResource(request, path, query)
  const group = isCore ? '' : (parts[2] ?? '')
  const version = parts[at - 1] ?? ''
  let watchPath = false
  if (parts[at] === 'watch' && parts.length > at + 1) {
    watchPath = true
    at++
  }
  let namespace = ''
  if (parts[at] === 'namespaces' && parts.length > at + 1 && parts[at + 1] !== '') {
    namespace = decode(parts[at + 1] ?? '')
    const next = parts[at + 2]
    if (next !== undefined && next !== '' && !namespaceSubresources.has(next)) at += 2
  }
  const resource = decode(parts[at] ?? '')
  const name = decode(parts[at + 1] ?? '')
  const subresource = decode(parts[at + 2] ?? '')
  const rest = parts.length > at + 3 ? `/${parts.slice(at + 3).join('/')}` : ''
  return {
    isResource: true,
    verb: verbFor(request.method, name, query, watchPath),
    path,
    query,
    group,
    version,
    namespace,
    resource,
    subresource,
    name: name === '' ? nameFromSelector(query) : name,
    rest,
  }
}

function verbFor(method: string, name: string, query: URLSearchParams, watchPath: boolean): string {
  const verb = verbOfMethod[method] ?? method.toLowerCase()
  if (name !== '' && !watchPath) {
    // A watch on a single object, the old way: GET .../NAME?watch=true is a plain get with an ignored parameter.
    return verb
  }
  if (verb === 'get') return watchPath || isTrue(query.get('watch')) ? 'watch' : 'list'
  if (verb === 'delete') return 'deletecollection'
  return verb
}

/** A list or watch restricted to metadata.name=X counts as a request for X: rules with resourceNames apply to it. */
function nameFromSelector(query: URLSearchParams): string {
  const selector = query.get('fieldSelector')
  if (selector === null) return ''
  const match = /(?:^|,)metadata\.name==?([^,=!]+)(?:,|$)/.exec(selector)
  return match?.[1] ?? ''
}
