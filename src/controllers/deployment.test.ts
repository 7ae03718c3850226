import { afterEach, describe, expect, it } from 'vitest'
import { type Deployment, deployments } from '../api/apps/deployment.ts'
import { replicaSets } from '../api/apps/replica-set.ts'
import { type Pod, pods } from '../api/core/pod.ts'
import { deploymentController } from './deployment.ts'
import { garbageCollector } from './garbage-collector.ts'
import { replicaSetController } from './replica-set.ts'
import { type TestCluster, testCluster } from './testing/cluster.ts'

let cluster: TestCluster
afterEach(() => cluster.stop())
const start = async (runs?: (pod: Pod) => boolean) => {
  const controllers = [deploymentController, replicaSetController, garbageCollector]
  cluster = await testCluster(controllers, { nodes: 2, ...(runs ? { runs } : {}) })
}
const template = (image: string) => ({
  metadata: { labels: { app: 'web' } },
  spec: { containers: [{ name: 'web', image }] },
})
const create = (spec: Partial<Deployment['spec']> = {}) =>
  cluster.client.resource(deployments).create({
    metadata: { name: 'web', namespace: 'default' },
    spec: { replicas: 3, selector: { matchLabels: { app: 'web' } }, template: template('a:1'), ...spec } as never,
  })
const current = () => cluster.client.resource(deployments).get('web', 'default')
const patch = (spec: object) => cluster.client.resource(deployments).patch('web', 'default', 'strategic', { spec })
const setImage = (image: string) => patch({ template: { spec: { containers: [{ name: 'web', image }] } } })
const conditionsOf = (deployment: Deployment) =>
  Object.fromEntries((deployment.status.conditions ?? []).map((c) => [c.type, `${c.status} ${c.reason}`]))
/** Wished sizes by image. */
const sizes = async () =>
  Object.fromEntries(
    (await cluster.all(replicaSets)).map((set) => [set.spec.template?.spec.containers[0]?.image, set.spec.replicas]),
  )
const images = async () => (await cluster.all(pods)).map((pod) => pod.spec.containers[0]?.image)

