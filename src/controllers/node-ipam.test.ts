import { afterEach, describe, expect, it } from 'vitest'
import { nodes } from '../api/core/node.ts'
import { type ClusterRole, clusterRoles } from '../api/rbac/rbac.ts'
import { clusterRoleAggregationController, planRules } from './cluster-role-aggregation.ts'
import { nodeIpamController, SlicePool } from './node-ipam.ts'
import { type TestCluster, testCluster } from './testing/cluster.ts'

let cluster: TestCluster | undefined
afterEach(async () => {
  await cluster?.stop()
  cluster = undefined
})

describe('node ipam', () => {
  it('gives each node its own slices, and keeps those that nodes have', async () => {
    cluster = await testCluster([nodeIpamController], { settings: { clusterCidrs: ['10.244.0.0/22', 'fd00::/56'] } })
    const { client, advance, all } = cluster
    await client.resource(nodes).create({
      metadata: { name: 'old' },
      spec: { podCIDR: '10.244.0.0/24', podCIDRs: ['10.244.0.0/24', 'fd00::/64'] } as never,
    })
    await advance()
    for (const name of ['a', 'b']) await client.resource(nodes).create({ metadata: { name }, spec: {} })
    await advance()
    expect((await all(nodes)).map((n) => n.spec.podCIDRs)).toEqual([
      ['10.244.1.0/24', 'fd00:0:0:1::/64'],
      ['10.244.2.0/24', 'fd00:0:0:2::/64'],
      ['10.244.0.0/24', 'fd00::/64'],
    ])
  })
  it('says when none is left, and goes on when one is free', async () => {
    cluster = await testCluster([nodeIpamController], { settings: { clusterCidrs: ['10.0.0.0/24'] } })
    const { client, advance, eventsOf } = cluster
    await client.resource(nodes).create({ metadata: { name: 'a' }, spec: {} })
    await advance()
    await client.resource(nodes).create({ metadata: { name: 'b' }, spec: {} })
    await advance()
    expect(await eventsOf('b')).toContain('CIDRNotAvailable: Node b status is now: CIDRNotAvailable')
    await client.resource(nodes).delete('a')
    await advance(1_000_000)
    expect((await client.resource(nodes).get('b')).spec.podCIDR).toBe('10.0.0.0/24')
  })
  it('SlicePool', () => {
    const pool = new SlicePool('10.0.0.0/16', 18)
    expect(pool.take('10.0.64.0/18')).toBe(true)
    expect(pool.take('10.1.0.0/18')).toBe(false)
    expect([1, 2, 3, 4].map(() => pool.allocate())).toEqual([
      '10.0.0.0/18',
      '10.0.128.0/18',
      '10.0.192.0/18',
      undefined,
    ])
    pool.release('10.0.128.0/18')
    expect(pool.allocate()).toBe('10.0.128.0/18')
    expect(() => new SlicePool('10.0.0.0/24', 16)).toThrow(/does not fit/)
  })
})

describe('cluster role aggregation', () => {
  it('keeps the union of the selected roles', async () => {
    cluster = await testCluster([clusterRoleAggregationController])
    const { client, advance } = cluster
    const rule = (resource: string) => ({ apiGroups: ['x'], resources: [resource], verbs: ['get'] })
    await client.resource(clusterRoles).create({
      metadata: { name: 'all' },
      aggregationRule: { clusterRoleSelectors: [{ matchLabels: { to: 'all' } }] },
    } as never)
    await client
      .resource(clusterRoles)
      .create({ metadata: { name: 'b', labels: { to: 'all' } }, rules: [rule('b'), rule('a')] } as never)
    await client
      .resource(clusterRoles)
      .create({ metadata: { name: 'a', labels: { to: 'all' } }, rules: [rule('a')] } as never)
    await advance()
    const role = () => client.resource(clusterRoles).get('all')
    expect((await role()).rules).toEqual([rule('a'), rule('b')])
    await client.resource(clusterRoles).delete('b')
    await advance()
    expect((await role()).rules).toEqual([rule('a')])
  })
  it('planRules leaves the role itself out', () => {
    const self = {
      metadata: { name: 'x', labels: { a: 'b' } },
      aggregationRule: { clusterRoleSelectors: [{}] },
      rules: [{ verbs: ['*'] }],
    } as unknown as ClusterRole
    expect(planRules(self, [self])).toEqual([])
  })
})
