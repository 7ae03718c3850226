import http2 from 'node:http2'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createGrpcClient, type GrpcClient, GrpcError } from './grpc.ts'
import { encode, int, message } from './protobuf.ts'

const number = message({ n: int(1) })
const method = { path: '/test.Numbers/Next', request: number, response: number }
const frame = (n: number) => {
  const body = encode(number, { n })
  const head = Buffer.alloc(5)
  head.writeUInt32BE(body.length, 1)
  return Buffer.concat([head, body])
}

let folder: string
let socket: string
let server: http2.Http2Server
let client: GrpcClient
let answer: (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => void
const sessions = new Set<http2.ServerHttp2Session>()
async function listen(): Promise<void> {
  server = http2.createServer()
  server.on('session', (session) => sessions.add(session))
  server.on('stream', (stream, headers) => {
    stream.on('error', () => stream.destroy())
    answer(stream, headers)
  })
  await new Promise<void>((done) => server.listen(socket, done))
}
const stopServer = () =>
  new Promise<void>((done) => {
    for (const session of sessions) session.destroy()
    sessions.clear()
    server.close(() => done())
  })
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cox-grpc-'))
  socket = join(folder, 's.sock')
  await listen()
  client = createGrpcClient(`unix://${socket}`)
})
afterEach(async () => {
  client.close()
  await stopServer()
  rmSync(folder, { recursive: true })
})
/** Answers with numbers, then a status. */
const reply = (stream: http2.ServerHttp2Stream, numbers: readonly number[], status = '0', text = '') => {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
  stream.on('wantTrailers', () =>
    stream.sendTrailers({ 'grpc-status': status, 'grpc-message': encodeURIComponent(text) }),
  )
  for (const n of numbers) stream.write(frame(n))
  stream.end()
}
const failure = (call: Promise<unknown>): Promise<GrpcError> =>
  call.then(
    () => {
      throw new Error('the call should have failed')
    },
    (error: unknown) => error as GrpcError,
  )

describe('calls', () => {
  test('request, metadata and deadline arrive, the answer comes back', async () => {
    answer = (stream, headers) => {
      const chunks: Buffer[] = []
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('end', () => {
        expect(Buffer.concat(chunks)).toEqual(frame(41))
        expect(headers).toMatchObject({
          ':path': '/test.Numbers/Next',
          te: 'trailers',
          'grpc-timeout': '1500m',
          who: 'me',
        })
        reply(stream, [42])
      })
    }
    expect(await client.call(method, { n: 41 }, { timeoutMs: 1500, metadata: { who: 'me' } })).toEqual({ n: 42 })
  })
  test('a refusal has status and words, from trailers or from a bare head', async () => {
    answer = (stream) => reply(stream, [], '5', 'no "x" – not here')
    const late = await failure(client.call(method, {}))
    expect([late.status, late.message]).toEqual(['NotFound', 'rpc error: code = NotFound desc = no "x" – not here'])
    answer = (stream) => stream.respond({ ':status': 200, 'grpc-status': '12' }, { endStream: true })
    expect((await failure(client.call(method, {}))).status).toBe('Unimplemented')
  })
  test('a server that does not answer in time, or is told to stop', async () => {
    answer = () => {}
    expect((await failure(client.call(method, {}, { timeoutMs: 10 }))).status).toBe('DeadlineExceeded')
    const stop = new AbortController()
    const call = failure(client.call(method, {}, { signal: stop.signal }))
    stop.abort()
    expect((await call).status).toBe('Canceled')
    expect((await failure(client.call(method, {}, { signal: stop.signal }))).status).toBe('Canceled')
  })
  test('a server that goes is Unavailable, and found again when it is back', async () => {
    answer = (stream) => stream.session?.destroy()
    expect((await failure(client.call(method, {}))).status).toBe('Unavailable')
    await stopServer()
    const gone = await failure(client.call(method, {}))
    expect(gone.status).toBe('Unavailable')
    expect((gone.cause as NodeJS.ErrnoException).code).toBe('ENOENT')
    await listen()
    answer = (stream) => reply(stream, [7])
    expect(await client.call(method, {})).toEqual({ n: 7 })
  })
  test('nonsense instead of a message', async () => {
    answer = (stream) => {
      stream.respond({ ':status': 200 })
      stream.end(Buffer.from([1, 0, 0, 0, 1, 0]))
    }
    expect((await failure(client.call(method, {}))).status).toBe('Internal')
    answer = (stream) => stream.respond({ ':status': 502 }, { endStream: true })
    expect((await failure(client.call(method, {}))).description).toBe('unexpected HTTP status 502')
  })
})

describe('streams', () => {
  test('messages come one after the other, then the end or the error', async () => {
    answer = (stream) => reply(stream, [1, 2, 3])
    const seen: number[] = []
    for await (const { n } of client.stream(method, {})) seen.push(n)
    expect(seen).toEqual([1, 2, 3])
    answer = (stream) => reply(stream, [1], '14', 'going')
    const broken = async () => {
      for await (const { n } of client.stream(method, {})) seen.push(n)
    }
    expect((await failure(broken())).description).toBe('going')
    expect(seen).toEqual([1, 2, 3, 1])
  })
  test('leaving the loop ends the call at the server', async () => {
    let closed = false
    answer = (stream) => {
      stream.respond({ ':status': 200 })
      stream.write(frame(1))
      stream.on('close', () => {
        closed = true
      })
    }
    for await (const { n } of client.stream(method, {})) if (n === 1) break
    await expect.poll(() => closed).toBe(true)
  })
})
