// The kinds of meta.k8s.io and the discovery documents that belong to no resource, as schemas: for OpenAPI and protobuf.
import { listMeta, objectMeta } from './meta.ts'
import { any, array, boolean, type ObjectSchema, object, optional, required, string, struct } from './schema.ts'

const META = 'io.k8s.apimachinery.pkg.apis.meta.v1.'
const typeMeta = { apiVersion: optional(0, string()), kind: optional(0, string()) }
const atomic = { listType: 'atomic' } as const

export const apiResource = object(`${META}APIResource`, {
  name: required(1, string()),
  singularName: required(6, string()),
  namespaced: required(2, boolean()),
  group: optional(8, string()),
  version: optional(9, string()),
  kind: required(3, string()),
  verbs: required(4, array(string(), { wrapped: true })),
  shortNames: optional(5, array(string(), atomic)),
  categories: optional(7, array(string(), atomic)),
  storageVersionHash: optional(10, string()),
})
export const apiResourceListSchema = object(`${META}APIResourceList`, {
  ...typeMeta,
  groupVersion: required(1, string()),
  resources: required(2, array(apiResource, atomic)),
})
const groupVersionForDiscovery = object(`${META}GroupVersionForDiscovery`, {
  groupVersion: required(1, string()),
  version: required(2, string()),
})
const serverAddress = object(`${META}ServerAddressByClientCIDR`, {
  clientCIDR: required(1, string()),
  serverAddress: required(2, string()),
})
export const apiGroupSchema = object(`${META}APIGroup`, {
  ...typeMeta,
  name: required(1, string()),
  versions: required(2, array(groupVersionForDiscovery, atomic)),
  preferredVersion: struct(3, groupVersionForDiscovery),
  serverAddressByClientCIDRs: optional(4, array(serverAddress, atomic)),
})
export const apiGroupListSchema = object(`${META}APIGroupList`, {
  ...typeMeta,
  groups: required(1, array(apiGroupSchema, atomic)),
})
export const apiVersionsSchema = object(`${META}APIVersions`, {
  ...typeMeta,
  versions: required(1, array(string(), atomic)),
  serverAddressByClientCIDRs: required(2, array(serverAddress, atomic)),
})
export const watchEventSchema = object(`${META}WatchEvent`, {
  type: required(1, string()),
  object: required(2, any('io.k8s.apimachinery.pkg.runtime.RawExtension')),
})
export const patchSchema = object(`${META}Patch`, {})
export const partialObjectMetadata = object(`${META}PartialObjectMetadata`, {
  ...typeMeta,
  metadata: struct(1, objectMeta),
})
export const partialObjectMetadataList = object(`${META}PartialObjectMetadataList`, {
  ...typeMeta,
  metadata: struct(1, listMeta),
  items: required(2, array(partialObjectMetadata)),
})
export const versionInfo = object('io.k8s.apimachinery.pkg.version.Info', {
  major: required(0, string()),
  minor: required(0, string()),
  emulationMajor: optional(0, string()),
  emulationMinor: optional(0, string()),
  minCompatibilityMajor: optional(0, string()),
  minCompatibilityMinor: optional(0, string()),
  gitVersion: required(0, string()),
  gitCommit: required(0, string()),
  gitTreeState: required(0, string()),
  buildDate: required(0, string()),
  goVersion: required(0, string()),
  compiler: required(0, string()),
  platform: required(0, string()),
})

const lists = new WeakMap<ObjectSchema, ObjectSchema>()
/** The schema of the list of a kind. */
export function listSchema(item: ObjectSchema, name = item.name === '' ? '' : `${item.name}List`): ObjectSchema {
  const known = lists.get(item)
  if (known !== undefined) return known
  const made: ObjectSchema = object(name, {
    ...typeMeta,
    metadata: struct(1, listMeta),
    items: required(2, array(item), { mayBeEmpty: true }),
  })
  lists.set(item, made)
  return made
}
