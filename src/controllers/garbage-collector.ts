// Objects whose owners are all gone are deleted; owners that are deleted in the foreground wait for those that block
// them; orphaning cuts the references. There is no graph beside the caches: an index by owner UID over every kind's
// informer answers who depends on whom.
import { splitApiVersion } from '../api/machinery/api-version.ts'
import type { OwnerReference, KubeObject } from '../api/machinery/meta.ts'
import { apiVersionOf, type Kind } from '../api/machinery/kind.ts'
import { equal } from '../api/machinery/equal.ts'
import { isReason } from '../api/machinery/errors.ts'
import { builtinKinds } from '../api/kinds.ts'
import { customResourceDefinitions } from '../api/apiextensions/custom-resource-definition.ts'
import { byOwnerUid, type Index, type Informer, keyOf } from '../client/informer.ts'
import { createSettleLoop } from '../client/settle-loop.ts'
import type { Timer } from '../ports/clock.ts'
import { type Controller, type ControllerContext, recorderFor } from './framework/controller.ts'
import { discover } from './framework/discovery.ts'
import { startReconciler, type Writes } from './framework/reconciler.ts'

const foreground = 'foregroundDeletion'
const orphan = 'orphan'
/** While some API could not be discovered, or a new one is not yet published. */
const rediscoverMs = 2000
/** Events own nothing and are many. */
const ignored = (kind: Kind) => kind.plural === 'events'

export type OwnerState = 'solid' | 'absent' | 'waiting'
export type GarbagePlan =
  | { readonly type: 'keep' }
  /** Some owners live: forget the others. */
  | { readonly type: 'drop-references'; readonly uids: readonly string[] }
  | { readonly type: 'delete'; readonly policy: 'Foreground' | 'Background' | 'Orphan'; readonly unblock: boolean }

/** What to do with an object, given the state of each of its owners. */
export function planGarbage(
  object: KubeObject,
  states: readonly OwnerState[],
  hasDependents: boolean,
  dependentsWait: boolean,
): GarbagePlan {
  const references = object.metadata.ownerReferences ?? []
  if (references.length === 0) return { type: 'keep' }
  if (states.includes('solid')) {
    const uids = references.filter((_, i) => states[i] !== 'solid').map((reference) => reference.uid)
    return uids.length === 0 ? { type: 'keep' } : { type: 'drop-references', uids }
  }
  // A dependent in the middle of its own foreground deletion that owns us in turn would wait for ever: unblock it.
  if (states.includes('waiting') && hasDependents)
    return { type: 'delete', policy: 'Foreground', unblock: dependentsWait }
  const { finalizers = [] } = object.metadata
  const policy = finalizers.includes(orphan) ? 'Orphan' : finalizers.includes(foreground) ? 'Foreground' : 'Background'
  return { type: 'delete', policy, unblock: false }
}

/** Deleted in the foreground and still waiting for its dependents. */
export const waitsForDependents = ({ metadata }: KubeObject): boolean =>
  metadata.deletionTimestamp !== undefined && (metadata.finalizers?.includes(foreground) ?? false)
const isOrphaning = ({ metadata }: KubeObject): boolean =>
  metadata.deletionTimestamp !== undefined && (metadata.finalizers?.includes(orphan) ?? false)

interface Watched {
  readonly kind: Kind
  readonly informer: Informer<KubeObject>
  readonly dependents: Index<KubeObject>
  readonly off: () => void
}
type Found = { readonly watched: Watched; readonly object: KubeObject }

