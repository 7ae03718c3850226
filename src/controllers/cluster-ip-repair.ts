// Cluster IPs and the IPAddresses that say who holds them. Both are written in one transaction, so they part only by somebody's hand:
// an IPAddress that was deleted would let its address be given away twice, one without its Service would keep it for ever (KEP-1880).
import { headless, type Service, services as serviceKind } from '../api/core/service.ts'
import { type IpAddress, ipAddresses as addressKind } from '../api/networking/service-cidr.ts'
import { type IndexBy, keyOf } from '../client/informer.ts'
import { type Controller, recorderFor } from './framework/controller.ts'
import { startReconciler } from './framework/reconciler.ts'

/** The two caches follow each other: what is missing for so long is missing. */
const settleMs = 2000
const managedByLabel = 'ipaddress.kubernetes.io/managed-by'
const familyLabel = 'ipaddress.kubernetes.io/ip-family'
const allocator = 'ipallocator.k8s.io'

const clusterIpsOf: IndexBy<Service> = ({ spec }) =>
  spec.type === 'ExternalName' ? [] : (spec.clusterIPs ?? []).filter((ip) => ip !== '' && ip !== headless)
const familyOf = (ip: string) => (ip.includes(':') ? 'IPv6' : 'IPv4')
const isOf = ({ spec: { parentRef } }: IpAddress, { metadata }: Service): boolean =>
  parentRef?.resource === 'services' && parentRef.namespace === metadata.namespace && parentRef.name === metadata.name
/** Given by the API server, not by a user or another allocator. */
const isAllocated = ({ metadata: { labels }, spec }: IpAddress): boolean =>
  labels?.[managedByLabel] === allocator && spec.parentRef?.resource === 'services'

export const clusterIpRepair: Controller = {
  name: 'cluster-ip-repair-controller',
  start(context) {
    const { clock, informers, client } = context
    const recorder = recorderFor(context, 'ipallocator-repair-controller')
    const services = informers.informer(serviceKind)
    const addresses = informers.informer(addressKind)
    const holders = services.index(clusterIpsOf)
    /** When an address was first seen to be wrong. */
    const wrongSince = new Map<string, number>()

    const isWrong = (ip: string, address: IpAddress | undefined) => {
      const held = holders.get(ip)
      if (held.length === 0) return address !== undefined && isAllocated(address)
      return address === undefined || !held.some((service) => isOf(address, service))
    }
    const reconciler = startReconciler({
      context,
      caches: [services, addresses],
      async reconcile(ip, writes) {
        const cached = addresses.get(ip)
        if (!isWrong(ip, cached)) {
          wrongSince.delete(ip)
          return undefined
        }
        const since = wrongSince.get(ip) ?? clock.monotonic()
        wrongSince.set(ip, since)
        const left = since + settleMs - clock.monotonic()
        if (left > 0) return left
        // The caches may be behind; the API is not.
        const address = await client.resource(addressKind).find(ip)
        const [service] = holders.get(ip)
        const { name = '', namespace = '' } = service?.metadata ?? {}
        const holder = service === undefined ? undefined : await client.resource(serviceKind).find(name, namespace)
        const holds = holder !== undefined && clusterIpsOf(holder).includes(ip)
        wrongSince.delete(ip)
        if (address !== undefined && (!holds || !isOf(address, holder))) {
          if (!isAllocated(address)) {
            if (holds)
              recorder.event(
                holder,
                'Warning',
                'ClusterIPAlreadyAllocated',
                `Cluster IP [${familyOf(ip)}]:${ip} was assigned to multiple services; please recreate service`,
              )
            return undefined
          }
          const what = holds ? 'IPAddressWrongReference' : 'IPAddressNotAllocated'
          const message = holds
            ? `IPAddress: ${ip} for Service ${namespace}/${name} has a wrong reference; cleaning up`
            : `IPAddress: ${ip} for Service ${address.spec.parentRef?.namespace ?? ''}/${address.spec.parentRef?.name ?? ''} appears to have leaked: cleaning up`
          recorder.event(address, 'Warning', what, message)
          await writes.delete(addressKind, address)
        }
        if (!holds || (address !== undefined && isOf(address, holder))) return undefined
        const message = `Cluster IP [${familyOf(ip)}]:${ip} is not allocated; repairing`
        recorder.event(holder, 'Warning', 'ClusterIPNotAllocated', message)
        const labels = { [familyLabel]: familyOf(ip), [managedByLabel]: allocator }
        await writes.create(addressKind, {
          metadata: { name: ip, labels },
          spec: { parentRef: { group: '', resource: 'services', namespace, name } },
        })
        return undefined
      },
      onStop() {
        for (const off of handlers) off()
        recorder.stop()
      },
    })
    const touch = (service: Service) => {
      for (const ip of clusterIpsOf(service)) reconciler.enqueue(ip)
    }
    const handlers = [
      services.handle({
        add: touch,
        update(service, old) {
          if (service.spec === old.spec) return
          touch(old)
          touch(service)
        },
        delete: touch,
      }),
      addresses.handle({
        add: (address) => reconciler.enqueue(keyOf(address)),
        update: (address) => reconciler.enqueue(keyOf(address)),
        delete: (address) => reconciler.enqueue(keyOf(address)),
      }),
    ]
    return reconciler
  },
}
