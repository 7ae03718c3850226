// An outcome into the response that the client asked for.
import { ApiError, badRequest } from '../../api/machinery/errors.ts'
import { freeze } from '../../api/machinery/freeze.ts'
import type { KubeObject } from '../../api/machinery/meta.ts'
import type { TableDefinition } from '../../api/machinery/kind.ts'
import { type IncludeObject, type MetaVersion, tableOf } from '../../api/machinery/table.ts'
import type { ResourceRequest, ServerContext } from '../context.ts'
import type { ApiRequest, ApiResponse, Headers } from '../request.ts'
import { utf8 } from '../storage/layout.ts'
import { encodeObject } from './encode.ts'
import type { Negotiated } from './negotiate.ts'
import type { Outcome } from './outcome.ts'
import { listObject, versionedObject, viewOf } from './view.ts'

const jsonHeaders: Headers = { 'content-type': 'application/json', 'cache-control': 'no-cache, private' }
const noWarnings: readonly string[] = []

export function headersOf(contentType: string, warnings: readonly string[]): Headers {
  if (warnings.length === 0 && contentType === 'application/json') return jsonHeaders
  return {
    'content-type': contentType,
    'cache-control': 'no-cache, private',
    ...(warnings.length === 0 ? {} : { warning: warnings.map(warningText).join(', ') }),
  }
}
/** RFC 7234 5.5: code, agent, quoted text. */
const warningText = (text: string): string =>
  `299 - "${text
    .replace(/\p{Cc}/gu, ' ')
    .replaceAll('\\', '\\\\')
    .replaceAll('"', '\\"')}"`

/** includeObject of a table request. */
export function includeObjectOf(call: Pick<ResourceRequest, 'info'>): IncludeObject {
  const value = call.info.query.get('includeObject')
  if (value === null || value === '' || value === 'Metadata') return 'Metadata'
  if (value === 'None' || value === 'Object') return value
  throw badRequest(`unrecognized includeObject value: ${JSON.stringify(value)}`)
}

/** Answers a resource request. */
export function respond(call: ResourceRequest, negotiated: Negotiated, outcome: Outcome): ApiResponse {
  if (outcome.kind === 'response') return outcome.response
  if (call.request.wantsObjects === true) return respondObject(call, outcome)
  if (outcome.kind === 'object') {
    const headers = headersOf(negotiated.contentType, call.warnings)
    const object = printed(call, negotiated, outcome)
    const body = isPretty(call) ? prettyJson(object) : encodeObject(negotiated.encoding, object)
    return { kind: 'bytes', status: outcome.status, headers, body }
  }
  const view = viewOf(call.resource, negotiated, includeObjectOf(call), call.server.clock)
  const headers = headersOf(view.contentType, call.warnings)
  let body: Uint8Array
  if (outcome.kind === 'entry') body = view.single(outcome.entry)
  else if (outcome.kind === 'unstored') body = view.loose(outcome.object)
  else {
    const head = {
      resourceVersion: String(outcome.revision),
      continue: outcome.continue,
      remainingItemCount: outcome.remaining,
    }
    const { collection } = call.resource.storage
    const parts =
      outcome.state === undefined || isPretty(call)
        ? undefined
        : call.server.hotLists.body(collection, outcome.state, view, outcome.entries, head)
    if (parts !== undefined) return { kind: 'bytes', status: 200, headers, ...parts }
    body = outcome.objects === undefined ? view.list(outcome.entries, head) : view.looseList(outcome.objects, head)
  }
  if (isPretty(call) && negotiated.encoding === 'json') body = prettyJson(JSON.parse(new TextDecoder().decode(body)))
  return { kind: 'bytes', status: outcome.kind === 'list' ? 200 : outcome.status, headers, body }
}

