// A store whose values of some resources never touch the disk in plain: everything above sees plain bytes, everything below
// sealed ones. A value that this process has just written keeps its identity on the way back from the watch, because the
// collections know their own writes by it.
import type { EncryptionConfiguration } from '../../api/encryption/encryption-configuration.ts'
import type { Kind } from '../../api/machinery/kind.ts'
import type { Random } from '../../ports/random.ts'
import type { KeyValue, Operation, Store, StoreEvent } from '../../store/store.ts'
import { type Transformer, transformerOf } from './transformer.ts'

const root = '/registry/'

/** Who seals the value at a key; undefined for what is not encrypted. */
export type TransformerOfKey = (key: string) => Transformer | undefined

/** The first entry that names a resource decides. Names are plural.group ("secrets", "deployments.apps"), "*.group", "*." for
 * the core group, "*.*" for everything. */
export function transformersByKey(
  { resources = [] }: EncryptionConfiguration,
  kinds: readonly Kind[],
  random: Random,
): TransformerOfKey {
  const entries = resources.map((entry) => ({
    names: new Set(entry.resources ?? []),
    transformer: transformerOf(entry.providers ?? [], random),
  }))
  const forResource = (group: string, plural: string): Transformer | undefined => {
    const names = [group === '' ? plural : `${plural}.${group}`, `*.${group}`, '*.*']
    return entries.find((entry) => names.some((name) => entry.names.has(name)))?.transformer
  }
  const byPrefix = new Map(
    kinds
      .filter(({ storagePrefix }) => storagePrefix !== '')
      .map(({ storagePrefix, group, plural }) => [storagePrefix, forResource(group, plural)]),
  )
  return (key) => {
    const first = key.indexOf('/', root.length)
    const second = key.indexOf('/', first + 1)
    for (const end of [first, second]) {
      const prefix = end < 0 ? key : key.slice(0, end)
      if (byPrefix.has(prefix)) return byPrefix.get(prefix)
    }
    // Custom resources lie under /registry/GROUP/PLURAL. What has no dot in its group is a record of the server itself.
    const group = key.slice(root.length, first)
    return second < 0 || !group.includes('.') ? undefined : forResource(group, key.slice(first + 1, second))
  }
}

export function encryptedStore(store: Store, transformerOfKey: TransformerOfKey): Store {
  /** Plain forms of sealed values that are in use. */
  const opened = new WeakMap<Uint8Array, KeyValue['value']>()
  const stale = new WeakSet<Uint8Array>()
  const open = (kv: KeyValue): KeyValue => {
    const transformer = transformerOfKey(kv.key)
    if (transformer === undefined) return kv
    let plain = opened.get(kv.value)
    if (plain === undefined) {
      const found = transformer.open(kv.value, kv.key)
      plain = found.plain
      opened.set(kv.value, plain)
      if (found.stale) stale.add(kv.value)
    }
    return { ...kv, value: plain, ...(stale.has(kv.value) ? { stale: true } : {}) }
  }
  const maybe = (kv: KeyValue | undefined): KeyValue | undefined => (kv === undefined ? undefined : open(kv))
  const seal = (operation: Operation): Operation => {
    const transformer = operation.type === 'put' ? transformerOfKey(operation.key) : undefined
    if (operation.type !== 'put' || transformer === undefined) return operation
    const value = transformer.seal(operation.value, operation.key)
    opened.set(value, operation.value)
    return { ...operation, value }
  }
  const openEvent = (event: StoreEvent): StoreEvent =>
    event.type === 'put'
      ? {
          type: 'put',
          kv: open(event.kv),
          get previous() {
            return maybe(event.previous)
          },
        }
      : { ...event, previous: open(event.previous) }
  return {
    currentRevision: () => store.currentRevision(),
    compactedRevision: () => store.compactedRevision(),
    latestRevision: () => store.latestRevision(),
    get: async (key, revision) => maybe(await store.get(key, revision)),
    async list(prefix, options) {
      const result = await store.list(prefix, options)
      return { ...result, items: result.items.map(open) }
    },
    count: (prefix) => store.count(prefix),
    async txn(compares, operations) {
      const result = await store.txn(compares, operations.map(seal))
      return result.ok ? result : { ...result, current: result.current.map(maybe) }
    },
    watch: (prefix, options) =>
      store.watch(prefix, {
        ...options,
        onEvents: (events, revision) => options.onEvents(events.map(openEvent), revision),
      }),
    compact: (revision) => store.compact(revision),
    grantLease: (ttlSeconds) => store.grantLease(ttlSeconds),
    keepAlive: (lease) => store.keepAlive(lease),
    revokeLease: (lease) => store.revokeLease(lease),
    stats: () => store.stats(),
    close: () => store.close(),
  }
}
