import { constants, createDeflate } from 'node:zlib'
import { afterEach, describe, expect, test } from 'vitest'
import { byteStreamOf } from './byte-stream.ts'
import { createSpdyConnection, type SpdyConnection, type SpdyStream } from './spdy.ts'
import {
  controlFrame,
  createHeaderDecoder,
  createHeaderEncoder,
  dataFrame,
  dictionary,
  dictionaryId,
  frameTypes,
  readFrames,
  words,
} from './spdy-frames.ts'
import { collect, socketPair } from './testing/sessions.ts'

async function* inPieces(bytes: Buffer, size: number) {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

describe('frames', () => {
  test('the dictionary is the one of the specification', () => {
    expect(dictionaryId).toBe(0xe3c6a7c2)
  })
  test.each([1, 2, 3, 7, 8, 9, 1000])('frames cut into pieces of %i bytes are found again', async (size) => {
    const bytes = Buffer.concat([
      controlFrame(frameTypes.ping, 0, words(5)),
      dataFrame(1, 0, Buffer.from('hello')),
      dataFrame(1, 1, Buffer.alloc(0)),
      controlFrame(frameTypes.goaway, 0, words(0, 0)),
    ])
    let text = ''
    const seen: string[] = []
    for await (const frame of readFrames(inPieces(bytes, size))) {
      if (frame.control) seen.push(`control ${frame.type} ${frame.payload.toString('hex')}`)
      else {
        text += frame.payload.toString()
        if (frame.flags === 1) seen.push('fin')
      }
    }
    expect(seen).toEqual(['control 6 00000005', 'fin', 'control 7 0000000000000000'])
    expect(text).toBe('hello')
  })
  test('header blocks of both kinds of encoder are read, one after the other', async () => {
    const encoder = createHeaderEncoder()
    const decoder = createHeaderDecoder()
    for (let i = 0; i < 3; i++) {
      const headers = { streamtype: 'data', port: String(8000 + i), requestid: String(i), empty: '' }
      expect(await decoder.decode(encoder.encode(headers))).toEqual(headers)
    }
    decoder.close()

    const other = createHeaderDecoder()
    const deflate = createDeflate({ dictionary })
    const packed: Buffer[] = []
    deflate.on('data', (chunk: Buffer) => packed.push(chunk))
    for (let i = 0; i < 3; i++) {
      packed.length = 0
      const value = `v${i}`.repeat(3000)
      deflate.write(Buffer.concat([words(1), words(4), Buffer.from('Name'), words(value.length), Buffer.from(value)]))
      await new Promise<void>((resolve) => deflate.flush(constants.Z_SYNC_FLUSH, resolve))
      expect(await other.decode(Buffer.concat(packed))).toEqual({ name: value })
    }
    other.close()
  })
  test.each([
    ['a wrong version', Buffer.from([0x80, 2, 0, 1, 0, 0, 0, 0])],
    ['a frame that ends early', controlFrame(frameTypes.ping, 0, words(1)).subarray(0, 9)],
    ['a control frame that is too large', Buffer.from([0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff])],
  ])('%s is refused', async (_, bytes) => {
    await expect(async () => {
      for await (const frame of readFrames(inPieces(bytes, 100))) void frame
    }).rejects.toThrow(/SPDY/)
  })
  test('headers that are no zlib stream are refused', async () => {
    const decoder = createHeaderDecoder()
    await expect(decoder.decode(Buffer.from('nonsense'))).rejects.toThrow(/inflated/)
  })
})

describe('connections', () => {
  const open: { close(): void }[] = []
  afterEach(() => {
    for (const one of open.splice(0)) one.close()
  })
  async function pair(
    onStream: (stream: SpdyStream) => void,
  ): Promise<{ client: SpdyConnection; server: SpdyConnection }> {
    const sockets = await socketPair()
    open.push(sockets)
    return {
      client: createSpdyConnection(byteStreamOf(sockets.a), { role: 'client' }),
      server: createSpdyConnection(byteStreamOf(sockets.b), { role: 'server', onStream }),
    }
  }
  const echo = (stream: SpdyStream) => {
    void (async () => {
      for await (const chunk of stream.readable) await stream.write(chunk)
      await stream.end()
    })().catch(() => stream.reset())
  }

  test('streams keep their bytes and their headers apart', async () => {
    const types: string[] = []
    const { client } = await pair((stream) => {
      types.push(stream.headers['streamtype'] ?? '')
      echo(stream)
    })
    const streams = await Promise.all(['a', 'b', 'c'].map((type) => client.open({ streamType: type })))
    const answers = await Promise.all(
      streams.map(async (stream, i) => {
        await stream.write(Buffer.from(`hello ${i}`))
        await stream.end()
        return collect(stream.readable)
      }),
    )
    expect(answers).toEqual(['hello 0', 'hello 1', 'hello 2'])
    expect(types).toEqual(['a', 'b', 'c'])
  })
  test('100 MB come back through windows of 64 KB, and memory stays bounded', async () => {
    const { client } = await pair(echo)
    const stream = await client.open({})
    const chunk = Buffer.alloc(1 << 20, 'x')
    const total = 100 << 20
    let most = 0
    const before = process.memoryUsage().arrayBuffers
    const sending = (async () => {
      for (let sent = 0; sent < total; sent += chunk.length) await stream.write(chunk)
      await stream.end()
    })()
    let received = 0
    for await (const part of stream.readable) {
      received += part.length
      most = Math.max(most, process.memoryUsage().arrayBuffers - before)
    }
    await sending
    expect(received).toBe(total)
    expect(most).toBeLessThan(64 << 20)
  })
  test('a reader that does not read holds the writer back', async () => {
    let stalled: SpdyStream | undefined
    const { client } = await pair((stream) => {
      stalled = stream
    })
    const stream = await client.open({})
    let written = 0
    let stopped = false
    const writing = (async () => {
      while (!stopped && written < 200 << 20) {
        await stream.write(Buffer.alloc(64 << 10))
        written += 64 << 10
      }
    })()
    // Held back means: a whole turn of the pipe brings no more.
    for (let last = -1; last !== written || stalled === undefined; ) {
      last = written
      await new Promise((resolve) => setTimeout(resolve, 30))
    }
    expect(written).toBeLessThan(32 << 20)
    stopped = true
    for await (const part of stalled.readable) {
      void part
      if (written > 0) break
    }
    await writing
  })
  test('a peer that keeps windows is never sent more than it allowed', async () => {
    const sockets = await socketPair()
    open.push(sockets)
    sockets.b.setNoDelay(true)
    const connection = createSpdyConnection(byteStreamOf(sockets.a), { role: 'client' })
    const stream = await connection.open({})
    const allow = (bytes: number) => {
      for (const id of [0, stream.id]) sockets.b.write(controlFrame(frameTypes.windowUpdate, 0, words(id, bytes)))
      allowed += bytes
    }
    let allowed = 65536
    let received = 0
    let overrun = 0
    let ready = () => {}
    const answered = new Promise<void>((resolve) => {
      ready = resolve
    })
    allow(1)
    sockets.b.write(controlFrame(frameTypes.ping, 0, words(2)))
    const reading = (async () => {
      for await (const frame of readFrames(sockets.b)) {
        if (frame.control) {
          if (frame.type === frameTypes.ping) ready()
          continue
        }
        received += frame.payload.length
        overrun = Math.max(overrun, received - allowed)
        if (frame.flags === 1) return
        if (received === allowed) allow(50_000)
      }
    })()
    await answered
    await stream.write(Buffer.alloc(2 << 20))
    await stream.end()
    await reading
    expect(received).toBe(2 << 20)
    expect(overrun).toBe(0)
  })
  test('a reset reaches the reader and the writer', async () => {
    const { client } = await pair((stream) => void stream.reset())
    const stream = await client.open({})
    await expect(collect(stream.readable)).rejects.toThrow(/reset/)
    await expect(stream.write(Buffer.from('x'))).rejects.toThrow(/reset/)
  })
  test('when the connection breaks every reader hears of it', async () => {
    const sockets = await socketPair()
    open.push(sockets)
    const connection = createSpdyConnection(byteStreamOf(sockets.a), { role: 'client' })
    const stream = await connection.open({})
    const reading = collect(stream.readable)
    sockets.b.destroy()
    await expect(reading).rejects.toThrow()
    await connection.closed
    await expect(connection.open({})).rejects.toThrow()
  })
  test('what the peer said before it stopped listening is read to its end', async () => {
    const sockets = await socketPair()
    open.push(sockets)
    const pipe = byteStreamOf(sockets.a)
    let listening = true
    const write = (bytes: Uint8Array) => (listening ? pipe.write(bytes) : Promise.reject(new Error('EPIPE')))
    const client = createSpdyConnection({ ...pipe, write }, { role: 'client' })
    const stdin = await client.open({ streamtype: 'stdin' })
    const error = await client.open({ streamtype: 'error' })
    listening = false
    await expect(stdin.write(Buffer.from('too late'))).rejects.toThrow('EPIPE')
    await expect(stdin.write(Buffer.from('again'))).rejects.toThrow('EPIPE')
    sockets.b.write(dataFrame(error.id, 1, Buffer.from('{"status":"Success"}')))
    expect(await collect(error.readable)).toBe('{"status":"Success"}')
    sockets.b.end()
    expect(await client.closed).toMatchObject({ message: 'EPIPE' })
  })
  test('pings of the other side are answered', async () => {
    const sockets = await socketPair()
    open.push(sockets)
    createSpdyConnection(byteStreamOf(sockets.a), { role: 'server', onStream: () => {} })
    sockets.b.write(controlFrame(frameTypes.ping, 0, words(7)))
    for await (const frame of readFrames(sockets.b)) {
      expect(frame.control && frame.type === frameTypes.ping && frame.payload.readUInt32BE(0)).toBe(7)
      break
    }
  })
  test('nonsense ends the connection with an error', async () => {
    const sockets = await socketPair()
    open.push(sockets)
    const connection = createSpdyConnection(byteStreamOf(sockets.a), { role: 'server', onStream: () => {} })
    sockets.b.write(controlFrame(frameTypes.synStream, 0, words(1)))
    expect(await connection.closed).toBeInstanceOf(Error)
  })
})
