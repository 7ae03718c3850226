// Dynamic resource allocation (KEP-4381): finds devices in ResourceSlices for the claims of a pod, and writes into the claims
// which they are and that the pod uses them, before the pod is bound.
import { claimFinalizer, claimsOfPod, isMadeFor, maxClaimUsers, type PodClaim } from '../../api/resource/pod-claims.ts'
import { isReason } from '../../api/machinery/errors.ts'
import {
  type DeviceClass,
  deviceClasses,
  type ResourceClaim,
  resourceClaims,
  type ResourceSlice,
  resourceSlices,
} from '../../api/resource/resource.ts'
import { type Informer, keyFor, keyOf } from '../../client/informer.ts'
import { rfc3339 } from '../../ports/clock.ts'
import { allocate, type Allocation } from '../devices/allocate.ts'
import { deviceId, matchesNode, poolsFor } from '../devices/node-devices.ts'
import {
  broken,
  type Cycle,
  type Handle,
  type Plugin,
  type PluginFactory,
  type Rejection,
  unresolvable,
  unschedulable,
} from '../framework.ts'
import type { NodeInfo } from '../state/node-info.ts'
import type { PodInfo } from '../state/pod-info.ts'

const name = 'DynamicResources'
const writeAttempts = 5

/** What a pod's claims need on the chosen node. */
interface Plan {
  readonly claims: readonly ResourceClaim[]
  /** By the claim's UID, for those that had no devices yet. */
  readonly allocations: ReadonlyMap<string, Allocation>
}
const planOf = (cycle: Cycle): Plan | undefined => cycle.data.get(name) as Plan | undefined

/** Allocations whose write is under way, by the claim's UID: shared by the profiles of one scheduler, for they share its cache. */
const underWay = new WeakMap<Informer<ResourceClaim>, Map<string, Allocation>>()

const idsOf = ({ devices: { results = [] } }: Allocation): readonly string[] =>
  results
    .filter(({ adminAccess }) => adminAccess !== true)
    .map(({ driver, pool, device }) => deviceId(driver, pool, device))

class Devices {
  readonly claims: Informer<ResourceClaim>
  private readonly classes: Informer<DeviceClass>
  private readonly slices: Informer<ResourceSlice>
  private readonly handle: Handle
  private readonly pending: Map<string, Allocation>
  /** Pods that PreEnqueue holds back, by the key of the claim that they wait for. */
  private readonly held = new Map<string, Set<string>>()
  private readonly unwatch: () => void

  constructor(handle: Handle) {
    this.handle = handle
    this.claims = handle.informers.informer(resourceClaims)
    this.classes = handle.informers.informer(deviceClasses)
    this.slices = handle.informers.informer(resourceSlices)
    let pending = underWay.get(this.claims)
    if (pending === undefined) underWay.set(this.claims, (pending = new Map()))
    this.pending = pending
    this.unwatch = this.claims.handle({
      add: (claim, initial) => {
        const key = keyOf(claim)
        const pods = this.held.get(key)
        this.held.delete(key)
        if (!initial) for (const uid of pods ?? []) handle.ungate(uid)
      },
    })
  }
  close(): void {
    this.unwatch()
  }

  /** The claims of a pod, all of which must exist; or why they cannot be used. */
  claimsOf(pod: PodInfo): readonly ResourceClaim[] | Rejection {
    const claims: ResourceClaim[] = []
    for (const wanted of claimsOfPod(pod.pod)) {
      const claim = this.find(pod, wanted)
      if ('code' in claim) return claim
      claims.push(claim)
    }
    return claims
  }
  private find(pod: PodInfo, { podClaim, name: claimName, template }: PodClaim): ResourceClaim | Rejection {
    if (claimName === undefined)
      return unresolvable(`pod "${pod.key}": ResourceClaim for "${podClaim}" not created yet`)
    const claim = this.claims.get(claimName, pod.namespace)
    if (claim === undefined) return unresolvable(`resourceclaim "${claimName}" not found`)
    if (claim.metadata.deletionTimestamp !== undefined)
      return unresolvable(`resourceclaim "${claimName}" is being deleted`)
    if (template !== undefined && !isMadeFor(claim, pod.uid))
      return unresolvable(
        `ResourceClaim ${pod.namespace}/${claimName} was not created for pod ${pod.key} (pod is not owner)`,
      )
    return claim
  }
  /** A pod does not enter the queue before its claims exist. */
  gate(pod: PodInfo): Rejection | undefined {
    const found = this.claimsOf(pod)
    if (!('code' in found)) return undefined
    for (const { name: claimName } of claimsOfPod(pod.pod)) {
      if (claimName === undefined || this.claims.get(claimName, pod.namespace) !== undefined) continue
      const key = keyFor(claimName, pod.namespace)
      const pods = this.held.get(key)
      if (pods === undefined) this.held.set(key, new Set([pod.uid]))
      else pods.add(pod.uid)
    }
    return found
  }

