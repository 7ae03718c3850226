// The RBAC authorizer. Bindings are turned round once per change of the policy: from "this binding grants that role to
// those subjects" into "this subject has these rules", and decisions are remembered until the policy changes again.
import {
  type ClusterRole,
  type ClusterRoleBinding,
  type PolicyRule,
  rbacGroup,
  type Role,
  type RoleBinding,
  type RoleRef,
  type Subject,
} from '../../api/rbac/rbac.ts'
import type { KubeObject } from '../../api/machinery/meta.ts'
import type { ServerContext } from '../context.ts'
import type { UserInfo } from '../request.ts'
import type { Collection } from '../storage/collection.ts'
import type { AuthorizationAttributes, Authorizer, Decision } from './authorizer.ts'

/** Rules that a binding gives, and how to name it in a reason. */
interface Grant {
  readonly rules: readonly PolicyRule[]
  /** '' for the whole cluster. */
  readonly namespace: string
  readonly source: string
}
interface Policy {
  readonly grants: ReadonlyMap<string, readonly Grant[]>
  readonly decisions: Map<string, Decision>
}
const rememberedDecisions = 20_000
const plurals = ['clusterroles', 'clusterrolebindings', 'roles', 'rolebindings'] as const

export interface RbacAuthorizer extends Authorizer {
  /** Everything that a user may do in a namespace ('' for the cluster as a whole). */
  rulesFor(user: UserInfo, namespace: string): Promise<readonly PolicyRule[]>
  /** The rules of a role; undefined where it does not exist. */
  rulesOfRole(ref: RoleRef, namespace: string): Promise<readonly PolicyRule[] | undefined>
}

/** Reads the server late: it is made after the authorizers. */
export function rbacAuthorizer(serverOf: () => ServerContext): RbacAuthorizer {
  let policy: Policy | undefined
  let listening = false
  const collections = (): readonly Collection[] =>
    plurals.map((plural) => serverOf().resources.required(rbacGroup, plural).collection)
  const load = async (): Promise<Policy> => {
    const all = collections()
    await Promise.all(all.map((collection) => collection.ready()))
    if (!listening) {
      listening = true
      const forget = () => {
        policy = undefined
      }
      for (const collection of all) collection.listen({ changed: forget, reset: forget })
    }
    policy ??= { grants: grantsOf(all), decisions: new Map() }
    return policy
  }
  return {
    name: 'RBAC',
    authorize(attributes) {
      return policy === undefined ? load().then((loaded) => decide(loaded, attributes)) : decide(policy, attributes)
    },
    async rulesFor(user, namespace) {
      return [...grantsFor(policy ?? (await load()), user, namespace)].flatMap((grant) => grant.rules)
    },
    async rulesOfRole(ref, namespace) {
      if (policy === undefined) await load()
      return roleRules(collections(), ref, namespace)
    },
  }
}

const subjectsOf = (user: UserInfo): readonly string[] => [
  `User/${user.name}`,
  ...user.groups.map((group) => `Group/${group}`),
]

function* grantsFor(policy: Policy, user: UserInfo, namespace: string): Iterable<Grant> {
  for (const subject of subjectsOf(user)) {
    for (const grant of policy.grants.get(subject) ?? []) {
      if (grant.namespace === '' || grant.namespace === namespace) yield grant
    }
  }
}

function decide(policy: Policy, attributes: AuthorizationAttributes): Decision {
  const { user, verb, group, resource, subresource, namespace, name, path, isResource } = attributes
  const question = isResource ? `${group}/${resource}/${subresource} ${namespace}/${name}` : path
  const key = `${user.name}\n${user.groups.join(',')}\n${verb} ${question}`
  const known = policy.decisions.get(key)
  if (known !== undefined) return known
  let decision: Decision = { decision: 'no-opinion', reason: '' }
  for (const grant of grantsFor(policy, user, isResource ? namespace : '')) {
    if (!grant.rules.some((rule) => ruleAllows(rule, attributes))) continue
    decision = { decision: 'allow', reason: `RBAC: allowed by ${grant.source}` }
    break
  }
  if (policy.decisions.size >= rememberedDecisions) policy.decisions.clear()
  policy.decisions.set(key, decision)
  return decision
}

/** Whether one rule covers a request. */
export function ruleAllows(rule: PolicyRule, attributes: AuthorizationAttributes): boolean {
  if (!has(rule.verbs, attributes.verb)) return false
  if (!attributes.isResource) return (rule.nonResourceURLs ?? []).some((url) => urlMatches(url, attributes.path))
  return (
    has(rule.apiGroups, attributes.group) &&
    (rule.resources ?? []).some((resource) => resourceMatches(resource, attributes.resource, attributes.subresource)) &&
    ((rule.resourceNames ?? []).length === 0 || (rule.resourceNames ?? []).includes(attributes.name))
  )
}
const has = (list: readonly string[] | undefined, value: string): boolean =>
  list !== undefined && (list.includes('*') || list.includes(value))
const urlMatches = (pattern: string, path: string): boolean =>
  pattern === '*' || pattern === path || (pattern.endsWith('*') && path.startsWith(pattern.slice(0, -1)))
function resourceMatches(pattern: string, resource: string, subresource: string): boolean {
  if (pattern === '*') return true
  if (subresource === '') return pattern === resource
  return pattern === `${resource}/${subresource}` || pattern === `*/${subresource}`
}

function grantsOf(collections: readonly Collection[]): ReadonlyMap<string, readonly Grant[]> {
  const grants = new Map<string, Grant[]>()
  const [, clusterBindings, , bindings] = collections
  for (const collection of [clusterBindings, bindings]) {
    if (collection === undefined) continue
    for (const entry of collection.all('')) {
      const binding = collection.object(entry) as unknown as RoleBinding | ClusterRoleBinding
      const { namespace = '', name } = binding.metadata
      const rules = roleRules(collections, binding.roleRef, namespace)
      if (rules === undefined) continue
      for (const subject of binding.subjects ?? []) {
        const key = subjectKey(subject, namespace)
        const full = namespace === '' ? name : `${name}/${namespace}`
        const source = `${binding.kind} ${JSON.stringify(full)} of ${binding.roleRef.kind} ${JSON.stringify(binding.roleRef.name)} to ${subjectText(subject)}`
        const grant: Grant = { rules, namespace, source }
        const list = grants.get(key)
        if (list === undefined) grants.set(key, [grant])
        else list.push(grant)
      }
    }
  }
  return grants
}

function subjectKey(subject: Subject, bindingNamespace: string): string {
  if (subject.kind !== 'ServiceAccount') return `${subject.kind}/${subject.name}`
  const namespace = (subject.namespace ?? '') === '' ? bindingNamespace : subject.namespace
  return `User/system:serviceaccount:${namespace}:${subject.name}`
}
const subjectText = ({ kind, name, namespace }: Subject): string =>
  kind === 'ServiceAccount'
    ? `ServiceAccount ${JSON.stringify(`${name}/${namespace ?? ''}`)}`
    : `${kind} ${JSON.stringify(name)}`

function roleRules(
  collections: readonly Collection[],
  ref: RoleRef,
  namespace: string,
): readonly PolicyRule[] | undefined {
  const [clusterRoles, , roles] = collections
  const collection = ref.kind === 'ClusterRole' ? clusterRoles : roles
  const entry = collection?.find(ref.kind === 'ClusterRole' ? '' : namespace, ref.name)
  if (collection === undefined || entry === undefined) return undefined
  const object: KubeObject = collection.object(entry)
  return (object as unknown as Role | ClusterRole).rules ?? []
}
