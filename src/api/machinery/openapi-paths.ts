// The operations of the API as plain data, without a dialect: path, method, operation id, parameters, body and answers.
// OpenAPI v2 and v3 print the same list in their own words.
import type { GroupVersionKind } from './openapi-schema.ts'
import type { ServedResource, Subresource } from './served.ts'

/** What an operation takes or answers: the resource's own kind, its list, or a kind of its own. */
export type BodyType = 'object' | 'list' | 'Status' | 'WatchEvent' | 'DeleteOptions' | 'Patch' | 'string'
export type Produces = 'object' | 'watch' | 'text' | 'any'
export type Method = 'get' | 'post' | 'put' | 'patch' | 'delete' | 'head' | 'options'

export interface Operation {
  readonly method: Method
  readonly operationId: string
  readonly action: string
  readonly gvk: GroupVersionKind
  /** Names of query parameters. */
  readonly query: readonly string[]
  readonly body?: { readonly type: BodyType; readonly required: boolean }
  readonly produces: Produces
  /** Type of each successful answer by status code. */
  readonly answers: Readonly<Record<string, BodyType>>
}
export interface PathItem {
  readonly path: string
  readonly resource: ServedResource
  readonly subresource?: Subresource
  /** Names of the variables in the path. */
  readonly variables: readonly string[]
  /** Query parameters that all operations share. */
  readonly shared: readonly string[]
  readonly operations: readonly Operation[]
}

/** Types of query parameters; those not named here are strings. */
export const parameterTypes: Readonly<Record<string, 'boolean' | 'integer'>> = {
  allowWatchBookmarks: 'boolean',
  follow: 'boolean',
  force: 'boolean',
  gracePeriodSeconds: 'integer',
  ignoreStoreReadErrorWithClusterBreakingPotential: 'boolean',
  insecureSkipTLSVerifyBackend: 'boolean',
  limit: 'integer',
  limitBytes: 'integer',
  orphanDependents: 'boolean',
  ports: 'integer',
  previous: 'boolean',
  sendInitialEvents: 'boolean',
  sinceSeconds: 'integer',
  stderr: 'boolean',
  stdin: 'boolean',
  stdout: 'boolean',
  tailLines: 'integer',
  timeoutSeconds: 'integer',
  timestamps: 'boolean',
  tty: 'boolean',
  watch: 'boolean',
}
const selecting = [
  'continue',
  'fieldSelector',
  'labelSelector',
  'limit',
  'resourceVersion',
  'resourceVersionMatch',
  'sendInitialEvents',
  'timeoutSeconds',
]
const listing = ['allowWatchBookmarks', ...selecting, 'watch']
const writing = ['dryRun', 'fieldManager', 'fieldValidation']
const deleting = [
  'dryRun',
  'gracePeriodSeconds',
  'ignoreStoreReadErrorWithClusterBreakingPotential',
  'orphanDependents',
  'propagationPolicy',
]
/** What the subresources with their own handlers take. */
const connectQuery: Readonly<Record<string, readonly string[]>> = {
  'pods/attach': ['container', 'stderr', 'stdin', 'stdout', 'tty'],
  'pods/exec': ['command', 'container', 'stderr', 'stdin', 'stdout', 'tty'],
  'pods/portforward': ['ports'],
  'pods/proxy': ['path'],
  'services/proxy': ['path'],
  'nodes/proxy': ['path'],
}
const logQuery = [
  'container',
  'follow',
  'insecureSkipTLSVerifyBackend',
  'limitBytes',
  'previous',
  'sinceSeconds',
  'stream',
  'tailLines',
  'timestamps',
]

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1)
/** "rbac.authorization.k8s.io" is RbacAuthorization in operation ids. */
export const groupLabel = (group: string): string =>
  group === ''
    ? 'Core'
    : group
        .replace(/\.k8s\.io$/, '')
        .split(/[.-]/)
        .map(capital)
        .join('')
/** "rbacAuthorization_v1". */
export const tagOf = (group: string, version?: string): string => {
  const label = groupLabel(group)
  const name = label.charAt(0).toLowerCase() + label.slice(1)
  return version === undefined ? name : `${name}_${version}`
}
/** "/apis/apps/v1" or "/api/v1". */
export const rootOf = (group: string, version: string): string =>
  group === '' ? `/api/${version}` : `/apis/${group}/${version}`

