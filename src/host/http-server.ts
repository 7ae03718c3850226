// The API server's socket: TLS with HTTP/2 and HTTP/1.1 on one port. HTTP/2 goes through Node's stream API, without the
// compatibility layer of request and response objects; upgrades (exec, attach, port-forward, proxied WebSockets) come
// over HTTP/1.1 and are handed to host/streaming.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import {
  createSecureServer,
  type Http2SecureServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex, Readable, Writable } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { gzip, constants as zlib } from 'node:zlib'
import { ApiError } from '../api/machinery/errors.ts'
import { pulled } from '../apiserver/pulled.ts'
import type { ApiRequest, ApiResponse, RequestBody, Sink, StreamHandle } from '../apiserver/request.ts'
import type { Log } from '../ports/log.ts'
import { type CertificateReader, certificateReader, type ClientAuthorities } from './client-certificates.ts'
import { tunnelPath, tunnelProtocol } from './remote-node/tunnel-agent.ts'
import { serveStreamUpgrade, serveUpgrade } from './streaming/upgrade.ts'

export interface HttpServerOptions extends ClientAuthorities {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  readonly certificatePem: string
  readonly keyPem: string
  readonly handle: (request: ApiRequest) => Promise<ApiResponse>
  /** Takes over the connections that nodes open for the server's calls to them; without it they are refused. */
  readonly tunnel?: (nodeName: string, connection: Duplex) => void
  readonly log: Log
}
export interface HttpServer {
  readonly address: string
  readonly port: number
  /** Another certificate for the connections to come. */
  renew(certificatePem: string, keyPem: string): void
  /** Takes no more connections, lets requests finish for `graceMs`, then cuts what is left. */
  close(graceMs?: number): Promise<void>
}

/** Bytes in flight per stream and per connection before the receiver must answer. */
const streamWindow = 1 << 20
const connectionWindow = 1 << 24
/** Bodies from this size on are compressed for clients that take it, as upstream does. */
const gzipFrom = 128 * 1024
const methods = new Set(['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'])

/** Listens; rejects where the address cannot be had (EADDRINUSE, EACCES). */
export async function serveHttp(options: HttpServerOptions): Promise<HttpServer> {
  const { handle, log } = options
  const ca = options.frontProxyCa === undefined ? options.clientCa : `${options.clientCa}\n${options.frontProxyCa}`
  const certificateOf = certificateReader(options)
  const server = createSecureServer({
    allowHTTP1: true,
    key: options.keyPem,
    cert: options.certificatePem,
    ca,
    requestCert: true,
    rejectUnauthorized: false,
    minVersion: 'TLSv1.2',
    settings: { initialWindowSize: streamWindow, maxConcurrentStreams: 1000, enableConnectProtocol: false },
    // Node counts queued answers here; one large list must not make it refuse the connection's other requests.
    maxSessionMemory: 1000,
  })
  const sockets = new Set<Socket>()
  const sessions = new Set<ServerHttp2Session>()
  server.on('secureConnection', (socket) => {
    socket.setNoDelay(true)
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => socket.destroy())
  })
  server.on('session', (session) => {
    session.setLocalWindowSize(connectionWindow)
    sessions.add(session)
    session.on('close', () => sessions.delete(session))
    session.on('error', (error) => log.debug('connection broke', { error: error.message }))
  })
  server.on('tlsClientError', (error) => log.debug('TLS handshake failed', { error: error.message }))
  server.on('request', (request, response) => {
    const received = request as unknown as IncomingMessage
    void answerHttp1(
      handle,
      requestOf(received, undefined, certificateOf),
      response as unknown as ServerResponse,
      received,
      log,
    )
  })
  // Adding a request listener has put Node's compatibility layer onto HTTP/2 streams: ours stands there instead.
  server.removeAllListeners('stream')
  server.on('stream', (stream, headers, ...more: readonly unknown[]) => {
    void answerHttp2(handle, stream, headers, more[1], certificateOf, log)
  })
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (options.tunnel !== undefined && request.url === tunnelPath)
      openTunnel(options.tunnel, certificateOf, socket as TLSSocket, head)
    else void answerUpgrade(handle, request, socket, head, log, certificateOf)
  })
  server.setTimeout(0)
  await new Promise<void>((done, fail) => {
    server.once('error', fail)
    server.listen(options.port, options.host, () => {
      server.removeListener('error', fail)
      done()
    })
  })
  server.on('error', (error) => log.error('listening socket failed', { error: error.message }))
  const { address, port } = server.address() as AddressInfo
  return {
    address,
    port,
    renew: (cert, key) => server.setSecureContext({ cert, key, ca }),
    close: (graceMs = 2000) => closeServer(server, sockets, sessions, graceMs),
  }
}

