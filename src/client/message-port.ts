// The carrier of the Transport port between threads: `messagePortTransport` at one end of a message channel, `serveMessagePort` with
// any Transport at the other. Only bytes cross, as a structured clone of an object costs three times its JSON (docs/decisions/0015).
// A stream is slowed down to its reader's pace; when one end goes, what is under way at the other ends with an error.
import {
  type ByteStream,
  type ResponseStream,
  type Transport,
  TransportError,
  type TransportRequest,
  type TransportResponse,
  type UpgradeResult,
} from '../ports/transport.ts'

/** What is used of a MessagePort, that of worker threads and of browsers alike. */
export interface MessagePortLike {
  postMessage(message: unknown): void
  addEventListener(type: 'message' | 'close', listener: (event: object) => void): void
  start(): void
  close(): void
}

/** Bytes of one stream that may be under way before its reader has taken them. */
const windowBytes = 1 << 20

type Headers = Readonly<Record<string, string>>
interface RequestMessage {
  readonly method: TransportRequest['method']
  readonly path: string
  readonly headers: Headers
  readonly body?: Uint8Array
}
/** Every message belongs to the exchange that `id` names, which the calling end counts up. */
type Message =
  | { readonly id: number; readonly type: 'send' | 'upgrade'; readonly request: RequestMessage }
  | {
      readonly id: number
      readonly type: 'answer'
      readonly status: number
      readonly headers: Headers
      body?: Uint8Array
    }
  | { readonly id: number; readonly type: 'upgraded'; readonly headers: Headers }
  | { readonly id: number; readonly type: 'bytes'; readonly bytes: Uint8Array }
  | { readonly id: number; readonly type: 'taken'; readonly count: number }
  | { readonly id: number; readonly type: 'end' }
  | { readonly id: number; readonly type: 'failed'; readonly message: string }

const encoder = new TextEncoder()
const toBytes = (value: unknown): Uint8Array => encoder.encode(JSON.stringify(value))
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** The bytes of one direction, at the end that receives them. */
class Inlet implements AsyncIterable<Uint8Array> {
  private readonly queue: Uint8Array[] = []
  private ended = false
  private error: Error | undefined
  private wake: (() => void) | undefined
  private readonly taken: (count: number) => void
  private readonly abandoned: () => void

  /** `taken` is told what the reader has taken, `abandoned` that it stopped before the end. */
  constructor(taken: (count: number) => void, abandoned: () => void) {
    this.taken = taken
    this.abandoned = abandoned
  }
  push(bytes: Uint8Array): void {
    this.queue.push(bytes)
    this.rouse()
  }
  /** What has come already can still be read. */
  end(error?: Error): void {
    this.ended = true
    this.error ??= error
    this.rouse()
  }
  private rouse(): void {
    this.wake?.()
    this.wake = undefined
  }
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        const bytes = this.queue.shift()
        if (bytes !== undefined) {
          this.taken(bytes.length)
          yield bytes
        } else if (this.error !== undefined) {
          throw this.error
        } else if (this.ended) {
          return
        } else {
          await new Promise<void>((done) => {
            this.wake = done
          })
        }
      }
    } finally {
      if (!this.ended) this.abandoned()
    }
  }
}

/** The bytes of one direction, at the end that sends them. */
class Outlet {
  private room = windowBytes
  private broken: Error | undefined
  private wake: (() => void)[] = []
  private readonly post: (bytes: Uint8Array) => void

  constructor(post: (bytes: Uint8Array) => void) {
    this.post = post
  }
  /** Resolves when the bytes are on their way; waits while the reader lags a whole window behind. */
  async write(bytes: Uint8Array): Promise<void> {
    while (this.room <= 0 && this.broken === undefined) await new Promise<void>((done) => this.wake.push(done))
    if (this.broken !== undefined) throw this.broken
    this.room -= bytes.length
    this.post(bytes)
  }
  taken(count: number): void {
    this.room += count
    this.rouse()
  }
  break(error: Error): void {
    this.broken ??= error
    this.rouse()
  }
  private rouse(): void {
    const waiting = this.wake
    this.wake = []
    for (const done of waiting) done()
  }
}

