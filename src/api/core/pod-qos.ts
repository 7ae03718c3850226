// The quality of service of a pod: Guaranteed when every container is limited in cpu and memory to what it requests,
// BestEffort when none says anything, Burstable otherwise. Decides eviction order, oom_score_adj and the cgroup.
import { compareQuantities } from '../machinery/quantity.ts'
import type { PodSpec } from './pod-spec.ts'

export type QosClass = 'Guaranteed' | 'Burstable' | 'BestEffort'
const counted = ['cpu', 'memory'] as const

type Requirements = NonNullable<PodSpec['resources']>
type Amounts = Readonly<Record<string, string>>

const isSet = (amounts: Amounts | undefined, name: string): boolean => {
  const amount = amounts?.[name]
  return amount !== undefined && compareQuantities(amount, '0') > 0
}
/** Computes the class from the spec; resources of the whole pod, where given, stand for its containers. */
export function computeQosClass(spec: {
  readonly containers: readonly { readonly resources?: Requirements }[]
  readonly initContainers?: readonly { readonly resources?: Requirements }[] | undefined
  readonly resources?: Requirements | undefined
}): QosClass {
  const podLevel = spec.resources
  const all: readonly Requirements[] =
    podLevel !== undefined && (hasAny(podLevel.requests) || hasAny(podLevel.limits))
      ? [podLevel]
      : [...spec.containers, ...(spec.initContainers ?? [])].map((c) => c.resources ?? {})
  let anything = false
  let guaranteed = true
  for (const { requests, limits } of all) {
    for (const name of counted) {
      const requested = isSet(requests, name)
      const limited = isSet(limits, name)
      if (requested || limited) anything = true
      if (!limited) guaranteed = false
      else if (requested && compareQuantities(requests?.[name] ?? '0', limits?.[name] ?? '0') !== 0) guaranteed = false
    }
  }
  if (!anything) return 'BestEffort'
  return guaranteed ? 'Guaranteed' : 'Burstable'
}
const hasAny = (amounts: Amounts | undefined): boolean =>
  amounts !== undefined && counted.some((n) => isSet(amounts, n))

/** The class that the status says, computed where it says nothing. */
export const qosClassOf = (pod: {
  readonly spec: Parameters<typeof computeQosClass>[0]
  readonly status?: { readonly qosClass?: string | undefined }
}): QosClass => (pod.status?.qosClass as QosClass | undefined) ?? computeQosClass(pod.spec)