/** Serves HTTP/1.1 on connections that come from elsewhere: the streams of a tunnel. Nobody is asked who they are. */
export function connectionServer(handle: HttpServerOptions['handle'], log: Log): (connection: Duplex) => void {
  const server = createServer((request, response) => {
    void answerHttp1(handle, requestOf(request, undefined, nobody), response, request, log)
  })
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    void answerUpgrade(handle, request, socket, head, log, nobody)
  })
  server.on('clientError', (_error, socket) => socket.destroy())
  server.setTimeout(0)
  return (connection) => void server.emit('connection', connection)
}

const nobody: CertificateReader = () => undefined

/** A node proves by its certificate that the tunnel is its own. */
function openTunnel(
  take: (nodeName: string, connection: Duplex) => void,
  certificateOf: CertificateReader,
  socket: TLSSocket,
  head: Buffer,
): void {
  const certificate = certificateOf(socket, socket)
  const isNode = typeof certificate === 'object' && certificate.isUser && certificate.groups.includes(nodesGroup)
  const known = isNode ? certificate.name : ''
  if (!known.startsWith(nodePrefix)) {
    socket.end('HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 0\r\n\r\n')
    return
  }
  const answer = `HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: ${tunnelProtocol}\r\n\r\n`
  // HTTP/2 takes the native handle over, and a write of ours that ends in its hands ends the process.
  socket.write(answer, () =>
    setImmediate(() => {
      if (head.length > 0) socket.unshift(head)
      if (!socket.destroyed) take(known.slice(nodePrefix.length), socket)
    }),
  )
}
const nodesGroup = 'system:nodes'
const nodePrefix = 'system:node:'

function closeServer(
  server: Http2SecureServer,
  sockets: ReadonlySet<Socket>,
  sessions: ReadonlySet<ServerHttp2Session>,
  graceMs: number,
): Promise<void> {
  return new Promise((done) => {
    const cut = setTimeout(() => {
      for (const session of sessions) session.destroy()
      for (const socket of sockets) socket.destroy()
    }, graceMs)
    server.close(() => {
      clearTimeout(cut)
      done()
    })
    for (const session of sessions) session.close()
    // Idle connections of HTTP/1.1 have nothing to finish.
    for (const socket of sockets) if ((socket as TLSSocket).alpnProtocol !== 'h2') socket.end()
  })
}

// HTTP/2

