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
  /** Where every version is a kind of its own (custom resources): the way from and to what is stored. */
  readonly boundary?: VersionBoundary
  /** Sent as a warning with every answer. */
  readonly deprecation?: string
  /** Why nothing may be created: the definition is going. */
  readonly closed?: string
}
/** Requests are worked on in their own version; objects are converted where they leave and enter the store. */
export interface VersionBoundary {
  /** A webhook converts: fields of a stored object need not be those that this version shows. */
  readonly converts: boolean
  /** Stored objects as this version shows them, frozen; answers at once where nobody else has to be asked. */
  objects(entries: readonly Entry[]): readonly KubeObject[] | Promise<readonly KubeObject[]>
  /** A stored object, stored or about to be, as this version shows it. */
  fromStored(object: KubeObject): KubeObject | Promise<KubeObject>
  /** An object of this version as it is stored. */
  toStored(object: KubeObject): KubeObject | Promise<KubeObject>
}
/** A version of a custom resource that is to be served. */
export interface CustomServed {
  readonly kind: Kind
  readonly boundary?: (storage: ResourceStorage) => VersionBoundary
  readonly deprecation?: string
  readonly closed?: string
}
/** What the served versions of a kind share. */
export interface ResourceStorage {
  readonly kind: Kind
  /** The kinds that are served: the kind itself, or one for each version of a custom resource. */
  readonly kinds: readonly Kind[]
  readonly collection: Collection
  readonly hub: WatchHub
}

const allVerbs: readonly Verb[] = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch']
/** Decoded objects kept, per generation. */
const recentObjects = 4096

export class ResourceRegistry {
  private readonly served = new Map<string, ServedResource>()
  private readonly versions = new WeakMap<ResourceStorage, readonly ServedResource[]>()
  /** By group, then by plural. Every write asks for several: a key put together each time would have to be hashed anew. */
  private readonly storages = new Map<string, Map<string, ResourceStorage>>()
  private readonly store: Store
  private readonly feed: Feed
  private readonly defer: Defer
  private readonly recent = new Recent<Entry, KubeObject>(recentObjects)
  private changes = 0
  private readonly listeners = new Set<() => void>()

  constructor(store: Store, feed: Feed, defer: Defer) {
    this.store = store
    this.feed = feed
    this.defer = defer
  }

  /** Time has passed: called now and then, about twice in the time for which an unused decoded object may stay. */
  age(): void {
    this.recent.age()
  }
  /** What is served has changed, here or at a server behind this one. */
  touch(): void {
    this.changes++
    for (const listener of this.listeners) listener()
  }
  /** Listens to changes of what is served; answers how to stop. */
  listen(listener: () => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
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
    return this.storageKinds().flatMap((storage) => storage.kinds)
  }
  storageKinds(): readonly ResourceStorage[] {
    return [...this.storages.values()].flatMap((group) => [...group.values()])
  }
  get(group: string, version: string, plural: string): ServedResource | undefined {
    return this.served.get(`${group}/${version}/${plural}`)
  }
  /** Every served version of what lies in a storage. */
  versionsOf(storage: ResourceStorage): readonly ServedResource[] {
    const known = this.versions.get(storage)
    if (known !== undefined) return known
    const found = this.all().filter((resource) => resource.storage === storage)
    this.versions.set(storage, found)
    return found
  }
  /** Whether anything of a group is served. */
  hasGroup(group: string): boolean {
    for (const resource of this.served.values()) if (resource.group === group) return true
    return false
  }
  /** The storage of a kind by group and plural, whatever the version. */
  storage(group: string, plural: string): ResourceStorage | undefined {
    return this.storages.get(group)?.get(plural)
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
    const storage: ResourceStorage = { kind, kinds: [kind], collection, hub: new WatchHub(collection, this.defer) }
    this.keep(storage)
    this.put(storage, kind.group, kind.version, undefined)
    for (const version of kind.versions ?? []) this.put(storage, version.group, version.version, version)
    this.changes++
    return storage
  }

  /** Starts serving a custom resource: `stored` is the version in the store, `normalize` brings what is read from there
   * into its present form. */
  addCustom(
    stored: Kind,
    served: readonly CustomServed[],
    normalize: ((object: KubeObject) => KubeObject) | undefined,
  ): ResourceStorage {
    const collection = new Collection({
      store: this.store,
      feed: this.feed,
      kind: stored,
      recent: this.recent,
      ...(normalize === undefined ? {} : { normalize }),
    })
    const kinds = served.map(({ kind }) => kind)
    const storage: ResourceStorage = { kind: stored, kinds, collection, hub: new WatchHub(collection, this.defer) }
    this.keep(storage)
    for (const { kind, boundary, deprecation, closed } of served) {
      this.served.set(`${kind.group}/${kind.version}/${kind.plural}`, {
        group: kind.group,
        version: kind.version,
        kind,
        as: undefined,
        apiVersion: apiVersionOf(kind),
        schema: kind.schema,
        verbs: new Set(kind.verbs ?? allVerbs),
        storage,
        ...(boundary === undefined ? {} : { boundary: boundary(storage) }),
        ...(deprecation === undefined ? {} : { deprecation }),
        ...(closed === undefined ? {} : { closed }),
      })
    }
    this.touch()
    return storage
  }

  /** Stops serving a kind; its watchers are cut off. */
  remove(kind: Kind): void {
    this.storage(kind.group, kind.plural)?.collection.close()
    this.storages.get(kind.group)?.delete(kind.plural)
    for (const [id, resource] of this.served)
      if (resource.kind.group === kind.group && resource.kind.plural === kind.plural) this.served.delete(id)
    this.touch()
  }

  private keep(storage: ResourceStorage): void {
    const { group, plural } = storage.kind
    let ofGroup = this.storages.get(group)
    if (ofGroup === undefined) this.storages.set(group, (ofGroup = new Map()))
    ofGroup.set(plural, storage)
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
      ...(as?.deprecation === undefined ? {} : { deprecation: as.deprecation }),
    })
  }
}
