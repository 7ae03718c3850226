// The node's end of the tunnel: a connection that the node opens to an API server and over which the server makes its calls.
// After the upgrade the roles are turned round: the node serves HTTP/2, each CONNECT stream is one connection, to the
// node's own API ("kubelet") or to an address that is this node's: its pods' and its own.
import { type IncomingHttpHeaders, performServerHandshake, type ServerHttp2Stream } from 'node:http2'
import https from 'node:https'
import net from 'node:net'
import type { Duplex } from 'node:stream'
import { cidrContains, parseIp } from '../../api/machinery/ip.ts'
import type { Clock } from '../../ports/clock.ts'
import { sleep } from '../../ports/clock.ts'
import type { Log } from '../../ports/log.ts'
import { streamDuplex } from './stream-duplex.ts'

export const tunnelPath = '/coxswain/tunnel'
export const tunnelProtocol = 'coxswain-tunnel'
/** The stream that leads to the node's own API. */
export const kubeletAuthority = 'kubelet:0'

/** Whether an address is the node's own or lies in its share of the pods' addresses. */
export function holdsAddress(
  { addresses, podCidrs }: { readonly addresses: readonly string[]; readonly podCidrs: readonly string[] },
  host: string,
): boolean {
  const address = parseIp(host)
  if (address === undefined) return false
  const single = `${host}/${address.version === 4 ? 32 : 128}`
  return addresses.includes(host) || podCidrs.some((cidr) => cidrContains(cidr, single))
}

export interface TunnelAgentOptions {
  /** https://HOST:PORT of the API server. */
  readonly url: string
  readonly caPem: string
  /** The node's client certificate, asked for every connection: it is rotated. */
  readonly credentials: () => { readonly certificatePem: string; readonly keyPem: string }
  /** Serves a connection to the node's API. */
  readonly serveKubelet: (connection: Duplex) => void
  /** Whether the server may reach this address through us. */
  readonly mayReach: (host: string) => boolean
  readonly clock: Clock
  readonly log: Log
}
export interface TunnelAgent {
  readonly connected: boolean
  close(): void
}

const firstRetryMs = 200
const lastRetryMs = 5000
const pingMs = 10_000
const connectTimeoutMs = 10_000

/** Keeps a tunnel to one server open until `close`. */
export function openTunnel(options: TunnelAgentOptions): TunnelAgent {
  const { clock, log, url } = options
  const stopping = new AbortController()
  let connected = false
  async function run(): Promise<void> {
    let delayMs = firstRetryMs
    while (!stopping.signal.aborted) {
      try {
        const socket = await dial(options, stopping.signal)
        connected = true
        delayMs = firstRetryMs
        log.info('the tunnel to the server is open', { server: url })
        await serve(socket, options, stopping.signal)
        log.info('the tunnel to the server has ended', { server: url })
      } catch (error) {
        // Boundary: a server that is away is tried again.
        if (!stopping.signal.aborted)
          log.debug('no tunnel to the server', {
            server: url,
            error: error instanceof Error ? error.message : String(error),
          })
      }
      connected = false
      await sleep(clock, delayMs, stopping.signal)
      delayMs = Math.min(delayMs * 2, lastRetryMs)
    }
  }
  void run()
  return {
    get connected() {
      return connected
    },
    close: () => stopping.abort(),
  }
}

function dial(options: TunnelAgentOptions, signal: AbortSignal): Promise<Duplex> {
  const { certificatePem, keyPem } = options.credentials()
  return new Promise((done, fail) => {
    const request = https.request(`${options.url}${tunnelPath}`, {
      ca: options.caPem,
      cert: certificatePem,
      key: keyPem,
      agent: false,
      timeout: connectTimeoutMs,
      signal,
      headers: { connection: 'Upgrade', upgrade: tunnelProtocol },
    })
    request.once('timeout', () => request.destroy(new Error('timeout while connecting')))
    request.on('error', fail)
    request.once('response', (response) => {
      response.resume()
      fail(new Error(`the server answered ${response.statusCode}`))
    })
    request.once('upgrade', (_response, socket, head) => {
      socket.setTimeout(0)
      socket.setNoDelay(true)
      if (head.length > 0) socket.unshift(head)
      done(socket)
    })
    request.end()
  })
}

/** Serves the server's calls until the connection ends. */
function serve(socket: Duplex, options: TunnelAgentOptions, signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    const session = performServerHandshake(socket, {
      settings: { initialWindowSize: 1 << 20, maxConcurrentStreams: 10_000 },
      maxSessionMemory: 1000,
    })
    session.setLocalWindowSize(16 << 20)
    const stop = () => session.destroy()
    signal.addEventListener('abort', stop, { once: true })
    let waiting: NodeJS.Timeout | undefined
    const pinging = setInterval(() => {
      if (waiting !== undefined) return
      waiting = setTimeout(() => session.destroy(new Error('the server does not answer')), pingMs)
      session.ping(() => {
        clearTimeout(waiting)
        waiting = undefined
      })
    }, pingMs)
    session.on('error', (error) => options.log.debug('the tunnel broke', { error: error.message }))
    session.on('stream', (stream, headers) => answer(stream, headers, options))
    session.once('close', () => {
      clearInterval(pinging)
      clearTimeout(waiting)
      signal.removeEventListener('abort', stop)
      socket.destroy()
      done()
    })
  })
}

function answer(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, options: TunnelAgentOptions): void {
  const authority = String(headers[':authority'] ?? '')
  stream.on('error', () => stream.destroy())
  const refuse = (status: number) => stream.respond({ ':status': status }, { endStream: true })
  if (headers[':method'] !== 'CONNECT') return refuse(405)
  if (authority === kubeletAuthority) {
    stream.respond({ ':status': 200 })
    options.serveKubelet(streamDuplex(stream))
    return
  }
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(authority) ?? []
  const host = bracketed ?? plain ?? ''
  if (!options.mayReach(host)) return refuse(403)
  const target = net.connect({ host, port: Number(port) })
  target.setNoDelay(true)
  target.once('connect', () => {
    stream.respond({ ':status': 200 })
    target.pipe(stream)
    stream.pipe(target)
  })
  target.on('error', (error: NodeJS.ErrnoException) => {
    if (!stream.headersSent && !stream.destroyed)
      stream.respond({ ':status': 502, 'x-error': error.code ?? 'EIO' }, { endStream: true })
    else stream.destroy()
  })
  target.once('close', () => {
    if (!stream.destroyed && !stream.writableEnded) stream.end()
  })
  stream.once('close', () => target.destroy())
}
