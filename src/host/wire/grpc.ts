// A gRPC client for unix sockets on node:http2: unary calls and server streams, nothing else. The connection is made on
// the first call and again after it broke, so that a runtime that restarts is found again by the next call.
import * as http2 from 'node:http2'
import * as net from 'node:net'
import { decode, encode, type Message } from './protobuf.ts'

/** gRPC's status names by code, as they stand in its error texts. */
const statusNames = [
  'OK',
  'Canceled',
  'Unknown',
  'InvalidArgument',
  'DeadlineExceeded',
  'NotFound',
  'AlreadyExists',
  'PermissionDenied',
  'ResourceExhausted',
  'FailedPrecondition',
  'Aborted',
  'OutOfRange',
  'Unimplemented',
  'Internal',
  'Unavailable',
  'DataLoss',
  'Unauthenticated',
] as const
export type GrpcStatus = (typeof statusNames)[number]
export const statusCode = (name: GrpcStatus): number => statusNames.indexOf(name)

/** A call that the server refused or that did not come through (Unavailable, DeadlineExceeded, Canceled). The message
 * reads as gRPC users know it: "rpc error: code = NotFound desc = ...". */
export class GrpcError extends Error {
  readonly status: GrpcStatus
  readonly description: string
  constructor(status: GrpcStatus, description: string, options?: { cause?: unknown }) {
    super(`rpc error: code = ${status} desc = ${description}`, options)
    this.name = 'GrpcError'
    this.status = status
    this.description = description
  }
}
export const isGrpcError = (error: unknown, status: GrpcStatus): error is GrpcError =>
  error instanceof GrpcError && error.status === status

export interface Method<In, Out> {
  /** "/runtime.v1.RuntimeService/Version" */
  readonly path: string
  readonly request: Message<In, unknown>
  readonly response: Message<unknown, Out>
}
export interface CallOptions {
  readonly timeoutMs?: number
  readonly metadata?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
}
export interface GrpcClient {
  call<In, Out>(method: Method<In, Out>, request: NoInfer<In>, options?: CallOptions): Promise<Out>
  /** Ends when the server ends the stream; throws GrpcError. Leaving the loop cancels the call. */
  stream<In, Out>(method: Method<In, Out>, request: NoInfer<In>, options?: CallOptions): AsyncIterable<Out>
  /** Connects where it is not connected yet. Resolves when the server has answered, to a promise of the connection's end;
   * throws Unavailable where there is no server, or none that answers in time. */
  connected(timeoutMs: number): Promise<{ readonly lost: Promise<void> }>
  close(): void
}

const maxMessageBytes = 64 << 20

/** A message with the five bytes that gRPC puts before it. */
export function frame(content: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(content.length + 5)
  out[0] = 0
  out.writeUInt32BE(content.length, 1)
  out.set(content, 5)
  return out
}

