import { afterEach, describe, expect, it } from 'vitest'
import { type PersistentVolume, persistentVolumes } from '../api/core/persistent-volume.ts'
import { type PersistentVolumeClaim, persistentVolumeClaims } from '../api/core/persistent-volume-claim.ts'
import { bindCompleted, boundByController, provisionedBy, selectedNode } from '../api/core/volume-claims.ts'
import { pods } from '../api/core/pod.ts'
import { type StorageClass, storageClasses } from '../api/storage/storage.ts'
import { ephemeralVolumeController } from './ephemeral-volume.ts'
import { localVolume, refusal } from './local-provisioner.ts'
import { persistentVolumeBinder } from './persistent-volume-binder.ts'
import { planClaim, planVolume, withoutClaim } from './persistent-volume-plan.ts'
import { claimProtection, volumeProtection } from './storage-protection.ts'
import { type TestCluster, testCluster } from './testing/cluster.ts'

const claimOf = (spec: object = {}, annotations: Record<string, string> = {}) =>
  ({
    metadata: { name: 'c', namespace: 'ns', uid: 'u1', annotations },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, ...spec },
    status: { phase: 'Pending' },
  }) as unknown as PersistentVolumeClaim
const volumeOf = (name: string, spec: object = {}, phase = 'Available', annotations: Record<string, string> = {}) =>
  ({
    metadata: { name, uid: name, annotations, labels: { disk: name } },
    spec: {
      capacity: { storage: '1Gi' },
      accessModes: ['ReadWriteOnce', 'ReadWriteMany'],
      persistentVolumeReclaimPolicy: 'Retain',
      ...spec,
    },
    status: { phase },
  }) as unknown as PersistentVolume
const ref = (uid?: string, name = 'c') => ({
  claimRef: { name, namespace: 'ns', ...(uid === undefined ? {} : { uid }) },
})
const classOf = (name: string, volumeBindingMode: string, provisioner = 'example.com/p') =>
  ({ metadata: { name }, provisioner, volumeBindingMode }) as unknown as StorageClass

describe('planClaim', () => {
  const plan = (
    claim: PersistentVolumeClaim,
    volumes: PersistentVolume[],
    storageClass?: StorageClass,
    podWaits?: string,
  ) => {
    const made = planClaim(claim, {
      volumes,
      volume: (name) => volumes.find((v) => v.metadata.name === name),
      storageClass,
      podWaits,
    })
    return made.do === 'bind' ? `bind ${made.volume.metadata.name}` : `${made.do} ${made.event?.reason ?? ''}`.trim()
  }
  const large = volumeOf('large', { capacity: { storage: '9Gi' } })
  const fitting = volumeOf('fitting', { capacity: { storage: '2Gi' } })
  it.each([
    [
      'the smallest that suffices',
      claimOf(),
      [large, fitting, volumeOf('small', { capacity: { storage: '1Mi' } })],
      'bind fitting',
    ],
    [
      'a promised one before a smaller one',
      claimOf(),
      [fitting, volumeOf('mine', { capacity: { storage: '9Gi' }, ...ref() })],
      'bind mine',
    ],
    ['not one that is promised to another', claimOf(), [volumeOf('v', ref(undefined, 'other'))], 'wait FailedBinding'],
    ['not one that was released', claimOf(), [volumeOf('v', ref('gone'), 'Released')], 'wait FailedBinding'],
    ['every access mode', claimOf({ accessModes: ['ReadWriteOnce', 'ReadOnlyMany'] }), [fitting], 'wait FailedBinding'],
    ['by selector', claimOf({ selector: { matchLabels: { disk: 'large' } } }), [fitting, large], 'bind large'],
    ['by mode', claimOf({ volumeMode: 'Block' }), [fitting], 'wait FailedBinding'],
    ['by name', claimOf({ volumeName: 'large' }), [fitting, large], 'bind large'],
    [
      'by name, too small',
      claimOf({ volumeName: 'v' }),
      [volumeOf('v', { capacity: { storage: '1Mi' } })],
      'wait VolumeMismatch',
    ],
    ['by name, taken', claimOf({ volumeName: 'v' }), [volumeOf('v', ref('u9', 'other'))], 'wait FailedBinding'],
    ['by name, absent', claimOf({ volumeName: 'v' }), [], 'wait'],
    ['bound, volume gone', claimOf({ volumeName: 'v' }, { [bindCompleted]: 'yes' }), [], 'lose ClaimLost'],
    ['bound, name gone', claimOf({}, { [bindCompleted]: 'yes' }), [], 'lose ClaimLost'],
    [
      'bound twice',
      claimOf({ volumeName: 'v' }, { [bindCompleted]: 'yes' }),
      [volumeOf('v', ref('u9', 'other'))],
      'lose ClaimMisbound',
    ],
    ['a class that is not there', claimOf({ storageClassName: 'x' }), [fitting], 'wait ProvisioningFailed'],
  ] as const)('%s', (_, claim, volumes, expected) => {
    expect(plan(claim, [...volumes])).toBe(expected)
  })
  it('provisions, at once or when the pod has its node', () => {
    const claim = claimOf({ storageClassName: 's' })
    expect(plan(claim, [], classOf('s', 'Immediate'))).toBe('provision ExternalProvisioning')
    const late = classOf('s', 'WaitForFirstConsumer')
    expect(plan(claim, [], late)).toBe('wait WaitForFirstConsumer')
    expect(plan(claim, [], late, 'p')).toBe('wait WaitForPodScheduled')
    expect(plan(claimOf({ storageClassName: 's' }, { [selectedNode]: 'n' }), [], late)).toBe(
      'provision ExternalProvisioning',
    )
    expect(plan(claim, [], classOf('s', 'Immediate', 'kubernetes.io/no-provisioner'))).toBe('wait ProvisioningFailed')
    const waiting = volumeOf('v', { storageClassName: 's' })
    expect(plan(claim, [waiting], late)).toBe('wait WaitForFirstConsumer')
    expect(plan(claim, [volumeOf('v', { storageClassName: 's', ...ref('u1') })], late)).toBe('bind v')
  })
})

