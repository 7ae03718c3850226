import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import http from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import net, { type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import tls from 'node:tls'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { forward } from '../ingress/forward.ts'
import { type EdgeCertificate, type EdgeListener, type EdgeListenOptions, PortTakenError } from '../ports/http-edge.ts'
import { silentLog } from '../ports/log.ts'
import type { OutgoingTarget } from '../ports/outgoing.ts'
import { createHttpEdge } from './http-edge.ts'
import { createOutgoing } from './outgoing.ts'

const folder = mkdtempSync(join(tmpdir(), 'cox-edge-'))
const certificateFor = (name: string): EdgeCertificate => {
  const [cert, key] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)]
  const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`]
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  execFileSync('openssl', ['req', '-x509', ...kind, '-keyout', key, '-out', cert, ...subject], { stdio: 'ignore' })
  return { certificatePem: readFileSync(cert, 'utf8'), keyPem: readFileSync(key, 'utf8') }
}
let certificates: Record<string, EdgeCertificate>
beforeAll(() => {
  certificates = Object.fromEntries(['a.example', 'b.example', 'own.example'].map((n) => [n, certificateFor(n)]))
})
afterAll(() => rmSync(folder, { recursive: true }))

const outgoing = createOutgoing()
afterAll(() => outgoing.close())
const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

const edge = () => createHttpEdge({ log: silentLog, fallback: () => certificates['own.example'] as EdgeCertificate })
async function listen(options: Partial<EdgeListenOptions> & Pick<EdgeListenOptions, 'handle'>): Promise<EdgeListener> {
  const listener = await edge().listen({ port: 0, ...options })
  closing.push(() => listener.close())
  return listener
}
const portOf = (server: net.Server) => (server.address() as AddressInfo).port
async function backend<S extends net.Server>(server: S): Promise<number> {
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  closing.push(() => {
    ;(server as unknown as Partial<http.Server>).closeAllConnections?.()
    server.close()
  })
  return portOf(server)
}
const to =
  (port: number, more: Partial<OutgoingTarget> = {}): EdgeListenOptions['handle'] =>
  (request) =>
    forward(outgoing, request, [{ scheme: 'http', host: '127.0.0.1', port, ...more }], 80)

interface Got {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly body: string
}
const get = (options: https.RequestOptions & { readonly tls?: boolean }, body?: Readable | string): Promise<Got> =>
  new Promise((done, fail) => {
    const request = (options.tls ? https : http).request(
      { host: '127.0.0.1', agent: false, ...options },
      (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (chunk: string) => (text += chunk))
        response.on('end', () => done({ status: response.statusCode ?? 0, headers: response.headers, body: text }))
        response.on('error', fail)
      },
    )
    request.on('error', fail)
    if (body instanceof Readable) body.pipe(request)
    else request.end(body)
  })

const echo = () =>
  http.createServer((request, response) => {
    let size = 0
    request.on('data', (chunk: Buffer) => (size += chunk.length))
    request.on('end', () => {
      response.setHeader('set-cookie', ['a=1', 'b=2'])
      response.setHeader('connection', 'x-secret')
      response.setHeader('x-secret', 'hop')
      response.end(JSON.stringify({ url: request.url, method: request.method, headers: request.headers, size }))
    })
  })

describe('HTTP/1.1', () => {
  it('is forwarded with what a gateway must add and take away', async () => {
    const { port } = await listen({ handle: to(await backend(echo())) })
    const headers = {
      host: 'web.example:8080',
      'x-forwarded-for': '6.6.6.6',
      forwarded: 'for=6.6.6.6',
      connection: 'close, x-drop',
      'x-drop': 'gone',
      'x-keep': 'kept',
    }
    const answer = await get({ port, path: '/a%20b?c=d', method: 'POST', headers }, 'hello')
    const seen = JSON.parse(answer.body) as { url: string; size: number; headers: Record<string, string> }
    expect(answer.status).toBe(200)
    expect(answer.headers['set-cookie']).toEqual(['a=1', 'b=2'])
    expect(answer.headers['x-secret']).toBeUndefined()
    expect(seen).toMatchObject({ url: '/a%20b?c=d', method: 'POST', size: 5 })
    expect(seen.headers).toMatchObject({
      host: 'web.example:8080',
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-host': 'web.example:8080',
      'x-forwarded-proto': 'http',
      'x-forwarded-port': '80',
      'x-real-ip': '127.0.0.1',
      'x-keep': 'kept',
    })
    expect(seen.headers['x-drop']).toBeUndefined()
    expect(seen.headers['forwarded']).toBeUndefined()
  })
  it('a slow reader slows its backend: a large body is never held here whole', async () => {
    const chunk = Buffer.alloc(1 << 16)
    const total = 64 << 20
    let sent = 0
    const source = http.createServer((_request, response) => {
      Readable.from(
        (function* chunks() {
          for (; sent < total; sent += chunk.length) yield chunk
        })(),
      ).pipe(response)
    })
    const { port } = await listen({ handle: to(await backend(source)) })
    const socket = net.connect(port, '127.0.0.1')
    closing.push(() => socket.destroy())
    socket.write('GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n')
    socket.pause()
    // What fits into sockets and stream buffers is on its way; then nothing moves.
    let before = -1
    while (sent !== before) {
      before = sent
      await new Promise((done) => setTimeout(done, 200))
    }
    expect(sent).toBeGreaterThan(0)
    expect(sent).toBeLessThan(total / 2)
    let received = 0
    socket.on('data', (data) => (received += data.length))
    await new Promise((done) => socket.on('close', done).resume())
    expect(received).toBeGreaterThan(total)
  })
  it('large uploads arrive whole', async () => {
    const { port } = await listen({ handle: to(await backend(echo())) })
    const size = 20 << 20
    const body = Readable.from(Array.from({ length: 20 }, () => Buffer.alloc(1 << 20)))
    const answer = await get({ port, method: 'PUT', headers: { 'content-length': size } }, body)
    expect(JSON.parse(answer.body)).toMatchObject({ size })
  })
  it('WebSocket', async () => {
    const server = http.createServer()
    new WebSocketServer({ server }).on('connection', (socket) =>
      socket.on('message', (data) => socket.send(`you said ${(data as Buffer).toString()}`)),
    )
    const { port } = await listen({ handle: to(await backend(server)) })
    const client = new WebSocket(`ws://127.0.0.1:${port}/chat`)
    closing.push(() => client.terminate())
    await new Promise((done, fail) => client.on('open', done).on('error', fail))
    client.send('hi')
    expect(String(await new Promise((done) => client.on('message', done)))).toBe('you said hi')
  })
  it('a refused upgrade is answered as it is', async () => {
    const { port } = await listen({ handle: to(await backend(echo())) })
    const client = new WebSocket(`ws://127.0.0.1:${port}/`)
    await expect(new Promise((_, fail) => client.on('error', fail))).rejects.toThrow('Unexpected server response: 200')
  })
  it('no backend that answers: 502, and the next one is tried', async () => {
    const dead = net.createServer()
    const deadPort = await backend(dead)
    await new Promise((done) => dead.close(done))
    const alive = await backend(echo())
    const targets =
      (ports: readonly number[]): EdgeListenOptions['handle'] =>
      (request) =>
        forward(
          outgoing,
          request,
          ports.map((port) => ({ scheme: 'http' as const, host: '127.0.0.1', port })),
          80,
        )
    const one = await listen({ handle: targets([deadPort]) })
    const two = await listen({ handle: targets([deadPort, alive]) })
    expect((await get({ port: one.port })).status).toBe(502)
    expect((await get({ port: two.port })).status).toBe(200)
  })
  it('a handler that throws is 500, and the server goes on', async () => {
    const { port } = await listen({ handle: () => Promise.reject(new Error('defect')) })
    expect((await get({ port })).status).toBe(500)
    expect((await get({ port })).status).toBe(500)
  })
})

