// admissionregistration.k8s.io/v1 Validating- and MutatingAdmissionPolicy with their bindings: admission in CEL, no
// webhook (KEP-3488, KEP-3962). The betas and alphas have the same shape under another definition prefix.
import { ageCell } from '../machinery/age.ts'
import { type FieldError, invalidField, notSupportedField, requiredField } from '../machinery/errors.ts'
import { sameShape } from '../machinery/versions.ts'
import { defineKind, type KindVersion, type TableDefinition } from '../machinery/kind.ts'
import { condition, kindSchema, type ObjectOf } from '../machinery/meta.ts'
import {
  array,
  type Draft,
  type Infer,
  int64,
  object,
  optional,
  required,
  string,
  struct,
} from '../machinery/schema.ts'
import { bool, type CelType, dyn, nullType, string as text } from '../machinery/cel/types.ts'
import { isQualifiedName } from '../machinery/validation.ts'
import { compileExpression, type ExpressionScope, mutationTypes } from './expressions.ts'
import {
  ADMISSION,
  defaultMatchResources,
  matchConditionFor,
  matchResourcesFor,
  paramKindFor,
  paramRefFor,
  validateExpression,
  validateMatchConditions,
  validateMatchResources,
  variableFor,
} from './match.ts'

const byName = { listType: 'map', listMapKeys: ['name'], patchStrategy: 'merge', patchMergeKey: 'name' } as const

function validatingSchemas(prefix: string) {
  const variable = variableFor(prefix)
  const spec = object(`${prefix}ValidatingAdmissionPolicySpec`, {
    paramKind: optional(1, paramKindFor(prefix)),
    matchConstraints: optional(2, matchResourcesFor(prefix)),
    validations: optional(
      3,
      array(
        object(`${prefix}Validation`, {
          expression: required(1, string()),
          message: optional(2, string()),
          reason: optional(3, string()),
          messageExpression: optional(4, string()),
        }),
        { listType: 'atomic' },
      ),
    ),
    failurePolicy: optional(4, string()),
    auditAnnotations: optional(
      5,
      array(
        object(`${prefix}AuditAnnotation`, { key: required(1, string()), valueExpression: required(2, string()) }),
        { listType: 'atomic' },
      ),
    ),
    matchConditions: optional(6, array(matchConditionFor(prefix), byName)),
    variables: optional(7, array(variable, byName)),
  })
  const status = object(`${prefix}ValidatingAdmissionPolicyStatus`, {
    observedGeneration: optional(1, int64()),
    typeChecking: optional(
      2,
      object(`${prefix}TypeChecking`, {
        expressionWarnings: optional(
          1,
          array(
            object(`${prefix}ExpressionWarning`, { fieldRef: required(2, string()), warning: required(3, string()) }),
            {
              listType: 'atomic',
            },
          ),
        ),
      }),
    ),
    conditions: optional(3, array(condition, { listType: 'map', listMapKeys: ['type'] })),
  })
  return {
    policy: kindSchema(`${prefix}ValidatingAdmissionPolicy`, { spec: struct(2, spec), status: struct(3, status) }),
    spec,
  }
}
const validatingBindingSchema = kindSchema(`${ADMISSION}ValidatingAdmissionPolicyBinding`, {
  spec: required(
    2,
    object(`${ADMISSION}ValidatingAdmissionPolicyBindingSpec`, {
      policyName: required(1, string(), { pointer: true }),
      paramRef: optional(2, paramRefFor(ADMISSION)),
      matchResources: optional(3, matchResourcesFor(ADMISSION)),
      validationActions: required(4, array(string(), { listType: 'set' })),
    }),
  ),
})
function mutatingSchemas(prefix: string) {
  const spec = object(`${prefix}MutatingAdmissionPolicySpec`, {
    paramKind: optional(1, paramKindFor(prefix)),
    matchConstraints: optional(2, matchResourcesFor(prefix)),
    variables: optional(3, array(variableFor(prefix), { listType: 'atomic' })),
    mutations: optional(
      4,
      array(
        object(`${prefix}Mutation`, {
          patchType: required(2, string()),
          applyConfiguration: optional(3, object(`${prefix}ApplyConfiguration`, { expression: optional(1, string()) })),
          jsonPatch: optional(4, object(`${prefix}JSONPatch`, { expression: optional(1, string()) })),
        }),
        { listType: 'atomic' },
      ),
    ),
    failurePolicy: optional(5, string()),
    matchConditions: optional(6, array(matchConditionFor(prefix), byName)),
    reinvocationPolicy: optional(7, string()),
  })
  return {
    spec,
    policy: kindSchema(`${prefix}MutatingAdmissionPolicy`, { spec: struct(2, spec) }),
    binding: kindSchema(`${prefix}MutatingAdmissionPolicyBinding`, {
      spec: struct(
        2,
        object(`${prefix}MutatingAdmissionPolicyBindingSpec`, {
          policyName: optional(1, string()),
          paramRef: optional(2, paramRefFor(prefix)),
          matchResources: optional(3, matchResourcesFor(prefix)),
        }),
      ),
    }),
  }
}

