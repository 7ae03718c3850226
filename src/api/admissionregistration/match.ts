// admissionregistration.k8s.io: what webhooks and policies share, namely which requests they want to see.
import { type FieldError, duplicateField, invalidField, notSupportedField, requiredField } from '../machinery/errors.ts'
import { assignable, bool, type CelType, printType } from '../machinery/cel/types.ts'
import { labelSelector } from '../machinery/meta.ts'
import { array, type Draft, type Infer, object, optional, required, string } from '../machinery/schema.ts'
import { compileExpression, type ExpressionScope } from './expressions.ts'
import { isQualifiedName, validateLabelSelector } from '../machinery/validation.ts'

export const ADMISSION = 'io.k8s.api.admissionregistration.v1.'
const words = () => array(string(), { listType: 'atomic' })
const byName = { listType: 'map', listMapKeys: ['name'], patchStrategy: 'merge', patchMergeKey: 'name' } as const

/** Definitions exist once per API version under different names, so each is a function of the prefix. */
export const ruleWithOperationsFor = (prefix: string) =>
  object(`${prefix}RuleWithOperations`, {
    operations: optional(1, words()),
    apiGroups: optional(1, words(), { within: [2] }),
    apiVersions: optional(2, words(), { within: [2] }),
    resources: optional(3, words(), { within: [2] }),
    scope: optional(4, string(), { within: [2] }),
  })
export const ruleWithOperations = ruleWithOperationsFor(ADMISSION)
export interface RuleWithOperations extends Infer<typeof ruleWithOperations> {}
export const namedRuleFor = (prefix: string) =>
  object(
    `${prefix}NamedRuleWithOperations`,
    {
      resourceNames: optional(1, words()),
      operations: optional(1, words(), { within: [2] }),
      apiGroups: optional(1, words(), { within: [2, 2] }),
      apiVersions: optional(2, words(), { within: [2, 2] }),
      resources: optional(3, words(), { within: [2, 2] }),
      scope: optional(4, string(), { within: [2, 2] }),
    },
    { mapType: 'atomic' },
  )
export const matchResourcesFor = (prefix: string) => {
  const namedRule = namedRuleFor(prefix)
  return object(
    `${prefix}MatchResources`,
    {
      namespaceSelector: optional(1, labelSelector),
      objectSelector: optional(2, labelSelector),
      resourceRules: optional(3, array(namedRule, { listType: 'atomic' })),
      excludeResourceRules: optional(4, array(namedRule, { listType: 'atomic' })),
      matchPolicy: optional(7, string()),
    },
    { mapType: 'atomic' },
  )
}
export const matchResources = matchResourcesFor(ADMISSION)
export interface MatchResources extends Infer<typeof matchResources> {}
export const matchConditionFor = (prefix: string) =>
  object(`${prefix}MatchCondition`, { name: required(1, string()), expression: required(2, string()) })
export const matchCondition = matchConditionFor(ADMISSION)
export interface MatchCondition extends Infer<typeof matchCondition> {}
export const matchConditionList = () => array(matchCondition, byName)
export const paramKindFor = (prefix: string) =>
  object(
    `${prefix}ParamKind`,
    { apiVersion: optional(1, string()), kind: optional(2, string()) },
    { mapType: 'atomic' },
  )
export const paramRefFor = (prefix: string) =>
  object(
    `${prefix}ParamRef`,
    {
      name: optional(1, string()),
      namespace: optional(2, string()),
      selector: optional(3, labelSelector),
      parameterNotFoundAction: optional(4, string()),
    },
    { mapType: 'atomic' },
  )
export const variableFor = (prefix: string) =>
  object(
    `${prefix}Variable`,
    { name: required(1, string()), expression: required(2, string()) },
    prefix.endsWith('.v1alpha1.') ? {} : { mapType: 'atomic' },
  )

export function defaultMatchResources(match: Draft<MatchResources>): void {
  match.matchPolicy ??= 'Equivalent'
  match.namespaceSelector ??= {}
  match.objectSelector ??= {}
  for (const rule of [...(match.resourceRules ?? []), ...(match.excludeResourceRules ?? [])]) rule.scope ??= '*'
}

