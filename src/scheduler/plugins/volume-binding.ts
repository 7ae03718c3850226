// Volumes and nodes that fit each other. Claims that wait for their pod are matched with volumes, or with a class that can
// provision, for every node that is tried; when the node is chosen they are bound before the pod is.
import { type PersistentVolume, persistentVolumes } from '../../api/core/persistent-volume.ts'
import { type PersistentVolumeClaim, persistentVolumeClaims } from '../../api/core/persistent-volume-claim.ts'
import {
  classNameOf,
  findVolume,
  isBound,
  requestedBytes,
  selectedNode,
  withClaim,
} from '../../api/core/volume-claims.ts'
import { ApiError } from '../../api/machinery/errors.ts'
import { within } from '../../ports/clock.ts'
import {
  broken,
  type Cycle,
  type Handle,
  type PluginFactory,
  type Rejection,
  unresolvable,
  unschedulable,
} from '../framework.ts'
import type { NodeInfo } from '../state/node-info.ts'
import type { PodInfo } from '../state/pod-info.ts'
import { hasCapacity, provisionsFor } from './volume-matching.ts'
import { concernsClaims, reaches, VolumeViews, waitsForPod } from './volumes.ts'

const outOfReach = "node(s) didn't match PersistentVolume's node affinity"
const noVolume = "node(s) didn't find available persistent volumes to bind"
const noRoom = 'node(s) did not have enough free storage'
const lostVolume = unresolvable('node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)')
const unboundImmediate = unresolvable('pod has unbound immediate PersistentVolumeClaims')
const planKey = 'VolumeBinding'

export interface VolumeBindingArgs {
  /** How long binding may take before the pod is tried anew. Default 600. */
  readonly bindTimeoutSeconds?: number
}
/** What is to be done before the pod is bound. */
interface Plan {
  readonly binds: readonly { readonly claim: PersistentVolumeClaim; readonly volume: PersistentVolume }[]
  readonly provisions: readonly PersistentVolumeClaim[]
}
interface PodClaims {
  readonly bound: readonly PersistentVolumeClaim[]
  /** Smallest first, so that large volumes stay for large claims. */
  readonly waiting: readonly PersistentVolumeClaim[]
}

class VolumeBinder {
  private readonly handle: Handle
  private readonly timeoutMs: number
  private readonly views: VolumeViews
  /** Volumes promised to pods whose binding is under way, with the claim. */
  private readonly promised = new Map<string, string>()
  /** Claims whose node is chosen and not yet written. */
  private readonly chosen = new Map<string, string>()

  /** Gives up what is waited for. */
  close: () => void = () => {}
  private readonly closed = new Promise<void>((done) => (this.close = done))

  constructor(handle: Handle, { bindTimeoutSeconds = 600 }: VolumeBindingArgs) {
    this.handle = handle
    this.timeoutMs = bindTimeoutSeconds * 1000
    this.views = new VolumeViews(handle.informers)
  }

  claimsOf(pod: PodInfo): PodClaims | Rejection {
    const bound: PersistentVolumeClaim[] = []
    const waiting: PersistentVolumeClaim[] = []
    let immediate = false
    for (const { name: volumeName, persistentVolumeClaim, ephemeral } of pod.pod.spec.volumes ?? []) {
      if (persistentVolumeClaim === undefined && ephemeral === undefined) continue
      const name = persistentVolumeClaim?.claimName ?? `${pod.name}-${volumeName}`
      const claim = this.views.claims.get(name, pod.namespace)
      const refusal = unusable(pod, name, claim, ephemeral !== undefined)
      if (refusal !== undefined) return refusal
      if (claim === undefined) continue
      if (isBound(claim)) bound.push(claim)
      else if (!claim.spec.volumeName && waitsForPod(this.views.classes.get(classNameOf(claim)))) waiting.push(claim)
      else immediate = true
    }
    if (immediate) return unboundImmediate
    return { bound, waiting: waiting.sort((a, b) => requestedBytes(a) - requestedBytes(b)) }
  }

