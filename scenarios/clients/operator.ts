// An operator as people write them with @kubernetes/client-node: a custom resource, informers, and a loop that applies what
// each object asks for. Nothing of ours is used: it stands for every controller that others bring along.
import * as k8s from '@kubernetes/client-node'

const group = 'sites.example.com'
export interface Website extends k8s.KubernetesObject {
  spec: { text: string; replicas?: number }
  status?: { readyReplicas?: number; observedGeneration?: number }
}
export const websites = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: `websites.${group}` },
  spec: {
    group,
    scope: 'Namespaced',
    names: { plural: 'websites', singular: 'website', kind: 'Website', shortNames: ['ws'] },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        subresources: { status: {} },
        additionalPrinterColumns: [{ name: 'Ready', type: 'integer', jsonPath: '.status.readyReplicas' }],
        schema: {
          openAPIV3Schema: {
            type: 'object',
            required: ['spec'],
            properties: {
              spec: {
                type: 'object',
                required: ['text'],
                properties: { text: { type: 'string' }, replicas: { type: 'integer', minimum: 0, _default: 1 } },
              },
              status: {
                type: 'object',
                properties: { readyReplicas: { type: 'integer' }, observedGeneration: { type: 'integer' } },
              },
            },
          },
        },
      },
    ],
  },
} satisfies k8s.V1CustomResourceDefinition

const finalizer = `${group}/cleanup`
const fieldManager = 'website-operator'

/** Follows the Websites of a namespace and keeps a ConfigMap and a Deployment for each, until `stop`. */
export function startOperator(config: k8s.KubeConfig, namespace: string) {
  const custom = config.makeApiClient(k8s.CustomObjectsApi)
  const apps = config.makeApiClient(k8s.AppsV1Api)
  const objects = k8s.KubernetesObjectApi.makeApiClient(config)
  const place = { group, version: 'v1', namespace, plural: 'websites' }
  const cleaned: string[] = []
  const failures: string[] = []

  const sites = k8s.makeInformer<Website>(
    config,
    `/apis/${group}/v1/namespaces/${namespace}/websites`,
    () => custom.listNamespacedCustomObject(place) as Promise<k8s.KubernetesListObject<Website>>,
  )
  const deployments = k8s.makeInformer<k8s.V1Deployment>(
    config,
    `/apis/apps/v1/namespaces/${namespace}/deployments`,
    () => apps.listNamespacedDeployment({ namespace, labelSelector: group }),
    group,
  )

  const apply = (object: k8s.KubernetesObject) =>
    objects.patch(object, undefined, undefined, fieldManager, true, k8s.PatchStrategy.ServerSideApply)
  const mergePatch = k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.MergePatch)

  async function reconcile(site: Website): Promise<void> {
    const { name = '', uid = '', deletionTimestamp, finalizers = [], generation = 0 } = site.metadata ?? {}
    if (deletionTimestamp !== undefined) {
      if (!finalizers.includes(finalizer)) return
      cleaned.push(name)
      const body = { metadata: { finalizers: finalizers.filter((one) => one !== finalizer) } }
      await custom.patchNamespacedCustomObject({ ...place, name, body }, mergePatch)
      return
    }
    if (!finalizers.includes(finalizer)) {
      const body = { metadata: { finalizers: [...finalizers, finalizer] } }
      await custom.patchNamespacedCustomObject({ ...place, name, body }, mergePatch)
      return
    }
    const labels = { [group]: name }
    const owner = { apiVersion: `${group}/v1`, kind: 'Website', name, uid, controller: true, blockOwnerDeletion: true }
    const metadata = { name, namespace, labels, ownerReferences: [owner] }
    await apply({ apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { text: site.spec.text } } as k8s.V1ConfigMap)
    await apply({
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata,
      spec: {
        replicas: site.spec.replicas ?? 1,
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { terminationGracePeriodSeconds: 0, containers: [container(name)] } },
      },
    } as k8s.V1Deployment)
    const status = { readyReplicas: deployments.get(name, namespace)?.status?.readyReplicas ?? 0 }
    const known = site.status ?? {}
    if (known.readyReplicas === status.readyReplicas && known.observedGeneration === generation) return
    const body = { status: { ...status, observedGeneration: generation } }
    await custom.patchNamespacedCustomObjectStatus({ ...place, name, body }, mergePatch)
  }

  // One reconcile at a time; what changes meanwhile is looked at again afterwards.
  const due = new Set<string>()
  let running: Promise<void> | undefined
  async function work(): Promise<void> {
    for (const name of due) {
      due.delete(name)
      const site = sites.get(name, namespace)
      if (site === undefined) continue
      try {
        await reconcile(site)
      } catch (error) {
        // A conflict or an object that has gone meanwhile; the next event brings it back.
        failures.push(error instanceof Error ? error.message : String(error))
      }
    }
    running = undefined
    if (due.size > 0) running = work()
  }
  const enqueue = (name: string | undefined) => {
    if (name === undefined) return
    due.add(name)
    running ??= work()
  }
  for (const verb of ['add', 'update'] as const) {
    sites.on(verb, (site) => enqueue(site.metadata?.name))
    deployments.on(verb, (deployment) => enqueue(deployment.metadata?.labels?.[group]))
  }
  return {
    cleaned,
    failures,
    async started() {
      await deployments.start()
      await sites.start()
    },
    async stop() {
      await sites.stop()
      await deployments.stop()
      await running
    },
  }
}

const container = (configMap: string): k8s.V1Container => ({
  name: 'web',
  image: 'busybox',
  imagePullPolicy: 'IfNotPresent',
  command: ['sh', '-c', 'echo "serving $TEXT"; exec sleep 1000000'],
  env: [{ name: 'TEXT', valueFrom: { configMapKeyRef: { name: configMap, key: 'text' } } }],
})
