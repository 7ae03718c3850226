// Calls of the API server to webhooks, aggregated servers and proxied targets, and of the ingress to its backends, over
// Node's HTTP/1.1 client (HTTP/2 in the file beside). Connections
// are kept per target for a while; a kept connection that the other side closed at the wrong moment is replaced once.
import http from 'node:http'
import https from 'node:https'
import { Socket } from 'node:net'
import { type Duplex, Readable } from 'node:stream'
import tls from 'node:tls'
import {
  type Outgoing,
  OutgoingError,
  type OutgoingRequest,
  type OutgoingResponse,
  type OutgoingTarget,
  type OutgoingUpgrade,
} from '../ports/outgoing.ts'
import { socketStream } from './http-transport.ts'
import { failureOf, headersOf, type Kind, tlsOf } from './outgoing-failure.ts'
import { createOutgoingHttp2 } from './outgoing-http2.ts'

const keepMs = 30_000
const connectTimeoutMs = 10_000
/** Agents kept; one for each target and set of authorities. */
const maxAgents = 256

async function* bodyOf(incoming: http.IncomingMessage, target: OutgoingTarget, signal: AbortSignal | undefined) {
  try {
    for await (const chunk of incoming) yield chunk as Uint8Array
  } catch (error) {
    throw failureOf(error, target, signal)
  } finally {
    incoming.destroy()
  }
}
const responseOf = (
  incoming: http.IncomingMessage,
  target: OutgoingTarget,
  signal: AbortSignal | undefined,
): OutgoingResponse => ({
  status: incoming.statusCode ?? 0,
  headers: headersOf(incoming.headers),
  body: bodyOf(incoming, target, signal),
  trailers: () => headersOf(incoming.trailers),
})

type Created = (error: Error | null, socket: Duplex) => void
/** A connection that somebody else opens, with TLS on it where the target wants that. */
const over =
  (opening: Promise<Duplex>, target: OutgoingTarget) =>
  (_options: unknown, created: Created): undefined => {
    opening.then(
      (socket) => created(null, target.scheme === 'https' ? tls.connect({ socket, ...tlsOf(target) }) : socket),
      (error: Error) => created(error, undefined as never),
    )
    return undefined
  }

export interface OutgoingOptions {
  /** Another way to an address than the machine's own routes; undefined where there is none. */
  readonly dial?: (host: string, port: number) => Promise<Duplex> | undefined
}

/** The host's outgoing calls. */
export function createOutgoing(settings: OutgoingOptions = {}): Outgoing & { close(): void } {
  const agents = new Map<string, http.Agent>()
  const http2 = createOutgoingHttp2()
  function agentOf(target: OutgoingTarget): http.Agent {
    const key = JSON.stringify(target)
    let agent = agents.get(key)
    if (agent === undefined) {
      const options = { keepAlive: true, maxFreeSockets: 8, timeout: keepMs, scheduling: 'lifo' } as const
      agent = target.scheme === 'https' ? new https.Agent({ ...options, ...tlsOf(target) }) : new http.Agent(options)
      const oldest = agents.keys().next()
      if (agents.size >= maxAgents && !oldest.done) {
        agents.get(oldest.value)?.destroy()
        agents.delete(oldest.value)
      }
      agents.set(key, agent)
    }
    return agent
  }

  function open(target: OutgoingTarget, request: OutgoingRequest, agent: http.Agent | false): http.ClientRequest {
    const { scheme, host, port } = target
    const { body, headers } = request
    const sized = body instanceof Uint8Array ? { 'content-length': String(body.length) } : {}
    const detour = settings.dial?.(host, port)
    const options: https.RequestOptions = {
      host,
      port,
      method: request.method,
      path: request.path,
      headers: { ...(headers as http.OutgoingHttpHeaders), ...sized },
      ...(detour === undefined ? { agent } : { createConnection: over(detour, target) }),
      ...(scheme === 'https' ? tlsOf(target) : {}),
    }
    const outgoing = scheme === 'https' ? https.request(options) : http.request(options)
    const abort = () => outgoing.destroy(new OutgoingError('aborted', 'context canceled'))
    if (request.signal?.aborted) abort()
    request.signal?.addEventListener('abort', abort)
    outgoing.once('close', () => request.signal?.removeEventListener('abort', abort))
    outgoing.once('socket', (socket) => {
      // A stream of a tunnel has no such switch.
      if (socket instanceof Socket) socket.setNoDelay(true)
      if (!socket.connecting) return
      const timer = setTimeout(() => {
        const at = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
        outgoing.destroy(new OutgoingError('timeout', `dial tcp ${at}: i/o timeout`))
      }, connectTimeoutMs)
      for (const event of ['connect', 'close'] as const) socket.once(event, () => clearTimeout(timer))
    })
    return outgoing
  }

  function sendOnce(target: OutgoingTarget, request: OutgoingRequest, agent: http.Agent | false) {
    return new Promise<OutgoingResponse>((done, fail) => {
      const outgoing = open(target, request, agent)
      outgoing.on('error', (error) =>
        fail(Object.assign(failureOf(error, target, request.signal), { reused: outgoing.reusedSocket })),
      )
      outgoing.once('response', (incoming) => done(responseOf(incoming, target, request.signal)))
      const { body } = request
      if (body === undefined || body instanceof Uint8Array) outgoing.end(body)
      else {
        const source = Readable.from(body)
        source.on('error', (error) => outgoing.destroy(error))
        outgoing.once('close', () => source.destroy())
        source.pipe(outgoing)
      }
    })
  }

  return {
    async send(target, request) {
      if (target.http2 === true) return http2.send(target, request)
      try {
        return await sendOnce(target, request, agentOf(target))
      } catch (error) {
        const { reused, kind } = error as { reused?: boolean; kind?: Kind }
        const again = request.body === undefined || request.body instanceof Uint8Array
        if (reused === true && kind === 'broken' && again && !request.signal?.aborted) {
          return sendOnce(target, request, false)
        }
        throw error
      }
    },
    upgrade(target, request) {
      return new Promise<OutgoingUpgrade>((done, fail) => {
        const outgoing = open(target, request, false)
        outgoing.on('error', (error) => fail(failureOf(error, target, request.signal)))
        outgoing.once('response', (incoming) =>
          done({ ok: false, response: responseOf(incoming, target, request.signal) }),
        )
        outgoing.once('upgrade', (incoming, socket: Duplex, head: Uint8Array) => {
          done({ ok: true, headers: headersOf(incoming.headers), stream: socketStream(socket, head) })
        })
        outgoing.end()
      })
    },
    close() {
      for (const agent of agents.values()) agent.destroy()
      agents.clear()
      http2.close()
    },
  }
}
