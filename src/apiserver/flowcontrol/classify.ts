// Which flow schema a request belongs to: the first, by matching precedence and name, one of whose rules names the caller
// and what is asked. Schemas are compiled to sets when they change; a request only looks things up.
import type { FlowSchema, RulesWithSubjects } from '../../api/flowcontrol/flow-control.ts'
import type { UserInfo } from '../request.ts'
import type { RequestInfo } from '../request-info.ts'

const any = '*'
const accountPrefix = 'system:serviceaccount:'

export interface CompiledSchema {
  readonly schema: FlowSchema
  readonly rules: readonly CompiledRule[]
}
interface CompiledRule {
  readonly users: ReadonlySet<string>
  readonly groups: ReadonlySet<string>
  readonly anyUser: boolean
  readonly resources: readonly ResourceMatch[]
  readonly urls: readonly UrlMatch[]
}
interface ResourceMatch {
  readonly verbs: Matcher
  readonly groups: Matcher
  readonly resources: Matcher
  readonly namespaces: Matcher
  readonly clusterScope: boolean
}
interface UrlMatch {
  readonly verbs: Matcher
  readonly paths: readonly string[]
}
/** Undefined matches everything. */
type Matcher = ReadonlySet<string> | undefined

const matcherOf = (words: readonly string[] | undefined): Matcher =>
  words?.includes(any) === true ? undefined : new Set(words)
const matches = (matcher: Matcher, word: string): boolean => matcher === undefined || matcher.has(word)

/** Schemas in the order in which they are tried. */
export function compileSchemas(schemas: readonly FlowSchema[]): CompiledSchema[] {
  const precedence = ({ spec }: FlowSchema): number => spec.matchingPrecedence ?? 1000
  return schemas
    .toSorted((a, b) => precedence(a) - precedence(b) || (a.metadata.name < b.metadata.name ? -1 : 1))
    .map((schema) => ({ schema, rules: (schema.spec.rules ?? []).map(compileRule) }))
}

function compileRule({ subjects, resourceRules, nonResourceRules }: RulesWithSubjects): CompiledRule {
  const users = new Set<string>()
  const groups = new Set<string>()
  let anyUser = false
  for (const { kind, user, group, serviceAccount } of subjects) {
    if (kind === 'User' && user !== undefined) users.add(user.name)
    if (kind === 'Group' && group !== undefined) groups.add(group.name)
    if (kind === 'ServiceAccount' && serviceAccount !== undefined) {
      const { namespace, name } = serviceAccount
      if (name === any) groups.add(`system:serviceaccounts:${namespace}`)
      else users.add(`${accountPrefix}${namespace}:${name}`)
    }
  }
  if (users.has(any) || groups.has(any)) anyUser = true
  return {
    users,
    groups,
    anyUser,
    resources: (resourceRules ?? []).map((rule) => ({
      verbs: matcherOf(rule.verbs),
      groups: matcherOf(rule.apiGroups),
      resources: matcherOf(rule.resources),
      namespaces: matcherOf(rule.namespaces ?? []),
      clusterScope: rule.clusterScope === true,
    })),
    urls: (nonResourceRules ?? []).map((rule) => ({ verbs: matcherOf(rule.verbs), paths: rule.nonResourceURLs })),
  }
}

/** The schema of a request; undefined where none fits. */
export function classify<T extends CompiledSchema>(
  schemas: readonly T[],
  user: UserInfo,
  info: RequestInfo,
): T | undefined {
  for (const compiled of schemas) {
    for (const rule of compiled.rules) if (namesCaller(rule, user) && namesRequest(rule, info)) return compiled
  }
  return undefined
}

function namesCaller({ users, groups, anyUser }: CompiledRule, user: UserInfo): boolean {
  if (anyUser || users.has(user.name)) return true
  if (groups.size === 0) return false
  for (const group of user.groups) if (groups.has(group)) return true
  return false
}

function namesRequest({ resources, urls }: CompiledRule, info: RequestInfo): boolean {
  if (!info.isResource) return urls.some(({ verbs, paths }) => matches(verbs, info.verb) && onPath(paths, info.path))
  const resource = info.subresource === '' ? info.resource : `${info.resource}/${info.subresource}`
  return resources.some(
    (rule) =>
      matches(rule.verbs, info.verb) &&
      matches(rule.groups, info.group) &&
      matches(rule.resources, resource) &&
      (info.namespace === '' ? rule.clusterScope : matches(rule.namespaces, info.namespace)),
  )
}
const onPath = (paths: readonly string[], path: string): boolean =>
  paths.some((p) => p === any || p === path || (p.endsWith('/*') && path.startsWith(p.slice(0, -1))))

/** What tells the flows of one schema apart. */
export function flowOf({ schema }: CompiledSchema, user: UserInfo, info: RequestInfo): string {
  const method = schema.spec.distinguisherMethod?.type
  if (method === 'ByUser') return `${schema.metadata.name}/${user.name}`
  return method === 'ByNamespace' ? `${schema.metadata.name}/${info.namespace}` : schema.metadata.name
}
