// The way of a request, in order. Each step is a file of its own; this one only says what comes after what.
import { authenticate } from './authentication/authenticator.ts'
import { impersonate } from './authentication/impersonation.ts'
import { authorizeRequest } from './authorization/authorize-request.ts'
import type { Pipeline } from './context.ts'
import { dispatchResource } from './dispatch.ts'
import type { ApiRequest, ApiResponse } from './request.ts'
import { resolveRequestInfo } from './request-info.ts'
import { pageNotFound, respondError } from './responders/respond.ts'

/** Answers a request; never throws. */
export async function handle(pipeline: Pipeline, request: ApiRequest): Promise<ApiResponse> {
  const { server } = pipeline
  try {
    const info = resolveRequestInfo(request)
    const caller = await authenticate(request, pipeline.authenticators)
    const user = await impersonate(request, caller, server.authorizer)
    await authorizeRequest(server.authorizer, user, info)
    if (!info.isResource) {
      return (await pipeline.paths(server, request, info, user)) ?? pageNotFound()
    }
    return await dispatchResource(server, request, info, user)
  } catch (error) {
    return respondError(server, request, error)
  }
}
