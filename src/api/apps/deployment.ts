// apps/v1 Deployment: a ReplicaSet for each version of a template, and the way from one to the next.
import { ageCell } from '../machinery/age.ts'
import { type FieldError, forbiddenField, invalidField, notSupportedField } from '../machinery/errors.ts'
import { defineKind } from '../machinery/kind.ts'
import { formatLabelSelector } from '../machinery/labels.ts'
import { kindSchema, labelSelector, type ObjectOf } from '../machinery/meta.ts'
import {
  array,
  defaulted,
  type Draft,
  type Infer,
  int32,
  intOrString,
  object,
  optional,
  required,
  string,
  struct,
} from '../machinery/schema.ts'
import { setPodTemplateDefaults } from '../core/pod-defaults.ts'
import { podTemplateSpec } from '../core/pod-template.ts'
import { podSpecWarnings } from '../core/pod-validation.ts'
import { flag, listByKey, number32, number64, text, when } from '../core/scalars.ts'
import { ageColumn, column, containerCells, containerColumns, nameColumn } from '../core/workload-table.ts'
import { oldDeploymentVersions } from './old-versions.ts'
import {
  isZeroPortion,
  validateAlwaysRunning,
  validateCounts,
  validatePortion,
  validateSelectorAndTemplate,
  validateSelectorUnchanged,
  validateSurge,
} from './workload-validation.ts'

export const APPS = 'io.k8s.api.apps.v1.'

const rollingUpdateDeployment = object(`${APPS}RollingUpdateDeployment`, {
  maxUnavailable: optional(1, intOrString()),
  maxSurge: optional(2, intOrString()),
})
export const deploymentStrategy = object(`${APPS}DeploymentStrategy`, {
  type: text(1),
  rollingUpdate: optional(2, rollingUpdateDeployment),
})
export interface DeploymentStrategy extends Infer<typeof deploymentStrategy> {}
export const deploymentSpec = object(`${APPS}DeploymentSpec`, {
  replicas: defaulted(1, int32(), 1),
  selector: required(2, labelSelector, { pointer: true }),
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
  lastUpdateTime: when(6),
  lastTransitionTime: when(7),
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

function setDefaults({ spec }: Draft<Deployment>): void {
  spec.strategy.type ??= 'RollingUpdate'
  if (spec.strategy.type === 'RollingUpdate') {
    const rolling = (spec.strategy.rollingUpdate ??= {})
    rolling.maxUnavailable ??= '25%'
    rolling.maxSurge ??= '25%'
  }
  setPodTemplateDefaults(spec.template)
}

function validateStrategy({ type, rollingUpdate }: DeploymentStrategy): FieldError[] {
  const path = 'spec.strategy'
  if (type === 'Recreate') {
    return rollingUpdate === undefined
      ? []
      : [forbiddenField(`${path}.rollingUpdate`, `may not be specified when strategy \`type\` is '${type}'`)]
  }
  if (type !== 'RollingUpdate') return [notSupportedField(`${path}.type`, type, ['Recreate', 'RollingUpdate'])]
  const { maxUnavailable = 0, maxSurge = 0 } = rollingUpdate ?? {}
  const at = `${path}.rollingUpdate`
  const errors = [
    ...validatePortion(maxUnavailable, `${at}.maxUnavailable`),
    ...validateSurge(maxSurge, `${at}.maxSurge`),
  ]
  if (isZeroPortion(maxUnavailable) && isZeroPortion(maxSurge)) {
    errors.push(invalidField(`${at}.maxUnavailable`, maxUnavailable, 'may not be 0 when `maxSurge` is 0'))
  }
  return errors
}
function validate({ spec }: Deployment): FieldError[] {
  const errors = [
    ...validateCounts({ ...spec }, ['replicas']),
    ...validateSelectorAndTemplate(spec.selector, spec.template, 'deployment'),
    ...validateAlwaysRunning(spec.template, 'ReplicaSet'),
    ...validateStrategy(spec.strategy),
    ...validateCounts({ ...spec }, ['minReadySeconds', 'revisionHistoryLimit', 'progressDeadlineSeconds']),
  ]
  if (spec.progressDeadlineSeconds <= (spec.minReadySeconds ?? 0)) {
    errors.push(
      invalidField(
        'spec.progressDeadlineSeconds',
        spec.progressDeadlineSeconds,
        'must be greater than minReadySeconds',
      ),
    )
  }
  return errors
}
const statusCounts = [
  'observedGeneration',
  'replicas',
  'updatedReplicas',
  'readyReplicas',
  'availableReplicas',
  'unavailableReplicas',
  'terminatingReplicas',
  'collisionCount',
] as const
function validateStatus({ status }: Deployment, old: Deployment): FieldError[] {
  const errors = statusCounts.flatMap((name) =>
    (status[name] ?? 0) < 0 ? [invalidField(`status.${name}`, status[name], 'must be greater than or equal to 0')] : [],
  )
  const total = status.replicas ?? 0
  for (const name of ['updatedReplicas', 'readyReplicas', 'availableReplicas'] as const) {
    if ((status[name] ?? 0) > total)
      errors.push(invalidField(`status.${name}`, status[name], 'cannot be greater than status.replicas'))
  }
  if ((status.availableReplicas ?? 0) > (status.readyReplicas ?? 0)) {
    errors.push(
      invalidField('status.availableReplicas', status.availableReplicas, 'cannot be greater than readyReplicas'),
    )
  }
  const before = old.status.collisionCount
  if (before !== undefined && (status.collisionCount ?? -1) < before) {
    errors.push(invalidField('status.collisionCount', status.collisionCount, 'cannot be decremented'))
  }
  return errors
}

/** The paths of a kind whose number of pods is in spec.replicas. */
export const replicasScale = {
  specReplicasPath: ['spec', 'replicas'],
  statusReplicasPath: ['status', 'replicas'],
  labelSelectorPath: ['spec', 'selector'],
} as const

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
  unconditionalUpdate: true,
  generation: true,
  versions: oldDeploymentVersions(schema),
  subresources: { status: true, scale: replicasScale },
  table: {
    columns: [
      nameColumn,
      column('Ready'),
      column('Up-to-date', 'integer'),
      column('Available', 'integer'),
      ageColumn,
      ...containerColumns,
    ],
    row: (d, nowMs) => [
      d.metadata.name,
      `${d.status.readyReplicas ?? 0}/${d.spec.replicas}`,
      d.status.updatedReplicas ?? 0,
      d.status.availableReplicas ?? 0,
      ageCell(d.metadata.creationTimestamp, nowMs),
      ...containerCells(d.spec.template.spec, formatLabelSelector(d.spec.selector)),
    ],
  },
  setDefaults,
  prepareForCreate: (draft) => {
    draft.status = {}
  },
  validate,
  validateUpdate: (d, old) => validateSelectorUnchanged(d.spec.selector, old.spec.selector),
  validateStatusUpdate: validateStatus,
  warnings: (d) => podSpecWarnings(d.spec.template.spec, 'spec.template.spec'),
})