const operations = ['*', 'CONNECT', 'CREATE', 'DELETE', 'UPDATE']
export function validateRule(rule: RuleWithOperations, at: string): FieldError[] {
  const errors: FieldError[] = []
  const star = (name: 'operations' | 'apiGroups' | 'apiVersions' | 'resources', text: string) => {
    const values = rule[name] ?? []
    if (values.length === 0) errors.push(requiredField(`${at}.${name}`))
    else if (values.length > 1 && values.includes('*')) errors.push(invalidField(`${at}.${name}`, values, text))
  }
  star('operations', "if '*' is present, must not specify other operations")
  rule.operations?.forEach((o, i) => {
    if (!operations.includes(o)) errors.push(notSupportedField(`${at}.operations[${i}]`, o, operations))
  })
  star('apiGroups', "if '*' is present, must not specify other API groups")
  star('apiVersions', "if '*' is present, must not specify other API versions")
  rule.apiVersions?.forEach((v, i) => {
    if (v === '') errors.push(requiredField(`${at}.apiVersions[${i}]`))
  })
  if ((rule.resources ?? []).length === 0) errors.push(requiredField(`${at}.resources`))
  const scopes = ['*', 'Cluster', 'Namespaced']
  if (rule.scope !== undefined && !scopes.includes(rule.scope))
    errors.push(notSupportedField(`${at}.scope`, rule.scope, scopes))
  return errors
}

/** An expression that is there and compiles. */
export function validateExpression(
  expression: string,
  scope: ExpressionScope,
  at: string,
  result?: CelType | readonly CelType[],
): FieldError[] {
  if (expression.trim() === '') return [requiredField(at, 'expression is not specified')]
  const compiled = compileExpression(expression, scope)
  if (!compiled.ok) return [invalidField(at, expression, `compilation failed: ${compiled.error}`)]
  if (result === undefined) return []
  const wanted = (Array.isArray(result) ? result : [result]) as readonly CelType[]
  if (wanted.some((type) => assignable(type, compiled.program.type, new Map()))) return []
  return [invalidField(at, expression, `must evaluate to ${wanted.map(printType).join(' or ')}`)]
}

export function validateMatchConditions(
  conditions: readonly MatchCondition[],
  at: string,
  scope: ExpressionScope = {},
): FieldError[] {
  const errors: FieldError[] = []
  if (conditions.length > 64)
    errors.push({
      type: 'FieldValueTooMany',
      field: at,
      message: `Too many: ${conditions.length}: must have at most 64 items`,
    })
  conditions.forEach((c, i) => {
    if (c.name === '') errors.push(requiredField(`${at}[${i}].name`))
    else for (const m of isQualifiedName(c.name)) errors.push(invalidField(`${at}[${i}].name`, c.name, m))
    errors.push(...validateExpression(c.expression, scope, `${at}[${i}].expression`, bool))
    if (conditions.findIndex((o) => o.name === c.name) < i) errors.push(duplicateField(`${at}[${i}].name`, c.name))
  })
  return errors
}

export function validateMatchResources(match: MatchResources, at: string): FieldError[] {
  const errors: FieldError[] = []
  if (match.namespaceSelector !== undefined)
    errors.push(...validateLabelSelector(match.namespaceSelector, `${at}.namespaceSelector`))
  if (match.objectSelector !== undefined)
    errors.push(...validateLabelSelector(match.objectSelector, `${at}.objectSelector`))
  if (match.matchPolicy !== undefined && !['Equivalent', 'Exact'].includes(match.matchPolicy))
    errors.push(notSupportedField(`${at}.matchPolicy`, match.matchPolicy, ['Equivalent', 'Exact']))
  match.resourceRules?.forEach((r, i) => errors.push(...validateRule(r, `${at}.resourceRules[${i}]`)))
  match.excludeResourceRules?.forEach((r, i) => errors.push(...validateRule(r, `${at}.excludeResourceRules[${i}]`)))
  return errors
}
