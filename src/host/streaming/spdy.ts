// A SPDY/3.1 connection over any pipe of bytes, for either end. Flow control is kept by whoever keeps it: a peer that has
// never sent a WINDOW_UPDATE (kubectl's library sends none) is held back by the pipe alone, or it would stall at 64 KB.
import type { ByteStream } from '../../ports/transport.ts'
import { type ByteQueue, createByteQueue } from './byte-queue.ts'
import {
  type ControlFrame,
  controlFrame,
  createHeaderDecoder,
  createHeaderEncoder,
  type DataFrame,
  dataFrame,
  flagFin,
  frameTypes,
  initialWindow,
  readFrames,
  SpdyError,
  type SpdyHeaders,
  words,
} from './spdy-frames.ts'

export interface SpdyStream {
  readonly id: number
  readonly headers: SpdyHeaders
  /** Ends with the peer's half-close; throws when the stream was reset or the connection broke. */
  readonly readable: AsyncIterable<Uint8Array>
  /** Resolves when the bytes were taken over. */
  write(bytes: Uint8Array): Promise<void>
  /** Half-close. */
  end(): Promise<void>
  reset(): Promise<void>
}
export interface SpdyConnection {
  /** Opens a stream; resolves when the request is on its way, without waiting for the peer's reply. */
  open(headers: SpdyHeaders): Promise<SpdyStream>
  /** Says goodbye and closes the pipe; resolves when everything was handed over. */
  close(): Promise<void>
  destroy(error?: Error): void
  /** Resolves when the connection is over, whoever ended it. */
  readonly closed: Promise<Error | undefined>
}
export interface SpdyOptions {
  readonly role: 'client' | 'server'
  /** A stream that the peer opened; it is accepted by the time this is called. */
  readonly onStream?: (stream: SpdyStream) => void
  /** What one stream may hold unread before the whole connection waits for its reader. */
  readonly streamBufferBytes?: number
}

const resetCancel = 5
const resetRefused = 3
const resetInvalid = 2
const maxChunk = 64 << 10
/** How long a peer may take to close after our goodbye. */
const lingerMs = 10_000

interface Entry {
  readonly stream: SpdyStream
  readonly incoming: ByteQueue
  sendWindow: number
  /** Bytes taken by the reader that the peer has not been told of. */
  taken: number
  remoteEnded: boolean
  localEnded: boolean
  broken: Error | undefined
}

