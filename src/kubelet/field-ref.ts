// The downward API: what a pod may learn of itself, by fieldRef and resourceFieldRef.
import { parseQuantity, quantityMilliValue, quantityValue } from '../api/machinery/quantity.ts'
import { type AnyContainer, type Pod, findContainer } from './types.ts'

/** What the pod does not carry in its spec: known once the sandbox runs. */
export interface RuntimeFacts {
  readonly podIPs: readonly string[]
  readonly hostIPs: readonly string[]
  readonly nodeName: string
}

const goEscapes: Readonly<Record<string, string>> = {
  '\u0007': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '\\': '\\\\',
  '"': '\\"',
}
/** A string as Go's %q prints it. */
export const quoted = (text: string): string =>
  `"${text.replace(/["\\\p{Cc}]/gu, (c) => goEscapes[c] ?? `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`)}"`
/** One line `key="value"` a pair, sorted by key. */
export const formatMap = (map: Readonly<Record<string, string>> | undefined): string =>
  Object.entries(map ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${quoted(value)}`)
    .join('\n')

const subscript = /^metadata\.(labels|annotations)\['(.*)'\]$/

/** Undefined when there is no such field. */
export function fieldValue(pod: Pod, path: string, facts: RuntimeFacts): string | undefined {
  const { metadata, spec } = pod
  const match = subscript.exec(path)
  if (match !== null) {
    const map = match[1] === 'labels' ? metadata.labels : metadata.annotations
    return map?.[match[2] ?? ''] ?? ''
  }
  switch (path) {
    case 'metadata.name':
      return metadata.name
    case 'metadata.namespace':
      return metadata.namespace ?? ''
    case 'metadata.uid':
      return metadata.uid
    case 'metadata.labels':
      return formatMap(metadata.labels)
    case 'metadata.annotations':
      return formatMap(metadata.annotations)
    case 'spec.nodeName':
      return spec.nodeName ?? facts.nodeName
    case 'spec.serviceAccountName':
      return spec.serviceAccountName ?? ''
    case 'status.hostIP':
      return facts.hostIPs[0] ?? ''
    case 'status.hostIPs':
      return facts.hostIPs.join(',')
    case 'status.podIP':
      return facts.podIPs[0] ?? ''
    case 'status.podIPs':
      return facts.podIPs.join(',')
    default:
      return undefined
  }
}

export interface ResourceFieldRef {
  readonly containerName?: string | undefined
  readonly resource: string
  readonly divisor?: string | undefined
}
/** The amount divided and rounded up. A limit that is not set is the node's allocatable. Undefined when the container or
 * the resource is unknown. */
export function resourceFieldValue(
  pod: Pod,
  own: AnyContainer | undefined,
  ref: ResourceFieldRef,
  allocatable: Readonly<Record<string, string>>,
): string | undefined {
  const container = ref.containerName ? findContainer(pod.spec, ref.containerName) : own
  const [which, name] = splitResource(ref.resource)
  if (container === undefined || (which !== 'limits' && which !== 'requests') || name === undefined) return undefined
  const resources = 'resources' in container ? container.resources : undefined
  const set = resources?.[which]?.[name]
  const text = set ?? (which === 'limits' ? allocatable[name] : undefined) ?? '0'
  const divisor = ref.divisor !== undefined && parseQuantity(ref.divisor).nanos > 0n ? ref.divisor : '1'
  const measure = name === 'cpu' ? quantityMilliValue : quantityValue
  return String(Math.ceil(measure(text) / measure(divisor)))
}
function splitResource(resource: string): [string, string | undefined] {
  const dot = resource.indexOf('.')
  return dot === -1 ? [resource, undefined] : [resource.slice(0, dot), resource.slice(dot + 1)]
}
