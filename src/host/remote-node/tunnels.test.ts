import { mkdtempSync, rmSync } from 'node:fs'
import net, { type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { ApiError } from '../../api/machinery/errors.ts'
import { silentLog } from '../../ports/log.ts'
import type { NodeApi } from '../../ports/node-api.ts'
import { connectionServer, type HttpServer, serveHttp } from '../http-server.ts'
import { type HostIdentity, openIdentity } from '../identity.ts'
import { createOutgoing } from '../outgoing.ts'
import { systemClock } from '../system.ts'
import { answerNodeRequest } from './serve.ts'
import { openTunnel, type TunnelAgent } from './tunnel-agent.ts'
import { createTunnels, type Tunnels } from './tunnels.ts'

let directory: string
let identity: HostIdentity
let server: HttpServer
let tunnels: Tunnels
const agents: TunnelAgent[] = []
const bytes = (text: string) => new TextEncoder().encode(text)
async function* chunks(...texts: readonly string[]) {
  for (const text of texts) yield bytes(text)
}
const target = { namespace: 'ns', pod: 'a pod', container: 'c' }
const read = async (stream: AsyncIterable<Uint8Array> | undefined) => {
  let out = ''
  if (stream !== undefined) for await (const chunk of stream) out += new TextDecoder().decode(chunk)
  return out
}

/** A node that says what it was asked, in the way of a real one. */
const node: NodeApi = {
  containerLogs: async (asked, query) => {
    if (asked.pod !== target.pod) throw new ApiError('NotFound', `pods "${asked.pod}" not found`)
    return chunks(JSON.stringify(asked), JSON.stringify(query))
  },
  exec: async (_asked, command, options) => {
    const received: Uint8Array[] = []
    let ended = () => {}
    const whole = new Promise<void>((done) => {
      ended = done
    })
    const stdin = {
      write: async (part: Uint8Array) => void received.push(Buffer.from(part)),
      end: async () => ended(),
    }
    async function* stdout() {
      if (options.stdin) await whole
      yield bytes(`${command.join(' ')}: ${Buffer.concat(received).toString()}`)
    }
    const result = { exitCode: 7, message: '' }
    return { stdin, stdout: stdout(), resize: async () => {}, result: Promise.resolve(result), close: () => {} }
  },
  attach: () => Promise.reject(new ApiError('BadRequest', 'nothing to attach to')),
  portForward: () => Promise.reject(new ApiError('NotFound', 'no pod')),
  request: async ({ path }) => ({ status: 200, headers: { 'content-type': 'text/plain' }, body: bytes(`ok ${path}`) }),
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'cox-tunnels-'))
  identity = openIdentity({ directory })
  tunnels = createTunnels({
    log: silentLog,
    nodes: () => [{ name: 'n1', podCidrs: ['127.0.0.0/8'], addresses: ['192.0.2.7'] }],
  })
  server = await serveHttp({
    host: '127.0.0.1',
    port: 0,
    ...identity.serving('apiserver', { ipAddresses: ['127.0.0.1'] }),
    clientCa: identity.ca.certificatePem,
    handle: async () => ({ kind: 'bytes', status: 404, headers: {}, body: new Uint8Array() }),
    tunnel: (name, connection) => tunnels.accept(name, connection),
    log: silentLog,
  })
})
afterEach(async () => {
  for (const agent of agents.splice(0)) agent.close()
  await expect.poll(() => tunnels.connected).toEqual([])
})
afterAll(async () => {
  tunnels.close()
  await server.close(0)
  rmSync(directory, { recursive: true })
})

function open(commonName = 'system:node:n1', organizations = ['system:nodes']): TunnelAgent {
  const credentials = identity.client(commonName.replaceAll(':', '-'), { commonName, organizations })
  const agent = openTunnel({
    url: `https://127.0.0.1:${server.port}`,
    caPem: identity.ca.certificatePem,
    credentials: () => credentials,
    serveKubelet: connectionServer((request) => answerNodeRequest(node, request, silentLog), silentLog),
    mayReach: (host) => host === '127.0.0.1',
    clock: systemClock,
    log: silentLog,
  })
  agents.push(agent)
  return agent
}
const connected = () => expect.poll(() => tunnels.connected, { timeout: 10_000 }).toEqual(['n1'])

test('logs, paths and errors come through as the node gave them', async () => {
  open()
  await connected()
  const api = await tunnels.connect('n1')
  const stop = new AbortController()
  const log = await read(await api.containerLogs(target, { tailLines: 3, timestamps: true }, stop.signal))
  expect(log).toBe(
    `${JSON.stringify(target)}${JSON.stringify({ follow: false, previous: false, timestamps: true, tailLines: 3 })}`,
  )
  const answer = await api.request({ method: 'GET', path: '/healthz?x=1' })
  expect(answer.stream?.kind === 'bytes' && (await read(answer.stream.chunks))).toBe('ok /healthz?x=1')
  await expect(api.containerLogs({ ...target, pod: 'b' }, {}, stop.signal)).rejects.toMatchObject({
    reason: 'NotFound',
    message: 'pods "b" not found',
  })
  await expect(api.attach(target, { stdin: false, stdout: true, stderr: false, tty: false })).rejects.toMatchObject({
    reason: 'BadRequest',
    message: 'nothing to attach to',
  })
})
test('a session carries input, output and the exit code', async () => {
  open()
  await connected()
  const api = await tunnels.connect('n1')
  const session = await api.exec(target, ['say', 'it'], { stdin: true, stdout: true, stderr: false, tty: false })
  const big = 'x'.repeat(300_000)
  await session.stdin?.write(bytes(big))
  await session.stdin?.end()
  expect(await read(session.stdout)).toBe(`say it: ${big}`)
  expect(await session.result).toMatchObject({ exitCode: 7 })
})
test('addresses of the node are reached through it, others are not', async () => {
  open()
  await connected()
  const echo = net.createServer((socket) => socket.pipe(socket))
  await new Promise<void>((done) => echo.listen(0, '127.0.0.1', done))
  const { port } = echo.address() as AddressInfo
  const socket = await tunnels.dial('127.0.0.1', port)
  socket?.write('hello')
  expect(String(await new Promise((done) => socket?.once('data', done)))).toBe('hello')
  socket?.destroy()
  echo.close()
  await expect(tunnels.dial('127.0.0.2', 1)).rejects.toMatchObject({ code: 'EHOSTUNREACH' })
  expect(tunnels.dial('198.51.100.1', 1)).toBeUndefined()
  const outgoing = createOutgoing({ dial: (host, p) => tunnels.dial(host, p) })
  const call = outgoing.send({ scheme: 'http', host: '127.0.0.1', port: 1 }, { method: 'GET', path: '/', headers: {} })
  await expect(call).rejects.toMatchObject({ kind: 'refused' })
  outgoing.close()
})
test('a node that is gone is told, and one that comes back is found', async () => {
  const agent = open()
  await connected()
  agent.close()
  await expect.poll(() => tunnels.connected).toEqual([])
  const api = await tunnels.connect('n1')
  await expect(api.request({ method: 'GET', path: '/' })).rejects.toMatchObject({
    reason: 'ServiceUnavailable',
    message: 'no connection to node "n1"',
  })
  open()
  await connected()
  expect((await api.request({ method: 'GET', path: '/' })).status).toBe(200)
})
test('nobody but a node opens a tunnel', async () => {
  const agent = open('joe', ['devs'])
  const other = open('system:node:n2', ['devs'])
  open()
  await connected()
  expect([agent.connected, other.connected]).toEqual([false, false])
})
