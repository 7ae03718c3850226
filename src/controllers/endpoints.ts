// Endpoints, the EndpointSlice's elder, of services with a selector: one object with at most 1000 addresses.
import { type Endpoints, type EndpointSubset, endpoints as endpointsKind } from '../api/core/endpoints.ts'
import { type Pod, pods as podKind } from '../api/core/pod.ts'
import { type Service, services as serviceKind } from '../api/core/service.ts'
import { equal, semanticEqual } from '../api/machinery/equal.ts'
import { isReason } from '../api/machinery/errors.ts'
import { byNamespace, keyOf } from '../client/informer.ts'
import type { Controller } from './framework/controller.ts'
import { canonicalJson } from './framework/hash.ts'
import { isNamespaceTerminating } from './framework/pod-control.ts'
import { isPodReady } from './framework/pods.ts'
import { startReconciler } from './framework/reconciler.ts'
import {
  addressTypesOf,
  followEndpoints,
  endpointHostname,
  isEndpoint,
  podAddress,
  podsByLabel,
  podsOf,
  portsOf,
  type ResolvedPort,
  servicesByLabel,
} from './framework/service-pods.ts'

type EndpointAddress = NonNullable<EndpointSubset['addresses']>[number]
export const maxAddresses = 1000
const overCapacityAnnotation = 'endpoints.kubernetes.io/over-capacity'
const triggerTimeAnnotation = 'endpoints.kubernetes.io/last-change-trigger-time'
const headlessLabel = 'service.kubernetes.io/headless'
const managedByLabel = 'endpoints.kubernetes.io/managed-by'
const manager = 'endpoint-controller'

const addressKey = ({ ip, targetRef }: EndpointAddress) => `${ip} ${targetRef?.uid ?? ''}`
const byKey =
  <T>(key: (item: T) => string) =>
  (a: T, b: T) =>
    key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0

/** The subsets of a service over its pods: addresses that share the same ports stand together, all in a fixed order. */
export function planSubsets(service: Service, pods: readonly Pod[]): readonly EndpointSubset[] {
  const [type] = addressTypesOf(service)
  const tolerateUnready = service.spec.publishNotReadyAddresses === true
  const members = new Map<
    string,
    { readonly address: EndpointAddress; readonly ready: boolean; readonly ports: readonly ResolvedPort[] }
  >()
  for (const pod of pods) {
    if (!isEndpoint(pod, tolerateUnready)) continue
    const ip = type === undefined ? undefined : podAddress(pod, type)
    if (ip === undefined) continue
    const hostname = endpointHostname(pod, service)
    const address = {
      ip,
      ...(hostname === undefined ? {} : { hostname }),
      ...(pod.spec.nodeName === undefined ? {} : { nodeName: pod.spec.nodeName }),
      targetRef: {
        kind: 'Pod',
        ...(pod.metadata.namespace === undefined ? {} : { namespace: pod.metadata.namespace }),
        name: pod.metadata.name,
        uid: pod.metadata.uid,
      },
    }
    const ports = portsOf(service, pod)
    if (ports.length === 0 && (service.spec.ports?.length ?? 0) > 0) continue
    members.set(addressKey(address), { address, ready: tolerateUnready || isPodReady(pod), ports })
  }
  const subsets = new Map<
    string,
    { ports: readonly ResolvedPort[]; addresses: EndpointAddress[]; notReady: EndpointAddress[] }
  >()
  for (const { address, ready, ports } of members.values()) {
    const sorted = [...ports].sort(byKey(canonicalJson))
    const key = canonicalJson(sorted)
    const subset = subsets.get(key) ?? { ports: sorted, addresses: [], notReady: [] }
    subsets.set(key, subset)
    ;(ready ? subset.addresses : subset.notReady).push(address)
  }
  return [...subsets.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, { ports, addresses, notReady }]) => ({
      ...(addresses.length === 0 ? {} : { addresses: addresses.sort(byKey(addressKey)) }),
      ...(notReady.length === 0 ? {} : { notReadyAddresses: notReady.sort(byKey(addressKey)) }),
      ...(ports.length === 0
        ? {}
        : { ports: ports.map(({ name, ...port }) => (name === '' ? port : { name, ...port })) }),
    }))
}
/** At most `limit` addresses, ready ones first. */
export function truncate(
  subsets: readonly EndpointSubset[],
  limit = maxAddresses,
): { readonly subsets: readonly EndpointSubset[]; readonly cut: boolean } {
  const count = (list: readonly unknown[] | undefined) => list?.length ?? 0
  const total = subsets.reduce((sum, s) => sum + count(s.addresses) + count(s.notReadyAddresses), 0)
  if (total <= limit) return { subsets, cut: false }
  let readyRoom = limit
  const ready = subsets.map((subset) => {
    const addresses = (subset.addresses ?? []).slice(0, readyRoom)
    readyRoom -= addresses.length
    return { ...subset, addresses }
  })
  let room = readyRoom
  const both = ready.map((subset) => {
    const notReadyAddresses = (subset.notReadyAddresses ?? []).slice(0, room)
    room -= notReadyAddresses.length
    return { ...subset, notReadyAddresses }
  })
  return { subsets: both.filter((s) => s.addresses.length + s.notReadyAddresses.length > 0), cut: true }
}

