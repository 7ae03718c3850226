// POST serviceaccounts/NAME/token: a token that ends by itself and that may be bound to a pod, a secret or a node, so that
// it dies with them. (KEP-1205, KEP-4193)
import { tokenRequests } from '../../api/authentication/authentication.ts'
import type { Pod } from '../../api/core/pod.ts'
import { badRequest, conflict, type FieldError, invalid, invalidField, notFound } from '../../api/machinery/errors.ts'
import type { KubeObject } from '../../api/machinery/meta.ts'
import { rfc3339 } from '../../ports/clock.ts'
import type { BoundClaims, TokenClaims } from '../../ports/identity.ts'
import { type AdmissionRequest, mutateAdmission, validateAdmission, writeOptions } from '../admission/admission.ts'
import type { ObjectDraft } from '../codec.ts'
import type { ResourceRequest, ServerContext } from '../context.ts'
import { mostRecent } from '../handlers/freshness.ts'
import { currentEntry } from '../handlers/get.ts'
import type { Outcome } from '../responders/outcome.ts'
import { readBodyOf } from './body.ts'

interface TokenRequest {
  readonly metadata: { readonly name?: string; readonly namespace?: string }
  readonly spec: {
    readonly audiences?: readonly string[]
    readonly expirationSeconds?: number
    readonly boundObjectRef?: {
      readonly kind?: string
      readonly apiVersion?: string
      readonly name?: string
      readonly uid?: string
    }
  }
}
const minSeconds = 600
const maxSeconds = 2 ** 32
const defaultSeconds = 3600
/** What kubelets ask for pods: such tokens live longer than they say, with a warning in the audit log once they should
 * have been renewed, because old clients read the file only once. */
const projectedSeconds = 3607
const extendedSeconds = 365 * 24 * 3600

export async function requestToken(call: ResourceRequest): Promise<Outcome> {
  const { server, info } = call
  const request = await readBodyOf<TokenRequest>(call, {
    kind: 'TokenRequest',
    apiVersions: ['authentication.k8s.io/v1'],
    schema: tokenRequests.schema,
  })
  const name = request.metadata.name ?? ''
  if (name !== '' && name !== info.name) {
    throw badRequest(`the name of the object (${name}) does not match the name on the URL (${info.name})`)
  }
  const seconds = request.spec.expirationSeconds ?? defaultSeconds
  checkSeconds(seconds)
  const entry = await currentEntry(call)
  const account = call.resource.storage.collection.object(entry)
  const admission: AdmissionRequest = {
    operation: 'CREATE',
    resource: call.resource,
    namespace: info.namespace,
    name: info.name,
    subresource: 'token',
    user: call.user,
    dryRun: call.dryRun,
    object: request as unknown as ObjectDraft,
    oldObject: undefined,
    shape: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', schema: tokenRequests.schema },
    options: writeOptions(call, 'CreateOptions'),
    warnings: call.warnings,
    audit: call.request.audit,
  }
  await mutateAdmission(admission, server)
  await validateAdmission(admission, server)
  const bound = await boundObject(server, account, request)
  const issuer = server.identity.tokens.issuer
  const audiences = (request.spec.audiences ?? []).length > 0 ? (request.spec.audiences ?? []) : [issuer]
  const nowSeconds = Math.floor(server.clock.now() / 1000)
  const extend = seconds === projectedSeconds && bound.pod !== undefined && audiences.includes(issuer)
  const claims: TokenClaims = {
    aud: audiences,
    exp: nowSeconds + (extend ? extendedSeconds : seconds),
    iat: nowSeconds,
    iss: issuer,
    jti: server.random.uuid(),
    'kubernetes.io': {
      namespace: info.namespace,
      serviceaccount: { name: info.name, uid: account.metadata.uid },
      ...bound,
      ...(extend ? { warnafter: nowSeconds + seconds } : {}),
    },
    nbf: nowSeconds,
    sub: `system:serviceaccount:${info.namespace}:${info.name}`,
  }
  const token = call.dryRun ? '' : await server.identity.tokens.sign(claims)
  const { boundObjectRef } = request.spec
  return {
    kind: 'object',
    status: 201,
    object: {
      kind: 'TokenRequest',
      apiVersion: 'authentication.k8s.io/v1',
      metadata: { name: info.name, namespace: info.namespace, creationTimestamp: rfc3339(server.clock.now()) },
      spec: { audiences, expirationSeconds: seconds, boundObjectRef: boundObjectRef ?? null },
      status: { token, expirationTimestamp: rfc3339((nowSeconds + seconds) * 1000) },
    },
  }
}

function checkSeconds(seconds: number): void {
  const errors: FieldError[] = []
  if (seconds < minSeconds) {
    errors.push(invalidField('spec.expirationSeconds', seconds, 'may not specify a duration less than 10 minutes'))
  }
  if (seconds > maxSeconds) {
    errors.push(invalidField('spec.expirationSeconds', seconds, 'may not specify a duration larger than 2^32 seconds'))
  }
  if (errors.length > 0) throw invalid('authentication.k8s.io', 'TokenRequest', '', errors)
}

/** "apps/v1, Kind=Deployment", "/v1, Kind=Foo". */
const printType = (apiVersion: string, kind: string): string =>
  `${apiVersion.includes('/') ? apiVersion : `/${apiVersion}`}, Kind=${kind}`

type Bound = Pick<BoundClaims, 'pod' | 'node' | 'secret'>

/** The claims about the object that the token is bound to. Throws where that object is not what the request says. */
async function boundObject(server: ServerContext, account: KubeObject, request: TokenRequest): Promise<Bound> {
  const reference = request.spec.boundObjectRef
  if (reference === undefined) return {}
  const { kind = '', apiVersion = '', name = '', uid = '' } = reference
  const plural = apiVersion === 'v1' ? { Pod: 'pods', Secret: 'secrets', Node: 'nodes' }[kind] : undefined
  if (plural === undefined) {
    throw badRequest(`cannot bind token to object of type ${printType(apiVersion, kind)}`)
  }
  const namespace = account.metadata.namespace ?? ''
  const find = async (resource: string, objectName: string, within: string) => {
    const { collection } = server.resources.required('', resource)
    await mostRecent(server, collection)
    const entry = collection.find(within, objectName)
    return entry === undefined ? undefined : collection.object(entry)
  }
  const object = await find(plural, name, kind === 'Node' ? '' : namespace)
  if (object === undefined) throw notFound({ group: '', resource: plural }, name)
  if (uid !== '' && uid !== object.metadata.uid) {
    throw conflict(
      { group: '', resource: plural },
      name,
      `the UID in the bound object reference (${uid}) does not match the UID in record. The object might have been deleted and then recreated`,
    )
  }
  const claim = { name, uid: object.metadata.uid }
  if (kind === 'Node') return { node: claim }
  if (kind === 'Secret') return { secret: claim }
  const { spec } = object as unknown as Pod
  if (spec.serviceAccountName !== account.metadata.name) {
    throw badRequest(
      `cannot bind token for serviceaccount ${JSON.stringify(account.metadata.name)} to pod running with different serviceaccount name.`,
    )
  }
  if ((spec.nodeName ?? '') === '') return { pod: claim }
  const node = await find('nodes', spec.nodeName ?? '', '')
  return { pod: claim, node: { name: spec.nodeName ?? '', ...(node === undefined ? {} : { uid: node.metadata.uid }) } }
}
