// Leaving HTTP: answers an upgrade request with 101 and carries what the API server handed out (a session, ports, raw
// bytes, a stream) in the protocol that the client asked for. The `ws` package refuses subprotocol names with a slash, so
// the header is taken away before its handshake and put back into the answer.
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import type { UpgradedStream } from '../../apiserver/request.ts'
import { byteStreamOf, joinStreams, webSocketByteStream } from './byte-stream.ts'
import { portForwardVersion, remoteCommandVersions, servePortsSpdy, serveSessionSpdy } from './serve-spdy.ts'
import {
  type MessageStyle,
  servePortsWebSocket,
  serveSessionWebSocket,
  serveStreamWebSocket,
  tunnelVersion,
  webSocketPortVersions,
  webSocketStreamVersions,
  webSocketVersions,
} from './serve-websocket.ts'

/** What node:http's 'upgrade' event gives. */
export interface UpgradeRequest {
  readonly request: IncomingMessage
  readonly socket: Duplex
  readonly head: Buffer
}
type Headers = Readonly<Record<string, string>>

/** Serves one upgraded connection to its end; never rejects: a client that leaves is no error. */
export async function serveUpgrade(upgrade: UpgradeRequest, headers: Headers, stream: UpgradedStream): Promise<void> {
  const { socket } = upgrade
  socket.on('error', () => socket.destroy())
  if (stream.type === 'raw') {
    const raw = byteStreamOf(socket, upgrade.head)
    writeHead(socket, 101, 'Switching Protocols', { ...headers, ...stream.headers })
    return joinStreams(raw, stream.stream)
  }
  const asked = String(upgrade.request.headers.upgrade ?? '').toLowerCase()
  if (asked === 'websocket') return serveWebSocket(upgrade, headers, stream)
  if (asked.startsWith('spdy/3.1')) return serveSpdy(upgrade, headers, stream)
  refuse(socket, stream, 400, `unable to upgrade: the protocol "${asked}" is not spoken`)
}

type Served = Exclude<UpgradedStream, { readonly type: 'raw' }>

async function serveSpdy(upgrade: UpgradeRequest, headers: Headers, stream: Served): Promise<void> {
  const { socket, request, head } = upgrade
  const offered = listOf(request.headers['x-stream-protocol-version'])
  const known = stream.type === 'ports' ? [portForwardVersion] : remoteCommandVersions
  // The oldest clients name no version.
  const chosen = offered.length === 0 ? known.at(-1) : known.find((name) => offered.includes(name))
  if (chosen === undefined)
    return refuse(
      socket,
      stream,
      403,
      `unable to upgrade: unable to negotiate protocol: client supports [${offered.join(' ')}], server accepts [${known.join(' ')}]`,
      { 'x-accepted-stream-protocol-versions': known.join(', ') },
    )
  const pipe = byteStreamOf(socket, head)
  writeHead(socket, 101, 'Switching Protocols', {
    ...headers,
    connection: 'Upgrade',
    upgrade: 'SPDY/3.1',
    'x-stream-protocol-version': chosen,
  })
  if (stream.type === 'ports') await servePortsSpdy(pipe, stream.connect)
  else await serveSessionSpdy(pipe, chosen, stream.options, stream.session)
}

async function serveWebSocket(upgrade: UpgradeRequest, headers: Headers, stream: Served): Promise<void> {
  const known = stream.type === 'ports' ? [tunnelVersion, ...webSocketPortVersions] : webSocketVersions
  const fallback = stream.type === 'ports' ? 'v4.channel.k8s.io' : 'channel.k8s.io'
  const accepted = await acceptWebSocket(upgrade, headers, known, fallback)
  if (accepted === undefined) return abandon(stream)
  const { webSocket, protocol } = accepted
  if (stream.type === 'session') return serveSessionWebSocket(webSocket, protocol, stream.options, stream.session)
  if (protocol === tunnelVersion) return servePortsSpdy(webSocketByteStream(webSocket), stream.connect)
  return servePortsWebSocket(webSocket, protocol, stream.ports, stream.connect)
}

/** Serves a streamed answer (a log, a watch) to a client that asked for a WebSocket. */
export async function serveStreamUpgrade(
  upgrade: UpgradeRequest,
  headers: Headers,
  style: MessageStyle,
  chunks: AsyncIterable<Uint8Array>,
  onGone: () => void,
): Promise<void> {
  upgrade.socket.on('error', () => upgrade.socket.destroy())
  const accepted = await acceptWebSocket(upgrade, headers, webSocketStreamVersions, '')
  if (accepted === undefined) return onGone()
  return serveStreamWebSocket(accepted.webSocket, accepted.protocol, style, chunks, onGone)
}

/** The WebSocket handshake. Undefined when the client was refused; it has had its answer. */
async function acceptWebSocket(
  { request, socket, head }: UpgradeRequest,
  headers: Headers,
  known: readonly string[],
  fallback: string,
): Promise<{ readonly webSocket: WebSocket; readonly protocol: string } | undefined> {
  const offered = listOf(request.headers['sec-websocket-protocol'])
  const chosen = offered.length === 0 ? fallback : known.find((name) => offered.includes(name))
  if (chosen === undefined) {
    const text = `unable to upgrade: none of the subprotocols [${offered.join(' ')}] is spoken, but [${known.join(' ')}]`
    writeAnswer(socket, 400, 'Bad Request', text)
    return undefined
  }
  delete request.headers['sec-websocket-protocol']
  const { WebSocketServer } = await import('ws')
  const server = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: 32 << 20 })
  server.on('headers', (lines: string[]) => {
    if (offered.length > 0) lines.push(`Sec-WebSocket-Protocol: ${chosen}`)
    for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`)
  })
  return new Promise((resolve) => {
    socket.once('close', () => resolve(undefined))
    server.handleUpgrade(request, socket, head, (webSocket) => resolve({ webSocket, protocol: chosen }))
  })
}

const listOf = (header: string | readonly string[] | undefined): string[] =>
  (typeof header === 'string' ? [header] : (header ?? []))
    .flatMap((line) => line.split(','))
    .map((name) => name.trim())
    .filter((name) => name !== '')

function writeHead(socket: Duplex, status: number, reason: string, headers: Headers): void {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.write(`HTTP/1.1 ${status} ${reason}\r\n${lines.join('')}\r\n`)
}
function writeAnswer(socket: Duplex, status: number, reason: string, text: string, headers: Headers = {}): void {
  writeHead(socket, status, reason, {
    'content-type': 'text/plain; charset=utf-8',
    'content-length': String(Buffer.byteLength(text)),
    connection: 'close',
    ...headers,
  })
  socket.end(text)
}
function abandon(stream: Served): void {
  if (stream.type === 'session') stream.session.close()
}
function refuse(socket: Duplex, stream: Served, status: number, text: string, headers: Headers = {}): void {
  abandon(stream)
  writeAnswer(socket, status, status === 403 ? 'Forbidden' : 'Bad Request', text, headers)
}
