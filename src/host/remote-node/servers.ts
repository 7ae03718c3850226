// The API servers as an agent knows them: the one it was told, and those that the kubernetes Service names, so that it finds
// another when its own is gone. Calls go to one server as long as it answers.
import {
  type Transport,
  TransportError,
  type TransportRequest,
  type TransportResponse,
  type UpgradeResult,
} from '../../ports/transport.ts'

export interface Servers extends Transport {
  /** Addresses, https://HOST:PORT, the one in use first. */
  readonly urls: readonly string[]
  /** The servers that there are now. The one in use stays in use while it answers. */
  update(urls: readonly string[]): void
}

/** `open` makes the transport to one server. Throws TransportError when no server answers. */
export function createServers(first: string, open: (url: string) => Transport): Servers {
  let urls: readonly string[] = [first]
  const transports = new Map<string, Transport>()
  const transportOf = (url: string): Transport => {
    let transport = transports.get(url)
    if (transport === undefined) {
      transport = open(url)
      transports.set(url, transport)
    }
    return transport
  }
  /** Tries the servers in turn; whoever answers comes first from then on. */
  async function attempt<T>(signal: AbortSignal | undefined, call: (transport: Transport) => Promise<T>): Promise<T> {
    let failure: unknown
    for (const url of urls) {
      try {
        const answer = await call(transportOf(url))
        if (urls[0] !== url) urls = [url, ...urls.filter((other) => other !== url)]
        return answer
      } catch (error) {
        if (!(error instanceof TransportError) || signal?.aborted === true) throw error
        failure = error
      }
    }
    throw failure
  }
  return {
    get urls() {
      return urls
    },
    update(found) {
      // The address that the user gave stays: after a restart of all servers nothing else may be right.
      const wanted = [...new Set([...found, first])]
      urls = [...urls.filter((url) => wanted.includes(url)), ...wanted.filter((url) => !urls.includes(url))]
      for (const [url, transport] of transports) {
        if (wanted.includes(url)) continue
        transport.close?.()
        transports.delete(url)
      }
    },
    send: (request: TransportRequest): Promise<TransportResponse> =>
      attempt(request.signal, (transport) => transport.send(request)),
    upgrade: (request: TransportRequest): Promise<UpgradeResult> =>
      attempt(request.signal, (transport) => {
        if (transport.upgrade === undefined) throw new TransportError('the transport cannot leave HTTP')
        return transport.upgrade(request)
      }),
    close() {
      for (const transport of transports.values()) transport.close?.()
    },
  }
}
