// GET /openapi/v2: everything in one Swagger document.
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
import type { Json, JsonObject, ObjectSchema } from './schema.ts'
import type { GroupVersion } from './served.ts'

/** The whole document; `version` is the server's, such as v1.36.0. */
export function openApiV2(api: ApiDescription, version: string): JsonObject {
  const versions = servedVersions(api)
  const definitions = createDefinitions('v2', kindsByDefinition(api, versions), api.describe)
  const paths = new Map<string, JsonObject>()
  for (const resource of api.resources) {
    for (const item of pathsOf(resource)) paths.set(item.path, pathBody(api, definitions, item))
  }
  for (const [path, body] of discoveryPaths(api, definitions, versions)) paths.set(path, body)
  return {
    swagger: '2.0',
    info: apiInfo(version),
    paths: Object.fromEntries([...paths].sort(([a], [b]) => (a < b ? -1 : 1))),
    definitions: definitions.all(),
    parameters: sharedParameters,
    securityDefinitions: bearerToken,
    security: [{ BearerToken: [] }],
  }
}

/** Every group version with resources, once. */
export function servedVersions(api: ApiDescription): GroupVersion[] {
  const seen = new Map(api.resources.map(({ group, version }) => [`${group}/${version}`, { group, version }] as const))
  return [...seen.values()]
}

const variable = (name: string): JsonObject => ({ name, in: 'path', type: 'string', required: true, uniqueItems: true })
const query = (name: string): JsonObject => ({
  name,
  in: 'query',
  type: parameterTypes[name] ?? 'string',
  uniqueItems: true,
})
/** Parameters that nearly every path has are written once. */
const common = [
  'allowWatchBookmarks',
  'continue',
  'fieldSelector',
  'labelSelector',
  'limit',
  'pretty',
  'resourceVersion',
  'resourceVersionMatch',
  'sendInitialEvents',
  'timeoutSeconds',
  'watch',
]
const sharedParameters: JsonObject = Object.fromEntries([
  ...common.map((name) => [name, query(name)] as const),
  ['namespace', variable('namespace')] as const,
])
const parameter = (name: string, path: boolean): JsonObject => {
  if (path ? name === 'namespace' : common.includes(name)) return { $ref: `#/parameters/${name}` }
  return path ? variable(name) : query(name)
}
const byName = (a: string, b: string): number => (a < b ? -1 : 1)

function pathBody(api: ApiDescription, definitions: Definitions, item: PathItem): JsonObject {
  const parameters = [
    ...item.variables.map((name) => [name, parameter(name, true)] as const),
    ...item.shared.map((name) => [name, parameter(name, false)] as const),
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
  const { body } = operation
  const parameters: Json[] = [
    ...(body === undefined
      ? []
      : [
          {
            name: 'body',
            in: 'body',
            ...(body.required ? { required: true } : {}),
            schema: bodyOf(api, definitions, item, body.type),
          },
        ]),
    ...[...operation.query].sort(byName).map((name) => parameter(name, false)),
  ]
  const answers = Object.entries(operation.answers).map(
    ([code, type]) =>
      [code, { description: statusText[code] ?? '', schema: bodyOf(api, definitions, item, type) }] as const,
  )
  const { group, kind, version } = operation.gvk
  return {
    consumes: operation.method === 'patch' && operation.action === 'patch' ? patchTypes(item) : ['*/*'],
    produces: producedTypes(item, operation.produces),
    schemes: ['https'],
    tags: [tagOf(item.resource.group, item.resource.version)],
    operationId: operation.operationId,
    ...(parameters.length > 0 ? { parameters } : {}),
    responses: { ...Object.fromEntries(answers), 401: { description: 'Unauthorized' } },
    'x-kubernetes-action': operation.action,
    'x-kubernetes-group-version-kind': { group, kind, version },
  }
}

function discoveryPaths(
  api: ApiDescription,
  definitions: Definitions,
  versions: readonly GroupVersion[],
): (readonly [string, JsonObject])[] {
  const get = (path: string, operationId: string, tag: string, schema: ObjectSchema, types = jsonTypes) =>
    [
      path,
      {
        get: {
          consumes: types,
          produces: types,
          schemes: ['https'],
          tags: [tag],
          operationId,
          responses: {
            200: { description: 'OK', schema: definitions.refer(schema) },
            401: { description: 'Unauthorized' },
          },
        },
      },
    ] as const
  const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)
  return [
    get('/api/', 'getCoreAPIVersions', 'core', apiVersionsSchema),
    get('/apis/', 'getAPIVersions', 'apis', apiGroupListSchema),
    get('/version/', 'getCodeVersion', 'version', versionInfo, ['application/json']),
    ...groupNames({ resources: api.resources }).map((group) =>
      get(`/apis/${group}/`, `get${groupLabel(group)}APIGroup`, tagOf(group), apiGroupSchema),
    ),
    ...versions.map(({ group, version }) =>
      get(
        `${rootOf(group, version)}/`,
        `get${groupLabel(group)}${capital(version)}APIResources`,
        tagOf(group, version),
        apiResourceListSchema,
      ),
    ),
  ]
}
