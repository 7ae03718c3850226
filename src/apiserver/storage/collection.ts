// One resource in memory: every object's stored bytes, in key order, with what selectors need beside them, fed by the
// store's events. Reads and watches are answered from here; the store is asked only for what is past. Decoded objects
// are kept for as long as they are in use lately: most requests want bytes, controllers want objects.
import { freeze } from '../../api/machinery/freeze.ts'
import type { Kind } from '../../api/machinery/kind.ts'
import { apiVersionOf } from '../../api/machinery/kind.ts'
import type { KubeObject } from '../../api/machinery/meta.ts'
import type { KeyValue, Store, StoreEvent } from '../../store/store.ts'
import type { Feed, FeedListener } from './feed.ts'
import { decodeValue, encodeValue, hasLayout, type Layout, layoutOf } from './layout.ts'
import { Ordered } from './ordered.ts'
import { Recent } from './recent.ts'

export type Labels = Readonly<Record<string, string>>

/** One version of one stored object. Immutable but for the cached decoded form. */
export interface Entry {
  readonly key: string
  readonly namespace: string
  readonly name: string
  readonly value: Uint8Array
  readonly modRevision: number
  readonly labels: Labels | undefined
  /** Values of the kind's selectable fields, in the order of `Collection.fieldNames`. */
  readonly fields: readonly string[]
  /** Lies in the store in another form than it would be written in today: not even an empty update is skipped. */
  readonly stale?: true
}
export interface Change {
  readonly revision: number
  /** Undefined when the object was deleted. */
  readonly entry: Entry | undefined
  readonly previous: Entry | undefined
}
export interface CollectionListener {
  changed(changes: readonly Change[], revision: number): void
  /** Everything may be different and events were lost. */
  reset(): void
}

const noFields: readonly string[] = []
/** How many changes are kept for watches that begin in the past; older ones are read from the store. */
const historyLimit = 1024

export interface CollectionOptions {
  readonly store: Store
  readonly feed: Feed
  readonly kind: Kind
  /** Objects decoded lately, shared by all collections. */
  readonly recent: Recent<Entry, KubeObject>
  /** Brings an object read from the store into its present form (a definition that changed: defaults, pruning). The same
   * reference where nothing is to be done. */
  readonly normalize?: (object: KubeObject) => KubeObject
}

export class Collection implements FeedListener {
  readonly kind: Kind
  readonly prefix: string
  readonly layout: Layout
  readonly fieldNames: readonly string[]
  private readonly fieldReaders: readonly ((object: KubeObject) => string)[]
  private readonly store: Store
  private readonly feed: Feed
  private readonly recent: Recent<Entry, KubeObject>
  private readonly normalize: ((object: KubeObject) => KubeObject) | undefined
  private readonly entries = new Ordered<Entry>()
  private readonly indexes = new Map<string, Index>()
  private readonly listeners = new Set<CollectionListener>()
  private history: Change[] = []
  /** Changes after this revision are all in `history`. */
  private historyStart = 0
  private lastChanged = 0
  private loading: Promise<void> | undefined
  private isLoaded = false
  private held: { readonly events: readonly StoreEvent[]; readonly revision: number }[] = []
  /** Objects being written by this process: their decoded form need not be parsed again. */
  private readonly written = new Map<Uint8Array, KubeObject>()

  constructor(options: CollectionOptions) {
    this.store = options.store
    this.feed = options.feed
    this.kind = options.kind
    this.recent = options.recent
    this.normalize = options.normalize
    this.prefix = options.kind.storagePrefix
    this.layout = layoutOf(apiVersionOf(options.kind), options.kind.kind)
    const fields = Object.entries(options.kind.selectableFields ?? {})
    this.fieldNames = fields.map(([name]) => name)
    this.fieldReaders = fields.map(([, read]) => read)
  }

