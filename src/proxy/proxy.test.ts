import { afterEach, expect, it } from 'vitest'
import { events } from '../api/core/event.ts'
import { nodes } from '../api/core/node.ts'
import { services } from '../api/core/service.ts'
import { endpointSlices } from '../api/discovery/endpoint-slice.ts'
import { createEventRecorder } from '../client/event-recorder.ts'
import { type IpRange, parseIpRange } from '../api/machinery/ip-range.ts'
import { type TestCluster, testCluster } from '../controllers/testing/cluster.ts'
import type { Dataplane, DataplaneState } from '../ports/dataplane.ts'
import { type EdgeListenOptions, type HttpEdge, PortTakenError } from '../ports/http-edge.ts'
import { type Proxy, startProxy } from './proxy.ts'

let cluster: TestCluster | undefined
let proxy: Proxy | undefined
afterEach(async () => {
  await proxy?.stop()
  await cluster?.stop()
})

async function start(pool?: string) {
  const made = await testCluster([])
  cluster = made
  const open = new Map<number, EdgeListenOptions>()
  let state: DataplaneState | undefined
  const edge: HttpEdge = {
    async listen(options) {
      if (open.has(options.port)) throw new PortTakenError(options.port)
      open.set(options.port, options)
      return { port: options.port, close: async () => void open.delete(options.port) }
    },
  }
  const held = new Set<string>()
  const dataplane: Dataplane = {
    apply: async (next) => void (state = next),
    clear: async () => {},
    heldPorts: async () => new Set(held),
  }
  const { informers, clock, log } = made.context
  proxy = startProxy({
    informers,
    dataplane,
    clock,
    log,
    nodeName: 'here',
    podCidrs: [],
    serviceCidrs: [],
    ownAddresses: [],
    edge,
    unsupported: ['SCTP'],
    recorder: createEventRecorder({ client: made.client, clock, log, component: 'kube-proxy', host: 'here' }),
    ...(pool === undefined ? {} : { loadBalancerPool: [parseIpRange(pool) as IpRange] }),
  })
  await made.advance()
  const ask = async (port: number) => {
    const request = { method: 'GET', scheme: 'http', authority: '', path: '/', httpVersion: '1', headers: {} } as const
    const { signal } = new AbortController()
    const answer = await open.get(port)?.handle({ ...request, sourceAddress: '', signal })
    if (answer?.kind !== 'response') return undefined
    return [answer.status, new TextDecoder().decode(answer.body as Uint8Array)]
  }
  const balancer = async (name: string, healthCheckNodePort: number) => {
    const spec = { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort, ports: [{ port: 80 }] }
    await made.client.resource(services).create({ metadata: { name, namespace: 'default' }, spec } as never)
    await made.advance()
  }
  const slice = async (name: string, nodeName: string) => {
    await made.client.resource(endpointSlices).create({
      metadata: { name, namespace: 'default', labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      endpoints: [{ addresses: ['10.0.0.7'], nodeName, conditions: { ready: true } }],
      ports: [{ port: 8080, protocol: 'TCP' }],
    } as never)
    await made.advance()
  }
  return { ...made, open, held, ask, balancer, slice, state: () => state }
}

it('health check node ports say whether this node has an endpoint', async () => {
  const { ask, balancer, slice, client, advance, open } = await start()
  await balancer('lb', 30_100)
  expect(await ask(30_100)).toEqual([
    503,
    '{"service":{"namespace":"default","name":"lb"},"localEndpoints":0,"serviceProxyHealthy":true}',
  ])
  await slice('lb', 'elsewhere')
  expect((await ask(30_100))?.[0]).toBe(503)
  const here = { endpoints: [{ addresses: ['10.0.0.8'], nodeName: 'here', conditions: { ready: true } }] }
  await client.resource(endpointSlices).patch('lb', 'default', 'merge', here)
  await advance()
  expect(await ask(30_100)).toEqual([200, expect.stringContaining('"localEndpoints":1')])
  await client.resource(services).delete('lb', 'default')
  await advance()
  expect([...open.keys()]).toEqual([])
  await balancer('next', 30_100)
  expect((await ask(30_100))?.[0]).toBe(503)
})

it('a health check node port that a program of the machine has: an event tells it', async () => {
  const { balancer, open, client, advance } = await start()
  open.set(30_100, { port: 30_100, handle: () => Promise.reject(new Error('not ours')) })
  await balancer('lb', 30_100)
  await advance()
  const { items } = await client.resource(events).list({ namespace: 'default' })
  expect(items.map(({ type, reason, message }) => [type, reason, message])).toEqual([
    [
      'Warning',
      'FailedToStartServiceHealthcheck',
      expect.stringMatching(/^node here failed to start healthcheck "default\/lb" on port 30100: /),
    ],
  ])
})

it('a health check node port is served when the program that had it has gone', async () => {
  const { balancer, open, ask, advance } = await start()
  open.set(30_100, { port: 30_100, handle: () => Promise.reject(new Error('not ours')) })
  await balancer('lb', 30_100)
  open.delete(30_100)
  await advance(5000)
  expect((await ask(30_100))?.[0]).toBe(503)
})

it('a node port that a program of the machine has: it keeps it, an event tells it, and it is served when it is free', async () => {
  const { held, client, slice, advance, state } = await start()
  held.add('TCP/30200')
  for (const [name, nodePort] of [
    ['taken', 30_200],
    ['free', 30_201],
  ])
    await client.resource(services).create({
      metadata: { name, namespace: 'default' },
      spec: { type: 'NodePort', ports: [{ name: 'http', port: 80, nodePort }] },
    } as never)
  await slice('taken', 'here')
  const ports = () =>
    ['taken', 'free'].map((name) => state()?.services.find(({ key }) => key === `default/${name}:http`)?.nodePort)
  expect(ports()).toEqual([undefined, 30_201])
  const told = async () =>
    (await client.resource(events).list({ namespace: 'default' })).items.map((e) => [e.type, e.reason, e.message])
  const warning = [
    'Warning',
    'FailedToOpenNodePort',
    'node here can\'t open port "nodePort for default/taken:http" (:30200/tcp), skipping it: address already in use',
  ]
  expect(await told()).toEqual([warning])
  // What is served already is not given up for a program that comes later.
  held.add('TCP/30201')
  await advance(5000)
  expect(ports()).toEqual([undefined, 30_201])
  held.delete('TCP/30200')
  await advance(5000)
  expect(ports()).toEqual([30_200, 30_201])
  expect(await told()).toEqual([
    warning,
    ['Normal', 'NodePortOpened', 'node here opened port "nodePort for default/taken:http" (:30200/tcp)'],
  ])
})

it('a protocol that the kernel does not know: an event tells it, once for each Service', async () => {
  const { client, advance, slice } = await start()
  for (const [name, protocol] of [
    ['signals', 'SCTP'],
    ['web', 'TCP'],
  ])
    await client.resource(services).create({
      metadata: { name, namespace: 'default' },
      spec: { ports: [{ port: 80, protocol }] },
    } as never)
  await advance()
  await slice('signals', 'here')
  const { items } = await client.resource(events).list({ namespace: 'default' })
  expect(
    items.map(({ type, reason, count, message, involvedObject }) => [
      type,
      reason,
      count,
      message,
      involvedObject.name,
    ]),
  ).toEqual([
    ['Warning', 'ProtocolNotSupported', 1, 'node here cannot serve SCTP ports: its kernel has no SCTP', 'signals'],
  ])
})

it('announces the load balancer addresses that are its own, while it is the node for them', async () => {
  const { balancer, slice, client, advance, state } = await start('192.0.2.0/24')
  await client.resource(nodes).create({ metadata: { name: 'here' }, spec: {} } as never)
  await balancer('a', 30_101)
  await slice('a', 'here')
  const status = (ip: string) => ({ status: { loadBalancer: { ingress: [{ ip }] } } })
  await client.resource(services).patch('a', 'default', 'merge', status('192.0.2.9'), { subresource: 'status' })
  await advance()
  expect(state()?.announcedAddresses).toEqual(['192.0.2.9'])
  const labels = { 'node.kubernetes.io/exclude-from-external-load-balancers': '' }
  await client.resource(nodes).patch('here', undefined, 'merge', { metadata: { labels } })
  await advance()
  expect(state()?.announcedAddresses).toEqual([])
  await client.resource(nodes).patch('here', undefined, 'json', [{ op: 'remove', path: '/metadata/labels' }])
  await advance()
  expect(state()?.announcedAddresses).toEqual(['192.0.2.9'])
  const elsewhere = { endpoints: [{ addresses: ['10.0.0.7'], nodeName: 'elsewhere', conditions: { ready: true } }] }
  await client.resource(endpointSlices).patch('a', 'default', 'merge', elsewhere)
  await advance()
  expect(state()?.announcedAddresses).toEqual([])
  await client
    .resource(endpointSlices)
    .patch('a', 'default', 'merge', { endpoints: [{ ...elsewhere.endpoints[0], nodeName: 'here' }] })
  await client.resource(services).patch('a', 'default', 'merge', status('198.51.100.9'), { subresource: 'status' })
  await advance()
  expect(state()?.announcedAddresses).toEqual([])
})

it('reads hints by the zone that the label of its node says, also when that comes late', async () => {
  const { client, advance, state } = await start()
  await client.resource(nodes).create({ metadata: { name: 'here' }, spec: {} } as never)
  await client
    .resource(services)
    .create({ metadata: { name: 'z', namespace: 'default' }, spec: { ports: [{ port: 80 }] } } as never)
  const endpoint = (address: string, name: string) => ({
    addresses: [address],
    conditions: { ready: true },
    hints: { forZones: [{ name }] },
  })
  await client.resource(endpointSlices).create({
    metadata: { name: 'z', namespace: 'default', labels: { 'kubernetes.io/service-name': 'z' } },
    addressType: 'IPv4',
    endpoints: [endpoint('10.0.0.1', 'a'), endpoint('10.0.0.2', 'b')],
    ports: [{ port: 8080, protocol: 'TCP' }],
  } as never)
  await advance()
  const led = () =>
    state()
      ?.services.find(({ key }) => key === 'default/z:')
      ?.internalEndpoints.map(({ ip }) => ip)
  expect(led()).toEqual(['10.0.0.1', '10.0.0.2'])
  const labels = { 'topology.kubernetes.io/zone': 'b' }
  await client.resource(nodes).patch('here', undefined, 'merge', { metadata: { labels } })
  await advance()
  expect(led()).toEqual(['10.0.0.2'])
})
