// StorageVersions say in which version each API server writes a resource. What a server said that lives no longer, its identity
// Lease being gone, is taken out; a resource that nobody speaks of goes.
import {
  identityLabel,
  identityValue,
  leaseNamespace,
  planStorageVersion,
} from '../api/coordination/server-identity.ts'
import { type Lease, leases } from '../api/coordination/lease.ts'
import { type StorageVersion, storageVersions } from '../api/preview/storage-versions.ts'
import type { Controller } from './framework/controller.ts'
import { startReconciler } from './framework/reconciler.ts'

export const storageVersionCollector: Controller = {
  name: 'storageversion-garbage-collector-controller',
  needs: storageVersions,
  start(context) {
    const versions = context.informers.informer(storageVersions)
    const servers = context.informers.informer(leases, {
      namespace: leaseNamespace,
      labelSelector: `${identityLabel}=${identityValue}`,
    })
    const reconciler = startReconciler({
      context,
      caches: [versions, servers],
      async reconcile(name, writes) {
        const version = versions.get(name)
        if (version === undefined) return
        const said = version.status.storageVersions ?? []
        const alive = said.filter(({ apiServerID }) => servers.get(apiServerID, leaseNamespace) !== undefined)
        if (alive.length === said.length) return
        const { uid, resourceVersion } = version.metadata
        if (alive.length === 0)
          await writes.delete(storageVersions, version, { preconditions: { uid, resourceVersion } })
        else
          await writes.updateStatus(storageVersions, {
            ...version,
            status: planStorageVersion(version.status, alive, context.clock.now()),
          })
      },
      onStop() {
        for (const off of handlers) off()
      },
    })
    const enqueue = (version: StorageVersion) => reconciler.enqueue(version.metadata.name)
    const gone = (server: Lease) => {
      for (const version of versions.list())
        if (version.status.storageVersions?.some(({ apiServerID }) => apiServerID === server.metadata.name) === true)
          enqueue(version)
    }
    const handlers = [versions.handle({ add: enqueue, update: enqueue }), servers.handle({ delete: gone })]
    return reconciler
  },
}