  /** Resolves when the collection holds what the store held at this moment or later. */
  ready(): Promise<void> {
    if (this.isLoaded) return Promise.resolve()
    this.loading ??= this.load()
    return this.loading
  }
  get loaded(): boolean {
    return this.isLoaded
  }
  /** Everything up to this revision is in. */
  get revision(): number {
    return this.feed.revision
  }
  /** Revision of the last change of any object of this collection since it was loaded. */
  get changedAt(): number {
    return this.lastChanged
  }
  get size(): number {
    return this.entries.size
  }
  keyOf(namespace: string, name: string): string {
    return this.kind.namespaced ? `${this.prefix}/${namespace}/${name}` : `${this.prefix}/${name}`
  }
  /** The key prefix of a namespace's objects, of all objects for ''. */
  prefixOf(namespace: string): string {
    return namespace === '' ? `${this.prefix}/` : `${this.prefix}/${namespace}/`
  }
  get(key: string): Entry | undefined {
    return this.entries.get(key)
  }
  find(namespace: string, name: string): Entry | undefined {
    return this.entries.get(this.keyOf(namespace, name))
  }
  /** All entries of a namespace ('' for every namespace), in key order. */
  all(namespace: string): Entry[] {
    return this.entries.slice(this.prefixOf(namespace))
  }
  range(prefix: string, after?: string): IterableIterator<Entry> {
    return this.entries.range(prefix, after)
  }

  /** The decoded, frozen object of an entry. */
  object(entry: Entry): KubeObject {
    const known = this.recent.get(entry)
    // Freezing waits until somebody wants the object: most writes are only ever read as bytes.
    if (known !== undefined) return freeze(known)
    const object = freeze(decodeValue(entry.value, entry.modRevision))
    this.recent.set(entry, object)
    return object
  }
  /** Tells the collection what `value` decodes to (without resourceVersion), for the time of a write. */
  expect(value: Uint8Array, object: KubeObject): void {
    this.written.set(value, object)
  }
  expected(value: Uint8Array): void {
    this.written.delete(value)
  }

  /** An entry for a store value that is not (or no longer) in the collection. */
  entryOf(kv: KeyValue): Entry {
    const known = this.written.get(kv.value)
    let object: KubeObject
    let value = kv.value
    let stale = kv.stale === true
    if (known === undefined) {
      const stored = decodeValue(kv.value, kv.modRevision)
      object = this.normalize?.(stored) ?? stored
      const rewritten = object !== stored || !hasLayout(this.layout, kv.value)
      if (rewritten) value = encodeValue(this.layout, object)
      stale ||= rewritten
    } else {
      object = { ...known, metadata: { ...known.metadata, resourceVersion: String(kv.modRevision) } }
    }
    const { metadata } = object
    const entry: Entry = {
      key: kv.key,
      namespace: metadata.namespace ?? '',
      name: metadata.name,
      value,
      modRevision: kv.modRevision,
      labels: metadata.labels as Labels | undefined,
      fields: this.fieldReaders.length === 0 ? noFields : this.fieldReaders.map((read) => read(object)),
      ...(stale ? { stale } : {}),
    }
    this.recent.set(entry, object)
    return entry
  }

  /** Value of a selectable field, metadata.name and metadata.namespace included; undefined for unknown fields. */
  field(entry: Entry, name: string): string | undefined {
    if (name === 'metadata.name') return entry.name
    if (name === 'metadata.namespace') return entry.namespace
    const at = this.fieldNames.indexOf(name)
    return at < 0 ? undefined : entry.fields[at]
  }

  /** Entries whose label or field has a value, in key order; the index is made on first use and kept up. */
  lookup(by: { readonly label: string } | { readonly field: string }, value: string): Entry[] {
    const name = 'label' in by ? `label:${by.label}` : `field:${by.field}`
    let index = this.indexes.get(name)
    if (index === undefined) {
      const read = 'label' in by ? (e: Entry) => e.labels?.[by.label] : (e: Entry) => this.field(e, by.field)
      index = new Index(read)
      for (const entry of this.entries.slice('')) index.add(entry)
      this.indexes.set(name, index)
    }
    return index.lookup(value)
  }