  /** What binding on the node would take; the refusal where it cannot be. */
  plan({ bound, waiting }: PodClaims, node: NodeInfo): Plan | Rejection {
    const reasons: string[] = []
    for (const { spec } of bound) {
      const volume = this.views.volumes.get(spec.volumeName ?? '')
      if (volume === undefined) return lostVolume
      if (!reasons.includes(outOfReach) && !reaches(volume)(node)) reasons.push(outOfReach)
    }
    const binds: { claim: PersistentVolumeClaim; volume: PersistentVolume }[] = []
    const provisions: PersistentVolumeClaim[] = []
    const taken = new Set(this.promised.keys())
    let refusal: string | undefined
    for (const claim of waiting) {
      const already = claim.metadata.annotations?.[selectedNode] ?? this.chosen.get(claim.metadata.uid)
      if (already !== undefined && already !== node.name) {
        refusal = noVolume
        break
      }
      const volume =
        already === undefined
          ? findVolume(claim, this.views.volumes.list(), { taken, reaches: (volume) => reaches(volume)(node) })
          : undefined
      if (volume !== undefined) {
        taken.add(volume.metadata.name)
        binds.push({ claim, volume })
        continue
      }
      refusal = this.cannotProvision(claim, node)
      if (refusal !== undefined) break
      provisions.push(claim)
    }
    if (refusal !== undefined) reasons.push(refusal)
    return reasons.length > 0 ? unresolvable(...reasons) : { binds, provisions }
  }
  private cannotProvision(claim: PersistentVolumeClaim, node: NodeInfo): string | undefined {
    const className = classNameOf(claim)
    const storageClass = this.views.classes.get(className)
    if (storageClass === undefined || !provisionsFor(storageClass, node)) return noVolume
    if (this.views.csiDrivers.get(storageClass.provisioner)?.spec.storageCapacity !== true) return undefined
    return hasCapacity(claim, className, this.views.capacities.list(), node) ? undefined : noRoom
  }

  assume({ binds, provisions }: Plan, nodeName: string): void {
    for (const { claim, volume } of binds) this.promised.set(volume.metadata.name, claim.metadata.uid)
    for (const claim of provisions) this.chosen.set(claim.metadata.uid, nodeName)
  }
  release({ binds, provisions }: Plan): void {
    for (const { claim, volume } of binds)
      if (this.promised.get(volume.metadata.name) === claim.metadata.uid) this.promised.delete(volume.metadata.name)
    for (const claim of provisions) this.chosen.delete(claim.metadata.uid)
  }

  /** Writes the plan and waits until every claim is bound. */
  async bind(plan: Plan, nodeName: string): Promise<Rejection | undefined> {
    const { client, clock } = this.handle
    // Boundary: a refused write (somebody else was quicker) makes the pod be tried anew.
    try {
      const written: string[] = []
      for (const { claim, volume } of plan.binds) {
        const bound = await client.resource(persistentVolumes).update(withClaim(volume, claim))
        written.push(bound.metadata.resourceVersion)
      }
      for (const claim of plan.provisions) {
        const current = this.views.claims.get(claim.metadata.name, claim.metadata.namespace)
        if (current === undefined) return unschedulable(`persistentvolumeclaim "${claim.metadata.name}" not found`)
        if (current.metadata.annotations?.[selectedNode] === nodeName) continue
        await client.resource(persistentVolumeClaims).update(withNode(current, nodeName))
      }
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      return broken(`binding volumes: ${error.message}`)
    }
    const claims = [...plan.binds.map(({ claim }) => claim), ...plan.provisions]
    let outcome: Rejection | undefined
    let isDone = false
    const check = (): boolean => {
      if (isDone) return true
      outcome = this.lost(plan, nodeName)
      isDone = outcome !== undefined || claims.every((claim) => this.isSettled(claim))
      return isDone
    }
    const { claims: known, volumes } = this.views
    const settled = Promise.race([known.until(check), volumes.until(check), this.closed])
    const inTime = await within(clock, this.timeoutMs, settled)
    if (!isDone) outcome = broken('binding volumes: context canceled')
    isDone = true
    return inTime ? outcome : broken('binding volumes: context deadline exceeded')
  }
  private isSettled({ metadata }: PersistentVolumeClaim): boolean {
    const current = this.views.claims.get(metadata.name, metadata.namespace)
    return (
      current !== undefined && isBound(current) && this.views.volumes.get(current.spec.volumeName ?? '') !== undefined
    )
  }
  /** The provisioner gave up on this node, or the claim is gone. */
  private lost({ binds, provisions }: Plan, nodeName: string): Rejection | undefined {
    for (const { claim } of binds)
      if (this.views.claims.get(claim.metadata.name, claim.metadata.namespace) === undefined)
        return unschedulable(`persistentvolumeclaim "${claim.metadata.name}" not found`)
    for (const { metadata } of provisions) {
      const current = this.views.claims.get(metadata.name, metadata.namespace)
      if (current === undefined) return unschedulable(`persistentvolumeclaim "${metadata.name}" not found`)
      const node = current.metadata.annotations?.[selectedNode]
      if (node === undefined && !isBound(current) && this.seenChoice.has(metadata.uid)) {
        this.seenChoice.delete(metadata.uid)
        return broken(`provisioning failed for PVC "${metadata.name}"`)
      }
      if (node === nodeName) this.seenChoice.add(metadata.uid)
    }
    return undefined
  }
  /** Claims whose chosen node has arrived in the cache: from then on its absence means that it was taken back. */
  private readonly seenChoice = new Set<string>()
}

