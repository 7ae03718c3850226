import { expect, it } from 'vitest'
import { clusterRoles } from '../api/rbac/rbac.ts'
import { clusterRoleAggregationController } from './cluster-role-aggregation.ts'
import { testCluster } from './testing/cluster.ts'

const rule = (resource: string) => ({ apiGroups: ['example.com'], resources: [resource], verbs: ['get'] })

it('a role that aggregates has the rules of all that it selects, as they come, change and go', async () => {
  const test = await testCluster([clusterRoleAggregationController])
  const roles = test.client.resource(clusterRoles)
  const role = (name: string, resource: string) =>
    roles.create({ metadata: { name, labels: { into: 'all' } }, rules: [rule(resource)] } as never)
  const resources = async () => {
    await test.advance()
    return ((await roles.get('all')).rules ?? []).flatMap((one) => one.resources ?? [])
  }
  await role('b', 'bees')
  await roles.create({
    metadata: { name: 'all' },
    aggregationRule: { clusterRoleSelectors: [{ matchLabels: { into: 'all' } }] },
    rules: [rule('written by hand')],
  } as never)
  expect(await resources()).toEqual(['bees'])
  await role('a', 'ants')
  await role('a-twin', 'ants')
  expect(await resources()).toEqual(['ants', 'bees'])
  await roles.patch('b', undefined, 'merge', { rules: [rule('bats')] })
  expect(await resources()).toEqual(['ants', 'bats'])
  await roles.patch('a', undefined, 'merge', { metadata: { labels: { into: null } } })
  await roles.delete('a-twin')
  expect(await resources()).toEqual(['bats'])
  // what users extend by a label: the built-in roles themselves
  await roles.create({
    metadata: { name: 'more', labels: { 'rbac.authorization.k8s.io/aggregate-to-view': 'true' } },
    rules: [rule('views')],
  } as never)
  await test.advance()
  expect((await roles.get('view')).rules).toContainEqual(rule('views'))
  await test.stop()
})
