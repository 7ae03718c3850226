// One request through the ingress: headers as a gateway must change them, an endpoint that answers, the answer back.
import type { EdgeAnswer, EdgeHeaders, EdgeRequest } from '../ports/http-edge.ts'
import { type Outgoing, OutgoingError, type OutgoingResponse, type OutgoingTarget } from '../ports/outgoing.ts'

/** Headers of a connection, not of a message (RFC 9110, 7.6.1). */
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
  'http2-settings',
])
/** What only the gateway itself may say to a backend. */
const ours = new Set([
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-forwarded-proto',
  'x-real-ip',
  'host',
])

const joined = (value: string | readonly string[]): string => (typeof value === 'string' ? value : value.join(', '))

/** Names that the connection header adds to the hop-by-hop ones. */
function connectionNames(headers: EdgeHeaders): ReadonlySet<string> {
  const { connection } = headers
  return new Set(
    connection === undefined
      ? []
      : joined(connection)
          .split(',')
          .map((n) => n.trim().toLowerCase()),
  )
}

/** Headers for the backend. The client is who is connected: what it claims about others before it is not passed on. */
export function requestHeaders(request: EdgeRequest, port: number): Record<string, string> {
  const named = connectionNames(request.headers)
  const out: Record<string, string> = {}
  for (const [name, value] of Object.entries(request.headers))
    if (!hopByHop.has(name) && !ours.has(name) && !named.has(name))
      out[name] = name === 'cookie' && typeof value !== 'string' ? value.join('; ') : joined(value)
  // gRPC asks its servers for trailers by this one.
  if (/\btrailers\b/i.test(joined(request.headers['te'] ?? ''))) out['te'] = 'trailers'
  out['host'] = request.authority
  out['x-forwarded-for'] = request.sourceAddress
  out['x-real-ip'] = request.sourceAddress
  out['x-forwarded-host'] = request.authority
  out['x-forwarded-port'] = String(port)
  out['x-forwarded-proto'] = request.scheme
  return out
}

export function responseHeaders(headers: EdgeHeaders): EdgeHeaders {
  const named = connectionNames(headers)
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !hopByHop.has(name) && !named.has(name) && !name.startsWith(':')),
  )
}

/** A short answer of the gateway's own. */
export function plainAnswer(status: number, text: string): EdgeAnswer {
  const body = new TextEncoder().encode(`${text}\n`)
  const headers = { 'content-type': 'text/plain; charset=utf-8', 'content-length': String(body.length) }
  return { kind: 'response', status, headers, body }
}

function answered(response: OutgoingResponse): EdgeAnswer {
  return {
    kind: 'response',
    status: response.status,
    headers: responseHeaders(response.headers),
    body: response.body,
    trailers: response.trailers,
  }
}

/** The request as a call of `target`; gRPC is HTTP/2 whatever the Service says. */
async function call(outgoing: Outgoing, request: EdgeRequest, to: OutgoingTarget, port: number): Promise<EdgeAnswer> {
  const headers = requestHeaders(request, port)
  const grpc = joined(request.headers['content-type'] ?? '').startsWith('application/grpc')
  const target = grpc ? { ...to, http2: true } : to
  const { method, path, signal, body, upgrade } = request
  if (upgrade === undefined)
    return answered(
      await outgoing.send(target, { method, path, headers, signal, ...(body === undefined ? {} : { body }) }),
    )
  const upgraded = await outgoing.upgrade(target, {
    method,
    path,
    signal,
    headers: { ...headers, connection: 'Upgrade', upgrade },
  })
  if (!upgraded.ok) return answered(upgraded.response)
  return { kind: 'upgraded', headers: upgraded.headers, stream: upgraded.stream }
}

/** Asks one target after the other while none can be reached and the request can be sent again. */
export async function forward(
  outgoing: Outgoing,
  request: EdgeRequest,
  targets: readonly OutgoingTarget[],
  port: number,
): Promise<EdgeAnswer> {
  let last: OutgoingError | undefined
  for (const target of targets.slice(0, 3)) {
    try {
      return await call(outgoing, request, target, port)
    } catch (error) {
      if (!(error instanceof OutgoingError)) throw error
      last = error
      const unreached = error.kind === 'refused' || error.kind === 'unreachable' || error.kind === 'timeout'
      if (!unreached || request.body !== undefined) break
    }
  }
  return last?.kind === 'timeout' ? plainAnswer(504, '504 Gateway Timeout') : plainAnswer(502, '502 Bad Gateway')
}
