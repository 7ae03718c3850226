// A few verbs of the API in memory, for tests of the client alone: create, get, list, watch, update, merge patch, delete.
// Everything that needs real semantics is tested against the real API server over the direct transport.
import { ApiError, modified, notFound } from '../../api/machinery/errors.ts'
import { freeze } from '../../api/machinery/freeze.ts'
import type { Transport, TransportRequest, TransportResponse } from '../../ports/transport.ts'

type Stored = {
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly resourceVersion: string }
}
type Event = { readonly type: string; readonly object: unknown }
interface Watcher {
  readonly collection: string
  push(event: Event): void
  end(): void
}

export interface FakeApi extends Transport {
  /** "METHOD path" of every request. */
  readonly requests: string[]
  /** Asked first; an answer replaces the fake's own, a throw is a broken connection. */
  intercept: ((request: TransportRequest) => TransportResponse | undefined) | undefined
  /** Ends all watches, as a restarting server does. */
  endWatches(): void
  /** Forgets history: watches from before now are answered with 410. */
  compact(): void
  readonly watchers: number
}

const decoder = new TextDecoder()
const failure = (error: ApiError): TransportResponse => ({
  status: error.code,
  headers: { 'content-type': 'application/json' },
  object: error.toStatus(),
})
const ok = (object: unknown, status = 200): TransportResponse => ({
  status,
  headers: { 'content-type': 'application/json' },
  object,
})
const merge = (target: unknown, patch: unknown): unknown => {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch
  const out: Record<string, unknown> = { ...(target as object) }
  for (const [key, value] of Object.entries(patch))
    if (value === null) delete out[key]
    else out[key] = merge(out[key], value)
  return out
}

/** `encode: 'bytes'` answers JSON text and NDJSON watches instead of objects. */
export function fakeApi(encode: 'objects' | 'bytes' = 'objects'): FakeApi {
  let revision = 10
  let compacted = 0
  let uid = 0
  const objects = new Map<string, Stored>()
  const history: { readonly revision: number; readonly collection: string; readonly event: Event }[] = []
  const watchers = new Set<Watcher>()

  const record = (collection: string, type: string, object: Stored) => {
    const event = { type, object }
    history.push({ revision, collection, event })
    for (const watcher of watchers) if (watcher.collection === collection) watcher.push(event)
  }
  const store = (path: string, body: object, type: string): Stored => {
    revision++
    const old = body as Stored
    const stored = freeze({ ...body, metadata: { ...old.metadata, resourceVersion: String(revision) } }) as Stored
    objects.set(path, stored)
    record(collectionOf(path), type, stored)
    return stored
  }
  const collectionOf = (path: string) =>
    path.replace(/\/[^/]+$/, '').replace(/^(\/api\/v1|\/apis\/[^/]+\/[^/]+)\/namespaces\/[^/]+\//, '$1/')

  function watch(collection: string, from: number, signal: AbortSignal | undefined): TransportResponse {
    if (from < compacted) return failure(new ApiError('Expired', 'too old resource version'))
    const queue: Event[] = history.filter((h) => h.collection === collection && h.revision > from).map((h) => h.event)
    let wake: () => void = () => {}
    let ended = false
    const watcher: Watcher = {
      collection,
      push(event) {
        queue.push(event)
        wake()
      },
      end() {
        ended = true
        watchers.delete(watcher)
        wake()
      },
    }
    watchers.add(watcher)
    signal?.addEventListener('abort', () => watcher.end())
    async function* objects(): AsyncGenerator<Event> {
      for (;;) {
        for (let event = queue.shift(); event !== undefined; event = queue.shift()) yield event
        if (ended) return
        await new Promise<void>((done) => (wake = done))
      }
    }
    if (encode === 'objects') return { status: 200, headers: {}, stream: { kind: 'objects', objects: objects() } }
    async function* chunks(): AsyncGenerator<Uint8Array> {
      for await (const event of objects()) {
        const bytes = new TextEncoder().encode(`${JSON.stringify(event)}\n`)
        // In two halves: a reader must put lines together again.
        yield bytes.slice(0, bytes.length >> 1)
        yield bytes.slice(bytes.length >> 1)
      }
    }
    return { status: 200, headers: {}, stream: { kind: 'bytes', chunks: chunks() } }
  }
  function list(collection: string, query: URLSearchParams): TransportResponse {
    const all = [...objects].filter(([path]) => collectionOf(path) === collection).map(([, object]) => object)
    const from = Number(query.get('continue') ?? 0)
    const limit = Number(query.get('limit') ?? all.length)
    const rest = from + limit < all.length ? { continue: String(from + limit) } : {}
    return ok({ metadata: { resourceVersion: String(revision), ...rest }, items: all.slice(from, from + limit) })
  }
  function answer(request: TransportRequest): TransportResponse {
    const url = new URL(request.path, 'http://fake')
    const path = url.pathname.replace(/\/status$/, '')
    const name = path.slice(path.lastIndexOf('/') + 1)
    const current = objects.get(path)
    const body = (request.body === undefined ? request.object : JSON.parse(decoder.decode(request.body))) as Stored
    const resource = { group: '', resource: collectionOf(path).split('/').at(-1) ?? '' }
    switch (request.method) {
      case 'POST': {
        const metadata = { uid: `uid-${++uid}`, creationTimestamp: '2026-01-01T00:00:00Z', ...body.metadata }
        return ok(store(`${path}/${body.metadata.name}`, { ...body, metadata }, 'ADDED'), 201)
      }
      case 'GET':
        if (url.searchParams.get('watch') === 'true')
          return watch(path, Number(url.searchParams.get('resourceVersion') ?? 0), request.signal)
        if (path.split('/').length === (path.startsWith('/apis/') ? 5 : 4)) return list(path, url.searchParams)
        return current === undefined ? failure(notFound(resource, name)) : ok(current)
      case 'PUT':
        if (current === undefined) return failure(notFound(resource, name))
        if (body.metadata.resourceVersion && body.metadata.resourceVersion !== current.metadata.resourceVersion)
          return failure(modified(resource, name))
        return ok(store(path, body, 'MODIFIED'))
      case 'PATCH':
        if (current === undefined) return failure(notFound(resource, name))
        return ok(store(path, merge(current, body) as object, 'MODIFIED'))
      case 'DELETE': {
        if (current === undefined) return failure(notFound(resource, name))
        revision++
        objects.delete(path)
        const last = { ...current, metadata: { ...current.metadata, resourceVersion: String(revision) } }
        record(collectionOf(path), 'DELETED', freeze(last))
        return ok({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success' })
      }
      case 'HEAD':
      case 'OPTIONS':
        return failure(new ApiError('MethodNotAllowed', 'not in the fake'))
    }
  }
  const api: FakeApi = {
    requests: [],
    intercept: undefined,
    async send(request) {
      api.requests.push(`${request.method} ${request.path}`)
      const response = api.intercept?.(request) ?? answer(request)
      if (encode === 'objects' || response.object === undefined) return response
      const { object, ...rest } = response
      return { ...rest, body: new TextEncoder().encode(JSON.stringify(object)) }
    },
    endWatches() {
      for (const watcher of watchers) watcher.end()
    },
    compact() {
      compacted = ++revision
      history.length = 0
    },
    get watchers() {
      return watchers.size
    },
  }
  return api
}
