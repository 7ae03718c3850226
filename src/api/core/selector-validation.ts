// Rules of the selectors that place pods: node selectors, pod affinity, tolerations, spreading.
import {
  duplicateField,
  type FieldError,
  forbiddenField,
  invalidField,
  notSupportedField,
  requiredField,
} from '../machinery/errors.ts'
import type { LabelSelector } from '../machinery/meta.ts'
import type { Json } from '../machinery/schema.ts'
import {
  isDns1123Label,
  isDns1123Subdomain,
  isValidLabelValue,
  validateLabelKey,
  validateLabelSelector,
} from '../machinery/validation.ts'
import type { Affinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm } from './affinity.ts'
import type { Toleration } from './toleration.ts'
import type { TopologySpreadConstraint } from './topology.ts'

/** The value as it goes into a message. */
export const shown = (value: unknown): Json => value as Json

function validateNodeExpression({ key, operator, values = [] }: NodeSelectorRequirement, path: string): FieldError[] {
  const errors: FieldError[] = []
  switch (operator) {
    case 'In':
    case 'NotIn':
      if (values.length === 0) {
        errors.push(requiredField(`${path}.values`, "must be specified when `operator` is 'In' or 'NotIn'"))
      }
      break
    case 'Exists':
    case 'DoesNotExist':
      if (values.length > 0) {
        errors.push(
          forbiddenField(`${path}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"),
        )
      }
      break
    case 'Gt':
    case 'Lt':
      if (values.length !== 1) {
        errors.push(requiredField(`${path}.values`, "must be specified single value when `operator` is 'Lt' or 'Gt'"))
      }
      break
    default:
      errors.push(invalidField(`${path}.operator`, operator, 'not a valid selector operator'))
  }
  errors.push(...validateLabelKey(key, `${path}.key`))
  values.forEach((value, i) => {
    for (const message of isValidLabelValue(value)) errors.push(invalidField(`${path}.values[${i}]`, value, message))
  })
  return errors
}
function validateNodeField({ key, operator, values = [] }: NodeSelectorRequirement, path: string): FieldError[] {
  const errors: FieldError[] = []
  if (operator !== 'In' && operator !== 'NotIn') {
    errors.push(invalidField(`${path}.operator`, operator, 'not a valid selector operator'))
  } else if (values.length !== 1) {
    errors.push(
      requiredField(
        `${path}.values`,
        "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
      ),
    )
  }
  if (key !== 'metadata.name') errors.push(invalidField(`${path}.key`, key, 'not a valid field selector key'))
  else {
    values.forEach((value, i) => {
      for (const message of isDns1123Subdomain(value)) errors.push(invalidField(`${path}.values[${i}]`, value, message))
    })
  }
  return errors
}
export function validateNodeSelectorTerm(term: NodeSelectorTerm, path: string): FieldError[] {
  return [
    ...(term.matchExpressions ?? []).flatMap((e, i) => validateNodeExpression(e, `${path}.matchExpressions[${i}]`)),
    ...(term.matchFields ?? []).flatMap((e, i) => validateNodeField(e, `${path}.matchFields[${i}]`)),
  ]
}
export function validateNodeSelector(selector: NodeSelector, path: string): FieldError[] {
  const at = `${path}.nodeSelectorTerms`
  if (selector.nodeSelectorTerms.length === 0) return [requiredField(at, 'must have at least one node selector term')]
  return selector.nodeSelectorTerms.flatMap((term, i) => validateNodeSelectorTerm(term, `${at}[${i}]`))
}

const weightRange = 'must be in the range 1-100'
const badWeight = (weight: number): boolean => weight < 1 || weight > 100

function validateMatchKeys(term: PodAffinityTerm, path: string): FieldError[] {
  const errors: FieldError[] = []
  const { labelSelector, matchLabelKeys = [], mismatchLabelKeys = [] } = term
  if (labelSelector === undefined && matchLabelKeys.length + mismatchLabelKeys.length > 0) {
    const field = matchLabelKeys.length > 0 ? 'matchLabelKeys' : 'mismatchLabelKeys'
    errors.push(forbiddenField(`${path}.${field}`, 'must not be specified when labelSelector is not set'))
  }
  matchLabelKeys.forEach((key, i) => errors.push(...validateLabelKey(key, `${path}.matchLabelKeys[${i}]`)))
  mismatchLabelKeys.forEach((key, i) => {
    errors.push(...validateLabelKey(key, `${path}.mismatchLabelKeys[${i}]`))
    if (matchLabelKeys.includes(key)) {
      errors.push(
        invalidField(`${path}.mismatchLabelKeys[${i}]`, key, 'exists in both matchLabelKeys and mismatchLabelKeys'),
      )
    }
  })
  return errors
}
function validatePodAffinityTerm(term: PodAffinityTerm, path: string): FieldError[] {
  const errors: FieldError[] = [...validateLabelSelector(term.labelSelector, `${path}.labelSelector`)]
  errors.push(...validateLabelSelector(term.namespaceSelector, `${path}.namespaceSelector`))
  term.namespaces?.forEach((name, i) => {
    for (const message of isDns1123Label(name)) errors.push(invalidField(`${path}.namespace[${i}]`, name, message))
  })
  errors.push(...validateMatchKeys(term, path))
  if (term.topologyKey === '') errors.push(requiredField(`${path}.topologyKey`, 'can not be empty'))
  else errors.push(...validateLabelKey(term.topologyKey, `${path}.topologyKey`))
  return errors
}
export function validateAffinity(affinity: Affinity | undefined, path: string): FieldError[] {
  if (affinity === undefined) return []
  const errors: FieldError[] = []
  const required = 'requiredDuringSchedulingIgnoredDuringExecution'
  const preferred = 'preferredDuringSchedulingIgnoredDuringExecution'
  const { nodeAffinity } = affinity
  if (nodeAffinity?.[required] !== undefined) {
    errors.push(...validateNodeSelector(nodeAffinity[required], `${path}.nodeAffinity.${required}`))
  }
  nodeAffinity?.[preferred]?.forEach((term, i) => {
    const at = `${path}.nodeAffinity.${preferred}[${i}]`
    if (badWeight(term.weight)) errors.push(invalidField(`${at}.weight`, term.weight, weightRange))
    errors.push(...validateNodeSelectorTerm(term.preference, `${at}.preference`))
  })
  for (const kind of ['podAffinity', 'podAntiAffinity'] as const) {
    affinity[kind]?.[required]?.forEach((term, i) =>
      errors.push(...validatePodAffinityTerm(term, `${path}.${kind}.${required}[${i}]`)),
    )
    affinity[kind]?.[preferred]?.forEach((weighted, i) => {
      const at = `${path}.${kind}.${preferred}[${i}]`
      if (badWeight(weighted.weight)) errors.push(invalidField(`${at}.weight`, weighted.weight, weightRange))
      errors.push(...validatePodAffinityTerm(weighted.podAffinityTerm, `${at}.podAffinityTerm`))
    })
  }
  return errors
}

export const taintEffects = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'] as const
export function validateTolerations(tolerations: readonly Toleration[] | undefined, path: string): FieldError[] {
  return (tolerations ?? []).flatMap((toleration, i) => validateToleration(toleration, `${path}[${i}]`))
}
function validateToleration(toleration: Toleration, path: string): FieldError[] {
  const errors: FieldError[] = []
  const { key = '', operator = '', value = '', effect = '' } = toleration
  if (key !== '') errors.push(...validateLabelKey(key, `${path}.key`))
  if (key === '' && operator !== 'Exists') {
    errors.push(
      invalidField(
        `${path}.operator`,
        operator,
        'operator must be Exists when `key` is empty, which means "match all values and all keys"',
      ),
    )
  }
  if (toleration.tolerationSeconds !== undefined && effect !== 'NoExecute') {
    errors.push(invalidField(`${path}.effect`, effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"))
  }
  if (operator === '' || operator === 'Equal') {
    const problems = isValidLabelValue(value)
    if (problems.length > 0) errors.push(invalidField(`${path}.operator`, value, problems.join(';')))
  } else if (operator === 'Exists') {
    if (value !== '') {
      errors.push(
        invalidField(`${path}.operator`, shown(toleration), "value must be empty when `operator` is 'Exists'"),
      )
    }
  } else errors.push(notSupportedField(`${path}.operator`, operator, ['Equal', 'Exists']))
  if (effect !== '' && !taintEffects.some((known) => known === effect)) {
    errors.push(notSupportedField(`${path}.effect`, effect, taintEffects))
  }
  return errors
}

const nodePolicies = ['Honor', 'Ignore']
export function validateSpreadConstraints(
  constraints: readonly TopologySpreadConstraint[] | undefined,
  path: string,
): FieldError[] {
  const errors: FieldError[] = []
  constraints?.forEach((constraint, i) => {
    const at = `${path}[${i}]`
    const { maxSkew, topologyKey, whenUnsatisfiable, minDomains } = constraint
    if (maxSkew <= 0) errors.push(invalidField(`${at}.maxSkew`, maxSkew, 'must be greater than zero'))
    if (topologyKey === '') errors.push(requiredField(`${at}.topologyKey`, 'can not be empty'))
    else errors.push(...validateLabelKey(topologyKey, `${at}.topologyKey`))
    const actions = ['DoNotSchedule', 'ScheduleAnyway']
    if (!actions.includes(whenUnsatisfiable)) {
      errors.push(notSupportedField(`${at}.whenUnsatisfiable`, whenUnsatisfiable, actions))
    }
    const twin = constraints
      .slice(0, i)
      .some((other) => other.topologyKey === topologyKey && other.whenUnsatisfiable === whenUnsatisfiable)
    if (twin) {
      errors.push(duplicateField(`${at}.{topologyKey, whenUnsatisfiable}`, `{${topologyKey}, ${whenUnsatisfiable}}`))
    }
    if (minDomains !== undefined) {
      if (minDomains <= 0) errors.push(invalidField(`${at}.minDomains`, minDomains, 'must be greater than zero'))
      if (whenUnsatisfiable !== 'DoNotSchedule') {
        errors.push(
          invalidField(
            `${at}.minDomains`,
            minDomains,
            `can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ${whenUnsatisfiable}`,
          ),
        )
      }
    }
    for (const field of ['nodeAffinityPolicy', 'nodeTaintsPolicy'] as const) {
      const policy = constraint[field]
      if (policy !== undefined && !nodePolicies.includes(policy)) {
        errors.push(notSupportedField(`${at}.${field}`, policy, nodePolicies))
      }
    }
    errors.push(...validateSpreadSelector(constraint.labelSelector, constraint.matchLabelKeys ?? [], at))
  })
  return errors
}
function validateSpreadSelector(
  selector: LabelSelector | undefined,
  keys: readonly string[],
  at: string,
): FieldError[] {
  const errors: FieldError[] = [...validateLabelSelector(selector, `${at}.labelSelector`)]
  if (selector === undefined && keys.length > 0) {
    errors.push(forbiddenField(`${at}.matchLabelKeys`, 'must not be specified when labelSelector is not set'))
  }
  keys.forEach((key, i) => errors.push(...validateLabelKey(key, `${at}.matchLabelKeys[${i}]`)))
  return errors
}
