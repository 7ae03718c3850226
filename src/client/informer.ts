// A local copy of one kind (or a selection of it), kept true by list and watch. It resumes a broken watch where it
// stopped, lists again only when the server has forgotten that point, and knows up to which revision it has seen the
// world: `seen(revision)` tells whether our own last write has arrived here.
import { ApiError } from '../api/machinery/errors.ts'
import { freeze } from '../api/machinery/freeze.ts'
import { apiVersionOf, type Kind } from '../api/machinery/kind.ts'
import type { KubeObject } from '../api/machinery/meta.ts'
import { type Clock, sleep } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { Random } from '../ports/random.ts'
import { TransportError } from '../ports/transport.ts'
import type { Client, Resource } from './client.ts'

/** "namespace/name", or "name" for what has no namespace. */
export const keyOf = (object: {
  readonly metadata: { readonly namespace?: string | undefined; readonly name: string }
}) => keyFor(object.metadata.name, object.metadata.namespace)
export const keyFor = (name: string, namespace?: string): string => (namespace ? `${namespace}/${name}` : name)

/** Values under which an object is found; exported functions are shared by identity between consumers. */
export type IndexBy<T> = (object: T) => readonly string[]
const none: readonly string[] = []
export const byNamespace: IndexBy<KubeObject> = (object) =>
  object.metadata.namespace === undefined ? none : [object.metadata.namespace]
export const byOwnerUid: IndexBy<KubeObject> = (object) => object.metadata.ownerReferences?.map((o) => o.uid) ?? none
/** UID of the controlling owner alone. */
export const byControllerUid: IndexBy<KubeObject> = (object) => {
  const owner = object.metadata.ownerReferences?.find((o) => o.controller)
  return owner === undefined ? none : [owner.uid]
}
export const byNodeName: IndexBy<KubeObject & { readonly spec: { readonly nodeName?: string | undefined } }> = (
  object,
) => (object.spec.nodeName ? [object.spec.nodeName] : none)

export interface Handlers<T> {
  /** `initial` is true for what was there before the handler or the informer was. */
  readonly add?: (object: T, initial: boolean) => void
  readonly update?: (object: T, old: T) => void
  readonly delete?: (last: T) => void
}
export interface Index<T> {
  get(value: string): readonly T[]
  has(value: string): boolean
  /** How many objects `get` would answer, without making the list. */
  count(value: string): number
  values(): Iterable<string>
}
export interface Selection {
  readonly namespace?: string
  readonly labelSelector?: string
  readonly fieldSelector?: string
}
export interface Informer<T extends KubeObject> {
  readonly kind: Kind<T>
  /** Resolves when the first list is in the cache. Never rejects: a list is retried until it succeeds. */
  readonly synced: Promise<void>
  readonly hasSynced: boolean
  get(name: string, namespace?: string): T | undefined
  byKey(key: string): T | undefined
  list(): Iterable<T>
  readonly size: number
  /** The index of a function, built once and shared by all who ask with the same function. */
  index(by: IndexBy<T>): Index<T>
  /** Called for everything in the cache at once, then for every change. Answers the function that removes it. */
  handle(handlers: Handlers<T>): () => void
  /** The newest revision of which this cache shows every change of its kind. */
  readonly revision: number
  /** True when the cache shows the state at `resourceVersion` or later. */
  seen(resourceVersion: string): boolean
  /** Resolves when `check` holds; it is asked again after every change and every progress of the revision. */
  until(check: () => boolean): Promise<void>
  stop(): void
}

export interface InformerOptions<T extends KubeObject> {
  readonly client: Client
  readonly kind: Kind<T>
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly selection?: Selection
  /** Objects per list page. Default 5000. */
  readonly pageSize?: number
  /** Ask for bookmarks, which let a broken watch resume without a list after long silence. Not worth their timers where
   * server and client are one process. Default true. */
  readonly bookmarks?: boolean
  /** What the cache and the handlers get in the place of an object; default: the object itself. */
  readonly keep?: (object: T) => T
}

