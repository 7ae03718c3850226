// "Why?": the answer of /why for what goes wrong most often, and that whoever may not see an object may not ask about it.
import { afterEach, expect, test } from 'vitest'
import { deployments } from '../../src/api/apps/deployment.ts'
import { jobs } from '../../src/api/batch/job.ts'
import { configMaps } from '../../src/api/core/config-map.ts'
import { nodes } from '../../src/api/core/node.ts'
import { pods } from '../../src/api/core/pod.ts'
import { resourceQuotas } from '../../src/api/core/resource-quota.ts'
import { createClient } from '../../src/client/api-client.ts'
import { type SimCluster, startSimCluster } from '../../src/sim/sim-cluster.ts'
import type { Why } from '../../src/why/answer.ts'
import { create, deployment, podOf, runs } from './harness.ts'

let cluster: SimCluster
afterEach(() => cluster.stop())

async function why(path: string): Promise<Why> {
  const { status, text } = await cluster.run(cluster.client.raw(`/why/${path}`))
  if (status !== 200) throw new Error(`${status}: ${text}`)
  return JSON.parse(text) as Why
}
const ofPod = (name: string) => why(`api/v1/namespaces/default/pods/${name}`)
const textOf = async (name: string) =>
  (await cluster.run(cluster.client.raw(`/why/api/v1/namespaces/default/pods/${name}?output=text`))).text
const pod = (name: string, spec: object = {}, metadata: object = {}) =>
  create(cluster, pods, { metadata: { name, ...metadata }, spec: { containers: [runs], ...spec } })
const asking = (requests: object) => ({ containers: [{ ...runs, resources: { requests } }] })

test('Pending: every node and reason, and changes that were seen to help', async () => {
  cluster = await startSimCluster({ seed: 1, nodes: 3 })
  const { status } = await cluster.run(cluster.client.resource(nodes).get('node-1'))
  const whole = Number(status.allocatable?.['cpu'])
  await cluster.run(
    cluster.client.resource(nodes).patch('node-2', undefined, 'merge', { spec: { unschedulable: true } }),
  )
  const taints = [{ key: 'gpu', value: 'yes', effect: 'NoSchedule' }]
  await cluster.run(cluster.client.resource(nodes).patch('node-3', undefined, 'merge', { spec: { taints } }))
  await pod('filler', asking({ cpu: String(whole - 1) }))
  await cluster.advance(5000)
  await pod('stuck', asking({ cpu: String(whole - 1) }))
  await cluster.advance(5000)

  const answer = await ofPod('stuck')
  expect(answer).toMatchObject({
    kind: 'Why',
    state: 'Pending',
    healthy: false,
    object: { kind: 'Pod', name: 'stuck' },
  })
  expect(answer.causes[0]?.message).toBe(
    (await podOf(cluster, 'stuck')).status.conditions?.[0]?.message?.split(' preemption')[0],
  )
  expect(answer.scheduling?.nodes.map(({ node, refusals }) => [node, ...refusals.map((r) => r.plugin)])).toEqual([
    ['node-1', 'NodeResourcesFit'],
    ['node-2', 'NodeUnschedulable', 'TaintToleration'],
    ['node-3', 'TaintToleration'],
  ])
  expect(answer.suggestions.every(({ tried }) => tried)).toBe(true)
  expect(answer.suggestions.map(({ steps }) => steps)).toContainEqual([
    'tolerate the taint gpu=yes:NoSchedule of node-3',
  ])
  const text = await textOf('stuck')
  expect(text).toContain('pod/stuck is Pending\n  Unschedulable: 0/3 nodes are available:')
  expect(text).toContain('    node/node-1 Refused: Insufficient cpu (NodeResourcesFit)')
  expect(text).toContain("What would help (each was tried on a copy of the scheduler's picture):")

  const uncordon = (await why('api/v1/nodes/node-2')).suggestions[0]?.steps
  expect(uncordon).toEqual(['uncordon it: kubectl uncordon node-2'])
  await cluster.run(
    cluster.client.resource(nodes).patch('node-2', undefined, 'merge', { spec: { unschedulable: null } }),
  )
  await cluster.advance(20_000)
  expect(await ofPod('stuck')).toMatchObject({ state: 'Running and Ready', healthy: true, causes: [], suggestions: [] })
})

