import { afterEach, describe, expect, it } from 'vitest'
import { controllerRevisions } from '../api/apps/controller-revision.ts'
import { type StatefulSet, statefulSets } from '../api/apps/stateful-set.ts'
import { persistentVolumeClaims } from '../api/core/persistent-volume-claim.ts'
import { type Pod, pods } from '../api/core/pod.ts'
import { garbageCollector } from './garbage-collector.ts'
import { statefulSetController } from './stateful-set.ts'
import { type TestCluster, testCluster } from './testing/cluster.ts'

let cluster: TestCluster
afterEach(() => cluster.stop())
const start = async (runs?: (pod: Pod) => boolean) => {
  cluster = await testCluster([statefulSetController, garbageCollector], { nodes: 2, ...(runs ? { runs } : {}) })
  return cluster
}
const template = (image: string) => ({
  metadata: { labels: { app: 'db' } },
  spec: { containers: [{ name: 'db', image }] },
})
const create = (spec: Partial<StatefulSet['spec']> = {}) =>
  cluster.client.resource(statefulSets).create({
    metadata: { name: 'db', namespace: 'default' },
    spec: {
      replicas: 3,
      serviceName: 'db',
      selector: { matchLabels: { app: 'db' } },
      template: template('a:1'),
      ...spec,
    } as never,
  })
const patch = (spec: object) => cluster.client.resource(statefulSets).patch('db', 'default', 'strategic', { spec })
const setImage = (image: string) => patch({ template: { spec: { containers: [{ name: 'db', image }] } } })
const current = () => cluster.client.resource(statefulSets).get('db', 'default')
const names = async () => (await cluster.all(pods)).map((pod) => pod.metadata.name)
const images = async () =>
  Object.fromEntries((await cluster.all(pods)).map((p) => [p.metadata.name, p.spec.containers[0]?.image]))
/** Names in the order in which pods came (+) and went (-). */
function journal(): string[] {
  const seen: string[] = []
  cluster.informers.informer(pods).handle({
    add: (pod, initial) => void (initial || seen.push(`+${pod.metadata.name}`)),
    delete: (pod) => void seen.push(`-${pod.metadata.name}`),
  })
  return seen
}
const claimTemplate = {
  metadata: { name: 'data' },
  spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
}

