// Claims, volumes and nodes on the real API server; the test plays the volume controller.
import { afterEach, expect, test } from 'vitest'
import { type PersistentVolume, persistentVolumes } from '../api/core/persistent-volume.ts'
import { type PersistentVolumeClaim, persistentVolumeClaims } from '../api/core/persistent-volume-claim.ts'
import { csiNodes, storageClasses } from '../api/storage/storage.ts'
import type { Input } from '../client/client.ts'
import { type SchedulerCluster, schedulerCluster } from './testing/cluster.ts'

let cluster: SchedulerCluster | undefined
afterEach(async () => {
  await cluster?.stop()
  cluster = undefined
})
async function start(): Promise<SchedulerCluster> {
  cluster = await schedulerCluster()
  const classes = cluster.client.resource(storageClasses)
  await classes.create({
    metadata: { name: 'local' },
    provisioner: 'kubernetes.io/no-provisioner',
    volumeBindingMode: 'WaitForFirstConsumer',
  })
  await classes.create({
    metadata: { name: 'made' },
    provisioner: 'made.example.com',
    volumeBindingMode: 'WaitForFirstConsumer',
  })
  await classes.create({ metadata: { name: 'now' }, provisioner: 'made.example.com' })
  for (const name of ['n1', 'n2']) await cluster.node(name)
  return cluster
}
const claimOf = (name: string, storageClassName: string, accessMode = 'ReadWriteOnce') =>
  ({
    metadata: { name, namespace: 'default' },
    spec: { accessModes: [accessMode], storageClassName, resources: { requests: { storage: '1Gi' } } },
  }) as unknown as Input<PersistentVolumeClaim>
const using =
  (...claims: readonly string[]) =>
  (pod: Parameters<NonNullable<Parameters<SchedulerCluster['pod']>[1]>>[0]) => {
    pod.spec.volumes = claims.map((claimName) => ({ name: claimName, persistentVolumeClaim: { claimName } }))
  }
async function volume(c: SchedulerCluster, name: string, node: string, storage: string): Promise<void> {
  const created = await c.client.resource(persistentVolumes).create({
    metadata: { name },
    spec: {
      capacity: { storage },
      accessModes: ['ReadWriteOnce'],
      storageClassName: 'local',
      local: { path: '/x' },
      nodeAffinity: {
        required: {
          nodeSelectorTerms: [
            { matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [node] }] },
          ],
        },
      },
    },
  } as unknown as Input<PersistentVolume>)
  await c.client.resource(persistentVolumes).updateStatus({ ...created, status: { phase: 'Available' } })
}
/** What the volume controller does with a claim whose volume is known. */
async function complete(c: SchedulerCluster, name: string, volumeName: string): Promise<void> {
  const resource = c.client.resource(persistentVolumeClaims)
  const claim = await resource.get(name, 'default')
  await resource.update({
    ...claim,
    metadata: {
      ...claim.metadata,
      annotations: { ...claim.metadata.annotations, 'pv.kubernetes.io/bind-completed': 'yes' },
    },
    spec: { ...claim.spec, volumeName },
  })
  const bound = await resource.get(name, 'default')
  await resource.updateStatus({ ...bound, status: { phase: 'Bound' } })
}

test('a claim that does not exist, or is not yet bound, holds the pod back until it is', async () => {
  const c = await start()
  await c.pod('p', using('data'))
  await c.advance()
  expect((await c.eventsOf('p'))[0]).toBe(
    'Warning FailedScheduling: 0/2 nodes are available: persistentvolumeclaim "data" not found. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.',
  )
  await c.client.resource(persistentVolumeClaims).create(claimOf('data', 'now'))
  await c.advance(5000)
  expect((await c.get('p')).status.conditions?.[0]?.message).toContain(
    '0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims.',
  )
  await volume(c, 'v', 'n2', '1Gi')
  await complete(c, 'data', 'v')
  await c.advance(5000)
  expect((await c.get('p')).spec.nodeName).toBe('n2')
})

