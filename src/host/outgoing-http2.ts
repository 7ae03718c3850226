// Outgoing calls over HTTP/2: one session for each target, opened when first needed and again after it ended. Trailers
// come through, which is what gRPC says its status with.
import http2, { type ClientHttp2Session, type IncomingHttpHeaders } from 'node:http2'
import { Readable } from 'node:stream'
import { type Outgoing, OutgoingError, type OutgoingResponse, type OutgoingTarget } from '../ports/outgoing.ts'
import { failureOf, headersOf, tlsOf } from './outgoing-failure.ts'

const connectTimeoutMs = 10_000
/** A session without streams is closed after this long. */
const idleMs = 30_000

/** Fields that HTTP/2 has no use for, or its own words. */
const forbidden = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade', 'host'])

export function createOutgoingHttp2(): Pick<Outgoing, 'send'> & { close(): void } {
  const sessions = new Map<string, ClientHttp2Session>()
  function sessionOf(target: OutgoingTarget): ClientHttp2Session {
    const key = JSON.stringify(target)
    const known = sessions.get(key)
    if (known !== undefined && !known.closed && !known.destroyed) return known
    const { scheme, host, port } = target
    const at = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
    const session = http2.connect(`${scheme}://${at}`, scheme === 'https' ? tlsOf(target) : {})
    sessions.set(key, session)
    const forget = () => {
      if (sessions.get(key) === session) sessions.delete(key)
    }
    session.on('goaway', forget)
    session.on('close', forget)
    // The streams get the error; this listener only keeps it from ending the process.
    session.on('error', forget)
    const timer = setTimeout(
      () => session.destroy(new OutgoingError('timeout', `dial tcp ${at}: i/o timeout`)),
      connectTimeoutMs,
    )
    session.once('connect', () => clearTimeout(timer))
    session.once('close', () => clearTimeout(timer))
    session.setTimeout(idleMs, () => session.close())
    session.unref()
    return session
  }
  return {
    send: (target, { method, path, headers, body, signal }) =>
      new Promise<OutgoingResponse>((done, fail) => {
        const fields: http2.OutgoingHttpHeaders = Object.fromEntries(
          Object.entries(headers as http2.OutgoingHttpHeaders).filter(([name]) => !forbidden.has(name)),
        )
        const stream = sessionOf(target).request(
          {
            ...fields,
            ':method': method,
            ':path': path,
            ':scheme': target.scheme,
            ':authority': (headers['host'] as string | undefined) ?? target.host,
          },
          { endStream: body === undefined },
        )
        let trailers: IncomingHttpHeaders = {}
        const abort = () => stream.close(http2.constants.NGHTTP2_CANCEL)
        if (signal?.aborted) abort()
        signal?.addEventListener('abort', abort)
        stream.once('close', () => {
          signal?.removeEventListener('abort', abort)
          fail(failureOf(new Error('stream closed'), target, signal))
        })
        stream.on('error', (error) => fail(failureOf(error, target, signal)))
        stream.on('trailers', (fieldsAfter) => {
          trailers = fieldsAfter
        })
        stream.once('response', (answer) => {
          const { ':status': status = 0, ...rest } = answer
          done({
            status,
            headers: headersOf(rest),
            body: bodyOf(stream, target, signal),
            trailers: () => headersOf(trailers),
          })
        })
        if (body instanceof Uint8Array) stream.end(body)
        else if (body !== undefined) {
          const source = Readable.from(body, { objectMode: false })
          source.on('error', () => stream.close(http2.constants.NGHTTP2_CANCEL))
          stream.once('close', () => source.destroy())
          source.pipe(stream)
        }
      }),
    close() {
      for (const session of sessions.values()) session.destroy()
      sessions.clear()
    },
  }
}

async function* bodyOf(stream: Readable, target: OutgoingTarget, signal: AbortSignal | undefined) {
  try {
    for await (const chunk of stream) yield chunk as Uint8Array
  } catch (error) {
    throw failureOf(error, target, signal)
  } finally {
    stream.destroy()
  }
}
