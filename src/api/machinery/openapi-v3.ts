// GET /openapi/v3: an index of documents, and one document per group version, made when it is asked for.
import { groupNames } from './discovery.ts'
import {
  apiGroupListSchema,
  apiGroupSchema,
  apiResourceListSchema,
  apiVersionsSchema,
  versionInfo,
} from './meta-schemas.ts'
import {
  type ApiDescription,
  apiInfo,
  bearerToken,
  bodyOf,
  jsonTypes,
  kindsByDefinition,
  patchTypes,
  producedTypes,
  statusText,
} from './openapi.ts'
import { groupLabel, type Operation, type PathItem, parameterTypes, pathsOf, rootOf, tagOf } from './openapi-paths.ts'
import { createDefinitions, type Definitions } from './openapi-schema.ts'
import { servedVersions } from './openapi-v2.ts'
import type { JsonObject, ObjectSchema } from './schema.ts'
import type { GroupVersion } from './served.ts'

/** Names of the documents: api, api/v1, apis, apis/apps, apis/apps/v1 ..., version. */
export function openApiV3Names(api: ApiDescription): string[] {
  return [
    'api',
    'apis',
    'version',
    ...groupNames({ resources: api.resources }).map((group) => `apis/${group}`),
    ...servedVersions(api).map(({ group, version }) => rootOf(group, version).slice(1)),
  ].sort()
}
/** The index; a client caches a document for as long as its hash stays. */
export const openApiV3Index = (api: ApiDescription, hashOf: (name: string) => string): JsonObject => ({
  paths: Object.fromEntries(
    openApiV3Names(api).map(
      (name) => [name, { serverRelativeURL: `/openapi/v3/${name}?hash=${hashOf(name)}` }] as const,
    ),
  ),
})

/** One document by its name; undefined for an unknown one. `version` is the server's, such as v1.36.0. */
export function openApiV3(api: ApiDescription, name: string, version: string): JsonObject | undefined {
  const found = servedVersions(api).find((gv) => rootOf(gv.group, gv.version).slice(1) === name)
  const definitions = createDefinitions('v3', kindsByDefinition(api, found === undefined ? [] : [found]), api.describe)
  const paths = found === undefined ? plainPaths(api, definitions, name) : versionPaths(api, definitions, found)
  if (paths === undefined) return undefined
  return {
    openapi: '3.0.0',
    info: apiInfo(version),
    paths,
    components: { schemas: definitions.all(), securitySchemes: bearerToken },
  }
}

const variable = (name: string): JsonObject => ({
  name,
  in: 'path',
  required: true,
  schema: { type: 'string', uniqueItems: true },
})
const query = (name: string): JsonObject => ({
  name,
  in: 'query',
  schema: { type: parameterTypes[name] ?? 'string', uniqueItems: true },
})
const byName = (a: string, b: string): number => (a < b ? -1 : 1)
const content = (types: readonly string[], schema: JsonObject): JsonObject =>
  Object.fromEntries(types.map((type) => [type, { schema }] as const))

function versionPaths(api: ApiDescription, definitions: Definitions, gv: GroupVersion): JsonObject {
  const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)
  const root = `${rootOf(gv.group, gv.version)}/`
  const operationId = `get${groupLabel(gv.group)}${capital(gv.version)}APIResources`
  const paths = new Map<string, JsonObject>([
    [root, discovery(definitions, operationId, tagOf(gv.group, gv.version), apiResourceListSchema)],
  ])
  for (const resource of api.resources) {
    if (resource.group !== gv.group || resource.version !== gv.version) continue
    for (const item of pathsOf(resource)) paths.set(item.path, pathBody(api, definitions, item))
  }
  return Object.fromEntries([...paths].sort(([a], [b]) => byName(a, b)))
}
function plainPaths(api: ApiDescription, definitions: Definitions, name: string): JsonObject | undefined {
  const one = (operationId: string, tag: string, schema: ObjectSchema, types = jsonTypes): JsonObject => ({
    [`/${name}/`]: discovery(definitions, operationId, tag, schema, types),
  })
  if (name === 'api') return one('getCoreAPIVersions', 'core', apiVersionsSchema)
  if (name === 'apis') return one('getAPIVersions', 'apis', apiGroupListSchema)
  if (name === 'version') return one('getCodeVersion', 'version', versionInfo, ['application/json'])
  const group = groupNames({ resources: api.resources }).find((known) => `apis/${known}` === name)
  return group === undefined ? undefined : one(`get${groupLabel(group)}APIGroup`, tagOf(group), apiGroupSchema)
}
function discovery(
  definitions: Definitions,
  operationId: string,
  tag: string,
  schema: ObjectSchema,
  types = jsonTypes,
): JsonObject {
  return {
    get: {
      tags: [tag],
      operationId,
      responses: {
        200: { description: 'OK', content: content(types, definitions.refer(schema)) },
        401: { description: 'Unauthorized' },
      },
    },
  }
}

function pathBody(api: ApiDescription, definitions: Definitions, item: PathItem): JsonObject {
  const parameters = [
    ...item.variables.map((name) => [name, variable(name)] as const),
    ...item.shared.map((name) => [name, query(name)] as const),
  ]
    .sort(([a], [b]) => byName(a, b))
    .map(([, body]) => body)
  const operations = item.operations.map(
    (operation) => [operation.method, operationBody(api, definitions, item, operation)] as const,
  )
  return { ...Object.fromEntries(operations), ...(parameters.length > 0 ? { parameters } : {}) }
}
function operationBody(
  api: ApiDescription,
  definitions: Definitions,
  item: PathItem,
  operation: Operation,
): JsonObject {
  const { body, gvk } = operation
  const types = producedTypes(item, operation.produces)
  const answers = Object.entries(operation.answers).map(
    ([code, type]) =>
      [
        code,
        { description: statusText[code] ?? '', content: content(types, bodyOf(api, definitions, item, type)) },
      ] as const,
  )
  return {
    tags: [tagOf(item.resource.group, item.resource.version)],
    operationId: operation.operationId,
    ...(operation.query.length > 0 ? { parameters: [...operation.query].sort(byName).map(query) } : {}),
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            content: content(
              body.type === 'Patch' ? patchTypes(item) : ['*/*'],
              bodyOf(api, definitions, item, body.type),
            ),
            ...(body.required ? { required: true } : {}),
          },
        }),
    responses: { ...Object.fromEntries(answers), 401: { description: 'Unauthorized' } },
    'x-kubernetes-action': operation.action,
    'x-kubernetes-group-version-kind': { group: gvk.group, kind: gvk.kind, version: gvk.version },
  }
}
