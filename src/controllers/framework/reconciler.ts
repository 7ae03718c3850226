// The thin loop of every controller: keys in, one `reconcile(key)` at a time per key, back-off on failure. It does not
// run a key until the caches show what the key's own last run wrote, so a plan never acts twice on the same sight.
import { apiVersionOf, type Kind } from '../../api/machinery/kind.ts'
import { ApiError, isReason } from '../../api/machinery/errors.ts'
import type { DeleteOptions, KubeObject } from '../../api/machinery/meta.ts'
import type { Client, Input, PatchType, WriteOptions } from '../../client/client.ts'
import { keyOf } from '../../client/informer.ts'
import { createWorkQueue } from '../../client/work-queue.ts'
import { TransportError } from '../../ports/transport.ts'
import type { ControllerContext, RunningController } from './controller.ts'

/** The part of an Informer of any kind that the loop needs. */
export interface Cache {
  readonly kind: { readonly group: string; readonly version: string; readonly plural: string }
  readonly synced: Promise<void>
  seen(resourceVersion: string): boolean
  byKey(key: string): KubeObject | undefined
  until(check: () => boolean): Promise<void>
}

const kindId = (kind: { readonly group: string; readonly version: string; readonly plural: string }) =>
  `${apiVersionOf(kind)}/${kind.plural}`
/** A watch that is silent for this long must not hold a key back for ever (upstream's expectations time out alike). */
const expectationTimeoutMs = 300_000

/** What the caches must show before a key runs again. */
class Expectations {
  readonly sinceMs: number
  private readonly revisions = new Map<Cache, number>()
  private readonly deletions: { readonly cache: Cache; readonly key: string; readonly uid: string }[] = []
  constructor(sinceMs: number) {
    this.sinceMs = sinceMs
  }
  wrote(cache: Cache, resourceVersion: string): void {
    this.revisions.set(cache, Math.max(this.revisions.get(cache) ?? 0, Number(resourceVersion)))
  }
  deleted(cache: Cache, key: string, uid: string): void {
    this.deletions.push({ cache, key, uid })
  }
  /** The first cache that lags behind, with what to wait for there. */
  unmet(): { readonly cache: Cache; readonly met: () => boolean } | undefined {
    for (const [cache, revision] of this.revisions)
      if (!cache.seen(String(revision))) return { cache, met: () => cache.seen(String(revision)) }
    for (const { cache, key, uid } of this.deletions) {
      const met = () => {
        const seen = cache.byKey(key)
        return seen === undefined || seen.metadata.uid !== uid || seen.metadata.deletionTimestamp !== undefined
      }
      if (!met()) return { cache, met }
    }
    return undefined
  }
  get empty(): boolean {
    return this.revisions.size === 0 && this.deletions.length === 0
  }
}

/** The writes of one run: like the client's, and remembered, so that the next run waits until they are seen. */
export class Writes {
  private readonly client: Client
  private readonly caches: ReadonlyMap<string, Cache>
  private readonly expectations: Expectations
  constructor(client: Client, caches: ReadonlyMap<string, Cache>, expectations: Expectations) {
    this.client = client
    this.caches = caches
    this.expectations = expectations
  }
  private track<T extends KubeObject>(kind: Kind<T>, written: T): T {
    const cache = this.caches.get(kindId(kind))
    if (cache !== undefined && written.metadata.resourceVersion)
      this.expectations.wrote(cache, written.metadata.resourceVersion)
    return written
  }
  async create<T extends KubeObject>(kind: Kind<T>, object: Input<T>): Promise<T> {
    return this.track(kind, await this.client.resource(kind).create(object))
  }
  async update<T extends KubeObject>(kind: Kind<T>, object: T, options?: WriteOptions): Promise<T> {
    return this.track(kind, await this.client.resource(kind).update(object, options))
  }
  async updateStatus<T extends KubeObject>(kind: Kind<T>, object: T): Promise<T> {
    return this.track(kind, await this.client.resource(kind).updateStatus(object))
  }
  async patch<T extends KubeObject>(
    kind: Kind<T>,
    object: { readonly metadata: { readonly name: string; readonly namespace?: string | undefined } },
    type: PatchType,
    patch: unknown,
    options?: WriteOptions,
  ): Promise<T> {
    const { name, namespace } = object.metadata
    return this.track(kind, await this.client.resource(kind).patch(name, namespace, type, patch, options))
  }
  /** Deletes this very object (by UID). False when it was gone already. */
  async delete<T extends KubeObject>(kind: Kind<T>, object: KubeObject, options: DeleteOptions = {}): Promise<boolean> {
    const { name, namespace, uid } = object.metadata
    const cache = this.caches.get(kindId(kind))
    try {
      await this.client.resource(kind).delete(name, namespace, { preconditions: { uid }, ...options })
    } catch (error) {
      if (isReason(error, 'NotFound')) return false
      throw error
    }
    if (cache !== undefined) this.expectations.deleted(cache, keyOf(object), uid)
    return true
  }
}

