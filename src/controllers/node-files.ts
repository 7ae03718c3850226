// Directories on nodes that controllers look after: made and removed by the node's agent, which is asked through the API
// server's way to nodes, as logs are. What a node refuses comes back as an ApiError with its words.
import { type Node, nodes as nodeKind } from '../api/core/node.ts'
import type { PersistentVolume } from '../api/core/persistent-volume.ts'
import type { Client } from '../client/client.ts'
import { findCondition } from './framework/conditions.ts'

/** Makes the directory of a local volume; answers its path on the node. */
export async function makeVolumeDirectory(client: Client, nodeName: string, volume: string): Promise<string> {
  const made = await client
    .resource(nodeKind)
    .post<{ readonly path: string }>(nodeName, undefined, `proxy/volumes/${volume}`, {})
  return made.path
}
/** Removes it with everything in it; no error when it is gone. */
export async function removeVolumeDirectory(client: Client, nodeName: string, volume: string): Promise<void> {
  await client.resource(nodeKind).post(nodeName, undefined, `proxy/volumes/${volume}/remove`, {})
}

export const isNodeReady = (node: Node): boolean => findCondition(node.status.conditions, 'Ready')?.status === 'True'

/** hostPath volumes name no node: they are for clusters of one (or a path that all nodes share). */
function anyNode(nodes: readonly Node[]): string {
  const [node] = nodes.filter(isNodeReady).sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
  if (node === undefined) throw new Error('no node is ready')
  return node.metadata.name
}

/** Empties a volume for its next claim. */
export async function recycle(client: Client, nodes: readonly Node[], { spec }: PersistentVolume): Promise<void> {
  if (spec.hostPath === undefined) throw new Error('No recycler plugin found for the volume!')
  const { path } = spec.hostPath
  await client.resource(nodeKind).post(anyNode(nodes), undefined, 'proxy/hostPaths/recycle', { path })
}

/** Removes the directory of a hostPath volume that nobody provisioned; only below /tmp, as upstream does. */
export async function removeHostPath(
  client: Client,
  nodes: readonly Node[],
  { metadata, spec }: PersistentVolume,
): Promise<void> {
  if (spec.hostPath === undefined)
    throw new Error(
      `error getting deleter volume plugin for volume "${metadata.name}": no deletable volume plugin matched`,
    )
  const { path } = spec.hostPath
  if (!/^\/tmp\/.+/.test(path) || path.split('/').includes('..'))
    throw new Error(`host_path deleter only supports /tmp/.+ but received provided ${path}`)
  await client.resource(nodeKind).post(anyNode(nodes), undefined, 'proxy/hostPaths/remove', { path })
}
