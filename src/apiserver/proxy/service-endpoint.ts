// Where a Service is answered right now: an endpoint that is ready, chosen from this server's own collections, so that
// neither DNS nor the service proxy of this machine need to know the Service yet.
import type { Service } from '../../api/core/service.ts'
import type { EndpointSlice } from '../../api/discovery/endpoint-slice.ts'
import { ApiError, notFound } from '../../api/machinery/errors.ts'
import { collectionOf } from '../admission/lookup.ts'
import type { ServerContext } from '../context.ts'

export interface Endpoint {
  readonly host: string
  readonly port: number
}

const serviceLabel = 'kubernetes.io/service-name'

/** An endpoint of a Service's port, named or by number; the only port where `port` is ''. Throws ApiError: NotFound
 * without the Service, ServiceUnavailable without such a port or a ready endpoint. */
export async function serviceEndpoint(
  server: ServerContext,
  namespace: string,
  name: string,
  port: string | number,
): Promise<Endpoint> {
  const services = await collectionOf(server, '', 'services')
  const entry = services?.find(namespace, name)
  if (services === undefined || entry === undefined) throw notFound({ group: '', resource: 'services' }, name)
  const service = services.object(entry) as unknown as Service
  const ports = service.spec.ports ?? []
  const wanted =
    port === ''
      ? ports.length === 1
        ? ports[0]
        : undefined
      : ports.find((p) => p.name === port || String(p.port) === String(port))
  if (service.spec.type === 'ExternalName') {
    return { host: service.spec.externalName ?? '', port: wanted?.port ?? (Number(port) || 443) }
  }
  if (wanted === undefined) {
    throw unavailable(
      port === ''
        ? `no endpoints available for service ${JSON.stringify(name)}`
        : `no service port ${JSON.stringify(String(port))} found for service ${JSON.stringify(name)}`,
    )
  }
  const found = await readyEndpoints(server, namespace, name, wanted.name ?? '')
  const chosen = found[Math.floor(server.random.float() * found.length)]
  if (chosen === undefined) throw unavailable(`no endpoints available for service ${JSON.stringify(name)}`)
  return chosen
}
const unavailable = (message: string): ApiError => new ApiError('ServiceUnavailable', message)

async function readyEndpoints(
  server: ServerContext,
  namespace: string,
  name: string,
  portName: string,
): Promise<readonly Endpoint[]> {
  const slices = await collectionOf(server, 'discovery.k8s.io', 'endpointslices')
  if (slices === undefined) return []
  return slices
    .lookup({ label: serviceLabel }, name)
    .filter((entry) => entry.namespace === namespace)
    .flatMap((entry) => {
      const slice = slices.object(entry) as unknown as EndpointSlice
      const port = slice.ports?.find((p) => (p.name ?? '') === portName)?.port
      if (port === undefined) return []
      return (slice.endpoints ?? [])
        .filter(({ conditions }) => conditions?.ready !== false)
        .flatMap(({ addresses }) => addresses.slice(0, 1).map((host) => ({ host, port })))
    })
}
