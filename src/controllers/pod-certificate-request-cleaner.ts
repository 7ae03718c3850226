// PodCertificateRequests are made by nodes and used within moments: what is older than a quarter of an hour goes (KEP-4317).
import { type PodCertificateRequest, podCertificateRequests } from '../api/preview/certificates.ts'
import { keyOf } from '../client/informer.ts'
import type { Controller } from './framework/controller.ts'
import { startReconciler } from './framework/reconciler.ts'
import { createdMs } from './framework/time.ts'

const lifeMs = 15 * 60_000

export const podCertificateRequestCleaner: Controller = {
  name: 'podcertificaterequest-cleaner-controller',
  needs: podCertificateRequests,
  start(context) {
    const requests = context.informers.informer(podCertificateRequests)
    const reconciler = startReconciler({
      context,
      caches: [requests],
      async reconcile(key, writes) {
        const request = requests.byKey(key)
        if (request === undefined) return undefined
        const leftMs = createdMs(request) + lifeMs - context.clock.now()
        if (leftMs > 0) return leftMs
        await writes.delete(podCertificateRequests, request)
        return undefined
      },
      onStop: () => off(),
    })
    const off = requests.handle({ add: (request: PodCertificateRequest) => reconciler.enqueue(keyOf(request)) })
    return reconciler
  },
}