/** Text that is parsed at once is garbage at once. */
const leanPageSize = 500
const firstRetryMs = 100
const lastRetryMs = 30_000
/** Without bookmarks a watch should rather not end: 23 days, about the longest that a timer can wait. */
const longWatchSeconds = 2_000_000

class IndexMap<T extends KubeObject> implements Index<T> {
  private readonly by: IndexBy<T>
  /** One object stands for itself: of values that one object alone has there may be ten times as many as objects. */
  private readonly entries = new Map<string, T | Map<string, T>>()
  /** The last answer by value, dropped on change: reconciles ask for the same list again and again. */
  private readonly lists = new Map<string, readonly T[]>()
  constructor(by: IndexBy<T>) {
    this.by = by
  }
  get(value: string): readonly T[] {
    const known = this.lists.get(value)
    if (known !== undefined) return known
    const entry = this.entries.get(value)
    if (entry === undefined) return none as readonly never[]
    const list = entry instanceof Map ? [...entry.values()] : [entry]
    this.lists.set(value, list)
    return list
  }
  has(value: string): boolean {
    return this.entries.has(value)
  }
  count(value: string): number {
    const entry = this.entries.get(value)
    return entry instanceof Map ? entry.size : entry === undefined ? 0 : 1
  }
  values(): Iterable<string> {
    return this.entries.keys()
  }
  replace(key: string, old: T | undefined, object: T | undefined): void {
    const before = old === undefined ? none : this.by(old)
    const after = object === undefined ? none : this.by(object)
    for (const value of before) {
      this.lists.delete(value)
      if (!after.includes(value)) this.remove(value, key)
    }
    if (object === undefined) return
    for (const value of after) {
      this.lists.delete(value)
      const entry = this.entries.get(value)
      if (entry instanceof Map) entry.set(key, object)
      else if (entry === undefined || keyOf(entry) === key) this.entries.set(value, object)
      else
        this.entries.set(
          value,
          new Map([
            [keyOf(entry), entry],
            [key, object],
          ]),
        )
    }
  }
  private remove(value: string, key: string): void {
    const entry = this.entries.get(value)
    if (entry instanceof Map) {
      entry.delete(key)
      if (entry.size > 0) return
    } else if (entry === undefined || keyOf(entry) !== key) return
    this.entries.delete(value)
  }
}

/** An object without the record of who wrote which field. */
function withoutManagedFields<T extends KubeObject>(object: T): T {
  if (object.metadata.managedFields === undefined) return object
  const { managedFields: _, ...metadata } = object.metadata
  return Object.freeze({ ...object, metadata: Object.freeze(metadata) })
}

class CachingInformer<T extends KubeObject> implements Informer<T> {
  readonly kind: Kind<T>
  readonly synced: Promise<void>
  hasSynced = false
  revision = 0
  private markSynced: () => void = () => {}
  private readonly objects = new Map<string, T>()
  private readonly indexes = new Map<IndexBy<T>, IndexMap<T>>()
  private readonly handlers = new Set<Handlers<T>>()
  private readonly waiters = new Set<{ readonly check: () => boolean; readonly done: () => void }>()
  private readonly stopping = new AbortController()
  private readonly options: InformerOptions<T>
  private readonly resource: Resource<T>
  private readonly log: Log

