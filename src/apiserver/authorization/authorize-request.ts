// Turns a request into the question that authorizers answer, and a refusal into upstream's sentence.
import { ApiError } from '../../api/machinery/errors.ts'
import type { AuditNotes, UserInfo } from '../request.ts'
import type { RequestInfo } from '../request-info.ts'
import { type AuthorizationAttributes, type Authorizer, selectorsOf } from './authorizer.ts'

export const attributesOf = (user: UserInfo, info: RequestInfo): AuthorizationAttributes => ({
  user,
  verb: info.verb,
  isResource: info.isResource,
  group: info.group,
  version: info.version,
  resource: info.resource,
  subresource: info.subresource,
  namespace: info.namespace,
  name: info.name,
  path: info.path,
  ...(info.isResource ? selectorsOf(info.verb, info.query.get('fieldSelector'), info.query.get('labelSelector')) : {}),
})

/** Throws Forbidden. */
export async function authorizeRequest(
  authorizer: Authorizer,
  user: UserInfo,
  info: RequestInfo,
  audit: AuditNotes | undefined,
): Promise<void> {
  const attributes = attributesOf(user, info)
  const pending = authorizer.authorize(attributes)
  const decision = pending instanceof Promise ? await pending : pending
  audit?.annotate('authorization.k8s.io/decision', decision.decision === 'allow' ? 'allow' : 'forbid')
  audit?.annotate('authorization.k8s.io/reason', decision.reason)
  if (decision.decision !== 'allow') throw refusal(attributes, decision.reason)
}

/** "pods \"x\" is forbidden: User \"u\" cannot get resource \"pods\" in API group \"\" in the namespace \"default\"". */
export function refusal(attributes: AuthorizationAttributes, reason: string): ApiError {
  const { user, verb, group, resource, subresource, namespace, name } = attributes
  const because = reason === '' ? '' : `: ${reason}`
  if (!attributes.isResource) {
    const message = `User ${JSON.stringify(user.name)} cannot ${verb} path ${JSON.stringify(attributes.path)}${because}`
    return new ApiError('Forbidden', `forbidden: ${message}`, {})
  }
  const full = subresource === '' ? resource : `${resource}/${subresource}`
  const where = namespace === '' ? ' at the cluster scope' : ` in the namespace ${JSON.stringify(namespace)}`
  const message = `User ${JSON.stringify(user.name)} cannot ${verb} resource ${JSON.stringify(full)} in API group ${JSON.stringify(group)}${where}${because}`
  const qualified = group === '' ? resource : `${resource}.${group}`
  const subject = name === '' ? qualified : `${qualified} ${JSON.stringify(name)}`
  return new ApiError('Forbidden', `${subject} is forbidden: ${message}`, {
    ...(name === '' ? {} : { name }),
    ...(group === '' ? {} : { group }),
    kind: resource,
  })
}