async function answerHttp2(
  handle: HttpServerOptions['handle'],
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  rawHeaders: unknown,
  certificateOf: CertificateReader,
  log: Log,
): Promise<void> {
  stream.on('error', (error) => log.debug('stream broke', { error: error.message }))
  const { session } = stream
  if (session === undefined) return
  const method = String(headers[':method'])
  if (!methods.has(method)) {
    stream.respond({ ':status': 405 }, { endStream: true })
    return
  }
  const certificate = certificateOf(session, session.socket as TLSSocket)
  const remote = session.socket.remoteAddress
  const response = await handle({
    method: method as ApiRequest['method'],
    path: String(headers[':path']),
    headers: headers as Record<string, string | undefined>,
    rawHeaders: rawHeaders as readonly string[],
    ...(stream.endAfterHeaders ? {} : { body: bodyOf(stream, headers) }),
    ...(certificate === undefined ? {} : { certificate }),
    ...(remote === undefined ? {} : { sourceAddress: remote }),
  })
  if (stream.destroyed || stream.closed) {
    abandon(response)
    return
  }
  switch (response.kind) {
    case 'bytes': {
      const compressible = sizeOf(response) >= gzipFrom && acceptsGzip(headers['accept-encoding'])
      const body = compressible ? await compressed(response) : response
      if (stream.destroyed || stream.closed) return
      const size = sizeOf(body)
      stream.respond(
        { ...body.headers, ':status': body.status, 'content-length': size },
        { endStream: size === 0 || method === 'HEAD' },
      )
      if (size > 0 && method !== 'HEAD') sendBody(stream, body)
      break
    }
    case 'stream':
      stream.respond({ ...response.headers, ':status': response.status })
      pipe(response.open, stream)
      break
    case 'object':
    case 'objects':
    case 'upgrade':
      abandon(response)
      stream.respond({ ':status': 500 }, { endStream: true })
  }
  // What the handler did not read must not hold up the connection's flow control.
  if (!stream.readableEnded) stream.resume()
}

/** Feeds a streamed answer into a socket stream, with back-pressure; a receiver that leaves ends the producer. */
function pipe(open: (sink: Sink<Uint8Array>) => StreamHandle, out: Writable & { destroyed: boolean }): void {
  const handle = open({
    write: (chunk) => out.write(chunk),
    end: () => out.end(),
  })
  out.on('drain', () => handle.drained())
  out.on('close', () => handle.close())
  if (out.destroyed) handle.close()
}

function abandon(response: ApiResponse): void {
  if (response.kind === 'stream') response.open({ write: () => true, end: () => {} }).close()
  if (response.kind === 'upgrade') {
    const { upgraded } = response
    if (upgraded.type === 'session') upgraded.session.close()
    if (upgraded.type === 'raw') upgraded.stream.destroy()
    response.ended?.()
  }
}

// HTTP/1.1

async function answerHttp1(
  handle: HttpServerOptions['handle'],
  asked: ApiRequest,
  response: ServerResponse,
  request: IncomingMessage,
  log: Log,
): Promise<void> {
  request.on('error', (error) => log.debug('request broke', { error: error.message }))
  response.on('error', (error) => log.debug('response broke', { error: error.message }))
  const answer = await handle(asked)
  if (response.destroyed) return abandon(answer)
  switch (answer.kind) {
    case 'bytes': {
      const compressible = sizeOf(answer) >= gzipFrom && acceptsGzip(request.headers['accept-encoding'])
      const body = compressible ? await compressed(answer) : answer
      response.writeHead(body.status, {
        ...body.headers,
        'content-length': sizeOf(body),
        // A body that nobody has read is still in the way of the next request.
        ...(request.complete || request.readableEnded ? {} : { connection: 'close' }),
      })
      if (request.method === 'HEAD') response.end()
      else sendBody(response, body)
      break
    }
    case 'stream':
      response.writeHead(answer.status, answer.headers)
      response.flushHeaders()
      pipe(answer.open, response)
      break
    case 'object':
    case 'objects':
    case 'upgrade':
      abandon(answer)
      response.writeHead(500).end()
  }
}

function requestOf(
  request: IncomingMessage,
  upgrade: string | undefined,
  certificateOf: CertificateReader,
): ApiRequest {
  const socket = request.socket as TLSSocket
  const certificate = certificateOf(socket, socket)
  const remote = socket.remoteAddress
  const { 'content-length': length, 'transfer-encoding': transfer } = request.headers
  const hasBody = (length !== undefined && length !== '0') || transfer !== undefined
  return {
    method: (request.method ?? 'GET') as ApiRequest['method'],
    path: request.url ?? '/',
    headers: request.headers as Record<string, string | undefined>,
    rawHeaders: request.rawHeaders,
    ...(hasBody ? { body: bodyOf(request, request.headers) } : {}),
    ...(certificate === undefined ? {} : { certificate }),
    ...(remote === undefined ? {} : { sourceAddress: remote }),
    ...(upgrade === undefined ? {} : { upgrade }),
  }
}

