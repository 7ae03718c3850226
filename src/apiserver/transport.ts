// The direct carrier: components in the same process call the pipeline with objects and get frozen objects, no text and
// no sockets in between.
import { ApiError } from '../api/machinery/errors.ts'
import type { ByteStream, Transport, TransportRequest, TransportResponse, UpgradeResult } from '../ports/transport.ts'
import { TransportError } from '../ports/transport.ts'
import { pulled } from './pulled.ts'
import type { ApiRequest, ApiResponse, RequestBody, UserInfo } from './request.ts'
import { concat } from './responders/view.ts'
import { known } from './authentication/authenticator.ts'

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
      const chunks = pulled(response.open, signal)
      return { status: response.status, headers: response.headers, stream: { kind: 'bytes', chunks } }
    }
    case 'objects': {
      const objects = pulled(response.open, signal)
      return { status: response.status, headers: response.headers, stream: { kind: 'objects', objects } }
    }
    case 'upgrade':
      throw new TransportError('the server wants to upgrade a request that did not ask for it')
  }
}
