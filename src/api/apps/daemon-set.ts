// apps/v1 DaemonSet: one pod on every node that fits.
import { ageCell } from '../machinery/age.ts'
import { type FieldError, notSupportedField, requiredField } from '../machinery/errors.ts'
import { defineKind } from '../machinery/kind.ts'
import { formatLabelSelector } from '../machinery/labels.ts'
import { kindSchema, labelSelector, type ObjectOf } from '../machinery/meta.ts'
import { defaulted, type Infer, int32, object, optional, required, struct } from '../machinery/schema.ts'
import { setPodTemplateDefaults } from '../core/pod-defaults.ts'
import { podTemplateSpec } from '../core/pod-template.ts'
import { number32, number64, text } from '../core/scalars.ts'
import { ageColumn, column, containerCells, containerColumns, nameColumn } from '../core/workload-table.ts'
import { oldWorkloadVersions } from './old-versions.ts'
import {
  amount,
  APPS,
  conditions,
  selectorUnchanged,
  validateCounts,
  validateRollingUpdate,
  validateWorkload,
} from './workload.ts'

export const daemonSetSpec = object(`${APPS}DaemonSetSpec`, {
  selector: required(1, labelSelector),
  template: required(2, podTemplateSpec),
  updateStrategy: struct(
    3,
    object(`${APPS}DaemonSetUpdateStrategy`, {
      type: text(1),
      rollingUpdate: optional(
        2,
        object(`${APPS}RollingUpdateDaemonSet`, { maxUnavailable: amount(1), maxSurge: amount(2) }),
      ),
    }),
  ),
  minReadySeconds: number32(4),
  revisionHistoryLimit: defaulted(6, int32(), 10),
})
export interface DaemonSetSpec extends Infer<typeof daemonSetSpec> {}
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
  conditions: optional(10, conditions('DaemonSetCondition')),
})
export interface DaemonSetStatus extends Infer<typeof daemonSetStatus> {}
const schema = kindSchema(`${APPS}DaemonSet`, { spec: struct(2, daemonSetSpec), status: struct(3, daemonSetStatus) })
export interface DaemonSet extends ObjectOf<typeof schema> {}

function validateStrategy(spec: DaemonSetSpec): FieldError[] {
  const { type, rollingUpdate } = spec.updateStrategy
  if (type === 'OnDelete') return []
  if (type !== 'RollingUpdate')
    return [notSupportedField('spec.updateStrategy.type', type, ['OnDelete', 'RollingUpdate'])]
  if (rollingUpdate === undefined) return [requiredField('spec.updateStrategy.rollingUpdate')]
  const at = 'spec.updateStrategy.rollingUpdate'
  const errors = validateRollingUpdate(rollingUpdate, at, 'cannot be 0 when maxSurge is 0')
  const positive = (value: number | string | undefined) =>
    value !== undefined && Number.parseInt(String(value), 10) !== 0
  if (positive(rollingUpdate.maxSurge) && positive(rollingUpdate.maxUnavailable))
    errors.push({
      type: 'FieldValueInvalid',
      field: `${at}.maxSurge`,
      message: `Invalid value: ${JSON.stringify(rollingUpdate.maxSurge)}: may not be set when maxUnavailable is non-zero`,
    })
  return errors
}

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
  generation: true,
  unconditionalUpdate: true,
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
    row: (o, nowMs) => [
      o.metadata.name,
      o.status.desiredNumberScheduled,
      o.status.currentNumberScheduled,
      o.status.numberReady,
      o.status.updatedNumberScheduled ?? 0,
      o.status.numberAvailable ?? 0,
      Object.entries(o.spec.template.spec?.nodeSelector ?? {})
        .map(([k, v]) => `${k}=${v}`)
        .sort()
        .join(',') || '<none>',
      ageCell(o.metadata.creationTimestamp, nowMs),
      ...containerCells(o.spec.template.spec, formatLabelSelector(o.spec.selector)),
    ],
  },
  setDefaults: ({ spec }) => {
    spec.updateStrategy.type ??= 'RollingUpdate'
    if (spec.updateStrategy.type === 'RollingUpdate') {
      const update = (spec.updateStrategy.rollingUpdate ??= {})
      update.maxUnavailable ??= 1
      update.maxSurge ??= 0
    }
    spec.revisionHistoryLimit ??= 10
    setPodTemplateDefaults(spec.template)
  },
  prepareForCreate: (draft) => {
    draft.status = { currentNumberScheduled: 0, numberMisscheduled: 0, desiredNumberScheduled: 0, numberReady: 0 }
  },
  validate: (o) => [...validateWorkload(o.spec, 'daemonset'), ...validateStrategy(o.spec)],
  validateUpdate: (next, old) => selectorUnchanged(next.spec, old.spec),
  validateStatusUpdate: (next) =>
    validateCounts(next.status, [
      'currentNumberScheduled',
      'numberMisscheduled',
      'desiredNumberScheduled',
      'numberReady',
      'observedGeneration',
      'updatedNumberScheduled',
      'numberAvailable',
      'numberUnavailable',
      'collisionCount',
    ]),
})