class Graph {
  readonly byId = new Map<string, Watched>()
  private readonly byType = new Map<string, Watched>()
  private readonly absent = new Set<string>()
  private readonly context: ControllerContext
  constructor(context: ControllerContext) {
    this.context = context
  }
  add(id: string, watched: Watched): void {
    this.byId.set(id, watched)
    this.byType.set(`${watched.kind.group}/${watched.kind.kind}`, watched)
  }
  remove(id: string): void {
    const watched = this.byId.get(id)
    if (watched === undefined) return
    watched.off()
    this.byId.delete(id)
    this.byType.delete(`${watched.kind.group}/${watched.kind.kind}`)
  }
  find(key: string): Found | undefined {
    const split = key.indexOf('|')
    const watched = this.byId.get(key.slice(0, split))
    const object = watched?.informer.byKey(key.slice(split + 1))
    return watched === undefined || object === undefined ? undefined : { watched, object }
  }
  *dependentsOf(uid: string): Generator<Found> {
    for (const watched of this.byId.values())
      for (const object of watched.dependents.get(uid)) yield { watched, object }
  }
  kindOf(reference: OwnerReference): Watched | undefined {
    const [group] = splitApiVersion(reference.apiVersion)
    return this.byType.get(`${group}/${reference.kind}`)
  }
  /** The owner as the cache shows it. */
  cachedOwner(reference: OwnerReference, namespace: string | undefined): KubeObject | undefined {
    const watched = this.kindOf(reference)
    const owner = watched?.informer.get(reference.name, watched.kind.namespaced ? namespace : undefined)
    return owner?.metadata.uid === reference.uid ? owner : undefined
  }
  forgetAbsent(uid: string): void {
    this.absent.delete(uid)
  }
  /** Asks the server where the cache does not know the owner. Throws when the owner's kind is unknown. */
  async stateOf(reference: OwnerReference, namespace: string | undefined): Promise<OwnerState> {
    await this.kindOf(reference)?.informer.synced
    const cached = this.cachedOwner(reference, namespace)
    if (cached !== undefined) return waitsForDependents(cached) ? 'waiting' : 'solid'
    if (this.absent.has(reference.uid)) return 'absent'
    const watched = this.kindOf(reference)
    if (watched === undefined)
      throw new Error(`no resource is known for owner ${reference.apiVersion} ${reference.kind}`)
    const { kind } = watched
    const invalid = kind.namespaced && namespace === undefined
    const live = invalid
      ? undefined
      : await this.context.client.resource(kind).find(reference.name, kind.namespaced ? namespace : undefined)
    if (live?.metadata.uid === reference.uid) return waitsForDependents(live) ? 'waiting' : 'solid'
    if (this.absent.size > 500) this.absent.clear()
    this.absent.add(reference.uid)
    return 'absent'
  }
}

const idOf = (kind: Kind) => `${apiVersionOf(kind)}/${kind.plural}`
const keyIn = ({ kind }: Watched, object: KubeObject) => `${idOf(kind)}|${keyOf(object)}`

/** Patches metadata of an object of any kind; what vanished or changed meanwhile comes round again by its event. */
async function patchMetadata(writes: Writes, { watched, object }: Found, metadata: object): Promise<void> {
  const { uid, resourceVersion } = object.metadata
  try {
    await writes.patch(watched.kind, object, 'merge', { metadata: { uid, resourceVersion, ...metadata } })
  } catch (error) {
    if (!isReason(error, 'NotFound')) throw error
  }
}
const dropReferences = (writes: Writes, found: Found, uids: readonly string[]) =>
  patchMetadata(writes, found, {
    ownerReferences: (found.object.metadata.ownerReferences ?? []).filter((r) => !uids.includes(r.uid)),
  })
const dropFinalizer = (writes: Writes, found: Found, finalizer: string) =>
  patchMetadata(writes, found, { finalizers: (found.object.metadata.finalizers ?? []).filter((f) => f !== finalizer) })