const validating = validatingSchemas(ADMISSION)
const mutating = mutatingSchemas(ADMISSION)
const betaMutating = mutatingSchemas('io.k8s.api.admissionregistration.v1beta1.')
const alphaMutating = mutatingSchemas('io.k8s.api.admissionregistration.v1alpha1.')
export interface ValidatingAdmissionPolicy extends ObjectOf<typeof validating.policy> {}
export interface ValidatingAdmissionPolicyBinding extends ObjectOf<typeof validatingBindingSchema> {}
export interface MutatingAdmissionPolicy extends ObjectOf<typeof mutating.policy> {}
export interface MutatingAdmissionPolicyBinding extends ObjectOf<typeof mutating.binding> {}
export interface ValidatingAdmissionPolicySpec extends Infer<typeof validating.spec> {}
export interface MutatingAdmissionPolicySpec extends Infer<typeof mutating.spec> {}

const same = (version: string, schema: KindVersion['schema']): KindVersion =>
  sameShape('admissionregistration.k8s.io', version, schema)

function defaultSpec(spec: Draft<ValidatingAdmissionPolicySpec | MutatingAdmissionPolicySpec>): void {
  spec.failurePolicy ??= 'Fail'
  if (spec.matchConstraints !== undefined) defaultMatchResources(spec.matchConstraints)
}

/** What both sorts of policy say, and what their expressions may read. */
function validateShared(spec: ValidatingAdmissionPolicySpec | MutatingAdmissionPolicySpec): {
  readonly errors: FieldError[]
  readonly scope: ExpressionScope
} {
  const errors: FieldError[] = []
  const types = new Map<string, CelType>()
  const scope: ExpressionScope = {
    params: spec.paramKind !== undefined,
    variables: types,
    mutates: 'mutations' in spec,
  }
  if (!['Fail', 'Ignore'].includes(spec.failurePolicy ?? ''))
    errors.push(notSupportedField('spec.failurePolicy', spec.failurePolicy, ['Fail', 'Ignore']))
  if (spec.paramKind !== undefined) {
    if ((spec.paramKind.apiVersion ?? '') === '') errors.push(requiredField('spec.paramKind.apiVersion'))
    if ((spec.paramKind.kind ?? '') === '') errors.push(requiredField('spec.paramKind.kind'))
  }
  if (spec.matchConstraints === undefined) errors.push(requiredField('spec.matchConstraints'))
  else {
    errors.push(...validateMatchResources(spec.matchConstraints, 'spec.matchConstraints'))
    if ((spec.matchConstraints.resourceRules ?? []).length === 0)
      errors.push(requiredField('spec.matchConstraints.resourceRules'))
  }
  errors.push(...validateMatchConditions(spec.matchConditions ?? [], 'spec.matchConditions', scope))
  spec.variables?.forEach((v, i) => {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(v.name))
      errors.push(
        v.name === ''
          ? requiredField(`spec.variables[${i}].name`, 'name is not specified')
          : invalidField(`spec.variables[${i}].name`, v.name, 'name is not a valid CEL identifier'),
      )
    errors.push(...validateExpression(v.expression, scope, `spec.variables[${i}].expression`))
    const compiled = compileExpression(v.expression, scope)
    types.set(v.name, compiled.ok ? compiled.program.type : dyn)
  })
  return { errors, scope }
}

