import { afterEach, describe, expect, it } from 'vitest'
import { customResourceDefinitions } from '../api/apiextensions/custom-resource-definition.ts'
import { configMaps } from '../api/core/config-map.ts'
import { nodes } from '../api/core/node.ts'
import { secrets } from '../api/core/secret.ts'
import { apiVersionOf, type Kind } from '../api/machinery/kind.ts'
import type { KubeObject, OwnerReference } from '../api/machinery/meta.ts'
import { garbageCollector, type OwnerState, planGarbage } from './garbage-collector.ts'
import { type TestCluster, testCluster } from './testing/cluster.ts'

let cluster: TestCluster
afterEach(() => cluster.stop())
const start = async () => {
  cluster = await testCluster([garbageCollector])
}
const ref = <T extends KubeObject>(kind: Kind<T>, owner: T, more: Partial<OwnerReference> = {}): OwnerReference => ({
  apiVersion: apiVersionOf(kind),
  kind: kind.kind,
  name: owner.metadata.name,
  uid: owner.metadata.uid,
  ...more,
})
const map = (name: string, ...ownerReferences: OwnerReference[]) =>
  cluster.client.resource(configMaps).create({ metadata: { name, namespace: 'default', ownerReferences } })
const names = async () => (await cluster.all(configMaps, 'default')).map((m) => m.metadata.name)
const remove = (name: string, propagationPolicy: 'Foreground' | 'Background' | 'Orphan') =>
  cluster.client.resource(configMaps).delete(name, 'default', { propagationPolicy })

describe('garbage collector', () => {
  it('deletes chains, across kinds', async () => {
    await start()
    const a = await map('a')
    const secret = await cluster.client.resource(secrets).create({
      metadata: { name: 's', namespace: 'default', ownerReferences: [ref(configMaps, a)] },
    } as never)
    await map('b', ref(secrets, secret))
    await map('free')
    await cluster.advance()
    await remove('a', 'Background')
    await cluster.advance()
    expect(await names()).toEqual(['free'])
    expect(await cluster.client.resource(secrets).find('s', 'default')).toBeUndefined()
  })
  it('keeps what still has an owner, without the reference to the one that went', async () => {
    await start()
    const [a, b] = [await map('a'), await map('b')]
    await map('c', ref(configMaps, a), ref(configMaps, b))
    await cluster.advance()
    await remove('a', 'Background')
    await cluster.advance()
    const c = await cluster.client.resource(configMaps).get('c', 'default')
    expect(c.metadata.ownerReferences?.map((r) => r.name)).toEqual(['b'])
  })
  it('deletes what is born an orphan of an owner that never was', async () => {
    await start()
    await map('a', { apiVersion: 'v1', kind: 'ConfigMap', name: 'ghost', uid: 'no-such-uid' })
    await cluster.advance()
    expect(await names()).toEqual([])
  })
  it('an owner of the same name but another UID is no owner', async () => {
    await start()
    await map('a')
    await map('b', { apiVersion: 'v1', kind: 'ConfigMap', name: 'a', uid: 'former-uid' })
    await cluster.advance()
    expect(await names()).toEqual(['a'])
  })
  it('in the foreground an owner waits for those that block it, and for no others', async () => {
    await start()
    const a = await map('a')
    const held = await cluster.client.resource(configMaps).create({
      metadata: {
        name: 'held',
        namespace: 'default',
        finalizers: ['x.y/z'],
        ownerReferences: [ref(configMaps, a, { blockOwnerDeletion: true })],
      },
    })
    await map('quick', ref(configMaps, a))
    await cluster.advance()
    await remove('a', 'Foreground')
    await cluster.advance()
    expect(await names()).toEqual(['a', 'held'])
    await cluster.client
      .resource(configMaps)
      .patch(held.metadata.name, 'default', 'merge', { metadata: { finalizers: null } })
    await cluster.advance()
    expect(await names()).toEqual([])
  })
  it('a circle of owners in the foreground comes to an end', async () => {
    await start()
    const a = await map('a')
    const b = await map('b', ref(configMaps, a, { blockOwnerDeletion: true }))
    await cluster.client.resource(configMaps).patch('a', 'default', 'merge', {
      metadata: { ownerReferences: [ref(configMaps, b, { blockOwnerDeletion: true })] },
    })
    await cluster.advance()
    await remove('a', 'Foreground')
    await cluster.advance(5000)
    expect(await names()).toEqual([])
  })
  it('orphans keep living, without the reference', async () => {
    await start()
    const a = await map('a')
    await map('b', ref(configMaps, a))
    await cluster.advance()
    await remove('a', 'Orphan')
    await cluster.advance()
    expect(await names()).toEqual(['b'])
    expect((await cluster.client.resource(configMaps).get('b', 'default')).metadata.ownerReferences ?? []).toEqual([])
  })
  it('a cluster-wide owner may own what is in a namespace', async () => {
    await start()
    const node = await cluster.client.resource(nodes).create({ metadata: { name: 'n' }, spec: {} })
    await map('a', ref(nodes, node))
    await cluster.advance()
    expect(await names()).toEqual(['a'])
    await cluster.client.resource(nodes).delete('n')
    await cluster.advance()
    expect(await names()).toEqual([])
  })
  it('follows custom resources as soon as they are defined', async () => {
    await start()
    const schema = { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } }
    await cluster.client.resource(customResourceDefinitions).create({
      metadata: { name: 'boats.example.com' },
      spec: {
        group: 'example.com',
        scope: 'Namespaced',
        names: { plural: 'boats', singular: 'boat', kind: 'Boat', listKind: 'BoatList' },
        versions: [{ name: 'v1', served: true, storage: true, schema }],
      },
    } as never)
    await cluster.advance(5000)
    const boats = { ...configMaps, group: 'example.com', version: 'v1', kind: 'Boat', plural: 'boats' } as Kind
    const boat = await cluster.client.resource(boats).create({ metadata: { name: 'b', namespace: 'default' } })
    await map('a', ref(boats, boat))
    await cluster.advance()
    expect(await names()).toEqual(['a'])
    await cluster.client.resource(boats).delete('b', 'default', { propagationPolicy: 'Background' })
    await cluster.advance()
    expect(await names()).toEqual([])
  })
})

