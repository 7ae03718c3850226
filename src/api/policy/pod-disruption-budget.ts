// policy/v1 PodDisruptionBudget: how many pods of a set may be voluntarily away at once.
import { type FieldError, invalidField, notSupportedField } from '../machinery/errors.ts'
import { ageCell } from '../machinery/age.ts'
import { defineKind } from '../machinery/kind.ts'
import { bagOf, oldVersion } from '../machinery/old-version.ts'
import { condition, kindSchema, labelSelector, type ObjectOf } from '../machinery/meta.ts'
import {
  array,
  type Infer,
  int32,
  int64,
  intOrString,
  map,
  object,
  optional,
  string,
  struct,
  time,
} from '../machinery/schema.ts'
import { validateIntOrPercent, validateLabelSelector } from '../machinery/validation.ts'

const POLICY = 'io.k8s.api.policy.v1.'
const unhealthyPolicies = ['IfHealthyBudget', 'AlwaysAllow']

export const podDisruptionBudgetSpec = object(`${POLICY}PodDisruptionBudgetSpec`, {
  minAvailable: optional(1, intOrString()),
  selector: optional(2, labelSelector, { patchStrategy: 'replace' }),
  maxUnavailable: optional(3, intOrString()),
  unhealthyPodEvictionPolicy: optional(4, string()),
})
export interface PodDisruptionBudgetSpec extends Infer<typeof podDisruptionBudgetSpec> {}
export const podDisruptionBudgetStatus = object(`${POLICY}PodDisruptionBudgetStatus`, {
  observedGeneration: optional(1, int64()),
  disruptedPods: optional(2, map(time())),
  disruptionsAllowed: struct(3, int32()),
  currentHealthy: struct(4, int32()),
  desiredHealthy: struct(5, int32()),
  expectedPods: struct(6, int32()),
  conditions: optional(
    7,
    array(condition, { listType: 'map', listMapKeys: ['type'], patchStrategy: 'merge', patchMergeKey: 'type' }),
  ),
})
export interface PodDisruptionBudgetStatus extends Infer<typeof podDisruptionBudgetStatus> {}
const schema = kindSchema(`${POLICY}PodDisruptionBudget`, {
  spec: struct(2, podDisruptionBudgetSpec),
  status: struct(3, podDisruptionBudgetStatus),
})
export interface PodDisruptionBudget extends ObjectOf<typeof schema> {}

function validateSpec(spec: PodDisruptionBudgetSpec): FieldError[] {
  const errors: FieldError[] = []
  if (spec.minAvailable !== undefined && spec.maxUnavailable !== undefined)
    errors.push(invalidField('spec', { ...spec }, 'minAvailable and maxUnavailable cannot be both set'))
  if (spec.minAvailable !== undefined) errors.push(...validateIntOrPercent(spec.minAvailable, 'spec.minAvailable'))
  if (spec.maxUnavailable !== undefined)
    errors.push(...validateIntOrPercent(spec.maxUnavailable, 'spec.maxUnavailable'))
  if (spec.selector !== undefined) errors.push(...validateLabelSelector(spec.selector, 'spec.selector'))
  if (spec.unhealthyPodEvictionPolicy !== undefined && !unhealthyPolicies.includes(spec.unhealthyPodEvictionPolicy))
    errors.push(
      notSupportedField('spec.unhealthyPodEvictionPolicy', spec.unhealthyPodEvictionPolicy, unhealthyPolicies),
    )
  return errors
}

/** A label that no pod carries: how a stored selector says "none". */
const noPodLabel = 'pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match'
const emptyStatus = { disruptionsAllowed: 0, currentHealthy: 0, desiredHealthy: 0, expectedPods: 0 }

export const podDisruptionBudgets = defineKind<PodDisruptionBudget>({
  group: 'policy',
  version: 'v1',
  kind: 'PodDisruptionBudget',
  plural: 'poddisruptionbudgets',
  singular: 'poddisruptionbudget',
  shortNames: ['pdb'],
  namespaced: true,
  schema,
  storagePrefix: '/registry/poddisruptionbudgets',
  subresources: { status: true },
  generation: true,
  versions: [
    oldVersion({
      group: 'policy',
      version: 'v1beta1',
      kind: 'PodDisruptionBudget',
      schema,
      deprecated: 21,
      removed: 25,
      instead: 'policy/v1',
      // In v1beta1 an empty selector matched no pod; in v1 it matches every pod of the namespace.
      toStored: (draft) => {
        const spec = bagOf(draft['spec'])
        const selector = bagOf(spec['selector'])
        if (spec['selector'] !== undefined && Object.keys(selector).length === 0)
          spec['selector'] = { matchExpressions: [{ key: noPodLabel, operator: 'Exists' }] }
      },
      fromStored: (draft) => {
        const spec = bagOf(draft['spec'])
        if (JSON.stringify(spec['selector'])?.includes(noPodLabel) === true) spec['selector'] = {}
      },
    }),
  ],
  table: {
    columns: [
      { name: 'Name', type: 'string', format: 'name' },
      { name: 'Min Available', type: 'string' },
      { name: 'Max Unavailable', type: 'string' },
      { name: 'Allowed Disruptions', type: 'integer' },
      { name: 'Age', type: 'string' },
    ],
    row: (o, nowMs) => [
      o.metadata.name,
      String(o.spec.minAvailable ?? 'N/A'),
      String(o.spec.maxUnavailable ?? 'N/A'),
      o.status.disruptionsAllowed,
      ageCell(o.metadata.creationTimestamp, nowMs),
    ],
  },
  prepareForCreate: (draft) => {
    draft.status = { ...emptyStatus }
  },
  validate: (o) => validateSpec(o.spec),
})
