// Request paths of the API: one place that knows the path grammar and percent-encoding.
import type { ListQuery, WatchQuery } from './client.ts'

/** What a path needs to know of a kind. */
export interface ResourcePath {
  readonly group: string
  readonly version: string
  readonly plural: string
  readonly namespaced: boolean
}

const groupRoot = (kind: ResourcePath): string =>
  kind.group === '' ? `/api/${kind.version}` : `/apis/${kind.group}/${kind.version}`

/** /api/v1/namespaces/NS/pods, or /api/v1/pods over all namespaces when `namespace` is absent. */
export function collectionPath(kind: ResourcePath, namespace?: string): string {
  const scope = kind.namespaced && namespace ? `/namespaces/${encodeURIComponent(namespace)}` : ''
  return `${groupRoot(kind)}${scope}/${kind.plural}`
}

/** Path of one object, with an optional subresource. */
export function objectPath(kind: ResourcePath, name: string, namespace?: string, subresource?: string): string {
  const base = `${collectionPath(kind, namespace)}/${encodeURIComponent(name)}`
  return subresource === undefined ? base : `${base}/${subresource}`
}

/** `?a=b&c=d`, or an empty string; undefined and false are left out. */
export function queryString(parameters: Readonly<Record<string, string | number | boolean | undefined>>): string {
  const parts: string[] = []
  for (const [name, value] of Object.entries(parameters))
    if (value !== undefined && value !== false && value !== '') parts.push(`${name}=${encodeURIComponent(value)}`)
  return parts.length === 0 ? '' : `?${parts.join('&')}`
}

export const listParameters = (query: ListQuery) =>
  queryString({
    labelSelector: query.labelSelector,
    fieldSelector: query.fieldSelector,
    limit: query.limit,
    continue: query.continue,
    resourceVersion: query.resourceVersion,
    resourceVersionMatch: query.resourceVersionMatch,
  })

export const watchParameters = (query: WatchQuery) =>
  queryString({
    watch: true,
    labelSelector: query.labelSelector,
    fieldSelector: query.fieldSelector,
    resourceVersion: query.resourceVersion,
    resourceVersionMatch: query.resourceVersionMatch ?? (query.sendInitialEvents ? 'NotOlderThan' : undefined),
    allowWatchBookmarks: query.allowWatchBookmarks,
    sendInitialEvents: query.sendInitialEvents,
    timeoutSeconds: query.timeoutSeconds,
  })
