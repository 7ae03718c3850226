// scheduling.k8s.io/v1 PriorityClass: a name for how important a pod is.
import { ageCell } from '../machinery/age.ts'
import { type FieldError, forbiddenField, invalidField, notSupportedField } from '../machinery/errors.ts'
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, type ObjectOf } from '../machinery/meta.ts'
import { int32, optional, string, struct } from '../machinery/schema.ts'
import { flag, text } from '../core/scalars.ts'
import { ageColumn, column, nameColumn } from '../core/workload-table.ts'

const schema = kindSchema('io.k8s.api.scheduling.v1.PriorityClass', {
  value: struct(2, int32()),
  globalDefault: flag(3),
  description: text(4),
  preemptionPolicy: optional(5, string()),
})
export interface PriorityClass extends ObjectOf<typeof schema> {}

/** What users may ask for; above it is the system's. */
export const highestUserPriority = 1_000_000_000
export const systemPriorityClasses = [
  {
    name: 'system-cluster-critical',
    value: 2_000_000_000,
    description:
      'Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.',
  },
  {
    name: 'system-node-critical',
    value: 2_000_001_000,
    description: 'Used for system critical pods that must not be moved from their current node.',
  },
] as const
const isSystem = (name: string, value: number) =>
  systemPriorityClasses.some((c) => c.name === name && c.value === value)

export const priorityClasses = defineKind<PriorityClass>({
  group: 'scheduling.k8s.io',
  version: 'v1',
  kind: 'PriorityClass',
  plural: 'priorityclasses',
  singular: 'priorityclass',
  shortNames: ['pc'],
  namespaced: false,
  schema,
  storagePrefix: '/registry/priorityclasses',
  generation: true,
  unconditionalUpdate: true,
  table: {
    columns: [
      nameColumn,
      column('Value', 'integer'),
      column('Global-Default', 'boolean'),
      ageColumn,
      column('PreemptionPolicy'),
    ],
    row: (o, nowMs) => [
      o.metadata.name,
      o.value,
      o.globalDefault ?? false,
      ageCell(o.metadata.creationTimestamp, nowMs),
      o.preemptionPolicy ?? 'PreemptLowerPriority',
    ],
  },
  setDefaults: (draft) => {
    draft.preemptionPolicy ??= 'PreemptLowerPriority'
  },
  validate: ({ metadata, value, preemptionPolicy }) => {
    const errors: FieldError[] = []
    if (metadata.name.startsWith('system-') && !isSystem(metadata.name, value))
      errors.push(
        forbiddenField(
          'metadata.name',
          `priority class names with 'system-' prefix are reserved for system use only. error: ${metadata.name} is not a known system priority class`,
        ),
      )
    else if (value > highestUserPriority && !isSystem(metadata.name, value))
      errors.push(forbiddenField('value', `maximum allowed value of a user defined priority is ${highestUserPriority}`))
    const policies = ['Never', 'PreemptLowerPriority']
    if (preemptionPolicy !== undefined && !policies.includes(preemptionPolicy))
      errors.push(notSupportedField('preemptionPolicy', preemptionPolicy, policies))
    return errors
  },
  validateUpdate: (next, old) => [
    ...(next.value === old.value ? [] : [forbiddenField('value', 'may not be changed in an update.')]),
    ...(next.preemptionPolicy === old.preemptionPolicy
      ? []
      : [invalidField('preemptionPolicy', next.preemptionPolicy, 'field is immutable')]),
  ],
})
