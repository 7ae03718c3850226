// Resource claims of pods (KEP-4381): makes them from templates, takes pods that are done out of the list of their users, and
// takes the devices back when nobody uses a claim any more.
// (https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/)
import { type Pod, pods as podKind } from '../api/core/pod.ts'
import {
  claimFinalizer,
  claimsOfPod,
  isMadeFor,
  maxClaimUsers,
  podClaimAnnotation,
  usesClaims,
} from '../api/resource/pod-claims.ts'
import {
  type ResourceClaim,
  resourceClaims,
  type ResourceClaimTemplate,
  resourceClaimTemplates,
} from '../api/resource/resource.ts'
import { byControllerUid, keyFor, keyOf } from '../client/informer.ts'
import { type Controller, recorderFor } from './framework/controller.ts'
import { isPodTerminal, isTerminating } from './framework/pods.ts'
import { startReconciler, type Writes } from './framework/reconciler.ts'

type User = NonNullable<ResourceClaim['status']['reservedFor']>[number]

const podKey = 'pod:'
const claimKey = 'claim:'
const isPodUser = ({ apiGroup = '', resource }: User): boolean => apiGroup === '' && resource === 'pods'
/** It will never run (again): its claims may be taken back. */
const isDone = (pod: Pod): boolean => isPodTerminal(pod) || (isTerminating(pod) && !pod.spec.nodeName)

/** What a claim's status and finalizers should be. Pure: `podOf` is what the cache knows of a user. */
export function planClaim(
  claim: ResourceClaim,
  podOf: (user: User) => Pod | undefined,
): { readonly reservedFor: readonly User[]; readonly free: boolean; readonly letGo: boolean } {
  const users = claim.status.reservedFor ?? []
  const reservedFor = users.filter((user) => {
    if (!isPodUser(user)) return true
    const pod = podOf(user)
    return pod !== undefined && pod.metadata.uid === user.uid && !isDone(pod)
  })
  // An allocation that no pod ever reserved may be one that somebody made by hand.
  const left = users.length > 0 && reservedFor.length === 0
  const free = claim.status.allocation !== undefined && reservedFor.length === 0 && (left || isTerminating(claim))
  const held = claim.metadata.finalizers?.includes(claimFinalizer) === true
  const letGo =
    held && reservedFor.length === 0 && (free || (claim.status.allocation === undefined && isTerminating(claim)))
  return { reservedFor, free, letGo }
}