describe('planGarbage', () => {
  const owned = (count: number, finalizers: string[] = []) =>
    ({
      metadata: { finalizers, ownerReferences: Array.from({ length: count }, (_, i) => ({ uid: `u${i}` })) },
    }) as unknown as KubeObject
  const cases: [string, KubeObject, OwnerState[], boolean, boolean, object][] = [
    ['no owners', owned(0), [], false, false, { type: 'keep' }],
    ['a living owner', owned(1), ['solid'], false, false, { type: 'keep' }],
    ['one of two gone', owned(2), ['absent', 'solid'], false, false, { type: 'drop-references', uids: ['u0'] }],
    ['one of two waiting', owned(2), ['solid', 'waiting'], true, false, { type: 'drop-references', uids: ['u1'] }],
    ['all gone', owned(1), ['absent'], true, false, { type: 'delete', policy: 'Background', unblock: false }],
    [
      'waiting, with dependents',
      owned(1),
      ['waiting'],
      true,
      false,
      { type: 'delete', policy: 'Foreground', unblock: false },
    ],
    ['waiting in a circle', owned(1), ['waiting'], true, true, { type: 'delete', policy: 'Foreground', unblock: true }],
    [
      'waiting, without dependents',
      owned(1),
      ['waiting'],
      false,
      false,
      { type: 'delete', policy: 'Background', unblock: false },
    ],
    [
      'it asks for orphaning',
      owned(1, ['orphan']),
      ['absent'],
      false,
      false,
      { type: 'delete', policy: 'Orphan', unblock: false },
    ],
  ]
  it.each(cases)('%s', async (_, object, states, hasDependents, dependentsWait, plan) => {
    await start()
    expect(planGarbage(object, states, hasDependents, dependentsWait)).toEqual(plan)
  })
})
