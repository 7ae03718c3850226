// What the scheduler knows of ResourceClaims and devices: the claims of a pod, who holds which device, and what a node could give.
import {
  claimsOfPod,
  extendedPodClaim,
  isMadeFor,
  maxClaimUsers,
  type PodClaim,
} from '../../api/resource/pod-claims.ts'
import { type Toleration, untoleratedTaint } from '../../api/core/toleration.ts'
import {
  type DeviceClass,
  deviceClasses,
  type ResourceClaim,
  resourceClaims,
  resourceSlices,
} from '../../api/resource/resource.ts'
import { byControllerUid, type Informer, keyFor, keyOf } from '../../client/informer.ts'
import { rfc3339 } from '../../ports/clock.ts'
import { type Handle, type Rejection, unresolvable, unschedulable } from '../framework.ts'
import type { NodeInfo } from '../state/node-info.ts'
import type { PodInfo } from '../state/pod-info.ts'
import { allocate, type Allocation } from './allocate.ts'
import {
  type ExtendedAsk,
  extendedAsks,
  extendedClaimAnnotation,
  type ExtendedRequests,
  extendedRequests,
  type ExtendedResources,
  extendedResourcesOf,
} from './extended-resources.ts'
import { type Holdings, holdingsOf } from './holdings.ts'
import { matchesNode, type Pools, poolsOf } from './node-devices.ts'

/** What a pod wants of devices, on whichever node. */
export interface Wishes {
  readonly claims: readonly ResourceClaim[]
  readonly asks: readonly ExtendedAsk[]
  /** The claim that an earlier attempt left for the extended resources. */
  readonly left: ResourceClaim | undefined
  /** Of the claims, one with a device that drives its users away: nobody else may use it until it has other devices. */
  readonly tainted: ResourceClaim | undefined
}
/** What a pod's claims need on the chosen node. */
export interface ClaimPlan {
  readonly claims: readonly ResourceClaim[]
  /** By the claim's UID, for those that had no devices yet. */
  readonly allocations: ReadonlyMap<string, Allocation>
  /** For a claim that is still to be made, whose allocation stands under `unmade`. */
  readonly extended: ExtendedRequests | undefined
}

/** In the place of the UID of a claim that is not made yet. */
export const unmade = (pod: PodInfo): string => `extended/${pod.uid}`

export class Claims {
  readonly cache: Informer<ResourceClaim>
  private readonly classes: Informer<DeviceClass>
  private readonly pools: Pools
  private readonly extended: ExtendedResources
  private readonly handle: Handle
  private readonly holdings: Holdings
  /** Pods that PreEnqueue holds back, by the key of the claim that they wait for. */
  private readonly held = new Map<string, Set<string>>()
  private readonly unwatch: () => void