export const endpointsController: Controller = {
  name: 'endpoints-controller',
  start(context) {
    const { informers } = context
    const services = informers.informer(serviceKind)
    const pods = informers.informer(podKind)
    const objects = informers.informer(endpointsKind)
    const byLabel = pods.index(podsByLabel)
    const inNamespace = pods.index(byNamespace)
    const selecting = services.index(servicesByLabel)

    const reconciler = startReconciler({
      context,
      caches: [services, pods, objects],
      async reconcile(key, writes) {
        const service = services.byKey(key)
        const current = objects.byKey(key)
        if (service === undefined) {
          // Endpoints of a service that is gone go with it, whoever made them.
          if (current !== undefined && isOurs(current)) await writes.delete(endpointsKind, current)
          return
        }
        if (service.spec.selector === undefined || service.spec.type === 'ExternalName') return
        const { subsets, cut } = truncate(planSubsets(service, podsOf(pods, byLabel, inNamespace, service)))
        const { [headlessLabel]: _headless, ...own } = service.metadata.labels ?? {}
        const labels = {
          ...own,
          [managedByLabel]: manager,
          ...(service.spec.clusterIP === 'None' ? { [headlessLabel]: '' } : {}),
        }
        const {
          [overCapacityAnnotation]: _cut,
          [triggerTimeAnnotation]: _time,
          ...kept
        } = current?.metadata.annotations ?? {}
        const annotations = { ...kept, ...(cut ? { [overCapacityAnnotation]: 'truncated' } : {}) }
        try {
          if (current === undefined) {
            const { name, namespace } = service.metadata
            const metadata = { name, ...(namespace === undefined ? {} : { namespace }), labels, annotations }
            await writes.create(endpointsKind, { metadata, subsets })
          } else if (
            !semanticEqual(current.subsets, subsets) ||
            !equal(current.metadata.labels ?? {}, labels) ||
            !equal(current.metadata.annotations ?? {}, annotations)
          )
            await writes.update(endpointsKind, {
              ...current,
              metadata: { ...current.metadata, labels, annotations },
              subsets,
            })
        } catch (error) {
          if (!isNamespaceTerminating(error) && !isReason(error, 'AlreadyExists')) throw error
        }
      },
      onStop() {
        for (const off of handlers) off()
      },
    })
    const isOurs = (object: Endpoints) => object.metadata.labels?.[managedByLabel] === manager
    const enqueue = (service: Service) => reconciler.enqueue(keyOf(service))
    const enqueueObject = (object: Endpoints) => reconciler.enqueue(keyOf(object))
    const handlers = [
      services.handle({ add: enqueue, update: enqueue, delete: enqueue }),
      followEndpoints(pods, selecting, enqueue),
      // Left over from a service that went while nobody looked.
      objects.handle({ add: enqueueObject, delete: enqueueObject }),
    ]
    return reconciler
  },
}
