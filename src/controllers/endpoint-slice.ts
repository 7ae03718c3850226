// EndpointSlices of services with a selector: who is ready, serving, terminating; where it runs; who should prefer it.
import { type Endpoint, type EndpointSlice, endpointSlices } from '../api/discovery/endpoint-slice.ts'
import { type Node, nodes as nodeKind } from '../api/core/node.ts'
import { type Pod, pods as podKind } from '../api/core/pod.ts'
import { type Service, services as serviceKind } from '../api/core/service.ts'
import { equal } from '../api/machinery/equal.ts'
import { byNamespace, type IndexBy, keyFor, keyOf } from '../client/informer.ts'
import { groupEndpoints, planSlices } from './endpoint-slice-plan.ts'
import { type Controller, recorderFor } from './framework/controller.ts'
import { controllerRef } from './framework/ownership.ts'
import { isNamespaceTerminating } from './framework/pod-control.ts'
import { isPodReady, isTerminating } from './framework/pods.ts'
import { startReconciler } from './framework/reconciler.ts'
import {
  type AddressType,
  addressTypesOf,
  followEndpoints,
  endpointHostname,
  isEndpoint,
  podAddress,
  podsByLabel,
  podsOf,
  portsOf,
  servicesByLabel,
} from './framework/service-pods.ts'
import { asksForZones, planZoneHints, zoneLabel, zonePart, zoneShares } from './topology-hints.ts'

export const serviceNameLabel = 'kubernetes.io/service-name'
export const managedByLabel = 'endpointslice.kubernetes.io/managed-by'
const headlessLabel = 'service.kubernetes.io/headless'
const manager = 'endpointslice-controller.k8s.io'

/** Slices by service and by who manages them. */
export const slicesByService: IndexBy<EndpointSlice> = ({ metadata: { namespace = '', labels = {} } }) => {
  const service = labels[serviceNameLabel]
  return service === undefined ? [] : [`${namespace}/${service} ${labels[managedByLabel] ?? ''}`]
}

function hintsOf(service: Service, nodeName: string | undefined, zone: string | undefined): Endpoint['hints'] {
  const { trafficDistribution } = service.spec
  if (trafficDistribution === undefined || asksForZones(service)) return undefined
  const forZones = zone === undefined ? {} : { forZones: [{ name: zone }] }
  if (trafficDistribution === 'PreferSameNode' && nodeName !== undefined)
    return { ...forZones, forNodes: [{ name: nodeName }] }
  return zone === undefined ? undefined : forZones
}
/** A pod as an endpoint of a service in one address family; undefined without an address of it. */
export function endpointOf(
  service: Service,
  pod: Pod,
  node: Node | undefined,
  type: AddressType,
): Endpoint | undefined {
  const address = podAddress(pod, type)
  if (address === undefined) return undefined
  const serving = isPodReady(pod)
  const terminating = isTerminating(pod)
  const ready = service.spec.publishNotReadyAddresses === true || (serving && !terminating)
  const { nodeName } = pod.spec
  const zone = node?.metadata.labels?.[zoneLabel]
  const hostname = endpointHostname(pod, service)
  const hints = ready ? hintsOf(service, nodeName, zone) : undefined
  return {
    addresses: [address],
    conditions: { ready, serving, terminating },
    ...(hostname === undefined ? {} : { hostname }),
    targetRef: {
      kind: 'Pod',
      ...(pod.metadata.namespace === undefined ? {} : { namespace: pod.metadata.namespace }),
      name: pod.metadata.name,
      uid: pod.metadata.uid,
    },
    ...(nodeName === undefined ? {} : { nodeName }),
    ...(zone === undefined ? {} : { zone }),
    ...(hints === undefined ? {} : { hints }),
  }
}

/** An endpoint on its way into a group. */
type Found = Parameters<typeof groupEndpoints>[1][number]

/** Labels of a service's slices: the service's own, and whose they are. */
export function sliceLabels(service: Service, managedBy: string): { readonly [key: string]: string } {
  const { [headlessLabel]: _headless, ...labels } = service.metadata.labels ?? {}
  return {
    ...labels,
    ...(service.spec.clusterIP === 'None' ? { [headlessLabel]: '' } : {}),
    [serviceNameLabel]: service.metadata.name,
    [managedByLabel]: managedBy,
  }
}

