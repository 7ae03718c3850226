// Where requests from outside the cluster arrive: a listening HTTP server (HTTP/1.1 and HTTP/2, with and without TLS) that
// asks for each request what to answer. It knows nothing of Ingresses.
import type { ByteStream } from './transport.ts'

export type EdgeHeaders = Readonly<Record<string, string | readonly string[]>>

export interface EdgeRequest {
  readonly method: string
  readonly scheme: 'http' | 'https'
  /** The host that the client asks for, with its port where it says one; '' when it says none. */
  readonly authority: string
  /** Path with query, percent-encoded, as the client wrote it. */
  readonly path: string
  readonly httpVersion: '1' | '2'
  /** Lower-case names, without HTTP/2's pseudo headers. */
  readonly headers: EdgeHeaders
  /** The body as it arrives; undefined where there surely is none. */
  readonly body?: AsyncIterable<Uint8Array>
  /** The client wants another protocol on this connection ("websocket"). */
  readonly upgrade?: string
  readonly sourceAddress: string
  /** Aborted when the client goes away. */
  readonly signal: AbortSignal
}

export type EdgeAnswer =
  | {
      readonly kind: 'response'
      readonly status: number
      readonly headers: EdgeHeaders
      /** Copied with back-pressure: it is asked for more when the client has taken what came before. */
      readonly body: Uint8Array | AsyncIterable<Uint8Array>
      /** Fields after the body; asked for when the body has ended. */
      readonly trailers?: () => EdgeHeaders
    }
  /** Only where the request had `upgrade`. */
  | { readonly kind: 'upgraded'; readonly headers: EdgeHeaders; readonly stream: ByteStream }

export interface EdgeCertificate {
  /** The certificate and what stands between it and its authority, PEM. */
  readonly certificatePem: string
  readonly keyPem: string
}

export interface EdgeListenOptions {
  /** On every address of the machine; 0 takes a free one. */
  readonly port: number
  /** TLS, with the certificate for the name that the client asks for. Undefined for an unknown name: the edge's own. */
  readonly certificateFor?: (serverName: string | undefined) => EdgeCertificate | undefined
  /** Must not reject; what it throws is answered with 500. */
  readonly handle: (request: EdgeRequest) => Promise<EdgeAnswer>
}
export interface EdgeListener {
  readonly port: number
  /** Takes no more connections, lets requests finish for a moment, then cuts. */
  close(): Promise<void>
}
export interface HttpEdge {
  /** Rejects with PortTakenError where another program has the port. */
  listen(options: EdgeListenOptions): Promise<EdgeListener>
}

export class PortTakenError extends Error {
  readonly port: number
  constructor(port: number, options?: { cause?: unknown }) {
    super(`port ${port} is taken by another program`, options)
    this.name = 'PortTakenError'
    this.port = port
  }
}
