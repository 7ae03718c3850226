// Claims and devices on the real API server; the test plays the driver.
import { afterEach, expect, test } from 'vitest'
import { namespaces } from '../api/core/namespace.ts'
import {
  type DeviceClass,
  deviceClasses,
  type ResourceClaim,
  resourceClaims,
  type ResourceSlice,
  resourceSlices,
} from '../api/resource/resource.ts'
import type { Input } from '../client/client.ts'
import { requesting, type SchedulerCluster, schedulerCluster } from './testing/cluster.ts'

let cluster: SchedulerCluster | undefined
afterEach(async () => {
  await cluster?.stop()
  cluster = undefined
})
type Devices = NonNullable<ResourceSlice['spec']['devices']>
type Requests = NonNullable<ResourceClaim['spec']['devices']['requests']>
const driver = 'gpu.example.com'

async function start(): Promise<SchedulerCluster> {
  cluster = await schedulerCluster()
  await cluster.client.resource(deviceClasses).create({
    metadata: { name: 'gpu' },
    spec: { selectors: [{ cel: { expression: `device.driver == "${driver}"` } }] },
  } as Input<DeviceClass>)
  for (const name of ['n1', 'n2']) await cluster.node(name)
  return cluster
}
const slice = (c: SchedulerCluster, nodeName: string, devices: unknown, spec: Partial<ResourceSlice['spec']> = {}) =>
  c.client.resource(resourceSlices).create({
    metadata: { name: `${nodeName}-${driver}` },
    spec: { driver, nodeName, pool: { name: nodeName, generation: 1, resourceSliceCount: 1 }, devices, ...spec },
  } as Input<ResourceSlice>)
const gpu = (name: string, model: string, memory: string, more: Partial<Devices[number]> = {}) => ({
  name,
  attributes: { model: { string: model }, firmware: { version: '1.2.3' } },
  capacity: { memory: { value: memory } },
  ...more,
})
const claim = (c: SchedulerCluster, name: string, requests: unknown, constraints?: unknown) =>
  c.client.resource(resourceClaims).create({
    metadata: { name, namespace: 'default' },
    spec: { devices: { requests, ...(constraints === undefined ? {} : { constraints }) } },
  } as Input<ResourceClaim>)
const oneGpu = (exactly: Partial<NonNullable<Requests[number]['exactly']>> = {}) => [
  { name: 'gpu', exactly: { deviceClassName: 'gpu', ...exactly } },
]
const choosing = (expression: string) => oneGpu({ selectors: [{ cel: { expression } }] })
const using =
  (...names: readonly string[]) =>
  (pod: Parameters<NonNullable<Parameters<SchedulerCluster['pod']>[1]>>[0]) => {
    pod.spec.resourceClaims = names.map((name) => ({ name, resourceClaimName: name }))
    const [container] = pod.spec.containers
    if (container !== undefined) container.resources = { claims: names.map((name) => ({ name })) }
  }
const status = async (c: SchedulerCluster, name: string) =>
  (await c.client.resource(resourceClaims).get(name, 'default')).status
const devicesOf = async (c: SchedulerCluster, name: string) =>
  (await status(c, name)).allocation?.devices.results?.map((r) => `${r.request}=${r.pool}/${r.device}`)

test('a claim gets a device that its expressions select, on the node that has it, and the pod reserves it', async () => {
  const c = await start()
  await slice(c, 'n1', [gpu('small', 'a', '8Gi')])
  await slice(c, 'n2', [gpu('tiny', 'a', '4Gi'), gpu('big', 'b', '40Gi')])
  await claim(
    c,
    'big',
    choosing(
      `device.attributes["${driver}"].model == "b" && device.capacity["${driver}"].memory.compareTo(quantity("10Gi")) > 0 &&
       device.attributes["${driver}"].firmware.isGreaterThan(semver("1.0.0"))`,
    ),
  )
  const pod = await c.pod('p', using('big'))
  await c.advance(2000)
  expect(await c.placements()).toEqual({ p: 'n2' })
  expect(await devicesOf(c, 'big')).toEqual(['gpu=n2/big'])
  const { metadata, status: written } = await c.client.resource(resourceClaims).get('big', 'default')
  expect(metadata.finalizers).toEqual(['resource.kubernetes.io/delete-protection'])
  expect(written.reservedFor).toEqual([{ resource: 'pods', name: 'p', uid: pod.metadata.uid }])
  expect(written.allocation?.nodeSelector).toEqual({
    nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['n2'] }] }],
  })
})

