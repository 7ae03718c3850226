// Rules of a Job that its schema cannot say, on create, update and status update.
import {
  type FieldError,
  duplicateField,
  forbiddenField,
  invalidField,
  notSupportedField,
  requiredField,
  tooManyField,
} from '../machinery/errors.ts'
import { semanticEqual } from '../machinery/equal.ts'
import { labelSelectorMatcher } from '../machinery/labels.ts'
import { validateLabelSelector, validateNonNegative } from '../machinery/validation.ts'
import { validatePodTemplateSpec } from '../core/pod-validation.ts'
import type { Job, JobSpec, PodFailurePolicyRule } from './job.ts'

/** The Completions cell of `kubectl get jobs`: 0/3, or "0/1 of 2" for a work queue. */
export function completionsOf(job: Job): string {
  const { completions, parallelism = 0 } = job.spec
  const succeeded = job.status.succeeded ?? 0
  if (completions !== undefined) return `${succeeded}/${completions}`
  return parallelism > 1 ? `${succeeded}/1 of ${parallelism}` : `${succeeded}/1`
}

const maxParallelismWithIndexes = 100_000

function validateFailurePolicyRule(spec: JobSpec, rule: PodFailurePolicyRule, path: string): FieldError[] {
  const errors: FieldError[] = []
  const actions = ['Count', 'FailIndex', 'FailJob', 'Ignore']
  if (!actions.includes(rule.action)) errors.push(notSupportedField(`${path}.action`, rule.action, actions))
  if (rule.action === 'FailIndex' && spec.backoffLimitPerIndex === undefined)
    errors.push(invalidField(`${path}.action`, rule.action, 'requires the backoffLimitPerIndex to be set'))
  const conditions = rule.onPodConditions ?? []
  if (rule.onExitCodes !== undefined && conditions.length > 0)
    errors.push(invalidField(path, '', 'specifying both OnExitCodes and OnPodConditions is not supported'))
  if (rule.onExitCodes === undefined && conditions.length === 0)
    errors.push(invalidField(path, '', 'specifying one of OnExitCodes and OnPodConditions is required'))
  if (rule.onExitCodes !== undefined) {
    const { operator, values, containerName } = rule.onExitCodes
    const at = `${path}.onExitCodes`
    if (operator !== 'In' && operator !== 'NotIn')
      errors.push(notSupportedField(`${at}.operator`, operator, ['In', 'NotIn']))
    if (containerName !== undefined) {
      const pod = spec.template.spec
      const known = [...(pod?.containers ?? []), ...(pod?.initContainers ?? [])].some((c) => c.name === containerName)
      if (!known)
        errors.push(
          invalidField(
            `${at}.containerName`,
            containerName,
            'must be one of the container or initContainer names in the pod template',
          ),
        )
    }
    if (values.length < 1) errors.push(invalidField(`${at}.values`, values, 'at least one value is required'))
    else if (values.length > 255) errors.push(tooManyField(`${at}.values`, values.length, 255))
    values.forEach((v, i) => {
      if (operator === 'In' && v === 0)
        errors.push(invalidField(`${at}.values[${i}]`, v, 'must not be 0 for the In operator'))
      if (values.indexOf(v) < i) errors.push(duplicateField(`${at}.values[${i}]`, v))
    })
    if (values.some((v, i) => i > 0 && v < (values[i - 1] ?? v)))
      errors.push(invalidField(`${at}.values`, values, 'must be ordered'))
  }
  conditions.forEach((c, i) => {
    if (c.status !== undefined && !['True', 'False', 'Unknown'].includes(c.status))
      errors.push(notSupportedField(`${path}.onPodConditions[${i}].status`, c.status, ['False', 'True', 'Unknown']))
  })
  return errors
}

