// The pods that belong together although no constraint says so: those of the same services and of the same controller.
import { replicaSets } from '../../api/apps/replica-set.ts'
import { statefulSets } from '../../api/apps/stateful-set.ts'
import { replicationControllers } from '../../api/core/replication-controller.ts'
import { services } from '../../api/core/service.ts'
import {
  matchesSelector,
  type Requirement,
  type Selector,
  selectorOf,
  selectorOfLabels,
} from '../../api/machinery/labels.ts'
import { byNamespace, type InformerFactory } from '../../client/informer.ts'
import type { PodInfo } from '../state/pod-info.ts'

/** Answers the selector of a pod's group; undefined for a pod that stands alone. */
export type DefaultSelector = (pod: PodInfo) => Selector | undefined

export function createDefaultSelector(informers: InformerFactory): DefaultSelector {
  const knownServices = informers.informer(services)
  const servicesIn = knownServices.index(byNamespace)
  const knownReplicaSets = informers.informer(replicaSets)
  const knownStatefulSets = informers.informer(statefulSets)
  const knownControllers = informers.informer(replicationControllers)

  function ownerSelector(pod: PodInfo): Selector {
    const owner = pod.pod.metadata.ownerReferences?.find(({ controller }) => controller)
    switch (owner?.kind ?? '') {
      case 'ReplicaSet':
        return selectorOf(knownReplicaSets.get(owner?.name ?? '', pod.namespace)?.spec.selector) ?? []
      case 'StatefulSet':
        return selectorOf(knownStatefulSets.get(owner?.name ?? '', pod.namespace)?.spec.selector) ?? []
      case 'ReplicationController':
        return selectorOfLabels(knownControllers.get(owner?.name ?? '', pod.namespace)?.spec.selector ?? {})
      default:
        return []
    }
  }
  return (pod) => {
    const merged = new Map<string, Requirement>()
    for (const { spec } of servicesIn.get(pod.namespace)) {
      const selector = spec.selector ?? {}
      if (Object.keys(selector).length === 0 || !matchesSelector(selectorOfLabels(selector), pod.labels)) continue
      for (const requirement of selectorOfLabels(selector)) merged.set(requirement.key, requirement)
    }
    const owned = ownerSelector(pod)
    const added = owned.filter((r) => {
      const known = merged.get(r.key)
      return known === undefined || known.operator !== r.operator || known.values.join() !== r.values.join()
    })
    const all = [...merged.values(), ...added]
    return all.length === 0 ? undefined : all.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
  }
}
