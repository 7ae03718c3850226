import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { resourceClaims, resourceSlices } from '../api/resource/resource.ts'
import { pods } from '../api/core/pod.ts'
import type { DeviceDriver, NodePlugin, NodePlugins, PluginListener, PreparedDevice } from '../ports/node-plugins.ts'
import type { PodResources } from '../ports/pod-resources.ts'
import { type TestNode, testNode } from './testing/test-node.ts'

const plugin: NodePlugin = { type: 'DRAPlugin', name: 'd.example', endpoint: '/d.sock', versions: ['v1.DRAPlugin'] }
let listener: PluginListener
let calls: string[]
/** By endpoint: says that a driver is reached, or no more. */
const connections = new Map<string, (connected: boolean) => void>()
/** Whether drivers are there when they register. */
let answering: boolean
/** Said instead of what was asked for. */
let failure: string | undefined
const plugins: NodePlugins = {
  watch(_, given) {
    listener = given
    return Promise.resolve({ close: () => {} })
  },
  driver({ endpoint }, onConnection) {
    connections.set(endpoint, onConnection)
    if (answering) void Promise.resolve().then(() => onConnection(true))
    return driverAt(endpoint)
  },
}
const driverAt = (endpoint: string): DeviceDriver => ({
  prepare(claims) {
    const at = endpoint === plugin.endpoint ? '' : ` at ${endpoint}`
    calls.push(`prepare ${claims.map((c) => c.name).join()}${at}`)
    const answer = (name: string): readonly PreparedDevice[] | Error =>
      failure === undefined
        ? ['r', 's'].map((request) => ({
            requests: [request],
            pool: 'n1',
            device: `${name}-${request}`,
            cdiDevices: [`d.example/thing=${name}-${request}`],
            shareId: '',
          }))
        : new Error(failure)
    return Promise.resolve(new Map(claims.map((c) => [c.uid, answer(c.name)])))
  },
  unprepare(claims) {
    calls.push(`unprepare ${claims.map((c) => c.name).join()}`)
    return Promise.resolve(new Map(claims.map((c) => [c.uid, failure === undefined ? undefined : new Error(failure)])))
  },
  close: () => {},
})
let resources: PodResources | undefined
let node: TestNode
beforeEach(async () => {
  calls = []
  failure = undefined
  answering = true
  node = await testNode(
    {},
    {
      nodePlugins: plugins,
      podResources: {
        serve(_, answers) {
          resources = answers
          return Promise.resolve({ close: () => Promise.resolve() })
        },
      },
    },
  )
})
afterEach(() => node.stop())

const wanting = (request?: string) => ({
  resourceClaims: [{ name: 'mine', resourceClaimName: 'shared' }],
  containers: [
    {
      name: 'c',
      image: 'img:1',
      resources: { claims: [{ name: 'mine', ...(request === undefined ? {} : { request }) }] },
    },
  ],
})
/** As the scheduler leaves it. */
async function claimFor(...names: string[]): Promise<void> {
  const claims = node.client.resource(resourceClaims)
  const users = await Promise.all(names.map((name) => node.pod(name)))
  const exactly = { deviceClassName: 'things', allocationMode: 'ExactCount', count: 1 }
  const requests = ['r', 's'].map((name) => ({ name, exactly }))
  const made = await claims.create({
    metadata: { name: 'shared', namespace: 'default' },
    spec: { devices: { requests } },
  } as never)
  await claims.updateStatus({
    ...made,
    status: {
      allocation: {
        devices: {
          results: requests.map(({ name }) => ({ request: name, driver: 'd.example', pool: 'n1', device: name })),
        },
      },
      reservedFor: users.map(({ metadata: { name, uid } }) => ({ resource: 'pods', name, uid })),
    },
  } as never)
}
const cdiDevices = () => [...node.runtime.containers.values()].map((c) => c.config.cdiDevices)

