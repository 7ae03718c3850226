// core/v1 ReplicationController: the ReplicaSet's elder, with a plain map for a selector.
import { ageCell } from '../machinery/age.ts'
import { type FieldError, invalidField, notSupportedField, requiredField } from '../machinery/errors.ts'
import { defineKind } from '../machinery/kind.ts'
import { formatLabels } from '../machinery/labels.ts'
import { kindSchema, type ObjectOf } from '../machinery/meta.ts'
import {
  array,
  defaulted,
  type Draft,
  type Infer,
  int32,
  map,
  object,
  optional,
  required,
  string,
  struct,
} from '../machinery/schema.ts'
import { validateNonNegative } from '../machinery/validation.ts'
import { setPodTemplateDefaults } from './pod-defaults.ts'
import { podTemplateSpec } from './pod-template.ts'
import { validatePodTemplateSpec } from './pod-validation.ts'
import { CORE } from './references.ts'
import { listByKey, number32, number64, text, when } from './scalars.ts'
import { ageColumn, column, containerCells, containerColumns, nameColumn } from './workload-table.ts'

export const replicationControllerSpec = object(`${CORE}ReplicationControllerSpec`, {
  replicas: defaulted(1, int32(), 1, { publishDefault: true }),
  selector: optional(2, map(string(), 'atomic')),
  template: optional(3, podTemplateSpec),
  minReadySeconds: number32(4, { publishDefault: true }),
})
export interface ReplicationControllerSpec extends Infer<typeof replicationControllerSpec> {}
const replicationControllerCondition = object(`${CORE}ReplicationControllerCondition`, {
  type: required(1, string()),
  status: required(2, string()),
  lastTransitionTime: when(3),
  reason: text(4),
  message: text(5),
})
const replicationControllerStatus = object(`${CORE}ReplicationControllerStatus`, {
  replicas: required(1, int32()),
  fullyLabeledReplicas: number32(2),
  observedGeneration: number64(3),
  readyReplicas: number32(4),
  availableReplicas: number32(5),
  conditions: optional(6, array(replicationControllerCondition, listByKey('type'))),
})
const schema = kindSchema(`${CORE}ReplicationController`, {
  spec: struct(2, replicationControllerSpec),
  status: struct(3, replicationControllerStatus),
})
export interface ReplicationController extends ObjectOf<typeof schema> {}

function setDefaults(draft: Draft<ReplicationController>): void {
  const { template } = draft.spec
  if (template === undefined) return
  const labels = template.metadata.labels ?? {}
  if (Object.keys(labels).length > 0) {
    if (Object.keys(draft.spec.selector ?? {}).length === 0) draft.spec.selector = { ...labels }
    if (Object.keys(draft.metadata.labels ?? {}).length === 0) draft.metadata.labels = { ...labels }
  }
  setPodTemplateDefaults(template)
}
function validate({ spec }: ReplicationController): FieldError[] {
  const errors = [
    ...validateNonNegative(spec.minReadySeconds ?? 0, 'spec.minReadySeconds'),
    ...validateNonNegative(spec.replicas, 'spec.replicas'),
  ]
  const selector = Object.entries(spec.selector ?? {})
  if (selector.length === 0) errors.push(requiredField('spec.selector'))
  const { template } = spec
  if (template === undefined) return [...errors, requiredField('spec.template')]
  const labels = template.metadata.labels ?? {}
  if (selector.length > 0 && !selector.every(([key, value]) => labels[key] === value)) {
    errors.push(invalidField('spec.template.metadata.labels', labels, '`selector` does not match template `labels`'))
  }
  errors.push(...validatePodTemplateSpec(template, 'spec.template'))
  if (template.spec.restartPolicy !== 'Always') {
    errors.push(notSupportedField('spec.template.spec.restartPolicy', template.spec.restartPolicy, ['Always']))
  }
  return errors
}

export const replicationControllers = defineKind<ReplicationController>({
  group: '',
  version: 'v1',
  kind: 'ReplicationController',
  plural: 'replicationcontrollers',
  singular: 'replicationcontroller',
  shortNames: ['rc'],
  categories: ['all'],
  namespaced: true,
  schema,
  storagePrefix: '/registry/controllers',
  unconditionalUpdate: true,
  generation: true,
  subresources: {
    status: true,
    scale: {
      specReplicasPath: ['spec', 'replicas'],
      statusReplicasPath: ['status', 'replicas'],
      labelSelectorPath: ['spec', 'selector'],
    },
  },
  selectableFields: { 'status.replicas': (rc) => String(rc.status.replicas) },
  table: {
    columns: [
      nameColumn,
      column('Desired', 'integer'),
      column('Current', 'integer'),
      column('Ready', 'integer'),
      ageColumn,
      ...containerColumns,
    ],
    row: (rc, nowMs) => [
      rc.metadata.name,
      rc.spec.replicas,
      rc.status.replicas,
      rc.status.readyReplicas ?? 0,
      ageCell(rc.metadata.creationTimestamp, nowMs),
      ...containerCells(rc.spec.template?.spec, formatLabels(rc.spec.selector)),
    ],
  },
  setDefaults,
  prepareForCreate: (draft) => {
    draft.status = { replicas: 0 }
  },
  validate,
})
