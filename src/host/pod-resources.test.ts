import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { hostPodResources, podResourcesApi } from './pod-resources.ts'
import { createGrpcClient, type GrpcClient } from './wire/grpc.ts'

const directory = mkdtempSync(join(tmpdir(), 'cox-resources-'))
const given = { driver: 'd.example', pool: 'n1', device: 'gpu', shareId: '' }
const held = {
  name: 'c',
  devices: [{ resourceName: 'v/x', deviceIds: ['a', 'b'], numaNodes: [1] }],
  cpuIds: [2, 3],
  memory: [{ type: 'memory', bytes: 2 ** 33, numaNodes: [0, 1] }],
  claims: [{ claimNamespace: 'n', claimName: 'own', devices: [{ ...given, cdiDevices: ['d.example/gpu=0'] }] }],
}
const pod = {
  name: 'p',
  namespace: 'n',
  containers: [held, { name: 'plain', devices: [], cpuIds: [], memory: [], claims: [] }],
}
let server: { close(): Promise<void> }
let client: GrpcClient
beforeAll(async () => {
  server = await hostPodResources.serve(directory, {
    list: () => [pod],
    get: (namespace, name) => (namespace === 'n' && name === 'p' ? pod : undefined),
    allocatable: () => ({ devices: held.devices, cpuIds: [1, 2, 3], memory: held.memory }),
  })
  client = createGrpcClient(`unix://${join(directory, 'kubelet.sock')}`)
})
afterAll(async () => {
  client.close()
  await server.close()
  rmSync(directory, { recursive: true })
})

const devices = [{ resourceName: 'v/x', deviceIds: ['a', 'b'], topology: { nodes: [{ id: 1 }] } }]
const memory = [{ memoryType: 'memory', size: 2 ** 33, topology: { nodes: [{ id: 0 }, { id: 1 }] } }]
const told = {
  name: 'p',
  namespace: 'n',
  containers: [
    {
      name: 'c',
      devices,
      cpuIds: [2, 3],
      memory,
      claims: [
        { claimNamespace: 'n', claimName: 'own', devices: [{ ...given, cdiDevices: [{ name: 'd.example/gpu=0' }] }] },
      ],
    },
    { name: 'plain', devices: [], cpuIds: [], memory: [], claims: [] },
  ],
}
it('tells what every container has for itself', async () => {
  expect(await client.call(podResourcesApi.list, {})).toEqual({ pods: [told] })
})
it('tells of one pod, and of none that is not there', async () => {
  expect(await client.call(podResourcesApi.get, { name: 'p', namespace: 'n' })).toEqual({ pod: told })
  await expect(client.call(podResourcesApi.get, { name: 'q', namespace: 'n' })).rejects.toMatchObject({
    status: 'NotFound',
    message: expect.stringContaining('pod q in namespace n not found'),
  })
})
it('tells what containers can have', async () => {
  expect(await client.call(podResourcesApi.allocatable, {})).toEqual({ devices, cpuIds: [1, 2, 3], memory })
})
