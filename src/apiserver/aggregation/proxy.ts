// A request for a group version that another server answers: passed on with the name of who asks, after this server has
// found out who that is and what they may do.
import { ApiError } from '../../api/machinery/errors.ts'
import type { ServerContext } from '../context.ts'
import { forward } from '../proxy/forward.ts'
import type { ApiRequest, ApiResponse, UserInfo } from '../request.ts'
import type { Backend } from './backends.ts'
import { targetOf, userHeaders } from './reach.ts'

export async function proxyToBackend(
  server: ServerContext,
  request: ApiRequest,
  user: UserInfo,
  backend: Backend,
): Promise<ApiResponse> {
  if (!backend.available) throw unavailable()
  let target: Awaited<ReturnType<typeof targetOf>>
  try {
    target = await targetOf(server, backend)
  } catch (error) {
    if (error instanceof ApiError) throw unavailable()
    throw error
  }
  const host = `${backend.service.name}.${backend.service.namespace}.svc:${backend.service.port}`
  return forward(
    { server, request },
    { target, path: request.path, prefix: '', headers: { host, ...userHeaders(user) }, rewrite: false },
  )
}
const unavailable = (): ApiError => new ApiError('ServiceUnavailable', 'service unavailable')