test('no device is given twice; who found none waits for one to be offered or given back', async () => {
  const c = await start()
  await slice(c, 'n1', [gpu('only', 'a', '8Gi')])
  for (const name of ['first', 'second', 'third']) {
    await claim(c, name, oneGpu())
    await c.pod(name, using(name))
  }
  await c.advance(2000)
  expect(await c.placements()).toEqual({ first: 'n1', second: '', third: '' })
  const [refused] = await c.eventsOf('second')
  expect(refused).toContain('0/2 nodes are available: 2 cannot allocate all claims.')
  await slice(c, 'n2', [gpu('other', 'a', '8Gi')])
  await c.advance(15_000)
  expect(Object.values(await c.placements()).filter((node) => node === '')).toHaveLength(1)
  // what the resource claim controller does when the pod has ended
  const first = await c.client.resource(resourceClaims).get('first', 'default')
  await c.client.resource(resourceClaims).updateStatus({ ...first, status: {} })
  await c.advance(15_000)
  expect(Object.values(await c.placements()).sort()).toEqual(['n1', 'n1', 'n2'])
})

test('pods share a claim where its devices are', async () => {
  const c = await start()
  await slice(c, 'n2', [gpu('g', 'a', '8Gi')])
  await claim(c, 'shared', oneGpu())
  for (const name of ['a', 'b', 'c']) await c.pod(name, using('shared'))
  await c.advance(20_000)
  expect(await c.placements()).toEqual({ a: 'n2', b: 'n2', c: 'n2' })
  expect((await status(c, 'shared')).reservedFor?.map(({ name }) => name).sort()).toEqual(['a', 'b', 'c'])
})

test('a pod waits at the gate for its claim, without an event', async () => {
  const c = await start()
  await slice(c, 'n1', [gpu('g', 'a', '8Gi')])
  const pod = await c.pod('p', using('late'))
  await c.advance(2000)
  expect(c.scheduler.whereabouts(pod.metadata.uid)).toBe('gated')
  expect(await c.eventsOf('p')).toEqual([])
  await claim(c, 'late', oneGpu())
  await c.advance(2000)
  expect(await c.placements()).toEqual({ p: 'n1' })
})

