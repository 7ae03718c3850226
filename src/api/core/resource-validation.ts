// Rules of amounts: names of resources, their units, requests within limits.
import { type FieldError, forbiddenField, invalidField, requiredField } from '../machinery/errors.ts'
import { compareQuantities, isInteger } from '../machinery/quantity.ts'
import { isQualifiedName } from '../machinery/validation.ts'
import type { Amounts } from './pod-resources.ts'
import type { ResourceRequirements } from './resources.ts'

export const isHugePages = (name: string): boolean => name.startsWith('hugepages-')
/** Resources of Kubernetes itself carry no domain, or its own. */
export const isNativeResource = (name: string): boolean => !name.includes('/') || name.includes('kubernetes.io/')
/** Anything else that a node may offer: devices, licences. Whole numbers, never overcommitted. */
export const isExtendedResource = (name: string): boolean =>
  !isNativeResource(name) && !name.startsWith('requests.') && isQualifiedName(`requests.${name}`).length === 0
const isOvercommittable = (name: string): boolean => isNativeResource(name) && !isHugePages(name)
const containerResources = new Set(['cpu', 'memory', 'ephemeral-storage'])
const wholeResources = new Set([
  'pods',
  'services',
  'replicationcontrollers',
  'resourcequotas',
  'secrets',
  'configmaps',
  'persistentvolumeclaims',
  'services.nodeports',
  'services.loadbalancers',
])

export function validateResourceQuantity(name: string, amount: string, path: string): FieldError[] {
  const errors: FieldError[] = []
  if (compareQuantities(amount, '0') < 0) errors.push(invalidField(path, amount, 'must be greater than or equal to 0'))
  if ((isExtendedResource(name) || wholeResources.has(name)) && !isInteger(amount)) {
    errors.push(invalidField(path, amount, 'must be an integer'))
  }
  return errors
}
export function validateContainerResourceName(name: string, path: string): FieldError[] {
  const errors = isQualifiedName(name).map((message) => invalidField(path, name, message))
  if (errors.length > 0) return errors
  if (!name.includes('/')) {
    return containerResources.has(name) || isHugePages(name)
      ? []
      : [invalidField(path, name, 'must be a standard resource for containers')]
  }
  return isNativeResource(name) || isExtendedResource(name)
    ? []
    : [invalidField(path, name, "doesn't follow extended resource name standard")]
}
/** hugepages-2Mi: the amount is a multiple of the page size. */
function validateHugePages(name: string, amount: string, path: string): FieldError[] {
  if (!isHugePages(name)) return []
  return isInteger(amount) ? [] : [invalidField(path, amount, 'must be an integer')]
}

function validateAmounts(amounts: Amounts | undefined, path: string): FieldError[] {
  return Object.entries(amounts ?? {}).flatMap(([name, amount]) => [
    ...validateContainerResourceName(name, path),
    ...validateResourceQuantity(name, amount, `${path}[${name}]`),
    ...validateHugePages(name, amount, `${path}[${name}]`),
  ])
}

/** Requests and limits of a container. `claims` are the names that the pod declares. */
export function validateResourceRequirements(
  resources: ResourceRequirements,
  path: string,
  claims: ReadonlySet<string> = new Set(),
): FieldError[] {
  const { limits, requests } = resources
  const errors = validateAmounts(limits, `${path}.limits`)
  for (const [name, amount] of Object.entries(requests ?? {})) {
    const at = `${path}.requests`
    errors.push(...validateAmounts({ [name]: amount }, at))
    const limit = limits?.[name]
    if (limit !== undefined) {
      const order = compareQuantities(amount, limit)
      if (order !== 0 && !isOvercommittable(name)) {
        errors.push(invalidField(at, amount, `must be equal to ${name} limit of ${limit}`))
      } else if (order > 0)
        errors.push(invalidField(at, amount, `must be less than or equal to ${name} limit of ${limit}`))
    } else if (!isOvercommittable(name)) {
      errors.push(requiredField(`${path}.limits`, 'Limit must be set for non overcommitable resources'))
    }
  }
  const names = [...Object.keys(limits ?? {}), ...Object.keys(requests ?? {})]
  if (names.some(isHugePages) && !names.includes('cpu') && !names.includes('memory')) {
    errors.push(forbiddenField(path, 'HugePages require cpu or memory'))
  }
  resources.claims?.forEach((claim, i) => {
    if (!claims.has(claim.name)) {
      errors.push({
        type: 'FieldValueNotFound',
        field: `${path}.claims[${i}].name`,
        message: `Not found: ${JSON.stringify(claim.name)}`,
      })
    }
  })
  return errors
}
