// authorization.k8s.io/v1: questions about what somebody may do. None of these kinds is stored; the server answers a create.
import { type FieldError, invalidField, requiredField } from '../machinery/errors.ts'
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, labelSelectorRequirement, type ObjectOf } from '../machinery/meta.ts'
import { array, boolean, type Infer, map, object, optional, required, string, struct } from '../machinery/schema.ts'
import { flag, text, texts } from '../core/scalars.ts'

const AUTHZ = 'io.k8s.api.authorization.v1.'
const atomic = { listType: 'atomic' } as const
const fieldSelectorRequirement = object('io.k8s.apimachinery.pkg.apis.meta.v1.FieldSelectorRequirement', {
  key: required(1, string()),
  operator: required(2, string()),
  values: texts(3),
})
export const resourceAttributes = object(`${AUTHZ}ResourceAttributes`, {
  namespace: text(1),
  verb: text(2),
  group: text(3),
  version: text(4),
  resource: text(5),
  subresource: text(6),
  name: text(7),
  fieldSelector: optional(
    8,
    object(`${AUTHZ}FieldSelectorAttributes`, {
      rawSelector: text(1),
      requirements: optional(2, array(fieldSelectorRequirement, atomic)),
    }),
  ),
  labelSelector: optional(
    9,
    object(`${AUTHZ}LabelSelectorAttributes`, {
      rawSelector: text(1),
      requirements: optional(2, array(labelSelectorRequirement, atomic)),
    }),
  ),
})
export interface ResourceAttributes extends Infer<typeof resourceAttributes> {}
export const nonResourceAttributes = object(`${AUTHZ}NonResourceAttributes`, { path: text(1), verb: text(2) })

const subjectSpec = object(`${AUTHZ}SubjectAccessReviewSpec`, {
  resourceAttributes: optional(1, resourceAttributes),
  nonResourceAttributes: optional(2, nonResourceAttributes),
  user: text(3),
  groups: texts(4),
  extra: optional(5, map(array(string(), { wrapped: true }))),
  uid: text(6),
})
export interface SubjectAccessReviewSpec extends Infer<typeof subjectSpec> {}
const selfSpec = object(`${AUTHZ}SelfSubjectAccessReviewSpec`, {
  resourceAttributes: optional(1, resourceAttributes),
  nonResourceAttributes: optional(2, nonResourceAttributes),
})
const reviewStatus = object(`${AUTHZ}SubjectAccessReviewStatus`, {
  allowed: required(1, boolean()),
  reason: text(2),
  evaluationError: text(3),
  denied: flag(4),
})
const review = <N extends string>(name: N) =>
  kindSchema(`${AUTHZ}${name}`, { spec: required(2, subjectSpec), status: struct(3, reviewStatus) })
const subjectSchema = review('SubjectAccessReview')
const localSchema = review('LocalSubjectAccessReview')
const selfSchema = kindSchema(`${AUTHZ}SelfSubjectAccessReview`, {
  spec: required(2, selfSpec),
  status: struct(3, reviewStatus),
})
const rulesSchema = kindSchema(`${AUTHZ}SelfSubjectRulesReview`, {
  spec: required(2, object(`${AUTHZ}SelfSubjectRulesReviewSpec`, { namespace: text(1) })),
  status: struct(
    3,
    object(`${AUTHZ}SubjectRulesReviewStatus`, {
      resourceRules: required(
        1,
        array(
          object(`${AUTHZ}ResourceRule`, {
            verbs: required(1, array(string(), atomic)),
            apiGroups: texts(2),
            resources: texts(3),
            resourceNames: texts(4),
          }),
          atomic,
        ),
        { mayBeEmpty: true },
      ),
      nonResourceRules: required(
        2,
        array(
          object(`${AUTHZ}NonResourceRule`, { verbs: required(1, array(string(), atomic)), nonResourceURLs: texts(2) }),
          atomic,
        ),
        { mayBeEmpty: true },
      ),
      incomplete: required(3, boolean()),
      evaluationError: text(4),
    }),
  ),
})
export interface SubjectAccessReview extends ObjectOf<typeof subjectSchema> {}
export interface LocalSubjectAccessReview extends ObjectOf<typeof localSchema> {}
export interface SelfSubjectAccessReview extends ObjectOf<typeof selfSchema> {}
export interface SelfSubjectRulesReview extends ObjectOf<typeof rulesSchema> {}

