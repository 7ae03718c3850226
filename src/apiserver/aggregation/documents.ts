// What an aggregated server says about itself: discovery in the new form or the old one, OpenAPI v3 or v2.
import { ApiError } from '../../api/machinery/errors.ts'
import type { Json, JsonObject } from '../../api/machinery/schema.ts'
import { OutgoingError } from '../../ports/outgoing.ts'
import type { ServerContext } from '../context.ts'
import type { Backend, BackendDocuments } from './backends.ts'
import { fetchDocument } from './reach.ts'

const aggregatedTypes = ['v2', 'v2beta1']
  .map((v) => `application/json;g=apidiscovery.k8s.io;v=${v};as=APIGroupDiscoveryList`)
  .join(',')

/** Asks for all of it; undefined where its discovery cannot be read. */
export async function readDocuments(server: ServerContext, backend: Backend): Promise<BackendDocuments | undefined> {
  const { group, version } = backend
  const ask = async (path: string, accept: string): Promise<JsonObject | undefined> => {
    try {
      const { status, body } = await fetchDocument(server, backend, path, accept)
      if (status !== 200) return undefined
      const parsed = JSON.parse(new TextDecoder().decode(body)) as Json
      return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)
        ? (parsed as JsonObject)
        : undefined
    } catch (error) {
      if (error instanceof OutgoingError || error instanceof ApiError || error instanceof SyntaxError) {
        server.log.info('an aggregated server has no such document', {
          path,
          apiService: backend.name,
          error: error.message,
        })
        return undefined
      }
      throw error
    }
  }
  const all = await ask('/apis', `${aggregatedTypes},application/json`)
  const resources =
    fromAggregated(all, group, version) ?? fromList(await ask(`/apis/${group}/${version}`, 'application/json'))
  if (resources === undefined) return undefined
  const [openApiV3, openApiV2] = await Promise.all([
    ask(`/openapi/v3/apis/${group}/${version}`, 'application/json'),
    ask('/openapi/v2', 'application/json'),
  ])
  return {
    resources,
    openApiV3: typeof openApiV3?.['openapi'] === 'string' ? openApiV3 : undefined,
    openApiV2: typeof openApiV2?.['swagger'] === 'string' ? openApiV2 : undefined,
  }
}

interface GroupDiscovery {
  readonly metadata?: { readonly name?: string }
  readonly versions?: readonly { readonly version?: string; readonly resources?: readonly JsonObject[] }[]
}
function fromAggregated(
  list: JsonObject | undefined,
  group: string,
  version: string,
): readonly JsonObject[] | undefined {
  if (list?.['kind'] !== 'APIGroupDiscoveryList') return undefined
  const items = (list['items'] ?? []) as unknown as readonly GroupDiscovery[]
  const found = items.find(({ metadata }) => metadata?.name === group)
  return found?.versions?.find((v) => v.version === version)?.resources
}

interface OldResource {
  readonly name: string
  readonly singularName?: string
  readonly namespaced?: boolean
  readonly group?: string
  readonly version?: string
  readonly kind?: string
  readonly verbs?: readonly string[]
  readonly shortNames?: readonly string[]
  readonly categories?: readonly string[]
}
/** An APIResourceList in the new form. Metrics servers list parts (`pods/queue`) of what they do not serve itself: it stands
 * there without verbs. */
function fromList(list: JsonObject | undefined): readonly JsonObject[] | undefined {
  if (list?.['kind'] !== 'APIResourceList') return undefined
  const resources = (list['resources'] ?? []) as unknown as readonly OldResource[]
  const kindOf = ({ group = '', version = '', kind = '' }: OldResource) => ({ group, version, kind })
  const byName = new Map<string, { own?: OldResource; readonly parts: OldResource[] }>()
  for (const resource of resources) {
    const [name = '', ...part] = resource.name.split('/')
    const entry = byName.get(name) ?? { parts: [] }
    byName.set(name, entry)
    if (part.length === 0) entry.own = resource
    else entry.parts.push(resource)
  }
  return [...byName].map(([name, { own, parts }]) => {
    const shown = own ?? { name, namespaced: parts.some(({ namespaced }) => namespaced === true) }
    return {
      resource: name,
      ...(own === undefined ? {} : { responseKind: kindOf(own) }),
      scope: shown.namespaced === true ? 'Namespaced' : 'Cluster',
      singularResource: own?.singularName ?? '',
      verbs: own?.verbs ?? [],
      ...(own?.shortNames === undefined ? {} : { shortNames: own.shortNames }),
      ...(own?.categories === undefined ? {} : { categories: own.categories }),
      ...(parts.length === 0
        ? {}
        : {
            subresources: parts.map((part) => ({
              subresource: part.name.slice(name.length + 1),
              responseKind: kindOf(part),
              verbs: part.verbs ?? [],
            })),
          }),
    } as unknown as JsonObject
  })
}
