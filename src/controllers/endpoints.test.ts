import { afterEach, describe, expect, it } from 'vitest'
import { endpoints } from '../api/core/endpoints.ts'
import { nodes } from '../api/core/node.ts'
import { type Pod, pods } from '../api/core/pod.ts'
import { type Service, services } from '../api/core/service.ts'
import { endpointSlices } from '../api/discovery/endpoint-slice.ts'
import { endpointSliceController } from './endpoint-slice.ts'
import { groupEndpoints, planSlices } from './endpoint-slice-plan.ts'
import { endpointsController, planSubsets, truncate } from './endpoints.ts'
import { type TestCluster, testCluster } from './testing/cluster.ts'

let cluster: TestCluster | undefined
afterEach(async () => {
  await cluster?.stop()
  cluster = undefined
})
const start = async (runs?: (pod: Pod) => boolean) => {
  cluster = await testCluster([endpointsController, endpointSliceController], { nodes: 2, ...(runs ? { runs } : {}) })
  return cluster
}
/** Without those of the API itself. */
const slices = async () =>
  ((await cluster?.all(endpointSlices, 'default')) ?? []).filter(
    (slice) => slice.metadata.labels?.['kubernetes.io/service-name'] !== 'kubernetes',
  )
const service = (name: string, spec: Partial<Service['spec']> = {}) => ({
  metadata: { name, namespace: 'default', labels: { team: 'x' } },
  spec: { selector: { app: name }, ports: [{ port: 80, targetPort: 'http' }], ...spec } as never,
})
const pod = (name: string, app: string, port = 8080, more: object = {}) => ({
  metadata: { name, namespace: 'default', labels: { app } },
  spec: { containers: [{ name: 'c', image: 'i', ports: [{ name: 'http', containerPort: port }] }], ...more } as never,
})

