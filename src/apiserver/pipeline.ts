// The way of a request, in order. Each step is a file of its own; this one only says what comes after what.
import { ApiError } from '../api/machinery/errors.ts'
import { proxyToBackend } from './aggregation/proxy.ts'
import { type AuditTrail, auditRefused, beginAudit } from './audit/audit.ts'
import { authenticate } from './authentication/authenticator.ts'
import { impersonate } from './authentication/impersonation.ts'
import { authorizeRequest } from './authorization/authorize-request.ts'
import type { Pipeline } from './context.ts'
import { dispatchResource } from './dispatch.ts'
import { withFlowHeaders } from './flowcontrol/flow-control.ts'
import type { ApiRequest, ApiResponse, UserInfo } from './request.ts'
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
  const { anonymousAuth } = server.options
  let caller: UserInfo
  try {
    caller = await authenticate(request, pipeline.authenticators, anonymousAuth)
  } catch (error) {
    if (error instanceof ApiError) auditRefused(server, request, info, error)
    throw error
  }
  const trail = beginAudit(server, request, info, caller)
  if (trail === undefined) return actAndSeat(pipeline, request, info, caller, undefined)
  trail.received()
  let response: ApiResponse
  try {
    response = await actAndSeat(pipeline, trail.watched(), info, caller, trail)
  } catch (error) {
    response = respondError(server, request, error)
  }
  return trail.answered(response)
}

async function actAndSeat(
  pipeline: Pipeline,
  request: ApiRequest,
  info: RequestInfo,
  caller: UserInfo,
  trail: AuditTrail | undefined,
): Promise<ApiResponse> {
  const { server } = pipeline
  const user = await impersonate(request, caller, server.authorizer)
  trail?.actsAs(user)
  // Callers in this process are bounded by their own queues, and must not wait behind those that they serve.
  if (request.user !== undefined) return work(pipeline, request, info, user)
  const pending = server.flowControl.enter(server, user, info)
  const ticket = pending instanceof Promise ? await pending : pending
  if (ticket === undefined) return work(pipeline, request, info, user)
  let response: ApiResponse
  try {
    response = await work(pipeline, request, info, user)
  } catch (error) {
    response = respondError(server, request, error)
  } finally {
    ticket.seat?.release()
  }
  return withFlowHeaders(response, ticket)
}

async function work(
  { server, paths }: Pipeline,
  request: ApiRequest,
  info: RequestInfo,
  user: UserInfo,
): Promise<ApiResponse> {
  await authorizeRequest(server.authorizer, user, whyTarget(request) ?? info, request.audit)
  const backend = server.backends.answering(info.path)
  if (backend !== undefined) return proxyToBackend(server, request, user, backend)
  if (!info.isResource) return (await paths(server, request, info, user)) ?? pageNotFound()
  return dispatchResource(server, request, info, user)
}
