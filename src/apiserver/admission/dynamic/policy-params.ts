// The objects that parameterize a policy: named by a binding, or selected by labels, of any kind that is served.
import type { KubeObject, LabelSelector } from '../../../api/machinery/meta.ts'
import { labelSelectorMatcher } from '../../../api/machinery/labels.ts'
import type { JsonObject } from '../../../api/machinery/schema.ts'
import { mostRecent } from '../../handlers/freshness.ts'
import type { ServedResource } from '../../resources.ts'
import { versionedObject } from '../../responders/view.ts'
import { objectIn } from '../../storage/boundary.ts'
import type { Attributes } from './attributes.ts'

interface ParamKind {
  readonly apiVersion?: string | undefined
  readonly kind?: string | undefined
}
interface ParamRef {
  readonly name?: string | undefined
  readonly namespace?: string | undefined
  readonly selector?: LabelSelector | undefined
  readonly parameterNotFoundAction?: string | undefined
}
/** Each set of parameters is one run of the policy; undefined is a run without. A problem is the binding's. */
export type Params = readonly (JsonObject | undefined)[] | { readonly problem: string }

export async function paramsOf(
  attributes: Attributes,
  kind: ParamKind | undefined,
  ref: ParamRef | undefined,
): Promise<Params> {
  if (kind === undefined || ref === undefined) return [undefined]
  const resource = resourceOf(attributes, kind)
  if (resource === undefined) {
    return {
      problem: `failed to find resource referenced by paramKind: '${kind.apiVersion ?? ''}, Kind=${kind.kind ?? ''}'`,
    }
  }
  const namespace = namespaceFor(attributes, resource, ref)
  if (typeof namespace !== 'string') return namespace
  const found = await objectsOf(attributes, resource, namespace, ref)
  if (found.length > 0) return found
  return ref.parameterNotFoundAction === 'Deny'
    ? { problem: 'no params found for policy binding with `Deny` parameterNotFoundAction' }
    : []
}

function resourceOf({ server }: Attributes, { apiVersion, kind }: ParamKind): ServedResource | undefined {
  return server.resources.all().find((r) => r.apiVersion === apiVersion && r.kind.kind === kind)
}

function namespaceFor(
  attributes: Attributes,
  { kind }: ServedResource,
  ref: ParamRef,
): string | { readonly problem: string } {
  const given = ref.namespace ?? ''
  if (!kind.namespaced)
    return given === '' ? '' : { problem: 'paramRef.namespace must not be provided for a cluster-scoped `paramKind`' }
  if (given !== '') return given
  return attributes.request.namespace === ''
    ? { problem: 'cannot use namespaced paramRef in policy binding that matches cluster-scoped resources' }
    : attributes.request.namespace
}

async function objectsOf(
  { server }: Attributes,
  resource: ServedResource,
  namespace: string,
  { name, selector }: ParamRef,
): Promise<readonly JsonObject[]> {
  const { collection } = resource.storage
  await mostRecent(server, collection)
  const matches = selector === undefined ? undefined : labelSelectorMatcher(selector)
  const named = name === undefined || name === '' ? undefined : collection.find(namespace, name)
  const entries =
    matches === undefined
      ? named === undefined
        ? []
        : [named]
      : collection.all(namespace).filter((entry) => matches(entry.labels))
  const objects: KubeObject[] = await Promise.all(entries.map(async (entry) => objectIn(resource, entry)))
  return objects.map((object) => versionedObject(resource, object) as unknown as JsonObject)
}
