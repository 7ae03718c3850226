// The DevicePlugins port over gRPC sockets, v1beta1.
import { join } from 'node:path'
import type { DevicePlugins } from '../ports/device-plugins.ts'
import { createGrpcClient } from './wire/grpc.ts'
import { serveGrpc, serves } from './wire/grpc-server.ts'
import { bool, int, list, message, nested, string, stringMap, strings } from './wire/protobuf.ts'

const empty = message({})
const options = message({ preStartRequired: bool(1), preferredAllocation: bool(2) })
const device = message({
  id: string(1),
  health: string(2),
  topology: nested(3, message({ nodes: list(1, message({ id: int(1) })) })),
})
const deviceIds = message({ ids: strings(1) })
const path = (service: string, name: string) => `/v1beta1.${service}/${name}`

/** The calls by name, with the interface's own field numbers. */
export const devicePluginApi = {
  register: {
    path: path('Registration', 'Register'),
    request: message({ version: string(1), endpoint: string(2), resourceName: string(3), options: nested(4, options) }),
    response: empty,
  },
  options: { path: path('DevicePlugin', 'GetDevicePluginOptions'), request: empty, response: options },
  listAndWatch: {
    path: path('DevicePlugin', 'ListAndWatch'),
    request: empty,
    response: message({ devices: list(1, device) }),
  },
  preferred: {
    path: path('DevicePlugin', 'GetPreferredAllocation'),
    request: message({
      containers: list(1, message({ available: strings(1), mustInclude: strings(2), size: int(3) })),
    }),
    response: message({ containers: list(1, deviceIds) }),
  },
  allocate: {
    path: path('DevicePlugin', 'Allocate'),
    request: message({ containers: list(1, deviceIds) }),
    response: message({
      containers: list(
        1,
        message({
          env: stringMap(1),
          mounts: list(2, message({ containerPath: string(1), hostPath: string(2), readonly: bool(3) })),
          devices: list(3, message({ containerPath: string(1), hostPath: string(2), permissions: string(3) })),
          annotations: stringMap(4),
          cdiDevices: list(5, message({ name: string(1) })),
        }),
      ),
    }),
  },
  preStart: { path: path('DevicePlugin', 'PreStartContainer'), request: deviceIds, response: empty },
} as const

const callMs = 60_000

export const hostDevicePlugins: DevicePlugins = {
  async serve(directory, register) {
    const answer = serves(devicePluginApi.register, async (request) => {
      const { version, endpoint, resourceName } = request
      await register({
        version,
        endpoint,
        resourceName,
        preStartRequired: request.options?.preStartRequired ?? false,
        preferredAllocation: request.options?.preferredAllocation ?? false,
      })
      return {}
    })
    return serveGrpc(join(directory, 'kubelet.sock'), new Map([answer]))
  },
  connect(directory, endpoint) {
    const client = createGrpcClient(`unix://${join(directory, endpoint)}`)
    return {
      async *watch(signal) {
        for await (const { devices } of client.stream(devicePluginApi.listAndWatch, {}, { signal }))
          yield devices.map(({ id, health, topology }) => ({
            id,
            healthy: health === 'Healthy',
            numaNodes: topology?.nodes.map((node) => node.id) ?? [],
          }))
      },
      async preferred(available, size) {
        const request = { containers: [{ available, size }] }
        const answer = await client.call(devicePluginApi.preferred, request, { timeoutMs: callMs })
        return answer.containers[0]?.ids ?? []
      },
      async allocate(ids) {
        const answer = await client.call(devicePluginApi.allocate, { containers: [{ ids }] }, { timeoutMs: callMs })
        const [first] = answer.containers
        if (first === undefined) throw new Error('the device plugin answered no container')
        return { ...first, cdiDevices: first.cdiDevices.map(({ name }) => name) }
      },
      async preStart(ids) {
        await client.call(devicePluginApi.preStart, { ids }, { timeoutMs: callMs })
      },
      close: () => client.close(),
    }
  },
}
