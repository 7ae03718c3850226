import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { nodes } from '../api/core/node.ts'
import { pods } from '../api/core/pod.ts'
import type { DevicePlugins, DeviceRegistration, PluginDevice } from '../ports/device-plugins.ts'
import type { PodResources, PodResourcesSockets } from '../ports/pod-resources.ts'
import { type TestNode, testNode } from './testing/test-node.ts'

/** A plugin that gives /dev/ID for every device. */
class Plugin {
  devices: PluginDevice[]
  readonly calls: string[] = []
  #changed = () => {}
  gone = false
  constructor(...ids: string[]) {
    this.devices = ids.map((id) => ({ id, healthy: true, numaNodes: [] }))
  }
  tell(change: (devices: PluginDevice[]) => PluginDevice[]): void {
    this.devices = change(this.devices)
    this.#changed()
  }
  leave(): void {
    this.gone = true
    this.#changed()
  }
  async *watch(signal: AbortSignal): AsyncIterable<readonly PluginDevice[]> {
    while (!this.gone && !signal.aborted) {
      yield this.devices
      await new Promise<void>((done) => {
        this.#changed = done
        signal.addEventListener('abort', () => done())
      })
    }
  }
}
let plugin: Plugin
let register: (registration: DeviceRegistration) => Promise<void>
const plugins: DevicePlugins = {
  serve(_, taken) {
    register = taken
    return Promise.resolve({ close: () => Promise.resolve() })
  },
  connect: () => ({
    watch: (signal) => plugin.watch(signal),
    preferred: (available, size) => Promise.resolve([...available].reverse().slice(0, size)),
    allocate(ids) {
      plugin.calls.push(`allocate ${ids.join()}`)
      return Promise.resolve({
        env: { DEVICES: ids.join() },
        mounts: [{ containerPath: '/lib/vendor', hostPath: '/opt/vendor', readonly: true }],
        devices: ids.map((id) => ({ containerPath: `/dev/${id}`, hostPath: `/dev/${id}`, permissions: 'rw' })),
        annotations: { 'vendor.example/ids': ids.join() },
        cdiDevices: [],
      })
    },
    preStart(ids) {
      plugin.calls.push(`start ${ids.join()}`)
      return Promise.resolve()
    },
    close: () => {},
  }),
}
const name = 'vendor.example/thing'
const plain: DeviceRegistration = {
  version: 'v1beta1',
  endpoint: 'thing.sock',
  resourceName: name,
  preStartRequired: false,
  preferredAllocation: false,
}
const wanting = (count: number) => ({
  containers: [{ name: 'c', image: 'img:1', resources: { limits: { [name]: String(count) } } }],
})

let resources: PodResources | undefined
let node: TestNode
beforeEach(async () => {
  plugin = new Plugin('a', 'b', 'c')
  const podResources: PodResourcesSockets = {
    serve(_, answers) {
      resources = answers
      return Promise.resolve({ close: () => Promise.resolve() })
    },
  }
  node = await testNode({}, { devicePlugins: plugins, podResources })
})
afterEach(() => node.stop())
const offered = async () => {
  const { capacity, allocatable } = (await node.client.resource(nodes).get('n1')).status
  return [capacity?.[name], allocatable?.[name]]
}
const configOf = (pod: string) =>
  [...node.runtime.containers.values()].find((c) => c.labels['io.kubernetes.pod.name'] === pod)?.config

describe('a device plugin', () => {
  it('makes the node offer its healthy devices, and none when it is gone', async () => {
    await register(plain)
    await node.advance()
    expect(await offered()).toEqual(['3', '3'])
    plugin.tell((devices) => devices.map((d) => (d.id === 'b' ? { ...d, healthy: false } : d)))
    await node.advance()
    expect(await offered()).toEqual(['3', '2'])
    plugin.leave()
    await node.advance()
    expect(await offered()).toEqual(['3', '0'])
    await node.advance(301_000)
    expect(await offered()).toEqual(['0', '0'])
  })
  it('is refused when it speaks another version or names no resource', async () => {
    await expect(register({ ...plain, version: 'v2' })).rejects.toThrow('API version "v2" is not supported')
    await expect(register({ ...plain, resourceName: 'thing' })).rejects.toThrow('the ResourceName "thing" is invalid')
  })
  it('gives containers their devices, each to one, and takes them back', async () => {
    await register({ ...plain, preStartRequired: true })
    await node.advance()
    await node.create('first', wanting(2))
    await node.advance()
    expect(configOf('first')).toMatchObject({
      devices: [
        { containerPath: '/dev/a', hostPath: '/dev/a', permissions: 'rw' },
        { containerPath: '/dev/b', hostPath: '/dev/b', permissions: 'rw' },
      ],
      annotations: { 'vendor.example/ids': 'a,b' },
    })
    expect(configOf('first')?.env[0]).toEqual({ key: 'DEVICES', value: 'a,b' })
    expect(configOf('first')?.mounts.map((m) => m.containerPath)).toContain('/lib/vendor')
    expect(plugin.calls).toEqual(['allocate a,b', 'start a,b'])
    await node.create('second', wanting(2))
    await node.advance()
    expect((await node.pod('second')).status).toMatchObject({ phase: 'Failed', reason: `OutOf${name}` })
    await node.client.resource(pods).delete('first', 'default')
    await node.advance(100)
    await node.create('third', wanting(3))
    await node.advance()
    expect(configOf('third')?.devices).toHaveLength(3)
  })
  it('is told of by the pod resources API', async () => {
    plugin.devices = plugin.devices.map((d) => ({ ...d, numaNodes: [Number(d.id !== 'a')] }))
    await register(plain)
    await node.advance()
    await node.create('p', wanting(2))
    await node.advance()
    const holding = (deviceIds: readonly string[]) => [{ resourceName: name, deviceIds, numaNodes: [0, 1] }]
    const c = { name: 'c', devices: holding(['a', 'b']), cpuIds: [], memory: [], claims: [] }
    const p = { name: 'p', namespace: 'default', containers: [c] }
    expect(resources?.list()).toEqual([p])
    expect(resources?.get('default', 'p')).toEqual(p)
    expect(resources?.get('default', 'q')).toBeUndefined()
    expect(resources?.allocatable()).toEqual({ devices: holding(['a', 'b', 'c']), cpuIds: [], memory: [] })
  })
  it('is asked which devices it prefers', async () => {
    await register({ ...plain, preferredAllocation: true })
    await node.advance()
    await node.create('p', wanting(1))
    await node.advance()
    expect(plugin.calls).toEqual(['allocate c'])
  })
  it('lets init containers and the containers after them have the same devices', async () => {
    await register(plain)
    await node.advance()
    node.runtime.endings.set('i', () => ({ afterMs: 10, exitCode: 0 }))
    await node.create('p', { initContainers: [{ ...wanting(3).containers[0], name: 'i' }], ...wanting(3) })
    await node.advance(100)
    expect(node.runtime.running()).toEqual(['c'])
    expect(plugin.calls).toEqual(['allocate a,b,c', 'allocate a,b,c'])
  })
})
it('a restarted kubelet knows whose devices are whose', async () => {
  await register(plain)
  await node.advance()
  await node.create('first', wanting(2))
  await node.advance()
  await node.restart()
  expect(await offered()).toEqual(['3', '0'])
  expect(node.runtime.running()).toEqual(['c'])
  await register(plain)
  await node.advance()
  await node.create('second', wanting(1))
  await node.advance()
  expect(plugin.calls).toEqual(['allocate a,b', 'allocate c'])
})