test('Pending: room that others hold, gates, claims and schedulers that do not exist', async () => {
  cluster = await startSimCluster({ seed: 2, nodes: 1 })
  const { status } = await cluster.run(cluster.client.resource(nodes).get('node-1'))
  const whole = Number(status.allocatable?.['cpu'])
  await pod('holder', asking({ cpu: String(whole) }))
  await cluster.advance(5000)
  await pod('late', asking({ cpu: '500m' }))
  await pod('gated', { schedulingGates: [{ name: 'example.com/quota' }] })
  await pod('foreign', { schedulerName: 'mine' })
  const volumes = [{ name: 'data', persistentVolumeClaim: { claimName: 'nowhere' } }]
  await pod('claiming', { volumes })
  await cluster.advance(5000)
  const steps = (await ofPod('late')).suggestions.map((suggestion) => suggestion.steps.join())
  expect(steps[0]).toBe('free 500m of cpu on node-1, for instance by moving default/holder away')
  expect(steps).toContain('add a node like node-1')
  expect((await ofPod('gated')).causes).toMatchObject([{ reason: 'SchedulingGated' }])
  expect((await ofPod('foreign')).causes[0]?.message).toContain('the scheduler "mine"')
  const claiming = await ofPod('claiming')
  expect(claiming.causes[0]?.because).toEqual([
    { about: 'persistentvolumeclaim/nowhere', reason: 'NotFound', message: 'it does not exist', because: [] },
  ])
  expect(claiming.suggestions[0]?.steps).toEqual(['create the PersistentVolumeClaim nowhere'])
})

test('not Ready: crashes with exit code and memory, images, configuration, probes', async () => {
  cluster = await startSimCluster({ seed: 3, nodes: 1 })
  const { world } = cluster.sim
  world.image('crash:1', () => ({ exit: { afterMs: 10, code: 127 } }))
  world.image('greedy:1', () => ({ exit: { afterMs: 10, code: 137, oom: true } }))
  world.image('gone:1', { pullError: { kind: 'not-found', message: 'docker.io/library/gone:1: not found' } })
  world.image('sick:1', () => ({ http: () => ({ status: 503, body: 'no' }) }))
  const container = (image: string, more: object = {}) => ({ containers: [{ name: 'main', image, ...more }] })
  await pod('crash', container('crash:1'))
  await pod('greedy', container('greedy:1', { resources: { limits: { memory: '64Mi' } } }))
  await pod('gone', container('gone:1'))
  const env = [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'settings', key: 'a' } } }]
  await pod('unset', container('server:1', { env }))
  await pod('sick', container('sick:1', { readinessProbe: { httpGet: { path: '/', port: 80 }, periodSeconds: 1 } }))
  await cluster.advance(90_000)

  const crash = await ofPod('crash')
  expect(crash).toMatchObject({
    state: 'CrashLoopBackOff',
    causes: [{ about: 'container main', reason: 'CrashLoopBackOff' }],
  })
  expect(crash.causes[0]?.because[0]?.message).toContain('exit code 127: the command was not found in the image')
  expect((await ofPod('greedy')).suggestions[0]?.steps).toEqual(['raise the memory limit of container main (now 64Mi)'])
  expect((await ofPod('gone')).causes[0]?.reason).toMatch(/^ErrImagePull$|^ImagePullBackOff$/)
  expect((await ofPod('unset')).suggestions[0]?.steps).toEqual([
    'create the configmap settings, or make the reference optional',
  ])
  await create(cluster, configMaps, { metadata: { name: 'settings' }, data: { b: '1' } })
  await cluster.advance(30_000)
  expect((await ofPod('unset')).causes[0]).toMatchObject({
    reason: 'CreateContainerConfigError',
    because: [{ about: 'configmap/settings', reason: 'KeyNotFound' }],
  })
  const sick = await ofPod('sick')
  expect(sick).toMatchObject({ state: 'Running, not Ready', causes: [{ reason: 'ReadinessProbe' }] })
  expect(sick.causes[0]?.because[0]?.message).toContain('HTTP probe failed with statuscode: 503')
})

test('evicted, and Terminating: finalizers, a node that is off', async () => {
  cluster = await startSimCluster({ seed: 4, nodes: 2 })
  const victim = await pod('victim', { nodeName: 'node-1' })
  await pod('held', { nodeName: 'node-1' }, { finalizers: ['example.com/backup'] })
  await pod('lost', { nodeName: 'node-2' })
  await cluster.advance(10_000)
  const message = 'The node was low on resource: memory. Threshold quantity: 100Mi, available: 60Mi.'
  const failed = { ...victim, status: { ...victim.status, phase: 'Failed', reason: 'Evicted', message } }
  cluster.partition('node-1')
  await cluster.run(
    cluster.client
      .resource(pods)
      .patch('victim', 'default', 'merge', { status: failed.status }, { subresource: 'status' }),
  )
  expect(await ofPod('victim')).toMatchObject({ state: 'Evicted', causes: [{ reason: 'Evicted', message }] })
  cluster.reconnect('node-1')
  await cluster.powerOff('node-2')
  await cluster.advance(60_000)
  for (const name of ['held', 'lost']) await cluster.run(cluster.client.resource(pods).delete(name, 'default'))
  await cluster.advance(60_000)
  expect(await ofPod('held')).toMatchObject({ state: 'Terminating', causes: [{ reason: 'Finalizer' }] })
  const lost = await ofPod('lost')
  expect(lost).toMatchObject({ state: 'Terminating', causes: [{ about: 'node/node-2', reason: 'NodeNotReady' }] })
  expect(lost.suggestions.map(({ steps }) => steps.join()).join()).toContain('--force --grace-period=0')
})

