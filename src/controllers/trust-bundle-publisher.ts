// The authority by which the API server is verified, as a ClusterTrustBundle that pods can project (KEP-3257). Its name has
// the content's hash at the end, so that a new authority is a new bundle and the old one goes when the new one is there.
import { clusterTrustBundles } from '../api/preview/certificates.ts'
import { isReason } from '../api/machinery/errors.ts'
import { sha256 } from '../api/machinery/sha256.ts'
import type { Controller } from './framework/controller.ts'
import { startReconciler } from './framework/reconciler.ts'

const signerName = 'kubernetes.io/kube-apiserver-serving'
const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
/** "SIGNER WITH COLONS:HASH". */
export const bundleName = (pem: string): string => `${signerName.replaceAll('/', ':')}:${hex(sha256(pem)).slice(0, 40)}`

export const trustBundlePublisher: Controller = {
  name: 'kube-apiserver-serving-clustertrustbundle-publisher-controller',
  needs: clusterTrustBundles,
  start(context) {
    const trustBundle = context.settings?.ca?.certificatePem
    if (trustBundle === undefined) return { stop: () => Promise.resolve() }
    const name = bundleName(trustBundle)
    const bundles = context.informers.informer(clusterTrustBundles, { fieldSelector: `spec.signerName=${signerName}` })
    const reconciler = startReconciler({
      context,
      caches: [bundles],
      async reconcile(_key, writes) {
        const spec = { signerName, trustBundle }
        const present = bundles.get(name)
        try {
          if (present === undefined) await writes.create(clusterTrustBundles, { metadata: { name }, spec })
          else if (present.spec.trustBundle !== trustBundle)
            await writes.update(clusterTrustBundles, { ...present, spec })
        } catch (error) {
          if (!isReason(error, 'AlreadyExists')) throw error
        }
        for (const bundle of bundles.list())
          if (bundle.metadata.name !== name) await writes.delete(clusterTrustBundles, bundle)
      },
      onStop: () => off(),
    })
    const enqueue = () => reconciler.enqueue(name)
    const off = bundles.handle({ add: enqueue, update: enqueue, delete: enqueue })
    enqueue()
    return reconciler
  },
}
