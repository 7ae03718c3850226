// A node's API as HTTP: what the API server reads through a tunnel, and what port 10250 serves to whoever is allowed.
import { ApiError } from '../../api/machinery/errors.ts'
import type { ApiRequest, ApiResponse } from '../../apiserver/request.ts'
import { pumpInto } from '../../apiserver/subresources/pump.ts'
import type { Log } from '../../ports/log.ts'
import type { NodeApi } from '../../ports/node-api.ts'
import { parseNodePath } from './paths.ts'

const maxBodyBytes = 3 << 20

/** Answers a request for the node; never rejects: an ApiError becomes its Status. */
export async function answerNodeRequest(api: NodeApi, request: ApiRequest, log: Log): Promise<ApiResponse> {
  try {
    return await answer(api, request, log)
  } catch (error) {
    if (error instanceof ApiError) return statusResponse(error)
    log.warn('a request to the node failed', { path: request.path, error: String(error) })
    return statusResponse(new ApiError('InternalError', error instanceof Error ? error.message : String(error)))
  }
}
/** An error as metav1.Status. */
export const statusResponse = (error: ApiError): ApiResponse => ({
  kind: 'bytes',
  status: error.code,
  headers: { 'content-type': 'application/json' },
  body: new TextEncoder().encode(JSON.stringify(error.toStatus())),
})

async function answer(api: NodeApi, request: ApiRequest, log: Log): Promise<ApiResponse> {
  const asked = parseNodePath(request.path)
  const mustUpgrade = () => {
    if (request.upgrade === undefined) throw new ApiError('BadRequest', 'Upgrade request required')
  }
  switch (asked.type) {
    case 'logs': {
      const stop = new AbortController()
      const chunks = await api.containerLogs(asked.target, asked.query, stop.signal)
      return streamOf(200, { 'content-type': 'text/plain' }, chunks, () => stop.abort(), log)
    }
    case 'exec':
    case 'attach': {
      mustUpgrade()
      const { target, command, options } = asked
      const session =
        asked.type === 'exec' ? await api.exec(target, command, options) : await api.attach(target, options)
      return { kind: 'upgrade', headers: {}, upgraded: { type: 'session', options, session } }
    }
    case 'ports': {
      mustUpgrade()
      const { namespace, pod, ports } = asked
      const connect = (port: number) => api.portForward(namespace, pod, port)
      return { kind: 'upgrade', headers: {}, upgraded: { type: 'ports', ports, connect } }
    }
    case 'other':
      return otherPath(api, request, log)
  }
}

async function otherPath(api: NodeApi, request: ApiRequest, log: Log): Promise<ApiResponse> {
  const stop = new AbortController()
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(request.headers))
    if (value !== undefined && !name.startsWith(':')) headers[name] = value
  const body = request.method === 'GET' ? undefined : await request.body?.bytes(maxBodyBytes)
  const { method, path } = request
  const sent = { method, path, headers, signal: stop.signal }
  const response = await api.request(body === undefined ? sent : { ...sent, body })
  if (response.stream?.kind === 'bytes')
    return streamOf(response.status, response.headers, response.stream.chunks, () => stop.abort(), log)
  const bytes =
    response.body ?? new TextEncoder().encode(response.object === undefined ? '' : JSON.stringify(response.object))
  return { kind: 'bytes', status: response.status, headers: response.headers, body: bytes }
}

const streamOf = (
  status: number,
  headers: Readonly<Record<string, string>>,
  chunks: AsyncIterable<Uint8Array>,
  stop: () => void,
  log: Log,
): ApiResponse => ({ kind: 'stream', status, headers, open: (sink) => pumpInto(sink, chunks, stop, log) })
