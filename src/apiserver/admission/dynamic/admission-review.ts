// AdmissionReview (admission.k8s.io/v1 and v1beta1): what a webhook is told, and what may be said in answer.
// (https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/)
import type { JsonObject } from '../../../api/machinery/schema.ts'
import type { UserInfo } from '../../request.ts'
import type { ServedResource } from '../../resources.ts'
import type { Attributes } from './attributes.ts'

export type ReviewVersion = 'v1' | 'v1beta1'

/** AdmissionRequest without uid and objects: what expressions see of it too. */
export function requestOf(attributes: Attributes, version: ServedResource): JsonObject {
  const { request } = attributes
  const { resource, subresource, name, operation, user, dryRun, options } = request
  const { namespace } = attributes
  const part = subresource === '' ? undefined : subresource
  return defined({
    kind: { ...attributes.kindIn(version) },
    resource: resourceIn(version),
    subResource: part,
    requestKind: { ...attributes.kindIn(resource) },
    requestResource: resourceIn(resource),
    requestSubResource: part,
    name: name === '' ? undefined : name,
    namespace: namespace === '' ? undefined : namespace,
    operation,
    userInfo: userOf(user),
    dryRun,
    options,
  })
}
const resourceIn = ({ group, version, kind }: ServedResource): JsonObject => ({
  group,
  version,
  resource: kind.plural,
})
const userOf = ({ name, uid, groups, extra }: UserInfo): JsonObject =>
  defined({ username: name, uid, groups: groups as string[], extra: extra as JsonObject | undefined })
const defined = (members: Readonly<Record<string, JsonObject[string] | undefined>>): JsonObject =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as JsonObject

/** The whole review. */
export async function reviewOf(
  attributes: Attributes,
  version: ServedResource,
  as: ReviewVersion,
  uid: string,
): Promise<JsonObject> {
  const [object, oldObject] = await Promise.all([attributes.objectIn(version), attributes.oldObjectIn(version)])
  return {
    kind: 'AdmissionReview',
    apiVersion: `admission.k8s.io/${as}`,
    request: {
      uid,
      ...requestOf(attributes, version),
      object: object ?? null,
      oldObject: oldObject ?? null,
      options: attributes.request.options ?? null,
    },
  }
}

export interface AdmissionAnswer {
  readonly allowed: boolean
  readonly result:
    | {
        readonly code?: number
        readonly reason?: string
        readonly message?: string
        readonly details?: JsonObject
      }
    | undefined
  /** JSON text of a JSON patch. */
  readonly patch: string | undefined
  readonly auditAnnotations: Readonly<Record<string, string>>
  readonly warnings: readonly string[]
}

interface RawResponse {
  readonly uid?: unknown
  readonly allowed?: unknown
  readonly status?: AdmissionAnswer['result']
  readonly patch?: unknown
  readonly patchType?: unknown
  readonly auditAnnotations?: Readonly<Record<string, string>>
  readonly warnings?: readonly string[]
}

/** What a webhook answered, or what is wrong with it. */
export function answerOf(
  raw: unknown,
  as: ReviewVersion,
  uid: string,
  mutating: boolean,
): AdmissionAnswer | { readonly problem: string } {
  const { apiVersion, kind, response } = (raw ?? {}) as {
    apiVersion?: unknown
    kind?: unknown
    response?: RawResponse
  }
  if (typeof response !== 'object' || response === null) return { problem: 'webhook response was absent' }
  if (as === 'v1') {
    if (response.uid !== uid)
      return { problem: `expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(response.uid ?? '')}` }
    if (kind !== 'AdmissionReview' || apiVersion !== 'admission.k8s.io/v1') {
      return {
        problem: `expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got ${String(apiVersion)}, Kind=${String(kind)}`,
      }
    }
  }
  const patch = typeof response.patch === 'string' && response.patch !== '' ? response.patch : undefined
  const { patchType } = response
  if (as === 'v1' && mutating) {
    if (patch !== undefined && patchType === undefined)
      return { problem: 'webhook returned response.patch but not response.patchType' }
    if (patch === undefined && patchType !== undefined)
      return { problem: 'webhook returned response.patchType but not response.patch' }
    if (patchType !== undefined && patchType !== 'JSONPatch')
      return { problem: `invalid webhook response.patchType of ${JSON.stringify(patchType)}, expected "JSONPatch"` }
  }
  if (as === 'v1' && !mutating && (patch !== undefined || patchType !== undefined))
    return { problem: 'validating webhook may not return response.patch or response.patchType' }
  let decoded: string | undefined
  try {
    decoded = patch === undefined ? undefined : new TextDecoder().decode(Uint8Array.from(atob(patch), charCode))
  } catch (error) {
    if (!(error instanceof DOMException)) throw error
    return { problem: 'illegal base64 data in response.patch' }
  }
  return {
    allowed: response.allowed === true,
    result: response.status,
    patch: decoded,
    auditAnnotations: response.auditAnnotations ?? {},
    warnings: response.warnings ?? [],
  }
}
const charCode = (c: string): number => c.charCodeAt(0)
