// The scale subresource of whatever has one, built in or not, found by what an object reference says: apiVersion and kind.
import { splitApiVersion } from '../../api/machinery/api-version.ts'
import { defineKind, type Kind } from '../../api/machinery/kind.ts'
import { type KubeObject, kindSchema } from '../../api/machinery/meta.ts'
import type { Client } from '../../client/client.ts'
import { objectPath } from '../../client/paths.ts'

export interface Scale extends KubeObject {
  readonly spec: { readonly replicas?: number }
  readonly status: { readonly replicas: number; readonly selector?: string }
}
export interface ScaleReference {
  readonly apiVersion?: string | undefined
  readonly kind: string
  readonly name: string
}

const plainSchema = kindSchema('', {})
/** What the server said of a request that failed. */
export function failureOf(text: string, status: number): string {
  try {
    const { message } = JSON.parse(text) as { message?: string }
    if (message !== undefined && message !== '') return message
  } catch {
    // Not a Status: plain text of a proxy, or nothing.
  }
  return text.trim() === '' ? `the server answered ${status}` : text.trim()
}

/** Reads and writes scales. Errors are thrown as Error with what the server said, or ApiError for writes. */
export function createScales(client: Client) {
  const kinds = new Map<string, Kind<Scale>>()
  async function kindOf(apiVersion: string, kind: string): Promise<Kind<Scale>> {
    const id = `${apiVersion} ${kind}`
    const known = kinds.get(id)
    if (known !== undefined) return known
    const [group, version] = splitApiVersion(apiVersion)
    const { text, status } = await client.raw(group === '' ? `/api/${version}` : `/apis/${apiVersion}`)
    const resources =
      status === 200 ? (JSON.parse(text) as { resources: readonly { name: string; kind: string }[] }).resources : []
    const plural = resources.find((r) => r.kind === kind && !r.name.includes('/'))?.name
    if (plural === undefined) throw new Error(`no matches for kind "${kind}" in version "${apiVersion}"`)
    const found = defineKind<Scale>({
      group,
      version,
      kind,
      plural,
      singular: kind.toLowerCase(),
      namespaced: true,
      schema: plainSchema,
      storagePrefix: '',
    })
    kinds.set(id, found)
    return found
  }
  return {
    /** plural.group of a kind, the plural alone in the core group. */
    async resourceOf({ apiVersion = 'v1', kind }: Omit<ScaleReference, 'name'>): Promise<string> {
      const { plural, group } = await kindOf(apiVersion, kind)
      return group === '' ? plural : `${plural}.${group}`
    },
    async get({ apiVersion = 'v1', kind, name }: ScaleReference, namespace: string): Promise<Scale> {
      const scaled = await kindOf(apiVersion, kind)
      const { text, status } = await client.raw(objectPath(scaled, name, namespace, 'scale'))
      if (status === 200) return JSON.parse(text) as Scale
      // The kind may have been served under another name since.
      kinds.delete(`${apiVersion} ${kind}`)
      throw new Error(failureOf(text, status))
    },
    /** Writes spec.replicas; the resourceVersion of the scale guards what was read. */
    async resize({ apiVersion = 'v1', kind }: ScaleReference, scale: Scale, replicas: number): Promise<void> {
      const { name, namespace, resourceVersion } = scale.metadata
      const patch = { metadata: { resourceVersion }, spec: { replicas } }
      await client
        .resource(await kindOf(apiVersion, kind))
        .patch(name, namespace, 'merge', patch, { subresource: 'scale' })
    },
  }
}
