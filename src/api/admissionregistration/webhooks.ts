// admissionregistration.k8s.io/v1 Mutating- and ValidatingWebhookConfiguration.
import { ageCell } from '../machinery/age.ts'
import { type FieldError, duplicateField, invalidField, notSupportedField, requiredField } from '../machinery/errors.ts'
import { defineKind, type TableDefinition } from '../machinery/kind.ts'
import { kindSchema, labelSelector, type ObjectOf } from '../machinery/meta.ts'
import { array, bytes, type Draft, type Infer, int32, object, optional, required, string } from '../machinery/schema.ts'
import { isDns1123Subdomain, validateLabelSelector } from '../machinery/validation.ts'
import { validateClientConfig } from './client-config.ts'
import { ADMISSION, matchConditionList, ruleWithOperations, validateMatchConditions, validateRule } from './match.ts'

const words = () => array(string(), { listType: 'atomic' })
export const webhookClientConfig = object(`${ADMISSION}WebhookClientConfig`, {
  service: optional(
    1,
    object(`${ADMISSION}ServiceReference`, {
      namespace: required(1, string()),
      name: required(2, string()),
      path: optional(3, string()),
      port: optional(4, int32()),
    }),
  ),
  caBundle: optional(2, bytes()),
  url: optional(3, string()),
})
export interface WebhookClientConfig extends Infer<typeof webhookClientConfig> {}
const shared = {
  name: required(1, string()),
  clientConfig: required(2, webhookClientConfig),
  rules: optional(3, array(ruleWithOperations, { listType: 'atomic' })),
  failurePolicy: optional(4, string()),
  namespaceSelector: optional(5, labelSelector),
  sideEffects: required(6, string(), { pointer: true }),
  timeoutSeconds: optional(7, int32()),
  admissionReviewVersions: required(8, words()),
  matchPolicy: optional(9, string()),
} as const
export const mutatingWebhook = object(`${ADMISSION}MutatingWebhook`, {
  ...shared,
  reinvocationPolicy: optional(10, string()),
  objectSelector: optional(11, labelSelector),
  matchConditions: optional(12, matchConditionList()),
})
export interface MutatingWebhook extends Infer<typeof mutatingWebhook> {}
export const validatingWebhook = object(`${ADMISSION}ValidatingWebhook`, {
  ...shared,
  objectSelector: optional(10, labelSelector),
  matchConditions: optional(11, matchConditionList()),
})
export interface ValidatingWebhook extends Infer<typeof validatingWebhook> {}
const byName = { listType: 'map', listMapKeys: ['name'], patchStrategy: 'merge', patchMergeKey: 'name' } as const
const mutatingSchema = kindSchema(`${ADMISSION}MutatingWebhookConfiguration`, {
  webhooks: optional(2, array(mutatingWebhook, byName)),
})
const validatingSchema = kindSchema(`${ADMISSION}ValidatingWebhookConfiguration`, {
  webhooks: optional(2, array(validatingWebhook, byName)),
})
export interface MutatingWebhookConfiguration extends ObjectOf<typeof mutatingSchema> {}
export interface ValidatingWebhookConfiguration extends ObjectOf<typeof validatingSchema> {}

function setWebhookDefaults(w: Draft<ValidatingWebhook | MutatingWebhook>): void {
  w.failurePolicy ??= 'Fail'
  w.matchPolicy ??= 'Equivalent'
  w.namespaceSelector ??= {}
  w.objectSelector ??= {}
  w.timeoutSeconds ??= 10
  if (w.clientConfig.service !== undefined) w.clientConfig.service.port ??= 443
  for (const rule of w.rules ?? []) rule.scope ??= '*'
  if ('reinvocationPolicy' in w) w.reinvocationPolicy ??= 'Never'
}