export const garbageCollector: Controller = {
  name: 'garbage-collector-controller',
  start(context) {
    const { client, clock, informers, log } = context
    const recorder = recorderFor(context, 'garbage-collector-controller')
    const graph = new Graph(context)
    let stopped = false
    let later: Timer | undefined

    async function orphanDependents(found: Found, writes: Writes): Promise<void> {
      const { uid } = found.object.metadata
      const all = [...graph.dependentsOf(uid)]
      await Promise.all(all.map((dependent) => dropReferences(writes, dependent, [uid])))
      await dropFinalizer(writes, found, orphan)
    }
    async function finishForeground(found: Found, writes: Writes): Promise<void> {
      const { uid } = found.object.metadata
      let blocked = false
      for (const dependent of graph.dependentsOf(uid)) {
        const reference = dependent.object.metadata.ownerReferences?.find((r) => r.uid === uid)
        if (reference?.blockOwnerDeletion) blocked = true
        if (!waitsForDependents(dependent.object)) reconciler.enqueue(keyIn(dependent.watched, dependent.object))
      }
      if (!blocked) await dropFinalizer(writes, found, foreground)
    }
    function reportForeignOwner({ object, watched }: Found): void {
      for (const reference of object.metadata.ownerReferences ?? []) {
        const owner = graph.kindOf(reference)
        if (watched.kind.namespaced || !owner?.kind.namespaced) continue
        const message = `ownerRef [${reference.apiVersion}/${reference.kind}, namespace: , name: ${reference.name}, uid: ${reference.uid}] does not exist in namespace ""`
        recorder.event(object, 'Warning', 'OwnerRefInvalidNamespace', message)
      }
    }
    async function collect(found: Found, writes: Writes): Promise<void> {
      const { object, watched } = found
      const { namespace, ownerReferences = [], uid, resourceVersion } = object.metadata
      const states = await Promise.all(ownerReferences.map((reference) => graph.stateOf(reference, namespace)))
      const dependents = [...graph.dependentsOf(uid)]
      const wait = dependents.some((dependent) => waitsForDependents(dependent.object))
      const plan = planGarbage(object, states, dependents.length > 0, wait)
      if (plan.type === 'keep') return
      if (states.includes('absent')) reportForeignOwner(found)
      if (plan.type === 'drop-references') return dropReferences(writes, found, plan.uids)
      if (plan.unblock)
        await patchMetadata(writes, found, {
          ownerReferences: ownerReferences.map((reference) => ({ ...reference, blockOwnerDeletion: false })),
        })
      const preconditions = plan.unblock ? { uid } : { uid, resourceVersion }
      await writes.delete(watched.kind, object, { preconditions, propagationPolicy: plan.policy })
    }

    const reconciler = startReconciler({
      context,
      caches: [],
      parallel: 20,
      async reconcile(key, writes) {
        const found = graph.find(key)
        if (found === undefined) return
        const { object } = found
        if (isOrphaning(object)) return orphanDependents(found, writes)
        if (waitsForDependents(object)) return finishForeground(found, writes)
        if (object.metadata.deletionTimestamp === undefined) await collect(found, writes)
      },
      onStop() {
        stopped = true
        recorder.stop()
        later?.cancel()
        void discovery.stop()
        offDefinitions()
        for (const id of graph.byId.keys()) graph.remove(id)
      },
    })

    function watch(kind: Kind): void {
      const informer = informers.metadata(kind)
      const off = informer.handle({
        add(object) {
          graph.forgetAbsent(object.metadata.uid)
          consider(object)
        },
        update(object, old) {
          consider(object, old)
          for (const reference of old.metadata.ownerReferences ?? []) {
            const now = object.metadata.ownerReferences?.find((r) => r.uid === reference.uid)
            const freed = now === undefined || (reference.blockOwnerDeletion && !now.blockOwnerDeletion)
            if (freed) enqueueWaitingOwner(reference, object)
          }
        },
        delete(last) {
          for (const dependent of graph.dependentsOf(last.metadata.uid))
            reconciler.enqueue(keyIn(dependent.watched, dependent.object))
          for (const reference of last.metadata.ownerReferences ?? []) enqueueWaitingOwner(reference, last)
        },
      })
      const watched: Watched = { kind, informer, dependents: informer.index(byOwnerUid), off }
      graph.add(idOf(kind), watched)
      /** Only what may be garbage, or waits for dependents, is looked at. */
      function consider(object: KubeObject, old?: KubeObject): void {
        const { ownerReferences, deletionTimestamp, finalizers, namespace } = object.metadata
        if (deletionTimestamp !== undefined) {
          if (finalizers?.some((f) => f === foreground || f === orphan)) reconciler.enqueue(keyIn(watched, object))
          return
        }
        if (ownerReferences === undefined || ownerReferences === old?.metadata.ownerReferences) return
        const suspicious = (reference: OwnerReference) => {
          const owner = graph.cachedOwner(reference, namespace)
          return owner === undefined || waitsForDependents(owner)
        }
        if (ownerReferences.some(suspicious)) reconciler.enqueue(keyIn(watched, object))
      }
    }
    function enqueueWaitingOwner(reference: OwnerReference, dependent: KubeObject): void {
      const owner = graph.cachedOwner(reference, dependent.metadata.namespace)
      const watched = graph.kindOf(reference)
      if (owner !== undefined && watched !== undefined && waitsForDependents(owner))
        reconciler.enqueue(keyIn(watched, owner))
    }
    async function refresh(): Promise<void> {
      const { kinds, failures } = await discover(client, builtinKinds)
      if (stopped) return
      const wanted = new Map(
        kinds
          .filter(({ kind, verbs }) => !ignored(kind) && ['delete', 'list', 'watch'].every((verb) => verbs.has(verb)))
          .map(({ kind }) => [idOf(kind), kind]),
      )
      const failed = (kind: Kind) => failures.has(apiVersionOf(kind))
      for (const [id, { kind }] of graph.byId) if (!wanted.has(id) && !failed(kind)) graph.remove(id)
      for (const [id, kind] of wanted) if (!graph.byId.has(id)) watch(kind)
      if (failures.size > 0) rediscoverLater()
    }
    function rediscoverLater(): void {
      later?.cancel()
      if (!stopped) later = clock.after(rediscoverMs, discovery.poke)
    }
    // The server may be away; what is known stays watched.
    const discovery = createSettleLoop(clock, rediscoverMs, refresh, (error) =>
      log.warn('discovery failed', { error: String(error) }),
    )
    const definitions = informers.informer(customResourceDefinitions)
    /** The server publishes a new resource a moment after its definition says so: look now and once more soon. */
    const changed = () => {
      discovery.poke()
      rediscoverLater()
    }
    const offDefinitions = definitions.handle({
      add: (_, initial) => void (initial || changed()),
      update: (definition, old) => void (equal(definition.status, old.status) || changed()),
      delete: changed,
    })
    discovery.poke()
    return reconciler
  },
}
