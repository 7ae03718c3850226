// The typed client over any Transport. A request carries an object, never text: a carrier that needs bytes encodes it,
// the direct one passes it on, so that in one process a call costs no JSON at all.
import { apiVersionOf, type Kind } from '../api/machinery/kind.ts'
import { isReason } from '../api/machinery/errors.ts'
import type { DeleteOptions, KubeObject } from '../api/machinery/meta.ts'
import type { Transport, TransportRequest } from '../ports/transport.ts'
import { bodyOf, textOf, watchEvents } from './answers.ts'
import type { Client, ListAnswer, PatchType, Resource, WriteOptions } from './client.ts'
import { collectionPath, listParameters, objectPath, queryString, watchParameters } from './paths.ts'

export interface ClientOptions {
  /** Sent as user-agent; its part before the first slash is the default field manager of writes. */
  readonly userAgent?: string
}

const contentTypes: Readonly<Record<PatchType, string>> = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
}

const writeParameters = (options: WriteOptions & { readonly force?: boolean } = {}) =>
  queryString({
    dryRun: options.dryRun ? 'All' : undefined,
    fieldManager: options.fieldManager,
    force: options.force,
  })

/** Items of a typed list come without apiVersion and kind from some servers; every cached object has them. */
function withType<T extends KubeObject>(kind: Kind<T>, item: T): T {
  if (item.kind !== undefined && item.apiVersion !== undefined) return item
  return Object.freeze({ ...item, apiVersion: apiVersionOf(kind), kind: kind.kind })
}

interface ListBody<T> {
  readonly metadata?: {
    readonly resourceVersion?: string
    readonly continue?: string
    readonly remainingItemCount?: number
  }
  readonly items?: readonly T[] | null
}

/** A client over `transport`. Every method throws ApiError or TransportError, as `Resource` says. */
export function createClient(transport: Transport, options: ClientOptions = {}): Client {
  const common: Record<string, string> = { accept: 'application/json' }
  if (options.userAgent !== undefined) common['user-agent'] = options.userAgent

  async function call(
    method: TransportRequest['method'],
    path: string,
    object?: unknown,
    contentType = 'application/json',
  ): Promise<unknown> {
    const headers = object === undefined ? common : { ...common, 'content-type': contentType }
    return bodyOf(await transport.send({ method, path, headers, ...(object === undefined ? {} : { object }) }))
  }

  function resource<T extends KubeObject>(kind: Kind<T>): Resource<T> {
    const type = { apiVersion: apiVersionOf(kind), kind: kind.kind }
    const get = async (name: string, namespace?: string) => (await call('GET', objectPath(kind, name, namespace))) as T
    const update = async (object: T, options?: WriteOptions) => {
      const { name, namespace } = object.metadata
      const path = objectPath(kind, name, namespace, options?.subresource)
      return (await call('PUT', path + writeParameters(options), { ...object, ...type })) as T
    }
    const deleteBody = (options: DeleteOptions | undefined) =>
      options === undefined ? undefined : { kind: 'DeleteOptions', apiVersion: 'v1', ...options }
    return {
      get,
      async find(name, namespace) {
        try {
          return await get(name, namespace)
        } catch (error) {
          if (isReason(error, 'NotFound')) return undefined
          throw error
        }
      },
      async list(query = {}): Promise<ListAnswer<T>> {
        const body = (await call('GET', collectionPath(kind, query.namespace) + listParameters(query))) as ListBody<T>
        return {
          items: (body.items ?? []).map((item) => withType(kind, item)),
          resourceVersion: body.metadata?.resourceVersion ?? '',
          continue: body.metadata?.continue === '' ? undefined : body.metadata?.continue,
          remainingItemCount: body.metadata?.remainingItemCount,
        }
      },
      async *watch(query = {}) {
        const stop = new AbortController()
        const abort = () => stop.abort()
        if (query.signal?.aborted) return
        query.signal?.addEventListener('abort', abort)
        try {
          const path = collectionPath(kind, query.namespace) + watchParameters(query)
          const response = await transport.send({ method: 'GET', path, headers: common, signal: stop.signal })
          yield* watchEvents<T>(response)
        } catch (error) {
          if (!query.signal?.aborted) throw error
        } finally {
          query.signal?.removeEventListener('abort', abort)
          stop.abort()
        }
      },
      async create(object, options) {
        const { name, namespace } = object.metadata
        const path =
          options?.subresource === undefined
            ? collectionPath(kind, namespace)
            : objectPath(kind, name ?? '', namespace, options.subresource)
        return (await call('POST', path + writeParameters(options), { ...object, ...type })) as T
      },
      update,
      updateStatus: (object, options) => update(object, { ...options, subresource: 'status' }),
      async patch(name, namespace, type, patch, options) {
        const path = objectPath(kind, name, namespace, options?.subresource) + writeParameters(options)
        return (await call('PATCH', path, patch, contentTypes[type])) as T
      },
      async delete(name, namespace, options) {
        await call('DELETE', objectPath(kind, name, namespace), deleteBody(options))
      },
      async deleteCollection(query, options) {
        const path = collectionPath(kind, query.namespace) + listParameters(query)
        await call('DELETE', path, deleteBody(options))
      },
      async post<R>(name: string, namespace: string | undefined, subresource: string, body: unknown): Promise<R> {
        return (await call('POST', objectPath(kind, name, namespace, subresource), body)) as R
      },
    }
  }

  return {
    resource,
    async raw(path) {
      const response = await transport.send({ method: 'GET', path, headers: { accept: '*/*' } })
      return { status: response.status, text: await textOf(response) }
    },
  }
}
