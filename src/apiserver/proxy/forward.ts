// Passes a request on to another server and its answer back: bodies as they arrive, upgrades as raw bytes. Used by the
// proxy verbs of pods, services and nodes.
import { ApiError } from '../../api/machinery/errors.ts'
import { OutgoingError, type OutgoingResponse, type OutgoingTarget } from '../../ports/outgoing.ts'
import type { ResourceRequest } from '../context.ts'
import type { ApiResponse, Headers } from '../request.ts'
import { pumpInto } from '../subresources/pump.ts'
import { isHtml, rewriteHtml } from './rewrite-html.ts'

/** Said between two neighbours only (RFC 9110, 7.6.1), or not the target's business. */
const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'host',
  'authorization',
  'content-length',
  'http2-settings',
])

function requestHeaders(call: Caller): Record<string, string | readonly string[]> {
  const out: Record<string, string | readonly string[]> = {}
  for (const [name, value] of Object.entries(call.request.headers))
    if (value !== undefined && !hopByHop.has(name) && !name.startsWith(':') && !name.startsWith('x-remote-'))
      out[name] = value
  const { headers, sourceAddress } = call.request
  const length = headers['content-length']
  if (length !== undefined) out['content-length'] = length
  if (sourceAddress !== undefined)
    out['x-forwarded-for'] = [headers['x-forwarded-for'], sourceAddress].filter(Boolean).join(', ')
  return out
}

function responseHeaders(response: OutgoingResponse, prefix: string): Record<string, string> {
  const out: Record<string, string> = {}
  for (const [name, value] of Object.entries(response.headers)) {
    if (hopByHop.has(name) && name !== 'content-length') continue
    out[name] = typeof value === 'string' ? value : value.join(', ')
  }
  // A redirect of the target to itself stays behind the proxy.
  const { location } = out
  if (location?.startsWith('/') === true && !location.startsWith('//')) out['location'] = `${prefix}${location}`
  return out
}

type Caller = Pick<ResourceRequest, 'request' | 'server'>
export interface Forwarded {
  readonly target: OutgoingTarget
  /** What the target is asked for, with query. */
  readonly path: string
  /** Path under which clients see the target's root, without a slash at the end. */
  readonly prefix: string
  /** More headers, in the place of the client's own. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  /** False: pages come as they are. */
  readonly rewrite?: boolean
}

/** Throws ApiError ServiceUnavailable where the target gives no answer. */
export async function forward(
  call: Caller,
  { target, path, prefix, headers: more, rewrite = true }: Forwarded,
): Promise<ApiResponse> {
  const { request, server } = call
  const stop = new AbortController()
  request.signal?.addEventListener('abort', () => stop.abort(), { once: true })
  const headers = { ...requestHeaders(call), ...more }
  const outgoing = { method: request.method, path, headers, signal: stop.signal }
  try {
    if (request.upgrade !== undefined)
      return await forwardUpgrade(call, target, { ...outgoing, protocol: request.upgrade })
    const hasBody = request.body !== undefined && !['GET', 'HEAD'].includes(request.method)
    const response = await server.outgoing.send(target, {
      ...outgoing,
      ...(hasBody && request.body !== undefined ? { body: request.body.stream() } : {}),
    })
    const answered = responseHeaders(response, prefix)
    if (rewrite && isHtml(answered)) {
      delete answered['content-length']
      return streamed(response.status, answered, rewriteHtml(response.body, prefix), stop, call)
    }
    return streamed(response.status, answered, response.body, stop, call)
  } catch (error) {
    if (!(error instanceof OutgoingError)) throw error
    throw new ApiError('ServiceUnavailable', `error trying to reach service: ${error.message}`)
  }
}

const streamed = (
  status: number,
  headers: Headers,
  body: AsyncIterable<Uint8Array>,
  stop: AbortController,
  call: Caller,
): ApiResponse => ({
  kind: 'stream',
  status,
  headers,
  open: (sink) => pumpInto(sink, body, () => stop.abort(), call.server.log),
})

async function forwardUpgrade(
  call: Caller,
  target: OutgoingTarget,
  {
    protocol,
    ...outgoing
  }: {
    method: string
    path: string
    headers: Record<string, string | readonly string[]>
    signal: AbortSignal
    protocol: string
  },
): Promise<ApiResponse> {
  const answer = await call.server.outgoing.upgrade(target, {
    ...outgoing,
    headers: { ...outgoing.headers, connection: 'Upgrade', upgrade: protocol },
  })
  if (answer.ok) {
    const headers: Record<string, string> = {}
    for (const [name, value] of Object.entries(answer.headers))
      headers[name] = typeof value === 'string' ? value : value.join(', ')
    return { kind: 'upgrade', headers: {}, upgraded: { type: 'raw', headers, stream: answer.stream } }
  }
  const { response } = answer
  return streamed(response.status, responseHeaders(response, ''), response.body, new AbortController(), call)
}
