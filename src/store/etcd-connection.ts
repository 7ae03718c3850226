// Calls to etcd over gRPC, on whichever of its endpoints answers. A call that may have been carried out is never sent
// twice; reads go on to the next endpoint.
import { readFileSync } from 'node:fs'
import {
  type ChannelCredentials,
  Client,
  type ClientDuplexStream,
  credentials,
  Metadata,
  type ServiceError,
  status,
} from '@grpc/grpc-js'

export interface EtcdTls {
  /** Files, PEM. */
  readonly caFile?: string
  readonly certFile?: string
  readonly keyFile?: string
}

const callTimeoutMs = 10_000
const channelOptions = {
  'grpc.max_receive_message_length': -1,
  'grpc.max_send_message_length': -1,
  // A server that is back is found again at once, whatever another client of this process has met before.
  'grpc.use_local_subchannel_pool': 1,
  'grpc.initial_reconnect_backoff_ms': 50,
  'grpc.min_reconnect_backoff_ms': 50,
  'grpc.max_reconnect_backoff_ms': 1000,
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
}
const asIs = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

export type EtcdStream = ClientDuplexStream<Uint8Array, Uint8Array>

export class EtcdConnection {
  private readonly endpoints: readonly string[]
  private readonly clients: readonly Client[]
  private readonly nowMs: () => number
  private current = 0

  /** `endpoints`: http://host:port, https://host:port or host:port. */
  constructor(endpoints: readonly string[], tls: EtcdTls | undefined, nowMs: () => number) {
    this.endpoints = endpoints
    this.nowMs = nowMs
    this.clients = endpoints.map((endpoint) => {
      const secure = endpoint.startsWith('https://') || (tls !== undefined && !endpoint.startsWith('http://'))
      return new Client(
        endpoint.replace(/^https?:\/\//, ''),
        secure ? secureCredentials(tls) : credentials.createInsecure(),
        channelOptions,
      )
    })
  }

  /** The endpoint in use, for messages. */
  get endpoint(): string {
    return this.endpoints[this.current] ?? ''
  }

  /** One call; `path` is such as '/etcdserverpb.KV/Range'. A read is tried on every endpoint. */
  async call<T>(path: string, request: Uint8Array, read: (bytes: Uint8Array) => T, isRead: boolean): Promise<T> {
    const attempts = isRead ? this.clients.length : 1
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.once(path, request, read)
      } catch (error) {
        if (!isUnavailable(error)) throw error
        this.next()
        if (attempt >= attempts) throw error
      }
    }
  }

  /** Opens a stream both ways. */
  stream(path: string): EtcdStream {
    return this.client().makeBidiStreamRequest(path, asIs, (bytes: Buffer): Uint8Array => bytes, new Metadata())
  }

  /** The endpoint in use does not answer: the next call goes elsewhere. */
  next(): void {
    this.current = (this.current + 1) % this.clients.length
  }

  close(): void {
    for (const client of this.clients) client.close()
  }

  private client(): Client {
    const client = this.clients[this.current]
    if (client === undefined) throw new Error('no etcd endpoint was given')
    return client
  }

  private once<T>(path: string, request: Uint8Array, read: (bytes: Uint8Array) => T): Promise<T> {
    return new Promise((done, failed) => {
      this.client().makeUnaryRequest(
        path,
        asIs,
        read,
        request,
        new Metadata(),
        { deadline: this.nowMs() + callTimeoutMs },
        (error: ServiceError | null, value?: T) => {
          if (error !== null) failed(error)
          else if (value === undefined) failed(new Error(`etcd answered nothing to ${path}`))
          else done(value)
        },
      )
    })
  }
}

function secureCredentials(tls: EtcdTls | undefined): ChannelCredentials {
  const file = (path: string | undefined) => (path === undefined ? null : readFileSync(path))
  return credentials.createSsl(file(tls?.caFile), file(tls?.keyFile), file(tls?.certFile))
}

/** What etcd or gRPC says of a failed call, without the code that grpc-js puts before it. */
export const detailsOf = (error: unknown): string => {
  if (error instanceof Error && 'details' in error && typeof error.details === 'string' && error.details !== '')
    return error.details.split('\n')[0] ?? ''
  return error instanceof Error ? error.message : String(error)
}
export const isUnavailable = (error: unknown): boolean =>
  error instanceof Error &&
  'code' in error &&
  (error.code === status.UNAVAILABLE || error.code === status.DEADLINE_EXCEEDED)
export const isCancelled = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === status.CANCELLED