describe('endpoints and slices', () => {
  it('follow pods as they become ready and go', async () => {
    const ready = new Set(['a'])
    const { client, advance } = await start((p) => ready.has(p.metadata.name))
    await client.resource(services).create(service('web'))
    await client.resource(pods).create(pod('a', 'web'))
    await client.resource(pods).create(pod('b', 'web'))
    await client.resource(pods).create(pod('c', 'other'))
    await advance()
    const [slice] = await slices()
    expect(slice?.metadata.labels).toEqual({
      team: 'x',
      'kubernetes.io/service-name': 'web',
      'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
    })
    expect(slice?.metadata.ownerReferences).toMatchObject([{ kind: 'Service', name: 'web', controller: true }])
    expect(slice?.ports).toMatchObject([{ name: '', port: 8080, protocol: 'TCP' }])
    expect(slice?.endpoints).toMatchObject([
      { conditions: { ready: true, serving: true, terminating: false }, targetRef: { kind: 'Pod', name: 'a' } },
    ])
    expect((await client.resource(endpoints).get('web', 'default')).subsets).toMatchObject([
      { addresses: [{ targetRef: { name: 'a' } }], ports: [{ port: 8080 }] },
    ])
    await client.resource(pods).delete('a', 'default')
    await advance()
    expect((await client.resource(endpoints).get('web', 'default')).subsets ?? []).toEqual([])
    const [empty, ...others] = await slices()
    expect(empty?.endpoints ?? []).toEqual([])
    expect(others).toEqual([])
  })
  it('a terminating pod serves but is not ready; Endpoints leave it out at once', async () => {
    const { client, advance } = await start()
    await client.resource(services).create(service('web'))
    await client
      .resource(pods)
      .create({ ...pod('a', 'web'), metadata: { ...pod('a', 'web').metadata, finalizers: ['x.y/z'] } })
    await advance()
    await client.resource(pods).delete('a', 'default')
    await advance()
    const [slice] = await slices()
    expect(slice?.endpoints?.[0]?.conditions).toEqual({ ready: false, serving: true, terminating: true })
    expect((await client.resource(endpoints).get('web', 'default')).subsets ?? []).toEqual([])
  })
  it('writes only when something changed', async () => {
    const { client, advance } = await start()
    await client.resource(services).create(service('web'))
    await client.resource(pods).create(pod('a', 'web'))
    await advance()
    const before = await slices()
    const endpointsBefore = await client.resource(endpoints).get('web', 'default')
    await client.resource(pods).patch('a', 'default', 'merge', { metadata: { annotations: { note: '1' } } })
    await client.resource(services).patch('web', 'default', 'merge', { metadata: { annotations: { note: '1' } } })
    await advance()
    expect(await slices()).toEqual(before)
    expect(await client.resource(endpoints).get('web', 'default')).toEqual(endpointsBefore)
  })
  it('are removed with the service, and left alone without a selector', async () => {
    const { client, advance } = await start()
    await client.resource(services).create(service('web'))
    await client.resource(services).create(service('manual', { selector: undefined }))
    await client.resource(endpoints).create({ metadata: { name: 'manual', namespace: 'default' }, subsets: [] })
    await advance()
    await client.resource(services).delete('web', 'default')
    await advance()
    expect(await client.resource(endpoints).find('web', 'default')).toBeUndefined()
    expect(await client.resource(endpoints).find('manual', 'default')).toBeDefined()
  })
  it('a headless service publishes host names, and unready pods when it says so', async () => {
    const { client, advance } = await start((p) => p.metadata.name === 'a')
    await client.resource(services).create(service('db', { clusterIP: 'None', publishNotReadyAddresses: true }))
    await client.resource(pods).create(pod('a', 'db', 8080, { hostname: 'zero', subdomain: 'db' }))
    const unready = await client.resource(pods).create(pod('b', 'db'))
    await advance()
    const bound = await client.resource(pods).get(unready.metadata.name, 'default')
    await client
      .resource(pods)
      .updateStatus({ ...bound, status: { ...bound.status, podIP: '10.9.9.9', podIPs: [{ ip: '10.9.9.9' }] } })
    await advance()
    const [slice] = await slices()
    expect(slice?.metadata.labels).toMatchObject({ 'service.kubernetes.io/headless': '' })
    const conditions = Object.fromEntries((slice?.endpoints ?? []).map((e) => [e.targetRef?.name, e.conditions]))
    expect(conditions).toEqual({
      a: { ready: true, serving: true, terminating: false },
      b: { ready: true, serving: false, terminating: false },
    })
    expect(slice?.endpoints?.find((e) => e.targetRef?.name === 'a')?.hostname).toBe('zero')
    const subsets = (await client.resource(endpoints).get('db', 'default')).subsets
    expect(subsets?.[0]?.addresses?.map((a) => a.targetRef?.name).sort()).toEqual(['a', 'b'])
  })
  it('topology-mode Auto gives zones their endpoints, and says when it cannot', async () => {
    const { client, advance, eventsOf } = await start()
    const annotations = { 'service.kubernetes.io/topology-mode': 'Auto' }
    const wish = service('web')
    await client.resource(services).create({ ...wish, metadata: { ...wish.metadata, annotations } as never })
    for (const name of ['a', 'b', 'c', 'd']) await client.resource(pods).create(pod(name, 'web'))
    await advance()
    const hints = async () => (await slices())[0]?.endpoints?.map((e) => e.hints?.forZones?.map((z) => z.name).join())
    expect(await hints()).toEqual([undefined, undefined, undefined, undefined])
    for (const [name, zone] of [
      ['n1', 'east'],
      ['n2', 'west'],
    ] as const) {
      const labels = { 'topology.kubernetes.io/zone': zone }
      await client.resource(nodes).patch(name, undefined, 'merge', { metadata: { labels } })
      const status = { allocatable: { cpu: '2' } }
      await client.resource(nodes).patch(name, undefined, 'merge', { status }, { subresource: 'status' })
    }
    await advance()
    expect((await hints())?.sort()).toEqual(['east', 'east', 'west', 'west'])
    expect(await eventsOf('web')).toEqual([
      'TopologyAwareHintsDisabled: Insufficient Node information: allocatable CPU or zone not specified on one or more nodes, addressType: IPv4',
      'TopologyAwareHintsEnabled: Topology Aware Hints has been enabled, addressType: IPv4',
    ])
  })
  it('pods with different numbers for a named port stand in different slices', async () => {
    const { client, advance } = await start()
    await client.resource(services).create(service('web'))
    await client.resource(pods).create(pod('a', 'web', 8080))
    await client.resource(pods).create(pod('b', 'web', 9090))
    await advance()
    const byPort = Object.fromEntries(
      (await slices()).map((s) => [s.ports?.[0]?.port, s.endpoints?.[0]?.targetRef?.name]),
    )
    expect(byPort).toEqual({ 8080: 'a', 9090: 'b' })
  })
})

