// What both OpenAPI documents are made from: the served resources, the kinds that belong to subresources only, and which
// schema stands behind a body. Made once per change of the list of kinds; the documents themselves are made on demand.
import type { Kind } from './kind.ts'
import { deleteOptions, status } from './meta.ts'
import { listSchema, patchSchema, watchEventSchema } from './meta-schemas.ts'
import type { BodyType, PathItem } from './openapi-paths.ts'
import type { Definitions, Describe, GroupVersionKind } from './openapi-schema.ts'
import type { JsonObject, ObjectSchema } from './schema.ts'
import { type GroupVersion, type ServedResource, servedResources } from './served.ts'

/** A kind without a resource of its own: Scale, Eviction, TokenRequest ... */
export interface NamedKind extends GroupVersionKind {
  readonly schema: ObjectSchema
}
export interface ApiDescription {
  readonly resources: readonly ServedResource[]
  readonly kinds: readonly NamedKind[]
  readonly describe: Describe
}
/** `others` are the kinds that only subresources hold. */
export const describeApi = (
  kinds: readonly Kind<never>[],
  others: readonly NamedKind[],
  describe: Describe,
): ApiDescription => ({ resources: servedResources(kinds), kinds: others, describe })

/** "com.example.stable.v1.CronTab" for the root of a custom resource, the schema's own name otherwise. */
export function definitionName(resource: ServedResource): string {
  if (resource.schema.name !== '') return resource.schema.name
  return [...resource.group.split('.').reverse(), resource.version, resource.kind].join('.')
}
const listKindOf = (resource: ServedResource): string => resource.declared.listKind ?? `${resource.kind}List`
const listDefinitionName = (resource: ServedResource): string =>
  definitionName(resource).replace(/[^.]*$/, listKindOf(resource))

/** Puts a body into a document: a reference, or plain text. */
export function bodyOf(api: ApiDescription, definitions: Definitions, item: PathItem, type: BodyType): JsonObject {
  switch (type) {
    case 'string':
      return { type: 'string' }
    case 'Status':
      return definitions.refer(status)
    case 'WatchEvent':
      return definitions.refer(watchEventSchema)
    case 'DeleteOptions':
      return definitions.refer(deleteOptions)
    case 'Patch':
      return definitions.refer(patchSchema)
    case 'list':
      return definitions.referAs(
        listDefinitionName(item.resource),
        listSchema(withDefinition(item.resource), listDefinitionName(item.resource)),
      )
    case 'object': {
      const { resource, subresource } = item
      const own = subresource === undefined || (subresource.kind === resource.kind && subresource.from === undefined)
      if (own) return definitions.refer(withDefinition(resource))
      const { group, version } = subresource.from ?? resource
      const kind = findKind(api, { group, version, kind: subresource.kind })
      return kind === undefined ? { type: 'object' } : definitions.refer(kind)
    }
  }
}
const renamed = new WeakMap<ObjectSchema, ObjectSchema>()
/** A custom resource's schema under the name of its definition. */
function withDefinition(resource: ServedResource): ObjectSchema {
  if (resource.schema.name !== '') return resource.schema
  const known = renamed.get(resource.schema)
  if (known !== undefined) return known
  const made: ObjectSchema = { ...resource.schema, name: definitionName(resource) }
  renamed.set(resource.schema, made)
  return made
}
function findKind(api: ApiDescription, wanted: GroupVersionKind): ObjectSchema | undefined {
  const same = (kind: GroupVersionKind) =>
    kind.group === wanted.group && kind.version === wanted.version && kind.kind === wanted.kind
  return api.kinds.find(same)?.schema ?? api.resources.find(same)?.schema
}

const metaKinds = ['APIGroup', 'APIGroupList', 'APIResourceList', 'APIVersions', 'Status']
/** Which kinds a definition is; `versions` are those that share DeleteOptions and WatchEvent in the document. */
export function kindsByDefinition(
  api: ApiDescription,
  versions: readonly GroupVersion[],
): (definition: string) => readonly GroupVersionKind[] {
  const kinds = new Map<string, GroupVersionKind[]>()
  const add = (name: string, kind: GroupVersionKind) => {
    const known = kinds.get(name) ?? []
    const twice = known.some((k) => k.group === kind.group && k.version === kind.version && k.kind === kind.kind)
    if (!twice) kinds.set(name, [...known, kind])
  }
  for (const resource of api.resources) {
    const { group, version, kind } = resource
    add(definitionName(resource), { group, version, kind })
    add(listDefinitionName(resource), { group, version, kind: listKindOf(resource) })
  }
  for (const { schema, ...kind } of api.kinds) add(schema.name, kind)
  const meta = 'io.k8s.apimachinery.pkg.apis.meta.v1.'
  for (const kind of metaKinds) add(`${meta}${kind}`, { group: '', version: 'v1', kind })
  for (const kind of ['DeleteOptions', 'WatchEvent']) {
    for (const { group, version } of [{ group: '', version: 'v1' }, ...versions]) {
      add(`${meta}${kind}`, { group, version, kind })
    }
  }
  return (definition) => kinds.get(definition) ?? []
}

export const jsonTypes = ['application/json', 'application/yaml', 'application/vnd.kubernetes.protobuf']
const streamTypes = ['application/json;stream=watch', 'application/vnd.kubernetes.protobuf;stream=watch']
/** Media types of an answer; custom resources have no protobuf form. */
export function producedTypes(item: PathItem, produces: PathItem['operations'][number]['produces']): string[] {
  const known = (types: readonly string[]) =>
    item.resource.schema.structural === true ? types.filter((type) => !type.includes('protobuf')) : [...types]
  switch (produces) {
    case 'object':
      return known(jsonTypes)
    case 'watch':
      return known([...jsonTypes, ...streamTypes])
    case 'text':
      return ['text/plain', ...jsonTypes]
    case 'any':
      return ['*/*']
  }
}
export const patchTypes = (item: PathItem): string[] => [
  'application/json-patch+json',
  'application/merge-patch+json',
  ...(item.resource.schema.structural === true ? [] : ['application/strategic-merge-patch+json']),
  'application/apply-patch+yaml',
]
export const statusText: Readonly<Record<string, string>> = {
  200: 'OK',
  201: 'Created',
  202: 'Accepted',
  401: 'Unauthorized',
}

export const apiInfo = (version: string): JsonObject => ({ title: 'Kubernetes', version })
export const bearerToken: JsonObject = {
  BearerToken: { type: 'apiKey', name: 'authorization', in: 'header', description: 'Bearer Token authentication' },
}
