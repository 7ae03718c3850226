// What a test of somebody else's software writes: the public library, nothing else.
import { once } from 'node:events'
import { MessageChannel, Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import {
  configMaps,
  deployments,
  pods,
  serveMessagePort,
  simPorts,
  startCluster,
  startSimCluster,
} from '../../src/index.ts'

test('a cluster is a value: startCluster over simulated ports', async () => {
  const ports = simPorts({ seed: 7 })
  const cluster = await ports.clock.run(startCluster(ports))
  const machine = await ports.node('node-1')
  await ports.clock.run(cluster.addNode({ name: machine.name, ports: machine }))
  await ports.clock.advance(1000)
  const maps = cluster.client.resource(configMaps)
  await maps.create({ metadata: { name: 'settings', namespace: 'default' }, data: { colour: 'blue' } })
  expect((await maps.get('settings', 'default')).data).toEqual({ colour: 'blue' })
  await ports.clock.run(cluster.stop())
  expect(ports.log.records.filter((record) => record.level === 'error')).toEqual([])
})

test('a day passes in a moment when nodes speak up seldom, and a pod that does nothing does nothing', async () => {
  const cluster = await startSimCluster({
    seed: 8,
    journal: false,
    kubelet: { nodeLeaseSeconds: 1200, nodeStatusUpdateMs: 600_000 },
    controllerSettings: { nodeMonitorGraceMs: 1_500_000 },
  })
  const manifest = {
    metadata: { name: 'web', namespace: 'default' },
    spec: { containers: [{ name: 'main', image: 'nginx' }] },
  }
  await cluster.run(cluster.client.resource(pods).create(manifest as never))
  const began = performance.now()
  await cluster.advance(24 * 3_600_000)
  const dayMs = performance.now() - began
  const pod = await cluster.client.resource(pods).get('web', 'default')
  expect(pod.status.phase).toBe('Running')
  expect(pod.status.containerStatuses?.[0]?.restartCount).toBe(0)
  expect(dayMs).toBeLessThan(10_000)
  await cluster.checkers.verify()
  await cluster.stop()
})

test('an operator on a thread of its own works over a message port, with the rights of its user', async () => {
  const cluster = await startSimCluster({ seed: 9, journal: false })
  const { port1, port2 } = new MessageChannel()
  const disconnect = serveMessagePort(port2, cluster.api.transport({ name: 'operator', groups: ['system:masters'] }))
  const operator = new Worker(new URL('operator-thread.mjs', import.meta.url), {
    workerData: { port: port1 },
    transferList: [port1],
  })
  try {
    await cluster.run(
      cluster.client.resource(configMaps).create({
        metadata: { name: 'shop', namespace: 'default', labels: { app: '' } },
        data: { replicas: '3' },
      }),
    )
    expect(await once(operator, 'message')).toEqual(['shop'])
    await cluster.advance(60_000)
    const deployment = await cluster.client.resource(deployments).get('shop', 'default')
    expect(deployment.status?.readyReplicas).toBe(3)
    expect(deployment.metadata.managedFields?.[0]?.manager).toBe('app-operator')
  } finally {
    await operator.terminate()
    disconnect()
    await cluster.stop()
  }
})
