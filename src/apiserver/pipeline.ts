// The way of a request, in order. Each step is a file of its own; this one only says what comes after what.
import { authenticate } from './authentication/authenticator.ts'
import { impersonate } from './authentication/impersonation.ts'
import { authorizeRequest } from './authorization/authorize-request.ts'
import type { Pipeline } from './context.ts'
import { dispatchResource } from './dispatch.ts'
import type { ApiRequest, ApiResponse } from './request.ts'
import { type RequestInfo, resolveRequestInfo } from './request-info.ts'
import { pageNotFound, respondError } from './responders/respond.ts'
import { whyTarget } from './paths/why.ts'

/** Answers a request; never throws. */
export async function handle(pipeline: Pipeline, request: ApiRequest): Promise<ApiResponse> {
  const { server } = pipeline
  const { metrics, clock } = server
  const started = clock.monotonic()
  metrics.begin(request)
  let info: RequestInfo | undefined
  let response: ApiResponse
  try {
    info = resolveRequestInfo(request)
    response = await answer(pipeline, request, info)
  } catch (error) {
    response = respondError(server, request, error)
  }
  metrics.end(request, info, response, (clock.monotonic() - started) / 1000)
  return response
}

async function answer(pipeline: Pipeline, request: ApiRequest, info: RequestInfo): Promise<ApiResponse> {
  const { server } = pipeline
  const caller = await authenticate(request, pipeline.authenticators, server.options.anonymousAuth)
  const user = await impersonate(request, caller, server.authorizer)
  await authorizeRequest(server.authorizer, user, whyTarget(request) ?? info)
  if (!info.isResource) return (await pipeline.paths(server, request, info, user)) ?? pageNotFound()
  return dispatchResource(server, request, info, user)
}
