// Which ResourceClaims a pod uses: named in its spec, or made for it from a template and named in its status (KEP-4381).
import type { Pod } from '../core/pod.ts'

/** The annotation of a claim made from a template: the pod's own name for it. */
export const podClaimAnnotation = 'resource.kubernetes.io/pod-claim-name'
/** Stands for the pod's own name of the claim that the scheduler made for its extended resources (KEP-5004). */
export const extendedPodClaim = 'extended-resources'
/** Keeps an allocated claim until nobody uses it. */
export const claimFinalizer = 'resource.kubernetes.io/delete-protection'
/** How many pods may share a claim. */
export const maxClaimUsers = 256

export interface PodClaim {
  /** The pod's own name for it. */
  readonly podClaim: string
  /** The ResourceClaim's name; undefined while it has not been made. */
  readonly name: string | undefined
  /** From what it was made, so that it is this pod's alone; '' for its extended resources. */
  readonly template: string | undefined
}

/** The claims of a pod, that of its extended resources last, without those that turned out not to be needed (a status without a claim's name). */
export function claimsOfPod({ spec, status }: Pod): readonly PodClaim[] {
  const claims: PodClaim[] = []
  for (const { name: podClaim, resourceClaimName, resourceClaimTemplateName } of spec.resourceClaims ?? []) {
    if (resourceClaimName !== undefined) {
      claims.push({ podClaim, name: resourceClaimName, template: undefined })
      continue
    }
    const made = status.resourceClaimStatuses?.find(({ name }) => name === podClaim)
    if (made !== undefined && made.resourceClaimName === undefined) continue
    claims.push({ podClaim, name: made?.resourceClaimName, template: resourceClaimTemplateName })
  }
  const extended = status.extendedResourceClaimStatus
  if (extended !== undefined)
    claims.push({ podClaim: extendedPodClaim, name: extended.resourceClaimName, template: '' })
  return claims
}
/** True where the pod uses devices of claims, or may come to use some. */
export const usesClaims = ({ spec, status }: Pod): boolean =>
  (spec.resourceClaims ?? []).length > 0 || status.extendedResourceClaimStatus !== undefined

/** True where the claim was made for this very pod. */
export const isMadeFor = (
  claim: {
    readonly metadata: {
      readonly ownerReferences?:
        | readonly { readonly uid: string; readonly controller?: boolean | undefined }[]
        | undefined
    }
  },
  uid: string,
): boolean => claim.metadata.ownerReferences?.some((owner) => owner.controller === true && owner.uid === uid) === true
