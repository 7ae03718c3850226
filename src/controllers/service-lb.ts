// Load balancers without a cloud: a Service of type LoadBalancer gets the addresses of the nodes, or one of a pool when
// the cluster has one. The service proxy of every node answers them; this controller only says which they are. A status
// that somebody else wrote (MetalLB, a cloud) is recognised by its field manager and left alone.
import { type Node, nodes as nodeKind } from '../api/core/node.ts'
import { type Service, services as serviceKind } from '../api/core/service.ts'
import { type EndpointSlice, endpointSlices } from '../api/discovery/endpoint-slice.ts'
import { equal } from '../api/machinery/equal.ts'
import { inIpRanges, type IpRange, parseIpRange } from '../api/machinery/ip-range.ts'
import { ingressPortsAnnotation, ingressPortsOf } from '../api/networking/served-ingress.ts'
import type { LoadBalancerIngress } from '../api/core/service.ts'
import { type IndexBy, keyOf } from '../client/informer.ts'
import { serviceNameLabel } from './endpoint-slice.ts'
import { type Controller, recorderFor } from './framework/controller.ts'
import { startReconciler } from './framework/reconciler.ts'
import { familiesOf, familyOf, freeInPool, isBalanced, Ledger, nodeAddresses, portsOf } from './service-lb-plan.ts'

const fieldManager = 'service-lb-controller'
const defaultReserved = ['TCP/22', 'TCP/10250']

const ingressOf = (service: Service): readonly LoadBalancerIngress[] => service.status.loadBalancer.ingress ?? []
const ipsOf = (service: Service): readonly string[] => ingressOf(service).flatMap(({ ip }) => (ip ? [ip] : []))
/** Whether the load balancer status is ours to write: empty, or last written by us. */
const isOurs = (service: Service): boolean =>
  ingressOf(service).length === 0 ||
  (service.metadata.managedFields ?? []).some(
    (entry) =>
      entry.manager === fieldManager &&
      entry.subresource === 'status' &&
      JSON.stringify(entry.fieldsV1 ?? {}).includes('"f:loadBalancer"'),
  )

const bySliceService: IndexBy<EndpointSlice> = ({ metadata: { namespace = '', labels = {} } }) => {
  const name = labels[serviceNameLabel]
  return name === undefined ? [] : [`${namespace}/${name}`]
}
function nodesWithEndpoints(slices: readonly EndpointSlice[]): ReadonlySet<string> {
  const names = new Set<string>()
  for (const slice of slices)
    for (const { nodeName, conditions } of slice.endpoints ?? [])
      if (nodeName !== undefined && conditions?.ready !== false) names.add(nodeName)
  return names
}

/** Ports on which nodes serve Ingresses: a load balancer on the nodes' addresses would take them away. */
function ingressPortsInUse(nodes: Iterable<Node>): ReadonlySet<string> {
  const ports = new Set<string>()
  for (const { metadata } of nodes)
    for (const port of Object.values(ingressPortsOf(metadata.annotations) ?? {})) ports.add(`TCP/${port}`)
  return ports
}

type Answer = { readonly addresses: readonly string[] } | { readonly refused: string }

/** Addresses of the Service from the pool; the ledger's word is kept on refusal. */
function fromPool(service: Service, key: string, pool: readonly IpRange[], ledger: Ledger): Answer {
  const asked = service.spec.loadBalancerIP
  const isFree = (ip: string) => (ledger.holderOf(ip) ?? key) === key
  if (asked !== undefined && asked !== '') {
    if (!inIpRanges(pool, asked)) return { refused: `address ${asked} is not in the load balancer pool` }
    if (!isFree(asked)) return { refused: `address ${asked} is taken by Service ${ledger.holderOf(asked)}` }
    ledger.hold(key, [asked])
    return { addresses: [asked] }
  }
  const addresses: string[] = []
  for (const family of familiesOf(service)) {
    const kept = [...ledger.of(key), ...(isOurs(service) ? ipsOf(service) : [])].find(
      (ip) => familyOf(ip) === family && inIpRanges(pool, ip) && isFree(ip),
    )
    const ip = kept ?? freeInPool(pool, family, isFree)
    if (ip !== undefined) addresses.push(ip)
  }
  if (addresses.length === 0) return { refused: 'no address of the load balancer pool is free' }
  ledger.hold(key, addresses)
  return { addresses }
}

