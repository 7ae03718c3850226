// A TCP relay between an agent and its API server, so that a scenario can cut the connection: at once, as where a server
// dies, or in silence, as where packets are lost.
import net from 'node:net'

export interface Relay {
  /** Ends every connection and takes no new one until `mend`. */
  cut(): Promise<void>
  /** Lets nothing through, and tells nobody. */
  silence(): void
  mend(): Promise<void>
  close(): Promise<void>
}
interface Place {
  readonly host: string
  readonly port: number
}

/** Listens at `from` and passes on to `to`. */
export async function relay(from: Place, to: Place): Promise<Relay> {
  const sockets = new Set<net.Socket>()
  let silent = false
  const keep = (socket: net.Socket) => {
    sockets.add(socket)
    // The other end of a connection that broke is ended with it, below.
    socket.on('error', () => socket.destroy())
    socket.on('close', () => sockets.delete(socket))
    if (silent) socket.pause()
  }
  const server = net.createServer((inner) => {
    const outer = net.connect(to.port, to.host)
    for (const [socket, other] of [
      [inner, outer],
      [outer, inner],
    ] as const) {
      keep(socket)
      socket.on('data', (chunk) => {
        if (!other.write(chunk)) socket.pause()
      })
      other.on('drain', () => silent || socket.resume())
      socket.on('end', () => other.end())
      socket.on('close', () => other.destroy())
    }
  })
  const listen = () => new Promise<void>((done) => server.listen(from.port, from.host, done))
  const cut = () =>
    new Promise<void>((done) => {
      for (const socket of sockets) socket.destroy()
      server.close(() => done())
    })
  await listen()
  return {
    cut,
    silence() {
      silent = true
      for (const socket of sockets) socket.pause()
    },
    async mend() {
      silent = false
      for (const socket of sockets) socket.resume()
      if (!server.listening) await listen()
    },
    close: async () => {
      if (server.listening) await cut()
    },
  }
}