/** A Table of an object that is of another kind than the request's resource, where one is asked for and can be made. */
function printed(call: ResourceRequest, negotiated: Negotiated, outcome: Extract<Outcome, { kind: 'object' }>): object {
  if (negotiated.as !== 'table' || outcome.table === undefined) return outcome.object
  const object = outcome.object as KubeObject
  const { resourceVersion } = object.metadata
  return tableOf(
    outcome.table as TableDefinition<KubeObject>,
    [object],
    { resourceVersion },
    {
      nowMs: call.server.clock.now(),
      includeObject: includeObjectOf(call),
      version: negotiated.metaVersion as MetaVersion,
    },
  )
}

const isPretty = (call: ResourceRequest): boolean => {
  const value = call.info.query.get('pretty')
  return value !== null && value !== 'false' && value !== '0'
}
const prettyJson = (object: unknown): Uint8Array => utf8(`${JSON.stringify(object, null, 2)}\n`)

function respondObject(call: ResourceRequest, outcome: Exclude<Outcome, { kind: 'response' }>): ApiResponse {
  const { resource } = call
  const { collection } = resource.storage
  const headers = headersOf('application/json', call.warnings)
  const answer = (status: number, object: unknown): ApiResponse => ({ kind: 'object', status, headers, object })
  switch (outcome.kind) {
    case 'entry':
      return answer(outcome.status, versionedObject(resource, collection.object(outcome.entry)))
    case 'unstored':
      return answer(outcome.status, versionedObject(resource, freeze(outcome.object) as KubeObject))
    case 'object':
      return answer(outcome.status, freeze(outcome.object))
    case 'list': {
      const items =
        outcome.objects ?? outcome.entries.map((entry) => versionedObject(resource, collection.object(entry)))
      const head = {
        resourceVersion: String(outcome.revision),
        continue: outcome.continue,
        remainingItemCount: outcome.remaining,
      }
      return answer(200, freeze(listObject(resource, Object.freeze(items), head)))
    }
  }
}

/** Any error as a response: an ApiError as it is, anything else as InternalError with a log line. */
export function respondError(server: Pick<ServerContext, 'log'>, request: ApiRequest, error: unknown): ApiResponse {
  let known: ApiError
  if (error instanceof ApiError) known = error
  else {
    const text = error instanceof Error ? error.message : String(error)
    server.log.error('request failed', {
      method: request.method,
      path: request.path,
      error: error instanceof Error ? (error.stack ?? text) : text,
    })
    known = new ApiError('InternalError', `Internal error occurred: ${text}`, { causes: [{ message: text }] })
  }
  const status = known.toStatus()
  const retry = known.details?.retryAfterSeconds
  const headers: Headers = {
    ...headersOf('application/json', noWarnings),
    ...(retry === undefined ? {} : { 'retry-after': String(retry) }),
  }
  if (request.wantsObjects === true) return { kind: 'object', status: known.code, headers, object: freeze(status) }
  return { kind: 'bytes', status: known.code, headers, body: utf8(`${JSON.stringify(status)}\n`) }
}

/** Plain text, for health checks and the like. */
export function textResponse(status: number, text: string, contentType = 'text/plain; charset=utf-8'): ApiResponse {
  return {
    kind: 'bytes',
    status,
    headers: { 'content-type': contentType, 'cache-control': 'no-cache, private', 'x-content-type-options': 'nosniff' },
    body: utf8(text),
  }
}
/** What nobody serves. */
export const pageNotFound = (): ApiResponse => textResponse(404, '404 page not found\n')
/** A JSON document that is no API object of a resource (discovery, /version). */
export function documentResponse(request: ApiRequest, object: object, headers: Headers = {}): ApiResponse {
  const all = { ...headersOf('application/json', noWarnings), ...headers }
  if (request.wantsObjects === true) return { kind: 'object', status: 200, headers: all, object: freeze(object) }
  return { kind: 'bytes', status: 200, headers: all, body: utf8(`${JSON.stringify(object)}\n`) }
}
