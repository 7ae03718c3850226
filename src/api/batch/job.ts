// batch/v1 Job: pods that run to completion.
import { ageCell, durationCell } from '../machinery/age.ts'
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, labelSelector, type ObjectOf } from '../machinery/meta.ts'
import {
  array,
  boolean,
  type Draft,
  type Infer,
  int32,
  int64,
  object,
  optional,
  required,
  string,
  struct,
  time,
} from '../machinery/schema.ts'
import { podTemplateSpec } from '../core/pod-template.ts'
import { formatLabelSelector } from '../machinery/labels.ts'
import { completionsOf, validateJob, validateJobStatusUpdate, validateJobUpdate } from './job-validation.ts'
import { setPodTemplateDefaults } from '../core/pod-defaults.ts'

const BATCH = 'io.k8s.api.batch.v1.'

export const podFailurePolicyOnExitCodes = object(`${BATCH}PodFailurePolicyOnExitCodesRequirement`, {
  containerName: optional(1, string()),
  operator: required(2, string()),
  values: required(3, array(int32(), { listType: 'set' })),
})
export const podFailurePolicyOnPodConditions = object(`${BATCH}PodFailurePolicyOnPodConditionsPattern`, {
  type: required(1, string()),
  status: optional(2, string(), { publishDefault: true }),
})
export const podFailurePolicyRule = object(`${BATCH}PodFailurePolicyRule`, {
  action: required(1, string()),
  onExitCodes: optional(2, podFailurePolicyOnExitCodes),
  onPodConditions: optional(3, array(podFailurePolicyOnPodConditions, { listType: 'atomic' })),
})
export interface PodFailurePolicyRule extends Infer<typeof podFailurePolicyRule> {}
export const podFailurePolicy = object(`${BATCH}PodFailurePolicy`, {
  rules: required(1, array(podFailurePolicyRule, { listType: 'atomic' })),
})
export const successPolicyRule = object(`${BATCH}SuccessPolicyRule`, {
  succeededIndexes: optional(1, string()),
  succeededCount: optional(2, int32()),
})
export const successPolicy = object(`${BATCH}SuccessPolicy`, {
  rules: required(1, array(successPolicyRule, { listType: 'atomic' })),
})
export const jobSpec = object(`${BATCH}JobSpec`, {
  parallelism: optional(1, int32()),
  completions: optional(2, int32()),
  activeDeadlineSeconds: optional(3, int64()),
  selector: optional(4, labelSelector),
  manualSelector: optional(5, boolean()),
  template: required(6, podTemplateSpec),
  backoffLimit: optional(7, int32()),
  ttlSecondsAfterFinished: optional(8, int32()),
  completionMode: optional(9, string()),
  suspend: optional(10, boolean()),
  podFailurePolicy: optional(11, podFailurePolicy),
  backoffLimitPerIndex: optional(12, int32()),
  maxFailedIndexes: optional(13, int32()),
  podReplacementPolicy: optional(14, string()),
  managedBy: optional(15, string()),
  successPolicy: optional(16, successPolicy),
})
export interface JobSpec extends Infer<typeof jobSpec> {}
export const jobCondition = object(`${BATCH}JobCondition`, {
  type: required(1, string()),
  status: required(2, string()),
  lastProbeTime: optional(3, time()),
  lastTransitionTime: optional(4, time()),
  reason: optional(5, string()),
  message: optional(6, string()),
})
export interface JobCondition extends Infer<typeof jobCondition> {}
const uncountedTerminatedPods = object(`${BATCH}UncountedTerminatedPods`, {
  succeeded: optional(1, array(string(), { listType: 'set' })),
  failed: optional(2, array(string(), { listType: 'set' })),
})
export const jobStatus = object(`${BATCH}JobStatus`, {
  conditions: optional(1, array(jobCondition, { listType: 'atomic', patchStrategy: 'merge', patchMergeKey: 'type' })),
  startTime: optional(2, time()),
  completionTime: optional(3, time()),
  active: optional(4, int32()),
  succeeded: optional(5, int32()),
  failed: optional(6, int32()),
  completedIndexes: optional(7, string()),
  uncountedTerminatedPods: optional(8, uncountedTerminatedPods),
  ready: optional(9, int32()),
  failedIndexes: optional(10, string()),
  terminating: optional(11, int32()),
})
export interface JobStatus extends Infer<typeof jobStatus> {}
const schema = kindSchema(`${BATCH}Job`, { spec: struct(2, jobSpec), status: struct(3, jobStatus) })
export interface Job extends ObjectOf<typeof schema> {}

