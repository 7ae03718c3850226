// The direct carrier: components in the same process call the pipeline with objects and get frozen objects, no text and
// no sockets in between.
import { ApiError } from '../api/machinery/errors.ts'
import type { ByteStream, Transport, TransportRequest, TransportResponse, UpgradeResult } from '../ports/transport.ts'
import { TransportError } from '../ports/transport.ts'
import type { ApiRequest, ApiResponse, RequestBody, Sink, StreamHandle, UserInfo } from './request.ts'
import { concat } from './responders/view.ts'
import { known } from './authentication/authenticator.ts'

/** Items that wait for a reader in this process; beyond it the producer is told to wait. */
const highWater = 1000

export function directTransport(handle: (request: ApiRequest) => Promise<ApiResponse>, user: UserInfo): Transport {
  const caller = Object.freeze(known(user))
  return {
    async send(request) {
      if (request.signal?.aborted) throw new TransportError('the request was aborted')
      const response = await handle(asApiRequest(request, caller))
      return asTransportResponse(response, request.signal)
    },
    async upgrade(request): Promise<UpgradeResult> {
      const response = await handle({
        ...asApiRequest(request, caller),
        upgrade: request.headers?.['upgrade'] ?? 'raw',
      })
      if (response.kind !== 'upgrade') {
        return { ok: false, response: await asTransportResponse(response, request.signal) }
      }
      if (response.upgraded.type !== 'raw') {
        throw new TransportError('sessions in the same process go to the node directly')
      }
      return { ok: true, stream: response.upgraded.stream as ByteStream, headers: response.headers }
    },
  }
}

function asApiRequest(request: TransportRequest, user: UserInfo): ApiRequest {
  const { body } = request
  return {
    method: request.method,
    path: request.path,
    headers: request.headers ?? {},
    user,
    wantsObjects: request.headers?.['accept'] === undefined || !/as=|protobuf|yaml/.test(request.headers['accept']),
    ...(body === undefined ? {} : { body: wholeBody(body) }),
    ...(request.object === undefined ? {} : { object: request.object }),
    ...(request.signal === undefined ? {} : { signal: request.signal }),
  }
}

/** A body that is in memory. */
export const wholeBody = (bytes: Uint8Array): RequestBody => ({
  bytes: async (limitBytes) => {
    if (bytes.length > limitBytes) throw tooLarge(limitBytes)
    return bytes
  },
  async *stream() {
    yield bytes
  },
})
export const tooLarge = (limitBytes: number): ApiError =>
  new ApiError('RequestEntityTooLarge', `Request entity too large: limit is ${limitBytes}`)

async function asTransportResponse(response: ApiResponse, signal: AbortSignal | undefined): Promise<TransportResponse> {
  switch (response.kind) {
    case 'bytes':
      return {
        status: response.status,
        headers: response.headers,
        body: response.rest === undefined ? response.body : concat([response.body, response.rest]),
      }
    case 'object':
      return { status: response.status, headers: response.headers, object: response.object }
    case 'stream': {
      const chunks = iterate(response.open, signal)
      return { status: response.status, headers: response.headers, stream: { kind: 'bytes', chunks } }
    }
    case 'objects': {
      const objects = iterate(response.open, signal)
      return { status: response.status, headers: response.headers, stream: { kind: 'objects', objects } }
    }
    case 'upgrade':
      throw new TransportError('the server wants to upgrade a request that did not ask for it')
  }
}

/** A producer that pushes, as an iterable that is pulled. It is opened at once, so that nothing is missed. */
function iterate<T>(open: (sink: Sink<T>) => StreamHandle, signal: AbortSignal | undefined): AsyncIterable<T> {
  let queue: T[] = []
  let ended = false
  let blocked = false
  let wake: (() => void) | undefined
  const rouse = () => {
    wake?.()
    wake = undefined
  }
  const handle = open({
    write(item) {
      queue.push(item)
      rouse()
      blocked = queue.length >= highWater
      return !blocked
    },
    end() {
      ended = true
      rouse()
    },
  })
  const stop = () => {
    ended = true
    queue = []
    handle.close()
    rouse()
  }
  signal?.addEventListener('abort', stop)
  if (signal?.aborted) stop()
  return {
    async *[Symbol.asyncIterator]() {
      try {
        for (;;) {
          while (queue.length > 0) {
            const items = queue
            queue = []
            yield* items
          }
          if (blocked) {
            blocked = false
            handle.drained()
            if (queue.length > 0) continue
          }
          if (ended) return
          await new Promise<void>((done) => {
            wake = done
          })
        }
      } finally {
        signal?.removeEventListener('abort', stop)
        stop()
      }
    },
  }
}