describe('planVolume', () => {
  const made = { [provisionedBy]: 'p' }
  const bound = claimOf({ volumeName: 'v' })
  it.each([
    ['free', volumeOf('v'), undefined, 'phase'],
    ['promised', volumeOf('v', ref()), undefined, 'phase'],
    ['bound', volumeOf('v', ref('u1')), bound, 'phase'],
    ['claim gone', volumeOf('v', ref('u1')), undefined, 'release'],
    ['another claim of the name', volumeOf('v', ref('u0')), bound, 'release'],
    ['claim not written yet', volumeOf('v', ref('u1')), claimOf(), 'askClaim'],
    ['claim chose another', volumeOf('w', ref('u1')), bound, 'unbind'],
    [
      'claim chose another, made for it',
      volumeOf('w', { ...ref('u1'), persistentVolumeReclaimPolicy: 'Delete' }, 'Bound', made),
      bound,
      'release',
    ],
  ] as const)('%s: %s', (_, volume, claim, expected) => {
    expect(planVolume(volume, claim).do).toBe(expected)
  })
  it('a freed volume keeps a promise that a user made, and no other', () => {
    expect(withoutClaim(volumeOf('v', ref('u1'), 'Bound', { [boundByController]: 'yes', a: 'b' }))).toMatchObject({
      metadata: { annotations: { a: 'b' } },
      spec: expect.not.objectContaining({ claimRef: expect.anything() }) as object,
    })
    expect(withoutClaim(volumeOf('v', ref('u1'))).spec.claimRef).toEqual({ name: 'c', namespace: 'ns' })
  })
})

describe('the local provisioner', () => {
  it('says what a directory cannot be', () => {
    expect(refusal(claimOf())).toBeUndefined()
    expect(refusal(claimOf({ volumeMode: 'Block' }))).toMatch(/block/)
    expect(refusal(claimOf({ selector: {} }))).toMatch(/Selector/)
    expect(refusal(claimOf({ dataSource: { kind: 'PersistentVolumeClaim', name: 'x' } }))).toMatch(/data sources/)
  })
  it('makes volumes that only pods of their node can use', () => {
    const node = { metadata: { name: 'n1', labels: { 'kubernetes.io/hostname': 'host1' } } } as never
    const volume = localVolume(
      claimOf({ storageClassName: 's' }),
      classOf('s', 'WaitForFirstConsumer'),
      node,
      '/v/pvc-u1',
    )
    expect(volume.spec).toMatchObject({
      local: { path: '/v/pvc-u1' },
      capacity: { storage: '1Gi' },
      persistentVolumeReclaimPolicy: 'Delete',
      claimRef: { name: 'c', uid: 'u1' },
    })
    expect(JSON.stringify(volume.spec.nodeAffinity)).toContain('"values":["host1"]')
  })
})

let cluster: TestCluster | undefined
afterEach(async () => {
  await cluster?.stop()
  cluster = undefined
})
const start = async () => {
  cluster = await testCluster([persistentVolumeBinder, ephemeralVolumeController, claimProtection, volumeProtection], {
    nodes: 1,
    runs: () => true,
  })
  return cluster
}
const hostVolume = (name: string, policy: string, path = `/data/${name}`) => ({
  metadata: { name },
  spec: {
    capacity: { storage: '1Gi' },
    accessModes: ['ReadWriteOnce'],
    persistentVolumeReclaimPolicy: policy,
    hostPath: { path },
  } as never,
})
const wish = (name: string) => ({
  metadata: { name, namespace: 'default' },
  spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } } as never,
})