/** DELETE of these answers the object as it was; the rest answers a Status. */
const deletedObjects: Readonly<Record<string, readonly string[]>> = {
  '': [
    'persistentvolumeclaims',
    'persistentvolumes',
    'pods',
    'podtemplates',
    'resourcequotas',
    'serviceaccounts',
    'services',
  ],
  'storage.k8s.io': ['csidrivers', 'csinodes', 'storageclasses', 'volumeattachments', 'volumeattributesclasses'],
}
/** Whether DELETE answers the object instead of a Status. */
export const returnsDeleted = (kind: ServedResource['declared']): boolean =>
  kind.returnsDeleted ??
  (kind.group === 'resource.k8s.io' || deletedObjects[kind.group]?.includes(kind.plural) === true)

/** Every path of one resource. */
export function pathsOf(resource: ServedResource): PathItem[] {
  const has = (verb: string) => (resource.verbs as readonly string[]).includes(verb)
  const paths: (PathItem | undefined)[] = []
  const root = rootOf(resource.group, resource.version)
  const scoped = resource.namespaced ? `${root}/namespaces/{namespace}` : root
  const scope = resource.namespaced ? ['namespace'] : []
  const gvk = { group: resource.group, version: resource.version, kind: resource.kind }
  const id = (verb: string, rest: string) => `${verb}${groupLabel(resource.group)}${capital(resource.version)}${rest}`
  const kindName = `${resource.namespaced ? 'Namespaced' : ''}${resource.kind}`
  const operation = (method: Method, action: string, operationId: string, more: Partial<Operation>): Operation => ({
    method,
    action,
    operationId,
    gvk,
    query: [],
    produces: 'object',
    answers: { 200: 'object' },
    ...more,
  })
  const list = (name: string) =>
    operation('get', 'list', id('list', name), { query: listing, produces: 'watch', answers: { 200: 'list' } })

  if (resource.namespaced && has('list')) {
    paths.push(item(resource, `${root}/${resource.plural}`, [], [list(`${resource.kind}ForAllNamespaces`)]))
  }
  paths.push(
    item(resource, `${scoped}/${resource.plural}`, scope, [
      ...(has('deletecollection')
        ? [
            operation('delete', 'deletecollection', id('delete', `Collection${kindName}`), {
              query: [...deleting, ...selecting],
              body: { type: 'DeleteOptions', required: false },
              answers: { 200: 'Status' },
            }),
          ]
        : []),
      ...(has('list') ? [list(kindName)] : []),
      ...(has('create')
        ? [
            operation('post', 'post', id('create', kindName), {
              query: writing,
              body: { type: 'object', required: true },
              answers: { 200: 'object', 201: 'object', 202: 'object' },
            }),
          ]
        : []),
    ]),
    item(
      resource,
      `${scoped}/${resource.plural}/{name}`,
      ['name', ...scope],
      [
        ...(has('delete') ? [deleteOperation(resource, operation, id('delete', kindName))] : []),
        ...objectOperations(has, operation, id, kindName),
      ],
    ),
    ...resource.subresources.flatMap((sub) =>
      subresourcePaths(resource, sub, `${scoped}/${resource.plural}/{name}`, scope),
    ),
    ...(has('watch') ? watchPaths(resource, root, operation, id, kindName) : []),
  )
  return paths.filter((path) => path !== undefined)
}

type MakeOperation = (method: Method, action: string, operationId: string, more: Partial<Operation>) => Operation
type MakeId = (verb: string, rest: string) => string

function deleteOperation(resource: ServedResource, operation: MakeOperation, operationId: string): Operation {
  const type = returnsDeleted(resource.declared) ? 'object' : 'Status'
  return operation('delete', 'delete', operationId, {
    query: deleting,
    body: { type: 'DeleteOptions', required: false },
    answers: { 200: type, 202: type },
  })
}
/** GET, PATCH and PUT of an object or a subresource that holds one. */
function objectOperations(
  has: (verb: string) => boolean,
  operation: MakeOperation,
  id: MakeId,
  name: string,
): Operation[] {
  return [
    ...(has('get') ? [operation('get', 'get', id('read', name), {})] : []),
    ...(has('patch')
      ? [
          operation('patch', 'patch', id('patch', name), {
            query: [...writing, 'force'],
            body: { type: 'Patch', required: true },
            answers: { 200: 'object', 201: 'object' },
          }),
        ]
      : []),
    ...(has('update')
      ? [
          operation('put', 'put', id('replace', name), {
            query: writing,
            body: { type: 'object', required: true },
            answers: { 200: 'object', 201: 'object' },
          }),
        ]
      : []),
  ]
}

