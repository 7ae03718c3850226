// Every active namespace has a ServiceAccount named "default".
import { isReason } from '../api/machinery/errors.ts'
import { type Namespace, namespaces } from '../api/core/namespace.ts'
import { serviceAccounts } from '../api/core/service-account.ts'
import type { Controller } from './framework/controller.ts'
import { isNamespaceTerminating } from './framework/pod-control.ts'
import { startReconciler } from './framework/reconciler.ts'

const name = 'default'
const isActive = (namespace: Namespace | undefined): namespace is Namespace =>
  namespace !== undefined && namespace.status.phase !== 'Terminating'

export const serviceAccountController: Controller = {
  name: 'serviceaccount-controller',
  start(context) {
    const spaces = context.informers.informer(namespaces)
    const accounts = context.informers.informer(serviceAccounts)
    const reconciler = startReconciler({
      context,
      caches: [spaces, accounts],
      async reconcile(namespace, writes) {
        if (!isActive(spaces.get(namespace)) || accounts.get(name, namespace) !== undefined) return
        try {
          await writes.create(serviceAccounts, { metadata: { name, namespace } })
        } catch (error) {
          if (!isReason(error, 'AlreadyExists') && !isNamespaceTerminating(error)) throw error
        }
      },
      onStop() {
        for (const off of handlers) off()
      },
    })
    const enqueue = (namespace: Namespace) => reconciler.enqueue(namespace.metadata.name)
    const handlers = [
      spaces.handle({ add: enqueue, update: enqueue }),
      accounts.handle({
        delete: (account) =>
          void (account.metadata.name === name && reconciler.enqueue(account.metadata.namespace ?? '')),
      }),
    ]
    return reconciler
  },
}