/** The checks of a JobSpec, shared with a CronJob's template. `path` is spec or spec.jobTemplate.spec. */
export function validateJobSpec(
  spec: JobSpec,
  path: string,
  options: { readonly requireSelector: boolean },
): FieldError[] {
  const errors: FieldError[] = []
  const numbers = [
    'parallelism',
    'completions',
    'activeDeadlineSeconds',
    'backoffLimit',
    'ttlSecondsAfterFinished',
    'backoffLimitPerIndex',
    'maxFailedIndexes',
  ] as const
  for (const name of numbers) {
    const value = spec[name]
    if (value !== undefined) errors.push(...validateNonNegative(value, `${path}.${name}`))
  }
  if (spec.backoffLimitPerIndex !== undefined && spec.completionMode !== 'Indexed')
    errors.push(
      invalidField(`${path}.backoffLimitPerIndex`, spec.backoffLimitPerIndex, 'requires indexed completion mode'),
    )
  if (spec.maxFailedIndexes !== undefined) {
    if (spec.backoffLimitPerIndex === undefined)
      errors.push(requiredField(`${path}.backoffLimitPerIndex`, 'when maxFailedIndexes is specified'))
    if (spec.completions !== undefined && spec.maxFailedIndexes > spec.completions)
      errors.push(
        invalidField(`${path}.maxFailedIndexes`, spec.maxFailedIndexes, 'must be less than or equal to completions'),
      )
  }
  if (spec.completionMode !== undefined) {
    if (spec.completionMode !== 'NonIndexed' && spec.completionMode !== 'Indexed')
      errors.push(notSupportedField(`${path}.completionMode`, spec.completionMode, ['Indexed', 'NonIndexed']))
    if (spec.completionMode === 'Indexed') {
      if (spec.completions === undefined)
        errors.push(requiredField(`${path}.completions`, 'when completion mode is Indexed'))
      if ((spec.parallelism ?? 0) > maxParallelismWithIndexes)
        errors.push(
          invalidField(
            `${path}.parallelism`,
            spec.parallelism,
            'must be less than or equal to 100000 when completion mode is Indexed',
          ),
        )
    }
  }
  spec.podFailurePolicy?.rules.forEach((rule, i) =>
    errors.push(...validateFailurePolicyRule(spec, rule, `${path}.podFailurePolicy.rules[${i}]`)),
  )
  if (spec.podFailurePolicy !== undefined && spec.podFailurePolicy.rules.length > 20)
    errors.push(tooManyField(`${path}.podFailurePolicy.rules`, spec.podFailurePolicy.rules.length, 20))
  if (spec.successPolicy !== undefined) errors.push(...validateSuccessPolicy(spec, `${path}.successPolicy`))
  if (spec.podReplacementPolicy !== undefined) {
    const allowed = spec.podFailurePolicy === undefined ? ['Failed', 'TerminatingOrFailed'] : ['Failed']
    if (!allowed.includes(spec.podReplacementPolicy))
      errors.push(notSupportedField(`${path}.podReplacementPolicy`, spec.podReplacementPolicy, allowed))
  }
  if (spec.selector === undefined) {
    if (options.requireSelector) errors.push(requiredField(`${path}.selector`))
  } else {
    const bad = validateLabelSelector(spec.selector, `${path}.selector`)
    errors.push(...bad)
    const labels = spec.template.metadata.labels ?? {}
    if (options.requireSelector && bad.length === 0 && !labelSelectorMatcher(spec.selector)(labels))
      errors.push(
        invalidField(`${path}.template.metadata.labels`, { ...labels }, '`selector` does not match template `labels`'),
      )
  }
  errors.push(...validatePodTemplateSpec(spec.template, `${path}.template`))
  const policy = spec.template.spec?.restartPolicy
  if (policy === 'Always' || policy === undefined)
    errors.push(requiredField(`${path}.template.spec.restartPolicy`, `valid values: "OnFailure", "Never"`))
  else if (policy !== 'OnFailure' && policy !== 'Never')
    errors.push(notSupportedField(`${path}.template.spec.restartPolicy`, policy, ['OnFailure', 'Never']))
  else if (spec.podFailurePolicy !== undefined && policy !== 'Never')
    errors.push(
      invalidField(
        `${path}.template.spec.restartPolicy`,
        policy,
        'only "Never" is supported when podFailurePolicy is specified',
      ),
    )
  return errors
}

function validateSuccessPolicy(spec: JobSpec, path: string): FieldError[] {
  const errors: FieldError[] = []
  const rules = spec.successPolicy?.rules ?? []
  if (spec.completionMode !== 'Indexed')
    errors.push(invalidField(path, spec.successPolicy as never, 'requires indexed completion mode'))
  if (rules.length === 0)
    errors.push(
      requiredField(`${path}.rules`, 'at least one rules must be specified when the successPolicy is specified'),
    )
  if (rules.length > 20) errors.push(tooManyField(`${path}.rules`, rules.length, 20))
  rules.forEach((rule, i) => {
    const at = `${path}.rules[${i}]`
    if (rule.succeededCount === undefined && rule.succeededIndexes === undefined)
      errors.push(requiredField(at, 'at least one of succeededCount or succeededIndexes must be specified'))
    if (rule.succeededIndexes !== undefined && parseIndexes(rule.succeededIndexes, spec.completions ?? 0) === undefined)
      errors.push(invalidField(`${at}.succeededIndexes`, rule.succeededIndexes, 'error parsing succeededIndexes'))
    if (rule.succeededCount !== undefined)
      errors.push(...validateNonNegative(rule.succeededCount, `${at}.succeededCount`))
  })
  return errors
}