test('constraints, counts, alternatives, all, taints and counters', async () => {
  const c = await start()
  const labels = { 'resource.kubernetes.io/admin-access': 'true' }
  await c.client.resource(namespaces).patch('default', undefined, 'merge', { metadata: { labels } })
  const taints = [{ key: 'broken', effect: 'NoSchedule' }]
  const half = [{ counterSet: 'card', counters: { slots: { value: '1' } } }]
  await slice(c, 'n1', [gpu('a1', 'a', '8Gi'), gpu('b1', 'b', '8Gi')])
  const pool = { name: 'n2', generation: 1, resourceSliceCount: 2 }
  await slice(
    c,
    'n2',
    [
      gpu('b2', 'b', '8Gi', { consumesCounters: half } as never),
      gpu('c1', 'c', '8Gi', { consumesCounters: half } as never),
      gpu('b3', 'b', '8Gi', { taints }),
    ],
    { pool },
  )
  const counters = [{ name: 'card', counters: { slots: { value: '1' } } }]
  await c.client.resource(resourceSlices).create({
    metadata: { name: 'counters' },
    spec: { driver, nodeName: 'n2', pool, sharedCounters: counters },
  } as Input<ResourceSlice>)
  const cases: readonly (readonly [string, unknown, unknown, readonly string[] | undefined])[] = [
    // two of one model are on no node: n1 has different ones, of n2's one is tainted
    ['same', oneGpu({ count: 2 }), [{ matchAttribute: `${driver}/model` }], undefined],
    [
      'tolerant',
      oneGpu({ count: 2, tolerations: [{ key: 'broken', operator: 'Exists' }] } as never),
      [{ matchAttribute: `${driver}/model` }],
      ['gpu=n2/b2', 'gpu=n2/b3'],
    ],
    // the card of n2 has one slot, and b2 has it
    ['partition', choosing(`device.attributes["${driver}"].model == "c"`), undefined, undefined],
    [
      'second-best',
      [
        {
          name: 'gpu',
          firstAvailable: [
            {
              name: 'best',
              deviceClassName: 'gpu',
              selectors: [{ cel: { expression: `device.attributes["${driver}"].model == "z"` } }],
            },
            {
              name: 'good',
              deviceClassName: 'gpu',
              selectors: [{ cel: { expression: `device.attributes["${driver}"].model == "a"` } }],
            },
          ],
        },
      ],
      undefined,
      ['gpu/good=n1/a1'],
    ],
    ['different', oneGpu({ count: 2 }), [{ distinctAttribute: `${driver}/model` }], undefined],
    ['admin', oneGpu({ allocationMode: 'All', adminAccess: true }), undefined, ['gpu=n1/a1', 'gpu=n1/b1']],
    ['broken', choosing('device.attributes["x"].none == "a"'), undefined, undefined],
    ['classless', oneGpu({ deviceClassName: 'unknown' }), undefined, undefined],
  ]
  for (const [name, requests, constraints, devices] of cases) {
    await claim(c, name, requests, constraints)
    await c.pod(name, using(name))
    await c.advance(2000)
    expect([name, await devicesOf(c, name)]).toEqual([name, devices])
  }
  expect((await c.eventsOf('broken'))[0]).toContain('no such key: none')
  expect((await c.eventsOf('classless'))[0]).toContain('request gpu: device class unknown does not exist')
})

test('among nodes with other devices the one with the more wanted wins, though it is a little fuller', async () => {
  const c = await start()
  await slice(c, 'n1', [gpu('good', 'a', '8Gi')])
  await slice(c, 'n2', [gpu('best', 'b', '8Gi')])
  await c.pod('before', (pod) => {
    pod.spec.nodeName = 'n2'
    requesting({ cpu: '1' })(pod)
  })
  const alternative = (name: string, model: string) => {
    const expression = `device.attributes["${driver}"].model == "${model}"`
    return { name, deviceClassName: 'gpu', selectors: [{ cel: { expression } }] }
  }
  for (const name of ['one', 'two']) {
    await claim(c, name, [{ name: 'gpu', firstAvailable: [alternative('best', 'b'), alternative('good', 'a')] }])
    await c.pod(name, using(name))
    await c.advance(2000)
  }
  expect(await devicesOf(c, 'one')).toEqual(['gpu/best=n2/best'])
  expect(await devicesOf(c, 'two')).toEqual(['gpu/good=n1/good'])
})

test('nobody else may use a claim whose device drives its users away; without users it gets another device', async () => {
  const c = await start()
  await slice(c, 'n1', [gpu('a', 'a', '8Gi'), gpu('b', 'a', '8Gi')])
  await claim(c, 'shared', oneGpu())
  await c.pod('first', using('shared'))
  await c.advance(2000)
  expect(await devicesOf(c, 'shared')).toEqual(['gpu=n1/a'])
  const taint = async (effect: string) => {
    const offered = await c.client.resource(resourceSlices).get(`n1-${driver}`)
    const taints = [{ key: 'hot', effect }]
    const devices = offered.spec.devices?.map((one) => (one.name === 'a' ? { ...one, taints } : one))
    await c.client.resource(resourceSlices).update({ ...offered, spec: { ...offered.spec, devices } } as ResourceSlice)
  }
  await taint('NoSchedule')
  await c.pod('second', using('shared'))
  await c.advance(2000)
  expect(await c.placements()).toEqual({ first: 'n1', second: 'n1' })
  await taint('NoExecute')
  await c.pod('third', using('shared'))
  await c.advance(2000)
  expect((await c.placements())['third']).toBe('')
  expect((await c.eventsOf('third'))[0]).toContain('resourceclaim "shared" has a device with an untolerated taint')
  const { metadata, spec, status: used } = await c.client.resource(resourceClaims).get('shared', 'default')
  await c.client
    .resource(resourceClaims)
    .updateStatus({ metadata, spec, status: { ...used, reservedFor: [] } } as unknown as ResourceClaim)
  await c.advance(60_000)
  expect(await devicesOf(c, 'shared')).toEqual(['gpu=n1/b'])
  expect((await c.placements())['third']).toBe('n1')
})

