// The meaning of resourceVersion on reads: unset is the most recent state, 0 is anything at hand, N is not older than N.
// (https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions)
import { ApiError, badRequest } from '../../api/machinery/errors.ts'
import { sleep } from '../../ports/clock.ts'
import type { ServerContext } from '../context.ts'
import type { Collection } from '../storage/collection.ts'

/** How long a read waits for a revision that has not happened yet. */
const futureWaitMs = 3000

/** Resolves when the collection holds the most recent state. */
export async function mostRecent(server: ServerContext, collection: Collection): Promise<void> {
  if (!collection.loaded) await collection.ready()
  const revision = server.store.currentRevision()
  if (server.feed.revision < revision) await server.feed.reached(revision)
}

/** Resolves when the collection is not older than `revision`; Timeout when that does not come soon. */
export async function notOlderThan(server: ServerContext, collection: Collection, revision: number): Promise<void> {
  if (!collection.loaded) await collection.ready()
  if (server.feed.revision >= revision) return
  const given = new AbortController()
  await Promise.race([server.feed.reached(revision), sleep(server.clock, futureWaitMs, given.signal)])
  given.abort()
  if (server.feed.revision < revision) throw tooLarge(revision, server.feed.revision)
}
export const tooLarge = (revision: number, current: number): ApiError =>
  new ApiError('Timeout', `Timeout: Too large resource version: ${revision}, current: ${current}`, {
    causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
    retryAfterSeconds: 1,
  })

/** A resourceVersion parameter as a number; undefined when unset. */
export function parseVersion(text: string | null): number | undefined {
  if (text === null || text === '') return undefined
  const revision = /^\d{1,19}$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(revision)) {
    throw badRequest(
      `invalid resource version: resourceVersion: Invalid value: ${JSON.stringify(text)}: strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`,
    )
  }
  return revision
}
