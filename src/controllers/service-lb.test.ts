import { afterEach, describe, expect, it } from 'vitest'
import { nodes } from '../api/core/node.ts'
import { services } from '../api/core/service.ts'
import { endpointSlices } from '../api/discovery/endpoint-slice.ts'
import { ipAddresses, serviceCidrs } from '../api/networking/service-cidr.ts'
import { clusterDnsController } from './cluster-dns.ts'
import type { ControllerSettings } from './framework/controller.ts'
import { serviceCidrController } from './service-cidr.ts'
import { parseIpRange } from '../api/machinery/ip-range.ts'
import { freeInPool } from './service-lb-plan.ts'
import { serviceLbController } from './service-lb.ts'
import { type TestCluster, testCluster } from './testing/cluster.ts'

let cluster: TestCluster | undefined
afterEach(async () => {
  await cluster?.stop()
  cluster = undefined
})
async function start(settings: ControllerSettings = {}) {
  const made = await testCluster([serviceLbController], { settings })
  cluster = made
  const { client, advance } = made
  for (const [name, ip] of [
    ['a', '192.0.2.11'],
    ['b', '192.0.2.12'],
  ] as const) {
    await client.resource(nodes).create({ metadata: { name }, spec: {} })
    const status = { addresses: [{ type: 'InternalIP', address: ip }], conditions: [{ type: 'Ready', status: 'True' }] }
    await client.resource(nodes).patch(name, undefined, 'merge', { status }, { subresource: 'status' })
  }
  const make = async (name: string, port: number, spec: object = {}) => {
    await client.resource(services).create({
      metadata: { name, namespace: 'default' },
      spec: { type: 'LoadBalancer', ports: [{ port }], ...spec },
    } as never)
    await advance()
  }
  const ips = async (name: string) => {
    const service = await client.resource(services).get(name, 'default')
    return (service.status.loadBalancer.ingress ?? []).map((i) => i.ip)
  }
  return { ...made, make, ips }
}

describe('load balancers of node addresses', () => {
  it('are all Ready nodes, and follow them', async () => {
    const { make, ips, client, advance, eventsOf } = await start()
    await make('web', 80)
    expect(await ips('web')).toEqual(['192.0.2.11', '192.0.2.12'])
    expect(await eventsOf('web')).toEqual([
      'EnsuringLoadBalancer: Ensuring load balancer',
      'EnsuredLoadBalancer: Ensured load balancer',
    ])
    const notReady = { status: { conditions: [{ type: 'Ready', status: 'Unknown' }] } }
    await client.resource(nodes).patch('a', undefined, 'strategic', notReady, { subresource: 'status' })
    await advance()
    expect(await ips('web')).toEqual(['192.0.2.12'])
    const excluded = { metadata: { labels: { 'node.kubernetes.io/exclude-from-external-load-balancers': '' } } }
    await client.resource(nodes).patch('b', undefined, 'merge', excluded)
    await advance()
    expect(await ips('web')).toEqual(['192.0.2.11'])
    await client.resource(services).patch('web', 'default', 'merge', { spec: { type: 'ClusterIP' } })
    await advance()
    expect(await ips('web')).toEqual([])
  })
  it('one port has one Service; the next in line gets it when it is free', async () => {
    const { make, ips, client, advance, eventsOf } = await start({ reservedPorts: [6443] })
    await make('first', 80)
    await make('second', 80)
    await make('api', 6443)
    expect(await ips('second')).toEqual([])
    expect(await eventsOf('second')).toEqual([
      'SyncLoadBalancerFailed: Error syncing load balancer: failed to ensure load balancer: port TCP/80 of the nodes is taken by Service default/first',
    ])
    expect(await eventsOf('api')).toEqual([
      'SyncLoadBalancerFailed: Error syncing load balancer: failed to ensure load balancer: port TCP/6443 belongs to the nodes themselves',
    ])
    await client.resource(services).delete('first', 'default')
    await advance()
    expect(await ips('second')).toEqual(['192.0.2.11', '192.0.2.12'])
  })
  it('ports on which a node serves Ingresses are its own, save for who had them before', async () => {
    const { make, ips, client, advance, eventsOf } = await start()
    await make('before', 80)
    const annotations = { 'ingress.coxswain.io/ports': '{"http":80,"https":443}' }
    await client.resource(nodes).patch('a', undefined, 'merge', { metadata: { annotations } })
    await advance()
    await make('after', 443)
    expect(await ips('before')).toHaveLength(2)
    expect(await ips('after')).toEqual([])
    expect((await eventsOf('after'))[0]).toContain('port TCP/443 belongs to the nodes themselves')
    await client.resource(nodes).patch('a', undefined, 'merge', {
      metadata: { annotations: { 'ingress.coxswain.io/ports': null } },
    })
    await advance()
    expect(await ips('after')).toHaveLength(2)
  })
  it('another controller owns what it wrote, and another class', async () => {
    const { make, ips, client, advance } = await start()
    await make('other', 81, { loadBalancerClass: 'example.com/other' })
    expect(await ips('other')).toEqual([])
    await make('taken', 82)
    const status = { status: { loadBalancer: { ingress: [{ ip: '203.0.113.1' }] } } }
    await client
      .resource(services)
      .patch('taken', 'default', 'merge', status, { subresource: 'status', fieldManager: 'metallb' })
    await client.resource(services).patch('taken', 'default', 'merge', { spec: { ports: [{ port: 83 }] } })
    await advance()
    expect(await ips('taken')).toEqual(['203.0.113.1'])
  })
  it('externalTrafficPolicy Local: only nodes that have an endpoint', async () => {
    const { make, ips, client, advance } = await start()
    await make('local', 80, { externalTrafficPolicy: 'Local' })
    expect(await ips('local')).toEqual([])
    await client.resource(endpointSlices).create({
      metadata: { name: 'local-1', namespace: 'default', labels: { 'kubernetes.io/service-name': 'local' } },
      addressType: 'IPv4',
      endpoints: [{ addresses: ['10.1.2.3'], nodeName: 'b', conditions: { ready: true } }],
      ports: [{ port: 80 }],
    } as never)
    await advance()
    expect(await ips('local')).toEqual(['192.0.2.12'])
  })
})

