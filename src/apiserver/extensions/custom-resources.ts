// CustomResourceDefinitions at work: accepts their names, serves their versions while the server runs, and on deletion
// lets the objects go first. Each definition is one key of a queue; what is served is decided from the definition alone,
// so that several servers over one store serve the same.
import { customKindsOf, type CustomVersion } from '../../api/apiextensions/custom-kind.ts'
import {
  cleanupFinalizer,
  customResourceDefinitions,
  type CustomResourceDefinition,
} from '../../api/apiextensions/custom-resource-definition.ts'
import { type CrdCondition, type CrdStatus, isTrue, planStatus, withCondition } from '../../api/apiextensions/naming.ts'
import { isReason } from '../../api/machinery/errors.ts'
import type { Kind } from '../../api/machinery/kind.ts'
import type { KubeObject } from '../../api/machinery/meta.ts'
import type { Client } from '../../client/client.ts'
import { createWorkQueue, type WorkQueue } from '../../client/work-queue.ts'
import { rfc3339 } from '../../ports/clock.ts'
import type { ServerContext } from '../context.ts'
import type { CustomServed, ResourceStorage } from '../resources.ts'
import type { Collection } from '../storage/collection.ts'
import { boundaryOf, normalizerOf } from './versions.ts'

const { group, plural } = customResourceDefinitions
const terminatingText = 'create not allowed while custom resource definition is terminating'

interface Served {
  /** Everything that decides what is served, as text. */
  readonly fingerprint: string
  readonly stored: Kind
  readonly storage: ResourceStorage
}

export interface CustomResources {
  /** Resolves when every accepted definition is served. */
  start(): Promise<void>
  stop(): Promise<void>
}

