// Calls of the API server to webhooks, aggregated servers and proxied targets, over Node's HTTP/1.1 client. Connections
// are kept per target for a while; a kept connection that the other side closed at the wrong moment is replaced once.
import http from 'node:http'
import https from 'node:https'
import type { Duplex } from 'node:stream'
import { Readable } from 'node:stream'
import {
  type Outgoing,
  OutgoingError,
  type OutgoingRequest,
  type OutgoingResponse,
  type OutgoingTarget,
  type OutgoingUpgrade,
} from '../ports/outgoing.ts'
import { socketStream } from './http-transport.ts'

const keepMs = 30_000
const connectTimeoutMs = 10_000
/** Agents kept; one for each target and set of authorities. */
const maxAgents = 256

type Kind = OutgoingError['kind']
const words: Readonly<Record<string, readonly [Kind, string]>> = {
  ECONNREFUSED: ['refused', 'connect: connection refused'],
  ETIMEDOUT: ['timeout', 'i/o timeout'],
  EHOSTUNREACH: ['unreachable', 'connect: no route to host'],
  ENETUNREACH: ['unreachable', 'connect: network is unreachable'],
  ECONNRESET: ['broken', 'read: connection reset by peer'],
  EPIPE: ['broken', 'write: broken pipe'],
  ENOTFOUND: ['unreachable', 'no such host'],
  EAI_AGAIN: ['unreachable', 'no such host'],
}
const certificateWords: Readonly<Record<string, string>> = {
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'x509: certificate signed by unknown authority',
  UNABLE_TO_GET_ISSUER_CERT: 'x509: certificate signed by unknown authority',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'x509: certificate signed by unknown authority',
  SELF_SIGNED_CERT_IN_CHAIN: 'x509: certificate signed by unknown authority',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'x509: certificate signed by unknown authority',
  CERT_SIGNATURE_FAILURE: 'x509: certificate signed by unknown authority',
  CERT_HAS_EXPIRED: 'x509: certificate has expired or is not yet valid',
  CERT_NOT_YET_VALID: 'x509: certificate has expired or is not yet valid',
}

function failureOf(error: unknown, { host, port }: OutgoingTarget, signal: AbortSignal | undefined): OutgoingError {
  if (error instanceof OutgoingError) return error
  if (signal?.aborted) return new OutgoingError('aborted', 'context canceled', { cause: error })
  const { code = '', errors, reason } = error as { code?: string; errors?: readonly unknown[]; reason?: string }
  // A name with several addresses fails with one error for each.
  if (errors?.[0] !== undefined) return failureOf(errors[0], { host, port, scheme: 'https' }, signal)
  const at = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
  const known = words[code]
  if (known !== undefined) {
    const [kind, text] = known
    const head =
      kind === 'broken'
        ? ''
        : code.startsWith('E') && text === 'no such host'
          ? `dial tcp: lookup ${host}: `
          : `dial tcp ${at}: `
    return new OutgoingError(kind, `${head}${text}`, { cause: error })
  }
  const certificate = certificateWords[code]
  if (certificate !== undefined) {
    return new OutgoingError('certificate', `tls: failed to verify certificate: ${certificate}`, { cause: error })
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return new OutgoingError('certificate', `tls: failed to verify certificate: x509: ${reason ?? 'wrong name'}`, {
      cause: error,
    })
  }
  if (error instanceof Error && /socket hang up/.test(error.message)) {
    return new OutgoingError('broken', 'EOF', { cause: error })
  }
  if (/wrong version number|packet length too long/i.test(String(error))) {
    return new OutgoingError('broken', 'http: server gave HTTP response to HTTPS client', { cause: error })
  }
  return new OutgoingError('broken', error instanceof Error ? error.message : String(error), { cause: error })
}

const tlsOf = (target: OutgoingTarget): Pick<https.RequestOptions, 'servername' | 'ca' | 'rejectUnauthorized'> => {
  const name = target.serverName ?? target.host
  return {
    ...(/^[\d.]+$|:/.test(name) ? {} : { servername: name }),
    ...(target.caPem === undefined ? {} : { ca: target.caPem }),
    ...(target.insecure === true ? { rejectUnauthorized: false } : {}),
  }
}

function headersOf(headers: http.IncomingHttpHeaders): Record<string, string | readonly string[]> {
  const out: Record<string, string | readonly string[]> = {}
  for (const [name, value] of Object.entries(headers)) if (value !== undefined) out[name] = value
  return out
}
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
})

/** The host's outgoing calls. */
export function createOutgoing(): Outgoing & { close(): void } {
  const agents = new Map<string, http.Agent>()
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
    const options: https.RequestOptions = {
      host,
      port,
      method: request.method,
      path: request.path,
      headers: { ...headers, ...sized },
      agent,
      ...(scheme === 'https' ? tlsOf(target) : {}),
    }
    const outgoing = scheme === 'https' ? https.request(options) : http.request(options)
    const abort = () => outgoing.destroy(new OutgoingError('aborted', 'context canceled'))
    if (request.signal?.aborted) abort()
    request.signal?.addEventListener('abort', abort)
    outgoing.once('close', () => request.signal?.removeEventListener('abort', abort))
    outgoing.once('socket', (socket) => {
      socket.setNoDelay(true)
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
    },
  }
}
