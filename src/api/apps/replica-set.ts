// apps/v1 ReplicaSet: a number of equal pods.
import { ageCell } from '../machinery/age.ts'
import { invalidField } from '../machinery/errors.ts'
import { defineKind } from '../machinery/kind.ts'
import { formatLabelSelector } from '../machinery/labels.ts'
import { kindSchema, labelSelector, type ObjectOf } from '../machinery/meta.ts'
import { defaulted, type Infer, int32, object, optional, required, struct } from '../machinery/schema.ts'
import { setPodTemplateDefaults } from '../core/pod-defaults.ts'
import { podTemplateSpec } from '../core/pod-template.ts'
import { number32, number64 } from '../core/scalars.ts'
import { ageColumn, column, containerCells, containerColumns, nameColumn } from '../core/workload-table.ts'
import { oldWorkloadVersions } from './old-versions.ts'
import { APPS, conditions, selectorUnchanged, validateCounts, validateWorkload } from './workload.ts'

export const replicaSetSpec = object(`${APPS}ReplicaSetSpec`, {
  replicas: defaulted(1, int32(), 1),
  selector: required(2, labelSelector),
  template: struct(3, podTemplateSpec),
  minReadySeconds: number32(4),
})
export interface ReplicaSetSpec extends Infer<typeof replicaSetSpec> {}
export const replicaSetStatus = object(`${APPS}ReplicaSetStatus`, {
  replicas: required(1, int32()),
  fullyLabeledReplicas: number32(2),
  observedGeneration: number64(3),
  readyReplicas: number32(4),
  availableReplicas: number32(5),
  conditions: optional(6, conditions('ReplicaSetCondition')),
  terminatingReplicas: optional(7, int32()),
})
export interface ReplicaSetStatus extends Infer<typeof replicaSetStatus> {}
const schema = kindSchema(`${APPS}ReplicaSet`, { spec: struct(2, replicaSetSpec), status: struct(3, replicaSetStatus) })
export interface ReplicaSet extends ObjectOf<typeof schema> {}

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
  generation: true,
  unconditionalUpdate: true,
  versions: oldWorkloadVersions('ReplicaSet', schema),
  selectableFields: { 'status.replicas': (o) => String(o.status.replicas) },
  subresources: {
    status: true,
    scale: {
      specReplicasPath: ['spec', 'replicas'],
      statusReplicasPath: ['status', 'replicas'],
      labelSelectorPath: ['spec', 'selector'],
    },
  },
  table: {
    columns: [
      nameColumn,
      column('Desired', 'integer'),
      column('Current', 'integer'),
      column('Ready', 'integer'),
      ageColumn,
      ...containerColumns,
    ],
    row: (o, nowMs) => [
      o.metadata.name,
      o.spec.replicas ?? 0,
      o.status.replicas,
      o.status.readyReplicas ?? 0,
      ageCell(o.metadata.creationTimestamp, nowMs),
      ...containerCells(o.spec.template.spec, formatLabelSelector(o.spec.selector)),
    ],
  },
  setDefaults: ({ spec }) => {
    spec.replicas ??= 1
    setPodTemplateDefaults(spec.template)
  },
  prepareForCreate: (draft) => {
    draft.status = { replicas: 0 }
  },
  validate: (o) => validateWorkload(o.spec, 'ReplicaSet'),
  validateUpdate: (next, old) => selectorUnchanged(next.spec, old.spec),
  validateStatusUpdate: (next) => {
    const errors = validateCounts(next.status, [
      'replicas',
      'fullyLabeledReplicas',
      'readyReplicas',
      'availableReplicas',
      'observedGeneration',
      'terminatingReplicas',
    ])
    const { replicas, fullyLabeledReplicas = 0, readyReplicas = 0, availableReplicas = 0 } = next.status
    const most = 'cannot be greater than status.replicas'
    if (fullyLabeledReplicas > replicas)
      errors.push(invalidField('status.fullyLabeledReplicas', fullyLabeledReplicas, most))
    if (readyReplicas > replicas) errors.push(invalidField('status.readyReplicas', readyReplicas, most))
    if (availableReplicas > replicas) errors.push(invalidField('status.availableReplicas', availableReplicas, most))
    if (availableReplicas > readyReplicas)
      errors.push(invalidField('status.availableReplicas', availableReplicas, 'cannot be greater than readyReplicas'))
    return errors
  },
})
