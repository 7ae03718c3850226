// The typed client: what components use to talk to the API, over any Transport. Answers are frozen.
import type { DeleteOptions, KubeObject } from '../api/machinery/meta.ts'
import type { Kind } from '../api/machinery/kind.ts'

export interface ListQuery {
  readonly namespace?: string
  readonly labelSelector?: string
  readonly fieldSelector?: string
  readonly limit?: number
  readonly continue?: string
  readonly resourceVersion?: string
  readonly resourceVersionMatch?: 'Exact' | 'NotOlderThan'
}
export interface ListAnswer<T> {
  readonly items: readonly T[]
  readonly resourceVersion: string
  readonly continue: string | undefined
  readonly remainingItemCount: number | undefined
}
export interface WatchQuery extends Omit<ListQuery, 'limit' | 'continue'> {
  readonly allowWatchBookmarks?: boolean
  readonly sendInitialEvents?: boolean
  readonly timeoutSeconds?: number
  readonly signal?: AbortSignal
}
export type WatchEvent<T> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: T }
  | { readonly type: 'BOOKMARK'; readonly object: { readonly metadata: { readonly resourceVersion: string } } }
export interface WriteOptions {
  readonly dryRun?: boolean
  readonly fieldManager?: string
  /** Subresource path element: status, scale, binding, eviction, token ... */
  readonly subresource?: string
}
export type PatchType = 'json' | 'merge' | 'strategic' | 'apply'

/** Object to be created or updated: the server fills the metadata that is missing. */
export type Input<T extends KubeObject> = Omit<T, 'metadata' | 'apiVersion' | 'kind' | 'status'> & {
  readonly apiVersion?: string
  readonly kind?: string
  readonly metadata: Partial<T['metadata']>
  readonly status?: unknown
}

/** Errors of every method: ApiError as the server said it, TransportError when there was no answer. */
export interface Resource<T extends KubeObject> {
  get(name: string, namespace?: string): Promise<T>
  /** Like get, undefined instead of a NotFound error. */
  find(name: string, namespace?: string): Promise<T | undefined>
  list(query?: ListQuery): Promise<ListAnswer<T>>
  /** Ends when the server ends it or `signal` aborts; an ERROR event is thrown as ApiError (Expired, Gone). */
  watch(query?: WatchQuery): AsyncIterable<WatchEvent<T>>
  create(object: Input<T>, options?: WriteOptions): Promise<T>
  update(object: T, options?: WriteOptions): Promise<T>
  updateStatus(object: T, options?: WriteOptions): Promise<T>
  patch(
    name: string,
    namespace: string | undefined,
    type: PatchType,
    patch: unknown,
    options?: WriteOptions & { readonly force?: boolean },
  ): Promise<T>
  delete(name: string, namespace?: string, options?: DeleteOptions): Promise<void>
  deleteCollection(query: ListQuery, options?: DeleteOptions): Promise<void>
  /** POST to a subresource with a body of another kind (binding, eviction, token); answers what the server said. */
  post<R = unknown>(name: string, namespace: string | undefined, subresource: string, body: unknown): Promise<R>
}
export interface Client {
  resource<T extends KubeObject>(kind: Kind<T>): Resource<T>
  /** Any GET, for what has no kind (/version, /healthz, /metrics). */
  raw(path: string): Promise<{ readonly status: number; readonly text: string }>
}
