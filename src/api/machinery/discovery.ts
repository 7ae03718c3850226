// Discovery documents: what groups, versions and resources there are, in the old form (a document per group version) and
// the aggregated one (everything in one answer). Pure functions of the list of kinds.
import type { Kind } from './kind.ts'
import {
  compareGroups,
  compareVersions,
  groupRank,
  type GroupVersion,
  type ServedResource,
  servedResources,
  type Subresource,
  versionRank,
} from './served.ts'
import type { JsonObject } from './schema.ts'
import { base64, sha256 } from './sha256.ts'

/** Groups that this server passes on to another one (aggregated APIs) or that are known but hold no kinds. */
export interface Discovery {
  readonly resources: readonly ServedResource[]
  readonly aggregated?: readonly AggregatedGroupVersion[]
}
/** A group version that another server answers. */
export interface AggregatedGroupVersion extends GroupVersion {
  readonly groupPriority: number
  readonly versionPriority: number
  /** What is known of it is what it said lately. */
  readonly fresh: boolean
  /** In the form of aggregated discovery. */
  readonly resources: readonly JsonObject[]
}
export const discoveryOf = (
  kinds: readonly Kind<never>[],
  aggregated: readonly AggregatedGroupVersion[] = [],
): Discovery => ({ resources: servedResources(kinds), aggregated })

const groupVersionText = ({ group, version }: GroupVersion): string => (group === '' ? version : `${group}/${version}`)
const byName = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

function versionsOf(discovery: Discovery, group: string): string[] {
  const { resources, aggregated = [] } = discovery
  const others = aggregated.filter((a) => a.group === group)
  const versions = new Set([...resources.filter((r) => r.group === group), ...others].map((r) => r.version))
  const priority = (version: string) =>
    others.find((a) => a.version === version)?.versionPriority ?? versionRank(version)
  return [...versions].sort((a, b) => (others.length === 0 ? 0 : priority(b) - priority(a)) || compareVersions(a, b))
}
/** All groups but the legacy one, in order. */
export const groupNames = (discovery: Discovery): string[] =>
  [...new Set([...discovery.resources, ...(discovery.aggregated ?? [])].map((r) => r.group))]
    .filter((group) => group !== '')
    .sort((a, b) => rankIn(discovery, b) - rankIn(discovery, a) || compareGroups(a, b))
const rankIn = ({ aggregated = [] }: Discovery, group: string): number =>
  Math.max(groupRank(group), ...aggregated.filter((a) => a.group === group).map((a) => a.groupPriority))

/** GET /api. `serverAddress` is host:port as clients reach it. */
export const apiVersions = (discovery: Discovery, serverAddress: string) => ({
  kind: 'APIVersions' as const,
  versions: versionsOf(discovery, ''),
  serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress }],
})

const groupBody = (discovery: Discovery, name: string) => {
  const versions = versionsOf(discovery, name).map((version) => ({ groupVersion: `${name}/${version}`, version }))
  const [preferred = { groupVersion: '', version: '' }] = versions
  return { name, versions, preferredVersion: preferred }
}
/** GET /apis. */
export const apiGroupList = (discovery: Discovery) => ({
  kind: 'APIGroupList' as const,
  apiVersion: 'v1',
  groups: groupNames(discovery).map((name) => groupBody(discovery, name)),
})
/** GET /apis/GROUP; undefined for an unknown group. */
export const apiGroup = (discovery: Discovery, name: string) =>
  groupNames(discovery).includes(name)
    ? { kind: 'APIGroup' as const, apiVersion: 'v1', ...groupBody(discovery, name) }
    : undefined

/** Names the stored version of a resource, so that a client sees when it changes. */
export const storageVersionHash = (kind: Kind<never>): string =>
  base64(sha256(`${kind.group}/${kind.storageVersion ?? kind.version}/${kind.kind}`).subarray(0, 8))

interface ApiResource {
  readonly name: string
  readonly singularName: string
  readonly namespaced: boolean
  readonly kind: string
  readonly verbs: readonly string[]
  readonly group?: string
  readonly version?: string
  readonly shortNames?: readonly string[]
  readonly categories?: readonly string[]
  readonly storageVersionHash?: string
}
function apiResource(resource: ServedResource): ApiResource {
  return {
    name: resource.plural,
    singularName: resource.singular,
    namespaced: resource.namespaced,
    kind: resource.kind,
    verbs: resource.verbs,
    ...(resource.shortNames.length > 0 ? { shortNames: resource.shortNames } : {}),
    ...(resource.categories.length > 0 ? { categories: resource.categories } : {}),
    ...(resource.verbs.includes('watch') ? { storageVersionHash: storageVersionHash(resource.declared) } : {}),
  }
}
const apiSubresource = (resource: ServedResource, sub: Subresource): ApiResource => ({
  name: `${resource.plural}/${sub.name}`,
  singularName: '',
  namespaced: resource.namespaced,
  ...(sub.from === undefined ? {} : { group: sub.from.group, version: sub.from.version }),
  kind: sub.kind,
  verbs: sub.verbs,
})
/** GET /api/v1 and /apis/GROUP/VERSION; undefined where nothing is served. */
export function apiResourceList(discovery: Discovery, gv: GroupVersion) {
  const served = inVersion(discovery, gv)
  if (served.length === 0) return undefined
  return {
    kind: 'APIResourceList' as const,
    apiVersion: 'v1',
    groupVersion: groupVersionText(gv),
    resources: served.flatMap((r) => [apiResource(r), ...r.subresources.map((sub) => apiSubresource(r, sub))]),
  }
}
const inVersion = (discovery: Discovery, gv: GroupVersion): ServedResource[] =>
  discovery.resources
    .filter((r) => r.group === gv.group && r.version === gv.version)
    .sort((a, b) => byName(a.plural, b.plural))

export type AggregatedVersion = 'v2' | 'v2beta1'
/** GET /api or /apis as aggregated discovery: the legacy group, or all the others. */
export function aggregatedDiscovery(discovery: Discovery, which: 'api' | 'apis', version: AggregatedVersion) {
  const groups = which === 'api' ? [''] : groupNames(discovery)
  return {
    kind: 'APIGroupDiscoveryList' as const,
    apiVersion: `apidiscovery.k8s.io/${version}`,
    metadata: {},
    items: groups.map((group) => ({
      metadata: group === '' ? {} : { name: group },
      versions: versionsOf(discovery, group).map((v) => {
        const other = discovery.aggregated?.find((a) => a.group === group && a.version === v)
        return {
          version: v,
          resources: other?.resources ?? inVersion(discovery, { group, version: v }).map((r) => aggregatedResource(r)),
          freshness: other === undefined || other.fresh ? ('Current' as const) : ('Stale' as const),
        }
      }),
    })),
  }
}
/** A kind of the same group and version is named without them. */
const responseKind = (kind: string, from: GroupVersion | undefined) => ({
  group: from?.group ?? '',
  version: from?.version ?? '',
  kind,
})
const aggregatedResource = (r: ServedResource) => ({
  resource: r.plural,
  responseKind: responseKind(r.kind, undefined),
  scope: r.namespaced ? ('Namespaced' as const) : ('Cluster' as const),
  singularResource: r.singular,
  verbs: r.verbs,
  ...(r.shortNames.length > 0 ? { shortNames: r.shortNames } : {}),
  ...(r.categories.length > 0 ? { categories: r.categories } : {}),
  ...(r.subresources.length > 0
    ? {
        subresources: r.subresources.map((sub) => ({
          subresource: sub.name,
          responseKind: responseKind(sub.kind, sub.from),
          verbs: sub.verbs,
        })),
      }
    : {}),
})
