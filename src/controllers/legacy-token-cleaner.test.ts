import { afterEach, describe, expect, it, test } from 'vitest'
import { dayOf, invalidSinceLabel, lastUsedLabel } from '../api/core/legacy-token.ts'
import { type Secret, secrets } from '../api/core/secret.ts'
import { serviceAccounts } from '../api/core/service-account.ts'
import { type CleanUp, legacyTokenCleaner, planCleanUp } from './legacy-token-cleaner.ts'
import { type TestCluster, testCluster } from './testing/cluster.ts'

const dayMs = 86_400_000
const nowMs = Date.UTC(2026, 5, 1)
const ago = (days: number) => dayOf(nowMs - days * dayMs)
test.each<[string, Record<string, string>, number, CleanUp]>([
  ['used lately', { [lastUsedLabel]: ago(10) }, 900, 'keep'],
  ['unused for a year', { [lastUsedLabel]: ago(366) }, 900, 'invalidate'],
  ['uses are not dated for long enough', {}, 100, 'keep'],
  ['never used since they are dated', {}, 400, 'invalidate'],
  ['invalid for a month', { [invalidSinceLabel]: ago(30) }, 900, 'keep'],
  ['invalid for a year', { [invalidSinceLabel]: ago(366) }, 900, 'delete'],
  ['used after it was allowed again', { [invalidSinceLabel]: ago(366), [lastUsedLabel]: ago(5) }, 900, 'revive'],
])('%s', (_name, labels, trackedDays, plan) => {
  const metadata = { name: 't', labels, creationTimestamp: '2020-01-01T00:00:00Z' }
  expect(planCleanUp({ metadata } as unknown as Secret, nowMs - trackedDays * dayMs, nowMs)).toBe(plan)
})

describe('legacy token cleaner', () => {
  let cluster: TestCluster
  afterEach(() => cluster.stop())
  it('deletes and revives what the account names as its own, and leaves a user’s Secret alone', async () => {
    cluster = await testCluster([legacyTokenCleaner])
    const { client } = cluster
    const account = { name: 'robot', namespace: 'default' }
    const own = [{ name: 'dead' }, { name: 'used' }]
    await client.resource(serviceAccounts).create({ metadata: account, secrets: own } as never)
    const annotations = { 'kubernetes.io/service-account.name': 'robot' }
    const type = 'kubernetes.io/service-account-token'
    const invalid = { [invalidSinceLabel]: '2024-01-01' }
    const secret = (name: string, labels: object) =>
      client.resource(secrets).create({ metadata: { name, namespace: 'default', annotations, labels }, type } as never)
    await secret('dead', invalid)
    await secret('used', { ...invalid, [lastUsedLabel]: '2025-12-31' })
    await secret('manual', invalid)
    await cluster.advance(1000)
    const found = (name: string) => client.resource(secrets).find(name, 'default')
    expect(await found('dead')).toBeUndefined()
    expect((await found('used'))?.metadata.labels).toEqual({ [lastUsedLabel]: '2025-12-31' })
    expect((await found('manual'))?.metadata.labels).toEqual(invalid)
  })
})