function unusable(
  pod: PodInfo,
  name: string,
  claim: PersistentVolumeClaim | undefined,
  ephemeral: boolean,
): Rejection | undefined {
  if (claim === undefined)
    return unresolvable(
      ephemeral
        ? `waiting for ephemeral volume controller to create the persistentvolumeclaim "${name}"`
        : `persistentvolumeclaim "${name}" not found`,
    )
  if (claim.status.phase === 'Lost')
    return unresolvable(
      `persistentvolumeclaim "${name}" bound to non-existent persistentvolume "${claim.spec.volumeName ?? ''}"`,
    )
  if (claim.metadata.deletionTimestamp !== undefined)
    return unresolvable(`persistentvolumeclaim "${name}" is being deleted`)
  if (ephemeral && !claim.metadata.ownerReferences?.some(({ uid, controller }) => controller && uid === pod.uid))
    return unresolvable(
      `PVC ${pod.namespace}/${name} was not created for pod ${pod.namespace}/${pod.name} (pod is not owner)`,
    )
  return undefined
}
const withNode = (claim: PersistentVolumeClaim, nodeName: string): PersistentVolumeClaim => ({
  ...claim,
  metadata: { ...claim.metadata, annotations: { ...claim.metadata.annotations, [selectedNode]: nodeName } },
})
const planOf = (cycle: Cycle): Plan | undefined => cycle.data.get(planKey) as Plan | undefined

export const volumeBinding: PluginFactory = {
  name: 'VolumeBinding',
  create(handle, args) {
    const binder = new VolumeBinder(handle, (args ?? {}) as VolumeBindingArgs)
    let claims: PodClaims = { bound: [], waiting: [] }
    return {
      name: 'VolumeBinding',
      preFilter({ pod }) {
        if (pod.claims.length === 0) return 'skip'
        const found = binder.claimsOf(pod)
        if ('code' in found) return found
        claims = found
        return undefined
      },
      filter(_cycle, node) {
        const plan = binder.plan(claims, node)
        return 'code' in plan ? plan : undefined
      },
      reserve(cycle, node) {
        if (cycle.pod.claims.length === 0 || claims.waiting.length === 0) return undefined
        const plan = binder.plan(claims, node)
        if ('code' in plan) return plan
        binder.assume(plan, node.name)
        cycle.data.set(planKey, plan)
        return undefined
      },
      unreserve(cycle) {
        const plan = planOf(cycle)
        if (plan !== undefined) binder.release(plan)
      },
      preBindIdle: (cycle) => planOf(cycle) === undefined,
      async preBind(cycle, nodeName) {
        const plan = planOf(cycle)
        if (plan === undefined) return undefined
        const refusal = await binder.bind(plan, nodeName)
        if (refusal === undefined) binder.release(plan)
        return refusal
      },
      hints: {
        node: (_info, { change, differs }) => change !== 'delete' && differs.labels,
        object: (info, { object, change }) => change !== 'delete' && concernsClaims(info, object),
      },
      close: () => binder.close(),
    }
  },
}