/** "1,3-5" to [1,3,4,5]; undefined when malformed or out of [0, completions). */
export function parseIndexes(text: string, completions: number): number[] | undefined {
  if (text === '') return []
  const out: number[] = []
  let last = -1
  for (const part of text.split(',')) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(part)
    if (match === null) return undefined
    const from = Number(match[1])
    const to = match[2] === undefined ? from : Number(match[2])
    if (from <= last || to < from || to >= completions) return undefined
    for (let i = from; i <= to; i++) out.push(i)
    last = to
  }
  return out
}

export function validateJob(job: Job): FieldError[] {
  const errors = validateJobSpec(job.spec, 'spec', { requireSelector: true })
  if (job.metadata.name.length > 63 && job.spec.completionMode === 'Indexed')
    errors.push(invalidField('metadata.name', job.metadata.name, 'must be no more than 63 characters'))
  return errors
}

const suspended = (job: Job) => job.spec.suspend === true
/** Scheduling directives of the template may change while a suspended job has not started (KEP-2926). */
function templateChangeAllowed(next: Job, old: Job): boolean {
  if (!suspended(old) || old.status.startTime !== undefined) return false
  const strip = (job: Job) => {
    const { metadata, spec } = job.spec.template
    const { annotations: _a, labels: _l, ...meta } = metadata
    if (spec === undefined) return { meta }
    const { nodeSelector: _n, affinity: _f, tolerations: _t, schedulingGates: _g, ...rest } = spec
    return { meta, spec: { ...rest, containers: rest.containers.map(({ resources: _r, ...c }) => c) } }
  }
  return semanticEqual(strip(next) as never, strip(old) as never)
}

export function validateJobUpdate(next: Job, old: Job): FieldError[] {
  const errors: FieldError[] = []
  const immutable = (name: string, a: unknown, b: unknown) => {
    if (!semanticEqual(a as never, b as never))
      errors.push(invalidField(`spec.${name}`, (a ?? null) as never, 'field is immutable'))
  }
  const elastic =
    old.spec.completionMode === 'Indexed' &&
    next.spec.completions !== undefined &&
    next.spec.completions === next.spec.parallelism
  if (!elastic) immutable('completions', next.spec.completions, old.spec.completions)
  immutable('selector', next.spec.selector, old.spec.selector)
  if (!semanticEqual(next.spec.template as never, old.spec.template as never) && !templateChangeAllowed(next, old))
    errors.push(invalidField('spec.template', next.spec.template as never, 'field is immutable'))
  immutable('completionMode', next.spec.completionMode, old.spec.completionMode)
  immutable('podFailurePolicy', next.spec.podFailurePolicy, old.spec.podFailurePolicy)
  immutable('backoffLimitPerIndex', next.spec.backoffLimitPerIndex, old.spec.backoffLimitPerIndex)
  immutable('managedBy', next.spec.managedBy, old.spec.managedBy)
  immutable('successPolicy', next.spec.successPolicy, old.spec.successPolicy)
  return errors
}

const isTrue = (job: Job, type: string) =>
  job.status.conditions?.some((c) => c.type === type && c.status === 'True') ?? false

/** Status rules of KEP-4368: finished is final, and the figures must fit the conditions. */
export function validateJobStatusUpdate(next: Job, old: Job): FieldError[] {
  const errors: FieldError[] = []
  for (const name of ['active', 'ready', 'succeeded', 'failed', 'terminating'] as const) {
    const value = next.status[name]
    if (value !== undefined) errors.push(...validateNonNegative(value, `status.${name}`))
  }
  if (isTrue(next, 'Complete') && isTrue(next, 'Failed'))
    errors.push(
      invalidField(
        'status.conditions',
        next.status.conditions as never,
        'cannot set Complete=True and Failed=True conditions',
      ),
    )
  for (const type of ['Complete', 'Failed', 'FailureTarget', 'SuccessCriteriaMet'])
    if (isTrue(old, type) && !isTrue(next, type))
      errors.push(
        invalidField(
          'status.conditions',
          next.status.conditions as never,
          `cannot disable the terminal ${type}=True condition`,
        ),
      )
  if (next.status.completionTime !== undefined && !isTrue(next, 'Complete'))
    errors.push(
      invalidField(
        'status.completionTime',
        next.status.completionTime,
        'completionTime can only be set when Complete=True condition is set',
      ),
    )
  if (
    old.status.completionTime !== undefined &&
    next.status.completionTime !== old.status.completionTime &&
    isTrue(old, 'Complete')
  )
    errors.push(forbiddenField('status.completionTime', 'field is immutable once set'))
  return errors
}
