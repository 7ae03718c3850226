// Endpoints that users make for services without a selector are mirrored to EndpointSlices, which is all that proxies and
// DNS look at.
import { type Endpoints, endpoints as endpointsKind } from '../api/core/endpoints.ts'
import { type Service, services as serviceKind } from '../api/core/service.ts'
import { type Endpoint, endpointSlices } from '../api/discovery/endpoint-slice.ts'
import { equal } from '../api/machinery/equal.ts'
import { keyFor, keyOf } from '../client/informer.ts'
import { managedByLabel, serviceNameLabel, slicesByService } from './endpoint-slice.ts'
import { groupEndpoints, planSlices } from './endpoint-slice-plan.ts'
import type { Controller } from './framework/controller.ts'
import { controllerRef } from './framework/ownership.ts'
import { isNamespaceTerminating } from './framework/pod-control.ts'
import { isTerminating } from './framework/pods.ts'
import { startReconciler } from './framework/reconciler.ts'
import { type AddressType, addressTypeOf, type ResolvedPort } from './framework/service-pods.ts'

const manager = 'endpointslicemirroring-controller.k8s.io'
const skipLabel = 'endpointslice.kubernetes.io/skip-mirror'
const leaderAnnotation = 'control-plane.alpha.kubernetes.io/leader'
/** Annotations that speak of the Endpoints object itself. */
const ownAnnotations = [
  'kubectl.kubernetes.io/last-applied-configuration',
  'endpoints.kubernetes.io/last-change-trigger-time',
  leaderAnnotation,
]
const maxPerSubset = 1000

export const isMirrored = (object: Endpoints): boolean =>
  object.metadata.labels?.[skipLabel] !== 'true' && object.metadata.annotations?.[leaderAnnotation] === undefined

type Found = { readonly addressType: AddressType; readonly ports: readonly ResolvedPort[]; readonly endpoint: Endpoint }
/** Every address of every subset as an endpoint with the subset's ports. */
export function mirroredEndpoints(object: Endpoints): readonly Found[] {
  const found: Found[] = []
  for (const { addresses = [], notReadyAddresses = [], ports = [] } of object.subsets ?? []) {
    const resolved = ports.map(({ name = '', port, protocol, appProtocol }) => ({
      name,
      port,
      protocol,
      ...(appProtocol === undefined ? {} : { appProtocol }),
    }))
    const both = [...addresses.map((a) => [a, true] as const), ...notReadyAddresses.map((a) => [a, false] as const)]
    for (const [{ ip, hostname, nodeName, targetRef }, ready] of both.slice(0, maxPerSubset))
      found.push({
        addressType: addressTypeOf(ip),
        ports: resolved,
        endpoint: {
          addresses: [ip],
          conditions: { ready },
          ...(hostname ? { hostname } : {}),
          ...(nodeName === undefined ? {} : { nodeName }),
          ...(targetRef === undefined ? {} : { targetRef }),
        },
      })
  }
  return found
}

export const endpointSliceMirroringController: Controller = {
  name: 'endpointslice-mirroring-controller',
  start(context) {
    const { informers } = context
    const services = informers.informer(serviceKind)
    const objects = informers.informer(endpointsKind)
    const slices = informers.informer(endpointSlices)
    const ofService = slices.index(slicesByService)
    const wants = (service: Service | undefined) =>
      service !== undefined && !isTerminating(service) && Object.keys(service.spec.selector ?? {}).length === 0

    const reconciler = startReconciler({
      context,
      caches: [services, objects, slices],
      async reconcile(key, writes) {
        const object = objects.byKey(key)
        const mine = ofService.get(`${key} ${manager}`).filter((slice) => !isTerminating(slice))
        if (object === undefined || !isMirrored(object) || !wants(services.byKey(key))) {
          for (const slice of mine) await writes.delete(endpointSlices, slice)
          return
        }
        const { name, namespace } = object.metadata
        const labels = { ...object.metadata.labels, [serviceNameLabel]: name, [managedByLabel]: manager }
        const annotations = Object.fromEntries(
          Object.entries(object.metadata.annotations ?? {}).filter(([key]) => !ownAnnotations.includes(key)),
        )
        const { create, update, delete: remove } = planSlices(groupEndpoints([], mirroredEndpoints(object)), mine)
        try {
          for (const content of create)
            await writes.create(endpointSlices, {
              metadata: {
                generateName: `${name}-`,
                ...(namespace === undefined ? {} : { namespace }),
                labels,
                annotations,
                ownerReferences: [controllerRef(endpointsKind, object)],
              },
              ...content,
            })
        } catch (error) {
          if (isNamespaceTerminating(error)) return
          throw error
        }
        for (const slice of mine) {
          if (remove.includes(slice)) {
            await writes.delete(endpointSlices, slice)
            continue
          }
          const changed = update.find((one) => one.slice === slice)
          const { metadata } = slice
          const isSame = equal(metadata.labels ?? {}, labels) && equal(metadata.annotations ?? {}, annotations)
          if (changed === undefined && isSame) continue
          const content = changed?.endpoints ?? slice.endpoints ?? []
          await writes.update(endpointSlices, {
            ...slice,
            metadata: { ...metadata, labels, annotations },
            endpoints: content,
          })
        }
      },
      onStop() {
        for (const off of handlers) off()
      },
    })
    const enqueue = (object: Endpoints | Service) => reconciler.enqueue(keyOf(object))
    const handlers = [
      objects.handle({ add: enqueue, update: enqueue, delete: enqueue }),
      services.handle({
        add: enqueue,
        update: (service, old) => void (equal(service.spec.selector, old.spec.selector) || enqueue(service)),
        delete: enqueue,
      }),
      slices.handle({
        delete(slice) {
          const name = slice.metadata.labels?.[serviceNameLabel]
          if (slice.metadata.labels?.[managedByLabel] === manager && name !== undefined)
            reconciler.enqueue(keyFor(name, slice.metadata.namespace))
        },
      }),
    ]
    return reconciler
  },
}
