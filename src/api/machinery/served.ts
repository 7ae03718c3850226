// The flat list of what is served: one entry per group, version and resource, made from the kinds. Discovery and OpenAPI
// read it.
import type { Kind, KindVersion, Verb } from './kind.ts'
import type { ObjectSchema } from './schema.ts'

export interface GroupVersion {
  readonly group: string
  readonly version: string
}
export interface Subresource {
  readonly name: string
  readonly verbs: readonly string[]
  readonly kind: string
  /** Where the subresource's kind lives; absent where it is the resource's own group and version. */
  readonly from?: GroupVersion
}
export interface ServedResource extends GroupVersion {
  readonly declared: Kind<never>
  /** Absent for the stored version. */
  readonly older?: KindVersion
  readonly schema: ObjectSchema
  readonly kind: string
  readonly plural: string
  readonly singular: string
  readonly shortNames: readonly string[]
  readonly categories: readonly string[]
  readonly namespaced: boolean
  readonly verbs: readonly Verb[]
  readonly subresources: readonly Subresource[]
}

export const allVerbs: readonly Verb[] = [
  'create',
  'delete',
  'deletecollection',
  'get',
  'list',
  'patch',
  'update',
  'watch',
]
const readWrite = ['get', 'patch', 'update']
const connect = ['create', 'get']
const proxy = ['create', 'delete', 'get', 'patch', 'update']
type CustomSubresource = Omit<Subresource, 'name' | 'kind'> & { readonly kind?: string }
/** Subresources with a handler of their own; without `kind` they hold the resource itself. */
const customSubresources: Readonly<Record<string, CustomSubresource>> = {
  'pods/attach': { kind: 'PodAttachOptions', verbs: connect },
  'pods/binding': { kind: 'Binding', verbs: ['create'] },
  'pods/ephemeralcontainers': { verbs: readWrite },
  'pods/eviction': { kind: 'Eviction', verbs: ['create'], from: { group: 'policy', version: 'v1' } },
  'pods/exec': { kind: 'PodExecOptions', verbs: connect },
  'pods/log': { verbs: ['get'] },
  'pods/portforward': { kind: 'PodPortForwardOptions', verbs: connect },
  'pods/proxy': { kind: 'PodProxyOptions', verbs: proxy },
  'pods/resize': { verbs: readWrite },
  'services/proxy': { kind: 'ServiceProxyOptions', verbs: proxy },
  'nodes/proxy': { kind: 'NodeProxyOptions', verbs: proxy },
  'namespaces/finalize': { verbs: ['update'] },
  'serviceaccounts/token': {
    kind: 'TokenRequest',
    verbs: ['create'],
    from: { group: 'authentication.k8s.io', version: 'v1' },
  },
  'certificatesigningrequests/approval': { verbs: readWrite },
}

function subresourcesOf(kind: Kind<never>): Subresource[] {
  const { status, scale, custom = [] } = kind.subresources ?? {}
  const found: Subresource[] = custom.map((name) => {
    const known = customSubresources[`${kind.plural}/${name}`]
    return { verbs: readWrite, ...known, name, kind: known?.kind ?? kind.kind }
  })
  if (status === true) found.push({ name: 'status', verbs: readWrite, kind: kind.kind })
  if (scale !== undefined) {
    found.push({ name: 'scale', verbs: readWrite, kind: 'Scale', from: { group: 'autoscaling', version: 'v1' } })
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** Every served version of every kind. */
export function servedResources(kinds: readonly Kind<never>[]): ServedResource[] {
  return kinds.flatMap((kind) => {
    const common = {
      declared: kind,
      kind: kind.kind,
      plural: kind.plural,
      singular: kind.singular,
      categories: kind.categories ?? [],
      namespaced: kind.namespaced,
      subresources: subresourcesOf(kind),
    }
    const sorted = (verbs: readonly Verb[] | undefined) => [...(verbs ?? allVerbs)].sort()
    const stored: ServedResource = {
      ...common,
      group: kind.group,
      version: kind.version,
      schema: kind.schema,
      shortNames: kind.shortNames ?? [],
      verbs: sorted(kind.verbs),
    }
    const others = (kind.versions ?? []).map(
      (older): ServedResource => ({
        ...common,
        // Once is enough in `kubectl get all`: another group's view of the same objects is asked for by name.
        categories: older.group === kind.group ? common.categories : [],
        older,
        group: older.group,
        version: older.version,
        schema: older.schema,
        shortNames: older.shortNames ?? kind.shortNames ?? [],
        verbs: sorted(older.verbs ?? kind.verbs),
      }),
    )
    return [stored, ...others]
  })
}

/** The order in which groups are offered: upstream's for the built-in ones, then alphabetical. */
const groupOrder = [
  '',
  'apiregistration.k8s.io',
  'apps',
  'events.k8s.io',
  'authentication.k8s.io',
  'authorization.k8s.io',
  'autoscaling',
  'batch',
  'certificates.k8s.io',
  'networking.k8s.io',
  'extensions',
  'policy',
  'rbac.authorization.k8s.io',
  'storage.k8s.io',
  'admissionregistration.k8s.io',
  'apiextensions.k8s.io',
  'scheduling.k8s.io',
  'coordination.k8s.io',
  'node.k8s.io',
  'discovery.k8s.io',
  'resource.k8s.io',
  'flowcontrol.apiserver.k8s.io',
  'internal.apiserver.k8s.io',
  'storagemigration.k8s.io',
]
/** Where a group stands among those that are offered (groupPriorityMinimum of an APIService): larger comes first. */
export const groupRank = (group: string): number => {
  const at = groupOrder.indexOf(group)
  return at < 0 ? 1000 : 18_000 - 50 * at
}
/** versionPriority: stable before beta before alpha, newer before older. */
export function versionRank(version: string): number {
  const match = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version)
  if (match === null) return 1
  const stage = match[2] === undefined ? 15 : match[2] === 'beta' ? 9 : 1
  return stage + Math.min(5, Number(match[3] ?? match[1]) - 1)
}
export function compareGroups(a: string, b: string): number {
  const rank = (group: string) => {
    const at = groupOrder.indexOf(group)
    return at < 0 ? groupOrder.length : at
  }
  return rank(a) - rank(b) || (a < b ? -1 : a > b ? 1 : 0)
}

/** v2 before v1 before v1beta2 before v1alpha1; other names come last, alphabetically. */
export function compareVersions(a: string, b: string): number {
  const parse = (version: string) => {
    const match = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version)
    if (match === null) return undefined
    const stage = match[2] === undefined ? 2 : match[2] === 'beta' ? 1 : 0
    return [stage, Number(match[1]), Number(match[3] ?? 0)] as const
  }
  const [left, right] = [parse(a), parse(b)]
  if (left === undefined || right === undefined) {
    if (left !== undefined) return -1
    if (right !== undefined) return 1
    return a < b ? -1 : a > b ? 1 : 0
  }
  return right[0] - left[0] || right[1] - left[1] || right[2] - left[2]
}