describe('TLS', () => {
  const named = (name: string | undefined) => (name === undefined ? undefined : certificates[name])
  const subject = (port: number, servername?: string): Promise<string> =>
    new Promise((done, fail) => {
      const socket = tls.connect({
        host: '127.0.0.1',
        port,
        rejectUnauthorized: false,
        ...(servername ? { servername } : {}),
      })
      socket.on('error', fail)
      socket.on('secureConnect', () => {
        done(String(socket.getPeerCertificate().subject.CN))
        socket.destroy()
      })
    })
  it('the certificate of the name, and its own for others', async () => {
    const { port } = await listen({ certificateFor: named, handle: to(await backend(echo())) })
    expect(await subject(port, 'a.example')).toBe('a.example')
    expect(await subject(port, 'b.example')).toBe('b.example')
    expect(await subject(port, 'c.example')).toBe('own.example')
    expect(await subject(port)).toBe('own.example')
  })
  it('a renewed certificate serves the next handshake; a broken one is replaced by its own', async () => {
    let current: EdgeCertificate | undefined = certificates['a.example']
    const { port } = await listen({ certificateFor: () => current, handle: to(await backend(echo())) })
    expect(await subject(port, 'x')).toBe('a.example')
    current = certificates['b.example']
    expect(await subject(port, 'x')).toBe('b.example')
    current = { certificatePem: 'no', keyPem: 'no' }
    expect(await subject(port, 'x')).toBe('own.example')
  })
  it('HTTP/1.1 and HTTP/2 by ALPN', async () => {
    const { port } = await listen({ certificateFor: named, handle: to(await backend(echo())) })
    const one = await get({ port, tls: true, rejectUnauthorized: false, servername: 'a.example' })
    expect((JSON.parse(one.body) as { headers: object }).headers).toMatchObject({ 'x-forwarded-proto': 'https' })
    const session = http2.connect(`https://127.0.0.1:${port}`, { rejectUnauthorized: false, servername: 'a.example' })
    closing.push(() => session.destroy())
    const stream = session.request({ ':path': '/two', ':authority': 'a.example' })
    const text = await new Response(Readable.toWeb(stream) as ReadableStream).text()
    expect(JSON.parse(text)).toMatchObject({ url: '/two', headers: { host: 'a.example' } })
  })
})