export const serviceLbController: Controller = {
  name: 'service-lb-controller',
  start(context) {
    const { informers, settings = {} } = context
    const pool = (settings.loadBalancerPool ?? []).map((text) => {
      const range = parseIpRange(text)
      if (range === undefined) throw new Error(`${text} is no range of addresses`)
      return range
    })
    const reserved = new Set([...defaultReserved, ...(settings.reservedPorts ?? []).map((port) => `TCP/${port}`)])
    const recorder = recorderFor(context, 'service-controller')
    const services = informers.informer(serviceKind)
    const nodes = informers.informer(nodeKind)
    const slices = informers.informer(endpointSlices)
    const slicesOf = slices.index(bySliceService)
    const ledger = new Ledger()
    /** Services that wait for something that another holds. */
    const waiting = new Set<string>()
    const wakeWaiting = () => {
      for (const key of waiting) reconciler.enqueue(key)
    }

    function addressesFor(service: Service, key: string): Answer {
      if (pool.length > 0) return fromPool(service, key, pool, ledger)
      const ports = portsOf(service)
      const ingress = ingressPortsInUse(nodes.list())
      // Who had a port before the ingress came keeps it.
      const own = ports.find((port) => reserved.has(port) || (ingress.has(port) && ledger.holderOf(port) !== key))
      if (own !== undefined) return { refused: `port ${own} belongs to the nodes themselves` }
      const taken = ledger.hold(key, ports)
      if (taken !== undefined)
        return { refused: `port ${taken} of the nodes is taken by Service ${ledger.holderOf(taken)}` }
      return { addresses: nodeAddresses(service, nodes.list(), nodesWithEndpoints(slicesOf.get(key))) }
    }
    const reconciler = startReconciler({
      context,
      caches: [services, nodes, slices],
      async reconcile(key, writes) {
        const service = services.byKey(key)
        const write = (target: Service, ingress: readonly LoadBalancerIngress[]) =>
          writes.patch(
            serviceKind,
            target,
            'merge',
            { status: { loadBalancer: ingress.length === 0 ? null : { ingress } } },
            { subresource: 'status', fieldManager },
          )
        if (service === undefined || !isBalanced(service)) {
          waiting.delete(key)
          if (ledger.release(key)) wakeWaiting()
          if (service !== undefined && ingressOf(service).length > 0 && isOurs(service)) await write(service, [])
          return
        }
        if (!isOurs(service)) return
        const answer = addressesFor(service, key)
        if ('refused' in answer) {
          if (ledger.release(key)) wakeWaiting()
          if (!waiting.has(key)) {
            const message = `Error syncing load balancer: failed to ensure load balancer: ${answer.refused}`
            recorder.event(service, 'Warning', 'SyncLoadBalancerFailed', message)
          }
          waiting.add(key)
          if (ingressOf(service).length > 0) await write(service, [])
          return
        }
        waiting.delete(key)
        const ingress = answer.addresses.map((ip) => ({ ip, ipMode: 'VIP' }))
        if (equal(ingress, ingressOf(service))) return
        const first = ingressOf(service).length === 0
        if (first) recorder.event(service, 'Normal', 'EnsuringLoadBalancer', 'Ensuring load balancer')
        await write(service, ingress)
        if (first) recorder.event(service, 'Normal', 'EnsuredLoadBalancer', 'Ensured load balancer')
      },
      onStop() {
        for (const off of handlers) off()
        recorder.stop()
      },
    })
    const touchAll = (which: (service: Service) => boolean = isBalanced) => {
      for (const service of services.list()) if (which(service)) reconciler.enqueue(keyOf(service))
    }
    const nodeChanged = (node: Node, old: Node) =>
      !equal(node.status.addresses ?? [], old.status.addresses ?? []) ||
      !equal(node.metadata.labels ?? {}, old.metadata.labels ?? {}) ||
      node.metadata.deletionTimestamp !== old.metadata.deletionTimestamp ||
      node.metadata.annotations?.[ingressPortsAnnotation] !== old.metadata.annotations?.[ingressPortsAnnotation] ||
      readiness(node) !== readiness(old)
    const touchLocal = (slice: EndpointSlice) => {
      for (const key of bySliceService(slice)) {
        const service = services.byKey(key)
        if (service !== undefined && isBalanced(service) && service.spec.externalTrafficPolicy === 'Local')
          reconciler.enqueue(key)
      }
    }
    const handlers = [
      services.handle({
        add(service, initial) {
          if (!isBalanced(service)) return
          // What a Service holds since an earlier run is its own before others ask.
          if (initial && isOurs(service) && ingressOf(service).length > 0)
            ledger.hold(keyOf(service), pool.length > 0 ? ipsOf(service) : portsOf(service))
          reconciler.enqueue(keyOf(service))
        },
        update(service, old) {
          if (isBalanced(service) || isBalanced(old)) {
            if (service.spec !== old.spec || ingressOf(service).length === 0) reconciler.enqueue(keyOf(service))
          }
        },
        delete: (service) => reconciler.enqueue(keyOf(service)),
      }),
      nodes.handle({
        add: () => touchAll(),
        update: (node, old) => nodeChanged(node, old) && touchAll(),
        delete: () => touchAll(),
      }),
      slices.handle({ add: touchLocal, update: touchLocal, delete: touchLocal }),
    ]
    return reconciler
  },
}
const readiness = (node: Node) => node.status.conditions?.find((c) => c.type === 'Ready')?.status
