// Whoever writes an admission policy must be allowed to read what parameterizes it: the policy shows parameters to those
// whom it refuses. (https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#parameter-resources)
import { equal } from '../../api/machinery/equal.ts'
import { forbiddenField, invalid } from '../../api/machinery/errors.ts'
import type { ServerContext } from '../context.ts'
import type { AdmissionPlugin, AdmissionRequest } from './admission.ts'
import { lookUp } from './lookup.ts'

const policies = new Map([
  ['validatingadmissionpolicybindings', 'validatingadmissionpolicies'],
  ['mutatingadmissionpolicybindings', 'mutatingadmissionpolicies'],
])
const policyPlurals = new Set(policies.values())

interface ParamKind {
  readonly apiVersion?: string
  readonly kind?: string
}
interface ParamRef {
  readonly name?: string
  readonly namespace?: string
}
interface Spec {
  readonly paramKind?: ParamKind
  readonly policyName?: string
  readonly paramRef?: ParamRef
}
const specOf = (object: unknown): Spec => (object as { readonly spec?: Spec } | undefined)?.spec ?? {}

export const policyAuthors: AdmissionPlugin = {
  name: 'PolicyAuthors',
  handles: ({ operation, resource: { kind }, user }) =>
    (operation === 'CREATE' || operation === 'UPDATE') &&
    kind.group === 'admissionregistration.k8s.io' &&
    (policies.has(kind.plural) || policyPlurals.has(kind.plural)) &&
    !user.groups.includes('system:masters'),
  async validate(request, server) {
    const refused = policies.has(request.resource.kind.plural)
      ? await bindingRefused(request, server)
      : await policyRefused(request, server)
    if (refused === undefined) return
    const { kind } = request.resource
    throw invalid(kind.group, kind.kind, request.name, [forbiddenField(...refused)])
  },
}

/** The field and the reason, where the user may not. */
type Refused = readonly [field: string, detail: string] | undefined

async function policyRefused({ object, oldObject, user }: AdmissionRequest, server: ServerContext): Promise<Refused> {
  const { paramKind } = specOf(object)
  if (paramKind === undefined || same(paramKind, specOf(oldObject).paramKind)) return undefined
  if (await mayRead(server, user, paramKind, '*', '*')) return undefined
  const which = `(kind=${paramKind.kind ?? ''}, apiVersion=${paramKind.apiVersion ?? ''})`
  return [
    'spec.paramKind',
    `user ${user.name} must have "get" permission on all objects of the referenced paramKind ${which}`,
  ]
}

async function bindingRefused(request: AdmissionRequest, server: ServerContext): Promise<Refused> {
  const { object, oldObject, user, resource } = request
  const { policyName = '', paramRef } = specOf(object)
  const old = specOf(oldObject)
  if (paramRef === undefined || (policyName === old.policyName && same(paramRef, old.paramRef))) return undefined
  const plural = policies.get(resource.kind.plural) ?? ''
  const policy = await lookUp(server, resource.kind.group, plural, '', policyName)
  const { paramKind } = specOf(policy)
  if (policy !== undefined && paramKind === undefined) return undefined
  // A policy that is not there yet may take parameters of any kind.
  const { name = '*', namespace = '*' } = paramRef
  if (await mayRead(server, user, paramKind ?? {}, name, namespace)) return undefined
  return ['spec.paramRef', `user ${user.name} does not have "get" permission on the object referenced by paramRef`]
}

const same = (a: object, b: object | undefined): boolean => equal(a, b)

async function mayRead(
  server: ServerContext,
  user: AdmissionRequest['user'],
  { apiVersion = '*', kind }: ParamKind,
  name: string,
  namespace: string,
): Promise<boolean> {
  const served = server.resources.all().find((one) => one.apiVersion === apiVersion && one.kind.kind === kind)
  const [group = '', version = '*'] = apiVersion.includes('/')
    ? apiVersion.split('/')
    : [apiVersion === '*' ? '*' : '', apiVersion]
  const { decision } = await server.authorizer.authorize({
    user,
    verb: 'get',
    isResource: true,
    group,
    version,
    resource: served?.kind.plural ?? '*',
    subresource: '',
    namespace: served?.kind.namespaced === false ? '' : namespace,
    name,
    path: '',
  })
  return decision === 'allow'
}
