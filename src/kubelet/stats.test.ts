import { afterEach, beforeEach, expect, it } from 'vitest'
import { rfc3339Micro } from '../ports/clock.ts'
import { type TestNode, testNode } from './testing/test-node.ts'

let node: TestNode
beforeEach(async () => {
  node = await testNode()
})
afterEach(() => node.stop())

const get = async (path: string): Promise<string> => {
  const { status, body, object } = await node.kubelet.api.request({ method: 'GET', path })
  expect(status).toBe(200)
  return body === undefined ? JSON.stringify(object) : new TextDecoder().decode(body)
}
it("tells the traffic of a pod's own network, and none of the host's", async () => {
  const eth0 = { name: 'eth0', rxBytes: 10, rxErrors: 0, txBytes: 20, txErrors: 1 }
  node.host.podInterfaces = [eth0]
  const containers = [{ name: 'c', image: 'busybox' }]
  await node.create('own', { containers })
  await node.create('host', { containers, hostNetwork: true })
  await node.advance(1000)
  const { pods } = JSON.parse(await get('/stats/summary')) as { pods: { podRef: { name: string }; network?: object }[] }
  const networkOf = (name: string) => pods.find((pod) => pod.podRef.name === name)?.network
  expect(networkOf('own')).toMatchObject({ ...eth0, interfaces: [eth0] })
  expect(networkOf('host')).toBeUndefined()
})
it('says to the millisecond when it measured, and tells a rate again that was asked for a moment ago', async () => {
  const startMs = Math.ceil(node.clock.now() / 1000) * 1000
  node.host.load = { ...node.host.load, timestampMs: startMs + 250, cpuUsageNanoseconds: 4_000_000_000 }
  expect(await get('/metrics/resource')).toContain(`node_cpu_usage_seconds_total 4 ${startMs + 250}\n`)
  node.host.load = { ...node.host.load, timestampMs: startMs + 1750, cpuUsageNanoseconds: 4_300_000_000 }
  expect(await get('/metrics/resource')).toContain(`node_cpu_usage_seconds_total 4.3 ${startMs + 1750}\n`)
  expect(JSON.parse(await get('/stats/summary'))).toMatchObject({
    node: { cpu: { time: rfc3339Micro(startMs + 1750), usageNanoCores: 200_000_000 } },
    pods: [],
  })
})