const endpoint = (i: number, ready = true) => ({
  addresses: [`10.0.${Math.floor(i / 250)}.${i % 250}`],
  conditions: { ready, serving: ready, terminating: false },
})
const ports = [{ name: 'http', protocol: 'TCP', port: 80 }]
const group = (list: readonly ReturnType<typeof endpoint>[]) =>
  groupEndpoints(
    ['IPv4'],
    list.map((e) => ({ addressType: 'IPv4' as const, ports, endpoint: e })),
  )
const stored = (name: string, list: readonly ReturnType<typeof endpoint>[]) =>
  ({ metadata: { name }, addressType: 'IPv4', ports, endpoints: list }) as never
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => endpoint(from + i))

describe('planSlices', () => {
  it('splits many endpoints', () => {
    const { create } = planSlices(group(range(0, 250)), [])
    expect(create.map((slice) => slice.endpoints.length)).toEqual([100, 100, 50])
  })
  it('rewrites only the slice in which something changed', () => {
    const before = [stored('s1', range(0, 100)), stored('s2', range(100, 200))]
    const wanted = [...range(0, 199), endpoint(199, false)]
    const plan = planSlices(group(wanted), before)
    expect(plan).toMatchObject({ create: [], delete: [], update: [{ slice: { metadata: { name: 's2' } } }] })
  })
  it('puts a new endpoint into a slice with room, not into one of its own', () => {
    const before = [stored('s1', range(0, 100)), stored('s2', range(100, 150))]
    const plan = planSlices(group(range(0, 151)), before)
    expect(plan.create).toEqual([])
    expect(plan.update.map(({ slice, endpoints: list }) => [slice.metadata.name, list.length])).toEqual([['s2', 51]])
  })
  it('deletes what became empty, but leaves an empty one for a service without endpoints', () => {
    const before = [stored('s1', range(0, 100)), stored('s2', range(100, 150))]
    const fewer = planSlices(group(range(0, 100)), before)
    expect(fewer.delete.map((s) => s.metadata.name)).toEqual(['s2'])
    const none = planSlices(groupEndpoints(['IPv4'], []), [])
    expect(none.create).toEqual([{ addressType: 'IPv4', ports: [], endpoints: [] }])
  })
  it('does nothing when all is right', () => {
    expect(planSlices(group(range(0, 3)), [stored('s1', range(0, 3))])).toEqual({ create: [], update: [], delete: [] })
  })
})

describe('truncate', () => {
  it('keeps ready addresses first', () => {
    const address = (ip: string) => ({ ip })
    const subsets = [
      { addresses: [address('1')], notReadyAddresses: [address('2'), address('3')] },
      { addresses: [address('4'), address('5')] },
    ]
    expect(truncate(subsets, 5)).toEqual({ subsets, cut: false })
    const { subsets: kept, cut } = truncate(subsets, 4)
    expect(cut).toBe(true)
    expect(kept.map((s) => [s.addresses?.length, s.notReadyAddresses?.length])).toEqual([
      [1, 1],
      [2, 0],
    ])
  })
  it('planSubsets is empty without pods', () => {
    expect(planSubsets(service('web') as never, [])).toEqual([])
  })
})
