// core/v1 ResourceQuota: how much a namespace may use in all.
import { ageCell } from '../machinery/age.ts'
import { semanticEqual } from '../machinery/equal.ts'
import { type FieldError, invalidField, notSupportedField, requiredField } from '../machinery/errors.ts'
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, type ObjectOf } from '../machinery/meta.ts'
import { array, type Infer, object, optional, required, string, struct } from '../machinery/schema.ts'
import { isQualifiedName } from '../machinery/validation.ts'
import { CORE } from './references.ts'
import { validateResourceQuantity } from './resource-validation.ts'
import { atomicList, resourceList, texts } from './scalars.ts'
import { ageColumn, column, nameColumn } from './workload-table.ts'

const scopedRequirement = object(`${CORE}ScopedResourceSelectorRequirement`, {
  scopeName: required(1, string()),
  operator: required(2, string()),
  values: texts(3),
})
export interface ScopedResourceSelectorRequirement extends Infer<typeof scopedRequirement> {}
const scopeSelector = object(
  `${CORE}ScopeSelector`,
  { matchExpressions: optional(1, array(scopedRequirement, atomicList)) },
  { mapType: 'atomic' },
)
const resourceQuotaSpec = object(`${CORE}ResourceQuotaSpec`, {
  hard: optional(1, resourceList),
  scopes: optional(2, array(string(), atomicList)),
  scopeSelector: optional(3, scopeSelector),
})
export interface ResourceQuotaSpec extends Infer<typeof resourceQuotaSpec> {}
const resourceQuotaStatus = object(`${CORE}ResourceQuotaStatus`, {
  hard: optional(1, resourceList),
  used: optional(2, resourceList),
})
const schema = kindSchema(`${CORE}ResourceQuota`, {
  spec: struct(2, resourceQuotaSpec),
  status: struct(3, resourceQuotaStatus),
})
export interface ResourceQuota extends ObjectOf<typeof schema> {}

const scopes = [
  'BestEffort',
  'CrossNamespacePodAffinity',
  'NotBestEffort',
  'NotTerminating',
  'PriorityClass',
  'Terminating',
  'VolumeAttributesClass',
]
const quotaResources = new Set([
  'cpu',
  'memory',
  'ephemeral-storage',
  'requests.cpu',
  'requests.memory',
  'requests.storage',
  'requests.ephemeral-storage',
  'limits.cpu',
  'limits.memory',
  'limits.ephemeral-storage',
  'pods',
  'resourcequotas',
  'services',
  'replicationcontrollers',
  'secrets',
  'persistentvolumeclaims',
  'configmaps',
  'services.nodeports',
  'services.loadbalancers',
])
/** The resources that a scope about the quality of pods can be combined with. */
const podResources =
  /^(pods|cpu|memory|(requests|limits)\.(cpu|memory)|limits\.ephemeral-storage|requests\.ephemeral-storage|ephemeral-storage)$/

