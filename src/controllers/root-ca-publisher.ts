// Every active namespace has a ConfigMap kube-root-ca.crt with the authority that its pods verify the API server by.
import { isReason } from '../api/machinery/errors.ts'
import { type ConfigMap, configMaps } from '../api/core/config-map.ts'
import { type Namespace, namespaces } from '../api/core/namespace.ts'
import type { Controller } from './framework/controller.ts'
import { isNamespaceTerminating } from './framework/pod-control.ts'
import { startReconciler } from './framework/reconciler.ts'

const name = 'kube-root-ca.crt'
const key = 'ca.crt'
const descriptionAnnotation = 'kubernetes.io/description'
const description =
  'Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.'

const isPublished = (map: ConfigMap, rootCaPem: string): boolean =>
  map.data?.[key] === rootCaPem &&
  Object.keys(map.data).length === 1 &&
  map.metadata.annotations?.[descriptionAnnotation] === description

export const rootCaPublisher: Controller = {
  name: 'root-ca-certificate-publisher-controller',
  start(context) {
    const rootCaPem = context.settings?.ca?.certificatePem
    if (rootCaPem === undefined) return { stop: () => Promise.resolve() }
    const spaces = context.informers.informer(namespaces)
    const maps = context.informers.informer(configMaps, { fieldSelector: `metadata.name=${name}` })
    const reconciler = startReconciler({
      context,
      caches: [spaces, maps],
      async reconcile(namespace, writes) {
        const space = spaces.get(namespace)
        if (space === undefined || space.status.phase === 'Terminating') return
        const current = maps.get(name, namespace)
        if (current !== undefined && isPublished(current, rootCaPem)) return
        const annotations = { ...current?.metadata.annotations, [descriptionAnnotation]: description }
        try {
          if (current === undefined)
            await writes.create(configMaps, { metadata: { name, namespace, annotations }, data: { [key]: rootCaPem } })
          else
            await writes.update(configMaps, {
              ...current,
              metadata: { ...current.metadata, annotations },
              data: { [key]: rootCaPem },
            })
        } catch (error) {
          if (!isReason(error, 'AlreadyExists') && !isNamespaceTerminating(error)) throw error
        }
      },
      onStop() {
        for (const off of handlers) off()
      },
    })
    const enqueue = (space: Namespace) => reconciler.enqueue(space.metadata.name)
    const enqueueMap = (map: ConfigMap) => reconciler.enqueue(map.metadata.namespace ?? '')
    const handlers = [
      spaces.handle({ add: enqueue, update: enqueue }),
      maps.handle({ update: enqueueMap, delete: enqueueMap }),
    ]
    return reconciler
  },
}
