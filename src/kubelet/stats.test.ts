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
