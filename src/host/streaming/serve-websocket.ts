// The serving end of exec, attach, port-forward, logs and watches over WebSocket: one message, one channel, named by its
// first byte (or its first digit in the base64 flavours).
import type { WebSocket } from 'ws'
import type { StreamOptions, StreamSession } from '../../ports/container-runtime.ts'
import type { ByteStream } from '../../ports/transport.ts'
import { type ByteQueue, createByteQueue } from './byte-queue.ts'
import { copyBytes, pumpMessages, sendMessage } from './byte-stream.ts'
import { runSession, versionNumber } from './serve-spdy.ts'
import { statusText } from './session-status.ts'

export const webSocketVersions = [
  'v5.channel.k8s.io',
  'v4.channel.k8s.io',
  'v4.base64.channel.k8s.io',
  'base64.channel.k8s.io',
  'channel.k8s.io',
]
export const webSocketPortVersions = ['v4.channel.k8s.io', 'v4.base64.channel.k8s.io']
/** port-forward's SPDY frames inside WebSocket messages (KEP-4006). */
export const tunnelVersion = 'SPDY/3.1+portforward.k8s.io'
export const webSocketStreamVersions = ['binary.k8s.io', 'base64.binary.k8s.io']

const channels = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const
const maxPayload = 64 << 10
const queueBytes = 1 << 20

interface Channels {
  /** Bytes that the client sends on a channel. */
  receive(channel: number): ByteQueue
  send(channel: number, bytes: Uint8Array): Promise<void>
  /** v5: the client may end one channel by a message on channel 255. */
  onEnd(ended: () => void): void
}

function openChannels(socket: WebSocket, protocol: string): Channels {
  const base64 = protocol.includes('base64.')
  const closable = versionNumber(protocol) >= 5
  const incoming = new Map<number, ByteQueue>()
  const ended: (() => void)[] = []
  pumpMessages(
    socket,
    (message) => {
      const first = message[0]
      if (first === undefined) return undefined
      // The base64 flavours name the channel by an ASCII digit.
      const channel = base64 ? first - 0x30 : first
      const content = base64 ? Buffer.from(message.toString('latin1', 1), 'base64') : message.subarray(1)
      if (closable && channel === channels.close) {
        if (content[0] !== undefined) incoming.get(content[0])?.end()
        return undefined
      }
      return incoming.get(channel)?.push(content)
    },
    () => {
      for (const queue of incoming.values()) queue.end()
      for (const run of ended) run()
    },
  )
  return {
    receive(channel) {
      const queue = createByteQueue(queueBytes)
      incoming.set(channel, queue)
      return queue
    },
    async send(channel, bytes) {
      for (let at = 0; at === 0 || at < bytes.length; at += maxPayload) {
        const part = bytes.subarray(at, at + maxPayload)
        await (base64
          ? sendMessage(socket, `${channel}${Buffer.from(part).toString('base64')}`)
          : sendMessage(socket, Buffer.concat([Buffer.from([channel]), part])))
      }
    },
    onEnd: (run) => void ended.push(run),
  }
}

/** Runs one exec or attach over a WebSocket, which is left closed. */
export async function serveSessionWebSocket(
  socket: WebSocket,
  protocol: string,
  options: StreamOptions,
  session: StreamSession,
): Promise<void> {
  const version = versionNumber(protocol)
  const wire = openChannels(socket, protocol)
  const out = (channel: number) => ({
    write: (bytes: Uint8Array) => wire.send(channel, bytes),
    end: () => Promise.resolve(),
  })
  wire.onEnd(() => session.close())
  const ends = {
    stdin: options.stdin ? wire.receive(channels.stdin) : undefined,
    resize: options.tty ? wire.receive(channels.resize) : undefined,
    stdout: options.stdout ? out(channels.stdout) : undefined,
    stderr: options.stderr && !options.tty ? out(channels.stderr) : undefined,
    finish: async (result: Awaited<StreamSession['result']>) => {
      const text = statusText(result, version)
      if (text !== '') await wire.send(channels.error, Buffer.from(text))
    },
  }
  // Clients wait for a first, empty message to know that the streams stand.
  const first = options.stdout ? channels.stdout : options.stderr ? channels.stderr : channels.error
  await wire.send(first, new Uint8Array(0)).catch(() => session.close())
  await runSession(session, ends)
  socket.close(1000)
}

/** Forwards the listed ports over a WebSocket: channel 2i carries port i's data, channel 2i+1 its errors. */
export async function servePortsWebSocket(
  socket: WebSocket,
  protocol: string,
  ports: readonly number[],
  connect: (port: number) => Promise<ByteStream>,
): Promise<void> {
  const wire = openChannels(socket, protocol)
  const targets: ByteStream[] = []
  wire.onEnd(() => {
    for (const target of targets) target.destroy()
  })
  const announce = (port: number) => {
    const bytes = Buffer.alloc(2)
    bytes.writeUInt16LE(port)
    return bytes
  }
  const one = async (port: number, index: number) => {
    const incoming = wire.receive(index * 2)
    const [data, error] = [index * 2, index * 2 + 1]
    try {
      await wire.send(data, announce(port))
      await wire.send(error, announce(port))
      const target = await connect(port)
      targets.push(target)
      copyBytes(incoming, target).catch(() => target.destroy())
      await copyBytes(target.readable, { write: (bytes) => wire.send(data, bytes), end: () => Promise.resolve() })
      target.destroy()
    } catch (cause) {
      const text = cause instanceof Error ? cause.message : String(cause)
      await wire.send(error, Buffer.from(text)).catch(() => undefined)
    }
  }
  await Promise.all(ports.map(one))
  socket.close(1000)
}

/** How a streamed answer is cut into messages: as it comes (logs), or one JSON line a message (watches). */
export type MessageStyle = 'bytes' | 'lines'
/** Sends a streamed answer over a WebSocket. Returns when it has ended or the client has left (then `onGone` ran). */
export async function serveStreamWebSocket(
  socket: WebSocket,
  protocol: string,
  style: MessageStyle,
  chunks: AsyncIterable<Uint8Array>,
  onGone: () => void,
): Promise<void> {
  const base64 = protocol === 'base64.binary.k8s.io'
  pumpMessages(socket, () => undefined, onGone)
  let line: Buffer = Buffer.alloc(0)
  try {
    for await (const chunk of chunks) {
      if (socket.readyState !== socket.OPEN) return
      if (style === 'bytes') {
        await sendMessage(socket, base64 ? Buffer.from(chunk).toString('base64') : chunk)
        continue
      }
      line = Buffer.concat([line, chunk])
      for (let end = line.indexOf(10); end >= 0; end = line.indexOf(10)) {
        const text = line.subarray(0, end)
        line = line.subarray(end + 1)
        await sendMessage(socket, base64 ? text.toString('base64') : text.toString('utf8'))
      }
    }
    socket.close(1000)
  } catch (error) {
    onGone()
    socket.close(1011, error instanceof Error ? error.message.slice(0, 120) : 'the stream broke')
  }
}