function validateAmounts(amounts: Readonly<Record<string, string>> | undefined, path: string): FieldError[] {
  return Object.entries(amounts ?? {}).flatMap(([name, amount]) => {
    const at = `${path}[${name}]`
    const errors = isQualifiedName(name).map((message) => invalidField(at, name, message))
    if (
      errors.length === 0 &&
      !name.includes('/') &&
      !quotaResources.has(name) &&
      !/^(requests\.)?hugepages-/.test(name)
    ) {
      errors.push(invalidField(at, name, 'must be a standard resource for quota'))
    }
    return [...errors, ...validateResourceQuantity(name, amount, at)]
  })
}
const exclusive: readonly (readonly [string, string])[] = [
  ['BestEffort', 'NotBestEffort'],
  ['Terminating', 'NotTerminating'],
]
function validateScopes(spec: ResourceQuotaSpec): FieldError[] {
  const errors: FieldError[] = []
  const names = new Set(spec.scopes)
  for (const scope of names) {
    if (!scopes.includes(scope)) errors.push(invalidField('spec.scopes', scope, 'unsupported scope'))
    if (
      scope === 'BestEffort' &&
      Object.keys(spec.hard ?? {}).some((name) => name !== 'pods' && name.indexOf('count/') !== 0)
    ) {
      errors.push(invalidField('spec.scopes', [...names], 'unsupported scope applied to resource'))
    } else if (/^(Not)?Terminating$|^NotBestEffort$/.test(scope)) {
      const foreign = Object.keys(spec.hard ?? {}).some(
        (name) => !podResources.test(name) && !name.startsWith('count/'),
      )
      if (foreign) errors.push(invalidField('spec.scopes', [...names], 'unsupported scope applied to resource'))
    }
  }
  if (exclusive.some((pair) => pair.every((scope) => names.has(scope)))) {
    errors.push(invalidField('spec.scopes', [...names], 'conflicting scopes'))
  }
  spec.scopeSelector?.matchExpressions?.forEach((requirement) => {
    const at = 'spec.scopeSelector.matchExpressions'
    const { scopeName, operator, values = [] } = requirement
    if (!scopes.includes(scopeName)) errors.push(invalidField(`${at}.scopeName`, scopeName, 'unsupported scope'))
    const operators = ['DoesNotExist', 'Exists', 'In', 'NotIn']
    if (!operators.includes(operator)) errors.push(notSupportedField(`${at}.operator`, operator, operators))
    else if ((operator === 'In' || operator === 'NotIn') && values.length === 0) {
      errors.push(
        requiredField(
          `${at}.values`,
          "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
        ),
      )
    } else if ((operator === 'Exists' || operator === 'DoesNotExist') && values.length > 0) {
      errors.push(
        invalidField(
          `${at}.values`,
          values,
          "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
        ),
      )
    }
    if (scopeName !== 'PriorityClass' && scopeName !== 'VolumeAttributesClass' && operator !== 'Exists') {
      errors.push(
        invalidField(
          `${at}.operator`,
          operator,
          "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity",
        ),
      )
    }
  })
  return errors
}

/** "cpu: 1/2, memory: 1Gi/2Gi", with the limits apart. */
function cells(quota: ResourceQuota): readonly [string, string] {
  const requests: string[] = []
  const limits: string[] = []
  for (const name of Object.keys(quota.status.hard ?? {}).sort()) {
    const text = `${name}: ${quota.status.used?.[name] ?? '0'}/${quota.status.hard?.[name] ?? '0'}`
    if (name.startsWith('limits')) limits.push(text)
    else requests.push(text)
  }
  return [requests.join(', '), limits.join(', ')]
}

export const resourceQuotas = defineKind<ResourceQuota>({
  group: '',
  version: 'v1',
  kind: 'ResourceQuota',
  plural: 'resourcequotas',
  singular: 'resourcequota',
  shortNames: ['quota'],
  namespaced: true,
  schema,
  storagePrefix: '/registry/resourcequotas',
  unconditionalUpdate: true,
  subresources: { status: true },
  table: {
    columns: [nameColumn, column('Request'), column('Limit'), ageColumn],
    row: (q, nowMs) => [q.metadata.name, ...cells(q), ageCell(q.metadata.creationTimestamp, nowMs)],
  },
  prepareForCreate: (draft) => {
    draft.status = {}
  },
  validate: (q) => [...validateAmounts(q.spec.hard, 'spec.hard'), ...validateScopes(q.spec)],
  validateUpdate: (q, old) => {
    const same = semanticEqual([...(q.spec.scopes ?? [])].sort(), [...(old.spec.scopes ?? [])].sort())
    return same ? [] : [invalidField('spec.scopes', q.spec.scopes ?? [], 'field is immutable')]
  },
  validateStatusUpdate: (q) => [
    ...validateAmounts(q.status.hard, 'status.hard'),
    ...validateAmounts(q.status.used, 'status.used'),
  ],
})
