// A device plugin as others write them, over real sockets: it registers, tells its devices, and is called.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { DeviceRegistration } from '../ports/device-plugins.ts'
import { devicePluginApi, hostDevicePlugins } from './device-plugins.ts'
import { createGrpcClient, GrpcError } from './wire/grpc.ts'
import { type GrpcServer, serveGrpc, serves } from './wire/grpc-server.ts'

let directory: string
let kubelet: { close(): Promise<void> }
let plugin: GrpcServer | undefined
const registered: DeviceRegistration[] = []
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'cox-devices-'))
  registered.length = 0
  kubelet = await hostDevicePlugins.serve(directory, (registration) => {
    if (registration.version !== 'v1beta1') return Promise.reject(new Error('version not supported'))
    registered.push(registration)
    return Promise.resolve()
  })
})
afterEach(async () => {
  await plugin?.close()
  plugin = undefined
  await kubelet.close()
  rmSync(directory, { recursive: true })
})

const options = { preStartRequired: true, preferredAllocation: false }
const register = async (version: string) => {
  const client = createGrpcClient(`unix://${join(directory, 'kubelet.sock')}`)
  try {
    const request = { version, endpoint: 'thing.sock', resourceName: 'vendor.example/thing', options }
    await client.call(devicePluginApi.register, request)
  } finally {
    client.close()
  }
}

describe('device plugins over their sockets', () => {
  it('register, and are told when they may not', async () => {
    await register('v1beta1')
    expect(registered).toEqual([
      { version: 'v1beta1', endpoint: 'thing.sock', resourceName: 'vendor.example/thing', ...options },
    ])
    await expect(register('v2')).rejects.toThrow('rpc error: code = Unknown desc = version not supported')
  })
  it('tell their devices, give them, and fail in their own words', async () => {
    plugin = await serveGrpc(
      join(directory, 'thing.sock'),
      new Map([
        serves(devicePluginApi.listAndWatch, async function* () {
          yield { devices: [{ id: 'a', health: 'Healthy', topology: { nodes: [{ id: 1 }] } }] }
          yield { devices: [{ id: 'a', health: 'Unhealthy' }] }
        }),
        serves(devicePluginApi.allocate, (request) => {
          const ids = request.containers[0]?.ids ?? []
          if (ids.includes('broken')) return Promise.reject(new GrpcError('Internal', 'the device is broken'))
          const devices = ids.map((id) => ({ containerPath: `/dev/${id}`, hostPath: '/dev/null', permissions: 'rw' }))
          return Promise.resolve({
            containers: [{ devices, env: { IDS: ids.join() }, cdiDevices: [{ name: 'v/c=a' }] }],
          })
        }),
      ]),
    )
    const client = hostDevicePlugins.connect(directory, 'thing.sock')
    const lists: unknown[] = []
    for await (const devices of client.watch(new AbortController().signal)) lists.push(devices)
    expect(lists).toEqual([[{ id: 'a', healthy: true, numaNodes: [1] }], [{ id: 'a', healthy: false, numaNodes: [] }]])
    expect(await client.allocate(['a', 'b'])).toEqual({
      env: { IDS: 'a,b' },
      mounts: [],
      devices: [
        { containerPath: '/dev/a', hostPath: '/dev/null', permissions: 'rw' },
        { containerPath: '/dev/b', hostPath: '/dev/null', permissions: 'rw' },
      ],
      annotations: {},
      cdiDevices: ['v/c=a'],
    })
    await expect(client.allocate(['broken'])).rejects.toThrow('code = Internal desc = the device is broken')
    await expect(client.preStart(['a'])).rejects.toThrow('code = Unimplemented desc = unknown method')
    client.close()
  })
})
