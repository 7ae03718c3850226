import { request as httpsRequest } from 'node:https'
import { connect, type ClientHttp2Session } from 'node:http2'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as tlsConnect } from 'node:tls'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ApiRequest, ApiResponse, Sink } from '../apiserver/request.ts'
import { silentLog } from '../ports/log.ts'
import { type HttpServer, serveHttp } from './http-server.ts'
import { type HostIdentity, type KeyPairFiles, openIdentity } from './identity.ts'

let directory: string
let identity: HostIdentity
let server: HttpServer
let client: KeyPairFiles
let sink: Sink<Uint8Array> | undefined
let closed: Promise<void>
let seen: ApiRequest
const upgradeHeaders = { connection: 'Upgrade', upgrade: 'websocket' }
let leave: ApiResponse = { kind: 'bytes', status: 500, headers: {}, body: new Uint8Array() }
const big = new TextEncoder().encode('x'.repeat(300_000))

/** Answers by path what a test wants to see carried. */
async function handle(request: ApiRequest): Promise<ApiResponse> {
  seen = request
  const [path = ''] = request.path.split('?')
  const text = (status: number, body: string): ApiResponse => ({
    kind: 'bytes',
    status,
    headers: { 'content-type': 'text/plain' },
    body: new TextEncoder().encode(body),
  })
  switch (path) {
    case '/who':
      return text(200, JSON.stringify(request.certificate ?? null))
    case '/echo': {
      try {
        const bytes = (await request.body?.bytes(1000)) ?? new Uint8Array()
        return text(200, `${bytes.length}`)
      } catch (error) {
        return text(413, (error as Error).message)
      }
    }
    case '/big':
      return { kind: 'bytes', status: 200, headers: {}, body: big.subarray(0, 100), rest: big.subarray(100) }
    case '/unread':
      return text(401, 'no')
    case '/leave': {
      const readable = (async function* (): AsyncGenerator<Uint8Array> {})()
      const stream = { readable, write: async () => {}, end: async () => {}, destroy: () => {} }
      closed = new Promise((ended) => {
        leave = { kind: 'upgrade', headers: {}, upgraded: { type: 'raw', headers: upgradeHeaders, stream }, ended }
      })
      return leave
    }
    case '/watch': {
      let done = (): void => {}
      closed = new Promise((resolve) => {
        done = resolve
      })
      return {
        kind: 'stream',
        status: 200,
        headers: { 'content-type': 'application/json' },
        open(out) {
          sink = out
          out.write(new TextEncoder().encode('{"type":"ADDED"}\n'))
          return { drained: () => {}, close: done }
        },
      }
    }
    default:
      return text(404, 'nothing')
  }
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'cox-http-'))
  identity = openIdentity({ directory })
  const serving = identity.serving('apiserver', { dnsNames: ['localhost'], ipAddresses: ['127.0.0.1'] })
  client = identity.client('joe', { commonName: 'joe', organizations: ['devs'] })
  server = await serveHttp({
    host: '127.0.0.1',
    port: 0,
    certificatePem: serving.certificatePem,
    keyPem: serving.keyPem,
    clientCa: identity.ca.certificatePem,
    frontProxyCa: identity.frontProxy?.caPem ?? '',
    handle,
    log: silentLog,
  })
})
afterAll(async () => {
  await server.close(100)
  rmSync(directory, { recursive: true })
})

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly body: Buffer
}
interface Options {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array
  readonly pair?: KeyPairFiles
}
const tls = (pair?: KeyPairFiles) => ({
  ca: identity.ca.certificatePem,
  ...(pair === undefined ? {} : { cert: pair.certificatePem, key: pair.keyPem }),
})

function http1(path: string, { method = 'GET', headers = {}, body, pair }: Options = {}): Promise<Answer> {
  return new Promise((done, fail) => {
    const options = { host: '127.0.0.1', port: server.port, path, method, headers, agent: false, ...tls(pair) }
    const request = httpsRequest(options, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () =>
        done({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
      )
    })
    request.on('error', fail)
    request.end(body)
  })
}
function http2(path: string, { method = 'GET', headers = {}, body, pair }: Options = {}): Promise<Answer> {
  const session = connect(`https://127.0.0.1:${server.port}`, tls(pair))
  return new Promise<Answer>((done, fail) => {
    session.on('error', fail)
    const stream = session.request({ ':method': method, ':path': path, ...headers })
    let status = 0
    let answered: Answer['headers'] = {}
    const chunks: Buffer[] = []
    stream.on('response', (h) => {
      status = h[':status'] ?? 0
      answered = h
    })
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('end', () => done({ status, headers: answered, body: Buffer.concat(chunks) }))
    stream.on('error', fail)
    stream.end(body)
  }).finally(() => session.destroy())
}