  constructor(handle: Handle) {
    this.handle = handle
    this.cache = handle.informers.informer(resourceClaims)
    this.classes = handle.informers.informer(deviceClasses)
    this.pools = poolsOf(handle.informers.informer(resourceSlices))
    this.extended = extendedResourcesOf(this.classes)
    this.holdings = holdingsOf(this.cache)
    this.unwatch = this.cache.handle({
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

  /** The claims that a pod names, all of which must exist; or why they cannot be used. */
  claimsOf(pod: PodInfo): readonly ResourceClaim[] | Rejection {
    const claims: ResourceClaim[] = []
    for (const wanted of claimsOfPod(pod.pod)) {
      if (wanted.podClaim === extendedPodClaim) continue
      const claim = this.find(pod, wanted)
      if ('code' in claim) return claim
      claims.push(claim)
    }
    return claims
  }
  private find(pod: PodInfo, { podClaim, name, template }: PodClaim): ResourceClaim | Rejection {
    if (name === undefined) return unresolvable(`pod "${pod.key}": ResourceClaim for "${podClaim}" not created yet`)
    const claim = this.cache.get(name, pod.namespace)
    if (claim === undefined) return unresolvable(`resourceclaim "${name}" not found`)
    if (claim.metadata.deletionTimestamp !== undefined) return unresolvable(`resourceclaim "${name}" is being deleted`)
    if (template !== undefined && !isMadeFor(claim, pod.uid))
      return unresolvable(
        `ResourceClaim ${pod.namespace}/${name} was not created for pod ${pod.key} (pod is not owner)`,
      )
    return claim
  }
  /** A pod does not enter the queue before its claims exist. */
  gate(pod: PodInfo): Rejection | undefined {
    const found = this.claimsOf(pod)
    if (!('code' in found)) return undefined
    for (const { name } of claimsOfPod(pod.pod)) {
      if (name === undefined || this.cache.get(name, pod.namespace) !== undefined) continue
      const key = keyFor(name, pod.namespace)
      const pods = this.held.get(key)
      if (pods === undefined) this.held.set(key, new Set([pod.uid]))
      else pods.add(pod.uid)
    }
    return found
  }
  /** Undefined where the pod has nothing to do with devices. */
  wishesOf(pod: PodInfo): Wishes | Rejection | undefined {
    const asks = extendedAsks(pod, this.handle.state.resources, this.extended)
    if (asks.length === 0 && (pod.pod.spec.resourceClaims ?? []).length === 0) return undefined
    const claims = this.claimsOf(pod)
    if ('code' in claims) return claims
    for (const { metadata, status } of claims) {
      const users = status.reservedFor ?? []
      if (users.length >= maxClaimUsers && !users.some(({ uid }) => uid === pod.uid))
        return unschedulable(`resourceclaim "${metadata.name}" in use`)
    }
    const tainted = claims.find((claim) => this.isTainted(claim))
    if (asks.length === 0) return claims.length === 0 ? undefined : { claims, asks, left: undefined, tainted }
    const left = this.cache
      .index(byControllerUid)
      .get(pod.uid)
      .find(
        ({ metadata }) =>
          metadata.annotations?.[extendedClaimAnnotation] !== undefined && metadata.deletionTimestamp === undefined,
      )
    return { claims, asks, left, tainted }
  }
  /** True where a device got a NoExecute taint after it was given, and the request does not tolerate it (KEP-5055). */
  private isTainted({ status }: ResourceClaim): boolean {
    return (status.allocation?.devices.results ?? []).some(({ driver, pool, device, tolerations }) => {
      const now = this.pools.device(driver, pool, device)
      return (
        untoleratedTaint(now?.taints, tolerations as readonly Toleration[] | undefined, ['NoExecute']) !== undefined
      )
    })
  }
  asksForExtended = (pod: PodInfo): boolean => extendedAsks(pod, this.handle.state.resources, this.extended).length > 0

  private allocationOf(claim: ResourceClaim): Allocation | undefined {
    return claim.status.allocation ?? this.holdings.pendingOf(claim.metadata.uid)
  }
  plan({ claims, asks, left, tainted }: Wishes, pod: PodInfo, node: NodeInfo): ClaimPlan | Rejection {
    if (tainted !== undefined)
      return unschedulable(`resourceclaim "${tainted.metadata.name}" has a device with an untolerated taint`)
    const extended = extendedRequests(asks, node)
    const all = extended === undefined || left === undefined ? claims : [...claims, left]
    for (const claim of all) {
      const selector = this.allocationOf(claim)?.nodeSelector
      if (selector !== undefined && !matchesNode(selector, node))
        return unresolvable('resourceclaim not available on the node')
    }
    const wanting = all.filter((claim) => this.allocationOf(claim) === undefined)
    const isNew = extended !== undefined && left === undefined
    if (isNew) wanting.push(claimFor(pod, extended))
    if (wanting.length === 0) return { claims: all, allocations: new Map(), extended }
    const found = allocate({
      claims: wanting,
      pools: this.pools.near(node),
      classOf: (className) => this.classes.byKey(className),
      held: this.holdings,
      newShareId: () => this.handle.random.uuid(),
      nodeName: node.name,
      timestamp: rfc3339(this.handle.clock.now()),
    })
    if (typeof found === 'string') return unresolvable(found)
    if (found === undefined) return unschedulable('cannot allocate all claims')
    const allocations = wanting.map(({ metadata }, i): [string, Allocation] => [metadata.uid, found[i] as Allocation])
    return { claims: all, allocations: new Map(allocations), extended }
  }
  assume({ allocations }: ClaimPlan): void {
    for (const [uid, allocation] of allocations) this.holdings.assume(uid, allocation)
  }
  /** The claim of the pod's extended resources is made. */
  made(pod: PodInfo, uid: string): void {
    this.holdings.rename(unmade(pod), uid)
  }
  release({ allocations }: ClaimPlan): void {
    for (const allocation of allocations.values()) this.holdings.release(allocation)
  }
}

const claimFor = (pod: PodInfo, { requests }: ExtendedRequests) =>
  ({
    metadata: { name: extendedPodClaim, namespace: pod.namespace, uid: unmade(pod) },
    spec: { devices: { requests } },
    status: {},
  }) as unknown as ResourceClaim
