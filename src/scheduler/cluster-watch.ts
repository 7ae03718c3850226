// Carries what informers see into the state and the queue, and wakes the pods that it may help.
import { namespaces } from '../api/core/namespace.ts'
import { nodes } from '../api/core/node.ts'
import { persistentVolumes } from '../api/core/persistent-volume.ts'
import { persistentVolumeClaims } from '../api/core/persistent-volume-claim.ts'
import { isPodTerminal, type Pod, pods } from '../api/core/pod.ts'
import type { Kind } from '../api/machinery/kind.ts'
import type { KubeObject } from '../api/machinery/meta.ts'
import { deviceClasses, resourceClaims, resourceSlices } from '../api/resource/resource.ts'
import {
  csiDrivers,
  csiNodes,
  csiStorageCapacities,
  storageClasses,
  volumeAttachments,
} from '../api/storage/storage.ts'
import type { InformerFactory } from '../client/informer.ts'
import type { WaitingRoom } from './binding.ts'
import type { Nominator } from './queue/nominator.ts'
import type { SchedulingQueue } from './queue/scheduling-queue.ts'
import type { ClusterState } from './state/cluster-state.ts'
import type { PodInfo } from './state/pod-info.ts'

export interface WatchOptions {
  readonly informers: InformerFactory
  readonly state: ClusterState
  readonly queue: SchedulingQueue
  readonly nominator: Nominator
  readonly waitingRoom: WaitingRoom
  /** True where one of our profiles is for the pod. */
  readonly isOurs: (pod: Pod) => boolean
}

const everything = { labels: true, taints: true, allocatable: true, other: true }

/** Starts to follow the cluster; answers the function that ends it. The informers must have synced. */
export function watchCluster(options: WatchOptions): () => void {
  const { informers, state } = options
  const ends = [
    informers.informer(namespaces).handle({
      add: (namespace) => state.setNamespace(namespace.metadata.name, namespace.metadata.labels ?? {}),
      update: (namespace, old) => {
        state.setNamespace(namespace.metadata.name, namespace.metadata.labels ?? {})
        options.queue.wake({ what: 'object', change: 'update', object: namespace, old })
      },
      delete: (namespace) => state.setNamespace(namespace.metadata.name, undefined),
    }),
    ...pluginKinds.map((kind) => watchObjects(options, kind)),
    watchNodes(options),
    watchPods(options),
  ]
  return () => {
    for (const end of ends) end()
  }
}

/** Kinds of which plugins ask the informers; here they only wake pods. */
const pluginKinds: readonly Kind<never>[] = [
  persistentVolumeClaims,
  persistentVolumes,
  storageClasses,
  csiNodes,
  csiDrivers,
  csiStorageCapacities,
  volumeAttachments,
  resourceClaims,
  resourceSlices,
  deviceClasses,
]
function watchObjects({ informers, queue }: WatchOptions, kind: Kind<never>): () => void {
  return informers.informer<KubeObject>(kind as unknown as Kind).handle({
    add: (object) => queue.wake({ what: 'object', change: 'add', object }),
    update: (object, old) => queue.wake({ what: 'object', change: 'update', object, old }),
    delete: (object) => queue.wake({ what: 'object', change: 'delete', object }),
  })
}
/** Everything that is watched must be in the cache before the first pod is placed. */
export function startInformers(informers: InformerFactory): void {
  const kinds: readonly Kind<never>[] = [nodes, pods, namespaces, ...pluginKinds]
  for (const kind of kinds) informers.informer(kind as unknown as Kind)
}

function watchNodes({ informers, state, queue }: WatchOptions): () => void {
  return informers.informer(nodes).handle({
    add(node) {
      state.setNode(node)
      const info = state.node(node.metadata.name)
      if (info !== undefined) queue.wake({ what: 'node', change: 'add', node: info, differs: everything })
    },
    update(node) {
      const differs = state.setNode(node)
      const info = differs === undefined ? undefined : state.node(node.metadata.name)
      if (differs !== undefined && info !== undefined)
        queue.wake({ what: 'node', change: 'update', node: info, differs })
    },
    delete(node) {
      const info = state.node(node.metadata.name)
      state.removeNode(node.metadata.name)
      if (info !== undefined) queue.wake({ what: 'node', change: 'delete', node: info, differs: everything })
    },
  })
}

function watchPods({ informers, state, queue, nominator, waitingRoom, isOurs }: WatchOptions): () => void {
  function removeAssigned(uid: string): boolean {
    const pod = state.pod(uid)
    if (pod === undefined) return false
    const node = state.removePod(uid)
    queue.wake({ what: 'assignedPod', change: 'delete', pod, node })
    return true
  }
  function removeWaiting(uid: string): void {
    const entry = queue.get(uid)
    const promised = nominator.nodeOf(uid)
    queue.remove(uid)
    nominator.delete(uid)
    // the room that was kept for it is free for others
    if (entry !== undefined && promised !== undefined)
      queue.wake({ what: 'assignedPod', change: 'delete', pod: entry.info, node: state.node(promised) })
  }
  function assigned(pod: Pod, nodeName: string): void {
    const { uid } = pod.metadata
    if (queue.get(uid) !== undefined) queue.remove(uid)
    nominator.delete(uid)
    if (state.confirm(pod, nodeName)) return
    const old = state.pod(uid)
    const info = state.parse(pod)
    const node = state.addPod(info, nodeName)
    if (old === undefined) queue.wake({ what: 'assignedPod', change: 'add', pod: info, node })
    else queue.wake({ what: 'assignedPod', change: 'update', pod: info, old, node })
  }
  function nominate(info: PodInfo): void {
    const name = info.pod.status.nominatedNodeName
    if (name) nominator.set(info, name)
  }
  function waiting(pod: Pod): void {
    const { uid } = pod.metadata
    // our binding is on its way
    if (state.isAssumed(uid)) return
    const known = queue.get(uid)
    if (known === undefined) {
      const info = state.parse(pod)
      nominate(info)
      queue.add(info)
    } else if (!known.info.refresh(pod)) {
      const info = state.parse(pod)
      queue.update(info)
      if (nominator.nodeOf(uid) !== undefined) nominate(info)
    }
  }
  function remove(pod: Pod): void {
    const { uid } = pod.metadata
    waitingRoom.get(uid)?.reject('', 'removed')
    if (!removeAssigned(uid)) removeWaiting(uid)
  }
  function put(pod: Pod): void {
    if (isPodTerminal(pod)) remove(pod)
    else if (pod.spec.nodeName) assigned(pod, pod.spec.nodeName)
    else if (isOurs(pod)) waiting(pod)
  }
  return informers.informer(pods).handle({ add: put, update: put, delete: remove })
}