/** One exchange as either end sees it: what comes in, what may go out, and how it is told of its failure. */
interface Exchange {
  readonly inlet: Inlet
  readonly outlet: Outlet
  fail(error: Error): void
  answer?(message: Message): void
}

/** Both ends: exchanges by their id, and what the port says to them. */
class Exchanges {
  private readonly open = new Map<number, Exchange>()
  private closed = false
  private readonly port: MessagePortLike

  constructor(port: MessagePortLike, begin: (message: Message) => void) {
    this.port = port
    port.addEventListener('message', (event) => this.receive((event as { readonly data: Message }).data, begin))
    port.addEventListener('close', () => this.close())
    port.start()
  }
  post(message: Message): void {
    if (!this.closed) this.port.postMessage(message)
  }
  /** `abandoned` is called when the reader of the incoming bytes stops early. */
  begin(id: number, fail: (error: Error) => void, abandoned: () => void): Exchange {
    if (this.closed) throw new TransportError('the message port is closed')
    const inlet = new Inlet((count) => this.post({ id, type: 'taken', count }), abandoned)
    const outlet = new Outlet((bytes) => this.post({ id, type: 'bytes', bytes }))
    const exchange: Exchange = { inlet, outlet, fail }
    this.open.set(id, exchange)
    return exchange
  }
  get(id: number): Exchange | undefined {
    return this.open.get(id)
  }
  forget(id: number): void {
    this.open.delete(id)
  }
  /** Ends the exchange at this end; `tell` lets the other one know. */
  fail(id: number, error: Error, tell: boolean): void {
    const exchange = this.open.get(id)
    if (exchange === undefined) return
    this.open.delete(id)
    if (tell) this.post({ id, type: 'failed', message: error.message })
    exchange.inlet.end(error)
    exchange.outlet.break(error)
    exchange.fail(error)
  }
  close(): void {
    if (this.closed) return
    this.closed = true
    this.port.close()
    for (const id of this.open.keys()) this.fail(id, new TransportError('the message port was closed'), false)
  }

  private receive(message: Message, begin: (message: Message) => void): void {
    const exchange = this.open.get(message.id)
    switch (message.type) {
      case 'bytes':
        return exchange?.inlet.push(message.bytes)
      case 'taken':
        return exchange?.outlet.taken(message.count)
      case 'end':
        return exchange?.inlet.end()
      case 'failed':
        return this.fail(message.id, new TransportError(message.message), false)
      case 'send':
      case 'upgrade':
      case 'upgraded':
      case 'answer':
        return begin(message)
    }
  }
}

/** The calling end of an exchange that was answered. `settled` is called once it is over, however it ends. */
interface Answered {
  readonly id: number
  readonly answer: Message
  readonly open: Exchange
  readonly settled: () => void
}

function streamOf(exchanges: Exchanges, { id, open, settled }: Answered): ByteStream {
  let halves = 2
  const half = () => {
    halves--
    if (halves === 0) settled()
  }
  return {
    readable: finallyCall(open.inlet, half),
    write: (bytes) => open.outlet.write(bytes),
    async end() {
      exchanges.post({ id, type: 'end' })
      half()
    },
    destroy(error) {
      exchanges.fail(id, error ?? new TransportError('the stream was destroyed'), true)
    },
  }
}

async function* finallyCall(chunks: AsyncIterable<Uint8Array>, done: () => void): AsyncGenerator<Uint8Array> {
  try {
    yield* chunks
  } finally {
    done()
  }
}

function requestMessage(request: TransportRequest): RequestMessage {
  const body = request.body ?? (request.object === undefined ? undefined : toBytes(request.object))
  const headers = { ...request.headers }
  if (request.object !== undefined) headers['content-type'] ??= 'application/json'
  return { method: request.method, path: request.path, headers, ...(body === undefined ? {} : { body }) }
}

/**
 * A Transport over `port`, whose other end `serveMessagePort` answers. Its requests fail with a TransportError once the port is
 * closed or the thread at the other end has gone. `close` closes the port.
 */