/** Exactly one of the two kinds of question, and somebody to ask about. */
function validateQuestion(spec: SubjectAccessReviewSpec, subject: boolean): FieldError[] {
  const errors: FieldError[] = []
  if (spec.resourceAttributes !== undefined && spec.nonResourceAttributes !== undefined)
    errors.push(
      invalidField(
        'spec.nonResourceAttributes',
        spec.nonResourceAttributes as never,
        'cannot be specified in combination with resourceAttributes',
      ),
    )
  if (spec.resourceAttributes === undefined && spec.nonResourceAttributes === undefined)
    errors.push(
      invalidField(
        'spec.resourceAttributes',
        null,
        'exactly one of nonResourceAttributes or resourceAttributes must be specified',
      ),
    )
  for (const name of ['fieldSelector', 'labelSelector'] as const) {
    const selector = spec.resourceAttributes?.[name]
    if (selector === undefined) continue
    const path = `spec.resourceAttributes.${name}`
    const { rawSelector = '', requirements = [] } = selector
    if (rawSelector !== '' && requirements.length > 0)
      errors.push(
        invalidField(`${path}.rawSelector`, rawSelector, 'may not specified at the same time as requirements'),
      )
    if (rawSelector === '' && requirements.length === 0)
      errors.push(
        requiredField(`${path}.requirements`, `when ${path} is specified, requirements or rawSelector is required`),
      )
  }
  if (subject && (spec.user ?? '') === '' && (spec.groups ?? []).length === 0)
    errors.push(invalidField('spec.user', spec.user ?? '', 'at least one of user or group must be specified'))
  return errors
}

const common = {
  group: 'authorization.k8s.io',
  version: 'v1',
  namespaced: false,
  verbs: ['create'],
  nameRule: 'none',
  storagePrefix: '',
} as const

export const subjectAccessReviews = defineKind<SubjectAccessReview>({
  ...common,
  kind: 'SubjectAccessReview',
  plural: 'subjectaccessreviews',
  singular: 'subjectaccessreview',
  schema: subjectSchema,
  validate: (o) => validateQuestion(o.spec, true),
})
export const localSubjectAccessReviews = defineKind<LocalSubjectAccessReview>({
  ...common,
  namespaced: true,
  kind: 'LocalSubjectAccessReview',
  plural: 'localsubjectaccessreviews',
  singular: 'localsubjectaccessreview',
  schema: localSchema,
  validate: (o) => {
    const errors = validateQuestion(o.spec, true)
    if (o.spec.resourceAttributes !== undefined && o.spec.resourceAttributes.namespace !== o.metadata.namespace)
      errors.push(
        invalidField(
          'spec.resourceAttributes.namespace',
          o.spec.resourceAttributes.namespace ?? '',
          'must match metadata.namespace',
        ),
      )
    if (o.spec.nonResourceAttributes !== undefined)
      errors.push(
        invalidField(
          'spec.nonResourceAttributes',
          o.spec.nonResourceAttributes as never,
          'disallowed on this kind of request',
        ),
      )
    return errors
  },
})
export const selfSubjectAccessReviews = defineKind<SelfSubjectAccessReview>({
  ...common,
  kind: 'SelfSubjectAccessReview',
  plural: 'selfsubjectaccessreviews',
  singular: 'selfsubjectaccessreview',
  schema: selfSchema,
  validate: (o) => validateQuestion(o.spec, false),
})
export const selfSubjectRulesReviews = defineKind<SelfSubjectRulesReview>({
  ...common,
  kind: 'SelfSubjectRulesReview',
  plural: 'selfsubjectrulesreviews',
  singular: 'selfsubjectrulesreview',
  schema: rulesSchema,
  validate: (o) =>
    (o.spec.namespace ?? '') === '' ? [invalidField('spec.namespace', '', 'namespace is required')] : [],
})