export const endpointSliceController: Controller = {
  name: 'endpointslice-controller',
  start(context) {
    const { informers } = context
    const recorder = recorderFor(context, 'endpoint-slice-controller')
    /** What was last said about the zones of a service, by service and address type. */
    const told = new Map<string, string>()
    const services = informers.informer(serviceKind)
    const pods = informers.informer(podKind)
    const nodes = informers.informer(nodeKind)
    const slices = informers.informer(endpointSlices)
    const byLabel = pods.index(podsByLabel)
    const inNamespace = pods.index(byNamespace)
    const selecting = services.index(servicesByLabel)
    const ofService = slices.index(slicesByService)

    function groupsOf(service: Service) {
      const types = addressTypesOf(service)
      const members = podsOf(pods, byLabel, inNamespace, service).filter((pod) => isEndpoint(pod, true))
      const found = members.flatMap((pod) => {
        const ports = portsOf(service, pod)
        const node = nodes.get(pod.spec.nodeName ?? '')
        return types.flatMap((addressType) => {
          const endpoint = endpointOf(service, pod, node, addressType)
          return endpoint === undefined ? [] : [{ addressType, ports, endpoint }]
        })
      })
      return groupEndpoints(types, asksForZones(service) ? inZones(service, types, found) : found)
    }
    /** The endpoints with the zones that they are to serve, where those can be shared out. */
    function inZones(service: Service, types: readonly AddressType[], found: readonly Found[]): readonly Found[] {
      const key = keyOf(service)
      const shares = zoneShares(nodes.list())
      const served = new Map<string, string>()
      for (const slice of ofService.get(`${key} ${manager}`))
        for (const { addresses, hints } of slice.endpoints ?? []) {
          const [zone] = hints?.forZones ?? []
          if (zone !== undefined) served.set(addresses[0] ?? '', zone.name)
        }
      const zoneOf = new Map<Endpoint, string>()
      for (const addressType of types) {
        const family = found.flatMap((one) => (one.addressType === addressType ? [one.endpoint] : []))
        const plan = planZoneHints(family, shares, ({ addresses }) => served.get(addresses[0] ?? ''))
        if ('zoneOf' in plan) for (const [endpoint, zone] of plan.zoneOf) zoneOf.set(endpoint, zone)
        const word = 'refused' in plan ? plan.refused : 'Topology Aware Hints has been enabled'
        if (told.get(`${key} ${addressType}`) === word) continue
        told.set(`${key} ${addressType}`, word)
        const message = `${word}, addressType: ${addressType}`
        if ('refused' in plan) recorder.event(service, 'Warning', 'TopologyAwareHintsDisabled', message)
        else recorder.event(service, 'Normal', 'TopologyAwareHintsEnabled', message)
      }
      return found.map((one) => {
        const zone = zoneOf.get(one.endpoint)
        return zone === undefined
          ? one
          : { ...one, endpoint: { ...one.endpoint, hints: { forZones: [{ name: zone }] } } }
      })
    }
    const reconciler = startReconciler({
      context,
      caches: [services, pods, nodes, slices],
      async reconcile(key, writes) {
        const service = services.byKey(key)
        const mine = ofService.get(`${key} ${manager}`).filter((slice) => !isTerminating(slice))
        if (service === undefined || !asksForZones(service))
          for (const type of ['IPv4', 'IPv6']) told.delete(`${key} ${type}`)
        if (service === undefined || isTerminating(service)) return
        if (service.spec.selector === undefined || service.spec.type === 'ExternalName') {
          for (const slice of mine) await writes.delete(endpointSlices, slice)
          return
        }
        const { create, update, delete: remove } = planSlices(groupsOf(service), mine)
        const labels = sliceLabels(service, manager)
        const { namespace, name } = service.metadata
        try {
          for (const content of create)
            await writes.create(endpointSlices, {
              metadata: {
                generateName: `${name}-`,
                ...(namespace === undefined ? {} : { namespace }),
                labels,
                ownerReferences: [controllerRef(serviceKind, service)],
              },
              ...content,
            })
        } catch (error) {
          if (isNamespaceTerminating(error)) return
          throw error
        }
        const relabel = mine.filter(
          (slice) =>
            !remove.includes(slice) &&
            !update.some((one) => one.slice === slice) &&
            !equal(slice.metadata.labels ?? {}, labels),
        )
        const changed = [...update, ...relabel.map((slice) => ({ slice, endpoints: slice.endpoints ?? [] }))]
        for (const { slice, endpoints } of changed)
          await writes.update(endpointSlices, { ...slice, metadata: { ...slice.metadata, labels }, endpoints })
        for (const slice of remove) await writes.delete(endpointSlices, slice)
      },
      onStop() {
        for (const off of handlers) off()
        recorder.stop()
      },
    })
    const enqueue = (service: Service) => reconciler.enqueue(keyOf(service))
    const zoneChanged = (node: Node, old: Node | undefined) =>
      node.metadata.labels?.[zoneLabel] !== old?.metadata.labels?.[zoneLabel]
    const sharesChanged = () => {
      for (const service of services.list()) if (asksForZones(service)) enqueue(service)
    }
    const enqueueSliceOwner = (slice: EndpointSlice) => {
      const { namespace, labels = {} } = slice.metadata
      const name = labels[serviceNameLabel]
      if (labels[managedByLabel] === manager && name !== undefined) reconciler.enqueue(keyFor(name, namespace))
    }
    const handlers = [
      services.handle({ add: enqueue, update: enqueue }),
      followEndpoints(pods, selecting, enqueue),
      // Somebody else's hand on our slices is undone; our own writes change nothing when they come back.
      slices.handle({ update: enqueueSliceOwner, delete: enqueueSliceOwner }),
      nodes.handle({
        add: (_node, initial) => initial || sharesChanged(),
        delete: sharesChanged,
        update(node, old) {
          if (!equal(zonePart(node), zonePart(old))) sharesChanged()
          if (!zoneChanged(node, old)) return
          for (const service of services.list()) if (service.spec.selector !== undefined) enqueue(service)
        },
      }),
    ]
    return reconciler
  },
}
