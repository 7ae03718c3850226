// apps/v1 StatefulSet: pods with names, order and storage of their own.
import { ageCell } from '../machinery/age.ts'
import { semanticEqual } from '../machinery/equal.ts'
import { type FieldError, forbiddenField, invalidField, notSupportedField, requiredField } from '../machinery/errors.ts'
import { defineKind } from '../machinery/kind.ts'
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
import { persistentVolumeClaim } from '../core/persistent-volume-claim.ts'
import { setPodTemplateDefaults } from '../core/pod-defaults.ts'
import type { PodSpec } from '../core/pod-spec.ts'
import { type PodTemplateSpec, podTemplateSpec } from '../core/pod-template.ts'
import { podSpecWarnings } from '../core/pod-validation.ts'
import { atomicList, listByKey, number32, number64, text, when } from '../core/scalars.ts'
import { shown } from '../core/selector-validation.ts'
import { ageColumn, column, containerImages, containerNames, nameColumn, wideColumn } from '../core/workload-table.ts'
import { APPS, replicasScale } from './deployment.ts'
import { oldStatefulSetVersions } from './old-versions.ts'
import {
  validateAlwaysRunning,
  validateCounts,
  validatePortion,
  validateSelectorAndTemplate,
} from './workload-validation.ts'

const rollingUpdate = object(`${APPS}RollingUpdateStatefulSetStrategy`, {
  partition: optional(1, int32()),
  maxUnavailable: optional(2, intOrString()),
})
const statefulSetUpdateStrategy = object(`${APPS}StatefulSetUpdateStrategy`, {
  type: text(1),
  rollingUpdate: optional(2, rollingUpdate),
})
const claimRetentionPolicy = object(`${APPS}StatefulSetPersistentVolumeClaimRetentionPolicy`, {
  whenDeleted: defaulted(1, string(), 'Retain'),
  whenScaled: defaulted(2, string(), 'Retain'),
})
const statefulSetOrdinals = object(`${APPS}StatefulSetOrdinals`, { start: number32(1, { publishDefault: true }) })
export const statefulSetSpec = object(`${APPS}StatefulSetSpec`, {
  replicas: defaulted(1, int32(), 1),
  selector: required(2, labelSelector, { pointer: true }),
  template: required(3, podTemplateSpec),
  volumeClaimTemplates: optional(4, array(persistentVolumeClaim, atomicList)),
  serviceName: text(5, { publishDefault: true }),
  podManagementPolicy: defaulted(6, string(), 'OrderedReady'),
  updateStrategy: struct(7, statefulSetUpdateStrategy),
  revisionHistoryLimit: defaulted(8, int32(), 10),
  minReadySeconds: number32(9),
  persistentVolumeClaimRetentionPolicy: defaulted(10, claimRetentionPolicy, {
    whenDeleted: 'Retain',
    whenScaled: 'Retain',
  }),
  ordinals: optional(11, statefulSetOrdinals),
})
export interface StatefulSetSpec extends Infer<typeof statefulSetSpec> {}
const statefulSetCondition = object(`${APPS}StatefulSetCondition`, {
  type: required(1, string()),
  status: required(2, string()),
  lastTransitionTime: when(3),
  reason: text(4),
  message: text(5),
})
export const statefulSetStatus = object(`${APPS}StatefulSetStatus`, {
  observedGeneration: number64(1),
  replicas: required(2, int32()),
  readyReplicas: number32(3),
  currentReplicas: number32(4),
  updatedReplicas: number32(5),
  currentRevision: text(6),
  updateRevision: text(7),
  collisionCount: optional(9, int32()),
  conditions: optional(10, array(statefulSetCondition, listByKey('type'))),
  // without omitempty upstream: always written
  availableReplicas: struct(11, int32()),
})
export interface StatefulSetStatus extends Infer<typeof statefulSetStatus> {}
const schema = kindSchema(`${APPS}StatefulSet`, {
  spec: struct(2, statefulSetSpec),
  status: struct(3, statefulSetStatus),
})
export interface StatefulSet extends ObjectOf<typeof schema> {}

function setDefaults({ spec }: Draft<StatefulSet>): void {
  spec.updateStrategy.type ??= 'RollingUpdate'
  if (spec.updateStrategy.type === 'RollingUpdate') {
    const rolling = (spec.updateStrategy.rollingUpdate ??= {})
    rolling.partition ??= 0
  }
  for (const claim of spec.volumeClaimTemplates ?? []) {
    claim.apiVersion = 'v1'
    claim.kind = 'PersistentVolumeClaim'
    claim.status.phase ??= 'Pending'
  }
  setPodTemplateDefaults(spec.template)
}