describe('a pod with a claim', () => {
  it('waits for its driver, runs with its devices, and gives them back at its end', async () => {
    await node.create('p', wanting())
    await claimFor('p')
    await node.advance(1000)
    expect(await node.events('p')).toContain(
      'FailedPrepareDynamicResources: Failed to prepare dynamic resources: prepare dynamic resources: DRA driver d.example is not registered',
    )
    expect((await node.pod('p')).status.phase).toBe('Pending')
    await listener.register(plugin)
    await node.advance(1000)
    expect((await node.pod('p')).status.phase).toBe('Running')
    expect(cdiDevices()).toEqual([['d.example/thing=shared-r', 'd.example/thing=shared-s']])
    expect(resources?.list()[0]?.containers[0]?.claims).toMatchObject([
      { claimNamespace: 'default', claimName: 'shared', devices: [{ driver: 'd.example', device: 'shared-r' }, {}] },
    ])
    await node.client.resource(pods).delete('p', 'default')
    await node.advance(40_000)
    expect(calls).toEqual(['prepare shared', 'unprepare shared'])
  })
  it('has the devices of one request alone where its container says so', async () => {
    await listener.register(plugin)
    await node.create('p', wanting('s'))
    await claimFor('p')
    await node.advance(1000)
    expect(cdiDevices()).toEqual([['d.example/thing=shared-s']])
  })
  it('has the devices of an extended resource that the scheduler made a claim for', async () => {
    await listener.register(plugin)
    const made = await node.create('p', { nodeName: undefined })
    await claimFor('p')
    const claims = node.client.resource(resourceClaims)
    const claim = await claims.get('shared', 'default')
    const owner = { apiVersion: 'v1', kind: 'Pod', name: 'p', uid: made.metadata.uid, controller: true }
    await claims.update({ ...claim, metadata: { ...claim.metadata, ownerReferences: [owner] } })
    const requestMappings = [{ containerName: 'c', resourceName: 'example.com/thing', requestName: 'r' }]
    const status = { extendedResourceClaimStatus: { resourceClaimName: 'shared', requestMappings } }
    await node.client.resource(pods).patch('p', 'default', 'merge', { status }, { subresource: 'status' })
    const target = { kind: 'Node', name: 'n1' }
    await node.client.resource(pods).post('p', 'default', 'binding', { metadata: { name: 'p' }, target } as never)
    await node.advance(1000)
    expect(cdiDevices()).toEqual([['d.example/thing=shared-r']])
  })
  it('waits while it is not among the users of the claim, or the driver fails', async () => {
    await listener.register(plugin)
    const { metadata } = await node.create('p', wanting())
    await claimFor()
    await node.advance(1000)
    const told = 'FailedPrepareDynamicResources: Failed to prepare dynamic resources: '
    expect(await node.events('p')).toContain(
      `${told}pod default/p (${metadata.uid}) is not allowed to use ResourceClaim default/shared`,
    )
    failure = 'out of order'
    const claims = node.client.resource(resourceClaims)
    const claim = await claims.get('shared', 'default')
    const reservedFor = [{ resource: 'pods', name: 'p', uid: metadata.uid }]
    await claims.updateStatus({ ...claim, status: { ...claim.status, reservedFor } })
    await node.advance(10_000)
    expect(await node.events('p')).toContain(
      `${told}NodePrepareResources failed for ResourceClaim default/shared: out of order`,
    )
    failure = undefined
    await node.advance(10_000)
    expect((await node.pod('p')).status.phase).toBe('Running')
  })
})

