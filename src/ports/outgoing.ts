// Calls that the API server makes itself: webhooks, conversion webhooks, aggregated API servers, proxied pods and
// services. The caller decides the address; the port makes the connection (TLS as told, HTTP/1.1 or HTTP/2).
import type { ByteStream } from './transport.ts'

export interface OutgoingTarget {
  readonly scheme: 'http' | 'https'
  /** Address or name to connect to. */
  readonly host: string
  readonly port: number
  /** Name that the server's certificate must carry; default: `host`. */
  readonly serverName?: string
  /** PEM of the authorities to trust; default: the system's. */
  readonly caPem?: string
  /** Shown to a server that asks who calls, PEM. */
  readonly client?: { readonly certificatePem: string; readonly keyPem: string }
  /** Any certificate will do. */
  readonly insecure?: boolean
  /** HTTP/2 from the first byte on, as gRPC servers want it; default: HTTP/1.1. */
  readonly http2?: boolean
}

export interface OutgoingRequest {
  readonly method: string
  /** Path with query, percent-encoded. */
  readonly path: string
  /** Lower-case names. `host` is set from the target unless given. */
  readonly headers: Readonly<Record<string, string | readonly string[]>>
  readonly body?: Uint8Array | AsyncIterable<Uint8Array>
  /** Ends the call; the rejection is then an OutgoingError of kind 'aborted'. */
  readonly signal?: AbortSignal
}

export interface OutgoingResponse {
  readonly status: number
  /** Lower-case names; several values of one name are separate members. */
  readonly headers: Readonly<Record<string, string | readonly string[]>>
  /** The body as it arrives. Must be read or returned (`.return()`), or the connection hangs. */
  readonly body: AsyncIterable<Uint8Array>
  /** Fields that came after the body; there when it has ended. */
  readonly trailers: () => Readonly<Record<string, string | readonly string[]>>
}

export type OutgoingUpgrade =
  | { readonly ok: true; readonly headers: OutgoingResponse['headers']; readonly stream: ByteStream }
  | { readonly ok: false; readonly response: OutgoingResponse }

export interface Outgoing {
  /** Rejects with OutgoingError where no answer came. */
  send(target: OutgoingTarget, request: OutgoingRequest): Promise<OutgoingResponse>
  /** Asks for another protocol on the connection (`upgrade` and `connection` stand in the headers). */
  upgrade(target: OutgoingTarget, request: OutgoingRequest): Promise<OutgoingUpgrade>
}

/** No answer came. `message` says why in the words that Go programs use for it. */
export class OutgoingError extends Error {
  readonly kind: 'refused' | 'unreachable' | 'timeout' | 'certificate' | 'aborted' | 'broken'
  constructor(kind: OutgoingError['kind'], message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'OutgoingError'
    this.kind = kind
  }
}

/** A whole body; throws OutgoingError beyond `limitBytes`. */
export async function readWhole(body: AsyncIterable<Uint8Array>, limitBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of body) {
    size += chunk.length
    if (size > limitBytes) throw new OutgoingError('broken', `the answer is longer than ${limitBytes} bytes`)
    chunks.push(chunk)
  }
  const out = new Uint8Array(size)
  let at = 0
  for (const chunk of chunks) {
    out.set(chunk, at)
    at += chunk.length
  }
  return out
}

/** For servers that call nobody (tests, simulations without services). */
export const noOutgoing: Outgoing = {
  send: (target) => Promise.reject(new OutgoingError('unreachable', `no route to ${target.host}`)),
  upgrade: (target) => Promise.reject(new OutgoingError('unreachable', `no route to ${target.host}`)),
}
