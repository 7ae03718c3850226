// The ingress of one node: listens on the node's HTTP and HTTPS ports while there is an Ingress to serve, and sends each
// request to an endpoint of its backend. Its Node object says on which ports. A cluster without Ingresses takes no ports.
import { nodes } from '../api/core/node.ts'
import { type Ingress, ingressClasses, ingresses } from '../api/networking/ingress.ts'
import { ingressPortsAnnotation, isServedIngress } from '../api/networking/served-ingress.ts'
import type { Client } from '../client/client.ts'
import type { InformerFactory } from '../client/informer.ts'
import { createSettleLoop } from '../client/settle-loop.ts'
import type { Clock } from '../ports/clock.ts'
import {
  type EdgeAnswer,
  type EdgeCertificate,
  type EdgeListener,
  type EdgeRequest,
  type HttpEdge,
  PortTakenError,
} from '../ports/http-edge.ts'
import type { Log } from '../ports/log.ts'
import type { Outgoing } from '../ports/outgoing.ts'
import type { Random } from '../ports/random.ts'
import { createCertificates } from './certificates.ts'
import { endpointSource } from './endpoints.ts'
import { forward, plainAnswer } from './forward.ts'
import { certificateOf, planRoutes, route, type RoutingTable } from './routes.ts'

/** Ports to listen on; undefined for the well-known one, or a free one where that is taken. */
export interface IngressSettings {
  readonly httpPort?: number
  readonly httpsPort?: number
}
export interface IngressOptions extends IngressSettings {
  readonly informers: InformerFactory
  /** Reads Secrets. */
  readonly client: Client
  /** Writes this node's Node object. */
  readonly nodeClient: Client
  readonly nodeName: string
  readonly edge: HttpEdge
  readonly outgoing: Outgoing
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}
export interface IngressServer {
  /** Ports that it listens on now; undefined while there is nothing to serve. */
  readonly ports: { readonly http: number; readonly https: number } | undefined
  stop(): Promise<void>
}

const wellKnown = { http: 80, https: 443 } as const
/** A port that was asked for and is taken is tried again after this long. */
const retryMs = 5000

export function startIngress(options: IngressOptions): IngressServer {
  const { informers, edge, clock, log } = options
  const ingressInformer = informers.informer(ingresses)
  const classInformer = informers.informer(ingressClasses)
  const certificates = createCertificates({ ...options, log })
  let endpoints: ReturnType<typeof endpointSource> | undefined
  let table: RoutingTable = planRoutes([])
  let listeners: { readonly http: EdgeListener; readonly https: EdgeListener } | undefined
  let told: string | undefined
  let stopped = false

  const served = (): Ingress[] =>
    [...ingressInformer.list()].filter((ingress) => isServedIngress(ingress, (name) => classInformer.get(name)))

  const handle =
    (scheme: 'http' | 'https') =>
    async (request: EdgeRequest): Promise<EdgeAnswer> => {
      const found = route(table, request.authority, request.path)
      if (!found.found)
        return found.why === 'no rule' ? plainAnswer(404, '404 page not found') : plainAnswer(503, '503 no backend')
      const targets = endpoints?.targets(found.backend, request.sourceAddress) ?? []
      if (targets.length === 0) return plainAnswer(503, '503 Service Temporarily Unavailable')
      return forward(options.outgoing, request, targets, listeners?.[scheme].port ?? wellKnown[scheme])
    }
  const certificateFor = (serverName: string | undefined): EdgeCertificate | undefined => {
    const source = certificateOf(table, serverName)
    return source === undefined ? undefined : certificates.get(source)
  }

  async function listen(scheme: 'http' | 'https'): Promise<EdgeListener> {
    const asked = scheme === 'http' ? options.httpPort : options.httpsPort
    const open = (port: number) =>
      edge.listen({ port, handle: handle(scheme), ...(scheme === 'https' ? { certificateFor } : {}) })
    try {
      return await open(asked ?? wellKnown[scheme])
    } catch (error) {
      if (!(error instanceof PortTakenError) || asked !== undefined) throw error
      const listener = await open(0)
      log.warn(`the ingress serves ${scheme} on port ${listener.port}: ${error.message}`)
      return listener
    }
  }
  /** Says on the Node which ports are served, for whoever writes the status of Ingresses. */
  async function tell(): Promise<void> {
    const text =
      listeners === undefined ? undefined : JSON.stringify({ http: listeners.http.port, https: listeners.https.port })
    if (text === told) return
    const metadata = { annotations: { [ingressPortsAnnotation]: text ?? null } }
    await options.nodeClient.resource(nodes).patch(options.nodeName, undefined, 'merge', { metadata })
    told = text
  }
  async function close(): Promise<void> {
    const open = listeners
    listeners = undefined
    await Promise.all([open?.http.close(), open?.https.close()])
  }

  async function settle(): Promise<void> {
    const mine = served()
    table = planRoutes(mine)
    certificates.follow(table.certificates.values())
    if (mine.length === 0) await close()
    else if (listeners === undefined) {
      endpoints ??= endpointSource(informers, options.random)
      await endpoints.synced
      const http = await listen('http')
      try {
        listeners = { http, https: await listen('https') }
      } catch (error) {
        await http.close()
        throw error
      }
    }
    await tell()
  }
  const loop = createSettleLoop(clock, retryMs, settle, (error) =>
    log.error('the ingress cannot serve', { error: error instanceof Error ? error.message : String(error) }),
  )
  const { poke } = loop
  const removers: (() => void)[] = []
  void Promise.all([ingressInformer.synced, classInformer.synced]).then(() => {
    if (stopped) return
    const handlers = { add: poke, update: poke, delete: poke }
    removers.push(ingressInformer.handle(handlers), classInformer.handle(handlers))
    poke()
  })
  return {
    get ports() {
      return listeners === undefined ? undefined : { http: listeners.http.port, https: listeners.https.port }
    },
    async stop() {
      stopped = true
      for (const remove of removers) remove()
      await loop.stop()
      certificates.stop()
      await close()
    },
  }
}