async function answerUpgrade(
  handle: HttpServerOptions['handle'],
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  log: Log,
  certificateOf: CertificateReader,
): Promise<void> {
  socket.on('error', (error) => log.debug('upgraded connection broke', { error: error.message }))
  const upgrade = { request, socket, head }
  const answer = await handle(requestOf(request, String(request.headers.upgrade ?? '').toLowerCase(), certificateOf))
  if (socket.destroyed) return abandon(answer)
  switch (answer.kind) {
    case 'upgrade':
      if (answer.ended !== undefined) socket.once('close', answer.ended)
      return serveUpgrade(upgrade, answer.headers, answer.upgraded)
    case 'stream': {
      const json = answer.headers['content-type']?.startsWith('application/json') === true
      const gone = new AbortController()
      const chunks = pulled(answer.open, gone.signal)
      return serveStreamUpgrade(upgrade, answer.headers, json ? 'lines' : 'bytes', chunks, () => gone.abort())
    }
    case 'bytes': {
      const lines = Object.entries({
        ...answer.headers,
        'content-length': String(sizeOf(answer)),
        connection: 'close',
      }).map(([name, value]) => `${name}: ${value}\r\n`)
      socket.write(`HTTP/1.1 ${answer.status} ${reasonPhrase(answer.status)}\r\n${lines.join('')}\r\n`)
      sendBody(socket, answer)
      return
    }
    case 'object':
    case 'objects':
      socket.destroy()
  }
}
const reasonPhrase = (status: number): string => (status < 400 ? 'OK' : status < 500 ? 'Refused' : 'Failed')

// Bodies

function bodyOf(source: Readable, headers: IncomingHttpHeaders): RequestBody {
  let whole: Promise<Uint8Array> | undefined
  return {
    bytes: (limitBytes) => (whole ??= collect(limitBytes)),
    stream: () => source as AsyncIterable<Uint8Array>,
  }

  function collect(limitBytes: number): Promise<Uint8Array> {
    const length = Number(headers['content-length'] ?? 0)
    if (length > limitBytes) return Promise.reject(tooLarge(limitBytes))
    return new Promise((done, fail) => {
      const chunks: Buffer[] = []
      let size = 0
      let settled = false
      const cut = () => {
        if (!settled) fail(new ApiError('BadRequest', 'the request was cut off before its end'))
        settled = true
      }
      source.on('data', (chunk: Buffer) => {
        size += chunk.length
        if (settled) return
        if (size <= limitBytes) chunks.push(chunk)
        else {
          settled = true
          fail(tooLarge(limitBytes))
        }
      })
      source.on('end', () => {
        if (settled) return
        settled = true
        done(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks))
      })
      source.on('close', cut)
      source.on('error', cut)
    })
  }
}
const tooLarge = (limitBytes: number) =>
  new ApiError('RequestEntityTooLarge', `Request entity too large: limit is ${limitBytes}`)

type Bytes = Extract<ApiResponse, { kind: 'bytes' }>
function sizeOf({ body, rest }: Bytes): number {
  return body.length + (rest === undefined ? 0 : rest.length)
}
/** The body in one or two writes: long lists are kept in memory apart from their heads. */
function sendBody(out: Writable, { body, rest }: Bytes): void {
  if (rest !== undefined) {
    out.write(body)
    out.end(rest)
  } else out.end(body)
}
const acceptsGzip = (accept: string | string[] | undefined): boolean =>
  accept !== undefined && /\bgzip\b/.test(String(accept))

function compressed({ body, rest, ...response }: Bytes): Promise<Bytes> {
  return new Promise((done, fail) => {
    const whole = rest === undefined ? body : Buffer.concat([body, rest])
    gzip(whole, { level: zlib.Z_BEST_SPEED }, (error, packed) => {
      if (error !== null) fail(error)
      else done({ ...response, headers: { ...response.headers, 'content-encoding': 'gzip' }, body: packed })
    })
  })
}
