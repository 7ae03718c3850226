// The identity of a StatefulSet's pods: name, labels, host name and claims all follow from the ordinal.
import type { StatefulSet } from '../api/apps/stateful-set.ts'
import { statefulSets } from '../api/apps/stateful-set.ts'
import type { PersistentVolumeClaim } from '../api/core/persistent-volume-claim.ts'
import type { Pod } from '../api/core/pod.ts'
import type { PodTemplateSpec } from '../api/core/pod-template.ts'
import type { OwnerReference } from '../api/machinery/meta.ts'
import type { Input } from '../client/client.ts'
import { controllerRef } from './framework/ownership.ts'

export const podNameLabel = 'statefulset.kubernetes.io/pod-name'
export const podIndexLabel = 'apps.kubernetes.io/pod-index'
export const revisionLabel = 'controller-revision-hash'

export const podNameOf = (set: StatefulSet, ordinal: number): string => `${set.metadata.name}-${ordinal}`
/** The ordinal in a pod's name; undefined where the pod is not named after the set. */
export function ordinalOf(set: StatefulSet, pod: Pod): number | undefined {
  const { name } = pod.metadata
  const at = name.lastIndexOf('-')
  if (at === -1 || name.slice(0, at) !== set.metadata.name) return undefined
  const text = name.slice(at + 1)
  return /^\d+$/.test(text) ? Number(text) : undefined
}
export const claimNameOf = (set: StatefulSet, template: string, ordinal: number): string =>
  `${template}-${set.metadata.name}-${ordinal}`

type Volume = NonNullable<PodTemplateSpec['spec']['volumes']>[number]
/** The pod's volumes: one per claim template, which win over the template's own of the same name. */
function volumesOf(set: StatefulSet, ordinal: number, template: PodTemplateSpec): readonly Volume[] {
  const claims = (set.spec.volumeClaimTemplates ?? []).map((claim) => ({
    name: claim.metadata.name,
    persistentVolumeClaim: { claimName: claimNameOf(set, claim.metadata.name ?? '', ordinal) },
  })) as Volume[]
  const names = new Set(claims.map((volume) => volume.name))
  return [...claims, ...(template.spec.volumes ?? []).filter((volume) => !names.has(volume.name))]
}

/** The pod of an ordinal, from the template of one revision. */
export function statefulPod(
  set: StatefulSet,
  ordinal: number,
  template: PodTemplateSpec,
  revisionName: string,
): Input<Pod> {
  const name = podNameOf(set, ordinal)
  const { labels, annotations, finalizers } = template.metadata
  const volumes = volumesOf(set, ordinal, template)
  return {
    metadata: {
      name,
      namespace: set.metadata.namespace,
      labels: { ...labels, [podNameLabel]: name, [podIndexLabel]: String(ordinal), [revisionLabel]: revisionName },
      ...(annotations === undefined ? {} : { annotations }),
      ...(finalizers === undefined ? {} : { finalizers }),
      ownerReferences: [controllerRef(statefulSets, set)],
    },
    spec: {
      ...template.spec,
      hostname: name,
      ...(set.spec.serviceName ? { subdomain: set.spec.serviceName } : {}),
      ...(volumes.length === 0 ? {} : { volumes }),
    },
  }
}

/** The claims of an ordinal, as they are made when they are missing. */
export function claimsOf(set: StatefulSet, ordinal: number): readonly Input<PersistentVolumeClaim>[] {
  return (set.spec.volumeClaimTemplates ?? []).map((template) => ({
    metadata: {
      name: claimNameOf(set, template.metadata.name ?? '', ordinal),
      namespace: set.metadata.namespace,
      labels: { ...template.metadata.labels, ...set.spec.selector.matchLabels },
      ...(template.metadata.annotations === undefined ? {} : { annotations: template.metadata.annotations }),
    },
    spec: template.spec,
  }))
}

/** Name and labels that tie a pod to its ordinal, and its claims, are in place. */
export function hasIdentity(set: StatefulSet, ordinal: number, pod: Pod): boolean {
  const name = podNameOf(set, ordinal)
  const { labels = {}, namespace } = pod.metadata
  if (
    namespace !== set.metadata.namespace ||
    labels[podNameLabel] !== name ||
    labels[podIndexLabel] !== String(ordinal)
  )
    return false
  return (set.spec.volumeClaimTemplates ?? []).every((template) =>
    pod.spec.volumes?.some(
      (volume) =>
        volume.name === template.metadata.name &&
        volume.persistentVolumeClaim?.claimName === claimNameOf(set, template.metadata.name ?? '', ordinal),
    ),
  )
}

/** Who owns a claim, by the retention policy: the set, the pod that is scaled away, or nobody. */
export function claimOwner(set: StatefulSet, condemned: boolean): 'set' | 'pod' | 'nobody' {
  const { whenDeleted, whenScaled } = set.spec.persistentVolumeClaimRetentionPolicy ?? {}
  if (whenScaled === 'Delete' && condemned) return 'pod'
  return whenDeleted === 'Delete' ? 'set' : 'nobody'
}
/** The owner references of a claim as the policy wants them; undefined when they are right. Others' stay. */
export function planClaimOwners(
  set: StatefulSet,
  pod: Pod,
  claim: PersistentVolumeClaim,
  condemned: boolean,
): readonly OwnerReference[] | undefined {
  const current = claim.metadata.ownerReferences ?? []
  const wanted = claimOwner(set, condemned)
  const setRef: OwnerReference = {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    name: set.metadata.name,
    uid: set.metadata.uid,
    controller: true,
    blockOwnerDeletion: true,
  }
  const podRef: OwnerReference = {
    ...setRef,
    apiVersion: 'v1',
    kind: 'Pod',
    name: pod.metadata.name,
    uid: pod.metadata.uid,
  }
  const has = (reference: OwnerReference) => current.some(({ uid }) => uid === reference.uid)
  const isRight = has(setRef) === (wanted === 'set') && has(podRef) === (wanted === 'pod')
  if (isRight) return undefined
  const others = current.filter(({ uid, controller }) => uid !== setRef.uid && uid !== podRef.uid && !controller)
  // Somebody else controls the claim: leave it to them.
  if (current.some(({ uid, controller }) => controller && uid !== setRef.uid && uid !== podRef.uid)) return undefined
  return wanted === 'nobody' ? others : [...others, wanted === 'set' ? setRef : podRef]
}
