// The serving end of exec, attach and port-forward over SPDY: streams are opened by the client and told apart by their
// headers.
import type { StreamOptions, StreamSession } from '../../ports/container-runtime.ts'
import type { ByteStream } from '../../ports/transport.ts'
import { copyBytes } from './byte-stream.ts'
import { readSizes, statusText } from './session-status.ts'
import { createSpdyConnection, type SpdyConnection, type SpdyStream } from './spdy.ts'

const streamTimeoutMs = 30_000

/** Protocol versions of exec and attach over SPDY, best first. */
export const remoteCommandVersions = ['v4.channel.k8s.io', 'v3.channel.k8s.io', 'v2.channel.k8s.io', 'channel.k8s.io']
export const portForwardVersion = 'portforward.k8s.io'
export const versionNumber = (protocol: string): number => Number(/(?:^|\.)v(\d+)\./.exec(`.${protocol}`)?.[1] ?? 1)

/** Runs one exec or attach over `pipe`, which is left closed. Returns when the session has ended and was told so. */
export async function serveSessionSpdy(
  pipe: ByteStream,
  protocol: string,
  options: StreamOptions,
  session: StreamSession,
): Promise<void> {
  const version = versionNumber(protocol)
  const arrived = new Map<string, SpdyStream>()
  const wanted = ['error']
  if (options.stdin) wanted.push('stdin')
  if (options.stdout) wanted.push('stdout')
  if (options.stderr && !options.tty) wanted.push('stderr')
  if (options.tty && version >= 3) wanted.push('resize')
  let complete: (all: boolean) => void = () => {}
  const all = new Promise<boolean>((resolve) => {
    complete = resolve
  })
  const connection = createSpdyConnection(pipe, {
    role: 'server',
    onStream(stream) {
      arrived.set(stream.headers['streamtype'] ?? '', stream)
      if (wanted.every((type) => arrived.has(type))) complete(true)
    },
  })
  const timer = setTimeout(() => complete(false), streamTimeoutMs)
  void connection.closed.then(() => {
    complete(false)
    session.close()
  })
  const ready = await all
  clearTimeout(timer)
  const error = arrived.get('error')
  if (!ready || error === undefined) {
    session.close()
    connection.destroy(new Error('the client did not open the streams in time'))
    return
  }
  await runSession(session, {
    stdin: arrived.get('stdin')?.readable,
    resize: arrived.get('resize')?.readable,
    stdout: arrived.get('stdout'),
    stderr: arrived.get('stderr'),
    finish: async (result) => {
      const text = statusText(result, version)
      if (text !== '') await error.write(Buffer.from(text))
      await error.end()
    },
  })
  await connection.close()
}

export interface SessionEnds {
  readonly stdin: AsyncIterable<Uint8Array> | undefined
  readonly resize: AsyncIterable<Uint8Array> | undefined
  readonly stdout: Pick<ByteStream, 'write' | 'end'> | undefined
  readonly stderr: Pick<ByteStream, 'write' | 'end'> | undefined
  readonly finish: (result: Awaited<StreamSession['result']>) => Promise<void>
}
/** Carries a session's streams to and from a client until the session has ended; a client that is gone ends it. */
export async function runSession(session: StreamSession, ends: SessionEnds): Promise<void> {
  const gone = () => session.close()
  const { stdin } = session
  if (ends.stdin !== undefined && stdin !== undefined) copyBytes(ends.stdin, stdin).catch(() => stdin.end().catch(gone))
  if (ends.resize !== undefined)
    readSizes(ends.resize, (width, height) => session.resize(width, height)).catch(() => undefined)
  const outputs: Promise<void>[] = []
  if (session.stdout !== undefined && ends.stdout !== undefined)
    outputs.push(copyBytes(session.stdout, ends.stdout).catch(gone))
  if (session.stderr !== undefined && ends.stderr !== undefined)
    outputs.push(copyBytes(session.stderr, ends.stderr).catch(gone))
  const result = await session.result
  await Promise.all(outputs)
  await ends.finish(result).catch(gone)
}

/** Serves port-forwarding over `pipe` until the client leaves: pairs of streams, each its own connection. */
export async function servePortsSpdy(pipe: ByteStream, connect: (port: number) => Promise<ByteStream>): Promise<void> {
  const pairs = new Map<string, { error?: SpdyStream; data?: SpdyStream; timer: NodeJS.Timeout }>()
  const connection: SpdyConnection = createSpdyConnection(pipe, {
    role: 'server',
    onStream(stream) {
      const type = stream.headers['streamtype']
      const port = Number(stream.headers['port'])
      if ((type !== 'error' && type !== 'data') || !Number.isInteger(port) || port < 1 || port > 65535) {
        stream.reset().catch(() => undefined)
        return
      }
      // Clients older than request ids number their streams in pairs: error first, then data.
      const id = stream.headers['requestid'] ?? String(type === 'error' ? stream.id : stream.id - 2)
      const pair = pairs.get(id) ?? { timer: setTimeout(() => expire(id), streamTimeoutMs) }
      pair[type] = stream
      pairs.set(id, pair)
      if (pair.error === undefined || pair.data === undefined) return
      clearTimeout(pair.timer)
      pairs.delete(id)
      void forward(pair.error, pair.data, port, connect)
    },
  })
  const expire = (id: string) => {
    const pair = pairs.get(id)
    pairs.delete(id)
    for (const stream of [pair?.error, pair?.data]) stream?.reset().catch(() => undefined)
  }
  await connection.closed
  for (const pair of pairs.values()) clearTimeout(pair.timer)
}

async function forward(
  error: SpdyStream,
  data: SpdyStream,
  port: number,
  connect: (port: number) => Promise<ByteStream>,
): Promise<void> {
  let target: ByteStream | undefined
  try {
    target = await connect(port)
    const from = target
    // When the pod's end closes, the client's is closed too: what it would still say has no reader.
    const up = copyBytes(data.readable, from)
    await Promise.all([copyBytes(from.readable, data), up])
    await error.end()
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause)
    await error.write(Buffer.from(message)).catch(() => undefined)
    await error.end().catch(() => undefined)
    await data.reset().catch(() => undefined)
  } finally {
    target?.destroy()
  }
}