  /** Listens to changes that come after now. */
  listen(listener: CollectionListener): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  /** Changes after `revision` in order, or undefined when they reach further back than is kept here. */
  since(revision: number): readonly Change[] | undefined {
    if (revision < this.historyStart) return undefined
    let low = 0
    let high = this.history.length
    while (low < high) {
      const middle = (low + high) >> 1
      const change = this.history[middle]
      if (change !== undefined && change.revision <= revision) low = middle + 1
      else high = middle
    }
    return this.history.slice(low)
  }

  apply(events: readonly StoreEvent[], revision: number): void {
    if (!this.isLoaded) {
      if (this.loading !== undefined) this.held.push({ events, revision })
      return
    }
    const changes: Change[] = []
    for (const event of events) {
      const change = this.applyOne(event, revision)
      if (change !== undefined) changes.push(change)
    }
    if (changes.length === 0) return
    this.lastChanged = revision
    for (const change of changes) this.history.push(change)
    if (this.history.length > historyLimit * 2) {
      this.history = this.history.slice(-historyLimit)
      this.historyStart = (this.history[0]?.revision ?? 1) - 1
    }
    for (const listener of this.listeners) listener.changed(changes, revision)
  }

  reset(): void {
    if (!this.isLoaded) return
    this.isLoaded = false
    this.entries.clear()
    this.indexes.clear()
    this.history = []
    this.loading = this.load()
    for (const listener of this.listeners) listener.reset()
  }

  close(): void {
    this.feed.detach(this.prefix)
    for (const listener of this.listeners) listener.reset()
    this.listeners.clear()
  }

  private async load(): Promise<void> {
    this.feed.attach(this.prefix, this)
    const result = await this.store.list(`${this.prefix}/`)
    for (const kv of result.items) this.entries.set(this.entryOf(kv))
    this.historyStart = result.revision
    this.lastChanged = result.revision
    await this.feed.reached(result.revision)
    this.isLoaded = true
    this.loading = undefined
    const held = this.held
    this.held = []
    for (const batch of held) if (batch.revision > result.revision) this.apply(batch.events, batch.revision)
  }

  private applyOne(event: StoreEvent, revision: number): Change | undefined {
    if (event.type === 'put') {
      const entry = this.entryOf(event.kv)
      const previous = this.entries.get(entry.key)
      this.entries.set(entry)
      for (const index of this.indexes.values()) {
        if (previous !== undefined) index.remove(previous)
        index.add(entry)
      }
      return { revision, entry, previous }
    }
    const previous = this.entries.delete(event.key)
    if (previous === undefined) return undefined
    for (const index of this.indexes.values()) index.remove(previous)
    return { revision, entry: undefined, previous }
  }
}

/** Entries by one of their values. */
class Index {
  private readonly read: (entry: Entry) => string | undefined
  private readonly buckets = new Map<string, Map<string, Entry>>()
  constructor(read: (entry: Entry) => string | undefined) {
    this.read = read
  }
  add(entry: Entry): void {
    const value = this.read(entry)
    if (value === undefined) return
    const bucket = this.buckets.get(value)
    if (bucket === undefined) this.buckets.set(value, new Map([[entry.key, entry]]))
    else bucket.set(entry.key, entry)
  }
  remove(entry: Entry): void {
    const value = this.read(entry)
    if (value === undefined) return
    const bucket = this.buckets.get(value)
    bucket?.delete(entry.key)
    if (bucket?.size === 0) this.buckets.delete(value)
  }
  lookup(value: string): Entry[] {
    const bucket = this.buckets.get(value)
    if (bucket === undefined) return []
    return [...bucket.values()].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
  }
}
