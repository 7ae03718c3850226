// Rows V1 to V3 of the scenarios on real containers: volumes that outlive pods, made by hand or by the built-in
// provisioner.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, it } from 'vitest'
import type { PersistentVolume } from '../../src/api/core/persistent-volume.ts'
import type { PersistentVolumeClaim } from '../../src/api/core/persistent-volume-claim.ts'
import { type Kubectl, kubectlCluster } from '../kubectl/cluster.ts'
import { able } from '../kubectl/binary.ts'
import { podOf } from './pods.ts'

const claimOf = (name: string, more = '') => `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: ${name}}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}${more}}
`
const volumeOf = (name: string, policy: string, source: string, more = '') => `
apiVersion: v1
kind: PersistentVolume
metadata: {name: ${name}}
spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], storageClassName: ${name}, persistentVolumeReclaimPolicy: ${policy}, ${source}${more}}
`
const using = (claim: string) => `volumes: [{name: v, persistentVolumeClaim: {claimName: ${claim}}}]`
const mounts = { c: 'volumeMounts: [{name: v, mountPath: /v}]' }

describe.runIf(able).concurrent('volumes that outlive pods', () => {
  let k: Kubectl
  let folder: string
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'cox-volumes-'))
    k = await kubectlCluster('volumes')
  })
  afterAll(async () => {
    await k?.remove()
    if (folder !== undefined) rmSync(folder, { recursive: true })
  })
  const read = async <T>(kind: string, name: string) => JSON.parse(await k.ok(['get', kind, name, '-o', 'json'])) as T
  const claim = (name: string) => read<PersistentVolumeClaim>('pvc', name)
  const volume = (name: string) => read<PersistentVolume>('pv', name)
  const isGone = async (kind: string, name: string) => (await k.run(['get', kind, name])).stderr.includes('NotFound')

  it('V3: a claim waits for its pod, gets a directory on its node, keeps its data, grows, and goes', async ({
    expect,
  }) => {
    await k.apply(claimOf('data'))
    await expect
      .poll(() => k.events('data'))
      .toContain('WaitForFirstConsumer: waiting for first consumer to be created before binding')
    expect((await claim('data')).status.phase).toBe('Pending')
    const spec = `${using('data')}\nsecurityContext: {runAsUser: 1000, fsGroup: 2000}`
    await k.apply(podOf('first', mounts, spec))
    await k.ready('first')
    const bound = await claim('data')
    expect(bound).toMatchObject({ spec: { storageClassName: 'standard' }, status: { phase: 'Bound' } })
    const { spec: made } = await volume(bound.spec.volumeName ?? '')
    const path = made.local?.path ?? ''
    await k.sh('first', 'echo kept > /v/file')
    expect(await k.sh('first', 'stat -c "%u %g" /v/file')).toBe('1000 2000\n')
    await k.ok(['delete', 'pod', 'first'])
    expect(readFileSync(join(path, 'file'), 'utf8')).toBe('kept\n')
    await k.apply(podOf('second', mounts, spec))
    await k.ready('second')
    expect(await k.sh('second', 'cat /v/file')).toBe('kept\n')
    await k.ok(['patch', 'pvc', 'data', '-p', '{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}'])
    await expect.poll(async () => (await claim('data')).status.capacity?.['storage']).toBe('2Gi')
    // In use, the claim waits for its pod's end.
    await k.ok(['delete', 'pvc', 'data', '--wait=false'])
    expect(await k.ok(['get', 'pvc', 'data'])).toContain('Terminating')
    await k.ok(['delete', 'pod', 'second'])
    await expect.poll(() => isGone('pvc', 'data')).toBe(true)
    await expect.poll(() => isGone('pv', bound.spec.volumeName ?? '')).toBe(true)
    expect(existsSync(path)).toBe(false)
  })
  it('V3: an ephemeral volume lives with its pod', async ({ expect }) => {
    const template = '{spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}'
    await k.apply(podOf('scratch', mounts, `volumes: [{name: v, ephemeral: {volumeClaimTemplate: ${template}}}]`))
    await k.ready('scratch')
    expect((await claim('scratch-v')).status.phase).toBe('Bound')
    await k.ok(['delete', 'pod', 'scratch'])
    await expect.poll(() => isGone('pvc', 'scratch-v')).toBe(true)
  })
  it('V2: static volumes, Retain: Released keeps the data and takes no other claim', async ({ expect }) => {
    const path = join(folder, 'retained')
    mkdirSync(path)
    await k.apply(volumeOf('retained', 'Retain', `hostPath: {path: ${path}}`))
    await k.apply(claimOf('keeper', ', storageClassName: retained'))
    await k.apply(podOf('keeper', mounts, using('keeper')))
    await k.ready('keeper')
    await k.sh('keeper', 'echo x > /v/file')
    expect(await k.ok(['get', 'pv', 'retained'])).toMatch(/RWO\s+Retain\s+Bound\s+default\/keeper/)
    await k.ok(['delete', 'pod', 'keeper'])
    await k.ok(['delete', 'pvc', 'keeper'])
    await expect.poll(async () => (await volume('retained')).status.phase).toBe('Released')
    await k.apply(claimOf('late', ', storageClassName: retained'))
    await expect.poll(() => k.events('late')).toContainEqual(expect.stringContaining('ProvisioningFailed'))
    expect(readFileSync(join(path, 'file'), 'utf8')).toBe('x\n')
  })
  it('V2: Recycle empties the volume for the next claim', async ({ expect }) => {
    const path = join(folder, 'recycled')
    mkdirSync(join(path, '.hidden', 'deep'), { recursive: true })
    writeFileSync(join(path, 'file'), 'x')
    await k.apply(volumeOf('recycled', 'Recycle', `hostPath: {path: ${path}}`))
    await k.apply(claimOf('user', ', storageClassName: recycled'))
    await expect.poll(async () => (await claim('user')).status.phase).toBe('Bound')
    await k.ok(['delete', 'pvc', 'user'])
    await expect.poll(async () => (await volume('recycled')).status.phase).toBe('Available')
    expect(readdirSync(path)).toEqual([])
    expect(await k.events('recycled')).toContain('VolumeRecycled: Volume recycled')
    await k.apply(claimOf('next', ', storageClassName: recycled'))
    await expect.poll(async () => (await claim('next')).status.phase).toBe('Bound')
  })
  it('V2: Delete takes a hostPath below /tmp away, and says why it cannot where it cannot', async ({ expect }) => {
    const path = join(folder, 'deleted')
    mkdirSync(path)
    await k.apply(volumeOf('deleted', 'Delete', `hostPath: {path: ${path}}`))
    await k.apply(volumeOf('elsewhere', 'Delete', 'hostPath: {path: /var/nowhere}'))
    for (const name of ['deleted', 'elsewhere']) {
      await k.apply(claimOf(name, `, storageClassName: ${name}`))
      await expect.poll(async () => (await claim(name)).status.phase).toBe('Bound')
      await k.ok(['delete', 'pvc', name])
    }
    await expect.poll(() => isGone('pv', 'deleted')).toBe(true)
    expect(existsSync(path)).toBe(false)
    await expect.poll(async () => (await volume('elsewhere')).status.phase).toBe('Failed')
    expect(await k.events('elsewhere')).toContain(
      'VolumeFailedDelete: host_path deleter only supports /tmp/.+ but received provided /var/nowhere',
    )
  })
  it('V2: a local volume takes its pod to its node, read-only where asked', async ({ expect }) => {
    const path = join(folder, 'local')
    mkdirSync(path)
    writeFileSync(join(path, 'file'), 'local\n')
    const node = (await k.ok(['get', 'nodes', '-o', 'jsonpath={.items[0].metadata.name}'])).trim()
    const affinity = `, nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [${node}]}]}]}}`
    await k.apply(volumeOf('local', 'Retain', `local: {path: ${path}}`, affinity))
    await k.apply(claimOf('local', ', storageClassName: local, volumeName: local'))
    await k.apply(
      podOf('local', mounts, 'volumes: [{name: v, persistentVolumeClaim: {claimName: local, readOnly: true}}]'),
    )
    await k.ready('local')
    expect(await k.sh('local', 'cat /v/file')).toBe('local\n')
    expect((await k.run(['exec', 'local', '--', 'touch', '/v/x'])).stderr).toContain('Read-only file system')
  })
  it('V2: a pod whose claim is missing, unbound or refused is told of it', async ({ expect }) => {
    await k.apply(podOf('hopeless', mounts, using('nowhere')))
    await expect
      .poll(() => k.events('hopeless'))
      .toContainEqual(expect.stringContaining('persistentvolumeclaim "nowhere" not found'))
    await k.apply(claimOf('odd', ', storageClassName: nothing'))
    await expect
      .poll(() => k.events('odd'))
      .toContain('ProvisioningFailed: storageclass.storage.k8s.io "nothing" not found')
  })
})
