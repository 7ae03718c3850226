// OpenAPI v2 as one document, v3 as an index and a document per group version. Made when somebody asks and kept as bytes
// until what is served changes; hashes let clients keep their copies.
import { descriptionOf } from '../../api/descriptions/all.ts'
import { describeApi, type ApiDescription } from '../../api/machinery/openapi.ts'
import { openApiV2 } from '../../api/machinery/openapi-v2.ts'
import { encodeOpenApiV2, openApiV2MediaType } from '../../api/machinery/openapi-v2-protobuf.ts'
import { mergeOpenApiV2 } from '../../api/machinery/openapi-merge.ts'
import type { Json, JsonObject } from '../../api/machinery/schema.ts'
import { openApiV3, openApiV3Index, openApiV3Names } from '../../api/machinery/openapi-v3.ts'
import { hex, sha256 } from '../../api/machinery/sha256.ts'
import { ApiError } from '../../api/machinery/errors.ts'
import type { ServerContext } from '../context.ts'
import type { ApiRequest, ApiResponse } from '../request.ts'
import type { RequestInfo } from '../request-info.ts'
import { utf8 } from '../storage/layout.ts'
import { bodyKinds } from '../subresources/body-kinds.ts'
import { versionInfo } from './version.ts'

interface Document {
  readonly body: Uint8Array
  readonly hash: string
}
interface Documents {
  readonly generation: number
  readonly api: ApiDescription
  readonly made: Map<string, Document | undefined>
}
const cache = new WeakMap<ServerContext, Documents>()

/** Undefined for paths that are no OpenAPI document. */
export function openApi(server: ServerContext, request: ApiRequest, info: RequestInfo): ApiResponse | undefined {
  const { path } = info
  if (path === '/openapi/v2') {
    const binary = (request.headers['accept'] ?? '').includes('proto-openapi')
    return binary
      ? answer(request, documentOf(server, 'v2.pb'), true, openApiV2MediaType)
      : answer(request, documentOf(server, 'v2'), acceptsJson(request))
  }
  if (path === '/openapi/v3') return answer(request, documentOf(server, 'v3'), true)
  if (!path.startsWith('/openapi/v3/')) return undefined
  const name = path.slice('/openapi/v3/'.length).replace(/\/$/, '')
  const document = documentOf(server, `v3/${name}`)
  if (document === undefined) return undefined
  const asked = info.query.get('hash')
  if (asked !== null && asked !== document.hash) {
    return {
      kind: 'bytes',
      status: 301,
      headers: { location: `/openapi/v3/${name}?hash=${document.hash}` },
      body: new Uint8Array(),
    }
  }
  const response = answer(request, document, true)
  if (asked === null || response === undefined || response.kind !== 'bytes') return response
  // A document under its own hash never changes.
  return {
    ...response,
    headers: { ...response.headers, 'cache-control': 'public, immutable', expires: yearFrom(server.clock.now()) },
  }
}
const yearFrom = (ms: number): string => new Date(ms + 365 * 86_400_000).toUTCString()

function acceptsJson({ headers }: ApiRequest): boolean {
  const { accept } = headers
  return accept === undefined || accept === '' || /json|\*\/\*|application\/\*/.test(accept)
}

function answer(
  request: ApiRequest,
  document: Document | undefined,
  acceptable: boolean,
  contentType = 'application/json',
): ApiResponse | undefined {
  if (document === undefined) return undefined
  if (!acceptable) throw new ApiError('NotAcceptable', 'only the following media types are accepted: application/json')
  const etag = `"${document.hash}"`
  const headers = { 'content-type': contentType, etag, vary: 'Accept' }
  if (request.headers['if-none-match'] === etag) return { kind: 'bytes', status: 304, headers, body: new Uint8Array() }
  if (request.wantsObjects === true) {
    return {
      kind: 'object',
      status: 200,
      headers,
      object: JSON.parse(new TextDecoder().decode(document.body)) as unknown,
    }
  }
  return { kind: 'bytes', status: 200, headers, body: document.body }
}

function documentOf(server: ServerContext, name: string): Document | undefined {
  let documents = cache.get(server)
  if (documents === undefined || documents.generation !== server.resources.generation) {
    documents = {
      generation: server.resources.generation,
      api: describeApi(server.resources.kinds() as unknown as readonly never[], bodyKinds, descriptionOf),
      made: new Map(),
    }
    cache.set(server, documents)
  }
  const known = documents.made.get(name)
  if (known !== undefined) return known
  if (name === 'v2.pb') {
    const json = documentOf(server, 'v2')
    if (json === undefined) return undefined
    const body = encodeOpenApiV2(JSON.parse(new TextDecoder().decode(json.body)) as JsonObject)
    const binary = { body, hash: `${json.hash}-pb` }
    documents.made.set(name, binary)
    return binary
  }
  const object = make(server, documents.api, name)
  if (object === undefined) return undefined
  const text = JSON.stringify(object)
  const document = { body: utf8(text), hash: hex(sha256(text)) }
  documents.made.set(name, document)
  return document
}

function make(server: ServerContext, api: ApiDescription, name: string): object | undefined {
  const others = server.backends.all().filter(({ documents }) => documents !== undefined)
  if (name === 'v2') {
    const own = openApiV2(api, versionInfo.gitVersion) as unknown as JsonObject
    return others.reduce((all, { group, version, documents }) => {
      const theirs = documents?.openApiV2
      return theirs === undefined ? all : mergeOpenApiV2(all, theirs, `/apis/${group}/${version}/`)
    }, own)
  }
  if (name !== 'v3') {
    const wanted = name.slice(3)
    const other = others.find(({ group, version }) => wanted === `apis/${group}/${version}`)
    if (other !== undefined) return other.documents?.openApiV3
    return openApiV3Names(api).includes(wanted) ? openApiV3(api, wanted, versionInfo.gitVersion) : undefined
  }
  const hashOf = (document: string) => documentOf(server, `v3/${document}`)?.hash ?? ''
  const index = openApiV3Index(api, hashOf) as unknown as { readonly paths: JsonObject }
  const paths: Record<string, Json | undefined> = { ...index.paths }
  for (const { group, version, documents } of others) {
    const document = `apis/${group}/${version}`
    if (documents?.openApiV3 !== undefined)
      paths[document] = { serverRelativeURL: `/openapi/v3/${document}?hash=${hashOf(document)}` }
  }
  return { ...index, paths }
}
