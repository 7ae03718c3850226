// What a request costs in the API server itself: the same work as apiload, without sockets and without a client, in
// microseconds of processor time per request. Run with: node bench/run.mjs api-pipeline [COUNT]. With COUNT "grow": what a write
// costs at 1,000 and at 100,000 objects.
import { systemClock } from '../src/host/system.ts'
import { openMemoryStore } from '../src/store/memory.ts'
import { createApiServer } from '../src/apiserver/server.ts'
import { builtinKinds } from '../src/api/kinds.ts'
import { testIdentity } from '../src/apiserver/testing/server.ts'
import { wholeBody } from '../src/apiserver/transport.ts'
import type { ApiRequest } from '../src/apiserver/request.ts'

const grows = process.argv[2] === 'grow'
const count = grows ? 500 : Number(process.argv[2] ?? 5000)
const clock = systemClock
const random = {
  float: Math.random,
  bytes: (length: number) => crypto.getRandomValues(new Uint8Array(length)),
  uuid: (): string => crypto.randomUUID(),
}
const api = await createApiServer({
  store: openMemoryStore({ clock }),
  kinds: builtinKinds,
  clock,
  random,
  identity: testIdentity(),
  nodes: { connect: () => Promise.reject(new Error('no nodes')) },
  tokens: new Map([['admin', { name: 'admin', groups: ['system:masters'] }]]),
})
const encoder = new TextEncoder()
async function send(method: ApiRequest['method'], path: string, body?: string, type = 'application/json') {
  const response = await api.handle({
    method,
    path,
    headers: { authorization: 'Bearer admin', accept: 'application/json', 'content-type': type },
    ...(body === undefined ? {} : { body: wholeBody(encoder.encode(body)) }),
  })
  if (response.kind === 'upgrade' || response.status >= 300) throw new Error(JSON.stringify(response))
  return response
}
const base = '/api/v1/namespaces/default'
await send('POST', `${base}/serviceaccounts`, JSON.stringify({ metadata: { name: 'default' } }))
const labels = (k: number) => ({ app: 'load', shard: String(k % 10) })
const configMap = (k: number) =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: `cm-${k}`, labels: labels(k) },
    data: { payload: 'x'.repeat(1024) },
  })
const pod = (k: number) =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: `pod-${k}`, labels: labels(k) },
    spec: {
      schedulerName: 'none',
      containers: [
        {
          name: 'c',
          image: 'busybox',
          command: ['sleep', '3600'],
          env: [{ name: 'A', value: '1' }],
          resources: { requests: { cpu: '10m', memory: '16Mi' } },
          ports: [{ containerPort: 8080 }],
          livenessProbe: { httpGet: { path: '/', port: 8080 } },
        },
      ],
    },
  })
const status = JSON.stringify({ status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] } })

async function phase(name: string, total: number, inFlight: number, run: (k: number) => Promise<unknown>) {
  const before = process.cpuUsage()
  let next = 0
  const worker = async () => {
    for (let k = next++; k < total; k = next++) await run(k)
  }
  await Promise.all(Array.from({ length: inFlight }, worker))
  const used = process.cpuUsage(before)
  const each = (used.user + used.system) / total
  console.log(
    `${name.padEnd(22)} ${each.toFixed(1).padStart(9)} us/op ${(1e6 / each).toFixed(0).padStart(8)} /s of one core`,
  )
}
if (grows) {
  let size = 0
  const create = (k: number) => send('POST', `${base}/configmaps`, configMap(size + k))
  const label = JSON.stringify({ metadata: { labels: { round: 'x' } } })
  await phase('warming up', 10_000, 64, async (k) => {
    await create(k)
    await send('DELETE', `${base}/configmaps/cm-${k}`)
  })
  for (const wanted of [1000, 100_000]) {
    await phase(`growing to ${wanted}`, wanted - size - count, 64, create)
    size = wanted - count
    await phase(`create at ${wanted}`, count, 64, create)
    size = wanted
    await phase(`patch at ${wanted}`, count, 64, (k) =>
      send('PATCH', `${base}/configmaps/cm-${k}`, label, 'application/merge-patch+json'),
    )
  }
  process.exit(0)
}
await phase('create-configmap', count, 64, (k) => send('POST', `${base}/configmaps`, configMap(k)))
await phase('create-pod', count, 64, (k) => send('POST', `${base}/pods`, pod(k)))
await phase('get-pod', count * 4, 64, (k) => send('GET', `${base}/pods/pod-${k % count}`))
await phase('list-pods-all', 20, 4, () => send('GET', `${base}/pods`))
await phase('list-pods-selector', 100, 4, () => send('GET', `${base}/pods?labelSelector=shard%3D3`))
await phase('patch-status', count, 64, (k) =>
  send('PATCH', `${base}/pods/pod-${k}/status`, status, 'application/strategic-merge-patch+json'),
)
await phase('delete-pod', count, 64, (k) => send('DELETE', `${base}/pods/pod-${k}?gracePeriodSeconds=0`))
const { rss, heapUsed } = process.memoryUsage()
console.log(`memory: rss ${rss >> 20} MB, heap ${heapUsed >> 20} MB`)
process.exit(0)
