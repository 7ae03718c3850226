// Which resources the server has, as kinds: the built-in ones are our own descriptors (and so share their informers), what
// a CRD or an aggregated API adds is described by discovery alone.
import { defineKind, type Kind } from '../../api/machinery/kind.ts'
import { type KubeObject, kindSchema } from '../../api/machinery/meta.ts'
import type { Client } from '../../client/client.ts'

export interface DiscoveredKind {
  readonly kind: Kind
  readonly verbs: ReadonlySet<string>
}
export interface Discovery {
  readonly kinds: readonly DiscoveredKind[]
  /** "group/version" of what could not be discovered, with the reason. */
  readonly failures: ReadonlyMap<string, string>
}
interface ApiResource {
  readonly name: string
  readonly singularName?: string
  readonly namespaced: boolean
  readonly kind: string
  readonly verbs?: readonly string[]
}

const plainSchema = kindSchema('', {})
const unknownKind = (group: string, version: string, resource: ApiResource): Kind =>
  defineKind<KubeObject>({
    group,
    version,
    kind: resource.kind,
    plural: resource.name,
    singular: resource.singularName ?? resource.kind.toLowerCase(),
    namespaced: resource.namespaced,
    schema: plainSchema,
    storagePrefix: '',
  })

async function readJson<T>(client: Client, path: string): Promise<T> {
  const { status, text } = await client.raw(path)
  if (status !== 200) throw new Error(`${path} answered ${status}`)
  return JSON.parse(text) as T
}
interface Groups {
  readonly groups: readonly {
    readonly name: string
    readonly versions: readonly { readonly version: string }[]
    readonly preferredVersion?: { readonly version: string }
  }[]
}

/** Every resource once, in its group's preferred version where it is served there. Subresources are left out. */
export async function discover(client: Client, builtin: readonly Kind[]): Promise<Discovery> {
  const known = new Map(builtin.map((kind) => [`${kind.group}/${kind.plural}`, kind]))
  /** Old names of stored kinds (extensions/ingresses ...) show the same objects once more. */
  const aliases = new Set(
    builtin.flatMap((kind) =>
      (kind.versions ?? []).filter(({ group }) => group !== kind.group).map(({ group }) => `${group}/${kind.plural}`),
    ),
  )
  const found = new Map<string, DiscoveredKind>()
  const failures = new Map<string, string>()
  async function addVersion(group: string, version: string): Promise<void> {
    const path = group === '' ? `/api/${version}` : `/apis/${group}/${version}`
    try {
      const { resources } = await readJson<{ resources: readonly ApiResource[] }>(client, path)
      for (const resource of resources) {
        const id = `${group}/${resource.name}`
        if (resource.name.includes('/') || found.has(id) || aliases.has(id)) continue
        const kind = known.get(id) ?? unknownKind(group, version, resource)
        found.set(id, { kind, verbs: new Set(resource.verbs ?? []) })
      }
    } catch (error) {
      // Boundary: an aggregated API that is down must not hide the others; the caller hears of it.
      failures.set(group === '' ? version : `${group}/${version}`, (error as Error).message)
    }
  }
  await addVersion('', 'v1')
  const { groups } = await readJson<Groups>(client, '/apis')
  await Promise.all(
    groups.map(async ({ name, versions, preferredVersion }) => {
      const preferred = preferredVersion?.version
      const ordered = versions.map(({ version }) => version)
      if (preferred !== undefined) await addVersion(name, preferred)
      for (const version of ordered) if (version !== preferred) await addVersion(name, version)
    }),
  )
  return { kinds: [...found.values()], failures }
}
