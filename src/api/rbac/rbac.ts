// rbac.authorization.k8s.io/v1: who may do what. Roles are lists of rules, bindings give them to subjects; the four kinds
// share their rule and subject checks, which are written once here.
import { type FieldError, invalidField, notSupportedField, requiredField, forbiddenField } from '../machinery/errors.ts'
import { ageCell } from '../machinery/age.ts'
import { defineKind, type TableDefinition } from '../machinery/kind.ts'
import { oldVersion } from '../machinery/old-version.ts'
import { kindSchema, type KubeObject, labelSelector, type ObjectOf } from '../machinery/meta.ts'
import {
  array,
  type Draft,
  type Infer,
  object,
  type ObjectSchema,
  optional,
  required,
  string,
  struct,
} from '../machinery/schema.ts'

const RBAC = 'io.k8s.api.rbac.v1.'
export const rbacGroup = 'rbac.authorization.k8s.io'
const names = () => array(string(), { listType: 'atomic' })

export const policyRule = object(`${RBAC}PolicyRule`, {
  verbs: required(1, names()),
  apiGroups: optional(2, names()),
  resources: optional(3, names()),
  resourceNames: optional(4, names()),
  nonResourceURLs: optional(5, names()),
})
export interface PolicyRule extends Infer<typeof policyRule> {}
export const subject = object(
  `${RBAC}Subject`,
  {
    kind: required(1, string()),
    apiGroup: optional(2, string()),
    name: required(3, string()),
    namespace: optional(4, string()),
  },
  { mapType: 'atomic' },
)
export interface Subject extends Infer<typeof subject> {}
export const roleRef = object(
  `${RBAC}RoleRef`,
  { apiGroup: struct(1, string()), kind: required(2, string()), name: required(3, string()) },
  { mapType: 'atomic' },
)
export interface RoleRef extends Infer<typeof roleRef> {}
export const aggregationRule = object(`${RBAC}AggregationRule`, {
  clusterRoleSelectors: optional(1, array(labelSelector, { listType: 'atomic' })),
})

const roleSchema = kindSchema(`${RBAC}Role`, { rules: optional(2, array(policyRule, { listType: 'atomic' })) })
const clusterRoleSchema = kindSchema(`${RBAC}ClusterRole`, {
  rules: optional(2, array(policyRule, { listType: 'atomic' })),
  aggregationRule: optional(3, aggregationRule),
})
const bindingFields = {
  subjects: optional(2, array(subject, { listType: 'atomic' })),
  roleRef: required(3, roleRef),
}
const roleBindingSchema = kindSchema(`${RBAC}RoleBinding`, bindingFields)
const clusterRoleBindingSchema = kindSchema(`${RBAC}ClusterRoleBinding`, bindingFields)

export interface Role extends ObjectOf<typeof roleSchema> {}
export interface ClusterRole extends ObjectOf<typeof clusterRoleSchema> {}
export interface RoleBinding extends ObjectOf<typeof roleBindingSchema> {}
export interface ClusterRoleBinding extends ObjectOf<typeof clusterRoleBindingSchema> {}

function validateRule(rule: PolicyRule, namespaced: boolean, path: string): FieldError[] {
  const errors: FieldError[] = []
  if (rule.verbs.length === 0) errors.push(requiredField(`${path}.verbs`, 'verbs must contain at least one value'))
  const { nonResourceURLs = [], apiGroups = [], resources = [], resourceNames = [] } = rule
  if (nonResourceURLs.length > 0) {
    if (namespaced)
      errors.push(
        invalidField(`${path}.nonResourceURLs`, nonResourceURLs, 'namespaced rules cannot apply to non-resource URLs'),
      )
    if (apiGroups.length > 0 || resources.length > 0 || resourceNames.length > 0)
      errors.push(
        invalidField(
          `${path}.nonResourceURLs`,
          nonResourceURLs,
          'rules cannot apply to both regular resources and non-resource URLs',
        ),
      )
    return errors
  }
  if (apiGroups.length === 0)
    errors.push(requiredField(`${path}.apiGroups`, 'resource rules must supply at least one api group'))
  if (resources.length === 0)
    errors.push(requiredField(`${path}.resources`, 'resource rules must supply at least one resource'))
  return errors
}

