// How aggregated servers are reached: at a ready endpoint of their Service, which must show a certificate for the Service's
// name. This server shows them the front proxy's certificate and says in headers who asks.
// (https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/)
import type { OutgoingTarget } from '../../ports/outgoing.ts'
import { readWhole } from '../../ports/outgoing.ts'
import { sleep } from '../../ports/clock.ts'
import type { ServerContext } from '../context.ts'
import { serviceEndpoint } from '../proxy/service-endpoint.ts'
import type { UserInfo } from '../request.ts'
import type { Backend } from './backends.ts'

const documentLimitBytes = 64 << 20
const documentTimeoutMs = 5000

/** Who this server is to the servers behind it when it asks for itself. */
const self: UserInfo = { name: 'system:kube-aggregator', groups: ['system:masters', 'system:authenticated'] }

/** Throws ApiError where the Service has no endpoint. */
export async function targetOf(server: ServerContext, backend: Backend): Promise<OutgoingTarget> {
  const { service, caPem, insecure } = backend
  const { host, port } = await serviceEndpoint(server, service.namespace, service.name, service.port)
  const { frontProxy } = server.identity
  return {
    scheme: 'https',
    host,
    port,
    serverName: `${service.name}.${service.namespace}.svc`,
    ...(caPem === undefined ? {} : { caPem }),
    ...(insecure ? { insecure } : {}),
    ...(frontProxy === undefined
      ? {}
      : { client: { certificatePem: frontProxy.certificatePem, keyPem: frontProxy.keyPem } }),
  }
}

/** The headers that say who asks. */
export function userHeaders(user: UserInfo): Record<string, string | readonly string[]> {
  const headers: Record<string, string | readonly string[]> = {
    'x-remote-user': user.name,
    'x-remote-group': user.groups,
    ...(user.uid === undefined ? {} : { 'x-remote-uid': user.uid }),
  }
  for (const [key, values] of Object.entries(user.extra ?? {}))
    headers[`x-remote-extra-${encodeURIComponent(key.toLowerCase())}`] = values
  return headers
}

export interface Document {
  readonly status: number
  readonly contentType: string
  readonly body: Uint8Array
}
/** GETs a document for this server itself. Throws ApiError and OutgoingError. */
export async function fetchDocument(
  server: ServerContext,
  backend: Backend,
  path: string,
  accept: string,
): Promise<Document> {
  const target = await targetOf(server, backend)
  const stop = new AbortController()
  const done = new AbortController()
  void sleep(server.clock, documentTimeoutMs, done.signal).then(() => stop.abort())
  try {
    const { status, headers, body } = await server.outgoing.send(target, {
      method: 'GET',
      path,
      headers: {
        host: `${target.serverName ?? target.host}:${backend.service.port}`,
        accept,
        ...userHeaders(self),
      },
      signal: stop.signal,
    })
    const type = headers['content-type']
    return {
      status,
      contentType: typeof type === 'string' ? type : '',
      body: await readWhole(body, documentLimitBytes),
    }
  } finally {
    done.abort()
  }
}
