// A node of another machine as a NodeApi: HTTP/1.1 over a stream of the node's own tunnel, SPDY for sessions and ports. A
// failure that the node tells as a Status is thrown as that ApiError.
import http from 'node:http'
import type { Duplex } from 'node:stream'
import { ApiError } from '../../api/machinery/errors.ts'
import { errorFromStatus } from '../../client/answers.ts'
import type { NodeApi } from '../../ports/node-api.ts'
import type { ByteStream, TransportRequest, TransportResponse } from '../../ports/transport.ts'
import { byteStreamOf } from '../streaming/byte-stream.ts'
import { openPorts, openSession, spdyUpgradeHeaders } from '../streaming/client.ts'
import { portForwardVersion, remoteCommandVersions } from '../streaming/serve-spdy.ts'
import { logPath, portForwardPath, sessionPath } from './paths.ts'

/** Opens a connection that ends in the node's HTTP server. Rejects with ApiError when there is none. */
export type ConnectNode = () => Promise<Duplex>

interface Answer {
  readonly incoming: http.IncomingMessage
  readonly upgraded: ByteStream | undefined
}

export function httpNodeApi(nodeName: string, connect: ConnectNode): NodeApi {
  const failed = (error: unknown): ApiError =>
    error instanceof ApiError
      ? error
      : new ApiError(
          'InternalError',
          `error dialing node "${nodeName}": ${error instanceof Error ? error.message : String(error)}`,
        )

  async function ask(request: TransportRequest): Promise<Answer> {
    const socket = await connect()
    return new Promise<Answer>((done, fail) => {
      const outgoing = http.request({
        method: request.method,
        path: request.path,
        headers: { host: nodeName, ...request.headers },
        createConnection: () => socket as never,
      })
      const abort = () => outgoing.destroy(new Error('aborted'))
      if (request.signal?.aborted === true) abort()
      request.signal?.addEventListener('abort', abort, { once: true })
      outgoing.once('close', () => request.signal?.removeEventListener('abort', abort))
      outgoing.on('error', (error) => fail(failed(error)))
      outgoing.once('response', (incoming) => done({ incoming, upgraded: undefined }))
      outgoing.once('upgrade', (incoming, upgradedSocket, head) =>
        done({ incoming, upgraded: byteStreamOf(upgradedSocket, head) }),
      )
      outgoing.end(request.body)
    })
  }
  /** Leaves HTTP for SPDY; throws what the node answered instead. */
  async function upgrade(path: string, protocol: string): Promise<ByteStream> {
    const { incoming, upgraded } = await ask({ method: 'POST', path, headers: spdyUpgradeHeaders(protocol) })
    if (upgraded !== undefined) return upgraded
    throw await errorOf(incoming)
  }
  const protocol = remoteCommandVersions[0] ?? ''

  return {
    async containerLogs(target, query, signal) {
      const { incoming } = await ask({ method: 'GET', path: logPath(target, query), signal })
      if (incoming.statusCode !== 200) throw await errorOf(incoming)
      return bytesOf(incoming, signal)
    },
    async exec(target, command, options) {
      return openSession(await upgrade(sessionPath('exec', target, command, options), protocol), options)
    },
    async attach(target, options) {
      return openSession(await upgrade(sessionPath('attach', target, [], options), protocol), options)
    },
    async portForward(namespace, pod, port) {
      const forwarder = openPorts(await upgrade(portForwardPath(namespace, pod), portForwardVersion))
      return closing(await forwarder.connect(port), () => forwarder.close())
    },
    async request(request): Promise<TransportResponse> {
      const { incoming } = await ask(withBody(request))
      const headers: Record<string, string> = {}
      for (const [name, value] of Object.entries(incoming.headers))
        if (value !== undefined && name !== 'connection' && name !== 'transfer-encoding')
          headers[name] = Array.isArray(value) ? value.join(', ') : value
      const chunks = bytesOf(incoming, request.signal)
      return { status: incoming.statusCode ?? 502, headers, stream: { kind: 'bytes', chunks } }
    },
  }
}

function withBody(request: TransportRequest): TransportRequest {
  const { object, headers = {}, ...rest } = request
  // The connection is ours, not the client's.
  const { host: _host, connection: _connection, 'content-length': _length, ...kept } = headers
  const own = Object.fromEntries(Object.entries(kept).filter(([name]) => !name.startsWith(':')))
  if (object === undefined) return { ...rest, headers: own }
  const body = new TextEncoder().encode(JSON.stringify(object))
  return { ...rest, headers: { 'content-type': 'application/json', ...own }, body }
}

async function* bytesOf(incoming: http.IncomingMessage, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of incoming) yield chunk as Uint8Array
  } catch (error) {
    if (signal?.aborted !== true) throw error
  } finally {
    incoming.destroy()
  }
}

async function errorOf(incoming: http.IncomingMessage): Promise<ApiError> {
  const chunks: Uint8Array[] = []
  for await (const chunk of incoming) chunks.push(chunk as Uint8Array)
  const text = Buffer.concat(chunks).toString('utf8')
  const code = incoming.statusCode ?? 500
  if (!(incoming.headers['content-type'] ?? '').includes('json')) return errorFromStatus(text, code)
  return errorFromStatus(JSON.parse(text), code)
}

/** Calls `close` when the stream has ended both ways or was destroyed. */
function closing(stream: ByteStream, close: () => void): ByteStream {
  let open = 2
  const oneEnded = () => {
    open -= 1
    if (open === 0) close()
  }
  async function* readable() {
    try {
      yield* stream.readable
    } finally {
      oneEnded()
    }
  }
  return {
    readable: readable(),
    write: (bytes) => stream.write(bytes),
    async end() {
      await stream.end()
      oneEnded()
    },
    destroy(error) {
      stream.destroy(error)
      close()
    },
  }
}