  constructor(options: InformerOptions<T>) {
    this.options = options
    this.kind = options.kind
    this.resource = options.client.resource(options.kind)
    this.log = options.log.child({ informer: `${apiVersionOf(options.kind)} ${options.kind.kind}` })
    this.synced = new Promise((done) => (this.markSynced = done))
    void this.run()
  }
  get size(): number {
    return this.objects.size
  }
  get(name: string, namespace?: string): T | undefined {
    return this.objects.get(keyFor(name, namespace))
  }
  byKey(key: string): T | undefined {
    return this.objects.get(key)
  }
  list(): Iterable<T> {
    return this.objects.values()
  }
  index(by: IndexBy<T>): Index<T> {
    let index = this.indexes.get(by)
    if (index === undefined) {
      index = new IndexMap(by)
      for (const [key, object] of this.objects) index.replace(key, undefined, object)
      this.indexes.set(by, index)
    }
    return index
  }
  handle(handlers: Handlers<T>): () => void {
    for (const object of this.objects.values()) this.call(() => handlers.add?.(object, true))
    this.handlers.add(handlers)
    return () => this.handlers.delete(handlers)
  }
  seen(resourceVersion: string): boolean {
    return this.revision >= Number(resourceVersion)
  }
  until(check: () => boolean): Promise<void> {
    if (check()) return Promise.resolve()
    return new Promise((done) => this.waiters.add({ check, done }))
  }
  stop(): void {
    this.stopping.abort()
  }

  /** Boundary: a handler's defect is recorded and must not end the informer. */
  private call(handler: () => void): void {
    try {
      handler()
    } catch (error) {
      this.log.error('event handler failed', { error })
    }
  }
  private progress(resourceVersion: string | undefined): void {
    const revision = Number(resourceVersion ?? 0)
    if (revision > this.revision) this.revision = revision
    for (const waiter of this.waiters)
      if (waiter.check()) {
        this.waiters.delete(waiter)
        waiter.done()
      }
  }
  private put(whole: T, initial: boolean): void {
    const object = this.options.keep?.(whole) ?? whole
    const key = keyOf(object)
    const old = this.objects.get(key)
    if (old !== undefined && old.metadata.resourceVersion === object.metadata.resourceVersion) return
    if (old !== undefined && old.metadata.uid !== object.metadata.uid) this.remove(key)
    const replaced = this.objects.get(key)
    this.objects.set(key, object)
    for (const index of this.indexes.values()) index.replace(key, replaced, object)
    for (const h of this.handlers)
      this.call(() => (replaced === undefined ? h.add?.(object, initial) : h.update?.(object, replaced)))
  }
  /** `last` is the final state as the server told it. */
  private remove(key: string, last?: T): void {
    const old = this.objects.get(key)
    if (old === undefined) return
    this.objects.delete(key)
    for (const index of this.indexes.values()) index.replace(key, old, undefined)
    for (const h of this.handlers)
      this.call(() => h.delete?.(last === undefined ? old : (this.options.keep?.(last) ?? last)))
  }

  private async listAll(): Promise<string> {
    const { selection = {}, pageSize = 5000 } = this.options
    const listed = new Set<string>()
    const initial = !this.hasSynced
    let page = await this.resource.list({ ...selection, limit: pageSize })
    const pages = [page]
    while (page.continue !== undefined) {
      page = await this.resource.list({ ...selection, limit: pageSize, continue: page.continue })
      pages.push(page)
    }
    for (const { items } of pages)
      for (const item of items) {
        listed.add(keyOf(item))
        this.put(item, initial)
      }
    for (const key of this.objects.keys()) if (!listed.has(key)) this.remove(key)
    this.progress(page.resourceVersion)
    if (initial) {
      this.hasSynced = true
      this.markSynced()
    }
    return page.resourceVersion
  }
  /** Follows the watch until it ends; answers the resourceVersion to resume from. */
  private async follow(from: string, onProgress: (resourceVersion: string) => void): Promise<void> {
    const watch = this.resource.watch({
      ...this.options.selection,
      resourceVersion: from,
      ...(this.options.bookmarks === false ? { timeoutSeconds: longWatchSeconds } : { allowWatchBookmarks: true }),
      signal: this.stopping.signal,
    })
    for await (const event of watch) {
      if (this.stopping.signal.aborted) return
      const { resourceVersion } = event.object.metadata
      if (event.type === 'DELETED') this.remove(keyOf(event.object), event.object)
      else if (event.type !== 'BOOKMARK') this.put(event.object, false)
      this.progress(resourceVersion)
      onProgress(resourceVersion)
    }
  }
  private async run(): Promise<void> {
    const { clock, random } = this.options
    const { signal } = this.stopping
    let delayMs = firstRetryMs
    let resourceVersion: string | undefined
    while (!signal.aborted) {
      const startedMs = clock.monotonic()
      try {
        resourceVersion ??= await this.listAll()
        await this.follow(resourceVersion, (latest) => {
          resourceVersion = latest
          delayMs = firstRetryMs
        })
        // The server ends watches now and then; one that ended at once is treated as a failure, lest we spin.
        if (clock.monotonic() - startedMs > 1000) {
          delayMs = firstRetryMs
          continue
        }
      } catch (error) {
        // Boundary: list and watch fail while a server restarts; the loop goes on until it is stopped.
        if (signal.aborted) return
        const gone = error instanceof ApiError && (error.code === 410 || error.code === 400)
        if (gone) resourceVersion = undefined
        const expected = error instanceof TransportError || error instanceof ApiError
        this.log[gone ? 'debug' : expected ? 'warn' : 'error']('list or watch failed', {
          error: String(error),
          delayMs,
        })
      }
      await sleep(clock, delayMs * (1 + random.float()), signal)
      delayMs = Math.min(lastRetryMs, delayMs * 2)
    }
  }
}

