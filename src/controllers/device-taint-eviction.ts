// Evicts pods that use a device with a NoExecute taint which their claim does not tolerate (KEP-5055): at once, or
// tolerationSeconds after the taint was added. What counts is what the allocation says was tolerated.
import { type Pod, pods as podKind } from '../api/core/pod.ts'
import type { Toleration } from '../api/core/toleration.ts'
import { equal } from '../api/machinery/equal.ts'
import { deviceId, type DeviceTaint, poolId } from '../api/resource/devices.ts'
import { claimsOfPod, usesClaims } from '../api/resource/pod-claims.ts'
import { byPool, deviceIn } from '../api/resource/pools.ts'
import { type ResourceClaim, resourceClaims, type ResourceSlice, resourceSlices } from '../api/resource/resource.ts'
import { type IndexBy, keyFor, keyOf } from '../client/informer.ts'
import { type Controller, recorderFor } from './framework/controller.ts'
import { isPodTerminal, isTerminating } from './framework/pods.ts'
import { startReconciler } from './framework/reconciler.ts'
import { type Deadline, earlier, TaintDeletion, toleratedUntil } from './framework/taint-deletion.ts'
import { timeMs } from './framework/time.ts'

type TaintsOf = (driver: string, pool: string, device: string) => readonly DeviceTaint[]

/** When the pod with these claims has to go. */
export function planDeviceEviction(claims: readonly ResourceClaim[], taintsOf: TaintsOf): Deadline {
  let deadline: Deadline = 'never'
  for (const { status } of claims)
    for (const { driver, pool, device, tolerations } of status.allocation?.devices.results ?? [])
      for (const taint of taintsOf(driver, pool, device)) {
        const until = toleratedUntil(taint, tolerations as readonly Toleration[] | undefined, timeMs(taint.timeAdded))
        deadline = earlier(deadline, until)
      }
  return deadline
}

const none: readonly DeviceTaint[] = []
const noExecute = (taints: readonly DeviceTaint[] | undefined): readonly DeviceTaint[] =>
  taints?.filter(({ effect }) => effect === 'NoExecute') ?? none
const byDevice: IndexBy<ResourceClaim> = ({ status }) => [
  ...new Set(status.allocation?.devices.results?.map(({ driver, pool, device }) => deviceId(driver, pool, device))),
]
/** The devices of a slice that drive pods away, with the taints by which they do. */
function taintedIn(slice: ResourceSlice | undefined): ReadonlyMap<string, readonly DeviceTaint[]> {
  const tainted = new Map<string, readonly DeviceTaint[]>()
  for (const { name, taints } of slice?.spec.devices ?? []) {
    const driving = noExecute(taints)
    if (driving.length > 0) tainted.set(name, driving)
  }
  return tainted
}

export const deviceTaintEvictionController: Controller = {
  name: 'device-taint-eviction-controller',
  start(context) {
    const { informers, clock } = context
    const pods = informers.informer(podKind)
    const claims = informers.informer(resourceClaims)
    const slices = informers.informer(resourceSlices)
    const claimsByDevice = claims.index(byDevice)
    const slicesByPool = slices.index(byPool)
    const recorder = recorderFor(context, 'device-taint-eviction-controller')
    const deletion = new TaintDeletion({
      clock,
      recorder,
      eventReason: 'DeviceTaintManagerEviction',
      subject: () => '',
      condition: {
        reason: 'DeletionByDeviceTaintManager',
        message: 'Device Taint manager: deleting due to NoExecute taint',
      },
    })
    const taintsOf: TaintsOf = (driver, pool, device) =>
      noExecute(deviceIn(slicesByPool.get(poolId(driver, pool)), device)?.taints)
    const claimsInUse = (pod: Pod): readonly ResourceClaim[] =>
      claimsOfPod(pod).flatMap(({ name }) => {
        const claim = name === undefined ? undefined : claims.get(name, pod.metadata.namespace)
        return claim?.status.reservedFor?.some(({ uid }) => uid === pod.metadata.uid) === true ? [claim] : []
      })

    const reconciler = startReconciler({
      context,
      caches: [pods, claims, slices],
      async reconcile(key, writes) {
        const pod = pods.byKey(key)
        if (pod === undefined || isTerminating(pod) || isPodTerminal(pod)) return deletion.forget(key)
        // who has no node yet is not running: the scheduler sees the taint
        const deadline = pod.spec.nodeName ? planDeviceEviction(claimsInUse(pod), taintsOf) : 'never'
        return deletion.settle(pod, deadline, writes)
      },
      onStop() {
        for (const off of handlers) off()
        recorder.stop()
      },
    })
    const considerUsers = ({ metadata, status }: ResourceClaim) => {
      for (const { apiGroup = '', resource, name } of status.reservedFor ?? [])
        if (apiGroup === '' && resource === 'pods') reconciler.enqueue(keyFor(name, metadata.namespace))
    }
    const considerClaim = (claim: ResourceClaim) => {
      const results = claim.status.allocation?.devices.results ?? []
      if (results.some(({ driver, pool, device }) => taintsOf(driver, pool, device).length > 0)) considerUsers(claim)
    }
    const considerSlice = (slice: ResourceSlice | undefined, old: ResourceSlice | undefined) => {
      const [after, before] = [taintedIn(slice), taintedIn(old)]
      const { driver, pool } = (slice ?? old)?.spec ?? {}
      for (const device of new Set([...after.keys(), ...before.keys()])) {
        const same = slice?.spec.pool.generation === old?.spec.pool.generation
        if (same && equal(after.get(device), before.get(device))) continue
        for (const claim of claimsByDevice.get(deviceId(driver ?? '', pool?.name ?? '', device))) considerUsers(claim)
      }
    }
    const handlers = [
      slices.handle({
        add: (slice) => considerSlice(slice, undefined),
        update: considerSlice,
        delete: (slice) => considerSlice(undefined, slice),
      }),
      claims.handle({
        add: considerClaim,
        update: (claim, old) => void (equal(claim.status, old.status) || considerClaim(claim)),
      }),
      pods.handle({
        add: (pod) => void (usesClaims(pod) && pod.spec.nodeName && reconciler.enqueue(keyOf(pod))),
        update(pod, old) {
          if (pod.spec.nodeName !== old.spec.nodeName && usesClaims(pod)) reconciler.enqueue(keyOf(pod))
        },
      }),
    ]
    return reconciler
  },
}
