// A gRPC server on a unix socket, on node:http2: unary calls and server streams, the counterpart of grpc.ts. It serves the
// few calls that others make to a node agent (a device plugin registers itself); tests serve whole plugins with it.
import { chmodSync, rmSync } from 'node:fs'
import * as http2 from 'node:http2'
import { Deframer, frame, GrpcError, type GrpcStatus, statusCode } from './grpc.ts'
import { decode, encode, type Message } from './protobuf.ts'

interface Served {
  readonly request: Message<unknown, unknown>
  readonly response: Message<unknown, unknown>
  readonly answer: (request: unknown, signal: AbortSignal) => Promise<unknown> | AsyncIterable<unknown>
}
/** Methods by path. */
export type Services = ReadonlyMap<string, Served>

interface MethodShape<In, OutAsked, Given, Out> {
  readonly path: string
  readonly request: Message<In, OutAsked>
  readonly response: Message<Given, Out>
}
/** An entry of Services. Errors of `answer` reach the caller: GrpcError as it is, others as Unknown. */
export const serves = <In, OutAsked, Given, Out>(
  method: MethodShape<In, OutAsked, Given, Out>,
  answer: (request: OutAsked, signal: AbortSignal) => Promise<NoInfer<Given>> | AsyncIterable<NoInfer<Given>>,
): readonly [string, Served] => [
  method.path,
  {
    request: method.request as Message<unknown, unknown>,
    response: method.response as Message<unknown, unknown>,
    answer: answer as Served['answer'],
  },
]

export interface GrpcServer {
  /** Ends every call; the socket is removed. */
  close(): Promise<void>
}

/** Listens at `path`; a socket that is left there is removed first. */
export async function serveGrpc(path: string, services: Services): Promise<GrpcServer> {
  const server = http2.createServer()
  const sessions = new Set<http2.ServerHttp2Session>()
  server.on('session', (session) => {
    sessions.add(session)
    session.on('close', () => sessions.delete(session))
    // A client that goes away takes its calls with it, and they end by themselves.
    session.on('error', () => session.destroy())
  })
  server.on('stream', (stream, headers) => {
    stream.on('error', () => stream.destroy())
    void serveCall(stream, services.get(headers[':path'] ?? ''))
  })
  rmSync(path, { force: true })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, resolve)
  })
  chmodSync(path, 0o600)
  return {
    async close() {
      for (const session of sessions) session.destroy()
      await new Promise<void>((resolve) => server.close(() => resolve()))
      rmSync(path, { force: true })
    },
  }
}

/** Boundary: what a call throws is answered as its status. */
async function serveCall(stream: http2.ServerHttp2Stream, served: Served | undefined): Promise<void> {
  const gone = new AbortController()
  stream.on('close', () => gone.abort())
  let status: { readonly code: number; readonly text: string } = { code: 0, text: '' }
  const begin = () => {
    if (!stream.headersSent && !stream.destroyed)
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
  }
  stream.on('wantTrailers', () =>
    stream.sendTrailers({ 'grpc-status': String(status.code), 'grpc-message': encodeURIComponent(status.text) }),
  )
  try {
    if (served === undefined) throw new GrpcError('Unimplemented', 'unknown method')
    const request = decode(served.request, await firstMessage(stream))
    const answer = served.answer(request, gone.signal)
    begin()
    if (Symbol.asyncIterator in answer) {
      for await (const one of answer) {
        if (gone.signal.aborted) return
        stream.write(frame(encode(served.response, one)))
      }
    } else stream.write(frame(encode(served.response, await answer)))
  } catch (error) {
    const name: GrpcStatus = error instanceof GrpcError ? error.status : 'Unknown'
    const text = error instanceof GrpcError ? error.description : error instanceof Error ? error.message : String(error)
    status = { code: statusCode(name), text }
  }
  if (stream.destroyed) return
  begin()
  stream.end()
}

/** Leaving a loop over the stream would destroy it, and the answer with it: so it is listened to. */
function firstMessage(stream: http2.ServerHttp2Stream): Promise<Uint8Array> {
  const deframer = new Deframer()
  return new Promise((resolve, reject) => {
    stream.on('data', (chunk: Buffer) => {
      try {
        const [message] = deframer.push(chunk)
        if (message !== undefined) resolve(message)
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)))
      }
    })
    stream.on('end', () => reject(new GrpcError('InvalidArgument', 'the call brought no message')))
    stream.on('close', () => reject(new GrpcError('Canceled', 'the caller went away')))
  })
}
