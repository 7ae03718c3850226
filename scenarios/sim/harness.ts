// What the simulated scenarios share: manifests as users write them, and what users look at.
import { events } from '../../src/api/core/event.ts'
import { type Pod, pods } from '../../src/api/core/pod.ts'
import type { Kind } from '../../src/api/machinery/kind.ts'
import type { KubeObject } from '../../src/api/machinery/meta.ts'
import type { Input } from '../../src/client/client.ts'
import type { SimCluster } from '../../src/sim/sim-cluster.ts'

/** Creates an object as it is written in a manifest; the namespace is default where the kind has one. */
export function create<T extends KubeObject>(cluster: SimCluster, kind: Kind<T>, manifest: object): Promise<T> {
  const { metadata } = manifest as { metadata: object }
  const named = kind.namespaced ? { ...manifest, metadata: { namespace: 'default', ...metadata } } : manifest
  return cluster.run(cluster.client.resource(kind).create(named as Input<T>))
}

/** Pods of the default namespace, by name. */
export async function podsOf(cluster: SimCluster, labelSelector?: string): Promise<readonly Pod[]> {
  const query = { namespace: 'default', ...(labelSelector === undefined ? {} : { labelSelector }) }
  const { items } = await cluster.run(cluster.client.resource(pods).list(query))
  return [...items].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
}
export const podOf = (cluster: SimCluster, name: string): Promise<Pod> =>
  cluster.run(cluster.client.resource(pods).get(name, 'default'))

export const isReady = (pod: Pod): boolean =>
  pod.status.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') === true &&
  pod.metadata.deletionTimestamp === undefined

/** "reason: message" of the events about an object, oldest first. */
export async function eventsOf(cluster: SimCluster, name: string): Promise<readonly string[]> {
  const { items } = await cluster.run(cluster.client.resource(events).list({ namespace: 'default' }))
  return items.filter((event) => event.involvedObject.name === name).map((event) => `${event.reason}: ${event.message}`)
}

/** A container that runs until it is stopped. */
export const runs = { name: 'main', image: 'server:1' } as const

export const deployment = (name: string, replicas: number, spec: object = {}, podSpec: object = {}): object => ({
  metadata: { name },
  spec: {
    replicas,
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [runs], ...podSpec } },
    ...spec,
  },
})
