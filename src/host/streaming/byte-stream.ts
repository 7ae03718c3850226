// Node's duplexes as the ByteStream port and back: sockets, and WebSockets whose binary messages carry bytes.
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import type { ByteStream } from '../../ports/transport.ts'
import { createByteQueue } from './byte-queue.ts'

/** A socket as a ByteStream; `head` are bytes that were read too far. A write resolves when the socket wants more. */
export function byteStreamOf(socket: Duplex, head?: Uint8Array): ByteStream {
  if (head !== undefined && head.length > 0) socket.unshift(head)
  // Small frames (window updates, keystrokes) must not wait for an acknowledgement.
  if (socket instanceof Socket) socket.setNoDelay(true)
  let broken: Error | undefined
  const waiting = new Set<() => void>()
  const wake = () => {
    for (const resolve of waiting) resolve()
    waiting.clear()
  }
  socket.on('error', (error) => {
    broken ??= error
  })
  socket.on('close', () => {
    broken ??= new Error('the connection is closed')
    wake()
  })
  socket.on('drain', wake)
  return {
    readable: { [Symbol.asyncIterator]: () => socket.iterator({ destroyOnReturn: false }) },
    async write(bytes) {
      if (broken !== undefined) throw broken
      // Writing now would destroy the socket, and with it what is still to be read.
      if (socket.writableEnded) throw new Error('the other end has closed the connection')
      if (bytes.length === 0 || socket.write(bytes)) return
      await new Promise<void>((resolve) => waiting.add(resolve))
      if (broken !== undefined && socket.writableLength > 0) throw broken
    },
    end: () =>
      new Promise((resolve) => {
        if (socket.destroyed || socket.writableEnded) return resolve()
        socket.once('close', () => resolve())
        socket.end(() => resolve())
      }),
    destroy: (error) => {
      broken ??= error ?? new Error('the connection is closed')
      socket.destroy()
    },
  }
}

/** Copies until `from` ends, then half-closes `to`. Rejects when either breaks. */
export async function copyBytes(from: AsyncIterable<Uint8Array>, to: Pick<ByteStream, 'write' | 'end'>): Promise<void> {
  for await (const chunk of from) await to.write(chunk)
  await to.end()
}

/** Copies both ways and returns when both directions have ended or one has broken; then nothing is left open. */
export async function joinStreams(a: ByteStream, b: ByteStream): Promise<void> {
  const oneWay = (from: ByteStream, to: ByteStream) =>
    copyBytes(from.readable, to).catch((error: unknown) => {
      const cause = error instanceof Error ? error : new Error(String(error))
      a.destroy(cause)
      b.destroy(cause)
    })
  await Promise.all([oneWay(a, b), oneWay(b, a)])
}

/** Receives the messages of a WebSocket one after the other: the next is read when `onMessage` has finished. */
export function pumpMessages(
  socket: WebSocket,
  onMessage: (data: Buffer, binary: boolean) => Promise<void> | undefined,
  onEnd: () => void,
): void {
  const queue: { data: Buffer; binary: boolean }[] = []
  let busy = false
  let closed = false
  const run = async () => {
    busy = true
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) await onMessage(next.data, next.binary)
    busy = false
    if (closed) onEnd()
    else socket.resume()
  }
  socket.on('message', (data, binary) => {
    queue.push({ data: Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data as Buffer), binary })
    if (busy) return
    socket.pause()
    run().catch((error: unknown) => {
      socket.terminate()
      onEnd()
      void error
    })
  })
  socket.on('error', () => socket.terminate())
  socket.on('close', () => {
    closed = true
    if (!busy) onEnd()
  })
}

/** One WebSocket message, sent when the socket has taken it over. */
export const sendMessage = (socket: WebSocket, data: Uint8Array | string): Promise<void> =>
  new Promise((resolve, reject) => {
    socket.send(data, (error) => (error ? reject(error) : resolve()))
  })

/** A WebSocket as a pipe of bytes: binary messages both ways, message borders mean nothing. */
export function webSocketByteStream(socket: WebSocket): ByteStream {
  const incoming = createByteQueue(1 << 20)
  pumpMessages(
    socket,
    (data) => incoming.push(data),
    () => incoming.end(),
  )
  return {
    readable: incoming,
    write: (bytes) => sendMessage(socket, bytes),
    end: async () => socket.close(1000),
    destroy: () => socket.terminate(),
  }
}
