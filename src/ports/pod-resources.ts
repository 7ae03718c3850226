// The pod resources API as a port: what monitoring agents and device drivers of the node ask over a local socket, v1
// (https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/device-plugins/#monitoring-device-plugin-resources).

export interface DeviceSet {
  /** vendor.example/name */
  readonly resourceName: string
  readonly deviceIds: readonly string[]
  readonly numaNodes: readonly number[]
}
/** Memory or huge pages from NUMA nodes. */
export interface NumaMemorySet {
  /** memory, hugepages-2Mi ... */
  readonly type: string
  readonly bytes: number
  readonly numaNodes: readonly number[]
}
/** Devices of one ResourceClaim. */
export interface ClaimSet {
  readonly claimNamespace: string
  readonly claimName: string
  readonly devices: readonly {
    readonly driver: string
    readonly pool: string
    readonly device: string
    readonly cdiDevices: readonly string[]
    readonly shareId: string
  }[]
}
export interface ContainerHoldings {
  readonly name: string
  readonly devices: readonly DeviceSet[]
  /** CPUs that it has for itself. */
  readonly cpuIds: readonly number[]
  readonly memory: readonly NumaMemorySet[]
  readonly claims: readonly ClaimSet[]
}
export interface PodHoldings {
  readonly name: string
  readonly namespace: string
  readonly containers: readonly ContainerHoldings[]
}
export interface PodResources {
  list(): readonly PodHoldings[]
  /** Undefined where the node has no such pod. */
  get(namespace: string, name: string): PodHoldings | undefined
  /** All that containers can have for themselves. */
  allocatable(): Pick<ContainerHoldings, 'devices' | 'cpuIds' | 'memory'>
}
export interface PodResourcesSockets {
  /** Answers at `directory`/kubelet.sock. */
  serve(directory: string, resources: PodResources): Promise<{ close(): Promise<void> }>
}
