// What an object counts for against resource quotas, and which quotas look at it. Shared by admission, which charges, and
// the quota controller, which counts anew.
import type { KubeObject } from '../machinery/meta.ts'
import { addQuantities, compareQuantities, formatQuantity, subtractQuantities } from '../machinery/quantity.ts'
import type { Amounts } from './pod-resources.ts'
import { podLimits, podRequests } from './pod-resources.ts'
import { computeQosClass } from './pod-qos.ts'
import type { Pod } from './pod.ts'
import type { PersistentVolumeClaim } from './persistent-volume-claim.ts'
import type { ResourceQuota, ScopedResourceSelectorRequirement } from './resource-quota.ts'
import type { Service } from './service.ts'

const storageClassAnnotation = 'volume.beta.kubernetes.io/storage-class'
/** Resources that have a plain count beside count/NAME. */
const plainCounts = new Set([
  'configmaps',
  'persistentvolumeclaims',
  'replicationcontrollers',
  'resourcequotas',
  'secrets',
  'services',
])

const qualified = (group: string, plural: string): string => (group === '' ? plural : `${plural}.${group}`)

/** What one object uses, by quota resource name. */
export function quotaUsage(group: string, plural: string, object: KubeObject, nowMs: number): Record<string, string> {
  const usage: Record<string, string> = { [`count/${qualified(group, plural)}`]: '1' }
  if (group !== '') return usage
  if (plainCounts.has(plural)) usage[plural] = '1'
  if (plural === 'pods') addPod(usage, object as unknown as Pod, nowMs)
  else if (plural === 'services') addService(usage, object as unknown as Service)
  else if (plural === 'persistentvolumeclaims') addClaim(usage, object as unknown as PersistentVolumeClaim)
  return usage
}

/** A pod that has ended, or whose time to end is over, uses nothing but its place in the store. */
function isQuotaPod({ metadata, status }: Pod, nowMs: number): boolean {
  if (status.phase === 'Succeeded' || status.phase === 'Failed') return false
  const { deletionTimestamp, deletionGracePeriodSeconds } = metadata
  return (
    deletionTimestamp === undefined || deletionGracePeriodSeconds === undefined || Date.parse(deletionTimestamp) > nowMs
  )
}
const isExtended = (name: string): boolean => name.includes('/') && !name.startsWith('kubernetes.io/')

function addPod(usage: Record<string, string>, pod: Pod, nowMs: number): void {
  if (!isQuotaPod(pod, nowMs)) return
  usage['pods'] = '1'
  const requests = podRequests(pod.spec)
  for (const [name, amount] of Object.entries(requests)) {
    if (name === 'cpu' || name === 'memory' || name === 'ephemeral-storage') usage[name] = amount
    if (name === 'cpu' || name === 'memory' || name === 'ephemeral-storage' || isExtended(name))
      usage[`requests.${name}`] = amount
    if (name.startsWith('hugepages-')) {
      usage[name] = amount
      usage[`requests.${name}`] = amount
    }
  }
  for (const [name, amount] of Object.entries(podLimits(pod.spec))) {
    if (name === 'cpu' || name === 'memory' || name === 'ephemeral-storage') usage[`limits.${name}`] = amount
  }
}

function addService(usage: Record<string, string>, { spec }: Service): void {
  const ports = spec.ports?.length ?? 0
  usage['services.nodeports'] = '0'
  usage['services.loadbalancers'] = '0'
  if (spec.type === 'NodePort') usage['services.nodeports'] = String(ports)
  else if (spec.type === 'LoadBalancer') {
    const allocated =
      spec.allocateLoadBalancerNodePorts === false ? (spec.ports ?? []).filter((p) => p.nodePort).length : ports
    usage['services.nodeports'] = String(allocated)
    usage['services.loadbalancers'] = '1'
  }
}

function addClaim(usage: Record<string, string>, claim: PersistentVolumeClaim): void {
  const requested = claim.spec.resources.requests?.['storage'] ?? '0'
  const allocated = claim.status.allocatedResources?.['storage']
  const storage = allocated !== undefined && compareQuantities(allocated, requested) > 0 ? allocated : requested
  usage['requests.storage'] = storage
  const storageClass = claim.metadata.annotations?.[storageClassAnnotation] ?? claim.spec.storageClassName ?? ''
  if (storageClass === '') return
  usage[`${storageClass}.storageclass.storage.k8s.io/persistentvolumeclaims`] = '1'
  usage[`${storageClass}.storageclass.storage.k8s.io/requests.storage`] = storage
}

/** Whether a quota's scopes select the object. */
export function quotaMatches(quota: ResourceQuota, group: string, plural: string, object: KubeObject): boolean {
  const requirements: ScopedResourceSelectorRequirement[] = [
    ...(quota.spec.scopes ?? []).map((scopeName) => ({ scopeName, operator: 'Exists' })),
    ...(quota.spec.scopeSelector?.matchExpressions ?? []),
  ]
  if (requirements.length === 0) return true
  if (group !== '') return false
  if (plural === 'persistentvolumeclaims')
    return requirements.every((r) => claimInScope(object as unknown as PersistentVolumeClaim, r))
  return plural === 'pods' && requirements.every((r) => podInScope(object as unknown as Pod, r))
}

function claimInScope(claim: PersistentVolumeClaim, requirement: ScopedResourceSelectorRequirement): boolean {
  if (requirement.scopeName !== 'VolumeAttributesClass') return false
  return valueInScope(claim.spec.volumeAttributesClassName ?? '', requirement)
}

function podInScope(pod: Pod, requirement: ScopedResourceSelectorRequirement): boolean {
  const { spec } = pod
  const isBestEffort = () => computeQosClass(spec) === 'BestEffort'
  const terminating = (spec.activeDeadlineSeconds ?? -1) >= 0
  switch (requirement.scopeName) {
    case 'Terminating':
      return terminating
    case 'NotTerminating':
      return !terminating
    case 'BestEffort':
      return isBestEffort()
    case 'NotBestEffort':
      return !isBestEffort()
    case 'CrossNamespacePodAffinity':
      return usesOtherNamespaces(spec)
    case 'PriorityClass':
      return valueInScope(spec.priorityClassName ?? '', requirement)
    default:
      return false
  }
}

function valueInScope(value: string, { operator, values = [] }: ScopedResourceSelectorRequirement): boolean {
  switch (operator) {
    case 'In':
      return values.includes(value)
    case 'NotIn':
      return !values.includes(value)
    case 'Exists':
      return value !== ''
    default:
      return value === ''
  }
}

function usesOtherNamespaces({ affinity }: Pod['spec']): boolean {
  const terms = [affinity?.podAffinity, affinity?.podAntiAffinity].flatMap((a) => [
    ...(a?.requiredDuringSchedulingIgnoredDuringExecution ?? []),
    ...(a?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map((weighted) => weighted.podAffinityTerm),
  ])
  return terms.some((term) => (term.namespaces ?? []).length > 0 || term.namespaceSelector !== undefined)
}

export function addAmounts(a: Amounts, b: Amounts): Record<string, string> {
  const out: Record<string, string> = { ...a }
  for (const [name, amount] of Object.entries(b)) {
    const sum = out[name]
    out[name] = sum === undefined ? amount : formatQuantity(addQuantities(sum, amount))
  }
  return out
}
/** a - b; what only b names becomes negative. */
export function subtractAmounts(a: Amounts, b: Amounts): Record<string, string> {
  const out: Record<string, string> = { ...a }
  for (const [name, amount] of Object.entries(b))
    out[name] = formatQuantity(subtractQuantities(out[name] ?? '0', amount))
  return out
}
