// Which rule of an audit policy a request falls under: the first that fits; none means that nothing is written.
import type { AuditPolicy, AuditPolicyRule } from '../../api/audit/policy.ts'
import type { AuditLevel, AuditStage } from '../../ports/audit.ts'
import type { UserInfo } from '../request.ts'
import type { RequestInfo } from '../request-info.ts'

/** What is to be written of a request. */
export interface AuditDecision {
  readonly level: Exclude<AuditLevel, 'None'>
  readonly omitStages: ReadonlySet<AuditStage>
  readonly omitManagedFields: boolean
}

/** Undefined where nothing is. `user` is who sent the request, not who it acts as. */
export function decideAudit(policy: AuditPolicy, user: UserInfo, info: RequestInfo): AuditDecision | undefined {
  const rule = policy.rules?.find((candidate) => fits(candidate, user, info))
  if (rule === undefined || rule.level === 'None') return undefined
  const omitted = [...(policy.omitStages ?? []), ...(rule.omitStages ?? [])]
  return {
    level: rule.level as AuditDecision['level'],
    omitStages: new Set(omitted as AuditStage[]),
    omitManagedFields: rule.omitManagedFields ?? policy.omitManagedFields ?? false,
  }
}

const isEmpty = (list: readonly unknown[] | undefined): boolean => list === undefined || list.length === 0
const accepts = (list: readonly string[] | undefined, word: string): boolean =>
  list === undefined || list.length === 0 || list.includes(word)

function fits(rule: AuditPolicyRule, user: UserInfo, info: RequestInfo): boolean {
  if (!accepts(rule.users, user.name)) return false
  if (!isEmpty(rule.userGroups) && !user.groups.some((group) => rule.userGroups?.includes(group))) return false
  if (!accepts(rule.verbs, info.verb)) return false
  const ofResources = !isEmpty(rule.resources) || !isEmpty(rule.namespaces)
  if (ofResources) return info.isResource && accepts(rule.namespaces, info.namespace) && fitsResource(rule, info)
  if (!isEmpty(rule.nonResourceURLs)) return !info.isResource && fitsUrl(rule.nonResourceURLs ?? [], info.path)
  return true
}

function fitsResource({ resources }: AuditPolicyRule, info: RequestInfo): boolean {
  if (resources === undefined || resources.length === 0) return true
  const { group, resource, subresource, name } = info
  const full = subresource === '' ? resource : `${resource}/${subresource}`
  return resources.some((wanted) => {
    if ((wanted.group ?? '') !== group) return false
    if (isEmpty(wanted.resources)) return true
    if (!isEmpty(wanted.resourceNames) && wanted.resourceNames?.includes(name) !== true) return false
    return (wanted.resources ?? []).some(
      (pattern) =>
        pattern === '*' ||
        pattern === full ||
        (subresource !== '' && (pattern === `${resource}/*` || pattern === `*/${subresource}`)),
    )
  })
}
const fitsUrl = (urls: readonly string[], path: string): boolean =>
  urls.some((url) => url === '*' || url === path || (url.endsWith('*') && path.startsWith(url.slice(0, -1))))
