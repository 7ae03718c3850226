// Questions to the server about who somebody is and what they may do.
import type { TokenReview } from '../api/authentication/authentication.ts'
import type { ResourceAttributes, SubjectAccessReviewSpec } from '../api/authorization/authorization.ts'
import { badRequest, invalid } from '../api/machinery/errors.ts'
import { formatFieldSelector } from '../api/machinery/fields.ts'
import { formatLabelSelector } from '../api/machinery/labels.ts'
import type { KubeObject } from '../api/machinery/meta.ts'
import type { PolicyRule } from '../api/rbac/rbac.ts'
import { rfc3339 } from '../ports/clock.ts'
import { type AdmissionRequest, mutateAdmission, validateAdmission, writeOptions } from './admission/admission.ts'
import { type AuthorizationAttributes, selectorsOf } from './authorization/authorizer.ts'
import { decodeObject } from './codec.ts'
import type { ResourceRequest } from './context.ts'
import type { UserInfo } from './request.ts'
import type { Outcome } from './responders/outcome.ts'

/** The request's review, admitted and validated by its kind. */
async function reviewOf<T>(call: ResourceRequest): Promise<T> {
  const draft = await decodeObject(call)
  const { kind } = call.resource
  const { namespace = '' } = draft.metadata
  if (kind.namespaced && namespace !== '' && namespace !== call.info.namespace) {
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request')
  }
  if (kind.namespaced) draft.metadata.namespace = call.info.namespace
  const admission: AdmissionRequest = {
    operation: 'CREATE',
    resource: call.resource,
    namespace: call.info.namespace,
    name: draft.metadata.name ?? '',
    subresource: '',
    user: call.user,
    dryRun: call.dryRun,
    object: draft,
    oldObject: undefined,
    options: writeOptions(call, 'CreateOptions'),
    warnings: call.warnings,
    audit: call.request.audit,
  }
  await mutateAdmission(admission, call.server)
  const errors = kind.validate?.(draft as unknown as KubeObject, { nowMs: call.server.clock.now() }) ?? []
  // Upstream leaves the kind out here.
  if (errors.length > 0) throw invalid(kind.group, '', draft.metadata.name ?? '', errors)
  await validateAdmission(admission, call.server)
  return draft as unknown as T
}
const answer = (review: object, status: object): Outcome => ({
  kind: 'unstored',
  status: 201,
  object: { ...review, status },
})

interface AccessReview {
  readonly metadata: { readonly namespace?: string }
  readonly spec: SubjectAccessReviewSpec
}

/** SubjectAccessReview and LocalSubjectAccessReview. */
export async function accessReview(call: ResourceRequest): Promise<Outcome> {
  const review = await reviewOf<AccessReview>(call)
  const { spec } = review
  if (call.resource.kind.namespaced && spec.resourceAttributes?.namespace !== call.info.namespace) {
    throw badRequest(`spec.resourceAttributes.namespace must match namespace: ${call.info.namespace}`)
  }
  const user: UserInfo = {
    name: spec.user ?? '',
    groups: spec.groups ?? [],
    ...(spec.uid === undefined ? {} : { uid: spec.uid }),
    ...(spec.extra === undefined ? {} : { extra: spec.extra }),
  }
  return answer(review, await statusOf(call, user, spec))
}

export async function selfAccessReview(call: ResourceRequest): Promise<Outcome> {
  const review = await reviewOf<AccessReview>(call)
  return answer(review, await statusOf(call, call.user, review.spec))
}

const operators: Readonly<Record<string, '=' | '!='>> = { In: '=', NotIn: '!=' }
/** The selectors of a question as text; a requirement on a field that no selector can say restricts nothing. */
function restrictionsOf(asked: ResourceAttributes | undefined) {
  const { fieldSelector: f, labelSelector: l } = asked ?? {}
  const fields = (f?.requirements ?? []).flatMap(({ key, operator, values = [] }) => {
    const known = operators[operator]
    const [value] = values
    return known === undefined || value === undefined || values.length > 1 ? [] : { field: key, operator: known, value }
  })
  return selectorsOf(
    asked?.verb ?? '',
    f?.rawSelector ?? formatFieldSelector(fields),
    l?.rawSelector ?? (l?.requirements === undefined ? '' : formatLabelSelector({ matchExpressions: l.requirements })),
  )
}

async function statusOf(call: ResourceRequest, user: UserInfo, spec: SubjectAccessReviewSpec): Promise<object> {
  const { resourceAttributes: r, nonResourceAttributes: n } = spec
  const attributes: AuthorizationAttributes = {
    user,
    verb: r?.verb ?? n?.verb ?? '',
    isResource: r !== undefined,
    group: r?.group ?? '',
    version: r?.version ?? '',
    resource: r?.resource ?? '',
    subresource: r?.subresource ?? '',
    namespace: r?.namespace ?? '',
    name: r?.name ?? '',
    path: n?.path ?? '',
    ...restrictionsOf(r),
  }
  const { decision, reason } = await call.server.authorizer.authorize(attributes)
  return {
    allowed: decision === 'allow',
    ...(decision === 'deny' ? { denied: true } : {}),
    ...(reason === '' ? {} : { reason }),
  }
}

export async function selfRulesReview(call: ResourceRequest): Promise<Outcome> {
  const review = await reviewOf<{ readonly spec: { readonly namespace?: string } }>(call)
  const namespace = review.spec.namespace ?? ''
  if (namespace === '') throw badRequest('no namespace on request')
  const everything: readonly PolicyRule[] = [
    { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
    { verbs: ['*'], nonResourceURLs: ['*'] },
  ]
  const { user, server } = call
  const own = await server.rbac?.rulesFor(user, namespace)
  const rules = user.groups.includes('system:masters') ? everything : (own ?? [])
  return answer(review, {
    resourceRules: rules
      .filter((rule) => rule.nonResourceURLs === undefined)
      .map(({ verbs, apiGroups, resources, resourceNames }) => ({
        verbs,
        ...(apiGroups === undefined ? {} : { apiGroups }),
        ...(resources === undefined ? {} : { resources }),
        ...(resourceNames === undefined ? {} : { resourceNames }),
      })),
    nonResourceRules: rules
      .filter((rule) => rule.nonResourceURLs !== undefined)
      .map(({ verbs, nonResourceURLs }) => ({ verbs, nonResourceURLs })),
    incomplete: false,
  })
}

const userObject = (user: UserInfo) => ({
  username: user.name,
  ...(user.uid === undefined ? {} : { uid: user.uid }),
  groups: user.groups,
  ...(user.extra === undefined ? {} : { extra: user.extra }),
})

export async function selfSubjectReview(call: ResourceRequest): Promise<Outcome> {
  const review = await reviewOf<{ readonly metadata: object }>(call)
  const metadata = { ...review.metadata, creationTimestamp: rfc3339(call.server.clock.now()) }
  return answer({ ...review, metadata }, { userInfo: userObject(call.user) })
}

export async function tokenReview(call: ResourceRequest): Promise<Outcome> {
  const review = await reviewOf<TokenReview>(call)
  const token = review.spec.token ?? ''
  if (token === '') throw badRequest('token is required for TokenReview in authentication')
  const { issuer } = call.server.identity.tokens
  const asked = review.spec.audiences ?? []
  const checked = await call.server.reviewToken(token, asked.length > 0 ? asked : [issuer])
  if (checked === undefined) {
    return answer(review, { user: {}, error: 'invalid bearer token' })
  }
  return answer(review, { authenticated: true, user: userObject(checked.user), audiences: checked.audiences })
}