export const resourceClaimController: Controller = {
  name: 'resourceclaim-controller',
  start(context) {
    const pods = context.informers.informer(podKind)
    const claims = context.informers.informer(resourceClaims)
    const templates = context.informers.informer(resourceClaimTemplates)
    const madeFor = claims.index(byControllerUid)
    const recorder = recorderFor(context, 'resource_claim')
    const reconciler = startReconciler({
      context,
      caches: [pods, claims, templates],
      reconcile: (key, writes) =>
        key.startsWith(podKey)
          ? syncPod(key.slice(podKey.length), writes)
          : syncClaim(key.slice(claimKey.length), writes),
      onStop() {
        for (const off of handlers) off()
        recorder.stop()
      },
    })

    async function syncPod(key: string, writes: Writes): Promise<void> {
      const pod = pods.byKey(key)
      if (pod === undefined || isTerminating(pod) || isDone(pod)) return
      const { namespace = '' } = pod.metadata
      const made: { readonly name: string; readonly resourceClaimName: string }[] = []
      for (const { podClaim, name, template } of claimsOfPod(pod)) {
        if (name === undefined && template !== undefined)
          made.push({ name: podClaim, resourceClaimName: await claimFor(pod, podClaim, template, writes) })
        const claim = name === undefined ? undefined : claims.get(name, namespace)
        if (claim !== undefined && pod.spec.nodeName) await reserve(pod, claim, writes)
      }
      if (made.length > 0)
        await writes.patch(
          podKind,
          pod,
          'strategic',
          { status: { resourceClaimStatuses: made } },
          { subresource: 'status' },
        )
    }
    /** The name of the claim of a pod's own, which is made where it is not there yet. */
    async function claimFor(pod: Pod, podClaim: string, templateName: string, writes: Writes): Promise<string> {
      const { name, namespace = '', uid } = pod.metadata
      const there = madeFor.get(uid).find(({ metadata }) => metadata.annotations?.[podClaimAnnotation] === podClaim)
      if (there !== undefined) return there.metadata.name
      const template: ResourceClaimTemplate | undefined = templates.get(templateName, namespace)
      if (template === undefined) {
        const why = `resource claim template "${templateName}": resourceclaimtemplate.resource.k8s.io "${templateName}" not found`
        recorder.event(pod, 'Warning', 'FailedResourceClaimCreation', `PodResourceClaim ${podClaim}: ${why}`)
        throw new Error(why)
      }
      const { labels, annotations } = template.spec.metadata
      const created = await writes.create(resourceClaims, {
        metadata: {
          generateName: `${name}-${podClaim}-`,
          namespace,
          ...(labels === undefined ? {} : { labels }),
          annotations: { ...annotations, [podClaimAnnotation]: podClaim },
          ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name, uid, controller: true, blockOwnerDeletion: true }],
        },
        spec: template.spec.spec,
      })
      return created.metadata.name
    }
    /** For a pod that came to its node without the scheduler. */
    async function reserve(pod: Pod, claim: ResourceClaim, writes: Writes): Promise<void> {
      const { allocation, reservedFor = [] } = claim.status
      const { name, uid } = pod.metadata
      if (
        allocation === undefined ||
        reservedFor.length >= maxClaimUsers ||
        reservedFor.some((user) => user.uid === uid)
      )
        return
      const user = { resource: 'pods', name, uid }
      await writes.updateStatus(resourceClaims, {
        ...claim,
        status: { ...claim.status, reservedFor: [...reservedFor, user] },
      })
    }

    async function syncClaim(key: string, writes: Writes): Promise<void> {
      let claim = claims.byKey(key)
      if (claim === undefined) return
      const { namespace = '' } = claim.metadata
      const { reservedFor, free, letGo } = planClaim(claim, ({ name }) => pods.get(name, namespace))
      if (free || reservedFor.length !== (claim.status.reservedFor ?? []).length) {
        const { allocation, reservedFor: _users, devices, ...status } = claim.status
        claim = await writes.updateStatus(resourceClaims, {
          ...claim,
          status: {
            ...status,
            ...(free || allocation === undefined ? {} : { allocation, ...(devices === undefined ? {} : { devices }) }),
            ...(reservedFor.length === 0 ? {} : { reservedFor }),
          },
        })
      }
      if (letGo)
        claim = await writes.update(resourceClaims, {
          ...claim,
          metadata: {
            ...claim.metadata,
            finalizers: (claim.metadata.finalizers ?? []).filter((finalizer) => finalizer !== claimFinalizer),
          },
        })
      const owner = claim.metadata.ownerReferences?.find(({ controller }) => controller === true)
      const pod = owner?.kind === 'Pod' ? pods.get(owner.name, namespace) : undefined
      // The claim of one pod has no use after it.
      if (!isTerminating(claim) && pod !== undefined && isMadeFor(claim, pod.metadata.uid) && isDone(pod))
        await writes.delete(resourceClaims, claim)
    }

    const claimsChanged = (pod: Pod) => {
      const { namespace } = pod.metadata
      for (const { name } of claimsOfPod(pod))
        if (name !== undefined) reconciler.enqueue(claimKey + keyFor(name, namespace))
      for (const claim of madeFor.get(pod.metadata.uid)) reconciler.enqueue(claimKey + keyOf(claim))
    }
    const consider = (pod: Pod) => {
      if (!usesClaims(pod)) return
      reconciler.enqueue(podKey + keyOf(pod))
      if (isDone(pod)) claimsChanged(pod)
    }
    const gone = (pod: Pod) => {
      if (usesClaims(pod)) claimsChanged(pod)
    }
    const claimSeen = (claim: ResourceClaim) => {
      reconciler.enqueue(claimKey + keyOf(claim))
      const owner = claim.metadata.ownerReferences?.find(({ controller }) => controller === true)
      if (owner?.kind === 'Pod') reconciler.enqueue(podKey + keyFor(owner.name, claim.metadata.namespace))
    }
    const handlers = [
      pods.handle({ add: consider, update: consider, delete: gone }),
      claims.handle({ add: claimSeen, update: claimSeen }),
    ]
    return reconciler
  },
}
