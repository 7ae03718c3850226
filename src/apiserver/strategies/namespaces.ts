// A namespace is deleted in two steps: marked as Terminating, then removed when its contents are gone, which the
// finalizers in its spec stand for.
import type { Namespace } from '../../api/core/namespace.ts'
import type { StorageStrategy } from '../strategies.ts'

export const namespaceStrategy: StorageStrategy = {
  group: '',
  plural: 'namespaces',
  holdsOn: (object) => ((object as unknown as Namespace).spec?.finalizers ?? []).length > 0,
  markDeleted(draft) {
    const namespace = draft as unknown as {
      status?: { phase?: string }
      metadata: { deletionGracePeriodSeconds?: number }
    }
    namespace.status = { ...namespace.status, phase: 'Terminating' }
    delete namespace.metadata.deletionGracePeriodSeconds
  },
}