export function messagePortTransport(port: MessagePortLike): Transport & { close(): void } {
  let last = 0
  const exchanges: Exchanges = new Exchanges(port, (message) => exchanges.get(message.id)?.answer?.(message))

  async function exchange(type: 'send' | 'upgrade', request: TransportRequest): Promise<Answered> {
    const { signal } = request
    if (signal?.aborted) throw new TransportError('the request was aborted')
    const id = ++last
    const abort = () => exchanges.fail(id, new TransportError('the request was aborted'), true)
    const settled = () => {
      signal?.removeEventListener('abort', abort)
      exchanges.forget(id)
    }
    return new Promise((resolve, reject) => {
      const failed = (error: Error) => {
        settled()
        reject(error)
      }
      const open = exchanges.begin(id, failed, abort)
      open.answer = (answer) => resolve({ id, answer, open, settled })
      signal?.addEventListener('abort', abort)
      exchanges.post({ id, type, request: requestMessage(request) })
    })
  }
  function responseOf({ answer, open, settled }: Answered, signal: AbortSignal | undefined): TransportResponse {
    if (answer.type !== 'answer') throw new TransportError(`the other end of the port answered "${answer.type}"`)
    const { status, headers, body } = answer
    if (body === undefined) {
      const chunks = untilAborted(finallyCall(open.inlet, settled), signal)
      return { status, headers, stream: { kind: 'bytes', chunks } }
    }
    settled()
    return { status, headers, body }
  }
  return {
    send: async (request) => responseOf(await exchange('send', request), request.signal),
    async upgrade(request): Promise<UpgradeResult> {
      const answered = await exchange('upgrade', request)
      if (answered.answer.type !== 'upgraded') return { ok: false, response: responseOf(answered, request.signal) }
      return { ok: true, headers: answered.answer.headers, stream: streamOf(exchanges, answered) }
    },
    close: () => exchanges.close(),
  }
}

/** An abort is the reader's own wish, and no error to it. */
async function* untilAborted(
  chunks: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  try {
    yield* chunks
  } catch (error) {
    if (!signal?.aborted) throw error
  }
}

/** Answers what comes over `port` by `transport`, with the rights that this one has. The returned function closes the port. */
export function serveMessagePort(port: MessagePortLike, transport: Transport): () => void {
  const exchanges: Exchanges = new Exchanges(port, (message) => {
    if (message.type !== 'send' && message.type !== 'upgrade') return
    const { id } = message
    const stop = new AbortController()
    const open = exchanges.begin(
      id,
      () => stop.abort(),
      () => stop.abort(),
    )
    const request: TransportRequest = { ...message.request, signal: stop.signal }
    const run = message.type === 'send' ? answer(id, open, transport.send(request)) : upgrade(id, open, request, stop)
    run.catch((error: unknown) => exchanges.fail(id, new TransportError(messageOf(error)), true))
  })

  async function answer(id: number, open: Exchange, pending: Promise<TransportResponse>): Promise<void> {
    const { status, headers, body, object, stream } = await pending
    if (stream === undefined) {
      exchanges.post({ id, type: 'answer', status, headers, body: body ?? toBytes(object) })
    } else {
      exchanges.post({ id, type: 'answer', status, headers })
      for await (const bytes of bytesOf(stream)) await open.outlet.write(bytes)
      exchanges.post({ id, type: 'end' })
    }
    exchanges.forget(id)
  }
  async function upgrade(id: number, open: Exchange, request: TransportRequest, stop: AbortController): Promise<void> {
    if (transport.upgrade === undefined) throw new TransportError('the API at the other end of the port has no streams')
    const result = await transport.upgrade(request)
    if (!result.ok) return answer(id, open, Promise.resolve(result.response))
    const { stream, headers } = result
    stop.signal.addEventListener('abort', () => stream.destroy())
    exchanges.post({ id, type: 'upgraded', headers })
    const outwards = async () => {
      for await (const bytes of stream.readable) await open.outlet.write(bytes)
      exchanges.post({ id, type: 'end' })
    }
    const inwards = async () => {
      for await (const bytes of open.inlet) await stream.write(bytes)
      await stream.end()
    }
    await Promise.all([outwards(), inwards()])
    exchanges.forget(id)
  }
  return () => exchanges.close()
}

async function* bytesOf(stream: ResponseStream): AsyncGenerator<Uint8Array> {
  if (stream.kind === 'bytes') {
    yield* stream.chunks
    return
  }
  for await (const event of stream.objects) yield encoder.encode(`${JSON.stringify(event)}\n`)
}
