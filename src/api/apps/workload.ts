// What the workloads of apps/v1 share: a selector, a template that carries it, counts, and strategies by number or percent.
import { type FieldError, invalidField, notSupportedField, requiredField } from '../machinery/errors.ts'
import { semanticEqual } from '../machinery/equal.ts'
import { labelSelectorMatcher } from '../machinery/labels.ts'
import type { LabelSelector } from '../machinery/meta.ts'
import { array, type FieldOptions, intOrString, object, optional, required, string, time } from '../machinery/schema.ts'
import {
  immutableField,
  validateIntOrPercent,
  validateLabelSelector,
  validateNonNegative,
} from '../machinery/validation.ts'
import type { PodTemplateSpec } from '../core/pod-template.ts'
import { validatePodTemplateSpec } from '../core/pod-validation.ts'
import { listByKey, text } from '../core/scalars.ts'
import { shown } from '../core/selector-validation.ts'

export const APPS = 'io.k8s.api.apps.v1.'
/** A list of conditions; Deployment's carry lastUpdateTime as well. */
export const conditions = (name: string) =>
  array(
    object(`${APPS}${name}`, {
      type: required(1, string()),
      status: required(2, string()),
      lastTransitionTime: optional(3, time()),
      reason: text(4),
      message: text(5),
    }),
    listByKey('type'),
  )
export const amount = (tag: number, options: FieldOptions = {}) => optional(tag, intOrString(), options)

export interface WorkloadSpec {
  readonly replicas?: number | undefined
  readonly minReadySeconds?: number | undefined
  readonly revisionHistoryLimit?: number | undefined
  readonly selector: LabelSelector
  readonly template?: PodTemplateSpec | undefined
}

const isEmpty = (selector: LabelSelector) =>
  Object.keys(selector.matchLabels ?? {}).length === 0 && (selector.matchExpressions ?? []).length === 0

/** Selector, template and counts; pods of these controllers are always restarted. */
export function validateWorkload(spec: WorkloadSpec, kind: string): FieldError[] {
  const errors: FieldError[] = []
  for (const name of ['replicas', 'minReadySeconds', 'revisionHistoryLimit'] as const) {
    const value = spec[name]
    if (value !== undefined) errors.push(...validateNonNegative(value, `spec.${name}`))
  }
  if (spec.selector === undefined) errors.push(requiredField('spec.selector'))
  else {
    errors.push(...validateLabelSelector(spec.selector, 'spec.selector'))
    if (isEmpty(spec.selector))
      errors.push(invalidField('spec.selector', shown(spec.selector), `empty selector is invalid for ${kind}`))
  }
  const template = spec.template
  if (template === undefined) return [...errors, requiredField('spec.template')]
  const labels = template.metadata.labels ?? {}
  if (
    spec.selector !== undefined &&
    !isEmpty(spec.selector) &&
    errors.length === 0 &&
    !labelSelectorMatcher(spec.selector)(labels)
  )
    errors.push(
      invalidField('spec.template.metadata.labels', shown(labels), '`selector` does not match template `labels`'),
    )
  errors.push(...validatePodTemplateSpec(template, 'spec.template'))
  const policy = template.spec?.restartPolicy
  if (policy !== 'Always') errors.push(notSupportedField('spec.template.spec.restartPolicy', policy, ['Always']))
  if (template.spec?.activeDeadlineSeconds !== undefined)
    errors.push({
      type: 'FieldValueForbidden',
      field: 'spec.template.spec.activeDeadlineSeconds',
      message: `Forbidden: activeDeadlineSeconds in ${kind} is not Supported`,
    })
  return errors
}

/** The selector of an apps/v1 workload never changes. */
export const selectorUnchanged = (next: WorkloadSpec, old: WorkloadSpec): readonly FieldError[] =>
  immutableField('spec.selector', shown(next.selector), semanticEqual(shown(next.selector), shown(old.selector)))

const isZero = (value: number | string | undefined): boolean =>
  value === undefined || Number.parseInt(String(value), 10) === 0

/** maxSurge and maxUnavailable: each an amount, not both zero, no more than everything unavailable. */
export function validateRollingUpdate(
  update: { readonly maxSurge?: number | string | undefined; readonly maxUnavailable?: number | string | undefined },
  path: string,
  bothZero: string,
): FieldError[] {
  const errors: FieldError[] = []
  const { maxSurge, maxUnavailable } = update
  if (maxUnavailable !== undefined) errors.push(...validateIntOrPercent(maxUnavailable, `${path}.maxUnavailable`))
  if (maxSurge !== undefined) errors.push(...validateIntOrPercent(maxSurge, `${path}.maxSurge`))
  if (typeof maxUnavailable === 'string' && Number.parseInt(maxUnavailable, 10) > 100)
    errors.push(invalidField(`${path}.maxUnavailable`, maxUnavailable, 'must not be greater than 100%'))
  if (isZero(maxUnavailable) && isZero(maxSurge))
    errors.push(invalidField(`${path}.maxUnavailable`, shown(maxUnavailable ?? 0), bothZero))
  return errors
}

/** Counts of a status that may not be negative, nor larger than the count they are a part of. */
export function validateCounts(status: object, names: readonly string[]): FieldError[] {
  const counts = status as Readonly<Record<string, unknown>>
  return names.flatMap((name) => {
    const value = counts[name]
    return typeof value === 'number' ? validateNonNegative(value, `status.${name}`) : []
  })
}
