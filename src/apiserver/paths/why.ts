// GET /why/PATH-OF-AN-OBJECT: why the object is as it is. Whoever may get the object may ask, and everything that the answer
// is made of is read with the asker's own rights. JSON, or lines for people with ?output=text.
import { badRequest } from '../../api/machinery/errors.ts'
import { explainObject } from '../../why/explain.ts'
import { whyText } from '../../why/text.ts'
import type { ServerContext } from '../context.ts'
import type { ApiRequest, ApiResponse, UserInfo } from '../request.ts'
import { type RequestInfo, resolveRequestInfo } from '../request-info.ts'
import { documentResponse, pageNotFound, textResponse } from '../responders/respond.ts'

export const whyPrefix = '/why/'

/** The request for the object that is asked about: the one to be authorized. Undefined for other requests. */
export function whyTarget(request: ApiRequest): RequestInfo | undefined {
  if (request.method !== 'GET' || !request.path.startsWith(whyPrefix)) return undefined
  const info = resolveRequestInfo({ ...request, path: request.path.slice(whyPrefix.length - 1) })
  return info.isResource ? info : undefined
}

export async function why(server: ServerContext, request: ApiRequest, user: UserInfo): Promise<ApiResponse> {
  const target = whyTarget(request)
  if (target === undefined) return pageNotFound()
  const { group, version, resource, name, namespace, subresource, query } = target
  const served = server.resources.get(group, version, resource)
  if (served === undefined) return pageNotFound()
  const output = query.get('output') ?? 'json'
  if (output !== 'json' && output !== 'text')
    throw badRequest(`output must be json or text, not ${JSON.stringify(output)}`)
  if (name === '' || subresource !== '')
    throw badRequest('say which object: /why/api/v1/namespaces/NAMESPACE/pods/NAME')
  const client = server.clientFor(user)
  const object = await client.resource(served.kind).get(name, namespace === '' ? undefined : namespace)
  const reader = { client, nowMs: server.clock.now(), advice: server.advice() }
  const answer = await explainObject(reader, object)
  return output === 'text' ? textResponse(200, whyText(answer)) : documentResponse(request, answer)
}
