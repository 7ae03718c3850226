// From a word of the user (po, pods, deploy, deployments.apps) to the resource that the server has under it.
import type { Transport } from '../ports/transport.ts'
import { CliError } from './command.ts'
import { ask } from './connect.ts'

export interface ApiResource {
  readonly group: string
  readonly version: string
  readonly kind: string
  readonly plural: string
  readonly singular: string
  readonly shortNames: readonly string[]
  readonly categories: readonly string[]
  readonly namespaced: boolean
}
interface Discovery {
  readonly items: readonly {
    readonly metadata?: { readonly name?: string }
    readonly versions: readonly {
      readonly version: string
      readonly resources?: readonly {
        readonly resource: string
        readonly responseKind?: { readonly kind: string }
        readonly scope: string
        readonly singularResource: string
        readonly shortNames?: readonly string[]
        readonly categories?: readonly string[]
      }[]
    }[]
  }[]
}
const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList'

/** Every resource the server serves, preferred versions first. */
export async function discover(transport: Transport): Promise<readonly ApiResource[]> {
  const [core, groups] = await Promise.all(
    ['/api', '/apis'].map((path) => ask<Discovery>(transport, path, { headers: { accept } })),
  )
  const out: ApiResource[] = []
  for (const group of [...(core?.items ?? []), ...(groups?.items ?? [])])
    for (const { version, resources } of group.versions)
      for (const r of resources ?? [])
        out.push({
          group: group.metadata?.name ?? '',
          version,
          kind: r.responseKind?.kind ?? '',
          plural: r.resource,
          singular: r.singularResource,
          shortNames: r.shortNames ?? [],
          categories: r.categories ?? [],
          namespaced: r.scope === 'Namespaced',
        })
  return out
}

/** The resources that a word means: one, or several for a category ("all"). Throws CliError as kubectl words it. */
export function findResources(resources: readonly ApiResource[], word: string): readonly ApiResource[] {
  const lower = word.toLowerCase()
  const category = resources.filter((r) => r.categories.includes(lower))
  if (category.length > 0)
    return category.filter((r, i) => category.findIndex((o) => o.group === r.group && o.plural === r.plural) === i)
  const [name = '', ...rest] = lower.split('.')
  const group = rest.join('.')
  const fits = (r: ApiResource) =>
    [r.plural, r.singular, r.kind.toLowerCase(), ...r.shortNames].includes(name) &&
    (group === '' || r.group === group || `${r.version}.${r.group}` === group)
  const found = resources.find(fits)
  if (found === undefined) throw new CliError(`the server doesn't have a resource type "${word}"`)
  return [found]
}

/** Path of a collection, or of one object. */
export function pathOf(r: ApiResource, namespace: string | undefined, name?: string): string {
  const base = r.group === '' ? `/api/${r.version}` : `/apis/${r.group}/${r.version}`
  const scope = r.namespaced && namespace !== undefined ? `/namespaces/${encodeURIComponent(namespace)}` : ''
  return `${base}${scope}/${r.plural}${name === undefined ? '' : `/${encodeURIComponent(name)}`}`
}

/** "pod/web" and "pod web" alike: the resource word and the names. */
export function targetsOf(positionals: readonly string[]): {
  readonly word: string
  readonly names: readonly string[]
} {
  const [first, ...names] = positionals
  if (first === undefined) throw new CliError('say what: a kind and perhaps a name, such as "pods" or "pod/web"', 2)
  const slash = first.indexOf('/')
  return slash === -1
    ? { word: first, names }
    : { word: first.slice(0, slash), names: [first.slice(slash + 1), ...names] }
}
