// Rules of nodes: taints, pod ranges, and what never changes once it is set.
import { semanticEqual } from '../machinery/equal.ts'
import {
  duplicateField,
  type FieldError,
  forbiddenField,
  invalidField,
  notSupportedField,
  requiredField,
} from '../machinery/errors.ts'
import { isValidLabelValue, parseCidr, validateLabelKey } from '../machinery/validation.ts'
import type { Node } from './node.ts'
import { validateResourceQuantity } from './resource-validation.ts'
import { shown, taintEffects } from './selector-validation.ts'
import type { Taint } from './toleration.ts'

function validateTaints(taints: readonly Taint[] | undefined, path: string): FieldError[] {
  const errors: FieldError[] = []
  const seen = new Set<string>()
  taints?.forEach((taint, i) => {
    const at = `${path}[${i}]`
    errors.push(...validateLabelKey(taint.key, `${at}.key`))
    const value = taint.value ?? ''
    const problems = isValidLabelValue(value)
    if (problems.length > 0) errors.push(invalidField(`${at}.value`, value, problems.join(';')))
    if (taint.effect === '') errors.push(requiredField(`${at}.effect`))
    else if (!taintEffects.some((known) => known === taint.effect)) {
      errors.push(notSupportedField(`${at}.effect`, taint.effect, taintEffects))
    }
    const unique = `${taint.effect} ${taint.key}`
    if (seen.has(unique)) {
      errors.push({
        ...duplicateField(at, shown(taint)),
        message: `Duplicate value: ${JSON.stringify(taint)}: taints must be unique by key and effect pair`,
      })
    }
    seen.add(unique)
  })
  return errors
}

export function validateNode(node: Node): FieldError[] {
  const errors = validateTaints(node.spec.taints, 'spec.taints')
  const versions = (node.spec.podCIDRs ?? []).map((cidr, i) => {
    const parsed = parseCidr(cidr)
    if (parsed === undefined) {
      errors.push(
        invalidField(`spec.podCIDRs[${i}]`, cidr, 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)'),
      )
    }
    return parsed?.version
  })
  if (versions.length > 2 || (versions.length === 2 && versions[0] === versions[1])) {
    errors.push(
      invalidField('spec.podCIDRs', node.spec.podCIDRs, 'may specify no more than one CIDR for each IP family'),
    )
  }
  return errors
}

export function validateNodeUpdate(node: Node, old: Node): FieldError[] {
  const errors: FieldError[] = []
  for (const field of ['capacity', 'allocatable'] as const) {
    for (const [name, amount] of Object.entries(node.status[field] ?? {})) {
      errors.push(...validateResourceQuantity(name, amount, `status.${field}[${name}]`))
    }
  }
  const addresses = new Set<string>()
  node.status.addresses?.forEach((address, i) => {
    const key = `${address.type} ${address.address}`
    if (addresses.has(key)) errors.push(duplicateField(`status.addresses[${i}]`, shown(address)))
    addresses.add(key)
  })
  if ((old.spec.podCIDRs?.length ?? 0) > 0 && !semanticEqual(old.spec.podCIDRs, node.spec.podCIDRs)) {
    errors.push(forbiddenField('spec.podCIDRs', 'node updates may not change podCIDR except from "" to valid'))
  }
  if (old.spec.providerID && old.spec.providerID !== node.spec.providerID) {
    errors.push(forbiddenField('spec.providerID', 'node updates may not change providerID except from "" to valid'))
  }
  return errors
}
