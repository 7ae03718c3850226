// apps/v1 Deployment: ReplicaSets rolled out one after another.
import { ageCell } from '../machinery/age.ts'
import { type FieldError, forbiddenField, invalidField, notSupportedField } from '../machinery/errors.ts'
import { defineKind } from '../machinery/kind.ts'
import { formatLabelSelector } from '../machinery/labels.ts'
import { kindSchema, labelSelector, type ObjectOf } from '../machinery/meta.ts'
import {
  defaulted,
  array,
  type Infer,
  int32,
  object,
  optional,
  required,
  string,
  struct,
  time,
} from '../machinery/schema.ts'
import { setPodTemplateDefaults } from '../core/pod-defaults.ts'
import { podTemplateSpec } from '../core/pod-template.ts'
import { flag, listByKey, number32, number64, text } from '../core/scalars.ts'
import { shown } from '../core/selector-validation.ts'
import { ageColumn, column, containerCells, containerColumns, nameColumn } from '../core/workload-table.ts'
import { oldDeploymentVersions } from './old-versions.ts'
import { amount, APPS, selectorUnchanged, validateCounts, validateRollingUpdate, validateWorkload } from './workload.ts'

export const deploymentStrategy = object(`${APPS}DeploymentStrategy`, {
  type: text(1),
  rollingUpdate: optional(
    2,
    object(`${APPS}RollingUpdateDeployment`, { maxUnavailable: amount(1), maxSurge: amount(2) }),
  ),
})
export const deploymentSpec = object(`${APPS}DeploymentSpec`, {
  replicas: defaulted(1, int32(), 1),
  selector: required(2, labelSelector),
  template: required(3, podTemplateSpec),
  strategy: struct(4, deploymentStrategy, { patchStrategy: 'retainKeys' }),
  minReadySeconds: number32(5),
  revisionHistoryLimit: defaulted(6, int32(), 10),
  paused: flag(7),
  progressDeadlineSeconds: defaulted(9, int32(), 600),
})
export interface DeploymentSpec extends Infer<typeof deploymentSpec> {}
export const deploymentCondition = object(`${APPS}DeploymentCondition`, {
  type: required(1, string()),
  status: required(2, string()),
  reason: text(4),
  message: text(5),
  lastUpdateTime: optional(6, time()),
  lastTransitionTime: optional(7, time()),
})
export interface DeploymentCondition extends Infer<typeof deploymentCondition> {}
export const deploymentStatus = object(`${APPS}DeploymentStatus`, {
  observedGeneration: number64(1),
  replicas: number32(2),
  updatedReplicas: number32(3),
  availableReplicas: number32(4),
  unavailableReplicas: number32(5),
  conditions: optional(6, array(deploymentCondition, listByKey('type'))),
  readyReplicas: number32(7),
  collisionCount: optional(8, int32()),
  terminatingReplicas: optional(9, int32()),
})
export interface DeploymentStatus extends Infer<typeof deploymentStatus> {}
const schema = kindSchema(`${APPS}Deployment`, { spec: struct(2, deploymentSpec), status: struct(3, deploymentStatus) })
export interface Deployment extends ObjectOf<typeof schema> {}

function validateSpec(spec: DeploymentSpec): FieldError[] {
  const errors = validateWorkload(spec, 'deployment')
  const { type, rollingUpdate } = spec.strategy
  if (type === 'Recreate') {
    if (rollingUpdate !== undefined)
      errors.push(
        forbiddenField('spec.strategy.rollingUpdate', "may not be specified when strategy `type` is 'Recreate'"),
      )
  } else if (type === 'RollingUpdate') {
    if (rollingUpdate !== undefined)
      errors.push(
        ...validateRollingUpdate(rollingUpdate, 'spec.strategy.rollingUpdate', 'may not be 0 when `maxSurge` is 0'),
      )
  } else errors.push(notSupportedField('spec.strategy.type', type, ['Recreate', 'RollingUpdate']))
  const { progressDeadlineSeconds: deadline, minReadySeconds = 0 } = spec
  if (deadline !== undefined && deadline < 0)
    errors.push(invalidField('spec.progressDeadlineSeconds', deadline, 'must be greater than or equal to 0'))
  if (deadline !== undefined && deadline <= minReadySeconds)
    errors.push(invalidField('spec.progressDeadlineSeconds', deadline, 'must be greater than minReadySeconds'))
  return errors
}

export const deployments = defineKind<Deployment>({
  group: 'apps',
  version: 'v1',
  kind: 'Deployment',
  plural: 'deployments',
  singular: 'deployment',
  shortNames: ['deploy'],
  categories: ['all'],
  namespaced: true,
  schema,
  storagePrefix: '/registry/deployments',
  generation: true,
  unconditionalUpdate: true,
  versions: oldDeploymentVersions(schema),
  subresources: {
    status: true,
    scale: {
      specReplicasPath: ['spec', 'replicas'],
      statusReplicasPath: ['status', 'replicas'],
      labelSelectorPath: ['spec', 'selector'],
    },
  },
  table: {
    columns: [nameColumn, column('Ready'), column('Up-to-date'), column('Available'), ageColumn, ...containerColumns],
    row: (o, nowMs) => [
      o.metadata.name,
      `${o.status.readyReplicas ?? 0}/${o.spec.replicas ?? 0}`,
      o.status.updatedReplicas ?? 0,
      o.status.availableReplicas ?? 0,
      ageCell(o.metadata.creationTimestamp, nowMs),
      ...containerCells(o.spec.template.spec, formatLabelSelector(o.spec.selector)),
    ],
  },
  setDefaults: ({ spec }) => {
    spec.replicas ??= 1
    spec.strategy.type ??= 'RollingUpdate'
    if (spec.strategy.type === 'RollingUpdate') {
      const update = (spec.strategy.rollingUpdate ??= {})
      update.maxUnavailable ??= '25%'
      update.maxSurge ??= '25%'
    }
    spec.revisionHistoryLimit ??= 10
    spec.progressDeadlineSeconds ??= 600
    setPodTemplateDefaults(spec.template)
  },
  prepareForCreate: (draft) => {
    draft.status = {}
  },
  validate: (o) => validateSpec(o.spec),
  validateUpdate: (next, old) => selectorUnchanged(next.spec, old.spec),
  validateStatusUpdate: (next, old) => {
    const counts = [
      'observedGeneration',
      'replicas',
      'updatedReplicas',
      'readyReplicas',
      'availableReplicas',
      'unavailableReplicas',
      'collisionCount',
      'terminatingReplicas',
    ]
    const errors = validateCounts(next.status, counts)
    const { replicas = 0, readyReplicas = 0, availableReplicas = 0, updatedReplicas = 0, collisionCount } = next.status
    const most = 'cannot be greater than status.replicas'
    if (updatedReplicas > replicas) errors.push(invalidField('status.updatedReplicas', updatedReplicas, most))
    if (readyReplicas > replicas) errors.push(invalidField('status.readyReplicas', readyReplicas, most))
    if (availableReplicas > replicas) errors.push(invalidField('status.availableReplicas', availableReplicas, most))
    if (availableReplicas > readyReplicas)
      errors.push(invalidField('status.availableReplicas', availableReplicas, 'cannot be greater than readyReplicas'))
    const before = old.status.collisionCount
    if (before !== undefined && (collisionCount ?? 0) < before)
      errors.push(invalidField('status.collisionCount', shown(collisionCount), 'cannot be decremented'))
    return errors
  },
})
