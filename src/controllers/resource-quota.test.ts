import { afterEach, describe, expect, it } from 'vitest'
import { configMaps } from '../api/core/config-map.ts'
import { endpoints } from '../api/core/endpoints.ts'
import { pods } from '../api/core/pod.ts'
import { resourceQuotas } from '../api/core/resource-quota.ts'
import { services } from '../api/core/service.ts'
import { endpointSlices } from '../api/discovery/endpoint-slice.ts'
import { endpointSliceMirroringController } from './endpoint-slice-mirroring.ts'
import { countedResource, resourceQuotaController } from './resource-quota.ts'
import { type TestCluster, testCluster } from './testing/cluster.ts'

let cluster: TestCluster | undefined
afterEach(async () => {
  await cluster?.stop()
  cluster = undefined
})

describe('resource quota', () => {
  it('counts what is there, and gives back what goes', async () => {
    cluster = await testCluster([resourceQuotaController], { nodes: 1 })
    const { client, advance } = cluster
    const pod = (name: string, cpu: string) => ({
      metadata: { name, namespace: 'default' },
      spec: { containers: [{ name: 'c', image: 'i', resources: { requests: { cpu }, limits: { cpu } } }] } as never,
    })
    await client.resource(pods).create(pod('a', '500m'))
    await client.resource(configMaps).create({ metadata: { name: 'm', namespace: 'default' } })
    await client.resource(resourceQuotas).create({
      metadata: { name: 'q', namespace: 'default' },
      spec: { hard: { pods: '5', 'requests.cpu': '2', 'count/configmaps': '10', 'count/deployments.apps': '3' } },
    } as never)
    await advance()
    const status = async () => (await client.resource(resourceQuotas).get('q', 'default')).status
    expect(await status()).toEqual({
      hard: { pods: '5', 'requests.cpu': '2', 'count/configmaps': '10', 'count/deployments.apps': '3' },
      used: { pods: '1', 'requests.cpu': '500m', 'count/configmaps': '1', 'count/deployments.apps': '0' },
    })
    await client.resource(pods).create(pod('b', '1'))
    await advance()
    expect((await status()).used).toMatchObject({ pods: '2', 'requests.cpu': '1500m' })
    const a = await client.resource(pods).get('a', 'default')
    await client.resource(pods).updateStatus({ ...a, status: { ...a.status, phase: 'Succeeded' } })
    await client.resource(configMaps).delete('m', 'default')
    await advance()
    expect((await status()).used).toMatchObject({ pods: '1', 'requests.cpu': '1', 'count/configmaps': '0' })
    await client.resource(pods).delete('b', 'default')
    await client.resource(resourceQuotas).patch('q', 'default', 'merge', { spec: { hard: { 'requests.cpu': null } } })
    await advance()
    expect((await status()).used).toEqual({ pods: '0', 'count/configmaps': '0', 'count/deployments.apps': '0' })
  })
  it.each([
    ['pods', 'pods'],
    ['requests.cpu', 'pods'],
    ['limits.memory', 'pods'],
    ['requests.nvidia.com/gpu', 'pods'],
    ['hugepages-2Mi', 'pods'],
    ['requests.storage', 'persistentvolumeclaims'],
    ['gold.storageclass.storage.k8s.io/requests.storage', 'persistentvolumeclaims'],
    ['services.nodeports', 'services'],
    ['count/jobs.batch', 'jobs.batch'],
    ['secrets', 'secrets'],
    ['nonsense', undefined],
  ])('%s counts %s', (name, resource) => {
    expect(countedResource(name)).toBe(resource)
  })
})

describe('endpoint slice mirroring', () => {
  it('mirrors the endpoints of services without a selector, and nothing else', async () => {
    cluster = await testCluster([endpointSliceMirroringController])
    const { client, advance, all } = cluster
    const slices = async () =>
      (await all(endpointSlices, 'default')).filter((s) => s.metadata.labels?.['kubernetes.io/service-name'] === 'db')
    await client
      .resource(services)
      .create({ metadata: { name: 'db', namespace: 'default' }, spec: { ports: [{ port: 5432 }] } } as never)
    const subsets = [
      { addresses: [{ ip: '192.0.2.7' }], notReadyAddresses: [{ ip: '192.0.2.8' }], ports: [{ port: 5432 }] },
    ]
    await client
      .resource(endpoints)
      .create({ metadata: { name: 'db', namespace: 'default', labels: { a: 'b' } }, subsets } as never)
    await advance()
    const [slice] = await slices()
    expect(slice?.metadata.labels).toMatchObject({
      a: 'b',
      'endpointslice.kubernetes.io/managed-by': 'endpointslicemirroring-controller.k8s.io',
    })
    expect(slice?.metadata.ownerReferences).toMatchObject([{ kind: 'Endpoints', name: 'db' }])
    expect(slice?.endpoints?.map((e) => [e.addresses[0], e.conditions.ready])).toEqual([
      ['192.0.2.7', true],
      ['192.0.2.8', false],
    ])
    await client
      .resource(endpoints)
      .patch('db', 'default', 'merge', { subsets: [{ addresses: [{ ip: '192.0.2.9' }], ports: [{ port: 5432 }] }] })
    await advance()
    expect((await slices()).map((s) => s.endpoints?.[0]?.addresses)).toEqual([['192.0.2.9']])
    await client.resource(services).patch('db', 'default', 'merge', { spec: { selector: { app: 'db' } } })
    await advance()
    expect(await slices()).toEqual([])
  })
})