export interface Reconciler extends RunningController {
  enqueue(key: string): void
  enqueueAfter(key: string, delayMs: number): void
  /** No key waits or runs. */
  readonly idle: boolean
}
export interface ReconcilerOptions {
  readonly context: ControllerContext
  /** All must have their first list before the first key runs. */
  readonly caches: readonly Cache[]
  /** Keys reconciled at once. Default 5. */
  readonly parallel?: number
  /** Brings one key nearer to its wish. A number answered means: look again after that many milliseconds. */
  readonly reconcile: (key: string, writes: Writes) => Promise<number | void>
  /** Ends what the controller started besides (recorders, timers). */
  readonly onStop?: () => void
}

/** Runs `reconcile` for keys that are enqueued, once every cache is filled. */
export function startReconciler(options: ReconcilerOptions): Reconciler {
  const { context, reconcile } = options
  const { client, clock, log } = context
  const caches = new Map(options.caches.map((cache) => [kindId(cache.kind), cache]))
  const pending = new Map<string, Expectations>()
  const early = new Set<string>()
  let ready = false
  let stopped = false

  async function run(key: string): Promise<number | 'not-now' | void> {
    const unmet = pending.get(key)?.unmet()
    const sinceMs = pending.get(key)?.sinceMs ?? 0
    if (unmet !== undefined && clock.monotonic() - sinceMs < expectationTimeoutMs) {
      void unmet.cache.until(unmet.met).then(() => queue.add(key))
      queue.addAfter(key, sinceMs + expectationTimeoutMs - clock.monotonic())
      return 'not-now'
    }
    const expectations = new Expectations(clock.monotonic())
    try {
      return await reconcile(key, new Writes(client, caches, expectations))
    } finally {
      if (expectations.empty) pending.delete(key)
      else pending.set(key, expectations)
    }
  }
  const queue = createWorkQueue<string>({
    clock,
    parallel: options.parallel ?? 5,
    run,
    onError(key, error, failures) {
      const expected = error instanceof ApiError || error instanceof TransportError
      const text = error instanceof Error ? (expected ? error.message : (error.stack ?? error.message)) : String(error)
      const level = !expected ? 'error' : isReason(error, 'Conflict') ? 'debug' : 'warn'
      log[level]('reconcile failed', { key, error: text, failures })
    },
  })
  void Promise.all(options.caches.map((cache) => cache.synced)).then(() => {
    ready = true
    for (const key of early) queue.add(key)
    early.clear()
  })
  return {
    enqueue(key) {
      if (ready) queue.add(key)
      else if (!stopped) early.add(key)
    },
    enqueueAfter(key, delayMs) {
      queue.addAfter(key, delayMs)
    },
    get idle() {
      return ready && queue.idle
    },
    async stop() {
      stopped = true
      early.clear()
      options.onStop?.()
      await queue.stop()
    },
  }
}
