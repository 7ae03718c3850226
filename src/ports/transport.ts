// How a component calls an HTTP API: fetch-shaped, so that a direct call, a message port and HTTP/2 with TLS look alike.
// The direct carrier may pass objects as they are (`object`), which saves JSON text on both ways; every carrier accepts
// and may answer bytes.

export interface TransportRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'HEAD' | 'OPTIONS'
  /** Path with query, percent-encoded: /api/v1/namespaces/default/pods?limit=500 */
  readonly path: string
  /** Lower-case names. */
  readonly headers?: Readonly<Record<string, string>>
  /** At most one of the two. `object` is JSON-like data; the callee never keeps or changes it. */
  readonly body?: Uint8Array
  readonly object?: unknown
  readonly signal?: AbortSignal
}

export interface TransportResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** Exactly one of the three is set.
   * object: decoded and frozen; body: whole bytes; stream: a watch or a log, ended by `signal` or by the server. */
  readonly object?: unknown
  readonly body?: Uint8Array
  readonly stream?: ResponseStream
}
/** A streamed answer: bytes, or on the direct carrier of a watch the frozen event objects themselves. */
export type ResponseStream =
  | { readonly kind: 'bytes'; readonly chunks: AsyncIterable<Uint8Array> }
  | { readonly kind: 'objects'; readonly objects: AsyncIterable<unknown> }

export interface Transport {
  /** Throws only when no answer came (connection refused, broken, aborted): TransportError. */
  send(request: TransportRequest): Promise<TransportResponse>
  /** Opens a bidirectional stream (exec, attach, port-forward, proxied upgrades); see ByteStream. */
  upgrade?(request: TransportRequest): Promise<UpgradeResult>
  close?(): void
}
export type UpgradeResult =
  | { readonly ok: true; readonly stream: ByteStream; readonly headers: Readonly<Record<string, string>> }
  | { readonly ok: false; readonly response: TransportResponse }

/** A raw duplex of bytes with back-pressure on both sides. */
export interface ByteStream {
  readonly readable: AsyncIterable<Uint8Array>
  /** Resolves when the bytes were taken over; rejects when the stream is broken. */
  write(bytes: Uint8Array): Promise<void>
  /** Half-close: no more bytes from us. */
  end(): Promise<void>
  /** Ends both directions at once. */
  destroy(error?: Error): void
}

export class TransportError extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'TransportError'
  }
}
