// How admission plugins read other objects: from this server's own collections, as fresh as they are. What a plugin needs
// may have been created a moment ago by a controller, so a miss may wait a little for it.
import type { KubeObject } from '../../api/machinery/meta.ts'
import { sleep } from '../../ports/clock.ts'
import { mostRecent } from '../handlers/freshness.ts'
import type { ServerContext } from '../context.ts'
import type { Collection } from '../storage/collection.ts'

/** The collection of a kind, loaded; undefined where the kind is not served. */
export async function collectionOf(
  server: ServerContext,
  group: string,
  plural: string,
): Promise<Collection | undefined> {
  const collection = server.resources.storage(group, plural)?.collection
  if (collection === undefined) return undefined
  if (!collection.loaded || server.feed.revision < server.store.currentRevision()) await mostRecent(server, collection)
  return collection
}

/** An object by name; undefined where it is not there. */
export async function lookUp<T extends KubeObject>(
  server: ServerContext,
  group: string,
  plural: string,
  namespace: string,
  name: string,
): Promise<T | undefined> {
  const collection = await collectionOf(server, group, plural)
  const entry = collection?.find(namespace, name)
  return entry === undefined || collection === undefined ? undefined : (collection.object(entry) as unknown as T)
}

/** Waits up to `waitMs` for an object that is about to be created. */
export async function awaitObject(
  server: ServerContext,
  collection: Collection,
  namespace: string,
  name: string,
  waitMs: number,
): Promise<KubeObject | undefined> {
  const key = collection.keyOf(namespace, name)
  const found = collection.get(key)
  if (found !== undefined) return collection.object(found)
  const given = new AbortController()
  let stop = (): void => {}
  const appeared = new Promise<void>((done) => {
    stop = collection.listen({
      changed: (changes) => {
        if (changes.some((change) => change.entry?.key === key)) done()
      },
      reset: done,
    })
  })
  await Promise.race([appeared, sleep(server.clock, waitMs, given.signal)])
  given.abort()
  stop()
  const entry = collection.get(key)
  return entry === undefined ? undefined : collection.object(entry)
}
