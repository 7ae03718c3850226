// Where a backend's Service is answered right now, and in which protocol. Read from the informers at every request, so
// an endpoint that leaves gets no request after the cache has heard of it.
import type { Service } from '../api/core/service.ts'
import { services } from '../api/core/service.ts'
import { type EndpointSlice, endpointSlices } from '../api/discovery/endpoint-slice.ts'
import { type IndexBy, type InformerFactory, keyFor } from '../client/informer.ts'
import type { OutgoingTarget } from '../ports/outgoing.ts'
import type { Random } from '../ports/random.ts'
import type { Backend } from './routes.ts'

export interface EndpointSource {
  readonly synced: Promise<unknown>
  /** Targets of a backend, the one to try first in front; empty without a Service, a port or a ready endpoint. */
  targets(backend: Backend, sourceAddress: string): readonly OutgoingTarget[]
}

const byService: IndexBy<EndpointSlice> = (slice) => {
  const name = slice.metadata.labels?.['kubernetes.io/service-name']
  return name === undefined ? [] : [`${slice.metadata.namespace ?? ''}/${name}`]
}

type Protocol = Pick<OutgoingTarget, 'scheme' | 'http2' | 'insecure'>
/** KEP-3726's names, and those that were in use before; pods' certificates are nobody's to verify. */
const protocols: Readonly<Record<string, Protocol>> = {
  https: { scheme: 'https', insecure: true },
  'kubernetes.io/wss': { scheme: 'https', insecure: true },
  'kubernetes.io/h2c': { scheme: 'http', http2: true },
  h2c: { scheme: 'http', http2: true },
  grpc: { scheme: 'http', http2: true },
  grpcs: { scheme: 'https', http2: true, insecure: true },
}
const protocolOf = (appProtocol: string | undefined): Protocol =>
  (Object.hasOwn(protocols, appProtocol ?? '') ? protocols[appProtocol ?? ''] : undefined) ?? { scheme: 'http' }

/** A stable number from a client's address, for Services with client affinity. */
function hash(text: string): number {
  let h = 0x811c9dc5
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  return h >>> 0
}

function addresses(service: Service, slices: readonly EndpointSlice[], portName: string) {
  const found = new Map<string, { readonly host: string; readonly port: number }>()
  const families = service.spec.ipFamilies ?? []
  for (const slice of slices) {
    if (slice.addressType === 'FQDN') continue
    // One family is enough; the Service's first is the one that its pods surely have.
    if (families[0] !== undefined && slice.addressType !== families[0]) continue
    const port = slice.ports?.find((p) => (p.name ?? '') === portName && (p.protocol ?? 'TCP') === 'TCP')?.port
    if (port === undefined) continue
    for (const {
      conditions,
      addresses: [host],
    } of slice.endpoints ?? [])
      if (host !== undefined && conditions?.ready !== false) found.set(`${host} ${port}`, { host, port })
  }
  return [...found.keys()].sort().map((key) => found.get(key) as { host: string; port: number })
}

/** `random` spreads the requests. */
export function endpointSource(informers: InformerFactory, random: Random): EndpointSource {
  const serviceInformer = informers.informer(services)
  const sliceInformer = informers.informer(endpointSlices)
  const slicesOf = sliceInformer.index(byService)
  return {
    synced: Promise.all([serviceInformer.synced, sliceInformer.synced]),
    targets({ namespace, service: name, port: wanted }, sourceAddress) {
      const service = serviceInformer.get(name, namespace)
      const port = service?.spec.ports?.find((p) => (typeof wanted === 'number' ? p.port : p.name) === wanted)
      if (service === undefined) return []
      const protocol = protocolOf(port?.appProtocol)
      if (service.spec.type === 'ExternalName') {
        const number = port?.port ?? (typeof wanted === 'number' ? wanted : undefined)
        return number === undefined ? [] : [{ ...protocol, host: service.spec.externalName ?? '', port: number }]
      }
      if (port === undefined) return []
      const all = addresses(service, slicesOf.get(keyFor(name, namespace)), port.name ?? '')
      const sticky = service.spec.sessionAffinity === 'ClientIP'
      const first = sticky ? hash(sourceAddress) % (all.length || 1) : Math.floor(random.float() * all.length)
      return [...all.slice(first), ...all.slice(0, first)].map((endpoint) => ({ ...protocol, ...endpoint }))
    },
  }
}