/** An item with its shared parameters drawn out; undefined where it has no operations. */
function item(
  resource: ServedResource,
  path: string,
  variables: readonly string[],
  operations: readonly Operation[],
  subresource?: Subresource,
): PathItem | undefined {
  const [first, ...others] = operations
  if (first === undefined) return undefined
  // PUT and PATCH describe fieldManager differently, so it is never shared between them
  const shared = first.query.filter(
    (name) =>
      others.every((other) => other.query.includes(name)) &&
      !(name === 'fieldManager' && operations.some(({ method }) => method === 'patch') && others.length > 0),
  )
  const pretty = operations.every(({ action }) => action !== 'connect') ? ['pretty'] : []
  return {
    path,
    resource,
    ...(subresource === undefined ? {} : { subresource }),
    variables,
    shared: [...shared, ...pretty],
    operations: operations.map((operation) => ({
      ...operation,
      query: operation.query.filter((name) => !shared.includes(name)),
    })),
  }
}

function watchPaths(
  resource: ServedResource,
  root: string,
  operation: MakeOperation,
  id: MakeId,
  kindName: string,
): (PathItem | undefined)[] {
  const watch = (action: string, name: string) =>
    operation('get', action, id('watch', name), { query: listing, produces: 'watch', answers: { 200: 'WatchEvent' } })
  const scoped = resource.namespaced ? `${root}/watch/namespaces/{namespace}` : `${root}/watch`
  const scope = resource.namespaced ? ['namespace'] : []
  return [
    ...(resource.namespaced
      ? [
          item(
            resource,
            `${root}/watch/${resource.plural}`,
            [],
            [watch('watchlist', `${resource.kind}ListForAllNamespaces`)],
          ),
        ]
      : []),
    item(resource, `${scoped}/${resource.plural}`, scope, [watch('watchlist', `${kindName}List`)]),
    item(resource, `${scoped}/${resource.plural}/{name}`, ['name', ...scope], [watch('watch', kindName)]),
  ]
}

const connectMethods: Readonly<Record<string, readonly Method[]>> = {
  proxy: ['delete', 'get', 'head', 'options', 'patch', 'post', 'put'],
}
function subresourcePaths(
  resource: ServedResource,
  sub: Subresource,
  base: string,
  scope: readonly string[],
): (PathItem | undefined)[] {
  const gvk = {
    group: sub.from?.group ?? resource.group,
    version: sub.from?.version ?? resource.version,
    kind: sub.kind,
  }
  const id: MakeId = (verb, rest) => `${verb}${groupLabel(resource.group)}${capital(resource.version)}${rest}`
  const name = `${resource.namespaced ? 'Namespaced' : ''}${resource.kind}${capital(sub.name)}`
  const operation: MakeOperation = (method, action, operationId, more) => ({
    method,
    action,
    operationId,
    gvk,
    query: [],
    produces: 'object',
    answers: { 200: 'object' },
    ...more,
  })
  const query = connectQuery[`${resource.plural}/${sub.name}`]
  const variables = ['name', ...scope]
  const path = `${base}/${sub.name}`
  if (query !== undefined) {
    const methods = connectMethods[sub.name] ?? (['get', 'post'] as const)
    const connect = (suffix: string) =>
      methods.map((method) =>
        operation(method, 'connect', id('connect', `${capital(method)}${name}${suffix}`), {
          gvk: { ...gvk, kind: sub.kind },
          query,
          produces: 'any',
          answers: { 200: 'string' },
        }),
      )
    return [
      item(resource, path, variables, connect(''), sub),
      ...(sub.name === 'proxy'
        ? [item(resource, `${path}/{path}`, [...variables, 'path'], connect('WithPath'), sub)]
        : []),
    ]
  }
  if (sub.name === 'log') {
    const read = operation('get', 'get', id('read', name), {
      query: logQuery,
      produces: 'text',
      answers: { 200: 'string' },
    })
    return [item(resource, path, variables, [read], sub)]
  }
  const has = (verb: string) => sub.verbs.includes(verb)
  const create = operation('post', 'post', id('create', name), {
    query: writing,
    body: { type: 'object', required: true },
    answers: { 200: 'object', 201: 'object', 202: 'object' },
  })
  return [
    item(
      resource,
      path,
      variables,
      [...(has('create') ? [create] : []), ...objectOperations(has, operation, id, name)],
      sub,
    ),
  ]
}