/** Job defaults (batch/v1): one completion unless parallelism is given alone (a work queue), six retries. */
export function setJobSpecDefaults(spec: Draft<JobSpec>): void {
  if (spec.completions === undefined && spec.parallelism === undefined) {
    spec.completions = 1
    spec.parallelism = 1
  }
  spec.parallelism ??= 1
  if (spec.backoffLimit === undefined) spec.backoffLimit = spec.backoffLimitPerIndex === undefined ? 6 : 2147483647
  spec.completionMode ??= 'NonIndexed'
  spec.suspend ??= false
  spec.manualSelector ??= false
  spec.podReplacementPolicy ??= spec.podFailurePolicy === undefined ? 'TerminatingOrFailed' : 'Failed'
  for (const rule of spec.podFailurePolicy?.rules ?? [])
    for (const pattern of rule.onPodConditions ?? []) pattern.status ??= 'True'
  setPodTemplateDefaults(spec.template)
}

const hasCondition = (job: Job, type: string) =>
  job.status.conditions?.some((c) => c.type === type && c.status === 'True') ?? false
function statusCell(job: Job): string {
  if (hasCondition(job, 'Complete')) return 'Complete'
  if (hasCondition(job, 'Failed')) return 'Failed'
  if (job.metadata.deletionTimestamp !== undefined) return 'Terminating'
  if (hasCondition(job, 'Suspended')) return 'Suspended'
  if (hasCondition(job, 'FailureTarget')) return 'FailureTarget'
  if (hasCondition(job, 'SuccessCriteriaMet')) return 'SuccessCriteriaMet'
  return 'Running'
}

/** The labels that a Job puts on its pods, the current and the old form. */
export const jobNameLabel = 'batch.kubernetes.io/job-name'
export const controllerUidLabel = 'batch.kubernetes.io/controller-uid'

export const jobs = defineKind<Job>({
  group: 'batch',
  version: 'v1',
  kind: 'Job',
  plural: 'jobs',
  singular: 'job',
  categories: ['all'],
  namespaced: true,
  schema,
  storagePrefix: '/registry/jobs',
  subresources: { status: true },
  generation: true,
  unconditionalUpdate: true,
  selectableFields: { 'status.successful': (j) => String(j.status.succeeded ?? 0) },
  table: {
    columns: [
      { name: 'Name', type: 'string', format: 'name' },
      { name: 'Status', type: 'string' },
      { name: 'Completions', type: 'string' },
      { name: 'Duration', type: 'string' },
      { name: 'Age', type: 'string' },
      { name: 'Containers', type: 'string', priority: 1 },
      { name: 'Images', type: 'string', priority: 1 },
      { name: 'Selector', type: 'string', priority: 1 },
    ],
    row: (j, nowMs) => [
      j.metadata.name,
      statusCell(j),
      completionsOf(j),
      j.status.startTime === undefined ? '' : durationCell(j.status.startTime, j.status.completionTime, nowMs),
      ageCell(j.metadata.creationTimestamp, nowMs),
      j.spec.template.spec?.containers.map((c) => c.name).join(',') ?? '',
      j.spec.template.spec?.containers.map((c) => c.image ?? '').join(',') ?? '',
      formatLabelSelector(j.spec.selector),
    ],
  },
  setDefaults: (draft) => {
    setJobSpecDefaults(draft.spec)
    if (draft.metadata.labels === undefined && draft.spec.template.metadata?.labels !== undefined)
      draft.metadata.labels = { ...draft.spec.template.metadata.labels }
  },
  prepareForCreate: (draft) => {
    draft.status = {}
    draft.metadata.generation = 1
    generateSelector(draft)
  },
  validate: (j) => validateJob(j),
  validateUpdate: validateJobUpdate,
  validateStatusUpdate: validateJobStatusUpdate,
  gracePeriodSeconds: () => 0,
})

/** Unless manualSelector is set, a Job selects its pods by its own UID, under the old and the new label names. */
function generateSelector(draft: Draft<Job>): void {
  if (draft.spec.manualSelector === true || draft.metadata.uid === undefined) return
  const template = draft.spec.template
  template.metadata ??= {}
  const labels = (template.metadata.labels ??= {})
  for (const key of ['controller-uid', controllerUidLabel]) labels[key] ??= draft.metadata.uid
  for (const key of ['job-name', jobNameLabel]) labels[key] ??= draft.metadata.name
  draft.spec.selector ??= {}
  draft.spec.selector.matchLabels ??= {}
  draft.spec.selector.matchLabels[controllerUidLabel] ??= draft.metadata.uid
}
