// Which resources are served, by group, version and plural. Several served versions of a kind share one collection.
// Built-in kinds are put in at start; a CRD puts its own in and takes them out while the server runs.
import { apiVersionOf, type Kind, type KindVersion, type Verb } from '../api/machinery/kind.ts'
import type { KubeObject } from '../api/machinery/meta.ts'
import type { ObjectSchema } from '../api/machinery/schema.ts'
import type { Store } from '../store/store.ts'
import { Collection, type Entry } from './storage/collection.ts'
import type { Feed } from './storage/feed.ts'
import { Recent } from './storage/recent.ts'
import { type Defer, WatchHub } from './watch/hub.ts'

/** One resource in one served version. */
export interface ServedResource {
  readonly group: string
  readonly version: string
  readonly kind: Kind
  /** Undefined for the stored version itself. */
  readonly as: KindVersion | undefined
  readonly apiVersion: string
  readonly schema: ObjectSchema
  readonly verbs: ReadonlySet<Verb>
  readonly storage: ResourceStorage
}
/** What the served versions of a kind share. */
export interface ResourceStorage {
  readonly kind: Kind
  readonly collection: Collection
  readonly hub: WatchHub
}

const allVerbs: readonly Verb[] = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch']
/** Decoded objects kept, per generation. */
const recentObjects = 4096

export class ResourceRegistry {
  private readonly served = new Map<string, ServedResource>()
  private readonly storages = new Map<string, ResourceStorage>()
  private readonly store: Store
  private readonly feed: Feed
  private readonly defer: Defer
  private readonly recent = new Recent<Entry, KubeObject>(recentObjects)
  private changes = 0

  constructor(store: Store, feed: Feed, defer: Defer) {
    this.store = store
    this.feed = feed
    this.defer = defer
  }

  /** Grows whenever what is served changes; discovery documents are cached by it. */
  get generation(): number {
    return this.changes
  }
  all(): readonly ServedResource[] {
    return [...this.served.values()]
  }
  /** Every kind that is served, in order of registration. */
  kinds(): readonly Kind[] {
    return [...this.storages.values()].map((storage) => storage.kind)
  }
  storageKinds(): readonly ResourceStorage[] {
    return [...this.storages.values()]
  }
  get(group: string, version: string, plural: string): ServedResource | undefined {
    return this.served.get(`${group}/${version}/${plural}`)
  }
  /** The storage of a kind by group and plural, whatever the version. */
  storage(group: string, plural: string): ResourceStorage | undefined {
    return this.storages.get(`${group}/${plural}`)
  }
  /** Like storage(), for kinds that the server itself cannot do without. */
  required(group: string, plural: string): ResourceStorage {
    const storage = this.storage(group, plural)
    if (storage === undefined) throw new Error(`kind ${plural}.${group} is not registered`)
    return storage
  }

  /** Starts serving a kind in all its versions. */
  add(kind: Kind): ResourceStorage {
    const collection = new Collection({ store: this.store, feed: this.feed, kind, recent: this.recent })
    const storage: ResourceStorage = { kind, collection, hub: new WatchHub(collection, this.defer) }
    this.storages.set(`${kind.group}/${kind.plural}`, storage)
    this.put(storage, kind.group, kind.version, undefined)
    for (const version of kind.versions ?? []) this.put(storage, version.group, version.version, version)
    this.changes++
    return storage
  }

  /** Stops serving a kind; its watchers are cut off. */
  remove(kind: Kind): void {
    this.storages.get(`${kind.group}/${kind.plural}`)?.collection.close()
    this.storages.delete(`${kind.group}/${kind.plural}`)
    for (const [id, resource] of this.served)
      if (resource.kind.group === kind.group && resource.kind.plural === kind.plural) this.served.delete(id)
    this.changes++
  }

  private put(storage: ResourceStorage, group: string, version: string, as: KindVersion | undefined): void {
    const { kind } = storage
    this.served.set(`${group}/${version}/${kind.plural}`, {
      group,
      version,
      kind,
      as,
      apiVersion: apiVersionOf({ group, version }),
      schema: as?.schema ?? kind.schema,
      verbs: new Set(as?.verbs ?? kind.verbs ?? allVerbs),
      storage,
    })
  }
}
