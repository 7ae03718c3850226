// DNS over real sockets. A server binds to its own address, never to the wildcard: an answer from a wildcard UDP socket
// would carry the wrong source address.
import { createSocket, type Socket } from 'node:dgram'
import { readFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import type { DnsSockets } from '../ports/dns-sockets.ts'

/** Messages of a TCP stream, each after its two-byte length. */
function frames(onMessage: (message: Uint8Array) => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0)
  return (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    while (rest.length >= 2) {
      const length = rest.readUInt16BE(0)
      if (rest.length < length + 2) return
      onMessage(rest.subarray(2, length + 2))
      rest = rest.subarray(length + 2)
    }
  }
}
const framed = (message: Uint8Array): Buffer => {
  const out = Buffer.alloc(message.length + 2)
  out.writeUInt16BE(message.length, 0)
  out.set(message, 2)
  return out
}
const hostPort = (server: string): { readonly host: string; readonly port: number } => {
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(server)
  return match === null
    ? { host: server, port: 53 }
    : { host: match[1] ?? match[2] ?? server, port: Number(match[3] ?? 53) }
}
const tcpIdleMs = 10_000

function serveUdp(address: string, port: number, answer: Parameters<DnsSockets['serve']>[2]): Promise<Socket> {
  const socket = createSocket({
    type: address.includes(':') ? 'udp6' : 'udp4',
    reuseAddr: true,
    recvBufferSize: 1 << 20,
    // Clients are addresses already: a look-up would only put every answer off by a turn.
    lookup: (host, _options, found) => found(null, host, address.includes(':') ? 6 : 4),
  })
  socket.on('message', (message, from) => {
    const reply = (bytes: Uint8Array | undefined) => {
      if (bytes !== undefined) socket.send(bytes, from.port, from.address)
    }
    const result = answer(message, 'udp')
    if (result instanceof Promise) void result.then(reply)
    else reply(result)
  })
  return new Promise((done, fail) => {
    socket.once('error', fail)
    socket.bind({ address, port, exclusive: true }, () => {
      socket.off('error', fail)
      // A reply that cannot be sent (the client has gone) is no fault of the server.
      socket.on('error', () => {})
      done(socket)
    })
  })
}

export const hostDnsSockets: DnsSockets = {
  async serve(address, port, answer) {
    const udp = await serveUdp(address, port, answer)
    const server = createServer((socket) => {
      socket.setTimeout(tcpIdleMs, () => socket.destroy())
      socket.on('error', () => socket.destroy())
      socket.on(
        'data',
        frames((message) => {
          void Promise.resolve(answer(message, 'tcp')).then((bytes) => {
            if (bytes === undefined) socket.destroy()
            else socket.write(framed(bytes))
          })
        }),
      )
    })
    await new Promise<void>((done, fail) => {
      server.once('error', (error) => {
        udp.close()
        fail(error)
      })
      server.listen(udp.address().port, address, done)
    })
    return {
      close: async () => {
        await Promise.all([
          new Promise<void>((done) => udp.close(() => done())),
          new Promise<void>((done) => server.close(() => done())),
        ])
      },
    }
  },

  async exchange(server, query, timeoutMs) {
    const { host, port } = hostPort(server)
    const answer = await new Promise<Uint8Array>((done, fail) => {
      const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4')
      const timer = setTimeout(
        () => finish(() => fail(new Error(`no answer from ${server} within ${timeoutMs} ms`))),
        timeoutMs,
      )
      const finish = (then: () => void) => {
        clearTimeout(timer)
        socket.close()
        then()
      }
      socket.on('message', (message) => {
        // Somebody else's answer to an older question on the same port is not ours.
        if (message[0] === query[0] && message[1] === query[1]) finish(() => done(message))
      })
      socket.on('error', (error) => finish(() => fail(error)))
      socket.send(query, port, host)
    })
    if (((answer[2] ?? 0) & 0x02) === 0) return answer
    return new Promise((done, fail) => {
      const socket = connect({ host, port })
      socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`no answer from ${server} within ${timeoutMs} ms`)))
      socket.on('error', fail)
      socket.on(
        'data',
        frames((message) => {
          done(message)
          socket.end()
        }),
      )
      socket.write(framed(query))
    })
  },

  async upstreams() {
    const text = await readFile('/etc/resolv.conf', 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return ''
      throw error
    })
    return text
      .split('\n')
      .map((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1])
      .filter((server): server is string => server !== undefined)
  },
}
