// Sessions and servers for the streaming tests: a scripted command, and an HTTP server that upgrades every request to it.
import http from 'node:http'
import net from 'node:net'
import type { AddressInfo } from 'node:net'
import type { UpgradedStream } from '../../../apiserver/request.ts'
import type { StreamOptions, StreamSession } from '../../../ports/container-runtime.ts'
import type { ByteStream } from '../../../ports/transport.ts'
import { createByteQueue } from '../byte-queue.ts'
import { byteStreamOf } from '../byte-stream.ts'
import { serveUpgrade } from '../upgrade.ts'

export interface FakeCommand {
  readonly session: StreamSession
  readonly sizes: [number, number][]
  readonly closed: () => boolean
}
/** A command that copies stdin to stdout (and a remark to stderr) and exits with `exitCode` when stdin ends. */
export function echoCommand(options: StreamOptions, exitCode = 0, stderrText = ''): FakeCommand {
  const stdout = createByteQueue(1 << 16)
  const stderr = createByteQueue(1 << 16)
  const sizes: [number, number][] = []
  let closed = false
  let exit: (result: { exitCode: number | undefined; message: string }) => void
  const result = new Promise<{ exitCode: number | undefined; message: string }>((resolve) => {
    exit = resolve
  })
  const finish = () => {
    if (stderrText !== '') void stderr.push(Buffer.from(stderrText))
    stdout.end()
    stderr.end()
    exit({ exitCode, message: '' })
  }
  if (!options.stdin) finish()
  return {
    sizes,
    closed: () => closed,
    session: {
      ...(options.stdin
        ? { stdin: { write: async (bytes: Uint8Array) => stdout.push(bytes.slice()), end: async () => finish() } }
        : {}),
      ...(options.stdout ? { stdout } : {}),
      ...(options.stderr ? { stderr } : {}),
      resize: async (width, height) => void sizes.push([width, height]),
      result,
      close() {
        closed = true
        stdout.end()
        stderr.end()
        exit({ exitCode: undefined, message: 'closed' })
      },
    },
  }
}

export interface UpgradeServer {
  readonly port: number
  close(): Promise<void>
}
/** Every upgrade request is served with what `produce` gives. */
export async function upgradeServer(produce: () => UpgradedStream): Promise<UpgradeServer> {
  const server = http.createServer()
  const open = new Set<net.Socket>()
  server.on('connection', (socket) => open.add(socket))
  server.on('upgrade', (request, socket, head) => void serveUpgrade({ request, socket, head }, {}, produce()))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        for (const socket of open) socket.destroy()
        server.close(() => resolve())
      }),
  }
}

/** A request that leaves HTTP; the pipe and the answer's headers. */
export function upgradeTo(
  port: number,
  headers: Record<string, string>,
): Promise<{ readonly status: number; readonly pipe: ByteStream; readonly headers: http.IncomingHttpHeaders }> {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port, method: 'POST', path: '/exec', headers })
    request.on('upgrade', (response, socket, head) =>
      resolve({ status: 101, pipe: byteStreamOf(socket, head), headers: response.headers }),
    )
    request.on('response', (response) => {
      response.resume()
      resolve({
        status: response.statusCode ?? 0,
        pipe: byteStreamOf(response.socket),
        headers: response.headers,
      })
    })
    request.on('error', reject)
    request.end()
  })
}

/** Two ends of a real TCP connection. */
export async function socketPair(): Promise<{ a: net.Socket; b: net.Socket; close(): void }> {
  const server = net.createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const accepted = new Promise<net.Socket>((resolve) => server.once('connection', resolve))
  const a = net.connect((server.address() as AddressInfo).port, '127.0.0.1')
  const b = await accepted
  server.close()
  return {
    a,
    b,
    close() {
      a.destroy()
      b.destroy()
    },
  }
}

/** A server inside the pod, for port-forward: echoes until half-closed. */
export async function echoServer(): Promise<{
  port: number
  connect: (port: number) => Promise<ByteStream>
  close(): void
}> {
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => socket.destroy())
    socket.pipe(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    port,
    close: () => void server.close(),
    connect: (wanted) =>
      new Promise((resolve, reject) => {
        const socket = net.connect({ port: wanted, host: '127.0.0.1', allowHalfOpen: true })
        socket.once('error', (error) => reject(new Error(`dial tcp4 127.0.0.1:${wanted}: ${error.message}`)))
        socket.once('connect', () => resolve(byteStreamOf(socket)))
      }),
  }
}

export async function collect(chunks: AsyncIterable<Uint8Array> | undefined): Promise<string> {
  const parts: Uint8Array[] = []
  for await (const chunk of chunks ?? []) parts.push(chunk)
  return Buffer.concat(parts).toString('utf8')
}