describe('a load balancer pool', () => {
  it('gives every Service an address of its own, and the one it asks for', async () => {
    const { make, ips, eventsOf, client, advance } = await start({ loadBalancerPool: ['198.51.100.4-198.51.100.6'] })
    await make('a', 80)
    await make('b', 80, { loadBalancerIP: '198.51.100.6' })
    await make('c', 80)
    await make('d', 80)
    await make('e', 80, { loadBalancerIP: '198.51.100.9' })
    expect(await Promise.all(['a', 'b', 'c', 'd', 'e'].map(ips))).toEqual([
      ['198.51.100.4'],
      ['198.51.100.6'],
      ['198.51.100.5'],
      [],
      [],
    ])
    expect((await eventsOf('d'))[0]).toContain('no address of the load balancer pool is free')
    expect((await eventsOf('e'))[0]).toContain('198.51.100.9 is not in the load balancer pool')
    await client.resource(services).delete('a', 'default')
    await advance()
    expect(await ips('d')).toEqual(['198.51.100.4'])
  })
  it.each([
    ['10.0.0.0/30', '10.0.0.0', '10.0.0.3'],
    ['10.0.0.9', '10.0.0.9', '10.0.0.9'],
    ['10.0.0.9 - 10.0.0.12', '10.0.0.9', '10.0.0.12'],
    ['fd00::/127', 'fd00::', 'fd00::1'],
  ])('%s is a range', (text, first, last) => {
    const range = parseIpRange(text)
    expect(range).toBeDefined()
    if (range === undefined) return
    expect(freeInPool([range], range.family, () => true)).toBe(first)
    expect(freeInPool([range], range.family, (ip) => ip === last)).toBe(last)
  })
  it.each(['', 'x', '10.0.0.9-10.0.0.1', '10.0.0.1-fd00::1', '10.0.0.0/33'])('%s is none', (text) => {
    expect(parseIpRange(text)).toBeUndefined()
  })
})

describe('ServiceCIDRs', () => {
  it('become Ready, and stay while an address needs them', async () => {
    cluster = await testCluster([serviceCidrController])
    const { client, advance } = cluster
    const cidrs = client.resource(serviceCidrs)
    await cidrs.create({ metadata: { name: 'more' }, spec: { cidrs: ['10.99.0.0/24'] } })
    await advance()
    const made = await cidrs.get('more')
    expect(made.status.conditions).toMatchObject([{ type: 'Ready', status: 'True' }])
    expect(made.metadata.finalizers).toEqual(['networking.k8s.io/service-cidr-finalizer'])
    await client.resource(services).create({
      metadata: { name: 'x', namespace: 'default' },
      spec: { clusterIP: '10.99.0.7', ports: [{ port: 80 }] },
    } as never)
    expect((await client.resource(ipAddresses).get('10.99.0.7')).spec.parentRef?.name).toBe('x')
    await cidrs.delete('more')
    await advance(30_000)
    expect((await cidrs.get('more')).status.conditions).toMatchObject([
      { type: 'Ready', status: 'False', reason: 'Terminating' },
    ])
    await client.resource(services).delete('x', 'default')
    await advance(30_000)
    expect(await cidrs.find('more')).toBeUndefined()
  })
  it('one that overlaps the pods gives no addresses, and says why', async () => {
    const settings = { clusterCidrs: ['10.244.0.0/16', 'fd00:1::/56'] }
    cluster = await testCluster([serviceCidrController], { settings })
    const { client, advance, eventsOf } = cluster
    await client.resource(serviceCidrs).create({ metadata: { name: 'bad' }, spec: { cidrs: ['10.244.7.0/24'] } })
    await advance()
    const why =
      "10.244.7.0/24 overlaps 10.244.0.0/16, the range of the cluster's pods: no addresses are given from it, please choose another range"
    expect((await client.resource(serviceCidrs).get('bad')).status.conditions).toMatchObject([
      { type: 'Ready', status: 'False', reason: 'OverlapsPods', message: why },
    ])
    expect(await eventsOf('bad')).toEqual([`KubernetesServiceCIDROverlapsPods: ${why}`])
    const spec = { clusterIP: '10.244.7.9', ports: [{ port: 80 }] }
    const asked = client.resource(services).create({ metadata: { name: 'x', namespace: 'default' }, spec } as never)
    await expect(asked).rejects.toThrow('the provided network does not match the current range')
  })
})

describe('cluster DNS', () => {
  it('is found as kube-dns, and comes back when deleted', async () => {
    cluster = await testCluster([clusterDnsController], { settings: { clusterDnsAddresses: ['10.96.0.10'] } })
    const { client, advance } = cluster
    await advance()
    const dns = client.resource(services)
    expect((await dns.get('kube-dns', 'kube-system')).spec.clusterIP).toBe('10.96.0.10')
    await dns.delete('kube-dns', 'kube-system')
    await advance(60_000)
    expect((await dns.get('kube-dns', 'kube-system')).spec.ports).toMatchObject([
      { port: 53, protocol: 'UDP' },
      { port: 53, protocol: 'TCP' },
    ])
    const [slice] = (await client.resource(endpointSlices).list({ namespace: 'kube-system' })).items
    expect(slice?.endpoints?.[0]?.addresses).toEqual(['10.96.0.10'])
  })
})