function validateWebhook(w: ValidatingWebhook | MutatingWebhook, at: string): FieldError[] {
  const errors: FieldError[] = []
  if (w.name.split('.').length < 3)
    errors.push(invalidField(`${at}.name`, w.name, 'should be a domain with at least three segments separated by dots'))
  else for (const m of isDns1123Subdomain(w.name)) errors.push(invalidField(`${at}.name`, w.name, m))
  const versions = w.admissionReviewVersions
  if (versions.length === 0)
    errors.push(requiredField(`${at}.admissionReviewVersions`, 'must specify one of v1, v1beta1'))
  else if (!versions.some((v) => v === 'v1' || v === 'v1beta1'))
    errors.push(invalidField(`${at}.admissionReviewVersions`, versions, 'must include at least one of v1, v1beta1'))
  versions.forEach((v, i) => {
    if (versions.indexOf(v) < i) errors.push(duplicateField(`${at}.admissionReviewVersions[${i}]`, v))
  })
  w.rules?.forEach((r, i) => errors.push(...validateRule(r, `${at}.rules[${i}]`)))
  if (!['Fail', 'Ignore'].includes(w.failurePolicy ?? ''))
    errors.push(notSupportedField(`${at}.failurePolicy`, w.failurePolicy, ['Fail', 'Ignore']))
  if (!['Equivalent', 'Exact'].includes(w.matchPolicy ?? ''))
    errors.push(notSupportedField(`${at}.matchPolicy`, w.matchPolicy, ['Equivalent', 'Exact']))
  if (!['None', 'NoneOnDryRun'].includes(w.sideEffects))
    errors.push(notSupportedField(`${at}.sideEffects`, w.sideEffects, ['None', 'NoneOnDryRun']))
  if (w.timeoutSeconds !== undefined && (w.timeoutSeconds < 1 || w.timeoutSeconds > 30))
    errors.push(
      invalidField(`${at}.timeoutSeconds`, w.timeoutSeconds, 'the timeout value must be between 1 and 30 seconds'),
    )
  if (w.namespaceSelector !== undefined)
    errors.push(...validateLabelSelector(w.namespaceSelector, `${at}.namespaceSelector`))
  if (w.objectSelector !== undefined) errors.push(...validateLabelSelector(w.objectSelector, `${at}.objectSelector`))
  errors.push(...validateMatchConditions(w.matchConditions ?? [], `${at}.matchConditions`))
  if ('reinvocationPolicy' in w && !['IfNeeded', 'Never'].includes(w.reinvocationPolicy ?? ''))
    errors.push(notSupportedField(`${at}.reinvocationPolicy`, w.reinvocationPolicy, ['IfNeeded', 'Never']))
  errors.push(...validateClientConfig(w.clientConfig, `${at}.clientConfig`))
  return errors
}

function validateAll(webhooks: readonly (ValidatingWebhook | MutatingWebhook)[]): FieldError[] {
  return webhooks.flatMap((w, i) => [
    ...validateWebhook(w, `webhooks[${i}]`),
    ...(webhooks.findIndex((o) => o.name === w.name) < i ? [duplicateField(`webhooks[${i}].name`, w.name)] : []),
  ])
}

const table = <T extends MutatingWebhookConfiguration | ValidatingWebhookConfiguration>(): TableDefinition<T> => ({
  columns: [
    { name: 'Name', type: 'string', format: 'name' },
    { name: 'Webhooks', type: 'integer' },
    { name: 'Age', type: 'string' },
  ],
  row: (o, nowMs) => [o.metadata.name, o.webhooks?.length ?? 0, ageCell(o.metadata.creationTimestamp, nowMs)],
})
const common = {
  group: 'admissionregistration.k8s.io',
  version: 'v1',
  categories: ['api-extensions'],
  namespaced: false,
  generation: true,
  unconditionalUpdate: true,
} as const

export const mutatingWebhookConfigurations = defineKind<MutatingWebhookConfiguration>({
  ...common,
  kind: 'MutatingWebhookConfiguration',
  plural: 'mutatingwebhookconfigurations',
  singular: 'mutatingwebhookconfiguration',
  schema: mutatingSchema,
  storagePrefix: '/registry/mutatingwebhookconfigurations',
  table: table(),
  setDefaults: (draft) => {
    for (const w of draft.webhooks ?? []) {
      w.reinvocationPolicy ??= 'Never'
      setWebhookDefaults(w)
    }
  },
  validate: (o) => validateAll(o.webhooks ?? []),
})
export const validatingWebhookConfigurations = defineKind<ValidatingWebhookConfiguration>({
  ...common,
  kind: 'ValidatingWebhookConfiguration',
  plural: 'validatingwebhookconfigurations',
  singular: 'validatingwebhookconfiguration',
  schema: validatingSchema,
  storagePrefix: '/registry/validatingwebhookconfigurations',
  table: table(),
  setDefaults: (draft) => {
    for (const w of draft.webhooks ?? []) setWebhookDefaults(w)
  },
  validate: (o) => validateAll(o.webhooks ?? []),
})
