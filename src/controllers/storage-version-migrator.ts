// StorageVersionMigrations: every object of a resource is written back as it is, and so lies in the store in the version and
// under the encryption key of today. A definition of custom resources then forgets the versions it once stored. KEP-4192.
import {
  type CustomResourceDefinition,
  customResourceDefinitions,
} from '../api/apiextensions/custom-resource-definition.ts'
import { withCondition as withCrdCondition } from '../api/apiextensions/naming.ts'
import { builtinKinds } from '../api/kinds.ts'
import { ApiError, isReason } from '../api/machinery/errors.ts'
import type { Kind } from '../api/machinery/kind.ts'
import type { KubeObject } from '../api/machinery/meta.ts'
import { type StorageVersionMigration, storageVersionMigrations } from '../api/preview/storage-versions.ts'
import type { Client } from '../client/client.ts'
import { rfc3339 } from '../ports/clock.ts'
import { findCondition, withCondition } from './framework/conditions.ts'
import type { Controller } from './framework/controller.ts'
import { discover } from './framework/discovery.ts'
import { startReconciler, type Writes } from './framework/reconciler.ts'

const pageSize = 500
type Phase = 'Running' | 'Succeeded' | 'Failed'
const reasons: Readonly<Record<Phase, string>> = {
  Running: 'StorageVersionMigrationInProgress',
  Succeeded: 'StorageVersionMigrationSucceeded',
  Failed: 'StorageVersionMigrationFailed',
}

const isOver = ({ status }: StorageVersionMigration): boolean =>
  (['Succeeded', 'Failed'] as const).some((type) => findCondition(status.conditions, type)?.status === 'True')
const nameOf = ({ group, resource }: { group: string; resource: string }): string =>
  group === '' ? resource : `${resource}.${group}`

/** The status after a step: what runs no longer is said to run no longer. */
export function planMigrationStatus(
  migration: StorageVersionMigration,
  phase: Phase,
  nowMs: number,
  more: { readonly message?: string; readonly resourceVersion?: string } = {},
): StorageVersionMigration['status'] {
  const { status } = migration
  const { message = '', resourceVersion = status.resourceVersion } = more
  const put = (list: typeof status.conditions, type: Phase, value: string) =>
    withCondition(list, { type, status: value, reason: reasons[phase], message }, nowMs)
  const ended = phase === 'Running' ? status.conditions : put(status.conditions, 'Running', 'False')
  return {
    ...status,
    conditions: put(ended, phase, 'True'),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  }
}

/** Whoever was faster wrote the object in today's form, or took it away. */
const isSettled = (error: unknown): boolean =>
  isReason(error, 'NotFound') || isReason(error, 'Conflict') || isReason(error, 'Invalid')

/** Writes every object back. The UID is part of the patch, so that a successor of the same name is not touched. */
async function rewriteAll(client: Client, kind: Kind): Promise<void> {
  const resource = client.resource(kind)
  let from: string | undefined
  do {
    const page = await resource.list({ limit: pageSize, ...(from === undefined ? {} : { continue: from }) })
    for (const { metadata } of page.items) await rewrite(client, kind, metadata)
    from = page.continue
  } while (from !== undefined && from !== '')
}
async function rewrite(client: Client, kind: Kind, metadata: KubeObject['metadata']): Promise<void> {
  const { name, namespace, uid, resourceVersion } = metadata
  try {
    await client.resource(kind).patch(name, namespace, 'merge', { metadata: { uid, resourceVersion } })
  } catch (error) {
    if (!isSettled(error)) throw error
  }
}

/** The definition with only the version stored that it stores now, unless it changed since `begun`. */
function migrated(
  crd: CustomResourceDefinition,
  begun: CustomResourceDefinition,
  now: string,
): CustomResourceDefinition {
  const same = crd.metadata.uid === begun.metadata.uid && crd.metadata.generation === begun.metadata.generation
  const stored = crd.spec.versions.filter((version) => version.storage).map((version) => version.name)
  const condition = {
    type: 'StorageMigrating',
    status: 'False' as const,
    reason: reasons.Succeeded,
    message: 'storage version migration has succeeded',
  }
  const status = withCrdCondition(crd.status, condition, now)
  return { ...crd, status: same ? { ...status, storedVersions: stored } : status }
}

export const storageVersionMigrator: Controller = {
  name: 'storage-version-migrator-controller',
  needs: storageVersionMigrations,
  start(context) {
    const { client, clock } = context
    const migrations = context.informers.informer(storageVersionMigrations)
    const definitions = client.resource(customResourceDefinitions)
    const reconciler = startReconciler({
      context,
      caches: [migrations],
      parallel: 1,
      async reconcile(name, writes) {
        const migration = migrations.get(name)
        if (migration === undefined || isOver(migration)) return
        await migrate(migration, writes)
      },
      onStop: () => off(),
    })

    async function migrate(migration: StorageVersionMigration, writes: Writes): Promise<void> {
      const { resource } = migration.spec
      const { kinds } = await discover(client, builtinKinds)
      const kind = kinds.find((found) => found.kind.group === resource.group && found.kind.plural === resource.resource)
      const say = (of: StorageVersionMigration, phase: Phase, more: Parameters<typeof planMigrationStatus>[3] = {}) =>
        writes.updateStatus(storageVersionMigrations, {
          ...of,
          status: planMigrationStatus(of, phase, clock.now(), more),
        })
      if (kind === undefined || !kind.verbs.has('list') || !kind.verbs.has('patch')) {
        await say(migration, 'Failed', { message: `resource ${nameOf(resource)} does not exist or cannot be migrated` })
        return
      }
      const begun = await definitions.find(nameOf(resource))
      if (begun !== undefined) await sayMigrating(begun)
      const { resourceVersion } = await client.resource(kind.kind).list({ limit: 1 })
      const running = await say(migration, 'Running', { resourceVersion })
      try {
        await rewriteAll(client, kind.kind)
      } catch (error) {
        // What the server refuses is refused tomorrow too; what did not reach it is tried again.
        if (!(error instanceof ApiError) || error.code >= 500 || error.code === 429) throw error
        await say(running, 'Failed', { message: error.message })
        return
      }
      const crd = begun === undefined ? undefined : await definitions.find(nameOf(resource))
      if (crd !== undefined && begun !== undefined)
        await definitions.updateStatus(migrated(crd, begun, rfc3339(clock.now())))
      await say(running, 'Succeeded')
    }
    async function sayMigrating(crd: CustomResourceDefinition): Promise<void> {
      const message = 'storage version migration is in progress'
      const condition = { type: 'StorageMigrating', status: 'True' as const, reason: reasons.Running, message }
      const status = withCrdCondition(crd.status, condition, rfc3339(clock.now()))
      if (status !== crd.status) await definitions.updateStatus({ ...crd, status })
    }

    const enqueue = (migration: StorageVersionMigration) => reconciler.enqueue(migration.metadata.name)
    const off = migrations.handle({ add: enqueue, update: enqueue })
    return reconciler
  },
}
