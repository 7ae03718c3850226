// Acting as somebody else: the Impersonate-* headers, each of which the caller must be allowed to use.
// (https://kubernetes.io/docs/reference/access-authn-authz/user-impersonation/)
import { badRequest } from '../../api/machinery/errors.ts'
import { refusal } from '../authorization/authorize-request.ts'
import type { AuthorizationAttributes, Authorizer } from '../authorization/authorizer.ts'
import { type ApiRequest, headerValues, type UserInfo } from '../request.ts'
import { known } from './authenticator.ts'
import { keyOf } from './front-proxy.ts'

const headerPrefix = 'impersonate-'
const extraPrefix = 'impersonate-extra-'
const accountPrefix = 'system:serviceaccount:'

/** The user that the request acts as; the caller where it asks for nobody else. Throws Forbidden, BadRequest. */
export function impersonate(
  request: ApiRequest,
  caller: UserInfo,
  authorizer: Authorizer,
): UserInfo | Promise<UserInfo> {
  for (const header in request.headers) {
    if (header.startsWith(headerPrefix)) return actAs(request, caller, authorizer)
  }
  return caller
}

async function actAs(request: ApiRequest, caller: UserInfo, authorizer: Authorizer): Promise<UserInfo> {
  const { headers } = request
  const name = headers['impersonate-user']
  const groups = headerValues(request, 'impersonate-group')
  const uid = headers['impersonate-uid']
  const extra: Record<string, readonly string[]> = {}
  for (const header of Object.keys(headers)) {
    if (header.startsWith(extraPrefix)) extra[keyOf(header.slice(extraPrefix.length))] = headerValues(request, header)
  }
  if (name === undefined) {
    if (groups.length > 0 || uid !== undefined || Object.keys(extra).length > 0) {
      const list = (values: readonly string[]) => values.map((value) => JSON.stringify(value)).join(', ')
      const groupText = groups.length === 0 ? '[]string(nil)' : `[]string{${list(groups)}}`
      const extras = Object.entries(extra).map(([key, values]) => `${JSON.stringify(key)}:[]string{${list(values)}}`)
      const extraText = extras.length === 0 ? 'map[string][]string(nil)' : `map[string][]string{${extras.join(', ')}}`
      throw badRequest(
        `requested &user.DefaultInfo{Name:"", UID:${JSON.stringify(uid ?? '')}, Groups:${groupText}, Extra:${extraText}} without impersonating a user name`,
      )
    }
    return caller
  }
  const account = accountOf(name)
  const questions = [
    account === undefined
      ? question(caller, '', 'users', name)
      : question(caller, '', 'serviceaccounts', account.name, account.namespace),
    ...groups.map((group) => question(caller, '', 'groups', group)),
    ...(uid === undefined ? [] : [question(caller, 'authentication.k8s.io', 'uids', uid)]),
    ...Object.entries(extra).flatMap(([key, values]) =>
      values.map((value) => question(caller, 'authentication.k8s.io', 'userextras', value, '', key)),
    ),
  ]
  for (const attributes of questions) {
    const decision = await authorizer.authorize(attributes)
    if (decision.decision !== 'allow') throw refusal(attributes, decision.reason)
  }
  const own =
    account === undefined ? [] : ['system:serviceaccounts', `${'system:serviceaccounts'}:${account.namespace}`]
  const user: UserInfo = {
    name,
    groups: groups.length > 0 ? groups : own,
    ...(uid === undefined ? {} : { uid }),
    ...(Object.keys(extra).length > 0 ? { extra } : {}),
  }
  return name === 'system:anonymous' ? { ...user, groups: ['system:unauthenticated'] } : known(user)
}

function accountOf(name: string): { readonly namespace: string; readonly name: string } | undefined {
  if (!name.startsWith(accountPrefix)) return undefined
  const [namespace, account, ...rest] = name.slice(accountPrefix.length).split(':')
  return namespace !== undefined && account !== undefined && rest.length === 0
    ? { namespace, name: account }
    : undefined
}

const question = (
  user: UserInfo,
  group: string,
  resource: string,
  name: string,
  namespace = '',
  subresource = '',
): AuthorizationAttributes => ({
  user,
  verb: 'impersonate',
  isResource: true,
  group,
  version: group === '' ? '' : 'v1',
  resource,
  subresource,
  namespace,
  name,
  path: '',
})
