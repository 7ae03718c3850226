// What a container may be told about its own pod, as environment or as a file.
import { type FieldError, invalidField, notSupportedField, requiredField } from '../machinery/errors.ts'
import { compareQuantities } from '../machinery/quantity.ts'
import { isDns1123Label, isQualifiedName } from '../machinery/validation.ts'
import type { ObjectFieldSelector, ResourceFieldSelector } from './environment.ts'

export const environmentFieldPaths = [
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
  'spec.nodeName',
  'spec.serviceAccountName',
  'status.hostIP',
  'status.hostIPs',
  'status.podIP',
  'status.podIPs',
] as const
export const volumeFieldPaths = [
  'metadata.annotations',
  'metadata.labels',
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
] as const
/** Every path that a Pod knows, whatever the place. */
const knownPaths = new Set<string>([
  ...environmentFieldPaths,
  ...volumeFieldPaths,
  'spec.restartPolicy',
  'spec.schedulerName',
  'status.phase',
])

/** metadata.labels['key'] in its two parts; undefined where there is no subscript. */
export function splitSubscript(fieldPath: string): { readonly path: string; readonly key: string } | undefined {
  const match = /^(.*)\['(.*)'\]$/.exec(fieldPath)
  return match?.[1] === undefined || match[2] === undefined ? undefined : { path: match[1], key: match[2] }
}

export function validateFieldSelector(
  selector: ObjectFieldSelector,
  allowed: readonly string[],
  path: string,
): FieldError[] {
  const { apiVersion, fieldPath } = selector
  if (apiVersion === '') return [requiredField(`${path}.apiVersion`)]
  if (fieldPath === '') return [requiredField(`${path}.fieldPath`)]
  const subscript = splitSubscript(fieldPath)
  if (subscript !== undefined) {
    const { path: map, key } = subscript
    if (map !== 'metadata.annotations' && map !== 'metadata.labels') {
      return [invalidField(`${path}.fieldPath`, map, 'does not support subscript')]
    }
    return isQualifiedName(map === 'metadata.annotations' ? key.toLowerCase() : key).map((message) =>
      invalidField(`${path}.fieldPath`, key, message),
    )
  }
  if (apiVersion !== 'v1' || !knownPaths.has(fieldPath)) {
    const why =
      apiVersion === 'v1' ? `field label not supported: ${fieldPath}` : `unsupported pod version: ${apiVersion}`
    return [invalidField(`${path}.fieldPath`, fieldPath, `error converting fieldPath: ${why}`)]
  }
  return allowed.includes(fieldPath) ? [] : [notSupportedField(`${path}.fieldPath`, fieldPath, allowed)]
}

const resourcePaths = ['cpu', 'ephemeral-storage', 'memory'].flatMap((name) => [`limits.${name}`, `requests.${name}`])
const cpuDivisors = ['1m', '1']
const byteDivisors = ['1', '1k', '1M', '1G', '1T', '1P', '1E', '1Ki', '1Mi', '1Gi', '1Ti', '1Pi', '1Ei']
/** `inVolume`: a file belongs to no container, so the container must be named. */
export function validateResourceFieldSelector(
  selector: ResourceFieldSelector,
  path: string,
  inVolume: boolean,
): FieldError[] {
  const { containerName = '', resource, divisor } = selector
  if (inVolume && containerName === '') return [requiredField(`${path}.containerName`)]
  if (resource === '') return [requiredField(`${path}.resource`)]
  const errors: FieldError[] = []
  if (containerName !== '') {
    for (const message of isDns1123Label(containerName))
      errors.push(invalidField(`${path}.containerName`, containerName, message))
  }
  const hugePages = /^(limits|requests)\.hugepages-/.test(resource)
  if (!hugePages && !resourcePaths.includes(resource)) {
    return [...errors, notSupportedField(`${path}.resource`, resource, resourcePaths)]
  }
  if (compareQuantities(divisor, '0') === 0) return errors
  const cpu = resource.endsWith('.cpu')
  const allowed = cpu ? cpuDivisors : byteDivisors
  if (allowed.some((one) => compareQuantities(one, divisor) === 0)) return errors
  const name = cpu
    ? 'cpu'
    : resource.endsWith('.memory')
      ? 'memory'
      : hugePages
        ? 'hugepages'
        : 'local ephemeral storage'
  errors.push(
    invalidField(
      `${path}.divisor`,
      divisor,
      `only divisor's values ${cpu ? '1m and 1' : byteDivisors.join(', ')} are supported with the ${name} resource`,
    ),
  )
  return errors
}
