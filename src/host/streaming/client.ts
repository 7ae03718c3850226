// The calling end of exec, attach and port-forward: over SPDY (to a container runtime or an API server) on a pipe that has
// already left HTTP.
import type { StreamOptions, StreamSession } from '../../ports/container-runtime.ts'
import type { ByteStream } from '../../ports/transport.ts'
import { resultOf, type SessionResult } from './session-status.ts'
import { createSpdyConnection, type SpdyStream } from './spdy.ts'

/** Headers of the upgrade request that leads to `openSession` or `openPorts`. */
export const spdyUpgradeHeaders = (protocol: string): Record<string, string> => ({
  connection: 'Upgrade',
  upgrade: 'SPDY/3.1',
  'x-stream-protocol-version': protocol,
})

/** Starts an exec or attach (protocol v4) on `pipe`; the session owns it from here on. */
export async function openSession(pipe: ByteStream, options: StreamOptions): Promise<StreamSession> {
  const connection = createSpdyConnection(pipe, { role: 'client' })
  const open = (type: string) => connection.open({ streamtype: type })
  const error = await open('error')
  const stdin = options.stdin ? await open('stdin') : undefined
  const stdout = options.stdout ? await open('stdout') : undefined
  const stderr = options.stderr && !options.tty ? await open('stderr') : undefined
  const resize = options.tty ? await open('resize') : undefined
  const result = readResult(error, connection.closed)
  void result.then(() => Promise.all([drained(stdout), drained(stderr)])).then(() => connection.close())
  return {
    ...(stdin === undefined ? {} : { stdin: { write: (bytes) => stdin.write(bytes), end: () => stdin.end() } }),
    ...(stdout === undefined ? {} : { stdout: tolerant(stdout) }),
    ...(stderr === undefined ? {} : { stderr: tolerant(stderr) }),
    resize: async (width, height) => {
      await resize?.write(Buffer.from(`${JSON.stringify({ Width: width, Height: height })}\n`))
    },
    result,
    close: () => connection.destroy(),
  }
}

const finished = new WeakMap<SpdyStream, Promise<void>>()
const drained = (stream: SpdyStream | undefined) => (stream === undefined ? undefined : finished.get(stream))

/** A session's output ends when the stream does, however it does: what went wrong is said by the result. */
function tolerant(stream: SpdyStream): AsyncIterable<Uint8Array> {
  let done = () => {}
  finished.set(
    stream,
    new Promise((resolve) => {
      done = resolve
    }),
  )
  return {
    async *[Symbol.asyncIterator]() {
      try {
        for await (const chunk of stream.readable) yield chunk
      } catch (error) {
        if (!(error instanceof Error)) throw error
      } finally {
        done()
      }
    },
  }
}

async function readResult(error: SpdyStream, closed: Promise<Error | undefined>): Promise<SessionResult> {
  const chunks: Uint8Array[] = []
  try {
    for await (const chunk of error.readable) {
      chunks.push(chunk)
      // Some servers leave the stream open after the status: a whole JSON object is enough.
      if (chunk.at(-1) === 0x7d && isWhole(chunks)) break
    }
  } catch (cause) {
    if (chunks.length === 0)
      return { exitCode: undefined, message: cause instanceof Error ? cause.message : String(cause) }
  }
  if (chunks.length > 0) return resultOf(Buffer.concat(chunks).toString('utf8'))
  const why = await closed
  return { exitCode: undefined, message: why?.message ?? 'the connection ended without a result' }
}
function isWhole(chunks: readonly Uint8Array[]): boolean {
  try {
    JSON.parse(Buffer.concat(chunks).toString('utf8'))
    return true
  } catch (error) {
    if (error instanceof SyntaxError) return false
    throw error
  }
}

export interface PortForwarder {
  /** One connection to a port of the pod. Reading throws with the other end's words when it could not be made. */
  connect(port: number): Promise<ByteStream>
  close(): void
  readonly closed: Promise<Error | undefined>
}
/** Many connections over one pipe. */
export function openPorts(pipe: ByteStream): PortForwarder {
  const connection = createSpdyConnection(pipe, { role: 'client' })
  let nextRequest = 0
  return {
    closed: connection.closed,
    close: () => connection.destroy(),
    async connect(port) {
      const requestId = String(nextRequest++)
      const headers = { port: String(port), requestid: requestId }
      const error = await connection.open({ streamtype: 'error', ...headers })
      await error.end()
      const data = await connection.open({ streamtype: 'data', ...headers })
      const failure = Promise.race([readText(error), connection.closed.then(() => '')])
      return {
        readable: withFailure(data, failure),
        write: (bytes) => data.write(bytes),
        end: () => data.end(),
        destroy: () => {
          data.reset().catch(() => undefined)
          error.reset().catch(() => undefined)
        },
      }
    },
  }
}
async function readText(stream: SpdyStream): Promise<string> {
  const chunks: Uint8Array[] = []
  try {
    for await (const chunk of stream.readable) chunks.push(chunk)
  } catch (cause) {
    if (chunks.length === 0) return cause instanceof Error ? '' : String(cause)
  }
  return Buffer.concat(chunks).toString('utf8')
}
async function* withFailure(data: SpdyStream, failure: Promise<string>): AsyncGenerator<Uint8Array> {
  let cause: unknown
  try {
    for await (const chunk of data.readable) yield chunk
  } catch (error) {
    cause = error
  }
  const text = await failure
  if (text !== '') throw new Error(text)
  if (cause !== undefined) throw cause
}
