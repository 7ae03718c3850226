// batch/v1 CronJob: Jobs by the clock.
import { ageCell } from '../machinery/age.ts'
import { type FieldError, invalidField, notSupportedField, requiredField } from '../machinery/errors.ts'
import { defineKind } from '../machinery/kind.ts'
import { oldVersion } from '../machinery/old-version.ts'
import { kindSchema, objectMeta, type ObjectOf } from '../machinery/meta.ts'
import {
  array,
  boolean,
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
import { validateNonNegative } from '../machinery/validation.ts'
import { formatLabelSelector } from '../machinery/labels.ts'
import { objectReference } from '../core/references.ts'
import { parseCronSchedule } from './cron-schedule.ts'
import { jobSpec, setJobSpecDefaults } from './job.ts'
import { validateJobSpec } from './job-validation.ts'

const BATCH = 'io.k8s.api.batch.v1.'
export const jobTemplateSpec = object(`${BATCH}JobTemplateSpec`, {
  metadata: struct(1, objectMeta),
  spec: struct(2, jobSpec),
})
export const cronJobSpec = object(`${BATCH}CronJobSpec`, {
  schedule: required(1, string()),
  startingDeadlineSeconds: optional(2, int64()),
  concurrencyPolicy: optional(3, string()),
  suspend: optional(4, boolean()),
  jobTemplate: required(5, jobTemplateSpec),
  successfulJobsHistoryLimit: optional(6, int32()),
  failedJobsHistoryLimit: optional(7, int32()),
  timeZone: optional(8, string()),
})
export interface CronJobSpec extends Infer<typeof cronJobSpec> {}
export const cronJobStatus = object(`${BATCH}CronJobStatus`, {
  active: optional(1, array(objectReference, { listType: 'atomic' })),
  lastScheduleTime: optional(4, time()),
  lastSuccessfulTime: optional(5, time()),
})
const schema = kindSchema(`${BATCH}CronJob`, {
  spec: struct(2, cronJobSpec, { listed: true }),
  status: struct(3, cronJobStatus),
})
export interface CronJob extends ObjectOf<typeof schema> {}

const policies = ['Allow', 'Forbid', 'Replace']

function validTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en-US', { timeZone: name })
    return true
  } catch (error) {
    if (error instanceof RangeError) return false
    throw error
  }
}

function validate(cron: CronJob): FieldError[] {
  const { spec } = cron
  const errors: FieldError[] = []
  if (spec.schedule === '') errors.push(requiredField('spec.schedule'))
  else {
    const parsed = parseCronSchedule(spec.schedule)
    if (!parsed.ok) errors.push(invalidField('spec.schedule', spec.schedule, parsed.error))
    if (/TZ/.test(spec.schedule)) {
      if (spec.timeZone !== undefined)
        errors.push(
          invalidField('spec.schedule', spec.schedule, 'cannot use both timeZone field and TZ or CRON_TZ in schedule'),
        )
      else
        errors.push(
          invalidField(
            'spec.schedule',
            spec.schedule,
            'cannot use TZ or CRON_TZ in schedule, use timeZone field instead',
          ),
        )
    }
  }
  if (spec.timeZone !== undefined) {
    if (spec.timeZone === '') errors.push(invalidField('spec.timeZone', '', 'timeZone must be nil or non-empty string'))
    else if (spec.timeZone.toLowerCase() === 'local')
      errors.push(
        invalidField(
          'spec.timeZone',
          spec.timeZone,
          'timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones',
        ),
      )
    else if (!validTimeZone(spec.timeZone))
      errors.push(invalidField('spec.timeZone', spec.timeZone, `unknown time zone ${spec.timeZone}`))
  }
  for (const name of ['startingDeadlineSeconds', 'successfulJobsHistoryLimit', 'failedJobsHistoryLimit'] as const) {
    const value = spec[name]
    if (value !== undefined) errors.push(...validateNonNegative(value, `spec.${name}`))
  }
  if (!policies.includes(spec.concurrencyPolicy ?? ''))
    errors.push(
      (spec.concurrencyPolicy ?? '') === ''
        ? requiredField('spec.concurrencyPolicy')
        : notSupportedField('spec.concurrencyPolicy', spec.concurrencyPolicy, policies),
    )
  errors.push(...validateJobSpec(spec.jobTemplate.spec, 'spec.jobTemplate.spec', { requireSelector: false }))
  if (spec.jobTemplate.spec.manualSelector === true)
    errors.push(notSupportedField('spec.jobTemplate.spec.manualSelector', true, ['nil', 'false']))
  // A Job's name is the CronJob's plus 11 characters, and must stay a label value.
  if (cron.metadata.name.length > 52)
    errors.push(invalidField('metadata.name', cron.metadata.name, 'must be no more than 52 characters'))
  return errors
}

export const cronJobs = defineKind<CronJob>({
  group: 'batch',
  version: 'v1',
  kind: 'CronJob',
  plural: 'cronjobs',
  singular: 'cronjob',
  shortNames: ['cj'],
  categories: ['all'],
  namespaced: true,
  schema,
  storagePrefix: '/registry/cronjobs',
  subresources: { status: true },
  generation: true,
  unconditionalUpdate: true,
  versions: [
    oldVersion({
      group: 'batch',
      version: 'v1beta1',
      kind: 'CronJob',
      schema,
      deprecated: 21,
      removed: 25,
      instead: 'batch/v1',
    }),
  ],
  table: {
    columns: [
      { name: 'Name', type: 'string', format: 'name' },
      { name: 'Schedule', type: 'string' },
      { name: 'Timezone', type: 'string' },
      { name: 'Suspend', type: 'boolean' },
      { name: 'Active', type: 'integer' },
      { name: 'Last Schedule', type: 'string' },
      { name: 'Age', type: 'string' },
      { name: 'Containers', type: 'string', priority: 1 },
      { name: 'Images', type: 'string', priority: 1 },
      { name: 'Selector', type: 'string', priority: 1 },
    ],
    row: (c, nowMs) => {
      const containers = c.spec.jobTemplate.spec.template.spec?.containers ?? []
      return [
        c.metadata.name,
        c.spec.schedule,
        c.spec.timeZone ?? '<none>',
        c.spec.suspend === true ? 'True' : 'False',
        c.status.active?.length ?? 0,
        c.status.lastScheduleTime === undefined ? '<none>' : ageCell(c.status.lastScheduleTime, nowMs),
        ageCell(c.metadata.creationTimestamp, nowMs),
        containers.map((x) => x.name).join(','),
        containers.map((x) => x.image ?? '').join(','),
        formatLabelSelector(c.spec.jobTemplate.spec.selector),
      ]
    },
  },
  setDefaults: ({ spec }) => {
    spec.concurrencyPolicy ??= 'Allow'
    spec.suspend ??= false
    spec.successfulJobsHistoryLimit ??= 3
    spec.failedJobsHistoryLimit ??= 1
    setJobSpecDefaults(spec.jobTemplate.spec)
  },
  prepareForCreate: (draft) => {
    draft.status = {}
  },
  validate,
})
