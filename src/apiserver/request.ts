// What goes into the API server and what comes out, without sockets: the host turns HTTP into an ApiRequest and an
// ApiResponse back into HTTP. A response is data or a promise of data; the server never touches a connection.
import type { StreamOptions, StreamSession } from '../ports/container-runtime.ts'
import type { ByteStream, TransportRequest } from '../ports/transport.ts'

/** Who asks. Groups always hold system:authenticated or system:unauthenticated. */
export interface UserInfo {
  readonly name: string
  readonly uid?: string
  readonly groups: readonly string[]
  readonly extra?: Readonly<Record<string, readonly string[]>>
}

/** A request body that has not been read yet. */
export interface RequestBody {
  /** The whole body; asked again, the same bytes. Throws ApiError RequestEntityTooLarge beyond `limitBytes`. */
  bytes(limitBytes: number): Promise<Uint8Array>
  /** The body as it arrives, for proxied requests. */
  stream(): AsyncIterable<Uint8Array>
}

export interface ApiRequest {
  readonly method: TransportRequest['method']
  /** Path with query, percent-encoded. */
  readonly path: string
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body?: RequestBody
  /** In-process callers: the decoded body. Never kept, never changed. */
  readonly object?: unknown
  readonly signal?: AbortSignal
  /** Names and values by turns, as they came, where the caller has them: a header that was given twice is there twice. */
  readonly rawHeaders?: readonly string[]
  /** Of the verified client certificate; 'refused' for one that nobody vouches for. */
  readonly certificate?: ClientCertificate | 'refused'
  /** In-process callers are who they say. */
  readonly user?: UserInfo
  /** True for in-process callers: answers are frozen objects instead of bytes. */
  readonly wantsObjects?: boolean
  /** The peer's address, for audit and SubjectAccessReview-like features. */
  readonly sourceAddress?: string
  /** The client asks to leave HTTP: exec, attach, port-forward, proxied upgrades. */
  readonly upgrade?: string
  /** Set by the pipeline where the audit policy wants to hear of this request. */
  readonly audit?: AuditNotes
}

/** The subject of a client certificate, and what its authority vouches for. */
export interface ClientCertificate {
  /** The common name. */
  readonly name: string
  /** The organizations. */
  readonly groups: readonly string[]
  /** Of the whole certificate, hexadecimal. */
  readonly sha256?: string
  /** The subject is a user of the cluster. */
  readonly isUser: boolean
  /** The subject may tell in headers who asks. */
  readonly isFrontProxy: boolean
}

/** The values of a header, in lower case, one for each time that it was given; empty ones are left out. */
export function headerValues({ headers, rawHeaders }: ApiRequest, name: string): readonly string[] {
  const joined = headers[name]
  if (joined === undefined) return []
  if (rawHeaders === undefined) return joined.split(',').flatMap((value) => value.trim() || [])
  return rawHeaders.filter((value, i) => i % 2 === 1 && value !== '' && rawHeaders[i - 1]?.toLowerCase() === name)
}

/** What steps of a request tell the audit log beside what it sees itself. */
export interface AuditNotes {
  /** Adds an annotation; the first value of a key stays. */
  annotate(key: string, value: string): void
}

/** Where a streamed answer is written to. */
export interface Sink<T> {
  /** False when the receiver is behind: wait for `onDrain`. */
  write(item: T): boolean
  /** The answer is complete. */
  end(): void
}
/** The producer's side of an open stream. */
export interface StreamHandle {
  /** The receiver can take more. */
  drained(): void
  /** The receiver went away; idempotent. */
  close(): void
}

export type Headers = Readonly<Record<string, string>>
export type UpgradedStream =
  /** exec and attach. */
  | { readonly type: 'session'; readonly options: StreamOptions; readonly session: StreamSession }
  /** port-forward: the ports named in the query (WebSocket); SPDY names them per stream. */
  | {
      readonly type: 'ports'
      readonly ports: readonly number[]
      readonly connect: (port: number) => Promise<ByteStream>
    }
  /** A proxied upgrade: the answer's headers, then raw bytes both ways. */
  | { readonly type: 'raw'; readonly headers: Headers; readonly stream: ByteStream }

export type ApiResponse =
  | {
      readonly kind: 'bytes'
      readonly status: number
      readonly headers: Headers
      readonly body: Uint8Array
      /** What follows `body`, where the two are kept apart (long lists that many ask for). */
      readonly rest?: Uint8Array
    }
  /** Only where the request wantsObjects. Frozen. */
  | { readonly kind: 'object'; readonly status: number; readonly headers: Headers; readonly object: unknown }
  | {
      readonly kind: 'stream'
      readonly status: number
      readonly headers: Headers
      readonly open: (sink: Sink<Uint8Array>) => StreamHandle
    }
  /** A watch for a caller that wantsObjects: frozen watch events. */
  | {
      readonly kind: 'objects'
      readonly status: number
      readonly headers: Headers
      readonly open: (sink: Sink<unknown>) => StreamHandle
    }
  | {
      readonly kind: 'upgrade'
      readonly headers: Headers
      readonly upgraded: UpgradedStream
      /** To be called when the connection is over, or was never taken over. */
      readonly ended?: () => void
    }
