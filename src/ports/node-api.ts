// What the API server asks of a node: logs, exec, attach, port-forward, and its HTTP paths. In one process this is the
// kubelet itself; across machines it is the kubelet's HTTPS server behind the same interface.
import type { StreamOptions, StreamSession } from './container-runtime.ts'
import type { ByteStream, TransportRequest, TransportResponse } from './transport.ts'

export interface LogQuery {
  readonly follow?: boolean
  readonly previous?: boolean
  readonly timestamps?: boolean
  readonly tailLines?: number
  readonly limitBytes?: number
  readonly sinceSeconds?: number
  /** RFC 3339. */
  readonly sinceTime?: string
  /** PodLogsQuerySplitStreams. */
  readonly stream?: 'All' | 'Stdout' | 'Stderr'
}
export interface PodAddress {
  readonly namespace: string
  readonly pod: string
  readonly container: string
}
/** Errors are ApiError with the texts that kubectl users know. */
export interface NodeApi {
  /** Ends when the log ends (or never, following) or `signal` aborts. */
  containerLogs(target: PodAddress, query: LogQuery, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>
  exec(target: PodAddress, command: readonly string[], options: StreamOptions): Promise<StreamSession>
  attach(target: PodAddress, options: StreamOptions): Promise<StreamSession>
  portForward(namespace: string, pod: string, port: number): Promise<ByteStream>
  /** The kubelet's other paths: /healthz, /pods, /stats/summary, /metrics, /logs/ ... */
  request(request: TransportRequest): Promise<TransportResponse>
}
export interface NodeDialer {
  /** Throws ApiError (ServiceUnavailable, InternalError) when the node cannot be reached. */
  connect(nodeName: string): Promise<NodeApi>
}