  allocationOf(claim: ResourceClaim): Allocation | undefined {
    return claim.status.allocation ?? this.pending.get(claim.metadata.uid)
  }
  /** Ids of the devices that claims hold. */
  taken(): ReadonlySet<string> {
    const taken = new Set<string>()
    for (const { status } of this.claims.list())
      if (status.allocation !== undefined) for (const id of idsOf(status.allocation)) taken.add(id)
    for (const allocation of this.pending.values()) for (const id of idsOf(allocation)) taken.add(id)
    return taken
  }
  plan(claims: readonly ResourceClaim[], node: NodeInfo, taken: ReadonlySet<string>): Plan | Rejection {
    for (const claim of claims) {
      const selector = this.allocationOf(claim)?.nodeSelector
      if (selector !== undefined && !matchesNode(selector, node))
        return unresolvable('resourceclaim not available on the node')
    }
    const wanting = claims.filter((claim) => this.allocationOf(claim) === undefined)
    if (wanting.length === 0) return { claims, allocations: new Map() }
    const found = allocate({
      claims: wanting,
      pools: poolsFor(this.slices.list(), node),
      classOf: (className) => this.classes.byKey(className),
      isTaken: (id) => taken.has(id),
      nodeName: node.name,
      timestamp: rfc3339(this.handle.clock.now()),
    })
    if (typeof found === 'string') return unresolvable(found)
    if (found === undefined) return unschedulable('cannot allocate all claims')
    return { claims, allocations: new Map(wanting.map((claim, i) => [claim.metadata.uid, found[i] as Allocation])) }
  }
  assume({ allocations }: Plan): void {
    for (const [uid, allocation] of allocations) this.pending.set(uid, allocation)
  }
  release({ allocations }: Plan): void {
    for (const [uid, allocation] of allocations) if (this.pending.get(uid) === allocation) this.pending.delete(uid)
  }

  /** Writes allocations and reservations, and waits until they are in the cache. */
  async bind({ claims, allocations }: Plan, pod: PodInfo): Promise<Rejection | undefined> {
    // Boundary: a refused write makes the pod be tried anew.
    try {
      for (const { metadata } of claims) {
        const written = await this.update(metadata.name, pod.namespace, metadata.uid, async (claim) => {
          const allocation = claim.status.allocation ?? allocations.get(metadata.uid)
          if (allocation === undefined) return undefined
          const reserved = claim.status.reservedFor ?? []
          if (claim.status.allocation !== undefined && reserved.some(({ uid }) => uid === pod.uid)) return claim
          const safe = await this.protect(claim)
          const user = { resource: 'pods', name: pod.name, uid: pod.uid }
          return this.handle.client
            .resource(resourceClaims)
            .updateStatus({ ...safe, status: { ...safe.status, allocation, reservedFor: [...reserved, user] } })
        })
        if (written === undefined) return unschedulable(`resourceclaim "${metadata.name}" is no longer as it was`)
        await this.claims.until(() => this.claims.seen(written.metadata.resourceVersion))
      }
      return undefined
    } catch (error) {
      return broken(String(error))
    }
  }
  /** The claim with the finalizer that keeps it while it is in use. */
  private async protect(claim: ResourceClaim): Promise<ResourceClaim> {
    const { finalizers = [] } = claim.metadata
    if (finalizers.includes(claimFinalizer)) return claim
    return this.handle.client
      .resource(resourceClaims)
      .update({ ...claim, metadata: { ...claim.metadata, finalizers: [...finalizers, claimFinalizer] } })
  }
  /** Tries again from what the server has where somebody else was first. Undefined where the claim is another, or `write` says so. */
  private async update(
    claimName: string,
    namespace: string,
    uid: string,
    write: (claim: ResourceClaim) => Promise<ResourceClaim | undefined>,
  ): Promise<ResourceClaim | undefined> {
    for (let attempt = 1; ; attempt++) {
      const claim = await this.handle.client.resource(resourceClaims).get(claimName, namespace)
      if (claim.metadata.uid !== uid || claim.metadata.deletionTimestamp !== undefined) return undefined
      try {
        return await write(claim)
      } catch (error) {
        if (!isReason(error, 'Conflict') || attempt === writeAttempts) throw error
      }
    }
  }
  /** Takes the pod out of the claims that it does not use after all; `free` takes their devices back too. Boundary: what fails is
   * logged, and the resource claim controller does the same when the pod is gone. */
  async giveUp(claims: readonly ResourceClaim[], pod: PodInfo, free: boolean): Promise<void> {
    try {
      for (const { metadata } of claims)
        await this.update(metadata.name, pod.namespace, metadata.uid, async (claim) => {
          const { allocation, reservedFor = [], ...status } = claim.status
          const left = reservedFor.filter((user) => user.uid !== pod.uid)
          const drop = free && left.length === 0
          if (left.length === reservedFor.length && !(drop && allocation !== undefined)) return claim
          return this.handle.client.resource(resourceClaims).updateStatus({
            ...claim,
            status: {
              ...status,
              ...(drop || allocation === undefined ? {} : { allocation }),
              ...(left.length === 0 ? {} : { reservedFor: left }),
            },
          })
        })
    } catch (error) {
      if (!isReason(error, 'NotFound')) this.handle.log.warn('resource claims not given up', { pod: pod.key, error })
    }
  }
}