export function createSpdyConnection(pipe: ByteStream, options: SpdyOptions): SpdyConnection {
  const streams = new Map<number, Entry>()
  const encoder = createHeaderEncoder()
  const decoder = createHeaderDecoder()
  const limit = options.streamBufferBytes ?? 1 << 20
  let nextId = options.role === 'client' ? 1 : 2
  const peerParity = options.role === 'client' ? 0 : 1
  let peerKeepsStreamWindows = false
  let peerKeepsSessionWindow = false
  let peerWindow = initialWindow
  let sessionWindow = initialWindow
  let sessionTaken = 0
  let over: { readonly error: Error | undefined } | undefined
  let windowWaiters: (() => void)[] = []
  let resolveClosed: (error: Error | undefined) => void
  const closed = new Promise<Error | undefined>((resolve) => {
    resolveClosed = resolve
  })
  // Frames go out in the order in which they were handed in.
  let tail: Promise<void> = Promise.resolve()
  const send = (frame: Uint8Array): Promise<void> => {
    const sent = tail.then(() => pipe.write(frame))
    tail = sent.catch((error: unknown) => sendFailed(toError(error)))
    return sent
  }
  // A peer that no longer listens may have spoken before it closed, and the last it says is how the session ended: reading
  // goes on to the end of what it sent.
  let unsent: Error | undefined
  const sendFailed = (error: Error) => {
    if (over !== undefined || unsent !== undefined) return
    unsent = error
    wakeWriters()
    setTimeout(() => {
      finish(error)
      pipe.destroy(error)
    }, lingerMs).unref()
  }
  const sendQuietly = (frame: Uint8Array) => {
    send(frame).catch(() => undefined)
  }
  const wakeWriters = () => {
    const waiters = windowWaiters
    windowWaiters = []
    for (const wake of waiters) wake()
  }
  const finish = (error: Error | undefined) => {
    if (over !== undefined) return
    over = { error }
    for (const entry of streams.values()) {
      const why = error ?? (entry.remoteEnded ? undefined : new SpdyError('the connection was closed'))
      entry.broken ??= why ?? new SpdyError('the connection was closed')
      if (why === undefined) entry.incoming.end()
      else entry.incoming.fail(why)
    }
    streams.clear()
    decoder.close()
    wakeWriters()
    resolveClosed(error)
  }
  const release = (id: number, entry: Entry) => {
    if (entry.localEnded && entry.remoteEnded) streams.delete(id)
  }
  const roomFor = (entry: Entry): number =>
    Math.min(
      maxChunk,
      peerKeepsStreamWindows ? entry.sendWindow : maxChunk,
      peerKeepsSessionWindow ? sessionWindow : maxChunk,
    )
  const writeData = async (id: number, entry: Entry, bytes: Uint8Array) => {
    for (let at = 0; at < bytes.length; ) {
      for (;;) {
        if (entry.broken !== undefined) throw entry.broken
        if (unsent !== undefined) throw unsent
        if (entry.localEnded) throw new SpdyError('write after end')
        if (roomFor(entry) > 0) break
        await new Promise<void>((resolve) => windowWaiters.push(resolve))
      }
      const room = roomFor(entry)
      const part = bytes.subarray(at, at + room)
      at += part.length
      entry.sendWindow -= part.length
      sessionWindow -= part.length
      await send(dataFrame(id, 0, part))
    }
  }
  const tellTaken = (id: number, entry: Entry, bytes: number) => {
    // A server of Go's library closes with our updates unread, and the kernel then throws away what it had sent us.
    if (over !== undefined || options.role === 'client') return
    entry.taken += bytes
    sessionTaken += bytes
    if (entry.taken >= initialWindow / 2 && !entry.remoteEnded) {
      sendQuietly(controlFrame(frameTypes.windowUpdate, 0, words(id, entry.taken)))
      entry.taken = 0
    }
    if (sessionTaken >= initialWindow / 2) {
      sendQuietly(controlFrame(frameTypes.windowUpdate, 0, words(0, sessionTaken)))
      sessionTaken = 0
    }
  }
  const addStream = (id: number, headers: SpdyHeaders): Entry => {
    const incoming = createByteQueue(limit, (bytes) => tellTaken(id, entry, bytes))
    const entry: Entry = {
      incoming,
      sendWindow: peerWindow,
      taken: 0,
      remoteEnded: false,
      localEnded: false,
      broken: undefined,
      stream: {
        id,
        headers,
        readable: incoming,
        write: (bytes) => writeData(id, entry, bytes),
        async end() {
          if (entry.localEnded || entry.broken !== undefined) return
          entry.localEnded = true
          release(id, entry)
          await send(dataFrame(id, flagFin, new Uint8Array(0)))
        },
        async reset() {
          if (entry.broken !== undefined) return
          entry.broken = new SpdyError('the stream was reset')
          streams.delete(id)
          incoming.end()
          await send(controlFrame(frameTypes.rstStream, 0, words(id, resetCancel)))
        },
      },
    }
    streams.set(id, entry)
    return entry
  }
  const endIncoming = (id: number, entry: Entry) => {
    entry.remoteEnded = true
    entry.incoming.end()
    release(id, entry)
  }

  const onSynStream = async (frame: ControlFrame) => {
    const id = frame.payload.readUInt32BE(0) & 0x7fffffff
    const headers = await decoder.decode(frame.payload.subarray(10))
    if (id % 2 !== peerParity || streams.has(id) || options.onStream === undefined)
      return sendQuietly(controlFrame(frameTypes.rstStream, 0, words(id, resetRefused)))
    const entry = addStream(id, headers)
    sendQuietly(controlFrame(frameTypes.synReply, 0, Buffer.concat([words(id), encoder.encode({})])))
    if ((frame.flags & flagFin) !== 0) endIncoming(id, entry)
    options.onStream(entry.stream)
  }
  const onData = async (frame: DataFrame) => {
    const entry = streams.get(frame.streamId)
    if (entry === undefined || entry.remoteEnded) {
      sessionTaken += frame.payload.length
      if (
        entry === undefined &&
        frame.payload.length > 0 &&
        frame.streamId >= nextId &&
        frame.streamId % 2 !== peerParity
      )
        sendQuietly(controlFrame(frameTypes.rstStream, 0, words(frame.streamId, resetInvalid)))
      return
    }
    const room = entry.incoming.push(frame.payload)
    if ((frame.flags & flagFin) !== 0) endIncoming(frame.streamId, entry)
    // A reader that is behind holds the whole connection back: memory stays bounded.
    if (room !== undefined) await Promise.race([room, closed])
  }
  const onWindowUpdate = (payload: Buffer) => {
    const id = payload.readUInt32BE(0) & 0x7fffffff
    const bytes = payload.readUInt32BE(4) & 0x7fffffff
    // What was sent before counts too: the peer has said, or will say, that it took it.
    if (id === 0) {
      peerKeepsSessionWindow = true
      sessionWindow += bytes
    } else {
      peerKeepsStreamWindows = true
      const entry = streams.get(id)
      if (entry !== undefined) entry.sendWindow += bytes
    }
    wakeWriters()
  }
  const onSettings = (payload: Buffer) => {
    const count = payload.readUInt32BE(0)
    for (let i = 0; i < count && 12 + i * 8 <= payload.length; i++) {
      if ((payload.readUInt32BE(4 + i * 8) & 0xffffff) !== 7) continue
      const fresh = payload.readUInt32BE(8 + i * 8)
      for (const entry of streams.values()) entry.sendWindow += fresh - peerWindow
      peerWindow = fresh
    }
  }
  const onControl = async (frame: ControlFrame) => {
    const { payload } = frame
    if (frame.type === frameTypes.synStream) await onSynStream(frame)
    else if (frame.type === frameTypes.synReply || frame.type === frameTypes.headers) {
      // The block must be inflated even where nobody reads it: the compressor's state runs on.
      const id = payload.readUInt32BE(0) & 0x7fffffff
      await decoder.decode(payload.subarray(4))
      const entry = streams.get(id)
      if (entry !== undefined && (frame.flags & flagFin) !== 0) endIncoming(id, entry)
    } else if (frame.type === frameTypes.rstStream) {
      const id = payload.readUInt32BE(0) & 0x7fffffff
      const entry = streams.get(id)
      if (entry === undefined) return
      streams.delete(id)
      entry.broken = new SpdyError(`the peer reset the stream (${payload.readUInt32BE(4)})`)
      entry.incoming.fail(entry.broken)
      wakeWriters()
    } else if (frame.type === frameTypes.ping) {
      if (payload.readUInt32BE(0) % 2 === peerParity) sendQuietly(controlFrame(frameTypes.ping, 0, payload))
    } else if (frame.type === frameTypes.windowUpdate) onWindowUpdate(payload)
    else if (frame.type === frameTypes.settings) onSettings(payload)
  }
  const run = async () => {
    for await (const frame of readFrames(pipe.readable)) {
      // After our goodbye the rest is read and dropped: closing with unread bytes would destroy what is on its way.
      if (over !== undefined) continue
      if (frame.control) await onControl(frame)
      else await onData(frame)
    }
    finish(unsent)
    pipe.destroy()
  }
  run().catch((error: unknown) => {
    finish(error instanceof RangeError ? new SpdyError('malformed SPDY frame') : toError(error))
    pipe.destroy()
  })

  return {
    closed,
    async open(headers) {
      if (over !== undefined) throw over.error ?? new SpdyError('the connection was closed')
      const id = nextId
      nextId += 2
      const entry = addStream(id, headers)
      // The header block is built here, in the order of the ids, so that the peer inflates it in that order.
      await send(
        controlFrame(frameTypes.synStream, 0, Buffer.concat([words(id, 0), Buffer.alloc(2), encoder.encode(headers)])),
      )
      return entry.stream
    },
    async close() {
      if (over !== undefined) return
      await send(controlFrame(frameTypes.goaway, 0, words(0, 0))).catch(() => undefined)
      finish(undefined)
      await pipe.end().catch(() => undefined)
      setTimeout(() => pipe.destroy(), lingerMs).unref()
    },
    destroy(error) {
      finish(error ?? new SpdyError('the connection was closed'))
      pipe.destroy(error)
    },
  }
}

const toError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)))