/** `client` acts as the server itself. */
export function customResources(server: ServerContext, client: Client): CustomResources {
  const served = new Map<string, Served>()
  const definitions = client.resource(customResourceDefinitions)
  const collection = server.resources.storage(group, plural)?.collection
  const queue: WorkQueue<string> = createWorkQueue({
    clock: server.clock,
    parallel: 4,
    run: reconcile,
    onError: (name, error) => server.log.warn('a custom resource definition waits', { name, error: String(error) }),
  })
  let stopListening = (): void => {}

  const find = (name: string): CustomResourceDefinition | undefined => {
    const entry = collection?.find('', name)
    return entry === undefined ? undefined : (collection?.object(entry) as unknown as CustomResourceDefinition)
  }
  /** The other definitions of the group, the older ones first in their right. */
  function othersOf(crd: CustomResourceDefinition): CustomResourceDefinition[] {
    return (collection?.all('') ?? [])
      .map((entry) => collection?.object(entry) as unknown as CustomResourceDefinition)
      .filter(({ metadata, spec }) => spec.group === crd.spec.group && metadata.name !== crd.metadata.name)
  }

  async function reconcile(name: string): Promise<void> {
    const crd = find(name)
    if (crd === undefined) {
      withdraw(name)
      return
    }
    if (crd.metadata.deletionTimestamp !== undefined) {
      serve(crd, terminatingText)
      await terminate(crd)
      return
    }
    const status = planStatus(crd, othersOf(crd), rfc3339(server.clock.now()))
    if (isTrue(status, 'Established')) serve({ ...crd, status }, undefined)
    if (status !== crd.status) await writeStatus(crd, status)
  }

  function serve(crd: CustomResourceDefinition, closed: string | undefined): void {
    const { name } = crd.metadata
    if (!isTrue(crd.status, 'Established')) return
    const { spec, status } = crd
    const fingerprint = JSON.stringify([spec, status.acceptedNames, closed])
    const before = served.get(name)
    if (before?.fingerprint === fingerprint) return
    const { stored, versions, uniform } = customKindsOf(crd)
    if (before !== undefined) server.resources.remove(before.stored)
    const selectable = Object.assign({}, ...versions.map(({ kind }) => kind.selectableFields ?? {})) as NonNullable<
      Kind['selectableFields']
    >
    const storedKind: Kind = { ...stored.kind, selectableFields: selectable }
    const one = (version: CustomVersion): CustomServed => ({
      kind: version.kind,
      ...(uniform && version === stored ? {} : { boundary: boundaryOf(server, crd, version.kind) }),
      ...(version.deprecation === undefined ? {} : { deprecation: version.deprecation }),
      ...(closed === undefined ? {} : { closed }),
    })
    const storage = server.resources.addCustom(
      storedKind,
      versions.filter((version) => version.served).map(one),
      uniform ? normalizerOf(stored.kind) : undefined,
    )
    served.set(name, { fingerprint, stored: stored.kind, storage })
  }

  function withdraw(name: string): void {
    const before = served.get(name)
    if (before === undefined) return
    server.resources.remove(before.stored)
    served.delete(name)
    // The names are free for those that wait for them.
    for (const entry of collection?.all('') ?? []) queue.add(entry.name)
  }

  async function writeStatus(crd: CustomResourceDefinition, status: CrdStatus): Promise<void> {
    try {
      await definitions.updateStatus({ ...crd, status })
    } catch (error) {
      // Somebody else wrote: the change that we are about to see decides anew.
      if (!isReason(error, 'Conflict') && !isReason(error, 'NotFound')) throw error
    }
  }

  /** Deletes the objects of a definition that is going, and lets it go when none is left. */
  async function terminate(crd: CustomResourceDefinition): Promise<void> {
    if (!(crd.metadata.finalizers ?? []).includes(cleanupFinalizer)) return
    const { name } = crd.metadata
    const storage = served.get(name)?.storage
    const say = async (condition: CrdCondition) => {
      const now = find(name) ?? crd
      const status = withCondition(now.status, condition, rfc3339(server.clock.now()))
      if (status !== now.status) await writeStatus(now, status)
    }
    if (storage !== undefined) {
      const { collection: objects } = storage
      await objects.ready()
      if (objects.size > 0) {
        await say({
          type: 'Terminating',
          status: 'True',
          reason: 'InstanceDeletionInProgress',
          message: 'CustomResource deletion is in progress',
        })
        await deleteObjects(client, storage)
        if (objects.size > 0) {
          watchUntilEmpty(name, objects)
          return
        }
      }
    }
    await say({
      type: 'Terminating',
      status: 'False',
      reason: 'InstanceDeletionCompleted',
      message: 'removed all instances',
    })
    await dropFinalizer(name)
  }

  /** Looks again when the last object is gone. */
  function watchUntilEmpty(name: string, objects: Collection): void {
    const stop = objects.listen({
      changed() {
        if (objects.size > 0) return
        stop()
        queue.add(name)
      },
      reset() {
        stop()
        queue.add(name)
      },
    })
  }

  async function dropFinalizer(name: string): Promise<void> {
    const crd = find(name)
    if (crd === undefined) return
    const finalizers = (crd.metadata.finalizers ?? []).filter((finalizer) => finalizer !== cleanupFinalizer)
    try {
      await definitions.update({ ...crd, metadata: { ...crd.metadata, finalizers } })
    } catch (error) {
      if (isReason(error, 'NotFound')) return
      if (!isReason(error, 'Conflict')) throw error
      queue.add(name)
    }
  }

  return {
    async start() {
      if (collection === undefined) return
      await collection.ready()
      for (const entry of collection.all('')) {
        const crd = collection.object(entry) as unknown as CustomResourceDefinition
        serve(crd, crd.metadata.deletionTimestamp === undefined ? undefined : terminatingText)
        queue.add(entry.name)
      }
      stopListening = collection.listen({
        changed(changes) {
          for (const { entry, previous } of changes) queue.add((entry ?? previous)?.name ?? '')
        },
        reset() {
          for (const name of served.keys()) queue.add(name)
          void collection.ready().then(() => {
            for (const entry of collection.all('')) queue.add(entry.name)
          })
        },
      })
    },
    async stop() {
      stopListening()
      await queue.stop()
    },
  }
}

/** Asks for the deletion of every object, namespace by namespace. */
async function deleteObjects(client: Client, { kind, kinds, collection }: ResourceStorage): Promise<void> {
  const through = kinds.includes(kind) ? kind : (kinds[0] ?? kind)
  const resource = client.resource<KubeObject>(through)
  const namespaces = new Set(collection.all('').map((entry) => entry.namespace))
  for (const namespace of namespaces) {
    await resource.deleteCollection(namespace === '' ? {} : { namespace })
  }
}
