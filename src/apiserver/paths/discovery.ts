// Discovery: which groups, versions and resources there are, in the old form and the aggregated one. Documents are made
// once and kept until what is served changes; each has an ETag.
import {
  aggregatedDiscovery,
  type AggregatedVersion,
  apiGroup,
  apiGroupList,
  apiResourceList,
  apiVersions,
  discoveryOf,
} from '../../api/machinery/discovery.ts'
import { freeze } from '../../api/machinery/freeze.ts'
import { hex, sha256 } from '../../api/machinery/sha256.ts'
import type { ServerContext } from '../context.ts'
import type { ApiRequest, ApiResponse } from '../request.ts'
import { headersOf } from '../responders/respond.ts'
import { utf8 } from '../storage/layout.ts'

interface Document {
  readonly object: object
  readonly body: Uint8Array
  readonly etag: string
  readonly contentType: string
}
interface Documents {
  readonly generation: number
  readonly made: Map<string, Document | undefined>
}
const cache = new WeakMap<ServerContext, Documents>()

/** Undefined for groups and versions that are not served. */
export function discovery(server: ServerContext, request: ApiRequest, path: string): ApiResponse | undefined {
  const aggregated = path === '/api' || path === '/apis' ? wantedAggregation(request.headers['accept']) : undefined
  const document = documentOf(server, path, aggregated)
  if (document === undefined) return undefined
  const headers = { ...headersOf(document.contentType, []), etag: document.etag, vary: 'Accept' }
  if (request.wantsObjects === true && aggregated === undefined) {
    return { kind: 'object', status: 200, headers, object: document.object }
  }
  if (request.headers['if-none-match'] === document.etag) {
    return { kind: 'bytes', status: 304, headers, body: new Uint8Array() }
  }
  return { kind: 'bytes', status: 200, headers, body: document.body }
}

/** The first form that the client takes: aggregated in some version, or the old one. */
function wantedAggregation(accept: string | undefined): AggregatedVersion | undefined {
  for (const clause of accept?.split(',') ?? []) {
    if (!clause.includes('as=APIGroupDiscoveryList')) {
      if (clause.trim().startsWith('application/json')) return undefined
      continue
    }
    const version = /v=(v2beta1|v2)(?:;|$)/.exec(clause.replaceAll(' ', ''))?.[1]
    if (clause.includes('g=apidiscovery.k8s.io') && version !== undefined) return version as AggregatedVersion
  }
  return undefined
}

function documentOf(
  server: ServerContext,
  path: string,
  aggregated: AggregatedVersion | undefined,
): Document | undefined {
  let documents = cache.get(server)
  if (documents === undefined || documents.generation !== server.resources.generation) {
    documents = { generation: server.resources.generation, made: new Map() }
    cache.set(server, documents)
  }
  const key = `${path} ${aggregated ?? ''}`
  if (documents.made.has(key)) return documents.made.get(key)
  const object = make(server, path, aggregated)
  // Only what exists is remembered: paths come from clients.
  if (object === undefined) return undefined
  const text = `${JSON.stringify(object)}\n`
  const document: Document = {
    object: freeze(object),
    body: utf8(text),
    etag: `"${hex(sha256(text))}"`,
    contentType:
      aggregated === undefined
        ? 'application/json'
        : `application/json;g=apidiscovery.k8s.io;v=${aggregated};as=APIGroupDiscoveryList`,
  }
  documents.made.set(key, document)
  return document
}

function make(server: ServerContext, path: string, aggregated: AggregatedVersion | undefined): object | undefined {
  const found = discoveryOf(server.resources.kinds() as readonly never[], server.backends.groupVersions())
  const [root = '', first = '', second, extra] = path.split('/').slice(1)
  if (aggregated !== undefined) return aggregatedDiscovery(found, root === 'api' ? 'api' : 'apis', aggregated)
  if (path === '/api') return apiVersions(found, `${server.options.advertiseAddress}:${server.options.port}`)
  if (path === '/apis') return apiGroupList(found)
  if (root === 'api') return second === undefined ? apiResourceList(found, { group: '', version: first }) : undefined
  if (second === undefined) return apiGroup(found, first)
  return extra === undefined ? apiResourceList(found, { group: first, version: second }) : undefined
}
