import { afterEach, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import type { StreamOptions } from '../../ports/container-runtime.ts'
import { webSocketByteStream } from './byte-stream.ts'
import { openPorts, openSession, spdyUpgradeHeaders } from './client.ts'
import { serveStreamUpgrade } from './upgrade.ts'
import { collect, echoCommand, echoServer, type FakeCommand, upgradeServer, upgradeTo } from './testing/sessions.ts'
import http from 'node:http'
import type { AddressInfo } from 'node:net'

const cleanup: (() => void | Promise<void>)[] = []
afterEach(async () => {
  for (const run of cleanup.splice(0)) await run()
})
const all: StreamOptions = { stdin: true, stdout: true, stderr: true, tty: false }

async function execServer(options: StreamOptions, exitCode = 0, stderr = '') {
  const commands: FakeCommand[] = []
  const server = await upgradeServer(() => {
    const command = echoCommand(options, exitCode, stderr)
    commands.push(command)
    return { type: 'session', options, session: command.session }
  })
  cleanup.push(() => server.close())
  return { port: server.port, commands }
}
async function overSpdy(port: number, options: StreamOptions) {
  const { status, pipe, headers } = await upgradeTo(port, spdyUpgradeHeaders('v4.channel.k8s.io'))
  expect(status).toBe(101)
  expect(headers['x-stream-protocol-version']).toBe('v4.channel.k8s.io')
  return openSession(pipe, options)
}

describe('exec over SPDY', () => {
  test('stdin, stdout, stderr and the exit code', async () => {
    const { port } = await execServer(all, 3, 'bad')
    const session = await overSpdy(port, all)
    await session.stdin?.write(Buffer.from('hello'))
    await session.stdin?.end()
    expect(await Promise.all([collect(session.stdout), collect(session.stderr)])).toEqual(['hello', 'bad'])
    expect((await session.result).exitCode).toBe(3)
  })
  test('without stdin a command just ends', async () => {
    const options = { ...all, stdin: false }
    const { port } = await execServer(options)
    const session = await overSpdy(port, options)
    expect(await collect(session.stdout)).toBe('')
    expect(await session.result).toEqual({ exitCode: 0, message: '' })
  })
  test('a terminal is resized and has no stderr', async () => {
    const options = { ...all, stderr: false, tty: true }
    const { port, commands } = await execServer(options)
    const session = await overSpdy(port, options)
    await session.resize(80, 24)
    await session.resize(132, 50)
    await session.stdin?.write(Buffer.from('x'))
    await session.stdin?.end()
    expect(await collect(session.stdout)).toBe('x')
    await session.result
    expect(commands[0]?.sizes).toEqual([
      [80, 24],
      [132, 50],
    ])
  })
  test('a client that leaves closes the session', async () => {
    const { port, commands } = await execServer(all)
    const session = await overSpdy(port, all)
    await session.stdin?.write(Buffer.from('x'))
    session.close()
    expect((await session.result).exitCode).toBeUndefined()
    await expect.poll(() => commands[0]?.closed()).toBe(true)
  })
  test('100 MB through a command, memory bounded', async () => {
    const { port } = await execServer(all)
    const session = await overSpdy(port, all)
    const before = process.memoryUsage().arrayBuffers
    let most = 0
    const chunk = Buffer.alloc(256 << 10, 'y')
    const total = 100 << 20
    const writing = (async () => {
      for (let sent = 0; sent < total; sent += chunk.length) await session.stdin?.write(chunk)
      await session.stdin?.end()
    })()
    let received = 0
    for await (const part of session.stdout ?? []) {
      received += part.length
      most = Math.max(most, process.memoryUsage().arrayBuffers - before)
    }
    await writing
    expect(received).toBe(total)
    expect(most).toBeLessThan(64 << 20)
  })
  test('a client of unknown version is refused and the session closed', async () => {
    const { port, commands } = await execServer(all)
    const answer = await upgradeTo(port, spdyUpgradeHeaders('v9.channel.k8s.io'))
    expect(answer.status).toBe(403)
    expect(answer.headers['x-accepted-stream-protocol-versions']).toContain('v4.channel.k8s.io')
    expect(commands[0]?.closed()).toBe(true)
  })
})

/** Messages by channel, until the server closes. */
async function webSocketSession(port: number, protocol: string, send: (socket: WebSocket) => void) {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`, protocol === '' ? [] : [protocol], {
    perMessageDeflate: false,
  })
  const byChannel = new Map<number, string>()
  let first: Buffer | undefined
  socket.on('message', (data: Buffer) => {
    if (first === undefined) {
      first = data
      send(socket)
    }
    const base64 = protocol.includes('base64')
    const channel = base64 ? (data[0] ?? 0) - 0x30 : (data[0] ?? -1)
    const text = base64 ? Buffer.from(data.toString('latin1', 1), 'base64').toString() : data.toString('latin1', 1)
    byChannel.set(channel, (byChannel.get(channel) ?? '') + text)
  })
  const code = await new Promise<number>((resolve, reject) => {
    socket.on('close', resolve)
    socket.on('error', reject)
  })
  return { byChannel, code, protocol: socket.protocol, first }
}

describe('exec over WebSocket', () => {
  test('v5 closes stdin by a message and ends with a status', async () => {
    const { port } = await execServer(all, 7, 'warned')
    const { byChannel, code, protocol, first } = await webSocketSession(port, 'v5.channel.k8s.io', (socket) => {
      socket.send(Buffer.from('\0hello '))
      socket.send(Buffer.from('\0world'))
      socket.send(Buffer.from([255, 0]))
    })
    expect(protocol).toBe('v5.channel.k8s.io')
    expect(first).toEqual(Buffer.from([1]))
    expect(byChannel.get(1)).toBe('hello world')
    expect(byChannel.get(2)).toBe('warned')
    expect(JSON.parse(byChannel.get(3) ?? '')).toMatchObject({
      status: 'Failure',
      reason: 'NonZeroExitCode',
      details: { causes: [{ reason: 'ExitCode', message: '7' }] },
    })
    expect(code).toBe(1000)
  })
  test.each([
    ['v4.channel.k8s.io', '{"metadata":{},"status":"Success"}'],
    ['v4.base64.channel.k8s.io', '{"metadata":{},"status":"Success"}'],
    ['channel.k8s.io', undefined],
    ['base64.channel.k8s.io', undefined],
    ['', undefined],
  ])('protocol "%s" ends with %s', async (protocol, status) => {
    const { port } = await execServer({ ...all, stdin: false })
    const { byChannel, code } = await webSocketSession(port, protocol, () => {})
    expect(byChannel.get(3)).toBe(status)
    expect(code).toBe(1000)
  })
  test('a terminal is resized', async () => {
    const options = { ...all, stderr: false, tty: true }
    const { port, commands } = await execServer(options)
    await webSocketSession(port, 'v5.channel.k8s.io', (socket) => {
      socket.send(Buffer.from('\x04{"Width":100,"Height":40}'))
      socket.send(Buffer.from([255, 0]))
    })
    expect(commands[0]?.sizes).toEqual([[100, 40]])
  })
  test('a client that leaves closes the session', async () => {
    const { port, commands } = await execServer(all)
    await webSocketSession(port, 'v5.channel.k8s.io', (socket) => socket.terminate())
    await expect.poll(() => commands[0]?.closed()).toBe(true)
  })
  test('an unknown subprotocol is answered with 400', async () => {
    const { port, commands } = await execServer(all)
    const socket = new WebSocket(`ws://127.0.0.1:${port}/`, ['v9.channel.k8s.io'])
    const error = await new Promise<Error>((resolve) => socket.on('error', resolve))
    expect(error.message).toContain('400')
    expect(commands[0]?.closed()).toBe(true)
  })
})

