// What each container on the node has for itself: CPUs and memory of the static policies, devices of plugins, for the pod resources API.
import type { PodHoldings, PodResources } from '../ports/pod-resources.ts'
import type { KubeletContext } from './context.ts'
import type { PodSet } from './pod-set.ts'
import { isSidecar, namespaceOf, type Pod } from './types.ts'

export function podResourcesOf(
  { devices, deviceClaims, cpus, memory }: Pick<KubeletContext, 'devices' | 'deviceClaims' | 'cpus' | 'memory'>,
  set: PodSet,
): PodResources {
  const holdingsOf = (pod: Pod): PodHoldings => {
    const { uid, name } = pod.metadata
    const lasting = [...(pod.spec.initContainers ?? []).filter(isSidecar), ...pod.spec.containers]
    return {
      name,
      namespace: namespaceOf(pod),
      containers: lasting.map((container) => ({
        name: container.name,
        devices: devices.heldBy(uid, container.name),
        cpuIds: cpus.ownOf(uid, container.name),
        memory: memory.heldBy(uid, container.name),
        claims: deviceClaims.heldBy(pod, container),
      })),
    }
  }
  return {
    list: () => [...set.workers()].filter((worker) => !worker.isEnded).map((worker) => holdingsOf(worker.pod)),
    get(namespace, name) {
      const worker = set.find(namespace, name)
      return worker === undefined || worker.isEnded ? undefined : holdingsOf(worker.pod)
    },
    allocatable: () => ({ devices: devices.allocatable(), cpuIds: cpus.allocatable(), memory: memory.allocatable() }),
  }
}
