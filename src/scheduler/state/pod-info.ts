// A pod as the scheduler sees it: parsed once, the parts that only a pending pod needs when they are first asked for. An
// update that changes nothing for scheduling swaps the object and keeps the rest.
import { isSidecar } from '../../api/core/container.ts'
import type { Pod } from '../../api/core/pod.ts'
import type { Toleration } from '../../api/core/toleration.ts'
import type { Labels } from '../../api/machinery/labels.ts'
import type { ResourceNames } from './amounts.ts'
import { namedNodes, type NodePredicate, requiredNodes, requiredNodesKey } from '../../api/core/node-match.ts'
import { type Requests, requestsOf } from './pod-requests.ts'
import { type Terms, termsOf } from './pod-terms.ts'

export interface HostPort {
  /** 0.0.0.0 stands for every address. */
  readonly ip: string
  /** "TCP/80". */
  readonly port: string
}
const noTolerations: readonly Toleration[] = []
const noLabels: Labels = {}
const noPorts: readonly HostPort[] = []

function hostPortsOf(pod: Pod): readonly HostPort[] {
  let ports: HostPort[] | undefined
  const collect = (container: Pod['spec']['containers'][number]) => {
    for (const { hostPort, hostIP, protocol } of container.ports ?? [])
      if (hostPort !== undefined && hostPort > 0)
        (ports ??= []).push({ ip: hostIP ? hostIP : '0.0.0.0', port: `${protocol || 'TCP'}/${hostPort}` })
  }
  for (const container of pod.spec.containers) collect(container)
  for (const container of pod.spec.initContainers ?? []) if (isSidecar(container)) collect(container)
  return ports ?? noPorts
}
/** Names of the claims whose volumes the pod mounts; a generic ephemeral volume's claim is named POD-VOLUME. */
function claimsOf(pod: Pod): readonly string[] {
  let claims: string[] | undefined
  for (const { name, persistentVolumeClaim, ephemeral } of pod.spec.volumes ?? [])
    if (persistentVolumeClaim !== undefined) (claims ??= []).push(persistentVolumeClaim.claimName)
    else if (ephemeral !== undefined) (claims ??= []).push(`${pod.metadata.name}-${name}`)
  return claims ?? []
}

function tolerationsKeyOf(tolerations: readonly Toleration[]): string {
  let text = ''
  for (const { key = '', operator = '', value = '', effect = '' } of tolerations)
    text += `${key}|${operator}|${value}|${effect};`
  return text
}

export class PodInfo {
  private current: Pod
  private readonly names: ResourceNames
  readonly uid: string
  readonly namespace: string
  readonly name: string
  /** NAMESPACE/NAME */
  readonly key: string
  readonly labels: Labels
  readonly priority: number
  readonly terminating: boolean
  readonly requests: Requests
  readonly ports: readonly HostPort[]
  readonly terms: Terms | undefined
  private lazyNodes: { readonly matches: NodePredicate | undefined } | undefined
  private lazyTolerationsKey: string | undefined
  private lazyNodesKey: string | undefined
  private lazyClaims: readonly string[] | undefined

  constructor(pod: Pod, names: ResourceNames) {
    this.current = pod
    this.names = names
    this.uid = pod.metadata.uid
    this.namespace = pod.metadata.namespace ?? ''
    this.name = pod.metadata.name
    this.key = `${this.namespace}/${this.name}`
    this.labels = pod.metadata.labels ?? noLabels
    this.priority = pod.spec.priority ?? 0
    this.terminating = pod.metadata.deletionTimestamp !== undefined
    this.requests = requestsOf(pod, names)
    this.ports = hostPortsOf(pod)
    this.terms = termsOf(pod)
  }
  get pod(): Pod {
    return this.current
  }
  get tolerations(): readonly Toleration[] {
    return this.current.spec.tolerations ?? noTolerations
  }
  /** Equal for pods with the same tolerations; seconds do not matter to scheduling. */
  get tolerationsKey(): string {
    return (this.lazyTolerationsKey ??= tolerationsKeyOf(this.tolerations))
  }
  /** Undefined where any node will do. */
  get nodesMatch(): NodePredicate | undefined {
    return (this.lazyNodes ??= { matches: requiredNodes(this.current) }).matches
  }
  get nodesKey(): string {
    return (this.lazyNodesKey ??= requiredNodesKey(this.current))
  }
  get namedNodes(): ReadonlySet<string> | undefined {
    return namedNodes(this.current)
  }
  get claims(): readonly string[] {
    return (this.lazyClaims ??= claimsOf(this.current))
  }

  /** Takes over a newer object of the same pod; false where it differs in what is parsed, and must be parsed anew. */
  refresh(pod: Pod): boolean {
    const old = this.current
    if (
      pod.metadata.uid !== this.uid ||
      (pod.metadata.deletionTimestamp !== undefined) !== this.terminating ||
      !sameSpec(pod, old) ||
      !sameLabels(pod.metadata.labels ?? noLabels, this.labels) ||
      !sameJson(pod.status.resourceClaimStatuses, old.status.resourceClaimStatuses) ||
      !sameRequests(requestsOf(pod, this.names), this.requests)
    )
      return false
    this.current = pod
    return true
  }
}

/** The server counts changes of the spec in metadata.generation; binding is the one change that we expect. */
function sameSpec(a: Pod, b: Pod): boolean {
  if (a.spec === b.spec) return true
  const { generation } = a.metadata
  if (generation !== undefined && generation === b.metadata.generation) return true
  return sameJson({ ...a.spec, nodeName: '' }, { ...b.spec, nodeName: '' })
}
function sameLabels(a: Labels, b: Labels): boolean {
  if (a === b) return true
  const keys = Object.keys(a)
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key])
}
const sameRequests = (a: Requests, b: Requests): boolean => a.key === b.key

/** Equality of plain JSON data. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) !== Array.isArray(b)) return false
  const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>]
  const keys = Object.keys(left).filter((key) => left[key] !== undefined)
  const others = Object.keys(right).filter((key) => right[key] !== undefined)
  return keys.length === others.length && keys.every((key) => sameJson(left[key], right[key]))
}
