// Writes into claims which devices they have and which pod uses them, and takes it back; makes the claim of extended resources.
import { claimFinalizer } from '../../api/resource/pod-claims.ts'
import { isReason } from '../../api/machinery/errors.ts'
import { pods as podKind } from '../../api/core/pod.ts'
import { type ResourceClaim, resourceClaims } from '../../api/resource/resource.ts'
import type { Input } from '../../client/client.ts'
import { within } from '../../ports/clock.ts'
import { broken, type Handle, type Rejection, unschedulable } from '../framework.ts'
import type { PodInfo } from '../state/pod-info.ts'
import { bindingState } from './binding-conditions.ts'
import { type ClaimPlan, type Claims, unmade } from './claims.ts'
import { extendedClaimAnnotation, type ExtendedRequests } from './extended-resources.ts'

const writeAttempts = 5

export class ClaimWriter {
  private readonly handle: Handle
  private readonly claims: Claims
  private readonly bindingTimeoutMs: number
  private close: () => void = () => {}
  private readonly closed = new Promise<void>((done) => (this.close = done))
  constructor(handle: Handle, claims: Claims, bindingTimeoutMs: number) {
    this.handle = handle
    this.claims = claims
    this.bindingTimeoutMs = bindingTimeoutMs
  }
  /** Ends waiting for devices. */
  stop(): void {
    this.close()
  }

  /** Writes allocations and reservations, waits until they are in the cache, and then for devices that are still prepared. */
  async bind(plan: ClaimPlan, pod: PodInfo): Promise<Rejection | undefined> {
    // Boundary: a refused write makes the pod be tried anew.
    try {
      const written: ResourceClaim[] = []
      for (const { metadata } of plan.claims) {
        const claim = await this.reserve(metadata, pod, plan.allocations.get(metadata.uid))
        if (claim === undefined) return unschedulable(`resourceclaim "${metadata.name}" is no longer as it was`)
        written.push(claim)
      }
      if (plan.extended !== undefined) {
        const claim = await this.extend(plan, plan.extended, pod, written)
        if (claim === undefined) return unschedulable('the claim of the extended resources is no longer there')
        written.push(claim)
      }
      const { cache } = this.claims
      for (const { metadata } of written) await cache.until(() => cache.seen(metadata.resourceVersion))
      return await this.prepared(written, pod)
    } catch (error) {
      return broken(String(error))
    }
  }
  private reserve(
    { name, namespace = '', uid }: ResourceClaim['metadata'],
    pod: PodInfo,
    found: NonNullable<ResourceClaim['status']['allocation']> | undefined,
  ): Promise<ResourceClaim | undefined> {
    return this.update(name, namespace, uid, async (claim) => {
      const allocation = claim.status.allocation ?? found
      if (allocation === undefined) return undefined
      const reserved = claim.status.reservedFor ?? []
      if (claim.status.allocation !== undefined && reserved.some((user) => user.uid === pod.uid)) return claim
      const safe = await this.protect(claim)
      const user = { resource: 'pods', name: pod.name, uid: pod.uid }
      return this.handle.client
        .resource(resourceClaims)
        .updateStatus({ ...safe, status: { ...safe.status, allocation, reservedFor: [...reserved, user] } })
    })
  }
  /** Makes the claim of the extended resources where there is none, and tells the kubelet in the pod's status. */
  private async extend(
    { allocations }: ClaimPlan,
    { requests, mappings }: ExtendedRequests,
    pod: PodInfo,
    known: readonly ResourceClaim[],
  ): Promise<ResourceClaim | undefined> {
    const { client } = this.handle
    let claim = known.find(({ metadata }) => metadata.annotations?.[extendedClaimAnnotation] !== undefined)
    if (claim === undefined) {
      const { name, namespace, uid } = pod
      const created = await client.resource(resourceClaims).create({
        metadata: {
          generateName: `${name}-extended-resources-`,
          namespace,
          annotations: { [extendedClaimAnnotation]: 'true' },
          finalizers: [claimFinalizer],
          ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name, uid, controller: true, blockOwnerDeletion: true }],
        },
        spec: { devices: { requests } },
      } as Input<ResourceClaim>)
      this.claims.made(pod, created.metadata.uid)
      claim = await this.reserve(created.metadata, pod, allocations.get(unmade(pod)))
    }
    if (claim === undefined) return undefined
    const extendedResourceClaimStatus = { resourceClaimName: claim.metadata.name, requestMappings: mappings }
    await client
      .resource(podKind)
      .patch(pod.name, pod.namespace, 'merge', { status: { extendedResourceClaimStatus } }, { subresource: 'status' })
    return claim
  }
  /** The claim with the finalizer that keeps it while it is in use. */
  private async protect(claim: ResourceClaim): Promise<ResourceClaim> {
    const { finalizers = [] } = claim.metadata
    if (finalizers.includes(claimFinalizer)) return claim
    return this.handle.client
      .resource(resourceClaims)
      .update({ ...claim, metadata: { ...claim.metadata, finalizers: [...finalizers, claimFinalizer] } })
  }
  /** Waits until drivers have prepared the devices for the node; what failed, or took too long, is given back. */
  private async prepared(written: readonly ResourceClaim[], pod: PodInfo): Promise<Rejection | undefined> {
    const { cache } = this.claims
    let failed: string | undefined
    let over = false
    const check = (): boolean => {
      if (over) return true
      let ready = true
      for (const { metadata } of written) {
        const claim = cache.get(metadata.name, metadata.namespace)
        if (claim?.status.allocation === undefined || claim.metadata.uid !== metadata.uid)
          failed = `claim ${metadata.name} has no devices any more`
        else {
          const state = bindingState(claim)
          if (typeof state === 'object') failed = state.failed
          ready &&= state === 'ready'
        }
      }
      return ready || failed !== undefined
    }
    const settled = Promise.race([cache.until(check), this.closed])
    const inTime = await within(this.handle.clock, this.bindingTimeoutMs, settled)
    over = true
    if (inTime && failed === undefined) return undefined
    await this.giveUp(written, pod, true)
    return unschedulable(failed ?? 'device binding timed out')
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
  /** Takes the pod out of the claims that it does not use after all; `free` takes their devices back too. The claim of
   * its extended resources goes. Boundary: what fails is
   * logged, and the resource claim controller does the same when the pod is gone. */
  async giveUp(claims: readonly ResourceClaim[], pod: PodInfo, free: boolean): Promise<void> {
    const { client, log } = this.handle
    const claimsOf = client.resource(resourceClaims)
    try {
      for (const { metadata } of claims)
        await this.update(metadata.name, pod.namespace, metadata.uid, async (claim) => {
          const { allocation, devices, reservedFor = [], ...status } = claim.status
          const left = reservedFor.filter((user) => user.uid !== pod.uid)
          const extended = claim.metadata.annotations?.[extendedClaimAnnotation] !== undefined
          if (extended) await claimsOf.delete(metadata.name, pod.namespace, { preconditions: { uid: metadata.uid } })
          const drop = (free || extended) && left.length === 0
          if (left.length === reservedFor.length && !(drop && allocation !== undefined)) return claim
          const kept = drop || allocation === undefined ? {} : { allocation, ...(devices && { devices }) }
          const { metadata: after } = extended ? await claimsOf.get(metadata.name, pod.namespace) : claim
          return claimsOf.updateStatus({
            ...claim,
            metadata: after,
            status: { ...status, ...kept, ...(left.length === 0 ? {} : { reservedFor: left }) },
          })
        })
    } catch (error) {
      if (!isReason(error, 'NotFound')) log.warn('resource claims not given up', { pod: pod.key, error })
    }
  }
}