describe('stateful set', () => {
  it('makes pods one after another with lasting identities', async () => {
    await start()
    const order = journal()
    await create()
    await cluster.advance()
    expect(order).toEqual(['+db-0', '+db-1', '+db-2'])
    const set = await current()
    const [zero] = await cluster.all(pods)
    expect(zero?.spec).toMatchObject({ hostname: 'db-0', subdomain: 'db' })
    expect(zero?.metadata.labels).toEqual({
      app: 'db',
      'statefulset.kubernetes.io/pod-name': 'db-0',
      'apps.kubernetes.io/pod-index': '0',
      'controller-revision-hash': set.status.updateRevision,
    })
    expect(set.status).toMatchObject({
      replicas: 3,
      readyReplicas: 3,
      availableReplicas: 3,
      currentReplicas: 3,
      updatedReplicas: 3,
    })
    expect(set.status.currentRevision).toBe(set.status.updateRevision)
    expect((await cluster.eventsOf('db'))[0]).toBe('SuccessfulCreate: create Pod db-0 in StatefulSet db successful')
  })
  it('waits for each pod to be ready; parallel does not', async () => {
    await start((pod) => pod.metadata.name !== 'db-1')
    await create()
    await cluster.advance()
    expect(await names()).toEqual(['db-0', 'db-1'])
    await cluster.client.resource(statefulSets).delete('db', 'default')
    await cluster.advance()
    expect(await names()).toEqual([])
    await create({ podManagementPolicy: 'Parallel' })
    await cluster.advance()
    expect(await names()).toEqual(['db-0', 'db-1', 'db-2'])
  })
  it('scales down from the highest ordinal', async () => {
    await start()
    await create()
    await cluster.advance()
    const order = journal()
    await patch({ replicas: 1 })
    await cluster.advance()
    expect(order).toEqual(['-db-2', '-db-1'])
  })
  it('updates from the highest ordinal, down to the partition', async () => {
    await start()
    await create()
    await cluster.advance()
    const order = journal()
    await patch({ updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 2 } } })
    await setImage('a:2')
    await cluster.advance()
    expect(await images()).toEqual({ 'db-0': 'a:1', 'db-1': 'a:1', 'db-2': 'a:2' })
    expect((await current()).status).toMatchObject({ currentReplicas: 2, updatedReplicas: 1 })
    await cluster.client.resource(pods).delete('db-0', 'default')
    await cluster.advance()
    expect((await images())['db-0']).toBe('a:1')
    await patch({ updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 0 } } })
    await cluster.advance()
    expect(await images()).toEqual({ 'db-0': 'a:2', 'db-1': 'a:2', 'db-2': 'a:2' })
    expect(order.filter((o) => o.startsWith('-'))).toEqual(['-db-2', '-db-0', '-db-1', '-db-0'])
    const { status } = await current()
    expect(status).toMatchObject({ currentReplicas: 3, updatedReplicas: 3 })
    expect(status.currentRevision).toBe(status.updateRevision)
    expect(await cluster.all(controllerRevisions)).toHaveLength(2)
  })
  it.each(['OrderedReady', 'Parallel'] as const)(
    '%s: as many pods are renewed at once as may be unavailable, from the highest ordinal',
    async (podManagementPolicy) => {
      await start((pod) => pod.spec.containers[0]?.image !== 'bad')
      await create({ replicas: 5, podManagementPolicy })
      await cluster.advance()
      await patch({ updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 2 } } })
      const order = journal()
      await setImage('bad')
      await cluster.advance(60_000)
      // Neither of the two becomes ready: no third one goes.
      expect(order.filter((o) => o.startsWith('-'))).toEqual(['-db-4', '-db-3'])
      expect(Object.values(await images()).filter((image) => image === 'a:1')).toHaveLength(3)
      await cluster.client.resource(pods).deleteCollection({ namespace: 'default' })
      await setImage('a:3')
      await cluster.advance(60_000)
      expect((await current()).status).toMatchObject({ updatedReplicas: 5, readyReplicas: 5 })
    },
  )
  it('rolls back to a revision it had, which becomes the newest again', async () => {
    await start()
    await create()
    await cluster.advance()
    const first = (await current()).status.updateRevision
    await setImage('a:2')
    await cluster.advance()
    await setImage('a:1')
    await cluster.advance()
    expect((await current()).status.updateRevision).toBe(first)
    const revisions = await cluster.all(controllerRevisions)
    expect(new Set(revisions.map((r) => r.revision))).toEqual(new Set([2, 3]))
    expect(await images()).toEqual({ 'db-0': 'a:1', 'db-1': 'a:1', 'db-2': 'a:1' })
  })
  it('OnDelete updates only what the user deletes', async () => {
    await start()
    await create({ updateStrategy: { type: 'OnDelete' } })
    await cluster.advance()
    await setImage('a:2')
    await cluster.advance()
    expect(Object.values(await images())).toEqual(['a:1', 'a:1', 'a:1'])
    await cluster.client.resource(pods).delete('db-1', 'default')
    await cluster.advance()
    expect(Object.values(await images())).toEqual(['a:1', 'a:2', 'a:1'])
  })
  it('gives each ordinal a claim that outlives its pod', async () => {
    await start()
    const mounting = (name: string) => {
      const [container] = template('a:1').spec.containers
      const containers = [{ ...container, volumeMounts: [{ name, mountPath: '/data' }] }]
      return { ...template('a:1'), spec: { containers } } as never
    }
    await expect(create({ template: mounting('dat'), volumeClaimTemplates: [claimTemplate] as never })).rejects.toThrow(
      'spec.template.spec.containers[0].volumeMounts[0].name: Not found: "dat"',
    )
    await create({ template: mounting('data'), volumeClaimTemplates: [claimTemplate] as never })
    await cluster.advance()
    const claims = async () =>
      Object.fromEntries((await cluster.all(persistentVolumeClaims)).map((c) => [c.metadata.name, c.metadata.uid]))
    const before = await claims()
    expect(Object.keys(before)).toEqual(['data-db-0', 'data-db-1', 'data-db-2'])
    const [zero] = await cluster.all(pods)
    expect(zero?.spec.volumes?.find((v) => v.name === 'data')?.persistentVolumeClaim?.claimName).toBe('data-db-0')
    await patch({ replicas: 1 })
    await cluster.advance()
    await patch({ replicas: 3 })
    await cluster.advance()
    expect(await claims()).toEqual(before)
    expect(await names()).toEqual(['db-0', 'db-1', 'db-2'])
  })
  it('whenScaled Delete removes the claim of a pod that is scaled away', async () => {
    await start()
    await create({
      volumeClaimTemplates: [claimTemplate] as never,
      persistentVolumeClaimRetentionPolicy: { whenScaled: 'Delete', whenDeleted: 'Retain' },
    })
    await cluster.advance()
    await patch({ replicas: 1 })
    await cluster.advance(5000)
    expect(
      (await cluster.all(persistentVolumeClaims))
        .filter((c) => c.metadata.deletionTimestamp === undefined)
        .map((c) => c.metadata.name),
    ).toEqual(['data-db-0'])
  })
  it('whenDeleted Delete takes the claims along when the set goes, and only then', async () => {
    await start()
    await create({
      volumeClaimTemplates: [claimTemplate] as never,
      persistentVolumeClaimRetentionPolicy: { whenScaled: 'Retain', whenDeleted: 'Delete' },
    })
    await cluster.advance()
    await patch({ replicas: 1 })
    await cluster.advance(5000)
    const alive = async () =>
      (await cluster.all(persistentVolumeClaims)).filter(({ metadata }) => metadata.deletionTimestamp === undefined)
    expect((await alive()).map(({ metadata }) => metadata.name)).toEqual(['data-db-0', 'data-db-1', 'data-db-2'])
    await cluster.client.resource(statefulSets).delete('db', 'default')
    await cluster.advance(5000)
    expect(await alive()).toEqual([])
  })
  it('minReadySeconds: the next pod waits until the one before it is available', async () => {
    await start()
    await create({ minReadySeconds: 30 })
    await cluster.advance(29_000)
    expect(await names()).toEqual(['db-0'])
    expect((await current()).status).toMatchObject({ readyReplicas: 1, availableReplicas: 0 })
    await cluster.advance(3000)
    expect(await names()).toEqual(['db-0', 'db-1'])
    await cluster.advance(70_000)
    expect((await current()).status).toMatchObject({ readyReplicas: 3, availableReplicas: 3 })
  })
  it('replaces a failed pod under the same name', async () => {
    await start()
    await create()
    await cluster.advance()
    const one = await cluster.client.resource(pods).get('db-1', 'default')
    await cluster.client.resource(pods).updateStatus({ ...one, status: { ...one.status, phase: 'Failed' } })
    await cluster.advance()
    const replaced = await cluster.client.resource(pods).get('db-1', 'default')
    expect(replaced.metadata.uid).not.toBe(one.metadata.uid)
    expect(replaced.status.phase).toBe('Running')
    expect(await cluster.eventsOf('db')).toContain(
      'RecreatingFailedPod: StatefulSet default/db is recreating failed Pod db-1',
    )
  })
  it('starts at the ordinal it is told', async () => {
    await start()
    await create({ replicas: 2, ordinals: { start: 5 } })
    await cluster.advance()
    expect(await names()).toEqual(['db-5', 'db-6'])
  })
  it('writes nothing once it is at rest', async () => {
    await start()
    await create()
    await cluster.advance()
    const before = await current()
    await cluster.advance(3_600_000)
    expect(await current()).toEqual(before)
  })
})
