import { afterEach, describe, expect, it } from 'vitest'
import { configMaps } from '../api/core/config-map.ts'
import { namespaces } from '../api/core/namespace.ts'
import { pods } from '../api/core/pod.ts'
import { serviceAccounts } from '../api/core/service-account.ts'
import { garbageCollector } from './garbage-collector.ts'
import { namespaceController, planConditions } from './namespace.ts'
import { rootCaPublisher } from './root-ca-publisher.ts'
import { fakeIdentity, type TestCluster, testCluster } from './testing/cluster.ts'

let cluster: TestCluster
afterEach(() => cluster.stop())
const start = async (runs?: () => boolean) => {
  cluster = await testCluster([namespaceController, rootCaPublisher, garbageCollector], {
    nodes: 1,
    settings: { ca: fakeIdentity.ca },
    ...(runs ? { runs } : {}),
  })
  return cluster
}
const pod = (name: string, more: object = {}) => ({
  metadata: { name, namespace: 'team', ...more },
  spec: { containers: [{ name: 'c', image: 'i' }] } as never,
})

describe('namespace', () => {
  it('starts with a default account and the root CA, which come back when they are deleted', async () => {
    const { client, advance } = await start()
    await client.resource(namespaces).create({ metadata: { name: 'team' }, spec: {} })
    await advance()
    const check = async () => {
      expect(await client.resource(serviceAccounts).find('default', 'team')).toBeDefined()
      const map = await client.resource(configMaps).find('kube-root-ca.crt', 'team')
      expect(map?.data).toEqual({ 'ca.crt': fakeIdentity.ca.certificatePem })
    }
    await check()
    await client.resource(serviceAccounts).delete('default', 'team')
    await client.resource(configMaps).delete('kube-root-ca.crt', 'team')
    await advance()
    await check()
    await client.resource(configMaps).patch('kube-root-ca.crt', 'team', 'merge', { data: { 'ca.crt': 'forged' } })
    await advance()
    await check()
  })
  it('takes its contents with it', async () => {
    const { client, advance, all } = await start()
    await client.resource(namespaces).create({ metadata: { name: 'team' }, spec: {} })
    await advance()
    await client.resource(pods).create(pod('a'))
    await client.resource(configMaps).create({ metadata: { name: 'c', namespace: 'team' } })
    await client.resource(configMaps).create({ metadata: { name: 'c', namespace: 'default' } })
    await advance()
    await client.resource(namespaces).delete('team')
    await advance(30_000)
    expect(await client.resource(namespaces).find('team')).toBeUndefined()
    expect(await all(pods, 'team')).toEqual([])
    expect(await all(configMaps, 'team')).toEqual([])
    expect((await all(configMaps, 'default')).map((c) => c.metadata.name)).toContain('c')
  })
  it('deletes pods first, and says what holds it up', async () => {
    const { client, advance, all } = await start()
    await client.resource(namespaces).create({ metadata: { name: 'team' }, spec: {} })
    await advance()
    await client.resource(pods).create(pod('held', { finalizers: ['example.com/hold'] }))
    await client.resource(configMaps).create({ metadata: { name: 'c', namespace: 'team' } })
    await advance()
    await client.resource(namespaces).delete('team')
    await advance(1000)
    const space = await client.resource(namespaces).get('team')
    const conditions = Object.fromEntries((space.status.conditions ?? []).map((c) => [c.type, c]))
    expect(space.status.phase).toBe('Terminating')
    expect(conditions['NamespaceContentRemaining']).toMatchObject({
      status: 'True',
      reason: 'SomeResourcesRemain',
      message: 'Some resources are remaining: pods. has 1 resource instances',
    })
    expect(conditions['NamespaceFinalizersRemaining']).toMatchObject({
      status: 'True',
      message: 'Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances',
    })
    expect(conditions['NamespaceDeletionContentFailure']).toMatchObject({ status: 'False', reason: 'ContentDeleted' })
    expect((await all(configMaps, 'team')).map((c) => c.metadata.name)).toContain('c')
    await client.resource(pods).patch('held', 'team', 'merge', { metadata: { finalizers: null } })
    await advance(1000)
    expect(await client.resource(namespaces).find('team')).toBeUndefined()
  })
})

describe('planConditions', () => {
  it('changes nothing when nothing changed', async () => {
    await start()
    const state = { discoveryFailures: new Map(), deletionErrors: [], remaining: [] }
    const first = planConditions(undefined, state, 0)
    expect(first.map((c) => c.status)).toEqual(['False', 'False', 'False', 'False', 'False'])
    expect(planConditions(first, state, 5000)).toBe(first)
    const failed = planConditions(first, { ...state, discoveryFailures: new Map([['x/v1', 'down']]) }, 5000)
    expect(failed[0]).toMatchObject({
      status: 'True',
      reason: 'DiscoveryFailed',
      lastTransitionTime: '1970-01-01T00:00:05Z',
    })
    expect(failed.slice(1)).toEqual(first.slice(1))
  })
})
