// The server's end of the tunnels: nodes of other machines keep a connection each, and every call to a node or to one of its
// pods is a stream of it. One way for all remote nodes, whether the server could reach them or not.
import { connect as connectHttp2, type ClientHttp2Session } from 'node:http2'
import type { Duplex } from 'node:stream'
import { ApiError } from '../../api/machinery/errors.ts'
import type { Log } from '../../ports/log.ts'
import type { NodeApi, NodeDialer } from '../../ports/node-api.ts'
import { httpNodeApi } from './client.ts'
import { streamDuplex } from './stream-duplex.ts'
import { holdsAddress, kubeletAuthority } from './tunnel-agent.ts'

/** What the server knows of a node: where its pods are, and its own addresses. */
export interface TunnelNode {
  readonly name: string
  readonly podCidrs: readonly string[]
  readonly addresses: readonly string[]
}
export interface TunnelsOptions {
  readonly log: Log
  /** Asked when a call goes to an address: the nodes as the API shows them now. */
  readonly nodes: () => Iterable<TunnelNode>
}
export interface Tunnels extends NodeDialer {
  /** Takes over a connection of a node. */
  accept(nodeName: string, connection: Duplex): void
  /** Names of the nodes that have one. */
  readonly connected: readonly string[]
  /** A connection to an address of a node that has a tunnel: a pod's, or its own. Undefined for every other address. */
  dial(host: string, port: number): Promise<Duplex> | undefined
  close(): void
}

const pingMs = 10_000

export function createTunnels(options: TunnelsOptions): Tunnels {
  const { log } = options
  /** The newest last. A node may know a server by two addresses: both of its tunnels are good. */
  const sessions = new Map<string, readonly ClientHttp2Session[]>()
  const sessionOf = (nodeName: string) => sessions.get(nodeName)?.at(-1)

  function stream(session: ClientHttp2Session, authority: string): Promise<Duplex> {
    return new Promise((done, fail) => {
      const opened = session.request({ ':method': 'CONNECT', ':authority': authority }, { endStream: false })
      const broken = () => fail(new TunnelError('ECONNRESET', authority))
      opened.once('error', broken)
      opened.once('close', broken)
      opened.once('response', (headers) => {
        opened.removeListener('close', broken)
        const status = headers[':status'] ?? 0
        if (status === 200) {
          return done(streamDuplex(opened))
        }
        opened.close()
        fail(new TunnelError(status === 403 ? 'EHOSTUNREACH' : String(headers['x-error'] ?? 'EIO'), authority))
      })
    })
  }
  async function toNode(nodeName: string): Promise<Duplex> {
    const session = sessionOf(nodeName)
    if (session === undefined) throw new ApiError('ServiceUnavailable', `no connection to node "${nodeName}"`)
    return stream(session, kubeletAuthority)
  }
  return {
    async connect(nodeName): Promise<NodeApi> {
      return httpNodeApi(nodeName, () => toNode(nodeName))
    },
    accept(nodeName, connection) {
      const session = connectHttp2('http://node', {
        createConnection: () => connection,
        settings: { initialWindowSize: 1 << 20, enablePush: false },
        maxSessionMemory: 1000,
      })
      session.setMaxListeners(0)
      session.on('error', (error) => log.debug('a tunnel broke', { node: nodeName, error: error.message }))
      session.once('connect', () => session.setLocalWindowSize(16 << 20))
      sessions.set(nodeName, [...(sessions.get(nodeName) ?? []), session])
      log.info('a node has opened its tunnel', { node: nodeName })
      const pinging = keepPinging(session)
      session.once('close', () => {
        clearInterval(pinging)
        connection.destroy()
        const left = (sessions.get(nodeName) ?? []).filter((other) => other !== session)
        if (left.length > 0) return void sessions.set(nodeName, left)
        sessions.delete(nodeName)
        log.info('the tunnel of a node has ended', { node: nodeName })
      })
    },
    get connected() {
      return [...sessions.keys()]
    },
    dial(host, port) {
      if (sessions.size === 0) return undefined
      for (const node of options.nodes()) {
        const session = sessionOf(node.name)
        if (session !== undefined && holdsAddress(node, host))
          return stream(session, host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`)
      }
      return undefined
    },
    close() {
      for (const session of [...sessions.values()].flat()) session.destroy()
    },
  }
}

/** A failure at the node's end, with the code that a connection from here would have had. */
class TunnelError extends Error {
  readonly code: string
  constructor(code: string, authority: string) {
    super(`${code} ${authority}`)
    this.name = 'TunnelError'
    this.code = code
  }
}

/** A node that is cut off is noticed although nobody calls it. */
function keepPinging(session: ClientHttp2Session): NodeJS.Timeout {
  let waiting: NodeJS.Timeout | undefined
  const pinging = setInterval(() => {
    if (waiting !== undefined || session.destroyed) return
    waiting = setTimeout(() => session.destroy(), pingMs)
    session.ping(() => {
      clearTimeout(waiting)
      waiting = undefined
    })
  }, pingMs)
  session.once('close', () => clearTimeout(waiting))
  pinging.unref()
  return pinging
}