test('workloads: their own refusals, and the troubles of their pods told once', async () => {
  cluster = await startSimCluster({ seed: 5, nodes: 1 })
  cluster.sim.world.image('crash:1', () => ({ exit: { afterMs: 10, code: 3 } }))
  await create(cluster, resourceQuotas, { metadata: { name: 'few' }, spec: { hard: { pods: '4' } } })
  await cluster.advance(1000)
  await create(cluster, deployments, deployment('web', 3, {}, { containers: [{ name: 'main', image: 'crash:1' }] }))
  await cluster.advance(60_000)
  await create(cluster, deployments, deployment('more', 3))
  await cluster.advance(60_000)
  const web = await why('apis/apps/v1/namespaces/default/deployments/web')
  expect(web.state).toBe('0 of 3 pods are ready')
  expect(web.causes).toHaveLength(1)
  expect(web.causes[0]?.message).toMatch(/^it is CrashLoopBackOff; so are 2 more \(web-/)
  const more = await why('apis/apps/v1/namespaces/default/deployments/more')
  expect(more.causes[0]).toMatchObject({ about: 'deployment/more', reason: 'FailedCreate' })
  expect(more.causes[0]?.message).toContain('exceeded quota: few')
  await create(cluster, jobs, {
    metadata: { name: 'later' },
    spec: { suspend: true, template: { spec: { restartPolicy: 'Never', containers: [runs] } } },
  })
  await cluster.advance(1000)
  expect((await why('apis/batch/v1/namespaces/default/jobs/later')).causes[0]).toMatchObject({ reason: 'JobSuspended' })
})

test('only who may get an object may ask about it, and an unknown path is a 404', async () => {
  cluster = await startSimCluster({ seed: 6, nodes: 1 })
  await pod('web')
  const nobody = createClient(cluster.api.transport({ name: 'jane', groups: ['system:authenticated'] }))
  const refused = await cluster.run(nobody.raw('/why/api/v1/namespaces/default/pods/web'))
  expect(refused.status).toBe(403)
  expect(refused.text).toContain('User \\"jane\\" cannot get resource \\"pods\\"')
  for (const path of ['/why/api/v1/namespaces/default/pods/none', '/why/nothing', '/why/apis/x.y/v1/things/a'])
    expect((await cluster.run(cluster.client.raw(path))).status).toBe(404)
  expect((await cluster.run(cluster.client.raw('/why/api/v1/namespaces/default/pods'))).status).toBe(400)
})

test('Ready between two crashes: the last end is told until it lies ten minutes back', async () => {
  cluster = await startSimCluster({ seed: 9, nodes: 1 })
  let run = 0
  cluster.sim.world.image('flaky:1', () => (run++ === 0 ? { exit: { afterMs: 30_000, code: 3 } } : {}))
  await pod('flaky', { containers: [{ name: 'main', image: 'flaky:1' }] })
  await cluster.advance(60_000)
  const answer = await ofPod('flaky')
  expect(answer).toMatchObject({
    state: 'Running and Ready, after a restart',
    healthy: false,
    causes: [{ about: 'container main', reason: 'Restarted', because: [{ reason: 'Error' }] }],
  })
  expect(answer.causes[0]?.message).toMatch(/^it runs again since \S+Z; restarted once$/)
  expect(answer.causes[0]?.because[0]?.message).toContain('exit code 3')
  await cluster.advance(11 * 60_000)
  expect(await ofPod('flaky')).toMatchObject({ state: 'Running and Ready', healthy: true })
})

test('Ready after its node was off: the restart is told, with the start of the node agent', async () => {
  cluster = await startSimCluster({ seed: 10, nodes: 1 })
  await pod('web')
  await cluster.advance(5000)
  expect(await ofPod('web')).toMatchObject({ state: 'Running and Ready', healthy: true })
  await cluster.powerOff('node-1')
  await cluster.advance(20_000)
  await cluster.powerOn('node-1')
  await cluster.advance(30_000)
  const answer = await ofPod('web')
  expect(answer).toMatchObject({ state: 'Running and Ready, after a restart', healthy: false })
  const text = await textOf('web')
  expect(text).toContain('node/node-1')
  expect(text).toMatch(/the node agent started at \S+Z: cox, or the machine, had been stopped before/)
})
