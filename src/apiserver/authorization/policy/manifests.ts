// The default policy as API objects.
import { clusterRoleBindings, clusterRoles, metricsRoles } from './cluster-roles.ts'
import { controllerRoleBindings, controllerRoles } from './controller-roles.ts'
import { namespaceRoleBindings, namespaceRoles } from './namespace-roles.ts'
import type { DefaultBinding, DefaultRole } from './policy.ts'

export interface PolicyManifest {
  readonly plural: 'clusterroles' | 'clusterrolebindings' | 'roles' | 'rolebindings'
  readonly namespace: string
  readonly object: { readonly kind: string; readonly metadata: { readonly name: string } } & Readonly<
    Record<string, unknown>
  >
}

const apiVersion = 'rbac.authorization.k8s.io/v1'
const apiGroup = 'rbac.authorization.k8s.io'
export const autoUpdate = 'rbac.authorization.kubernetes.io/autoupdate'

const metadata = (name: string, namespace: string, labels: Readonly<Record<string, string>> = {}) => ({
  name,
  ...(namespace === '' ? {} : { namespace }),
  annotations: { [autoUpdate]: 'true' },
  labels: { 'kubernetes.io/bootstrapping': 'rbac-defaults', ...labels },
})

const roleManifest = (namespace: string, { name, rules, labels, gathers }: DefaultRole): PolicyManifest => ({
  plural: namespace === '' ? 'clusterroles' : 'roles',
  namespace,
  object: {
    apiVersion,
    kind: namespace === '' ? 'ClusterRole' : 'Role',
    metadata: metadata(name, namespace, labels),
    ...(gathers === undefined
      ? { rules }
      : { aggregationRule: { clusterRoleSelectors: [{ matchLabels: { [gathers]: 'true' } }] } }),
  },
})

function subjectOf(text: string) {
  const [kind = '', ...rest] = text.split(':')
  const name = rest.join(':')
  if (kind === 'group') return { kind: 'Group', apiGroup, name }
  if (kind === 'user') return { kind: 'User', apiGroup, name }
  const [namespace = '', account = ''] = name.split('/')
  return { kind: 'ServiceAccount', name: account, namespace }
}

const bindingManifest = (namespace: string, { name, role, subjects }: DefaultBinding): PolicyManifest => ({
  plural: namespace === '' ? 'clusterrolebindings' : 'rolebindings',
  namespace,
  object: {
    apiVersion,
    kind: namespace === '' ? 'ClusterRoleBinding' : 'RoleBinding',
    metadata: metadata(name, namespace),
    roleRef: { apiGroup, kind: namespace === '' ? 'ClusterRole' : 'Role', name: role },
    ...(subjects.length === 0 ? {} : { subjects: subjects.map(subjectOf) }),
  },
})

/** Beyond upstream's own policy. */
export const addedPolicy = (): readonly PolicyManifest[] => metricsRoles.map((added) => roleManifest('', added))

/** Upstream's, roles before the bindings that name them. */
export function defaultPolicy(): readonly PolicyManifest[] {
  return [
    ...[...clusterRoles, ...controllerRoles].map((role) => roleManifest('', role)),
    ...Object.entries(namespaceRoles).flatMap(([namespace, roles]) => roles.map((r) => roleManifest(namespace, r))),
    ...[...clusterRoleBindings, ...controllerRoleBindings].map((binding) => bindingManifest('', binding)),
    ...Object.entries(namespaceRoleBindings).flatMap(([namespace, bindings]) =>
      bindings.map((b) => bindingManifest(namespace, b)),
    ),
  ]
}