function validateValidating({ spec }: ValidatingAdmissionPolicy): FieldError[] {
  const { errors, scope } = validateShared(spec)
  if ((spec.validations ?? []).length === 0 && (spec.auditAnnotations ?? []).length === 0) {
    errors.push(requiredField('spec.validations', 'validations or auditAnnotations must contain at least one item'))
    errors.push(
      requiredField('spec.auditAnnotations', 'validations or auditAnnotations must contain at least one item'),
    )
  }
  const reasons = ['Forbidden', 'Invalid', 'RequestEntityTooLarge', 'Unauthorized']
  spec.validations?.forEach((v, i) => {
    const at = `spec.validations[${i}]`
    errors.push(...validateExpression(v.expression, scope, `${at}.expression`, bool))
    if (v.messageExpression !== undefined)
      errors.push(...validateExpression(v.messageExpression, scope, `${at}.messageExpression`, text))
    if (v.message !== undefined && v.message.includes('\n'))
      errors.push(invalidField(`${at}.message`, v.message, 'message must not contain line breaks'))
    if (v.reason !== undefined && !reasons.includes(v.reason))
      errors.push(notSupportedField(`${at}.reason`, v.reason, reasons))
  })
  spec.auditAnnotations?.forEach((a, i) => {
    const at = `spec.auditAnnotations[${i}]`
    if (a.key === '') errors.push(requiredField(`${at}.key`))
    else for (const m of isQualifiedName(a.key)) errors.push(invalidField(`${at}.key`, a.key, m))
    errors.push(...validateExpression(a.valueExpression, scope, `${at}.valueExpression`, [text, nullType]))
  })
  return errors
}

function validateMutating({ spec }: MutatingAdmissionPolicy): FieldError[] {
  const { errors, scope } = validateShared(spec)
  if ((spec.mutations ?? []).length === 0)
    errors.push(requiredField('spec.mutations', 'mutations must contain at least one item'))
  const policies = ['IfNeeded', 'Never']
  if ((spec.reinvocationPolicy ?? '') === '') errors.push(requiredField('spec.reinvocationPolicy'))
  else if (!policies.includes(spec.reinvocationPolicy ?? ''))
    errors.push(notSupportedField('spec.reinvocationPolicy', spec.reinvocationPolicy, policies))
  spec.mutations?.forEach((m, i) => {
    const at = `spec.mutations[${i}]`
    const types = ['ApplyConfiguration', 'JSONPatch']
    if (!types.includes(m.patchType))
      errors.push(
        m.patchType === ''
          ? requiredField(`${at}.patchType`)
          : notSupportedField(`${at}.patchType`, m.patchType, types),
      )
    const check = (expression: string | undefined, part: string, type: CelType) =>
      errors.push(...validateExpression(expression ?? '', scope, `${at}.${part}.expression`, type))
    if (m.patchType === 'ApplyConfiguration')
      check(m.applyConfiguration?.expression, 'applyConfiguration', mutationTypes.ApplyConfiguration)
    if (m.patchType === 'JSONPatch') check(m.jsonPatch?.expression, 'jsonPatch', mutationTypes.JSONPatch)
  })
  return errors
}

function validateBinding(o: ValidatingAdmissionPolicyBinding | MutatingAdmissionPolicyBinding): FieldError[] {
  const { spec } = o
  const errors: FieldError[] = []
  if ((spec.policyName ?? '') === '') errors.push(requiredField('spec.policyName'))
  if (spec.paramRef !== undefined) {
    const { name, selector, parameterNotFoundAction } = spec.paramRef
    if ((name === undefined || name === '') === (selector === undefined))
      errors.push(
        selector === undefined
          ? requiredField('spec.paramRef.name', 'one of name or selector must be specified')
          : invalidField('spec.paramRef.name', name, 'name and selector are mutually exclusive'),
      )
    const actions = ['Allow', 'Deny']
    if (parameterNotFoundAction === undefined) errors.push(requiredField('spec.paramRef.parameterNotFoundAction'))
    else if (!actions.includes(parameterNotFoundAction))
      errors.push(notSupportedField('spec.paramRef.parameterNotFoundAction', parameterNotFoundAction, actions))
  }
  if (spec.matchResources !== undefined)
    errors.push(...validateMatchResources(spec.matchResources, 'spec.matchResources'))
  if ('validationActions' in spec) {
    const actions = ['Audit', 'Deny', 'Warn']
    if (spec.validationActions.length === 0)
      errors.push(requiredField('spec.validationActions', 'at least one validation action is required'))
    spec.validationActions.forEach((a, i) => {
      if (!actions.includes(a)) errors.push(notSupportedField(`spec.validationActions[${i}]`, a, actions))
    })
    if (spec.validationActions.includes('Deny') && spec.validationActions.includes('Warn'))
      errors.push(
        invalidField(
          'spec.validationActions',
          [...spec.validationActions],
          'must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)',
        ),
      )
  }
  return errors
}