function validateSubject(s: Subject, path: string): FieldError[] {
  const errors: FieldError[] = []
  if (s.name === '') errors.push(requiredField(`${path}.name`))
  const wantGroup = s.kind === 'ServiceAccount' ? '' : rbacGroup
  switch (s.kind) {
    case 'ServiceAccount':
      if ((s.apiGroup ?? '') !== '') errors.push(notSupportedField(`${path}.apiGroup`, s.apiGroup, ['']))
      if ((s.namespace ?? '') === '') errors.push(requiredField(`${path}.namespace`))
      break
    case 'User':
    case 'Group':
      if (s.apiGroup !== wantGroup) errors.push(notSupportedField(`${path}.apiGroup`, s.apiGroup ?? '', [wantGroup]))
      break
    default:
      errors.push(notSupportedField(`${path}.kind`, s.kind, ['ServiceAccount', 'User', 'Group']))
  }
  return errors
}

function validateBinding(b: RoleBinding | ClusterRoleBinding, roleKinds: readonly string[]): FieldError[] {
  const errors: FieldError[] = []
  if (b.roleRef.apiGroup !== rbacGroup)
    errors.push(notSupportedField('roleRef.apiGroup', b.roleRef.apiGroup ?? '', [rbacGroup]))
  if (!roleKinds.includes(b.roleRef.kind)) errors.push(notSupportedField('roleRef.kind', b.roleRef.kind, roleKinds))
  if (b.roleRef.name === '') errors.push(requiredField('roleRef.name'))
  b.subjects?.forEach((s, i) => errors.push(...validateSubject(s, `subjects[${i}]`)))
  return errors
}

function defaultBinding(draft: Draft<RoleBinding | ClusterRoleBinding>) {
  draft.roleRef.apiGroup ??= rbacGroup
  if (draft.roleRef.apiGroup === '') draft.roleRef.apiGroup = rbacGroup
  for (const s of draft.subjects ?? [])
    if ((s.apiGroup ?? '') === '') {
      if (s.kind === 'User' || s.kind === 'Group') s.apiGroup = rbacGroup
    }
}

function roleRefUnchanged(next: RoleBinding | ClusterRoleBinding, old: RoleBinding | ClusterRoleBinding): FieldError[] {
  const same =
    next.roleRef.kind === old.roleRef.kind &&
    next.roleRef.name === old.roleRef.name &&
    next.roleRef.apiGroup === old.roleRef.apiGroup
  return same ? [] : [invalidField('roleRef', { ...next.roleRef }, 'cannot change roleRef')]
}

const roleTable: TableDefinition<KubeObject> = {
  columns: [
    { name: 'Name', type: 'string', format: 'name' },
    { name: 'Created At', type: 'date' },
  ],
  row: (o) => [o.metadata.name, o.metadata.creationTimestamp],
}
const subjectsOf = (b: { readonly subjects?: readonly Subject[] | undefined }, kind: string): string =>
  (b.subjects ?? [])
    .filter((s) => s.kind === kind)
    .map((s) => (kind === 'ServiceAccount' ? `${s.namespace ?? ''}/${s.name}` : s.name))
    .join(', ')
