// The kube-dns Service of kube-system: the name and address under which people look for the cluster's DNS. No pods stand
// behind it, because every node answers this address itself; its one endpoint is the address.
import { services as serviceKind } from '../api/core/service.ts'
import { endpointSlices } from '../api/discovery/endpoint-slice.ts'
import { equal } from '../api/machinery/equal.ts'
import { familyOf } from './service-lb-plan.ts'
import { managedByLabel, serviceNameLabel } from './endpoint-slice.ts'
import type { Controller } from './framework/controller.ts'
import { startReconciler } from './framework/reconciler.ts'

const namespace = 'kube-system'
const name = 'kube-dns'
const key = `${namespace}/${name}`
const managedBy = 'cluster-dns.coxswain.io'
const labels = {
  'k8s-app': name,
  'kubernetes.io/cluster-service': 'true',
  'kubernetes.io/name': 'CoreDNS',
}
const sliceName = (ip: string) => `${name}-${familyOf(ip).toLowerCase()}`

export const clusterDnsController: Controller = {
  name: 'cluster-dns-controller',
  start(context) {
    const addresses = context.settings?.clusterDnsAddresses ?? []
    const [first] = addresses
    if (first === undefined) return { stop: () => Promise.resolve() }
    const services = context.informers.informer(serviceKind)
    const slices = context.informers.informer(endpointSlices)
    const service = {
      metadata: { name, namespace, labels },
      spec: {
        type: 'ClusterIP',
        clusterIP: first,
        clusterIPs: addresses,
        ipFamilies: addresses.map(familyOf),
        ipFamilyPolicy: addresses.length > 1 ? 'RequireDualStack' : 'SingleStack',
        ports: [
          { name: 'dns', port: 53, protocol: 'UDP', targetPort: 53 },
          { name: 'dns-tcp', port: 53, protocol: 'TCP', targetPort: 53 },
        ],
      },
    }
    const sliceOf = (ip: string) => ({
      addressType: familyOf(ip),
      endpoints: [{ addresses: [ip], conditions: { ready: true, serving: true, terminating: false } }],
      ports: [
        { name: 'dns', port: 53, protocol: 'UDP' },
        { name: 'dns-tcp', port: 53, protocol: 'TCP' },
      ],
    })
    const reconciler = startReconciler({
      context,
      caches: [services, slices],
      async reconcile(_key, writes) {
        const existing = services.byKey(key)
        if (existing === undefined) await writes.create(serviceKind, service as never)
        // A Service of this name that selects pods is a DNS of the user's own.
        else if (existing.spec.selector !== undefined || existing.spec.clusterIP !== first) {
          for (const ip of addresses) {
            const ours = slices.get(sliceName(ip), namespace)
            if (ours !== undefined) await writes.delete(endpointSlices, ours)
          }
          return
        }
        for (const ip of addresses) {
          const wanted = sliceOf(ip)
          const slice = slices.get(sliceName(ip), namespace)
          const metadata = {
            name: sliceName(ip),
            namespace,
            labels: { ...labels, [serviceNameLabel]: name, [managedByLabel]: managedBy },
          }
          if (slice === undefined) await writes.create(endpointSlices, { metadata, ...wanted } as never)
          else if (!equal(slice.endpoints ?? [], wanted.endpoints) || !equal(slice.ports ?? [], wanted.ports))
            await writes.update(endpointSlices, { ...slice, ...wanted } as never)
        }
      },
      onStop() {
        for (const off of handlers) off()
      },
    })
    const touch = (object: {
      readonly metadata: { readonly name: string; readonly namespace?: string | undefined }
    }) => {
      if (object.metadata.namespace === namespace && object.metadata.name.startsWith(name)) reconciler.enqueue(key)
    }
    const handlers = [
      services.handle({ update: touch, delete: touch }),
      slices.handle({ update: touch, delete: touch }),
    ]
    reconciler.enqueue(key)
    return reconciler
  },
}