const policyTable = <T extends ValidatingAdmissionPolicy | MutatingAdmissionPolicy>(
  count: (o: T) => number,
  title: string,
): TableDefinition<T> => ({
  columns: [
    { name: 'Name', type: 'string', format: 'name' },
    { name: title, type: 'integer' },
    { name: 'ParamKind', type: 'string' },
    { name: 'Age', type: 'string' },
  ],
  row: (o, nowMs) => [
    o.metadata.name,
    count(o),
    o.spec.paramKind === undefined ? '<unset>' : `${o.spec.paramKind.apiVersion}/${o.spec.paramKind.kind}`,
    ageCell(o.metadata.creationTimestamp, nowMs),
  ],
})
const bindingTable = <
  T extends ValidatingAdmissionPolicyBinding | MutatingAdmissionPolicyBinding,
>(): TableDefinition<T> => ({
  columns: [
    { name: 'Name', type: 'string', format: 'name' },
    { name: 'PolicyName', type: 'string' },
    { name: 'ParamRef', type: 'string' },
    { name: 'Age', type: 'string' },
  ],
  row: (o, nowMs) => {
    const ref = o.spec.paramRef
    const param =
      ref === undefined
        ? '<unset>'
        : ref.name === undefined
          ? '*'
          : ref.namespace === undefined
            ? ref.name
            : `${ref.namespace}/${ref.name}`
    return [o.metadata.name, o.spec.policyName ?? '', param, ageCell(o.metadata.creationTimestamp, nowMs)]
  },
})
const common = {
  group: 'admissionregistration.k8s.io',
  version: 'v1',
  categories: ['api-extensions'],
  namespaced: false,
  generation: true,
  unconditionalUpdate: true,
} as const

export const validatingAdmissionPolicies = defineKind<ValidatingAdmissionPolicy>({
  ...common,
  kind: 'ValidatingAdmissionPolicy',
  plural: 'validatingadmissionpolicies',
  singular: 'validatingadmissionpolicy',
  schema: validating.policy,
  storagePrefix: '/registry/validatingadmissionpolicies',
  subresources: { status: true },
  table: policyTable((o) => o.spec.validations?.length ?? 0, 'Validations'),
  setDefaults: (draft) => defaultSpec(draft.spec),
  prepareForCreate: (draft) => {
    draft.status = {}
  },
  validate: validateValidating,
})
export const validatingAdmissionPolicyBindings = defineKind<ValidatingAdmissionPolicyBinding>({
  ...common,
  kind: 'ValidatingAdmissionPolicyBinding',
  plural: 'validatingadmissionpolicybindings',
  singular: 'validatingadmissionpolicybinding',
  schema: validatingBindingSchema,
  storagePrefix: '/registry/validatingadmissionpolicybindings',
  table: bindingTable(),
  setDefaults: (draft) => {
    if (draft.spec.matchResources !== undefined) defaultMatchResources(draft.spec.matchResources)
  },
  validate: validateBinding,
})
export const mutatingAdmissionPolicies = defineKind<MutatingAdmissionPolicy>({
  ...common,
  kind: 'MutatingAdmissionPolicy',
  plural: 'mutatingadmissionpolicies',
  singular: 'mutatingadmissionpolicy',
  schema: mutating.policy,
  storagePrefix: '/registry/mutatingadmissionpolicies',
  storageVersion: 'v1beta1',
  versions: [same('v1beta1', betaMutating.policy), same('v1alpha1', alphaMutating.policy)],
  table: policyTable((o) => o.spec.mutations?.length ?? 0, 'Mutations'),
  setDefaults: (draft) => defaultSpec(draft.spec),
  validate: validateMutating,
})
export const mutatingAdmissionPolicyBindings = defineKind<MutatingAdmissionPolicyBinding>({
  ...common,
  kind: 'MutatingAdmissionPolicyBinding',
  plural: 'mutatingadmissionpolicybindings',
  singular: 'mutatingadmissionpolicybinding',
  schema: mutating.binding,
  storagePrefix: '/registry/mutatingadmissionpolicybindings',
  storageVersion: 'v1beta1',
  versions: [same('v1beta1', betaMutating.binding), same('v1alpha1', alphaMutating.binding)],
  table: bindingTable(),
  setDefaults: (draft) => {
    if (draft.spec.matchResources !== undefined) defaultMatchResources(draft.spec.matchResources)
  },
  validate: validateBinding,
})
