// The PodResourcesSockets port over gRPC, v1.
import { join } from 'node:path'
import type {
  ContainerHoldings,
  DeviceSet,
  NumaMemorySet,
  PodHoldings,
  PodResourcesSockets,
} from '../ports/pod-resources.ts'
import { GrpcError } from './wire/grpc.ts'
import { serveGrpc, serves } from './wire/grpc-server.ts'
import { int, ints, list, message, nested, string, strings, uint } from './wire/protobuf.ts'

const empty = message({})
const topology = message({ nodes: list(1, message({ id: int(1) })) })
const devices = message({ resourceName: string(1), deviceIds: strings(2), topology: nested(3, topology) })
const memory = message({ memoryType: string(1), size: uint(2), topology: nested(3, topology) })
const claimed = message({
  cdiDevices: list(1, message({ name: string(1) })),
  driver: string(2),
  pool: string(3),
  device: string(4),
  shareId: string(5),
})
const claim = message({ claimName: string(2), claimNamespace: string(3), devices: list(4, claimed) })
const container = message({
  name: string(1),
  devices: list(2, devices),
  cpuIds: ints(3),
  memory: list(4, memory),
  claims: list(5, claim),
})
const pod = message({ name: string(1), namespace: string(2), containers: list(3, container) })
const path = (name: string) => `/v1.PodResourcesLister/${name}`

/** The calls by name, with the interface's own field numbers. */
export const podResourcesApi = {
  list: { path: path('List'), request: empty, response: message({ pods: list(1, pod) }) },
  allocatable: {
    path: path('GetAllocatableResources'),
    request: empty,
    response: message({ devices: list(1, devices), cpuIds: ints(2), memory: list(3, memory) }),
  },
  get: {
    path: path('Get'),
    request: message({ name: string(1), namespace: string(2) }),
    response: message({ pod: nested(1, pod) }),
  },
} as const

const deviceMessage = ({ numaNodes, ...rest }: DeviceSet) => ({
  ...rest,
  ...(numaNodes.length === 0 ? {} : { topology: { nodes: numaNodes.map((id) => ({ id })) } }),
})
const memoryMessage = ({ type, bytes, numaNodes }: NumaMemorySet) => ({
  memoryType: type,
  size: bytes,
  topology: { nodes: numaNodes.map((id) => ({ id })) },
})
const holdings = (of: Pick<ContainerHoldings, 'devices' | 'cpuIds' | 'memory'>) => ({
  devices: of.devices.map(deviceMessage),
  cpuIds: of.cpuIds,
  memory: of.memory.map(memoryMessage),
})
const podMessage = ({ containers, ...rest }: PodHoldings) => ({
  ...rest,
  containers: containers.map((c) => ({
    name: c.name,
    ...holdings(c),
    claims: c.claims.map((set) => ({
      ...set,
      devices: set.devices.map((d) => ({ ...d, cdiDevices: d.cdiDevices.map((name) => ({ name })) })),
    })),
  })),
})

export const hostPodResources: PodResourcesSockets = {
  serve: (directory, resources) =>
    serveGrpc(
      join(directory, 'kubelet.sock'),
      new Map([
        serves(podResourcesApi.list, () => Promise.resolve({ pods: resources.list().map(podMessage) })),
        serves(podResourcesApi.allocatable, () => Promise.resolve(holdings(resources.allocatable()))),
        serves(podResourcesApi.get, ({ namespace, name }) => {
          const found = resources.get(namespace, name)
          if (found !== undefined) return Promise.resolve({ pod: podMessage(found) })
          return Promise.reject(new GrpcError('NotFound', `pod ${name} in namespace ${namespace} not found`))
        }),
      ]),
    ),
}
