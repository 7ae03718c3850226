// apps/v1 ReplicaSet: so many pods of one template.
import { ageCell } from '../machinery/age.ts'
import { type FieldError, invalidField } from '../machinery/errors.ts'
import { defineKind } from '../machinery/kind.ts'
import { formatLabelSelector } from '../machinery/labels.ts'
import { kindSchema, labelSelector, type ObjectOf } from '../machinery/meta.ts'
import { array, defaulted, type Infer, int32, object, optional, required, string, struct } from '../machinery/schema.ts'
import { setPodTemplateDefaults } from '../core/pod-defaults.ts'
import { podTemplateSpec } from '../core/pod-template.ts'
import { podSpecWarnings } from '../core/pod-validation.ts'
import { listByKey, number32, number64, text, when } from '../core/scalars.ts'
import { ageColumn, column, containerCells, containerColumns, nameColumn } from '../core/workload-table.ts'
import { APPS, replicasScale } from './deployment.ts'
import { oldWorkloadVersions } from './old-versions.ts'
import {
  validateAlwaysRunning,
  validateCounts,
  validateSelectorAndTemplate,
  validateSelectorUnchanged,
} from './workload-validation.ts'

export const replicaSetSpec = object(`${APPS}ReplicaSetSpec`, {
  replicas: defaulted(1, int32(), 1),
  selector: required(2, labelSelector, { pointer: true }),
  template: struct(3, podTemplateSpec),
  minReadySeconds: number32(4),
})
export interface ReplicaSetSpec extends Infer<typeof replicaSetSpec> {}
export const replicaSetCondition = object(`${APPS}ReplicaSetCondition`, {
  type: required(1, string()),
  status: required(2, string()),
  lastTransitionTime: when(3),
  reason: text(4),
  message: text(5),
})
export interface ReplicaSetCondition extends Infer<typeof replicaSetCondition> {}
export const replicaSetStatus = object(`${APPS}ReplicaSetStatus`, {
  replicas: required(1, int32()),
  fullyLabeledReplicas: number32(2),
  observedGeneration: number64(3),
  readyReplicas: number32(4),
  availableReplicas: number32(5),
  conditions: optional(6, array(replicaSetCondition, listByKey('type'))),
  terminatingReplicas: optional(7, int32()),
})
export interface ReplicaSetStatus extends Infer<typeof replicaSetStatus> {}
const schema = kindSchema(`${APPS}ReplicaSet`, { spec: struct(2, replicaSetSpec), status: struct(3, replicaSetStatus) })
export interface ReplicaSet extends ObjectOf<typeof schema> {}

function validateStatus({ status }: ReplicaSet): FieldError[] {
  const errors: FieldError[] = []
  const names = [
    'replicas',
    'fullyLabeledReplicas',
    'readyReplicas',
    'availableReplicas',
    'observedGeneration',
    'terminatingReplicas',
  ] as const
  for (const name of names) {
    if ((status[name] ?? 0) < 0)
      errors.push(invalidField(`status.${name}`, status[name], 'must be greater than or equal to 0'))
  }
  for (const name of ['fullyLabeledReplicas', 'readyReplicas', 'availableReplicas'] as const) {
    if ((status[name] ?? 0) > status.replicas) {
      errors.push(invalidField(`status.${name}`, status[name], 'cannot be greater than status.replicas'))
    }
  }
  if ((status.availableReplicas ?? 0) > (status.readyReplicas ?? 0)) {
    errors.push(
      invalidField('status.availableReplicas', status.availableReplicas, 'cannot be greater than readyReplicas'),
    )
  }
  return errors
}

export const replicaSets = defineKind<ReplicaSet>({
  group: 'apps',
  version: 'v1',
  kind: 'ReplicaSet',
  plural: 'replicasets',
  singular: 'replicaset',
  shortNames: ['rs'],
  categories: ['all'],
  namespaced: true,
  schema,
  storagePrefix: '/registry/replicasets',
  unconditionalUpdate: true,
  generation: true,
  versions: oldWorkloadVersions('ReplicaSet', schema),
  subresources: { status: true, scale: replicasScale },
  selectableFields: { 'status.replicas': (rs) => String(rs.status.replicas) },
  table: {
    columns: [
      nameColumn,
      column('Desired', 'integer'),
      column('Current', 'integer'),
      column('Ready', 'integer'),
      ageColumn,
      ...containerColumns,
    ],
    row: (rs, nowMs) => [
      rs.metadata.name,
      rs.spec.replicas,
      rs.status.replicas,
      rs.status.readyReplicas ?? 0,
      ageCell(rs.metadata.creationTimestamp, nowMs),
      ...containerCells(rs.spec.template.spec, formatLabelSelector(rs.spec.selector)),
    ],
  },
  setDefaults: (draft) => setPodTemplateDefaults(draft.spec.template),
  prepareForCreate: (draft) => {
    draft.status = { replicas: 0 }
  },
  validate: (rs) => [
    ...validateCounts({ ...rs.spec }, ['replicas', 'minReadySeconds']),
    ...validateSelectorAndTemplate(rs.spec.selector, rs.spec.template, 'deployment'),
    ...validateAlwaysRunning(rs.spec.template, 'ReplicaSet'),
  ],
  validateUpdate: (rs, old) => validateSelectorUnchanged(rs.spec.selector, old.spec.selector),
  validateStatusUpdate: validateStatus,
  warnings: (rs) => podSpecWarnings(rs.spec.template.spec, 'spec.template.spec'),
})
