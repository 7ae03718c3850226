// Nobody may write a role that grants more than they have, or bind one, unless they are allowed to escalate or to bind.
// (https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping)
import { equal } from '../../api/machinery/equal.ts'
import { forbidden } from '../../api/machinery/errors.ts'
import { type ClusterRole, type PolicyRule, rbacGroup, type RoleBinding } from '../../api/rbac/rbac.ts'
import { printRule, uncovered } from '../authorization/covers.ts'
import type { RbacAuthorizer } from '../authorization/rbac.ts'
import type { ServerContext } from '../context.ts'
import type { AdmissionPlugin, AdmissionRequest } from './admission.ts'

const roleKinds = new Set(['roles', 'clusterroles'])
const bindingKinds = new Set(['rolebindings', 'clusterrolebindings'])

export const rbacEscalation: AdmissionPlugin = {
  name: 'RbacEscalation',
  handles: ({ operation, resource, user }) =>
    (operation === 'CREATE' || operation === 'UPDATE') &&
    resource.kind.group === rbacGroup &&
    (roleKinds.has(resource.kind.plural) || bindingKinds.has(resource.kind.plural)) &&
    !user.groups.includes('system:masters'),
  async validate(request, server) {
    if (server.rbac === undefined) return
    if (roleKinds.has(request.resource.kind.plural)) await checkRole(request, server, server.rbac)
    else await checkBinding(request, server, server.rbac)
  },
}

async function mayDo(request: AdmissionRequest, server: ServerContext, verb: string, resource: string, name: string) {
  const decision = await server.authorizer.authorize({
    user: request.user,
    verb,
    isResource: true,
    group: rbacGroup,
    version: 'v1',
    resource,
    subresource: '',
    namespace: request.namespace,
    name,
    path: '',
  })
  return decision.decision === 'allow'
}

async function checkRole(request: AdmissionRequest, server: ServerContext, rbac: RbacAuthorizer): Promise<void> {
  const role = request.object as unknown as ClusterRole
  const old = request.oldObject as unknown as ClusterRole | undefined
  const same =
    old !== undefined && equal(role.rules ?? [], old.rules ?? []) && equal(role.aggregationRule, old.aggregationRule)
  if (same) return
  const { plural } = request.resource.kind
  if (await mayDo(request, server, 'escalate', plural, request.name)) return
  const everything: readonly PolicyRule[] = [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }]
  const wanted = [...(role.rules ?? []), ...(role.aggregationRule === undefined ? [] : everything)]
  await mustCover(request, rbac, plural, wanted)
}

async function checkBinding(request: AdmissionRequest, server: ServerContext, rbac: RbacAuthorizer): Promise<void> {
  const binding = request.object as unknown as RoleBinding
  const old = request.oldObject as unknown as RoleBinding | undefined
  const same =
    old !== undefined && equal(binding.roleRef, old.roleRef) && equal(binding.subjects ?? [], old.subjects ?? [])
  if (same) return
  const roles = binding.roleRef.kind === 'ClusterRole' ? 'clusterroles' : 'roles'
  if (await mayDo(request, server, 'bind', roles, binding.roleRef.name)) return
  const wanted = await rbac.rulesOfRole(binding.roleRef, request.namespace)
  if (wanted === undefined) {
    throw forbidden(
      { group: rbacGroup, resource: request.resource.kind.plural },
      request.name,
      `user ${JSON.stringify(request.user.name)} may not bind ${roles} ${JSON.stringify(binding.roleRef.name)}, which does not exist`,
    )
  }
  await mustCover(request, rbac, request.resource.kind.plural, wanted)
}

async function mustCover(
  request: AdmissionRequest,
  rbac: RbacAuthorizer,
  resource: string,
  wanted: readonly PolicyRule[],
): Promise<void> {
  const { user, namespace, name } = request
  const missing = uncovered(await rbac.rulesFor(user, namespace), wanted)
  if (missing.length === 0) return
  const groups = `[${user.groups.map((g) => JSON.stringify(g)).join(' ')}]`
  throw forbidden(
    { group: rbacGroup, resource },
    name,
    `user ${JSON.stringify(user.name)} (groups=${groups}) is attempting to grant RBAC permissions not currently held:\n${missing.map(printRule).join('\n')}`,
  )
}