describe.each([
  ['HTTP/1.1', http1],
  ['HTTP/2', http2],
])('%s', (_, send) => {
  it('carries requests and answers', async () => {
    const { status, body } = await send('/echo?a=b', { method: 'POST', body: Buffer.alloc(900) })
    expect([status, body.toString()]).toEqual([200, '900'])
    expect(seen.path).toBe('/echo?a=b')
    expect(seen.sourceAddress).toBe('127.0.0.1')
  })
  it('refuses a body that is too long', async () => {
    const { status, body } = await send('/echo', { method: 'POST', body: Buffer.alloc(5000) })
    expect([status, body.toString()]).toEqual([413, 'Request entity too large: limit is 1000'])
  })
  it('answers without reading what nobody wants', async () => {
    expect((await send('/unread', { method: 'POST', body: Buffer.alloc(200_000) })).status).toBe(401)
  })
  it('compresses long answers for those who take it', async () => {
    const plain = await send('/big')
    expect([plain.body.length, plain.headers['content-encoding']]).toEqual([300_000, undefined])
    const packed = await send('/big', { headers: { 'accept-encoding': 'gzip' } })
    expect(packed.headers['content-encoding']).toBe('gzip')
    expect(gunzipSync(packed.body).equals(big)).toBe(true)
  })
  it('knows who holds a certificate, and that a foreign one is worth nothing', async () => {
    expect((await send('/who')).body.toString()).toBe('null')
    expect(JSON.parse((await send('/who', { pair: client })).body.toString())).toEqual({
      name: 'joe',
      groups: ['devs'],
      sha256: new X509Certificate(client.certificatePem).fingerprint256.replaceAll(':', '').toLowerCase(),
      isUser: true,
      isFrontProxy: false,
    })
    expect(
      JSON.parse((await send('/who', { pair: identity.frontProxy as KeyPairFiles })).body.toString()),
    ).toMatchObject({
      name: 'front-proxy-client',
      isUser: false,
      isFrontProxy: true,
    })
    const elsewhere = mkdtempSync(join(tmpdir(), 'cox-http-'))
    const foreign = openIdentity({ directory: elsewhere }).client('joe', { commonName: 'joe' })
    expect((await send('/who', { pair: foreign })).body.toString()).toBe('"refused"')
    rmSync(elsewhere, { recursive: true })
  })
})

it('tells when a connection that left HTTP is over', async () => {
  const headers = upgradeHeaders
  const asked = httpsRequest({ host: '127.0.0.1', port: server.port, path: '/leave', headers, agent: false, ...tls() })
  asked.end()
  const [, socket] = (await once(asked, 'upgrade')) as [unknown, Socket]
  socket.destroy()
  await closed
})
it('a resumed session is of the same authority', async () => {
  const pair = identity.frontProxy as KeyPairFiles
  const options = { host: '127.0.0.1', port: server.port, ALPNProtocols: ['h2'], ...tls(pair) }
  const session = await new Promise<Buffer>((done, fail) => {
    const socket = tlsConnect(options)
    socket.on('error', fail)
    socket.once('session', (ticket: Buffer) => {
      done(ticket)
      socket.end()
    })
    socket.resume()
  })
  const socket = tlsConnect({ ...options, session })
  await new Promise((done) => socket.once('secureConnect', done))
  expect(socket.isSessionReused()).toBe(true)
  const again = connect(`https://127.0.0.1:${server.port}`, { createConnection: () => socket })
  const stream = again.request({ ':path': '/who' })
  let text = ''
  stream.on('data', (chunk: Buffer) => (text += chunk.toString()))
  await new Promise((done) => stream.on('end', done))
  again.close()
  expect(JSON.parse(text)).toMatchObject({ name: 'front-proxy-client', isUser: false, isFrontProxy: true })
})

describe('streams', () => {
  const session = (): ClientHttp2Session => connect(`https://127.0.0.1:${server.port}`, tls())
  it('push, and end the producer when the receiver leaves', async () => {
    const connection = session()
    const stream = connection.request({ ':path': '/watch' })
    const first = await new Promise<string>((done) => stream.once('data', (chunk: Buffer) => done(chunk.toString())))
    expect(first).toBe('{"type":"ADDED"}\n')
    const second = new Promise<string>((done) => stream.once('data', (chunk: Buffer) => done(chunk.toString())))
    sink?.write(new TextEncoder().encode('{"type":"MODIFIED"}\n'))
    expect(await second).toBe('{"type":"MODIFIED"}\n')
    stream.close()
    await closed
    connection.destroy()
  })
  it('end when the producer does', async () => {
    const connection = session()
    const stream = connection.request({ ':path': '/watch' })
    await new Promise((done) => stream.once('data', done))
    const ended = new Promise((done) => stream.on('end', done))
    sink?.end()
    await ended
    connection.destroy()
  })
  it('go over WebSockets too', async () => {
    const { WebSocket } = await import('ws')
    const socket = new WebSocket(`wss://127.0.0.1:${server.port}/watch`, { ca: identity.ca.certificatePem })
    const message = await new Promise<string>((done, fail) => {
      socket.once('message', (data: Buffer) => done(data.toString()))
      socket.once('error', fail)
    })
    expect(message.trim()).toBe('{"type":"ADDED"}')
    socket.close()
    await closed
  })
})

it('says what is wrong with an address in use', async () => {
  const serving = identity.serving('apiserver', { dnsNames: ['localhost'], ipAddresses: ['127.0.0.1'] })
  const again = serveHttp({
    host: '127.0.0.1',
    port: server.port,
    certificatePem: serving.certificatePem,
    keyPem: serving.keyPem,
    clientCa: identity.ca.certificatePem,
    handle,
    log: silentLog,
  })
  await expect(again).rejects.toMatchObject({ code: 'EADDRINUSE' })
})
