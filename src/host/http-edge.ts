// The HttpEdge on Node's servers. One port speaks HTTP/1.1 and HTTP/2: by ALPN under TLS, by the connection preface in
// plain text (gRPC clients begin so). Bodies are streams both ways, so a slow receiver slows its sender.
import http, { type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse } from 'node:http'
import http2, { type Http2ServerRequest, type Http2ServerResponse } from 'node:http2'
import net, { type Socket } from 'node:net'
import { type Duplex, Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls'
import {
  type EdgeAnswer,
  type EdgeCertificate,
  type EdgeHeaders,
  type EdgeListenOptions,
  type EdgeRequest,
  type HttpEdge,
  PortTakenError,
} from '../ports/http-edge.ts'
import type { Log } from '../ports/log.ts'
import { socketStream } from './http-transport.ts'

export interface HttpEdgeOptions {
  readonly log: Log
  /** For names that no Ingress has a certificate for; without it their handshakes are refused. */
  readonly fallback?: () => EdgeCertificate
}
type Request = IncomingMessage | Http2ServerRequest
type Response = ServerResponse | Http2ServerResponse
type Handle = EdgeListenOptions['handle']

const closeGraceMs = 2000
const idleMs = 75_000
/** The first bytes of an HTTP/2 connection; no HTTP/1.1 method begins so. */
const preface = Buffer.from('PRI ')

function authorityOf(request: Request): string {
  const { host } = request.headers
  return ('authority' in request ? request.authority : undefined) || host || ''
}
function headersOf(headers: http.IncomingHttpHeaders): EdgeHeaders {
  const out: Record<string, string | readonly string[]> = {}
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined && !name.startsWith(':')) out[name] = value
  return out
}
function hasBody(request: Request): boolean {
  if (request.httpVersionMajor >= 2) return !(request as Http2ServerRequest).stream.endAfterHeaders
  const { 'content-length': length, 'transfer-encoding': transfer } = request.headers
  return (length !== undefined && length !== '0') || transfer !== undefined
}
const plainAddress = (address: string | undefined) => (address ?? '').replace(/^::ffff:/, '')

function requestOf(request: Request, gone: AbortSignal, upgrade?: string): EdgeRequest {
  const { socket } = request
  return {
    method: request.method ?? 'GET',
    scheme: socket instanceof TLSSocket || 'encrypted' in socket ? 'https' : 'http',
    authority: authorityOf(request),
    path: request.url ?? '/',
    httpVersion: request.httpVersionMajor >= 2 ? '2' : '1',
    headers: headersOf(request.headers),
    ...(hasBody(request) && upgrade === undefined ? { body: request } : {}),
    ...(upgrade === undefined ? {} : { upgrade }),
    sourceAddress: plainAddress(socket.remoteAddress),
    signal: gone,
  }
}

/** Boundary: whatever the handler throws is this request's failure alone. */
async function ask(handle: Handle, request: EdgeRequest, log: Log): Promise<EdgeAnswer> {
  try {
    return await handle(request)
  } catch (error) {
    log.error('a request failed in the ingress', { error: error instanceof Error ? error.message : String(error) })
    return { kind: 'response', status: 500, headers: {}, body: new TextEncoder().encode('500 internal error\n') }
  }
}
const mutable = (headers: EdgeHeaders): OutgoingHttpHeaders =>
  Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, typeof value === 'string' ? value : [...value]]),
  )

async function answer(handle: Handle, request: Request, response: Response, log: Log): Promise<void> {
  const gone = new AbortController()
  response.on('close', () => gone.abort())
  response.on('error', (error) => log.debug('an answer broke', { error: error.message }))
  request.on('error', (error: Error) => log.debug('a request broke', { error: error.message }))
  const found = await ask(handle, requestOf(request, gone.signal), log)
  if (found.kind === 'upgraded') return found.stream.destroy()
  const { body, trailers } = found
  if (response.destroyed) {
    if (!(body instanceof Uint8Array)) await body[Symbol.asyncIterator]().return?.()
    return
  }
  response.writeHead(found.status, mutable(found.headers))
  if (body instanceof Uint8Array) {
    response.end(request.method === 'HEAD' ? new Uint8Array() : body)
  } else await send(response, body, trailers, log)
  // What the backend did not take must not hold up the connection's other requests.
  request.resume()
}
async function send(
  response: Response,
  body: AsyncIterable<Uint8Array>,
  trailers: (() => EdgeHeaders) | undefined,
  log: Log,
): Promise<void> {
  if ('flushHeaders' in response) response.flushHeaders()
  try {
    await pipeline(Readable.from(body, { objectMode: false }), response as NodeJS.WritableStream, { end: false })
    const fields = mutable(trailers?.() ?? {})
    if (Object.keys(fields).length > 0) response.addTrailers(fields)
    response.end()
  } catch (error) {
    // The head is out: only a cut tells the client that this is not the whole.
    log.debug('an answer was cut', { error: error instanceof Error ? error.message : String(error) })
    if ('stream' in response) response.stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR)
    else response.destroy()
  }
}

