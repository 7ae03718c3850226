// audit.k8s.io/v1 Policy: what of a request is written to the audit log. A file, not an object of the API.
// (https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/)
import type { ConfigKind } from '../machinery/config-file.ts'
import { type FieldError, invalidField, notSupportedField, requiredField } from '../machinery/errors.ts'
import { array, boolean, type Infer, object, optional, string } from '../machinery/schema.ts'

const words = () => optional(0, array(string()))
const policyRule = object('', {
  level: optional(0, string()),
  users: words(),
  userGroups: words(),
  verbs: words(),
  resources: optional(
    0,
    array(object('', { group: optional(0, string()), resources: words(), resourceNames: words() })),
  ),
  namespaces: words(),
  nonResourceURLs: words(),
  omitStages: words(),
  omitManagedFields: optional(0, boolean()),
})
const schema = object('', {
  apiVersion: optional(0, string()),
  kind: optional(0, string()),
  metadata: optional(0, object('', { name: optional(0, string()) })),
  rules: optional(0, array(policyRule)),
  omitStages: words(),
  omitManagedFields: optional(0, boolean()),
})
export type AuditPolicy = Infer<typeof schema>
export type AuditPolicyRule = Infer<typeof policyRule>

const levels = ['None', 'Metadata', 'Request', 'RequestResponse']
const stages = ['RequestReceived', 'ResponseStarted', 'ResponseComplete', 'Panic']

export const auditPolicies: ConfigKind<AuditPolicy> = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  schema,
  validate: ({ rules = [], omitStages }) => [
    ...(rules.length === 0 ? [requiredField('rules', 'a policy without rules writes nothing')] : []),
    ...rules.flatMap((rule, i) => validateRule(rule, `rules[${i}]`)),
    ...(omitStages ?? []).flatMap((stage, i) => validateStage(stage, `omitStages[${i}]`)),
  ],
}
const validateStage = (stage: string, at: string): FieldError[] =>
  stages.includes(stage) ? [] : [notSupportedField(at, stage, stages)]

function validateRule(rule: AuditPolicyRule, at: string): FieldError[] {
  const errors: FieldError[] = []
  const { level = '' } = rule
  if (level === '') errors.push(requiredField(`${at}.level`))
  else if (!levels.includes(level)) errors.push(notSupportedField(`${at}.level`, level, levels))
  const urls = rule.nonResourceURLs ?? []
  if (urls.length > 0 && ((rule.resources ?? []).length > 0 || (rule.namespaces ?? []).length > 0))
    errors.push(
      invalidField(
        `${at}.nonResourceURLs`,
        [...urls],
        'rules cannot apply to both regular resources and non-resource URLs',
      ),
    )
  urls.forEach((url, j) => {
    const here = `${at}.nonResourceURLs[${j}]`
    if (url !== '*' && !url.startsWith('/'))
      errors.push(invalidField(here, url, 'non-resource URL rules must begin with a "/" character'))
    if (url !== '*' && url.slice(0, -1).includes('*'))
      errors.push(invalidField(here, url, 'non-resource URL wildcards "*" must be the final character of the rule'))
  })
  rule.resources?.forEach(({ group = '', resources, resourceNames }, j) => {
    const here = `${at}.resources[${j}]`
    if (group !== '' && !/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(group))
      errors.push(invalidField(`${here}.group`, group, 'a group is a DNS subdomain, without a version'))
    if ((resourceNames ?? []).length > 0 && (resources ?? []).length === 0)
      errors.push(
        invalidField(
          `${here}.resourceNames`,
          [...(resourceNames ?? [])],
          'using resourceNames requires at least one resource',
        ),
      )
  })
  rule.omitStages?.forEach((stage, j) => errors.push(...validateStage(stage, `${at}.omitStages[${j}]`)))
  return errors
}
