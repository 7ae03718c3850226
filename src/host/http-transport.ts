// The HTTP carrier of the Transport port: HTTP/2 over TLS where the server speaks it, HTTP/1.1 otherwise and for
// upgrades. One connection is kept and pinged; when it breaks, the next request opens a new one.
import http from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import type { Duplex, Readable } from 'node:stream'
import tls from 'node:tls'
import {
  type ByteStream,
  type Transport,
  TransportError,
  type TransportRequest,
  type TransportResponse,
  type UpgradeResult,
} from '../ports/transport.ts'

export interface HttpTransportOptions {
  /** https://HOST:PORT or http://HOST:PORT; a path is put before every request's. */
  readonly url: string
  /** PEM. Default: the system's roots. */
  readonly ca?: string | Uint8Array
  /** PEM of a client certificate and its key. */
  readonly cert?: string | Uint8Array
  readonly key?: string | Uint8Array
  /** Instead of `cert` and `key`: asked for every connection, for certificates that are renewed. */
  readonly credentials?: () => { readonly certificatePem: string; readonly keyPem: string }
  /** Name to verify the server's certificate against, when it is not the URL's host. */
  readonly serverName?: string
  /** Accept any certificate. */
  readonly insecure?: boolean
  /** Bearer token, asked for every request. */
  readonly token?: () => string | undefined | Promise<string | undefined>
  /** Time for connecting and the TLS handshake. Default 10 s. */
  readonly connectTimeoutMs?: number
  /** An idle or silent connection is pinged this often; one without an answer is given up. Default 15 s. */
  readonly pingIntervalMs?: number
}

type Headers = Readonly<Record<string, string>>
type Carrier =
  | { readonly protocol: 'h2'; readonly session: http2.ClientHttp2Session }
  | { readonly protocol: 'h1'; readonly agent: http.Agent }