async function upgrade(handle: Handle, request: IncomingMessage, socket: Duplex, head: Buffer, log: Log) {
  const gone = new AbortController()
  socket.on('close', () => gone.abort())
  socket.on('error', (error) => log.debug('an upgraded connection broke', { error: error.message }))
  const protocol = String(request.headers.upgrade ?? '')
  const found = await ask(handle, requestOf(request, gone.signal, protocol), log)
  const lines = (status: number, headers: EdgeHeaders) => {
    const fields = Object.entries(headers).flatMap(([name, value]) =>
      (typeof value === 'string' ? [value] : value).map((one) => `${name}: ${one}\r\n`),
    )
    return `HTTP/1.1 ${status} ${http.STATUS_CODES[status] ?? ''}\r\n${fields.join('')}\r\n`
  }
  const client = socketStream(socket, head)
  if (found.kind === 'response') {
    const { 'content-length': _length, ...headers } = found.headers
    socket.write(lines(found.status, { ...headers, connection: 'close' }))
    if (found.body instanceof Uint8Array) socket.end(found.body)
    else await pipeline(Readable.from(found.body, { objectMode: false }), socket).catch(() => socket.destroy())
    return
  }
  socket.write(lines(101, found.headers))
  const { stream } = found
  const copy = async (from: AsyncIterable<Uint8Array>, to: typeof stream) => {
    for await (const chunk of from) await to.write(chunk)
    await to.end()
  }
  try {
    await Promise.all([copy(client.readable, stream), copy(stream.readable, client)])
  } catch (error) {
    log.debug('an upgraded connection broke', { error: error instanceof Error ? error.message : String(error) })
  } finally {
    stream.destroy()
    socket.destroy()
  }
}

/** Contexts are made once for each certificate, and go with it. */
function contextsOf(log: Log): (certificate: EdgeCertificate) => SecureContext | undefined {
  const known = new WeakMap<EdgeCertificate, { readonly context: SecureContext | undefined }>()
  return (certificate) => {
    let entry = known.get(certificate)
    if (entry === undefined) {
      try {
        const { certificatePem: cert, keyPem: key } = certificate
        entry = { context: createSecureContext({ cert, key, minVersion: 'TLSv1.2' }) }
      } catch (error) {
        // A Secret with a broken certificate is its owner's fault; handshakes get the edge's own meanwhile.
        log.warn('a certificate cannot be used', { error: error instanceof Error ? error.message : String(error) })
        entry = { context: undefined }
      }
      known.set(certificate, entry)
    }
    return entry.context
  }
}

function secureServer(options: HttpEdgeOptions, certificateFor: NonNullable<EdgeListenOptions['certificateFor']>) {
  const { log, fallback } = options
  const contextOf = contextsOf(log)
  const own = fallback?.()
  return http2.createSecureServer({
    allowHTTP1: true,
    minVersion: 'TLSv1.2',
    ALPNProtocols: ['h2', 'http/1.1'],
    ...(own === undefined ? {} : { cert: own.certificatePem, key: own.keyPem }),
    SNICallback(serverName, done) {
      const certificate = certificateFor(serverName)
      const context = certificate === undefined ? undefined : contextOf(certificate)
      done(null, context ?? (own === undefined ? undefined : contextOf(own)))
    },
  })
}
/** Plain text: looks at the first bytes to see which HTTP it is. */
function plainServer(onStart: (server: http.Server, server2: http2.Http2Server) => void): net.Server {
  const server = http.createServer({ keepAliveTimeout: idleMs })
  const server2 = http2.createServer()
  onStart(server, server2)
  return net.createServer({ noDelay: true }, (socket) => {
    const begin = () => {
      const first = socket.read() as Buffer | null
      if (first === null) return void socket.once('readable', begin)
      socket.unshift(first)
      const isHttp2 = preface.subarray(0, first.length).equals(first.subarray(0, preface.length))
      ;(isHttp2 ? server2 : server).emit('connection', socket)
    }
    socket.setTimeout(idleMs, () => socket.destroy())
    socket.on('error', () => socket.destroy())
    socket.once('readable', begin)
  })
}

/** The host's edge. */
export function createHttpEdge(options: HttpEdgeOptions): HttpEdge {
  const { log } = options
  return {
    async listen({ port, certificateFor, handle }) {
      const sockets = new Set<Socket>()
      const attach = (server: http.Server | http2.Http2Server | http2.Http2SecureServer) => {
        server.on('request', (request: Request, response: Response) => void answer(handle, request, response, log))
        server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
          void upgrade(handle, request, socket, head, log)
        })
        server.on('sessionError', (error) => log.debug('a connection broke', { error: String(error) }))
        server.on('tlsClientError', (error) => log.debug('a handshake failed', { error: error.message }))
        server.setTimeout(0)
      }
      let server: net.Server
      if (certificateFor === undefined)
        server = plainServer((one, two) => {
          attach(one)
          attach(two)
        })
      else {
        const secure = secureServer(options, certificateFor)
        attach(secure)
        server = secure
      }
      server.on('connection', (socket) => {
        sockets.add(socket)
        socket.on('close', () => sockets.delete(socket))
      })
      await bind(server, port)
      server.on('error', (error) => log.error('a listening socket failed', { error: error.message }))
      return { port: (server.address() as net.AddressInfo).port, close: () => closeServer(server, sockets) }
    },
  }
}

/** Every address of the machine, IPv4 alone where it has no IPv6. */
async function bind(server: net.Server, port: number): Promise<void> {
  const open = (host: string) =>
    new Promise<void>((done, fail) => {
      server.once('error', fail)
      server.listen(port, host, () => {
        server.off('error', fail)
        done()
      })
    })
  try {
    await open('::').catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EAFNOSUPPORT' && error.code !== 'EADDRNOTAVAIL') throw error
      return open('0.0.0.0')
    })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') throw new PortTakenError(port, { cause: error })
    throw error
  }
}
const closeServer = (server: net.Server, sockets: ReadonlySet<Socket>): Promise<void> =>
  new Promise((done) => {
    const cut = setTimeout(() => {
      for (const socket of sockets) socket.destroy()
    }, closeGraceMs)
    cut.unref()
    server.close(() => {
      clearTimeout(cut)
      done()
    })
    if ('closeIdleConnections' in server) (server as http.Server).closeIdleConnections()
  })