test('a pool that is not whole, or of an older generation, offers nothing', async () => {
  const c = await start()
  const pool = { name: 'n1', generation: 2, resourceSliceCount: 2 }
  await slice(c, 'n1', [gpu('g', 'a', '8Gi')], { pool })
  await claim(c, 'x', oneGpu())
  await c.pod('p', using('x'))
  await c.advance(2000)
  expect(await c.placements()).toEqual({ p: '' })
  await c.client.resource(resourceSlices).create({
    metadata: { name: 'n1-second' },
    spec: { driver, nodeName: 'n1', pool, devices: [] },
  } as unknown as Input<ResourceSlice>)
  await c.advance(15_000)
  expect(await c.placements()).toEqual({ p: 'n1' })
})

test('devices that were given where the pod cannot be are taken back and found anew', async () => {
  const c = await start()
  for (const node of ['n1', 'n2']) await slice(c, node, [gpu('g', 'a', '8Gi')])
  const made = await claim(c, 'moved', oneGpu())
  const allocation = {
    devices: { results: [{ request: 'gpu', driver, pool: 'n1', device: 'g' }] },
    nodeSelector: { nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['n1'] }] }] },
  }
  await c.client.resource(resourceClaims).updateStatus({ ...made, status: { allocation } } as ResourceClaim)
  await c.pod('p', (pod) => {
    using('moved')(pod)
    pod.spec.nodeSelector = { 'kubernetes.io/hostname': 'n2' }
  })
  await c.advance(20_000)
  expect(await c.placements()).toEqual({ p: 'n2' })
  expect(await devicesOf(c, 'moved')).toEqual(['gpu=n2/g'])
})

test('claims share a device that allows it, each with its part of the capacity', async () => {
  const c = await start()
  const requestPolicy = { default: '1Gi', validRange: { min: '1Gi', step: '1Gi', max: '6Gi' } }
  await slice(c, 'n1', [
    {
      name: 'nic',
      allowMultipleAllocations: true,
      capacity: { bandwidth: { value: '8Gi', requestPolicy }, slots: { value: '3' } },
    },
  ])
  const asks = (bandwidth: string) => oneGpu({ capacity: { requests: { bandwidth, slots: '1' } } } as never)
  const cases: readonly (readonly [string, unknown, Record<string, string> | undefined])[] = [
    ['rounded', asks('1500Mi'), { bandwidth: '2Gi', slots: '1' }],
    ['too-much', asks('7Gi'), undefined],
    ['rest', asks('6Gi'), { bandwidth: '6Gi', slots: '1' }],
    // a slot is left, and no bandwidth
    ['none', oneGpu({ capacity: { requests: { slots: '1' } } } as never), undefined],
  ]
  for (const [name, requests, consumedCapacity] of cases) {
    await claim(c, name, requests)
    await c.pod(name, using(name))
    await c.advance(2000)
    const [result] = (await status(c, name)).allocation?.devices.results ?? []
    expect([name, result?.consumedCapacity]).toEqual([name, consumedCapacity])
    if (consumedCapacity !== undefined) expect(result?.shareID).toMatch(/^[0-9a-f-]{36}$/)
  }
})