const broken = (what: string, cause: unknown) =>
  cause instanceof TransportError
    ? cause
    : new TransportError(`${what}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })

/** True where the server surely did not begin to work on the request, so that sending it again is safe. */
function neverProcessed(error: unknown): boolean {
  const code = (error as { code?: string } | undefined)?.code
  const message = (error as Error | undefined)?.message ?? ''
  return (
    code === 'ERR_HTTP2_GOAWAY_SESSION' || code === 'ERR_HTTP2_INVALID_SESSION' || message.includes('REFUSED_STREAM')
  )
}

async function* readChunks(
  stream: Readable,
  what: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of stream) yield chunk as Uint8Array
  } catch (error) {
    if (!signal?.aborted) throw broken(what, error)
  }
}
async function collect(stream: Readable): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  for await (const chunk of stream) chunks.push(chunk as Uint8Array)
  return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks)
}
function plainHeaders(headers: Readonly<Record<string, string | string[] | number | undefined>>): Headers {
  const out: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined && !name.startsWith(':'))
      out[name] = Array.isArray(value) ? value.join(', ') : String(value)
  return out
}

/** An answer with a known length is collected; one without (a watch, a log, a long list) is handed on as a stream. */
async function answerOf(
  status: number,
  headers: Headers,
  stream: Readable,
  request: TransportRequest,
): Promise<TransportResponse> {
  const empty = request.method === 'HEAD' || status === 204 || status === 304
  if (!empty && headers['content-length'] === undefined) {
    const what = `${request.method} ${request.path}`
    return { status, headers, stream: { kind: 'bytes', chunks: readChunks(stream, what, request.signal) } }
  }
  return { status, headers, body: await collect(stream) }
}

/** A socket as the port's ByteStream; `head` are bytes that were read with the upgrade answer. */
export function socketStream(socket: Duplex, head?: Uint8Array): ByteStream {
  if (head !== undefined && head.length > 0) socket.unshift(head)
  // The reader or writer gets the error; this listener only keeps it from ending the process.
  socket.on('error', () => undefined)
  return {
    readable: { [Symbol.asyncIterator]: () => socket.iterator({ destroyOnReturn: false })[Symbol.asyncIterator]() },
    write: (bytes) =>
      new Promise((done, fail) => socket.write(bytes, (error) => (error ? fail(broken('write', error)) : done()))),
    end: () => new Promise((done) => socket.end(done)),
    destroy: (error) => void socket.destroy(error),
  }
}

/** A Transport to one server. `close` ends its connections and every open stream. */
export function createHttpTransport(options: HttpTransportOptions): Transport {
  const base = new URL(options.url)
  const secure = base.protocol === 'https:'
  const prefix = base.pathname === '/' ? '' : base.pathname.replace(/\/$/, '')
  const host = base.hostname.replace(/^\[|\]$/g, '')
  const port = Number(base.port || (secure ? 443 : 80))
  const pingIntervalMs = options.pingIntervalMs ?? 15_000
  const fixedTls: tls.ConnectionOptions = {
    host,
    port,
    rejectUnauthorized: !options.insecure,
    ...(options.ca === undefined ? {} : { ca: Buffer.from(options.ca) }),
    ...(options.cert === undefined ? {} : { cert: Buffer.from(options.cert) }),
    ...(options.key === undefined ? {} : { key: Buffer.from(options.key) }),
    ...(options.serverName === undefined
      ? /[a-z]/i.test(host)
        ? { servername: host }
        : {}
      : { servername: options.serverName }),
  }
  const tlsOptions = (): tls.ConnectionOptions => {
    const own = options.credentials?.()
    return own === undefined ? fixedTls : { ...fixedTls, cert: own.certificatePem, key: own.keyPem }
  }
  let carrier: Promise<Carrier> | undefined
  let closed = false
  const open = new Set<{ destroy(): void }>()

  function connectTls(protocols: readonly string[]): Promise<tls.TLSSocket> {
    return new Promise((done, fail) => {
      const socket = tls.connect({ ...tlsOptions(), ALPNProtocols: [...protocols] })
      const timer = setTimeout(
        () => socket.destroy(new Error('timeout while connecting')),
        options.connectTimeoutMs ?? 10_000,
      )
      const failed = (error: Error) => {
        clearTimeout(timer)
        fail(broken(`connect to ${base.host}`, error))
      }
      socket.setNoDelay(true)
      socket.once('error', failed)
      socket.once('secureConnect', () => {
        clearTimeout(timer)
        socket.off('error', failed)
        done(socket)
      })
    })
  }
  /** Gives a silent connection up: a peer that vanished sends no reset. */
  function keepAlive(session: http2.ClientHttp2Session): void {
    let answered = true
    const timer = setInterval(() => {
      if (session.destroyed) return clearInterval(timer)
      if (!answered) return session.destroy(new Error('the server answers no ping'))
      answered = false
      session.ping((error) => {
        answered = error === null
      })
    }, pingIntervalMs)
    timer.unref()
    session.once('close', () => clearInterval(timer))
  }
  async function connect(): Promise<Carrier> {
    if (!secure) return { protocol: 'h1', agent: new http.Agent({ keepAlive: true }) }
    const socket = await connectTls(['h2', 'http/1.1'])
    if (socket.alpnProtocol !== 'h2') {
      socket.destroy()
      const { host: _host, port: _port, ...rest } = tlsOptions()
      return { protocol: 'h1', agent: new https.Agent({ keepAlive: true, ...rest }) }
    }
    const session = http2.connect(base.origin, {
      createConnection: () => socket,
      settings: { initialWindowSize: 1 << 20, enablePush: false },
    })
    session.setLocalWindowSize(16 << 20)
    session.setMaxListeners(0)
    const forget = () => {
      if (current === carrier) carrier = undefined
      open.delete(session)
    }
    const current = carrier
    session.once('close', forget)
    session.once('goaway', forget)
    // Streams report the failure to their own callers.
    session.on('error', forget)
    open.add(session)
    keepAlive(session)
    if (closed) session.destroy()
    return { protocol: 'h2', session }
  }
  function getCarrier(): Promise<Carrier> {
    if (closed) return Promise.reject(new TransportError('the transport is closed'))
    if (carrier === undefined) {
      const attempt = connect()
      carrier = attempt
      attempt.catch(() => {
        if (carrier === attempt) carrier = undefined
      })
    }
    return carrier
  }
  async function headersOf(request: TransportRequest, body: Uint8Array | undefined): Promise<Record<string, string>> {
    const headers: Record<string, string> = { ...request.headers }
    const token = await options.token?.()
    if (token !== undefined && headers['authorization'] === undefined) headers['authorization'] = `Bearer ${token}`
    if (body !== undefined) {
      headers['content-type'] ??= 'application/json'
      headers['content-length'] = String(body.length)
    }
    return headers
  }

  function sendH2(
    session: http2.ClientHttp2Session,
    request: TransportRequest,
    headers: Headers,
    body: Uint8Array | undefined,
  ): Promise<TransportResponse> {
    return new Promise((done, fail) => {
      const stream = session.request(
        { ...headers, ':method': request.method, ':path': prefix + request.path },
        { endStream: body === undefined },
      )
      const abort = () => stream.close(http2.constants.NGHTTP2_CANCEL)
      if (request.signal?.aborted) abort()
      request.signal?.addEventListener('abort', abort)
      stream.once('close', () => {
        request.signal?.removeEventListener('abort', abort)
        fail(new TransportError(`${request.method} ${request.path}: the stream was closed without an answer`))
      })
      stream.on('error', fail)
      stream.once('response', (received) => {
        done(answerOf(received[':status'] ?? 0, plainHeaders(received), stream, request))
      })
      if (body !== undefined) stream.end(body)
    })
  }
  function requestH1(request: TransportRequest, headers: Headers, agent: http.Agent | false): http.ClientRequest {
    const common: https.RequestOptions = {
      host,
      port,
      method: request.method,
      path: prefix + request.path,
      headers,
      agent,
    }
    return secure ? https.request({ ...tlsOptions(), ...common }) : http.request(common)
  }
  function sendH1(
    agent: http.Agent,
    request: TransportRequest,
    headers: Headers,
    body: Uint8Array | undefined,
  ): Promise<TransportResponse> {
    return new Promise((done, fail) => {
      const outgoing = requestH1(request, headers, agent)
      const abort = () => outgoing.destroy(new Error('aborted'))
      if (request.signal?.aborted) abort()
      request.signal?.addEventListener('abort', abort)
      outgoing.once('close', () => request.signal?.removeEventListener('abort', abort))
      outgoing.on('error', fail)
      outgoing.once('response', (incoming) => {
        done(answerOf(incoming.statusCode ?? 0, plainHeaders(incoming.headers), incoming, request))
      })
      outgoing.end(body)
    })
  }

  const refused = async (incoming: http.IncomingMessage, request: TransportRequest): Promise<UpgradeResult> => ({
    ok: false,
    response: await answerOf(incoming.statusCode ?? 0, plainHeaders(incoming.headers), incoming, request),
  })

  return {
    async send(request) {
      const body =
        request.object === undefined ? request.body : new TextEncoder().encode(JSON.stringify(request.object))
      const what = `${request.method} ${request.path}`
      for (let attempt = 1; ; attempt++) {
        try {
          const headers = await headersOf(request, body)
          const to = await getCarrier()
          return to.protocol === 'h2'
            ? await sendH2(to.session, request, headers, body)
            : await sendH1(to.agent, request, headers, body)
        } catch (error) {
          if (attempt < 3 && neverProcessed(error) && !request.signal?.aborted) {
            carrier = undefined
            continue
          }
          throw broken(what, error)
        }
      }
    },
    async upgrade(request): Promise<UpgradeResult> {
      const headers = await headersOf(request, undefined)
      return new Promise((done, fail) => {
        const outgoing = requestH1(request, { ...headers, connection: 'Upgrade' }, false)
        const what = `${request.method} ${request.path}`
        request.signal?.addEventListener('abort', () => outgoing.destroy(new Error('aborted')), { once: true })
        outgoing.on('error', (error) => fail(broken(what, error)))
        outgoing.once('response', (incoming) => {
          done(refused(incoming, request))
        })
        outgoing.once('upgrade', (incoming, socket, head) => {
          open.add(socket)
          socket.once('close', () => open.delete(socket))
          done({ ok: true, stream: socketStream(socket, head), headers: plainHeaders(incoming.headers) })
        })
        outgoing.end()
      })
    },
    close() {
      closed = true
      for (const connection of open) connection.destroy()
      void carrier?.then(
        (to) => to.protocol === 'h1' && to.agent.destroy(),
        () => undefined,
      )
      carrier = undefined
    },
  }
}