describe('devices that are ready', () => {
  it('are shared: made ready once, taken back after the last pod', async () => {
    await listener.register(plugin)
    await node.create('p', wanting())
    await node.create('q', wanting())
    await claimFor('p', 'q')
    await node.advance(10_000)
    for (const name of ['p', 'q']) expect((await node.pod(name)).status.phase).toBe('Running')
    await node.client.resource(pods).delete('p', 'default')
    await node.advance(40_000)
    expect(calls).toEqual(['prepare shared'])
    await node.client.resource(pods).delete('q', 'default')
    await node.advance(40_000)
    expect(calls).toEqual(['prepare shared', 'unprepare shared'])
  })
  it('hold up the end of their pod until the driver takes them back, also after a restart', async () => {
    await listener.register(plugin)
    await node.create('p', wanting())
    await claimFor('p')
    await node.advance(1000)
    failure = 'still busy'
    await node.client.resource(pods).delete('p', 'default')
    await node.advance(40_000)
    expect((await node.pod('p')).metadata.deletionTimestamp).toBeDefined()
    await node.restart()
    await node.advance(40_000)
    expect((await node.pod('p')).metadata.deletionTimestamp).toBeDefined()
    expect(await node.events('p')).toContain(
      'FailedKillPod: error killing pod: NodeUnprepareResources failed for ResourceClaim default/shared: still busy',
    )
    failure = undefined
    await listener.register(plugin)
    await node.advance(40_000)
    await expect(node.pod('p')).rejects.toMatchObject({ reason: 'NotFound' })
  })
})

it('of several drivers of one name the newest that is reached is asked', async () => {
  await listener.register(plugin)
  await listener.register({ ...plugin, endpoint: '/newer.sock' })
  await node.advance(100)
  await node.create('p', wanting())
  await claimFor('p')
  await node.advance(1000)
  await node.client.resource(pods).delete('p', 'default')
  await node.advance(40_000)
  connections.get('/newer.sock')?.(false)
  await node.client.resource(resourceClaims).delete('shared', 'default')
  await node.create('q', wanting())
  await claimFor('q')
  await node.advance(10_000)
  expect((await node.pod('q')).status.phase).toBe('Running')
  expect(calls).toEqual(['prepare shared at /newer.sock', 'unprepare shared', 'prepare shared'])
})

describe('resource slices of this node', () => {
  const slice = (name: string, driver: string, nodeName: string) =>
    node.client.resource(resourceSlices).create({
      metadata: { name },
      spec: { driver, nodeName, pool: { name: nodeName, generation: 1, resourceSliceCount: 1 }, devices: [] },
    } as never)
  const names = async () => (await node.client.resource(resourceSlices).list()).items.map((s) => s.metadata.name)

  it('are taken away 30 seconds after their driver has gone, and all of them at a start; those of others stay', async () => {
    await listener.register(plugin)
    await slice('here', 'd.example', 'n1')
    await slice('elsewhere', 'd.example', 'n2')
    await node.advance(35_000)
    expect(await names()).toEqual(['elsewhere', 'here'])
    listener.gone(plugin)
    await node.advance(20_000)
    expect(await names()).toEqual(['elsewhere', 'here'])
    await node.advance(15_000)
    expect(await names()).toEqual(['elsewhere'])
    await slice('before', 'd.example', 'n1')
    await node.restart()
    await node.advance(100)
    expect(await names()).toEqual(['elsewhere'])
  })
  it('are taken away 30 seconds after the connection to their driver broke, unless it is there again', async () => {
    await listener.register(plugin)
    await slice('here', 'd.example', 'n1')
    await node.advance(1000)
    const reached = connections.get(plugin.endpoint)
    for (const connected of [false, true]) {
      reached?.(connected)
      await node.advance(25_000)
    }
    expect(await names()).toEqual(['here'])
    reached?.(false)
    await node.advance(35_000)
    expect(await names()).toEqual([])
  })
  it('are taken away where their driver registered and is not reached', async () => {
    answering = false
    await listener.register(plugin)
    await slice('here', 'd.example', 'n1')
    await node.advance(25_000)
    expect(await names()).toEqual(['here'])
    await node.advance(10_000)
    expect(await names()).toEqual([])
  })
})
