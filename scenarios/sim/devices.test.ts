// Dynamic resource allocation through controllers, scheduler and API with the rights that they have: claims made from a
// template, one device for many pods in turn, and nothing left over.
import { expect, test } from 'vitest'
import { jobs } from '../../src/api/batch/job.ts'
import { pods } from '../../src/api/core/pod.ts'
import {
  deviceClasses,
  resourceClaims,
  resourceClaimTemplates,
  resourceSlices,
} from '../../src/api/resource/resource.ts'
import { startSimCluster } from '../../src/sim/sim-cluster.ts'
import { create, eventsOf, podOf, podsOf, runs } from './harness.ts'

test('the pods of a Job use the only device one after another, each by a claim of its own', async () => {
  const cluster = await startSimCluster({ seed: 31, nodes: 2 })
  cluster.sim.world.image('task:1', () => ({ exit: { afterMs: 5000, code: 0 } }))
  cluster.sim.world.driver('gpu.example.com')
  const devices = { requests: [{ name: 'one', exactly: { deviceClassName: 'gpu' } }] }
  await create(cluster, deviceClasses, {
    metadata: { name: 'gpu' },
    spec: { selectors: [{ cel: { expression: 'device.driver == "gpu.example.com"' } }] },
  })
  await create(cluster, resourceSlices, {
    metadata: { name: 'node-2-gpus' },
    spec: {
      driver: 'gpu.example.com',
      nodeName: 'node-2',
      pool: { name: 'node-2', generation: 1, resourceSliceCount: 1 },
      devices: [{ name: 'gpu-0' }],
    },
  })
  await create(cluster, jobs, {
    metadata: { name: 'train' },
    spec: {
      completions: 3,
      parallelism: 3,
      template: {
        spec: {
          restartPolicy: 'Never',
          resourceClaims: [{ name: 'gpu', resourceClaimTemplateName: 'single' }],
          containers: [{ name: 'main', image: 'task:1', resources: { claims: [{ name: 'gpu' }] } }],
        },
      },
    },
  })
  const list = async () => (await cluster.run(cluster.client.resource(resourceClaims).list())).items
  await cluster.advance(3000)
  const [pod] = await podsOf(cluster, 'job-name=train')
  expect(await eventsOf(cluster, pod?.metadata.name ?? '')).toEqual([
    'FailedResourceClaimCreation: PodResourceClaim gpu: resource claim template "single": resourceclaimtemplate.resource.k8s.io "single" not found',
  ])
  await create(cluster, resourceClaimTemplates, { metadata: { name: 'single' }, spec: { spec: { devices } } })

  let most = 0
  await cluster.until(async () => {
    const claims = await list()
    most = Math.max(most, claims.filter(({ status }) => status.allocation !== undefined).length)
    return (await cluster.client.resource(jobs).get('train', 'default')).status.succeeded === 3
  })
  expect(most).toBe(1)
  const done = await podsOf(cluster, 'job-name=train')
  expect(done.map(({ spec }) => spec.nodeName)).toEqual(['node-2', 'node-2', 'node-2'])
  await cluster.until(async () => (await list()).length === 0)
  await cluster.checkers.verify()
  await cluster.stop()
})

test('a pod whose driver is not there waits and says so, and "why" names what to do', async () => {
  const cluster = await startSimCluster({ seed: 32, nodes: 1 })
  await create(cluster, deviceClasses, { metadata: { name: 'gpu' }, spec: {} })
  await create(cluster, resourceSlices, {
    metadata: { name: 'node-1-gpus' },
    spec: {
      driver: 'gpu.example.com',
      nodeName: 'node-1',
      pool: { name: 'node-1', generation: 1, resourceSliceCount: 1 },
      devices: [{ name: 'gpu-0' }],
    },
  })
  const requests = [{ name: 'one', exactly: { deviceClassName: 'gpu' } }]
  await create(cluster, resourceClaims, { metadata: { name: 'mine' }, spec: { devices: { requests } } })
  await create(cluster, pods, {
    metadata: { name: 'user' },
    spec: {
      resourceClaims: [{ name: 'gpu', resourceClaimName: 'mine' }],
      containers: [{ ...runs, resources: { claims: [{ name: 'gpu' }] } }],
    },
  })
  await cluster.advance(5000)
  const why = await cluster.run(cluster.client.raw('/why/api/v1/namespaces/default/pods/user?output=text'))
  expect(why.text).toContain('DRA driver gpu.example.com is not registered')
  expect(why.text).toContain('run the driver gpu.example.com on the node node-1')
  cluster.sim.world.driver('gpu.example.com')
  await cluster.until(async () => (await podOf(cluster, 'user')).status.phase === 'Running')
  await cluster.stop()
})
