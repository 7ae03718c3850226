// What the apps kinds' rules have in common: the selector, the template behind it, numbers that may be percentages.
import { type FieldError, forbiddenField, invalidField, notSupportedField, requiredField } from '../machinery/errors.ts'
import { equal } from '../machinery/equal.ts'
import { parsePercent } from '../machinery/int-or-string.ts'
import { labelSelectorMatcher, SelectorError } from '../machinery/labels.ts'
import type { LabelSelector } from '../machinery/meta.ts'
import { isValidPercent, validateLabelSelector, validateNonNegative } from '../machinery/validation.ts'
import type { PodTemplateSpec } from '../core/pod-template.ts'
import { validatePodTemplateSpec } from '../core/pod-validation.ts'
import { shown } from '../core/selector-validation.ts'

const isEmpty = (selector: LabelSelector): boolean =>
  Object.keys(selector.matchLabels ?? {}).length === 0 && (selector.matchExpressions?.length ?? 0) === 0

/** The selector is there, says something, and selects the template's pods. `what` is how upstream calls the kind. */
export function validateSelectorAndTemplate(
  selector: LabelSelector | undefined,
  template: PodTemplateSpec,
  what: 'deployment' | 'statefulset' | 'daemonset',
): FieldError[] {
  const errors: FieldError[] = []
  if (selector === undefined) errors.push(requiredField('spec.selector'))
  else {
    errors.push(...validateLabelSelector(selector, 'spec.selector'))
    if (isEmpty(selector)) {
      errors.push(invalidField('spec.selector', shown(selector), `empty selector is invalid for ${what}`))
    }
    if (errors.length === 0 && !matches(selector, template)) {
      errors.push(
        invalidField(
          'spec.template.metadata.labels',
          shown(template.metadata.labels ?? {}),
          '`selector` does not match template `labels`',
        ),
      )
    }
  }
  return [...errors, ...validatePodTemplateSpec(template, 'spec.template')]
}
function matches(selector: LabelSelector, template: PodTemplateSpec): boolean {
  try {
    return labelSelectorMatcher(selector)(template.metadata.labels)
  } catch (error) {
    if (error instanceof SelectorError) return true
    throw error
  }
}

/** Pods of a workload that runs for ever are always restarted and have no deadline. */
export function validateAlwaysRunning(
  template: PodTemplateSpec,
  kind: 'ReplicaSet' | 'DaemonSet' | 'StatefulSet',
): FieldError[] {
  const errors: FieldError[] = []
  const { restartPolicy, activeDeadlineSeconds } = template.spec
  if (restartPolicy !== 'Always') {
    errors.push(notSupportedField('spec.template.spec.restartPolicy', restartPolicy, ['Always']))
  }
  if (activeDeadlineSeconds !== undefined) {
    errors.push(
      forbiddenField('spec.template.spec.activeDeadlineSeconds', `activeDeadlineSeconds in ${kind} is not Supported`),
    )
  }
  return errors
}

export function validateCounts(spec: Readonly<Record<string, unknown>>, names: readonly string[]): FieldError[] {
  return names.flatMap((name) => {
    const value = spec[name]
    return typeof value === 'number' ? validateNonNegative(value, `spec.${name}`) : []
  })
}

/** A whole number or a percentage of at most 100%. */
export function validatePortion(value: number | string, path: string): FieldError[] {
  if (typeof value === 'number') return [...validateNonNegative(value, path)]
  const errors = isValidPercent(value).map((message) => invalidField(path, value, message))
  const percent = parsePercent(value)
  if (percent !== undefined && percent > 100) errors.push(invalidField(path, value, 'must not be greater than 100%'))
  return errors
}
/** Like validatePortion, for surges, which may exceed the whole. */
export function validateSurge(value: number | string, path: string): FieldError[] {
  if (typeof value === 'number') return [...validateNonNegative(value, path)]
  return isValidPercent(value).map((message) => invalidField(path, value, message))
}
export const isZeroPortion = (value: number | string | undefined): boolean =>
  value === 0 || value === undefined || (typeof value === 'string' && parsePercent(value) === 0)

export const validateSelectorUnchanged = (
  selector: LabelSelector | undefined,
  old: LabelSelector | undefined,
): FieldError[] => (equal(selector, old) ? [] : [invalidField('spec.selector', shown(selector), 'field is immutable')])
