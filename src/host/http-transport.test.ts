import http from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import net, { type AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { createClient } from '../client/api-client.ts'
import { notes } from '../client/testing/fixtures.ts'
import { type Transport, TransportError } from '../ports/transport.ts'
import { createHttpTransport } from './http-transport.ts'
import { loopbackCert, loopbackKey } from './testing/loopback-cert.ts'

const pem = { cert: loopbackCert, key: loopbackKey }
const cleanups: (() => void)[] = []
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup()
})
type Handler = (request: http2.Http2ServerRequest, response: http2.Http2ServerResponse) => void

async function serve(handler: Handler, options: { h1?: boolean; port?: number } = {}) {
  const server = options.h1 ? https.createServer(pem, handler as never) : http2.createSecureServer(pem, handler)
  const sessions = new Set<http2.ServerHttp2Session>()
  server.on('session', (session: http2.ServerHttp2Session) => {
    sessions.add(session)
    session.on('close', () => sessions.delete(session))
  })
  await new Promise<void>((done) => server.listen(options.port ?? 0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  const stop = () => {
    for (const session of sessions) session.destroy()
    return new Promise<void>((done) => server.close(() => done()))
  }
  cleanups.push(() => void stop())
  return { server, port, sessions, stop, url: `https://127.0.0.1:${port}` }
}
function connect(url: string, more: { token?: () => string } = {}): Transport {
  const transport = createHttpTransport({ url, ca: pem.cert, ...more })
  cleanups.push(() => transport.close?.())
  return transport
}
const echo: Handler = (request, response) => {
  let text = ''
  request.on('data', (chunk: Buffer) => (text += chunk.toString()))
  request.on('end', () => {
    const body = JSON.stringify({
      version: request.httpVersion,
      method: request.method,
      path: request.url,
      type: request.headers['content-type'],
      authorization: request.headers.authorization,
      text,
    })
    response.setHeader('content-type', 'application/json')
    response.setHeader('content-length', Buffer.byteLength(body))
    response.end(body)
  })
}
const textOf = (body: Uint8Array | undefined) => JSON.parse(new TextDecoder().decode(body)) as Record<string, unknown>

describe.each([
  { name: 'HTTP/2', h1: false, version: '2.0' },
  { name: 'HTTP/1.1', h1: true, version: '1.1' },
])('http transport over $name', ({ h1, version }) => {
  it('sends an object as JSON with the bearer token', async () => {
    const { url } = await serve(echo, { h1 })
    const answer = await connect(url, { token: () => 't0ken' }).send({
      method: 'POST',
      path: '/a?b=c',
      object: { x: 'é' },
    })
    expect(answer.status).toBe(200)
    expect(textOf(answer.body)).toEqual({
      version,
      method: 'POST',
      path: '/a?b=c',
      type: 'application/json',
      authorization: 'Bearer t0ken',
      text: '{"x":"é"}',
    })
  })
  it('streams a watch until it is aborted, and the server sees the end', async () => {
    let ended: () => void = () => {}
    const seenByServer = new Promise<void>((done) => (ended = done))
    const { url } = await serve(
      (_request, response) => {
        response.setHeader('content-type', 'application/json')
        response.on('close', ended)
        for (const name of ['a', 'b'])
          response.write(`${JSON.stringify({ type: 'ADDED', object: { metadata: { name, resourceVersion: '1' } } })}\n`)
      },
      { h1 },
    )
    const stop = new AbortController()
    const seen: string[] = []
    for await (const event of createClient(connect(url)).resource(notes).watch({ signal: stop.signal })) {
      seen.push(event.type)
      if (seen.length === 2) stop.abort()
    }
    expect(seen).toEqual(['ADDED', 'ADDED'])
    await seenByServer
  })
  it('reports a stream that breaks as TransportError', async () => {
    const { url } = await serve(
      (_request, response) => {
        response.write('{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"7"}}}\n')
        setImmediate(() => response.stream?.destroy?.(new Error('crash')) ?? response.socket?.destroy())
      },
      { h1 },
    )
    const watch = createClient(connect(url)).resource(notes).watch()
    await expect(
      (async () => {
        for await (const event of watch) expect(event.type).toBe('BOOKMARK')
      })(),
    ).rejects.toBeInstanceOf(TransportError)
  })
})

describe('http transport', () => {
  it('connects again after the server was restarted', async () => {
    const first = await serve(echo)
    const transport = connect(first.url)
    expect((await transport.send({ method: 'GET', path: '/' })).status).toBe(200)
    await first.stop()
    await expect(transport.send({ method: 'GET', path: '/' })).rejects.toBeInstanceOf(TransportError)
    await serve(echo, { port: first.port })
    expect((await transport.send({ method: 'GET', path: '/' })).status).toBe(200)
  })
  it('shares one connection between parallel requests', async () => {
    const { url, sessions } = await serve(echo)
    const transport = connect(url)
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) => transport.send({ method: 'GET', path: `/${i}` })),
    )
    expect(answers.map((a) => textOf(a.body)['path'])).toEqual(Array.from({ length: 50 }, (_, i) => `/${i}`))
    expect(sessions.size).toBe(1)
  })
  it('refuses a server whose certificate it does not know', async () => {
    const { url } = await serve(echo)
    const transport = createHttpTransport({ url })
    await expect(transport.send({ method: 'GET', path: '/' })).rejects.toThrow(/self-signed certificate/)
  })
  it('gives up a server that does not answer pings', async () => {
    const { port } = await serve(echo)
    let cut = false
    const sockets: net.Socket[] = []
    // A wire that goes silent without closing, as a vanished machine does.
    const wire = net.createServer((near) => {
      const far = net.connect(port, '127.0.0.1')
      sockets.push(near, far)
      near.on('data', (chunk) => void (cut || far.write(chunk)))
      far.on('data', (chunk) => void (cut || near.write(chunk)))
      for (const socket of [near, far]) socket.on('error', () => undefined)
    })
    await new Promise<void>((done) => wire.listen(0, '127.0.0.1', done))
    cleanups.push(() => {
      for (const socket of sockets) socket.destroy()
      wire.close()
    })
    const url = `https://127.0.0.1:${(wire.address() as AddressInfo).port}`
    const transport = createHttpTransport({ url, ca: pem.cert, pingIntervalMs: 20 })
    cleanups.push(() => transport.close?.())
    expect((await transport.send({ method: 'GET', path: '/' })).status).toBe(200)
    cut = true
    await expect(transport.send({ method: 'GET', path: '/' })).rejects.toThrow(TransportError)
    cut = false
    expect((await transport.send({ method: 'GET', path: '/' })).status).toBe(200)
  })
  it('opens an upgraded stream and hands a refused one back as an answer', async () => {
    const server = http.createServer((_request, response) => response.writeHead(403).end('no'))
    server.on('upgrade', (request, socket) => {
      if (request.url === '/no') {
        socket.end('HTTP/1.1 400 Bad Request\r\ncontent-length: 3\r\n\r\nbad')
        return
      }
      socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: echo\r\n\r\nhello ')
      socket.on('data', (chunk: Buffer) => socket.write(chunk.toString().toUpperCase()))
      socket.on('end', () => socket.end())
    })
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    cleanups.push(() => server.close())
    const transport = createHttpTransport({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
    cleanups.push(() => transport.close?.())
    const request = { method: 'GET', headers: { upgrade: 'echo' } } as const
    const opened = await transport.upgrade?.({ ...request, path: '/yes' })
    if (!opened?.ok) throw new Error('not upgraded')
    await opened.stream.write(new TextEncoder().encode('world'))
    await opened.stream.end()
    let text = ''
    for await (const chunk of opened.stream.readable) text += new TextDecoder().decode(chunk)
    expect(text).toBe('hello WORLD')
    const refused = await transport.upgrade?.({ ...request, path: '/no' })
    expect(refused).toMatchObject({ ok: false, response: { status: 400 } })
  })
})