/** Starts an informer of one kind. Consumers normally ask an InformerFactory, which shares them. */
export const createInformer = <T extends KubeObject>(options: InformerOptions<T>): Informer<T> =>
  new CachingInformer(options)

export interface InformerFactory {
  /** The informer of a kind and selection, started on first use and shared afterwards. */
  informer<T extends KubeObject>(kind: Kind<T>, selection?: Selection): Informer<T>
  /** Every object of a kind, of which the consumer looks at the metadata alone, without the managed fields. The whole
   * objects where somebody holds them already; else nothing else of them is kept. */
  metadata(kind: Kind): Informer<KubeObject>
  /** Resolves when every informer that was asked for until now has its first list. */
  synced(): Promise<void>
  stop(): void
}

/** Informers shared by kind and selection: one list, one watch and one cache for all components of a process. */
export function createInformerFactory(options: {
  readonly client: Client
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly bookmarks?: boolean
  /** For caches whose objects nobody shares: no managed fields, and lists in small pages. Default false. */
  readonly lean?: boolean
}): InformerFactory {
  const informers = new Map<string, Informer<never>>()
  const lean = <T extends KubeObject>() =>
    options.lean === true ? { keep: withoutManagedFields<T>, pageSize: leanPageSize } : {}
  const idOf = (kind: Pick<Kind, 'group' | 'version' | 'plural'>, selection: Selection) => {
    const { namespace = '', labelSelector = '', fieldSelector = '' } = selection
    return [apiVersionOf(kind), kind.plural, namespace, labelSelector, fieldSelector].join('|')
  }
  const get = <T extends KubeObject>(id: string, create: () => Informer<T>): Informer<T> => {
    const known = informers.get(id)
    // The id names the kind, so what is found under it has the kind's type.
    if (known !== undefined) return known as unknown as Informer<T>
    const created = create()
    informers.set(id, created as unknown as Informer<never>)
    return created
  }
  return {
    informer: <T extends KubeObject>(kind: Kind<T>, selection: Selection = {}) =>
      get(idOf(kind, selection), () => createInformer({ ...options, ...lean<T>(), kind, selection })),
    metadata(kind: Kind) {
      const id = idOf(kind, {})
      return get(informers.has(id) ? id : `${id}|metadata`, () =>
        createInformer({ ...options, kind, keep: metadataAlone }),
      )
    },
    async synced() {
      await Promise.all([...informers.values()].map((informer) => informer.synced))
    },
    stop() {
      for (const informer of informers.values()) informer.stop()
      informers.clear()
    },
  }
}

const metadataAlone = ({ apiVersion, kind, metadata }: KubeObject): KubeObject =>
  withoutManagedFields(freeze({ apiVersion, kind, metadata } as KubeObject))