const bindingTable = <T extends RoleBinding | ClusterRoleBinding>(): TableDefinition<T> => ({
  columns: [
    { name: 'Name', type: 'string', format: 'name' },
    { name: 'Role', type: 'string' },
    { name: 'Age', type: 'string' },
    { name: 'Users', type: 'string', priority: 1 },
    { name: 'Groups', type: 'string', priority: 1 },
    { name: 'ServiceAccounts', type: 'string', priority: 1 },
  ],
  row: (b, nowMs) => [
    b.metadata.name,
    `${b.roleRef.kind}/${b.roleRef.name}`,
    ageCell(b.metadata.creationTimestamp, nowMs),
    subjectsOf(b, 'User'),
    subjectsOf(b, 'Group'),
    subjectsOf(b, 'ServiceAccount'),
  ],
})

/** v1beta1 has the same shape as v1. */
const old = (kind: string, schema: ObjectSchema) =>
  oldVersion({
    group: rbacGroup,
    version: 'v1beta1',
    kind,
    schema,
    deprecated: 17,
    removed: 22,
    instead: `${rbacGroup}/v1`,
  })
const common = { group: rbacGroup, version: 'v1', nameRule: 'path-segment', unconditionalUpdate: true } as const

export const roles = defineKind<Role>({
  ...common,
  kind: 'Role',
  plural: 'roles',
  singular: 'role',
  namespaced: true,
  schema: roleSchema,
  versions: [old('Role', roleSchema)],
  storagePrefix: '/registry/roles',
  table: roleTable,
  validate: (r) => (r.rules ?? []).flatMap((rule, i) => validateRule(rule, true, `rules[${i}]`)),
})
export const clusterRoles = defineKind<ClusterRole>({
  ...common,
  kind: 'ClusterRole',
  plural: 'clusterroles',
  singular: 'clusterrole',
  namespaced: false,
  schema: clusterRoleSchema,
  versions: [old('ClusterRole', clusterRoleSchema)],
  storagePrefix: '/registry/clusterroles',
  table: roleTable,
  validate: (r) => [
    ...(r.rules ?? []).flatMap((rule, i) => validateRule(rule, false, `rules[${i}]`)),
    ...(r.aggregationRule !== undefined && (r.aggregationRule.clusterRoleSelectors ?? []).length === 0
      ? [
          requiredField(
            'aggregationRule.clusterRoleSelectors',
            'at least one clusterRoleSelector required if aggregationRule is non-nil',
          ),
        ]
      : []),
  ],
})
export const roleBindings = defineKind<RoleBinding>({
  ...common,
  kind: 'RoleBinding',
  plural: 'rolebindings',
  singular: 'rolebinding',
  namespaced: true,
  schema: roleBindingSchema,
  versions: [old('RoleBinding', roleBindingSchema)],
  storagePrefix: '/registry/rolebindings',
  table: bindingTable(),
  setDefaults: (draft) => {
    defaultBinding(draft)
    for (const s of draft.subjects ?? [])
      if (s.kind === 'ServiceAccount' && (s.namespace ?? '') === '' && draft.metadata.namespace !== undefined)
        s.namespace = draft.metadata.namespace
  },
  validate: (b) => validateBinding(b, ['Role', 'ClusterRole']),
  validateUpdate: roleRefUnchanged,
})
export const clusterRoleBindings = defineKind<ClusterRoleBinding>({
  ...common,
  kind: 'ClusterRoleBinding',
  plural: 'clusterrolebindings',
  singular: 'clusterrolebinding',
  namespaced: false,
  schema: clusterRoleBindingSchema,
  versions: [old('ClusterRoleBinding', clusterRoleBindingSchema)],
  storagePrefix: '/registry/clusterrolebindings',
  table: bindingTable(),
  setDefaults: defaultBinding,
  validate: (b) => [
    ...validateBinding(b, ['ClusterRole']),
    ...(b.subjects ?? []).flatMap((s, i) =>
      s.kind !== 'ServiceAccount' && (s.namespace ?? '') !== ''
        ? [forbiddenField(`subjects[${i}].namespace`, `must not be set for kind ${s.kind}`)]
        : [],
    ),
  ],
  validateUpdate: roleRefUnchanged,
})
