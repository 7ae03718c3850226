// From a request for an object to its handler: by verb for the object itself, by name for its subresources.
import { ApiError } from '../api/machinery/errors.ts'
import { freeze } from '../api/machinery/freeze.ts'
import type { KubeObject } from '../api/machinery/meta.ts'
import type { Verb } from '../api/machinery/kind.ts'
import type { ResourceRequest, ServerContext } from './context.ts'
import { dryRunOf } from './handlers/checks.ts'
import { create } from './handlers/create.ts'
import { deleteCollection, deleteOne } from './handlers/delete.ts'
import { get } from './handlers/get.ts'
import { list } from './handlers/list.ts'
import { patch } from './handlers/patch.ts'
import { update } from './handlers/update.ts'
import { watch } from './handlers/watch.ts'
import type { ApiRequest, ApiResponse, UserInfo } from './request.ts'
import type { RequestInfo } from './request-info.ts'
import { type Negotiated, negotiate, notAcceptable } from './responders/negotiate.ts'
import type { Outcome } from './responders/outcome.ts'
import { headersOf, includeObjectOf, pageNotFound, respond } from './responders/respond.ts'
import { openShown, rawEvents, shownOutcome } from './responders/shown.ts'
import { bookmarkObject, objectEvents, statusOf, viewOf } from './responders/view.ts'
import { subresourceOf } from './subresources/all.ts'
import type { EventType } from './watch/hub.ts'
import { virtualHandler } from './virtual.ts'

export type Handler = (call: ResourceRequest) => Promise<Outcome>

const handlers: Readonly<Record<Exclude<Verb, 'watch'>, Handler>> = {
  create,
  get,
  list,
  update,
  patch,
  delete: deleteOne,
  deletecollection: deleteCollection,
}
const unknownResource = () => new ApiError('NotFound', 'the server could not find the requested resource', {})

/** Answers a request for an object or a collection. Throws ApiError. */
export async function dispatchResource(
  server: ServerContext,
  request: ApiRequest,
  info: RequestInfo,
  user: UserInfo,
): Promise<ApiResponse> {
  const resource = server.resources.get(info.group, info.version, info.resource)
  if (resource === undefined) {
    if (server.resources.hasGroup(info.group)) throw unknownResource()
    return pageNotFound()
  }
  const scoped = resource.kind.namespaced && info.namespace === ''
  if (scoped && info.name !== '' && !['list', 'watch', 'deletecollection'].includes(info.verb)) throw unknownResource()
  const negotiated = negotiate(request.headers['accept'], resource.schema.structural !== true)
  const dryRun = info.query.size > 0 && dryRunOf(info.query.getAll('dryRun'), info.verb)
  const call: ResourceRequest = { server, request, info, user, resource, warnings: [], dryRun }
  if (resource.deprecation !== undefined) call.warnings.push(resource.deprecation)
  if (info.subresource !== '') {
    const handler = subresourceOf(resource, info.subresource)
    if (handler === undefined) throw unknownResource()
    const answer = handler[info.verb]
    if (answer === undefined) throw methodNotAllowed()
    return finish(call, negotiated, await answer(call))
  }
  if (!resource.verbs.has(info.verb as Verb) || !fits(info)) throw methodNotAllowed()
  if (info.verb === 'watch') return openWatch(call, negotiated)
  const told = virtualHandler(resource, info.verb)
  if (told !== undefined && info.verb === 'create' && negotiated.as !== 'object') throw notAcceptable()
  const handler = told ?? handlers[info.verb as Exclude<Verb, 'watch'>]
  if (info.verb === 'create' && scoped) throw methodNotAllowed()
  return finish(call, negotiated, await handler(call))
}

/** Objects are made in their collection, and changed under their name. */
function fits({ verb, name }: RequestInfo): boolean {
  if (verb === 'create') return name === ''
  return name !== '' || (verb !== 'update' && verb !== 'patch')
}

const finish = (call: ResourceRequest, negotiated: Negotiated, outcome: Outcome): ApiResponse | Promise<ApiResponse> =>
  call.resource.boundary === undefined
    ? respond(call, negotiated, outcome)
    : shownOutcome(call, outcome).then((shown) => respond(call, negotiated, shown))

const methodNotAllowed = () =>
  new ApiError('MethodNotAllowed', 'the server does not allow this method on the requested resource', {})

async function openWatch(call: ResourceRequest, negotiated: Negotiated): Promise<ApiResponse> {
  const { request, resource } = call
  if (resource.boundary !== undefined) return openConvertedWatch(call, negotiated)
  if (request.wantsObjects === true) {
    const answer = await watch(call, objectEvents(resource))
    return {
      kind: 'objects',
      status: 200,
      headers: headersOf('application/json', call.warnings),
      open: (sink) =>
        answer.open({
          write(events) {
            let more = true
            for (const event of events) more = sink.write(event)
            return more
          },
          end: () => sink.end(),
        }),
    }
  }
  const view = viewOf(resource, negotiated, includeObjectOf(call), call.server.clock)
  const answer = await watch(call, view.events)
  const contentType = negotiated.encoding === 'protobuf' ? `${view.contentType};stream=watch` : view.contentType
  return {
    kind: 'stream',
    status: 200,
    headers: headersOf(contentType, call.warnings),
    open: answer.open,
  }
}

/** A watch of a custom resource whose versions differ: the same events, each converted before it is sent. */
async function openConvertedWatch(call: ResourceRequest, negotiated: Negotiated): Promise<ApiResponse> {
  const { request, resource } = call
  const answer = await watch(call, rawEvents(resource))
  if (request.wantsObjects === true) {
    const writer = {
      event: (type: string, object: object): unknown => Object.freeze({ type, object: freeze(object) }),
      bookmark: (revision: number, end: boolean): unknown => ({
        type: 'BOOKMARK',
        object: bookmarkObject(resource, revision, end),
      }),
      error: (error: unknown): unknown => ({ type: 'ERROR', object: statusOf(error) }),
    }
    const headers = headersOf('application/json', call.warnings)
    return { kind: 'objects', status: 200, headers, open: (sink) => openShown(call, answer.open, writer, sink) }
  }
  const view = viewOf(resource, negotiated, includeObjectOf(call), call.server.clock)
  const writer = {
    event: (type: EventType, object: KubeObject) => view.looseEvent(type, object),
    bookmark: (revision: number, end: boolean) => view.events.bookmark(revision, end),
    error: (error: unknown) => view.events.error(error),
  }
  const headers = headersOf(view.contentType, call.warnings)
  return { kind: 'stream', status: 200, headers, open: (sink) => openShown(call, answer.open, writer, sink) }
}