describe('deployment', () => {
  it('creates a replica set with its pods and becomes available', async () => {
    await start()
    await create()
    await cluster.advance()
    expect(await cluster.all(pods)).toHaveLength(3)
    const deployment = await current()
    expect(deployment.status).toMatchObject({ replicas: 3, updatedReplicas: 3, readyReplicas: 3, availableReplicas: 3 })
    expect(deployment.metadata.annotations).toEqual({ 'deployment.kubernetes.io/revision': '1' })
    expect(conditionsOf(deployment)).toEqual({
      Available: 'True MinimumReplicasAvailable',
      Progressing: 'True NewReplicaSetAvailable',
    })
    const [set] = await cluster.all(replicaSets)
    expect(await cluster.eventsOf('web')).toEqual([
      `ScalingReplicaSet: Scaled up replica set ${set?.metadata.name} from 0 to 3`,
    ])
    expect((await cluster.eventsOf(set?.metadata.name ?? '')).map((e) => e.replace(/web-\S+/, 'P'))).toEqual(
      Array.from({ length: 3 }, () => 'SuccessfulCreate: Created pod: P'),
    )
  })
  it('rolls to a new template within its bounds, and back by an undo', async () => {
    await start()
    await create({ replicas: 4 })
    await cluster.advance()
    let most = 0
    let least = 99
    cluster.informers.informer(pods).handle({
      update: () => {
        const live = [...cluster.informers.informer(pods).list()]
        most = Math.max(most, live.filter((pod) => !pod.metadata.deletionTimestamp).length)
        least = Math.min(least, live.filter((pod) => !pod.metadata.deletionTimestamp && pod.status.podIP).length)
      },
    })
    await setImage('a:2')
    await cluster.advance()
    expect(await sizes()).toEqual({ 'a:1': 0, 'a:2': 4 })
    expect(await images()).toEqual(['a:2', 'a:2', 'a:2', 'a:2'])
    expect(least).toBeGreaterThanOrEqual(3)
    expect(most).toBe(5)
    expect((await current()).metadata.annotations).toEqual({ 'deployment.kubernetes.io/revision': '2' })
    await setImage('a:1')
    await cluster.advance()
    expect(await sizes()).toEqual({ 'a:1': 4, 'a:2': 0 })
    const deployment = await current()
    expect(deployment.metadata.annotations).toEqual({ 'deployment.kubernetes.io/revision': '3' })
    const [set] = (await cluster.all(replicaSets)).filter((s) => s.spec.replicas === 4)
    expect(set?.metadata.annotations).toMatchObject({
      'deployment.kubernetes.io/revision': '3',
      'deployment.kubernetes.io/revision-history': '1',
    })
  })
  it('scales without a rollout', async () => {
    await start()
    await create()
    await cluster.advance()
    await patch({ replicas: 5 })
    await cluster.advance()
    expect(await cluster.all(pods)).toHaveLength(5)
    await patch({ replicas: 0 })
    await cluster.advance()
    expect(await cluster.all(pods)).toHaveLength(0)
    const scalings = (await cluster.eventsOf('web')).map((e) => e.replace(/set web-\S+/, 'set S'))
    expect(scalings).toEqual([
      'ScalingReplicaSet: Scaled up replica set S from 0 to 3',
      'ScalingReplicaSet: Scaled up replica set S from 3 to 5',
      'ScalingReplicaSet: Scaled down replica set S from 5 to 0',
    ])
  })
  it('what is added in the middle of a rollout is shared out in proportion', async () => {
    await start((pod) => pod.spec.containers[0]?.image !== 'bad:1')
    const rollingUpdate = { maxSurge: 3, maxUnavailable: 2 }
    await create({ replicas: 10, strategy: { type: 'RollingUpdate', rollingUpdate } as never })
    await cluster.advance()
    await setImage('bad:1')
    await cluster.advance(5000)
    expect(await sizes()).toEqual({ 'a:1': 8, 'bad:1': 5 })
    await patch({ replicas: 15 })
    await cluster.advance(5000)
    expect(await sizes()).toEqual({ 'a:1': 11, 'bad:1': 7 })
  })
  it('counts pods that are on their way out', async () => {
    await start()
    await create()
    await cluster.advance()
    const [pod] = await cluster.all(pods)
    const name = pod?.metadata.name ?? ''
    await cluster.client
      .resource(pods)
      .patch(name, 'default', 'merge', { metadata: { finalizers: ['example.com/held'] } })
    await cluster.client.resource(pods).delete(name, 'default')
    await cluster.advance(5000)
    expect((await current()).status).toMatchObject({ replicas: 3, readyReplicas: 3, terminatingReplicas: 1 })
    await cluster.client.resource(pods).patch(name, 'default', 'merge', { metadata: { finalizers: null } })
    await cluster.advance(5000)
    expect((await current()).status).toMatchObject({ replicas: 3, terminatingReplicas: 0 })
  })
  it('recreate waits until the old pods are gone', async () => {
    await start()
    await create({ strategy: { type: 'Recreate' } })
    await cluster.advance()
    let mixed = false
    cluster.informers.informer(pods).handle({
      add: () => {
        const now = new Set([...cluster.informers.informer(pods).list()].map((p) => p.spec.containers[0]?.image))
        mixed ||= now.size > 1
      },
    })
    await setImage('a:2')
    await cluster.advance()
    expect(await images()).toEqual(['a:2', 'a:2', 'a:2'])
    expect(mixed).toBe(false)
  })
  it('a paused one changes size but not template, and goes on when resumed', async () => {
    await start()
    await create()
    await cluster.advance()
    await patch({ paused: true })
    await setImage('a:2')
    await patch({ replicas: 4 })
    await cluster.advance()
    expect(await sizes()).toEqual({ 'a:1': 4 })
    expect(conditionsOf(await current())).toMatchObject({ Progressing: 'Unknown DeploymentPaused' })
    await patch({ paused: false })
    await cluster.advance()
    expect(await sizes()).toEqual({ 'a:1': 0, 'a:2': 4 })
    expect(conditionsOf(await current())).toMatchObject({ Progressing: 'True NewReplicaSetAvailable' })
  })
  it('a rollout that gets nowhere is reported after its deadline, and old pods stay', async () => {
    await start((pod) => pod.spec.containers[0]?.image !== 'broken')
    await create({ progressDeadlineSeconds: 60 })
    await cluster.advance()
    await setImage('broken')
    await cluster.advance(58_000)
    expect(conditionsOf(await current())).toMatchObject({ Progressing: 'True ReplicaSetUpdated' })
    await cluster.advance(10_000)
    const deployment = await current()
    expect(conditionsOf(deployment)).toEqual({
      Available: 'True MinimumReplicasAvailable',
      Progressing: 'False ProgressDeadlineExceeded',
    })
    expect(deployment.status.conditions?.find((c) => c.type === 'Progressing')?.message).toMatch(
      /^ReplicaSet "web-\w+" has timed out progressing\.$/,
    )
    expect(deployment.status).toMatchObject({ availableReplicas: 3, updatedReplicas: 1, unavailableReplicas: 1 })
    await setImage('a:1')
    await cluster.advance()
    expect(await sizes()).toEqual({ 'a:1': 3, broken: 0 })
    expect(await images()).toEqual(['a:1', 'a:1', 'a:1'])
  })
  it('keeps only as much history as it shall', async () => {
    await start()
    await create({ revisionHistoryLimit: 1 })
    for (const image of ['a:2', 'a:3', 'a:4']) {
      await cluster.advance()
      await setImage(image)
    }
    await cluster.advance()
    expect(await sizes()).toEqual({ 'a:3': 0, 'a:4': 3 })
  })
  it('minReadySeconds delays availability', async () => {
    await start()
    await create({ minReadySeconds: 30 })
    await cluster.advance(25_000)
    expect((await current()).status).toMatchObject({ readyReplicas: 3, unavailableReplicas: 3 })
    await cluster.advance(10_000)
    expect((await current()).status).toMatchObject({ readyReplicas: 3, availableReplicas: 3 })
  })
  it('writes nothing once it is at rest', async () => {
    await start()
    await create()
    await cluster.advance(5000)
    const before = await current()
    const sets = await cluster.all(replicaSets)
    await cluster.advance(3_600_000)
    expect((await current()).metadata.resourceVersion).toBe(before.metadata.resourceVersion)
    expect(await cluster.all(replicaSets)).toEqual(sets)
    expect(cluster.log.records.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([])
  })
  it('deleting it in the background or foreground takes all with it, orphaning leaves them', async () => {
    await start()
    for (const propagationPolicy of ['Background', 'Foreground'] as const) {
      await create()
      await cluster.advance()
      await cluster.client.resource(deployments).delete('web', 'default', { propagationPolicy })
      await cluster.advance()
      expect(await cluster.all(deployments)).toEqual([])
      expect(await cluster.all(replicaSets)).toEqual([])
      expect(await cluster.all(pods)).toEqual([])
    }
    await create()
    await cluster.advance()
    await cluster.client.resource(deployments).delete('web', 'default', { propagationPolicy: 'Orphan' })
    await cluster.advance()
    expect(await cluster.all(deployments)).toEqual([])
    const [orphan] = await cluster.all(replicaSets)
    expect(orphan?.metadata.ownerReferences ?? []).toEqual([])
    expect(await cluster.all(pods)).toHaveLength(3)
    const adopter = await create()
    await cluster.advance()
    const [adopted] = await cluster.all(replicaSets)
    expect(adopted?.metadata.uid).toBe(orphan?.metadata.uid)
    expect(adopted?.metadata.ownerReferences?.[0]).toMatchObject({ uid: adopter.metadata.uid, controller: true })
  })

  it('goes back through the rollback subresource of the old API', async () => {
    await start()
    await create()
    await cluster.advance(1000)
    await setImage('b:1')
    await cluster.until('b:1 is rolled out', async () => (await sizes())['b:1'] === 3 && (await images()).length === 3)
    const ask = (apiVersion: string, body: object) =>
      cluster.transport.send({
        method: 'POST',
        path: `/apis/${apiVersion}/namespaces/default/deployments/web/rollback`,
        headers: { accept: 'application/json', 'content-type': 'application/json' },
        object: { apiVersion, kind: 'DeploymentRollback', ...body },
      })
    const wish = { name: 'web', updatedAnnotations: { why: 'b is bad' }, rollbackTo: { revision: 1 } }
    expect((await ask('apps/v1', wish)).status).toBe(404)
    expect((await ask('extensions/v1beta1', { ...wish, name: 'other' })).status).toBe(400)
    expect(await ask('extensions/v1beta1', wish)).toMatchObject({
      status: 200,
      object: { status: 'Success', message: 'rollback request for deployment "web" succeeded' },
    })
    await cluster.until('a:1 is back', async () => (await sizes())['a:1'] === 3 && (await images()).length === 3)
    const { annotations } = (await current()).metadata
    // the annotations are those of the revision again
    expect(annotations).toEqual({ 'deployment.kubernetes.io/revision': '3' })
  })
})
