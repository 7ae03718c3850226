import { afterEach, expect, it } from 'vitest'
import { services } from '../api/core/service.ts'
import { ipAddresses } from '../api/networking/service-cidr.ts'
import { clusterIpRepair } from './cluster-ip-repair.ts'
import { type TestCluster, testCluster } from './testing/cluster.ts'

let cluster: TestCluster | undefined
afterEach(() => cluster?.stop())
const ip = '10.96.7.7'
const parentOf = (name: string) => ({ group: '', resource: 'services', namespace: 'default', name })

async function withService() {
  cluster = await testCluster([clusterIpRepair])
  const { client, advance } = cluster
  const spec = { clusterIP: ip, ports: [{ port: 80 }] }
  await client.resource(services).create({ metadata: { name: 'web', namespace: 'default' }, spec } as never)
  await advance(10_000)
  return { ...cluster, addresses: client.resource(ipAddresses) }
}

it('an address that was deleted by hand is there again, and nothing else is touched', async () => {
  const { addresses, advance, eventsOf, client } = await withService()
  const [before] = (await addresses.list()).items.filter(({ metadata }) => metadata.name === ip)
  expect(await eventsOf('web')).toEqual([])
  await addresses.delete(ip)
  await advance(10_000)
  expect(await eventsOf('web')).toEqual([`ClusterIPNotAllocated: Cluster IP [IPv4]:${ip} is not allocated; repairing`])
  const again = await addresses.get(ip)
  expect(again.metadata.labels).toEqual(before?.metadata.labels)
  expect(again.spec).toEqual(before?.spec)
  await client.resource(services).delete('web', 'default')
  await advance(10_000)
  expect(await addresses.find(ip)).toBeUndefined()
})
it('one whose Service is not there is given back, unless somebody else gave it', async () => {
  const { addresses, advance, eventsOf } = await withService()
  const create = (name: string, manager: string) =>
    addresses.create({
      metadata: { name, labels: { 'ipaddress.kubernetes.io/managed-by': manager } },
      spec: { parentRef: parentOf('gone') },
    })
  await create('10.96.7.8', 'ipallocator.k8s.io')
  await create('10.96.7.9', 'somebody')
  await advance(10_000)
  expect(await addresses.find('10.96.7.8')).toBeUndefined()
  expect(await addresses.find('10.96.7.9')).toBeDefined()
  expect(await eventsOf('10.96.7.8')).toEqual([
    'IPAddressNotAllocated: IPAddress: 10.96.7.8 for Service default/gone appears to have leaked: cleaning up',
  ])
})
it('one that names another Service is set right', async () => {
  const { addresses, advance } = await withService()
  const labels = { 'ipaddress.kubernetes.io/managed-by': 'ipallocator.k8s.io' }
  await addresses.delete(ip)
  await addresses.create({ metadata: { name: ip, labels }, spec: { parentRef: parentOf('other') } })
  await advance(10_000)
  expect((await addresses.get(ip)).spec.parentRef?.name).toBe('web')
})