describe('gRPC', () => {
  it('goes through over plain HTTP/2, with its trailers', async () => {
    const server = http2.createServer()
    server.on('stream', (stream, headers) => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'grpc-message': 'fine' }))
      stream.end(`${headers['te'] as string} ${headers[':authority'] as string} `)
    })
    const { port } = await listen({ handle: to(await backend(server as unknown as net.Server)) })
    const session = http2.connect(`http://127.0.0.1:${port}`)
    closing.push(() => session.destroy())
    const stream = session.request({
      ':method': 'POST',
      ':path': '/pkg.Service/Call',
      ':authority': 'grpc.example',
      'content-type': 'application/grpc',
      te: 'trailers',
    })
    stream.end('request')
    const trailers = new Promise((done) => stream.on('trailers', done))
    expect(await new Response(Readable.toWeb(stream) as ReadableStream).text()).toBe('trailers grpc.example ')
    expect(await trailers).toMatchObject({ 'grpc-status': '0', 'grpc-message': 'fine' })
  })
  it('a backend that is not there is 502 here too', async () => {
    const dead = net.createServer()
    const port = await backend(dead)
    await new Promise((done) => dead.close(done))
    const listener = await listen({ handle: to(port, { http2: true }) })
    expect((await get({ port: listener.port })).status).toBe(502)
  })
})

it('says when a port is taken', async () => {
  const { port } = await listen({ handle: () => Promise.reject(new Error('no')) })
  await expect(edge().listen({ port, handle: () => Promise.reject(new Error('no')) })).rejects.toThrow(PortTakenError)
})