test('a pod waits until its device is prepared for the node, and looks for another one where that fails', async () => {
  const c = await start()
  const bindingConditions = ['attached']
  const bindingFailureConditions = ['broken']
  const remote = { bindsToNode: true, bindingConditions, bindingFailureConditions } as never
  await slice(c, 'n1', [gpu('fabric', 'a', '8Gi', remote)], { nodeName: undefined, allNodes: true } as never)
  await claim(c, 'x', oneGpu())
  await c.pod('p', using('x'))
  await c.advance(2000)
  const reserved = await c.client.resource(resourceClaims).get('x', 'default')
  const chosen = reserved.status.allocation?.nodeSelector?.nodeSelectorTerms[0]?.matchFields?.[0]?.values?.[0]
  expect(['n1', 'n2']).toContain(chosen)
  expect(reserved.status.allocation?.devices.results?.[0]).toMatchObject({
    bindingConditions,
    bindingFailureConditions,
  })
  expect(await c.placements()).toEqual({ p: '' })
  const say = async (type: string) => {
    const now = await c.client.resource(resourceClaims).get('x', 'default')
    const condition = { type, status: 'True', reason: 'Test', message: '', lastTransitionTime: '2026-01-01T00:00:00Z' }
    const devices = [{ driver, pool: 'n1', device: 'fabric', conditions: [condition] }]
    await c.client
      .resource(resourceClaims)
      .updateStatus({ ...now, status: { ...now.status, devices } } as ResourceClaim)
  }
  await say('broken')
  await c.advance(500)
  expect((await c.eventsOf('p')).join()).toContain('claim x failed to become ready: device fabric has condition broken')
  await c.advance(15_000)
  const again = (await status(c, 'x')) as ResourceClaim['status']
  expect([again.allocation !== undefined, again.devices]).toEqual([true, undefined])
  await say('attached')
  await c.advance(2000)
  expect((await c.placements())['p']).toMatch(/^n[12]$/)
})

test('an extended resource is a device of the class that stands for it, where no device plugin offers it', async () => {
  const c = await start()
  await c.client.resource(deviceClasses).create({
    metadata: { name: 'named' },
    spec: {
      extendedResourceName: 'example.com/gpu',
      selectors: [{ cel: { expression: `device.driver == "${driver}"` } }],
    },
  } as Input<DeviceClass>)
  await slice(c, 'n1', [gpu('a', 'a', '8Gi'), gpu('b', 'a', '8Gi')])
  const pod = await c.pod('p', (draft) => {
    const limits = { 'example.com/gpu': '2' }
    draft.spec.initContainers = [
      { name: 'first', image: 'x', resources: { limits: { 'example.com/gpu': '1' } } },
    ] as never
    const [container] = draft.spec.containers
    if (container !== undefined) container.resources = { limits }
  })
  await c.advance(2000)
  expect(await c.placements()).toEqual({ p: 'n1' })
  const { resourceClaimName = '', requestMappings } = (await c.get('p')).status.extendedResourceClaimStatus ?? {}
  expect(requestMappings).toEqual([
    { containerName: 'first', resourceName: 'example.com/gpu', requestName: 'container-1-request-0' },
    { containerName: 'c', resourceName: 'example.com/gpu', requestName: 'container-1-request-0' },
  ])
  const made = await c.client.resource(resourceClaims).get(resourceClaimName, 'default')
  expect(made.metadata.annotations).toEqual({ 'resource.kubernetes.io/extended-resource-claim': 'true' })
  expect(made.metadata.ownerReferences?.[0]).toMatchObject({ kind: 'Pod', uid: pod.metadata.uid, controller: true })
  expect(made.status.allocation?.devices.results?.map(({ device }) => device).sort()).toEqual(['a', 'b'])
  // no device is left for another, under the name that every class has; a node's own plugin needs no claim
  const one = (name: string) => (draft: Parameters<NonNullable<Parameters<SchedulerCluster['pod']>[1]>>[0]) => {
    const [container] = draft.spec.containers
    if (container !== undefined) container.resources = { limits: { [name]: '1' } }
  }
  await c.pod('second', one('deviceclass.resource.kubernetes.io/gpu'))
  await c.pod('plugged', one('example.com/gpu'))
  await c.advance(2000)
  expect((await c.placements())['plugged']).toBe('')
  await c.node('n3', (node) => {
    node.status = {
      capacity: {},
      allocatable: { cpu: '4', memory: '8Gi', pods: '110', 'example.com/gpu': '1' },
    } as never
  })
  await c.advance(15_000)
  expect(await c.placements()).toEqual({ p: 'n1', second: '', plugged: 'n3' })
  expect((await c.get('plugged')).status.extendedResourceClaimStatus).toBeUndefined()
})
