// ServiceCIDRs: each is made Ready, and one that is being deleted stays until no address of it is left without another
// range to belong to. A range whose deletion has begun hands out no more addresses, so the wait has an end.
import { cidrContains, parseCidr } from '../api/machinery/ip.ts'
import { parseIpRange, rangesOverlap } from '../api/machinery/ip-range.ts'
import type { IpAddress, ServiceCidr } from '../api/networking/service-cidr.ts'
import { ipAddresses, serviceCidrs } from '../api/networking/service-cidr.ts'
import { equal } from '../api/machinery/equal.ts'
import { findCondition, withCondition } from './framework/conditions.ts'
import { type Controller, recorderFor } from './framework/controller.ts'
import { isTerminating } from './framework/pods.ts'
import { startReconciler } from './framework/reconciler.ts'

export const serviceCidrFinalizer = 'networking.k8s.io/service-cidr-finalizer'
/** A range that lost its last other owner waits this long, for addresses that are being given out at this moment. */
const settleMs = 10_000

const rangesOf = (cidr: ServiceCidr): readonly string[] => cidr.spec.cidrs ?? []
/** True when `outer` holds every address of `inner`. */
function contains(outer: string, inner: string): boolean {
  const [a, b] = [parseCidr(outer), parseCidr(inner)]
  if (a === undefined || b === undefined || a.version !== b.version || a.prefix > b.prefix) return false
  const shift = BigInt((a.version === 4 ? 32 : 128) - a.prefix)
  return a.value >> shift === b.value >> shift
}

/** Says which range of the pods a ServiceCIDR overlaps; undefined where it is apart. Two ServiceCIDRs may overlap (KEP-1880). */
export function overlapOf(cidr: ServiceCidr, clusterCidrs: readonly string[]): string | undefined {
  for (const own of rangesOf(cidr))
    for (const pods of clusterCidrs) {
      const [a, b] = [parseIpRange(own), parseIpRange(pods)]
      if (a !== undefined && b !== undefined && rangesOverlap(a, b))
        return `${own} overlaps ${pods}, the range of the cluster's pods: no addresses are given from it, please choose another range`
    }
  return undefined
}

/** Addresses that would belong to no range if `cidr` went. */
export function orphansOf(
  cidr: ServiceCidr,
  others: readonly ServiceCidr[],
  addresses: Iterable<IpAddress>,
): readonly string[] {
  const elsewhere = others.filter((o) => o !== cidr && !isTerminating(o)).flatMap(rangesOf)
  const exposed = rangesOf(cidr).filter((range) => !elsewhere.some((other) => contains(other, range)))
  if (exposed.length === 0) return []
  const orphans: string[] = []
  for (const { metadata } of addresses) {
    const ip = metadata.name
    if (exposed.some((range) => cidrContains(range, ip)) && !elsewhere.some((range) => cidrContains(range, ip)))
      orphans.push(ip)
  }
  return orphans
}

export const serviceCidrController: Controller = {
  name: 'service-cidr-controller',
  start(context) {
    const { clock, informers } = context
    const { clusterCidrs = [] } = context.settings ?? {}
    const recorder = recorderFor(context, 'service-cidr-controller')
    const cidrs = informers.informer(serviceCidrs)
    const addresses = informers.informer(ipAddresses)
    /** When a range was first seen to be free of addresses. */
    const freeSince = new Map<string, number>()

    const reconciler = startReconciler({
      context,
      caches: [cidrs, addresses],
      async reconcile(name, writes) {
        const cidr = cidrs.get(name)
        if (cidr === undefined) return void freeSince.delete(name)
        const finalizers = cidr.metadata.finalizers ?? []
        const held = finalizers.includes(serviceCidrFinalizer)
        const say = async (ready: boolean, reason: string, message: string) => {
          const old = cidr.status.conditions
          const status = ready ? 'True' : 'False'
          const conditions = withCondition(old, { type: 'Ready', status, reason, message }, clock.now())
          if (!equal(conditions, old ?? []))
            await writes.updateStatus(serviceCidrs, { ...cidr, status: { ...cidr.status, conditions } })
        }
        if (!isTerminating(cidr)) {
          freeSince.delete(name)
          if (!held) {
            const metadata = { finalizers: [...finalizers, serviceCidrFinalizer] }
            await writes.patch(serviceCidrs, cidr, 'merge', {
              metadata: { ...metadata, resourceVersion: cidr.metadata.resourceVersion },
            })
            return
          }
          const overlap = overlapOf(cidr, clusterCidrs)
          if (overlap !== undefined) {
            if (findCondition(cidr.status.conditions, 'Ready')?.status !== 'False')
              recorder.event(cidr, 'Warning', 'KubernetesServiceCIDROverlapsPods', overlap)
            return say(false, 'OverlapsPods', overlap)
          }
          if (findCondition(cidr.status.conditions, 'Ready')?.status !== 'True')
            await say(true, '', 'Kubernetes Service CIDR is ready')
          return
        }
        if (!held) return
        const orphans = orphansOf(cidr, [...cidrs.list()], addresses.list())
        if (orphans.length > 0) {
          freeSince.delete(name)
          const message =
            'There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR'
          if (findCondition(cidr.status.conditions, 'Ready')?.status !== 'False')
            recorder.event(cidr, 'Warning', 'KubernetesServiceCIDRDeleteFailed', message)
          return say(false, 'Terminating', message)
        }
        const since = freeSince.get(name) ?? clock.monotonic()
        freeSince.set(name, since)
        const left = since + settleMs - clock.monotonic()
        if (left > 0 && rangesOf(cidr).length > 0 && addresses.size > 0) return left
        await writes.patch(serviceCidrs, cidr, 'merge', {
          metadata: {
            finalizers: finalizers.filter((f) => f !== serviceCidrFinalizer),
            resourceVersion: cidr.metadata.resourceVersion,
          },
        })
      },
      onStop() {
        for (const off of handlers) off()
        recorder.stop()
      },
    })
    const touchAll = () => {
      for (const cidr of cidrs.list()) reconciler.enqueue(cidr.metadata.name)
    }
    const handlers = [
      // A new range may take over the addresses of one that is being deleted.
      cidrs.handle({ add: touchAll, update: (cidr) => reconciler.enqueue(cidr.metadata.name), delete: touchAll }),
      addresses.handle({
        delete() {
          for (const cidr of cidrs.list()) if (isTerminating(cidr)) reconciler.enqueue(cidr.metadata.name)
        },
      }),
    ]
    return reconciler
  },
}