function pluginOf(devices: Devices): Plugin {
  let claims: readonly ResourceClaim[] = []
  let taken: ReadonlySet<string> = new Set()
  const uses = ({ pod }: PodInfo): boolean => (pod.spec.resourceClaims ?? []).length > 0
  return {
    name,
    preEnqueue: (pod) => (uses(pod) ? devices.gate(pod) : undefined),
    preFilter({ pod }) {
      claims = []
      if (!uses(pod)) return 'skip'
      const found = devices.claimsOf(pod)
      if ('code' in found) return found
      for (const { metadata, status } of found) {
        const users = status.reservedFor ?? []
        if (users.length >= maxClaimUsers && !users.some(({ uid }) => uid === pod.uid))
          return unschedulable(`resourceclaim "${metadata.name}" in use`)
      }
      if (found.length === 0) return 'skip'
      claims = found
      taken = devices.taken()
      return undefined
    },
    filter(_cycle, node) {
      const plan = devices.plan(claims, node, taken)
      return 'code' in plan ? plan : undefined
    },
    /** Devices that were given on a node where the pod cannot be are taken back where nobody else uses them. */
    postFilter({ pod }, verdicts) {
      if (!uses(pod) || !verdicts.plugins.has(name)) return undefined
      const stuck = claims.find(
        ({ status }) =>
          status.allocation?.nodeSelector !== undefined &&
          (status.reservedFor ?? []).every(({ uid }) => uid === pod.uid),
      )
      if (stuck === undefined) return undefined
      void devices.giveUp([stuck], pod, true)
      return { nominated: undefined, message: 'deallocation of ResourceClaim completed', clearNomination: false }
    },
    reserve(cycle, node) {
      if (!uses(cycle.pod) || claims.length === 0) return undefined
      const plan = devices.plan(claims, node, taken)
      if ('code' in plan) return plan
      devices.assume(plan)
      cycle.data.set(name, plan)
      return undefined
    },
    unreserve(cycle) {
      const plan = planOf(cycle)
      if (plan === undefined) return
      devices.release(plan)
      const reserved = plan.claims.filter(
        ({ metadata: { name: claimName, namespace } }) =>
          devices.claims.get(claimName, namespace)?.status.reservedFor?.some(({ uid }) => uid === cycle.pod.uid) ===
          true,
      )
      if (reserved.length > 0) void devices.giveUp(reserved, cycle.pod, false)
    },
    preBindIdle: (cycle) => planOf(cycle) === undefined,
    async preBind(cycle) {
      const plan = planOf(cycle)
      if (plan === undefined) return undefined
      const refusal = await devices.bind(plan, cycle.pod)
      if (refusal === undefined) devices.release(plan)
      return refusal
    },
    hints: {
      pod: (_info, { pod, old }) => pod.pod.status.resourceClaimStatuses !== old.pod.status.resourceClaimStatuses,
      node: (_info, { change, differs }) => change !== 'delete' && differs.labels,
      object: ({ pod, namespace }, { object, change }) => {
        if (object.kind === 'ResourceSlice' || object.kind === 'DeviceClass') return change !== 'delete'
        if (object.kind !== 'ResourceClaim') return false
        // devices may have become free, or it is a claim of this pod
        return (
          (object as ResourceClaim).status.allocation === undefined ||
          change === 'delete' ||
          (object.metadata.namespace === namespace &&
            claimsOfPod(pod).some((claim) => claim.name === object.metadata.name))
        )
      },
    },
    close: () => devices.close(),
  }
}

export const dynamicResources: PluginFactory = { name, create: (handle) => pluginOf(new Devices(handle)) }