describe('claims and volumes', () => {
  it('find each other whoever comes first, and part when the claim goes', async () => {
    const { client, advance } = await start()
    const volumes = client.resource(persistentVolumes)
    const claims = client.resource(persistentVolumeClaims)
    await claims.create(wish('c'))
    await advance(100)
    expect((await claims.get('c', 'default')).status.phase).toBe('Pending')
    await volumes.create(hostVolume('v', 'Retain'))
    await advance(100)
    expect(await claims.get('c', 'default')).toMatchObject({
      metadata: { annotations: { [bindCompleted]: 'yes', [boundByController]: 'yes' } },
      spec: { volumeName: 'v' },
      status: { phase: 'Bound', accessModes: ['ReadWriteOnce'], capacity: { storage: '1Gi' } },
    })
    expect((await volumes.get('v')).status.phase).toBe('Bound')
    await claims.create(wish('second'))
    await advance(100)
    expect((await claims.get('second', 'default')).status.phase).toBe('Pending')
    await claims.delete('c', 'default')
    await advance(100)
    expect((await volumes.get('v')).status.phase).toBe('Released')
    expect((await claims.get('second', 'default')).status.phase).toBe('Pending')
    await volumes.delete('v')
    await advance(100)
    expect(await volumes.find('v')).toBeUndefined()
  })
  it('a volume in use is not deleted; a claim whose volume is gone is Lost', async () => {
    const { client, advance, eventsOf } = await start()
    const volumes = client.resource(persistentVolumes)
    const claims = client.resource(persistentVolumeClaims)
    await volumes.create(hostVolume('v', 'Retain'))
    await claims.create(wish('c'))
    await advance(100)
    await volumes.delete('v')
    await advance(100)
    const kept = await volumes.get('v')
    expect(kept.metadata.deletionTimestamp).toBeDefined()
    await volumes.patch('v', undefined, 'merge', { metadata: { finalizers: null } })
    await advance(100)
    expect((await claims.get('c', 'default')).status.phase).toBe('Lost')
    expect(await eventsOf('c')).toContain(
      'ClaimLost: Bound claim has lost its PersistentVolume. Data on the volume is lost!',
    )
  })
  it('what cannot be deleted or recycled is Failed, with the reason', async () => {
    const { client, advance } = await start()
    const volumes = client.resource(persistentVolumes)
    const claims = client.resource(persistentVolumeClaims)
    await volumes.create(hostVolume('v', 'Delete'))
    await claims.create(wish('c'))
    await advance(100)
    await claims.delete('c', 'default')
    await advance(100)
    expect((await volumes.get('v')).status).toMatchObject({
      phase: 'Failed',
      message: 'host_path deleter only supports /tmp/.+ but received provided /data/v',
    })
  })
  it('a class that waits leaves the claim alone until its pod has a node', async () => {
    const { client, advance, eventsOf } = await start()
    await client.resource(storageClasses).create({
      metadata: { name: 's' },
      provisioner: 'example.com/p',
      volumeBindingMode: 'WaitForFirstConsumer',
    } as never)
    const claims = client.resource(persistentVolumeClaims)
    const { metadata, spec } = wish('c')
    await claims.create({ metadata, spec: { ...(spec as object), storageClassName: 's' } as never })
    await advance(100)
    expect(await eventsOf('c')).toEqual([
      'WaitForFirstConsumer: waiting for first consumer to be created before binding',
    ])
    await claims.patch('c', 'default', 'merge', { metadata: { annotations: { [selectedNode]: 'n1' } } })
    await advance(100)
    expect((await claims.get('c', 'default')).metadata.annotations).toMatchObject({
      'volume.kubernetes.io/storage-provisioner': 'example.com/p',
    })
  })
  it('a pod with an ephemeral volume gets a claim of its own', async () => {
    const { client, advance } = await start()
    const template = { spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } } }
    const pod = await client.resource(pods).create({
      metadata: { name: 'p', namespace: 'default' },
      spec: {
        containers: [{ name: 'c', image: 'i' }],
        volumes: [{ name: 'scratch', ephemeral: { volumeClaimTemplate: template } }],
      } as never,
    })
    await advance(100)
    const claim = await client.resource(persistentVolumeClaims).get('p-scratch', 'default')
    expect(claim.metadata.ownerReferences).toEqual([
      expect.objectContaining({ kind: 'Pod', name: 'p', uid: pod.metadata.uid, controller: true }),
    ])
  })
})
