// Looking at a workload from the node, as the kubelet's probes and lifecycle hooks do. An answer is data: what a failure
// is called in an event is the kubelet's business, so the failure says its kind.
export interface HttpProbeRequest {
  readonly scheme: 'HTTP' | 'HTTPS'
  readonly host: string
  readonly port: number
  /** With query, as written in the pod. */
  readonly path: string
  /** Sent as they are; a Host header replaces the default one. No certificate is verified. */
  readonly headers: readonly { readonly name: string; readonly value: string }[]
  readonly timeoutMs: number
}
export type ProbeFailure = {
  readonly kind: 'refused' | 'timeout' | 'unreachable' | 'reset' | 'unknown-host' | 'other'
  /** The system's words without addresses: 'connect: connection refused'. */
  readonly message: string
}
export type HttpProbeAnswer =
  | {
      readonly ok: true
      readonly status: number
      /** Of a redirect, the target; it was not followed. */
      readonly location: string | undefined
      /** At most 10 KiB. */
      readonly body: string
    }
  | ({ readonly ok: false } & ProbeFailure)
export type ConnectAnswer = { readonly ok: true } | ({ readonly ok: false } & ProbeFailure)
export type GrpcHealthAnswer =
  | { readonly ok: true; readonly status: 'UNKNOWN' | 'SERVING' | 'NOT_SERVING' | 'SERVICE_UNKNOWN' }
  /** `code` is gRPC's, such as Unimplemented, when the server answered with an error. */
  | ({ readonly ok: false; readonly code?: string } & ProbeFailure)

/** No method throws. Each call is a connection of its own. */
export interface Prober {
  /** One request with GET, redirects not followed. */
  httpGet(request: HttpProbeRequest): Promise<HttpProbeAnswer>
  tcpConnect(host: string, port: number, timeoutMs: number): Promise<ConnectAnswer>
  /** grpc.health.v1.Health/Check, plain text. */
  grpcHealth(host: string, port: number, service: string, timeoutMs: number): Promise<GrpcHealthAnswer>
}
