import { afterEach, expect, it } from 'vitest'
import type { NodeApi } from '../../ports/node-api.ts'
import { type Loose, type TestServer, testServer } from '../testing/server.ts'
import { readNodeSample } from './node-sample.ts'

let server: TestServer
afterEach(() => server.api.close())

interface Figures {
  cpuSeconds: number
  memoryBytes: number
  startedAtMs: number
}
/** Two nodes: one measures containers of pods in `default`, the other does not answer. */
async function start() {
  const containers = new Map<string, Figures>()
  const node = { cpuSeconds: 100, memoryBytes: 2 * 1024 ** 3 }
  let reads = 0
  const request: NodeApi['request'] = async ({ path }) => {
    expect(path).toBe('/metrics/resource')
    reads++
    const now = server.clock.now()
    const text = [
      '# HELP node_cpu_usage_seconds_total [STABLE] Cumulative cpu time',
      `node_cpu_usage_seconds_total ${node.cpuSeconds} ${now}`,
      `node_memory_working_set_bytes ${node.memoryBytes} ${now}`,
      ...[...containers].flatMap(([id, { cpuSeconds, memoryBytes, startedAtMs }]) => {
        const [pod, container] = id.split('/')
        const labels = `{container="${container}",namespace="default",pod="${pod}"}`
        return [
          `container_cpu_usage_seconds_total${labels} ${cpuSeconds} ${now}`,
          `container_memory_working_set_bytes${labels} ${memoryBytes} ${now}`,
          `container_start_time_seconds${labels} ${startedAtMs / 1000} ${now}`,
        ]
      }),
    ]
    return { status: 200, headers: {}, body: new TextEncoder().encode(`${text.join('\n')}\n`) }
  }
  server = await testServer({
    nodes: {
      connect: (name) =>
        name === 'n1' ? Promise.resolve({ request } as NodeApi) : Promise.reject(new Error('it does not answer')),
    },
  })
  for (const name of ['n1', 'n2'])
    await server.call('POST', '/api/v1/nodes', { metadata: { name, labels: { zone: name } } })
  await server.call('POST', '/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'default' } })
  const run = async (pod: string, nodeName: string) =>
    server.call('POST', '/api/v1/namespaces/default/pods', {
      metadata: { name: pod, labels: { app: pod } },
      spec: { nodeName, containers: [{ name: 'a', image: 'i' }] },
    })
  const pods = (query = '') => ask(`/apis/metrics.k8s.io/v1beta1/namespaces/default/pods${query}`)
  const nodes = (query = '') => ask(`/apis/metrics.k8s.io/v1beta1/nodes${query}`)
  /** Lets time pass until the answer is there; while it does, containers work. */
  async function ask(path: string) {
    let done = false
    const answer = server.call('GET', path).finally(() => {
      done = true
    })
    while (!done) {
      await new Promise((next) => setImmediate(next))
      pass(250)
    }
    return answer
  }
  /** A quarter of a core for the node, a tenth for every container. */
  function pass(ms: number) {
    node.cpuSeconds += (ms / 1000) * 0.25
    for (const each of containers.values()) each.cpuSeconds += (ms / 1000) * 0.1
    server.clock.advance(ms)
  }
  const started = (memoryBytes: number): Figures => ({ cpuSeconds: 0, memoryBytes, startedAtMs: server.clock.now() })
  return { containers, run, pods, nodes, pass, started, reads: () => reads }
}
const itemsOf = (json: Loose) => json['items'] as unknown as readonly Loose[]
const nanos = (text: unknown): number => {
  const [, number = '', unit = ''] = /^(\d+)([num]?)$/.exec(String(text)) ?? []
  return Number(number) * ({ n: 1, u: 1e3, m: 1e6 }[unit] ?? 1e9)
}

it('tells what nodes use, over a second when nobody has asked before', async () => {
  const { nodes, pass } = await start()
  const { json, status } = await nodes()
  expect(status).toBe(200)
  expect(json).toMatchObject({ kind: 'NodeMetricsList', apiVersion: 'metrics.k8s.io/v1beta1' })
  const [first, ...others] = itemsOf(json)
  expect(others).toEqual([])
  expect(first).toMatchObject({
    kind: 'NodeMetrics',
    metadata: { name: 'n1', labels: { zone: 'n1' } },
    usage: { memory: '2Gi' },
  })
  expect(nanos(first?.['usage']?.['cpu'])).toBeCloseTo(0.25e9, -6)
  expect(first?.['window']).toMatch(/^1(\.\d+)?s$/)
  pass(15_000)
  const later = await nodes('/n1')
  expect(later.json['window']).toMatch(/^1[5-7](\.\d+)?s$/)
  expect((await nodes('/n2')).json).toMatchObject({
    code: 404,
    message: 'nodemetrics.metrics.k8s.io "n2" not found',
  })
  expect((await nodes('/n3')).json).toMatchObject({ code: 404, message: 'nodes "n3" not found' })
  expect(itemsOf((await nodes('?labelSelector=zone%3Dn2')).json)).toEqual([])
})
it('tells what containers use, of those that run and were measured', async () => {
  const { containers, run, pods, started, pass, reads } = await start()
  for (const pod of ['p', 'q', 'idle']) await run(pod, 'n1')
  await run('far', 'n2')
  containers.set('p/a', started(1024 * 1024))
  containers.set('p/b', started(1536))
  containers.set('q/a', started(4096))
  pass(5000)
  const { json } = await pods()
  expect(itemsOf(json).map((pod) => pod['metadata']?.['name'] as unknown)).toEqual(['p', 'q'])
  expect(itemsOf(json)[0]).toMatchObject({
    kind: 'PodMetrics',
    metadata: { namespace: 'default', labels: { app: 'p' } },
    containers: [
      { name: 'a', usage: { memory: '1Mi' } },
      { name: 'b', usage: { memory: '1536' } },
    ],
  })
  const before = reads()
  const both = await Promise.all([pods(), pods('?labelSelector=app%3Dq'), pods('/p')])
  expect(reads() - before, 'questions at one time share a reading').toBeLessThanOrEqual(1)
  expect(itemsOf(both[1].json)).toHaveLength(1)
  // run again between two readings: it counts from its start
  pass(20_000)
  containers.set('q/a', started(8192))
  pass(3000)
  const again = (await pods('/q')).json['containers'] as unknown as readonly Loose[]
  expect(nanos(again[0]?.['usage']?.['cpu'])).toBeCloseTo(0.1e9, -6)
  expect((await pods('/idle')).json).toMatchObject({
    message: 'podmetrics.metrics.k8s.io "default/idle" not found',
  })
  expect((await pods('/none')).json).toMatchObject({ message: 'pods "default/none" not found' })
})
it('is printed as a table, offered to those who may view, and cannot be written', async () => {
  const { nodes, run, containers, started } = await start()
  await run('p', 'n1')
  containers.set('p/a', started(2 << 20))
  await nodes()
  const { json } = await server.call('GET', '/apis/metrics.k8s.io/v1beta1/nodes', undefined, {
    headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' },
  })
  expect(json['columnDefinitions']).toMatchObject([
    { name: 'Name' },
    { name: 'cpu' },
    { name: 'memory' },
    { name: 'Window' },
  ])
  expect((json['rows'] as unknown as readonly Loose[])[0]?.['cells']).toMatchObject([
    'n1',
    expect.anything(),
    '2Gi',
    expect.anything(),
  ])
  expect((await server.call('POST', '/apis/metrics.k8s.io/v1beta1/nodes', {})).status).toBe(405)
  const role = await server.call(
    'GET',
    '/apis/rbac.authorization.k8s.io/v1/clusterroles/system:aggregated-metrics-reader',
  )
  expect(role.json['metadata']?.['labels']).toMatchObject({
    'rbac.authorization.k8s.io/aggregate-to-view': 'true',
  })
})
it('reads the text of any kubelet', () => {
  const text = [
    '# TYPE container_cpu_usage_seconds_total counter',
    'container_cpu_usage_seconds_total{container="a\\"b",namespace="n",pod="p"} 1.5e-3 1000',
    'container_memory_working_set_bytes{pod="p",namespace="n",container="a\\"b"} 4096',
    'container_memory_working_set_bytes{container="half",namespace="n",pod="p"} 1',
    'something_else{x="y"} 1',
    'scrape_error NaN',
    'not a sample at all',
  ].join('\n')
  const { node, pods } = readNodeSample(text, 5)
  expect(node).toBeUndefined()
  expect([...(pods.get('n/p') ?? [])]).toEqual([
    ['a"b', { atMs: 1000, cpuSeconds: 0.0015, memoryBytes: 4096, startedAtMs: 0 }],
  ])
})