async function portServer() {
  const pod = await echoServer()
  cleanup.push(() => pod.close())
  const server = await upgradeServer(() => ({ type: 'ports', ports: [pod.port, 1], connect: pod.connect }))
  cleanup.push(() => server.close())
  return { port: server.port, podPort: pod.port }
}

describe('port-forward', () => {
  const roundTrips = async (forwarder: ReturnType<typeof openPorts>, podPort: number) => {
    const answers = await Promise.all(
      ['one', 'two', 'three'].map(async (text) => {
        const connection = await forwarder.connect(podPort)
        await connection.write(Buffer.from(text))
        await connection.end()
        return collect(connection.readable)
      }),
    )
    expect(answers).toEqual(['one', 'two', 'three'])
    const refused = await forwarder.connect(1)
    await expect(collect(refused.readable)).rejects.toThrow(/dial tcp4 127.0.0.1:1: /)
    forwarder.close()
  }
  test('over SPDY, several connections at once, and one that is refused', async () => {
    const { port, podPort } = await portServer()
    const { pipe } = await upgradeTo(port, spdyUpgradeHeaders('portforward.k8s.io'))
    await roundTrips(openPorts(pipe), podPort)
  })
  test('over SPDY inside a WebSocket, under a subprotocol name with a slash', async () => {
    const { port, podPort } = await portServer()
    const socket = new WebSocket(`ws://127.0.0.1:${port}/`, {
      perMessageDeflate: false,
      headers: {
        'sec-websocket-protocol': 'SPDY/3.1+portforward.k8s.io',
      },
    })
    // The client half of `ws` did not ask, in its own eyes, and would refuse the answer's subprotocol.
    let answered: string | undefined
    socket.on('upgrade', (response) => {
      answered = response.headers['sec-websocket-protocol']
      delete response.headers['sec-websocket-protocol']
    })
    await new Promise((resolve, reject) => {
      socket.on('open', resolve)
      socket.on('error', reject)
    })
    expect(answered).toBe('SPDY/3.1+portforward.k8s.io')
    await roundTrips(openPorts(webSocketByteStream(socket)), podPort)
  })
  test('over WebSocket channels', async () => {
    const { port, podPort } = await portServer()
    const socket = new WebSocket(`ws://127.0.0.1:${port}/`, ['v4.channel.k8s.io'])
    const seen = new Map<number, Buffer[]>()
    socket.on('message', (data: Buffer) => {
      const channel = data[0] ?? -1
      seen.set(channel, [...(seen.get(channel) ?? []), data.subarray(1)])
      if (channel === 1) socket.send(Buffer.from('\0ping'))
    })
    await expect.poll(() => seen.get(0)?.length).toBe(2)
    await expect.poll(() => seen.get(3)?.length).toBe(2)
    expect(seen.get(0)?.[0]?.readUInt16LE()).toBe(podPort)
    expect(seen.get(0)?.[1]?.toString()).toBe('ping')
    expect(seen.get(3)?.[0]?.readUInt16LE()).toBe(1)
    expect(seen.get(3)?.[1]?.toString()).toMatch(/dial tcp4/)
    socket.terminate()
  })
})

describe('streamed answers over WebSocket', () => {
  async function* log() {
    yield Buffer.from('first\nsec')
    yield Buffer.from('ond\n')
  }
  test.each([
    ['bytes', 'binary.k8s.io', ['first\nsec', 'ond\n']],
    ['bytes', 'base64.binary.k8s.io', ['Zmlyc3QKc2Vj', 'b25kCg==']],
    ['lines', '', ['first', 'second']],
  ] as const)('%s under "%s"', async (style, protocol, expected) => {
    const server = http.createServer()
    server.on(
      'upgrade',
      (request, socket, head) => void serveStreamUpgrade({ request, socket, head }, {}, style, log(), () => {}),
    )
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    cleanup.push(() => void server.close())
    const socket = new WebSocket(
      `ws://127.0.0.1:${(server.address() as AddressInfo).port}/`,
      protocol === '' ? [] : [protocol],
    )
    const messages: string[] = []
    socket.on('message', (data: Buffer) => messages.push(data.toString()))
    await new Promise((resolve) => socket.on('close', resolve))
    expect(messages).toEqual(expected)
  })
})
