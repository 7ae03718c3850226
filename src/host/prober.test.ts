import http from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import net from 'node:net'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { hostProber } from './prober.ts'
import { loopbackCert, loopbackKey } from './testing/loopback-cert.ts'
import { encode, int, message } from './wire/protobuf.ts'

const servers: { close(): void }[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})
const listen = <S extends net.Server>(server: S): Promise<number> => {
  servers.push(server)
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)))
}
const get = (port: number, extra: Partial<Parameters<typeof hostProber.httpGet>[0]> = {}) =>
  hostProber.httpGet({ scheme: 'HTTP', host: '127.0.0.1', port, path: '/', headers: [], timeoutMs: 5_000, ...extra })
const closedPort = async () => {
  const server = net.createServer()
  const port = await listen(server)
  await new Promise((resolve) => server.close(resolve))
  return port
}

describe('HTTP', () => {
  test('status, body and headers; a redirect is told, not followed', async () => {
    const seen: http.IncomingMessage[] = []
    const port = await listen(
      http.createServer((request, response) => {
        seen.push(request)
        if (request.url?.startsWith('/moved')) response.writeHead(302, { location: '/there' }).end()
        else response.writeHead(418).end('x'.repeat(50_000))
      }),
    )
    const answer = await get(port, {
      path: '/a b?q=ü',
      headers: [
        { name: 'Host', value: 'example.org' },
        { name: 'X-Two', value: '1' },
        { name: 'X-Two', value: '2' },
      ],
    })
    expect(answer).toMatchObject({ ok: true, status: 418, body: 'x'.repeat(10 << 10) })
    expect(seen[0]?.url).toBe('/a%20b?q=%C3%BC')
    expect(seen[0]?.headers.host).toBe('example.org')
    expect(seen[0]?.headers['x-two']).toBe('1, 2')
    expect(await get(port, { path: '/moved' })).toMatchObject({ ok: true, status: 302, location: '/there' })
  })
  test('HTTPS without a look at the certificate', async () => {
    const port = await listen(
      https.createServer({ cert: loopbackCert, key: loopbackKey }, (_, response) => response.end('safe')),
    )
    expect(await get(port, { scheme: 'HTTPS' })).toMatchObject({ ok: true, status: 200, body: 'safe' })
  })
  test('failures by kind', async () => {
    expect(await get(await closedPort())).toEqual({
      ok: false,
      kind: 'refused',
      message: 'connect: connection refused',
    })
    const silent = await listen(net.createServer())
    expect(await get(silent, { timeoutMs: 50 })).toMatchObject({ ok: false, kind: 'timeout' })
    const rude = await listen(net.createServer((socket) => socket.destroy()))
    expect(await get(rude)).toMatchObject({ ok: false, kind: 'reset' })
    const other = await listen(net.createServer((socket) => socket.end('SSH-2.0\r\n\r\n')))
    expect(await get(other)).toMatchObject({ ok: false, kind: 'other' })
    expect(await get(1, { host: 'no-such-name.invalid' })).toMatchObject({ ok: false, kind: 'unknown-host' })
  })
})

test('TCP', async () => {
  const open = await listen(net.createServer())
  expect(await hostProber.tcpConnect('127.0.0.1', open, 1_000)).toEqual({ ok: true })
  expect(await hostProber.tcpConnect('127.0.0.1', await closedPort(), 1_000)).toMatchObject({ kind: 'refused' })
})

describe('gRPC', () => {
  const health = (statusByService: Record<string, number>) => {
    const server = http2.createServer()
    server.on('stream', (stream) => {
      const chunks: Buffer[] = []
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('end', () => {
        const service = Buffer.concat(chunks).subarray(7).toString()
        const status = statusByService[service]
        if (status === undefined)
          return stream.respond(
            { ':status': 200, 'grpc-status': '12', 'grpc-message': 'unknown%20service' },
            { endStream: true },
          )
        stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
        stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
        const body = encode(message({ status: int(1) }), { status })
        stream.end(Buffer.concat([Buffer.from([0, 0, 0, 0, body.length]), body]))
      })
    })
    return listen(server as unknown as net.Server)
  }
  test('statuses, and the server that knows no such service', async () => {
    const port = await health({ '': 1, down: 2 })
    expect(await hostProber.grpcHealth('127.0.0.1', port, '', 2_000)).toEqual({ ok: true, status: 'SERVING' })
    expect(await hostProber.grpcHealth('127.0.0.1', port, 'down', 2_000)).toEqual({ ok: true, status: 'NOT_SERVING' })
    expect(await hostProber.grpcHealth('127.0.0.1', port, 'none', 2_000)).toMatchObject({
      ok: false,
      code: 'Unimplemented',
      message: 'unknown service',
    })
  })
  test('nobody there, and nobody who answers', async () => {
    expect(await hostProber.grpcHealth('127.0.0.1', await closedPort(), '', 2_000)).toMatchObject({
      ok: false,
      kind: 'refused',
    })
    const silent = await listen(net.createServer())
    expect(await hostProber.grpcHealth('127.0.0.1', silent, '', 50)).toMatchObject({ ok: false, kind: 'timeout' })
  })
})