/** Cuts a stream of gRPC frames into messages. */
export class Deframer {
  #rest: Buffer = Buffer.alloc(0)
  push(chunk: Buffer): Buffer[] {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    const messages: Buffer[] = []
    while (this.#rest.length >= 5) {
      if (this.#rest[0] !== 0) throw new GrpcError('Internal', 'compressed gRPC message was not asked for')
      const length = this.#rest.readUInt32BE(1)
      if (length > maxMessageBytes) throw new GrpcError('ResourceExhausted', `gRPC message of ${length} bytes`)
      if (this.#rest.length < 5 + length) break
      messages.push(this.#rest.subarray(5, 5 + length))
      this.#rest = this.#rest.subarray(5 + length)
    }
    return messages
  }
}

const unescape = (text: string) => {
  try {
    return decodeURIComponent(text)
  } catch (error) {
    if (error instanceof URIError) return text
    throw error
  }
}
/** The error that trailers (or a bare header answer) carry; undefined for OK. */
function errorOf(headers: http2.IncomingHttpHeaders): GrpcError | undefined {
  const status = headers['grpc-status']
  if (status === undefined) return new GrpcError('Unavailable', 'the server ended the call without a status')
  const code = Number(status)
  if (code === 0) return undefined
  return new GrpcError(statusNames[code] ?? 'Unknown', unescape(String(headers['grpc-message'] ?? '')))
}

interface Sink {
  message(content: Buffer): void
  end(error: GrpcError | undefined): void
}

/** `address`: unix:///run/x.sock, a path, or host:port. */
export function createGrpcClient(address: string): GrpcClient {
  const target = address.replace(/^unix:(\/\/)?/, '')
  let session: http2.ClientHttp2Session | undefined
  let closed = false
  let lastError: unknown
  /** Calls under way by connection. */
  const inFlight = new WeakMap<http2.ClientHttp2Session, number>()
  /** Connections on which the server has said its first word. */
  const answered = new WeakSet<http2.ClientHttp2Session>()

  const connect = (): http2.ClientHttp2Session => {
    if (closed) throw new GrpcError('Canceled', 'the client is closed')
    if (session !== undefined && !session.closed && !session.destroyed) return session
    const fresh = http2.connect('http://localhost', {
      createConnection: () => {
        const socket = target.startsWith('/') ? net.connect(target) : connectTcp(target)
        socket.on('error', (error) => {
          lastError = error
        })
        return socket
      },
      settings: { initialWindowSize: 4 << 20, enablePush: false },
    })
    // A call's own stream reports the failure; without a listener the session's would end the process.
    fresh.on('error', () => fresh.destroy())
    fresh.on('connect', () => {
      lastError = undefined
    })
    fresh.once('remoteSettings', () => answered.add(fresh))
    fresh.on('goaway', () => fresh.close())
    fresh.unref()
    session = fresh
    return fresh
  }

  const start = (path: string, content: Uint8Array, options: CallOptions, sink: Sink): (() => void) => {
    const http = connect()
    const count = (change: number) => {
      const calls = (inFlight.get(http) ?? 0) + change
      inFlight.set(http, calls)
      return calls
    }
    if (count(1) === 1) http.ref()
    const stream = http.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...(options.timeoutMs === undefined ? {} : { 'grpc-timeout': `${Math.ceil(options.timeoutMs)}m` }),
      ...options.metadata,
    })
    let ended = false
    const finish = (error: GrpcError | undefined) => {
      if (ended) return
      ended = true
      clearTimeout(deadline)
      options.signal?.removeEventListener('abort', cancel)
      // An idle connection keeps no process alive.
      if (count(-1) === 0) http.unref()
      if (error !== undefined && !stream.destroyed) stream.close(http2.constants.NGHTTP2_CANCEL)
      sink.end(error)
    }
    const cancel = () => finish(new GrpcError('Canceled', 'context canceled'))
    // The server keeps the deadline; a little later we keep it ourselves, for a server that is gone.
    const deadline =
      options.timeoutMs === undefined
        ? undefined
        : setTimeout(
            () => finish(new GrpcError('DeadlineExceeded', 'context deadline exceeded')),
            options.timeoutMs + 200,
          )
    const deframer = new Deframer()
    let early: http2.IncomingHttpHeaders = {}
    stream.on('response', (headers) => {
      early = headers
      const status = headers[':status']
      if (status !== 200) finish(new GrpcError('Unavailable', `unexpected HTTP status ${status}`))
    })
    stream.on('data', (chunk: Buffer) => {
      try {
        for (const one of deframer.push(chunk)) sink.message(one)
      } catch (error) {
        finish(error instanceof GrpcError ? error : new GrpcError('Internal', String(error)))
      }
    })
    stream.on('trailers', (headers) => finish(errorOf(headers)))
    stream.on('error', (error) =>
      finish(new GrpcError('Unavailable', `connection error: ${error.message}`, { cause: lastError ?? error })),
    )
    stream.on('end', () => {
      if ('grpc-status' in early) finish(errorOf(early))
    })
    stream.on('close', () => finish(new GrpcError('Unavailable', 'connection closed', { cause: lastError })))
    options.signal?.addEventListener('abort', cancel)
    if (options.signal?.aborted) cancel()
    else stream.end(frame(content))
    return cancel
  }

  return {
    call(method, request, options = {}) {
      return new Promise((resolve, reject) => {
        let answer: Buffer | undefined
        start(method.path, encode(method.request, request), options, {
          message: (content) => {
            answer = content
          },
          end: (error) => {
            if (error !== undefined) return reject(error)
            if (answer === undefined) return reject(new GrpcError('Internal', 'the call ended without an answer'))
            resolve(decode(method.response, answer))
          },
        })
      })
    },
    async *stream(method, request, options = {}) {
      const queue: Buffer[] = []
      let finished: { error: GrpcError | undefined } | undefined
      let wake = () => {}
      const cancel = start(method.path, encode(method.request, request), options, {
        message: (content) => {
          queue.push(content)
          wake()
        },
        end: (error) => {
          finished = { error }
          wake()
        },
      })
      try {
        for (;;) {
          const next = queue.shift()
          if (next !== undefined) yield decode(method.response, next)
          else if (finished !== undefined) {
            if (finished.error !== undefined) throw finished.error
            return
          } else
            await new Promise<void>((resolve) => {
              wake = resolve
            })
        }
      } finally {
        cancel()
      }
    },
    async connected(timeoutMs) {
      const http = connect()
      const lost = new Promise<void>((resolve) => http.once('close', resolve))
      if (answered.has(http)) return { lost }
      await new Promise<void>((resolve, reject) => {
        const fail = (why: string) => {
          clearTimeout(deadline)
          http.destroy()
          reject(new GrpcError('Unavailable', `connection error: ${why}`, { cause: lastError }))
        }
        const deadline = setTimeout(() => fail('the server does not answer'), timeoutMs)
        http.once('close', () => fail('connection closed'))
        http.once('remoteSettings', () => {
          clearTimeout(deadline)
          resolve()
        })
      })
      return { lost }
    },
    close() {
      closed = true
      session?.destroy()
    },
  }
}

function connectTcp(target: string): net.Socket {
  const colon = target.lastIndexOf(':')
  return net.connect(Number(target.slice(colon + 1)), target.slice(0, colon).replace(/^\[|\]$/g, ''))
}