test('a waiting claim gets the smallest volume of the chosen node, before the pod is bound', async () => {
  const c = await start()
  await volume(c, 'large', 'n2', '10Gi')
  await volume(c, 'small', 'n2', '2Gi')
  await volume(c, 'tiny', 'n1', '1Mi')
  await c.client.resource(persistentVolumeClaims).create(claimOf('data', 'local'))
  await c.pod('p', using('data'))
  await c.advance()
  const taken = await c.client.resource(persistentVolumes).get('small')
  expect(taken.spec.claimRef).toMatchObject({ name: 'data', namespace: 'default' })
  expect(taken.metadata.annotations).toEqual({ 'pv.kubernetes.io/bound-by-controller': 'yes' })
  expect((await c.get('p')).spec.nodeName).toBeUndefined()
  await complete(c, 'data', 'small')
  await c.advance()
  expect((await c.get('p')).spec.nodeName).toBe('n2')
})

test('a claim to be provisioned is told its node, and the pod waits for the volume', async () => {
  const c = await start()
  await c.client.resource(persistentVolumeClaims).create(claimOf('data', 'made'))
  await c.pod('p', (pod) => {
    using('data')(pod)
    pod.spec.nodeSelector = { 'kubernetes.io/hostname': 'n1' }
  })
  await c.advance()
  const claim = await c.client.resource(persistentVolumeClaims).get('data', 'default')
  expect(claim.metadata.annotations).toMatchObject({ 'volume.kubernetes.io/selected-node': 'n1' })
  expect((await c.get('p')).spec.nodeName).toBeUndefined()
  await volume(c, 'v', 'n1', '1Gi')
  await complete(c, 'data', 'v')
  await c.advance()
  expect((await c.get('p')).spec.nodeName).toBe('n1')
})

test('a provisioner that gives the node back makes the pod be tried again', async () => {
  const c = await start()
  const claims = c.client.resource(persistentVolumeClaims)
  await claims.create(claimOf('data', 'made'))
  await c.pod('p', using('data'))
  await c.advance()
  const claim = await claims.get('data', 'default')
  await claims.update({ ...claim, metadata: { ...claim.metadata, annotations: {} } })
  await c.advance()
  expect((await c.get('p')).status.conditions).toMatchObject([{ status: 'False', reason: 'SchedulerError' }])
  await c.advance(2000)
  expect((await claims.get('data', 'default')).metadata.annotations).toHaveProperty([
    'volume.kubernetes.io/selected-node',
  ])
})

test('ReadWriteOncePod admits one pod in the whole cluster', async () => {
  const c = await start()
  await volume(c, 'v', 'n1', '1Gi')
  await c.client.resource(persistentVolumeClaims).create(claimOf('data', 'local', 'ReadWriteOncePod'))
  await complete(c, 'data', 'v')
  await c.pod('a', using('data'))
  await c.advance()
  await c.pod('b', using('data'))
  await c.advance()
  expect(await c.placements()).toEqual({ a: 'n1', b: '' })
  expect((await c.eventsOf('b'))[0]).toContain(
    'node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod',
  )
})

test('a CSI driver takes only as many volumes as it says', async () => {
  const c = await start()
  for (const name of ['n1', 'n2'])
    await c.client.resource(csiNodes).create({
      metadata: { name },
      spec: { drivers: [{ name: 'made.example.com', nodeID: name, allocatable: { count: 1 } }] },
    })
  for (const name of ['a', 'b', 'c']) {
    await c.client.resource(persistentVolumes).create({
      metadata: { name },
      spec: {
        capacity: { storage: '1Gi' },
        accessModes: ['ReadWriteOnce'],
        csi: { driver: 'made.example.com', volumeHandle: name },
      },
    } as unknown as Input<PersistentVolume>)
    await c.client.resource(persistentVolumeClaims).create(claimOf(name, ''))
    await complete(c, name, name)
    await c.pod(name, using(name))
  }
  await c.advance()
  const placed = Object.values(await c.placements()).sort()
  expect(placed).toEqual(['', 'n1', 'n2'])
})
