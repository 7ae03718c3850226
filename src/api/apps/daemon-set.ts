// apps/v1 DaemonSet: one pod on every node that fits.
import { ageCell } from '../machinery/age.ts'
import { type FieldError, invalidField, notSupportedField, requiredField } from '../machinery/errors.ts'
import { defineKind } from '../machinery/kind.ts'
import { formatLabelSelector, formatLabels } from '../machinery/labels.ts'
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
import { validateNonNegative } from '../machinery/validation.ts'
import { setPodTemplateDefaults } from '../core/pod-defaults.ts'
import { podTemplateSpec } from '../core/pod-template.ts'
import { podSpecWarnings } from '../core/pod-validation.ts'
import { listByKey, number32, number64, text, when } from '../core/scalars.ts'
import { ageColumn, column, containerCells, containerColumns, nameColumn } from '../core/workload-table.ts'
import { APPS } from './deployment.ts'
import { oldWorkloadVersions } from './old-versions.ts'
import {
  isZeroPortion,
  validateAlwaysRunning,
  validateCounts,
  validatePortion,
  validateSelectorAndTemplate,
  validateSelectorUnchanged,
} from './workload-validation.ts'

const rollingUpdateDaemonSet = object(`${APPS}RollingUpdateDaemonSet`, {
  maxUnavailable: optional(1, intOrString()),
  maxSurge: optional(2, intOrString()),
})
const daemonSetUpdateStrategy = object(`${APPS}DaemonSetUpdateStrategy`, {
  type: text(1),
  rollingUpdate: optional(2, rollingUpdateDaemonSet),
})
export const daemonSetSpec = object(`${APPS}DaemonSetSpec`, {
  selector: required(1, labelSelector, { pointer: true }),
  template: required(2, podTemplateSpec),
  updateStrategy: struct(3, daemonSetUpdateStrategy),
  minReadySeconds: number32(4),
  revisionHistoryLimit: defaulted(6, int32(), 10),
})
export interface DaemonSetSpec extends Infer<typeof daemonSetSpec> {}
const daemonSetCondition = object(`${APPS}DaemonSetCondition`, {
  type: required(1, string()),
  status: required(2, string()),
  lastTransitionTime: when(3),
  reason: text(4),
  message: text(5),
})
export const daemonSetStatus = object(`${APPS}DaemonSetStatus`, {
  currentNumberScheduled: required(1, int32()),
  numberMisscheduled: required(2, int32()),
  desiredNumberScheduled: required(3, int32()),
  numberReady: required(4, int32()),
  observedGeneration: number64(5),
  updatedNumberScheduled: number32(6),
  numberAvailable: number32(7),
  numberUnavailable: number32(8),
  collisionCount: optional(9, int32()),
  conditions: optional(10, array(daemonSetCondition, listByKey('type'))),
})
export interface DaemonSetStatus extends Infer<typeof daemonSetStatus> {}
const schema = kindSchema(`${APPS}DaemonSet`, { spec: struct(2, daemonSetSpec), status: struct(3, daemonSetStatus) })
export interface DaemonSet extends ObjectOf<typeof schema> {}

function setDefaults({ spec }: Draft<DaemonSet>): void {
  spec.updateStrategy.type ??= 'RollingUpdate'
  if (spec.updateStrategy.type === 'RollingUpdate') {
    const rolling = (spec.updateStrategy.rollingUpdate ??= {})
    rolling.maxUnavailable ??= 1
    rolling.maxSurge ??= 0
  }
  setPodTemplateDefaults(spec.template)
}

function validateStrategy({ updateStrategy }: DaemonSetSpec): FieldError[] {
  const path = 'spec.updateStrategy'
  const { type, rollingUpdate } = updateStrategy
  if (type === 'OnDelete') return []
  if (type !== 'RollingUpdate') return [notSupportedField(`${path}.type`, type, ['OnDelete', 'RollingUpdate'])]
  if (rollingUpdate === undefined) return [requiredField(`${path}.rollingUpdate`)]
  const { maxUnavailable = 0, maxSurge = 0 } = rollingUpdate
  const at = `${path}.rollingUpdate`
  const errors = [
    ...validatePortion(maxUnavailable, `${at}.maxUnavailable`),
    ...validatePortion(maxSurge, `${at}.maxSurge`),
  ]
  if (!isZeroPortion(maxUnavailable) && !isZeroPortion(maxSurge)) {
    errors.push(invalidField(`${at}.maxSurge`, maxSurge, 'may not be set when maxUnavailable is non-zero'))
  } else if (isZeroPortion(maxUnavailable) && isZeroPortion(maxSurge)) {
    errors.push(requiredField(`${at}.maxUnavailable`, 'cannot be 0 when maxSurge is 0'))
  }
  return errors
}
const counts = [
  'currentNumberScheduled',
  'numberMisscheduled',
  'desiredNumberScheduled',
  'numberReady',
  'observedGeneration',
  'updatedNumberScheduled',
  'numberAvailable',
  'numberUnavailable',
] as const

export const daemonSets = defineKind<DaemonSet>({
  group: 'apps',
  version: 'v1',
  kind: 'DaemonSet',
  plural: 'daemonsets',
  singular: 'daemonset',
  shortNames: ['ds'],
  categories: ['all'],
  namespaced: true,
  schema,
  storagePrefix: '/registry/daemonsets',
  unconditionalUpdate: true,
  generation: true,
  versions: oldWorkloadVersions('DaemonSet', schema),
  subresources: { status: true },
  table: {
    columns: [
      nameColumn,
      column('Desired', 'integer'),
      column('Current', 'integer'),
      column('Ready', 'integer'),
      column('Up-to-date', 'integer'),
      column('Available', 'integer'),
      column('Node Selector'),
      ageColumn,
      ...containerColumns,
    ],
    row: (d, nowMs) => [
      d.metadata.name,
      d.status.desiredNumberScheduled,
      d.status.currentNumberScheduled,
      d.status.numberReady,
      d.status.updatedNumberScheduled ?? 0,
      d.status.numberAvailable ?? 0,
      formatLabels(d.spec.template.spec.nodeSelector),
      ageCell(d.metadata.creationTimestamp, nowMs),
      ...containerCells(d.spec.template.spec, formatLabelSelector(d.spec.selector)),
    ],
  },
  setDefaults,
  prepareForCreate: (draft) => {
    draft.status = { currentNumberScheduled: 0, numberMisscheduled: 0, desiredNumberScheduled: 0, numberReady: 0 }
  },
  validate: ({ spec }) => [
    ...validateSelectorAndTemplate(spec.selector, spec.template, 'daemonset'),
    ...validateAlwaysRunning(spec.template, 'DaemonSet'),
    ...validateCounts({ ...spec }, ['minReadySeconds', 'revisionHistoryLimit']),
    ...validateStrategy(spec),
  ],
  validateUpdate: (d, old) => validateSelectorUnchanged(d.spec.selector, old.spec.selector),
  validateStatusUpdate: ({ status }): FieldError[] =>
    counts.flatMap((name) => validateNonNegative(status[name] ?? 0, `status.${name}`)),
  warnings: (d) => podSpecWarnings(d.spec.template.spec, 'spec.template.spec'),
})