function validateStrategy({ updateStrategy }: StatefulSetSpec): FieldError[] {
  const path = 'spec.updateStrategy'
  const { type, rollingUpdate: rolling } = updateStrategy
  if (type === 'OnDelete') {
    return rolling === undefined
      ? []
      : [invalidField(`${path}.rollingUpdate`, shown(rolling), "only allowed for updateStrategy 'RollingUpdate'")]
  }
  if (type !== 'RollingUpdate') {
    return [invalidField(path, shown(updateStrategy), "must be 'RollingUpdate' or 'OnDelete'")]
  }
  const errors = [...validateNonNegative(rolling?.partition ?? 0, `${path}.rollingUpdate.partition`)]
  if (rolling?.maxUnavailable !== undefined) {
    const at = `${path}.rollingUpdate.maxUnavailable`
    errors.push(...validatePortion(rolling.maxUnavailable, at))
    if (rolling.maxUnavailable === 0 || rolling.maxUnavailable === '0%') {
      errors.push(invalidField(at, rolling.maxUnavailable, 'cannot be 0'))
    }
  }
  return errors
}
/** The template as its pods have it: each claim template is a volume of that name, in the place of one that the template may have. */
function withClaimVolumes({ template, volumeClaimTemplates = [] }: StatefulSetSpec): PodTemplateSpec {
  const names = volumeClaimTemplates.flatMap(({ metadata }) => (metadata.name ? [metadata.name] : []))
  if (names.length === 0) return template
  const own = (template.spec.volumes ?? []).filter(({ name }) => !names.includes(name))
  const claims = names.map((name) => ({ name, persistentVolumeClaim: { claimName: name } }))
  return { ...template, spec: { ...template.spec, volumes: [...own, ...claims] as PodSpec['volumes'] } }
}
function validate({ spec }: StatefulSet): FieldError[] {
  const errors: FieldError[] = []
  if (spec.podManagementPolicy === '') errors.push(requiredField('spec.podManagementPolicy'))
  else if (spec.podManagementPolicy !== 'OrderedReady' && spec.podManagementPolicy !== 'Parallel') {
    errors.push(
      invalidField('spec.podManagementPolicy', spec.podManagementPolicy, "must be 'OrderedReady' or 'Parallel'"),
    )
  }
  errors.push(...validateStrategy(spec))
  const retention = spec.persistentVolumeClaimRetentionPolicy
  for (const name of ['whenDeleted', 'whenScaled'] as const) {
    if (retention[name] !== 'Retain' && retention[name] !== 'Delete') {
      errors.push(
        notSupportedField(`spec.persistentVolumeClaimRetentionPolicy.${name}`, retention[name], ['Delete', 'Retain']),
      )
    }
  }
  errors.push(...validateCounts({ ...spec }, ['replicas', 'minReadySeconds', 'revisionHistoryLimit']))
  errors.push(...validateNonNegative(spec.ordinals?.start ?? 0, 'spec.ordinals.start'))
  return [
    ...errors,
    ...validateSelectorAndTemplate(spec.selector, withClaimVolumes(spec), 'statefulset'),
    ...validateAlwaysRunning(spec.template, 'StatefulSet'),
  ]
}

const changeable = [
  'replicas',
  'ordinals',
  'template',
  'updateStrategy',
  'revisionHistoryLimit',
  'persistentVolumeClaimRetentionPolicy',
  'minReadySeconds',
] as const
function validateUpdate({ spec }: StatefulSet, old: StatefulSet): FieldError[] {
  const rest = (of: StatefulSetSpec): object =>
    Object.fromEntries(Object.entries(of).filter(([name]) => !changeable.some((one) => one === name)))
  if (semanticEqual(rest(spec), rest(old.spec))) return []
  const names = changeable.map((name) => `'${name}'`)
  const list = `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`
  return [forbiddenField('spec', `updates to statefulset spec for fields other than ${list} are forbidden`)]
}
const statusCounts = [
  'observedGeneration',
  'replicas',
  'readyReplicas',
  'currentReplicas',
  'updatedReplicas',
  'availableReplicas',
] as const
function validateStatus({ status }: StatefulSet): FieldError[] {
  const errors = statusCounts.flatMap((name) => validateNonNegative(status[name] ?? 0, `status.${name}`))
  for (const name of ['readyReplicas', 'currentReplicas', 'updatedReplicas', 'availableReplicas'] as const) {
    if ((status[name] ?? 0) > status.replicas) {
      errors.push(invalidField(`status.${name}`, status[name], 'cannot be greater than status.replicas'))
    }
  }
  if (status.availableReplicas > (status.readyReplicas ?? 0)) {
    errors.push(
      invalidField('status.availableReplicas', status.availableReplicas, 'cannot be greater than status.readyReplicas'),
    )
  }
  return errors
}

export const statefulSets = defineKind<StatefulSet>({
  group: 'apps',
  version: 'v1',
  kind: 'StatefulSet',
  plural: 'statefulsets',
  singular: 'statefulset',
  shortNames: ['sts'],
  categories: ['all'],
  namespaced: true,
  schema,
  storagePrefix: '/registry/statefulsets',
  unconditionalUpdate: true,
  generation: true,
  versions: oldStatefulSetVersions(schema),
  subresources: {
    status: true,
    scale: replicasScale,
  },
  table: {
    columns: [nameColumn, column('Ready'), ageColumn, wideColumn('Containers'), wideColumn('Images')],
    row: (s, nowMs) => [
      s.metadata.name,
      `${s.status.readyReplicas ?? 0}/${s.spec.replicas}`,
      ageCell(s.metadata.creationTimestamp, nowMs),
      containerNames(s.spec.template.spec),
      containerImages(s.spec.template.spec),
    ],
  },
  setDefaults,
  prepareForCreate: (draft) => {
    draft.status = { replicas: 0, availableReplicas: 0 }
  },
  validate,
  validateUpdate,
  validateStatusUpdate: validateStatus,
  warnings: (s) => podSpecWarnings(s.spec.template.spec, 'spec.template.spec'),
})
