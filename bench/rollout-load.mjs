#!/usr/bin/env node
// A Deployment rolled out on simulated nodes behind any API server, the Go one included: the time from its creation until every pod
// is available, the writes to the store per pod (revisions, so events and everything else count), and which requests these were. The
// program plays the node agents with one status patch for each bound pod; scheduling and all control loops are the cluster's own.
// usage: rollout-load.mjs --url U --cert C --key K [--pods 1000] [--nodes 20] [--timeout 120]
import { readFileSync } from 'node:fs'
import http2 from 'node:http2'
import { parseArgs } from 'node:util'

const text = (value) => ({ type: 'string', ...(value === undefined ? {} : { default: value }) })
const { values: a } = parseArgs({
  options: {
    url: text(),
    cert: text(),
    key: text(),
    pods: text('1000'),
    nodes: text('20'),
    timeout: text('120'),
  },
})
const [replicas, nodes] = [Number(a.pods), Number(a.nodes)]
const tag = `rollout${Date.now()}`
const tls = { rejectUnauthorized: false, cert: readFileSync(a.cert), key: readFileSync(a.key) }
const connect = () => {
  const session = http2.connect(a.url, { ...tls, settings: { initialWindowSize: 1 << 22 } })
  session.on('connect', () => session.setLocalWindowSize(1 << 26))
  return session
}
const sessions = Array.from({ length: 4 }, connect)
let turn = 0
function request(method, path, body, type = 'application/json') {
  const stream = sessions[turn++ % sessions.length].request({
    ':method': method,
    ':path': path,
    accept: 'application/json',
    ...(body === undefined ? {} : { 'content-type': type }),
  })
  return new Promise((resolve, reject) => {
    let [status, answer] = [0, '']
    stream.on('response', (headers) => (status = headers[':status']))
    stream.on('data', (data) => (answer += data))
    stream.on('end', () =>
      status < 300 ? resolve(answer) : reject(new Error(`${method} ${path}: ${status} ${answer.slice(0, 300)}`)),
    )
    stream.on('error', reject)
    stream.end(body === undefined ? undefined : JSON.stringify(body))
  })
}
const get = async (path) => JSON.parse(await request('GET', path))
/** Objects of a watch, until `seen` answers true. Goes on from the last revision where the server ends it, as it may. */
async function watch(path, from, seen) {
  let [revision, over] = [from, false]
  while (!over)
    await new Promise((ended) => {
      const session = connect()
      const stream = session.request({
        ':path': `${path}&watch=1&resourceVersion=${revision}`,
        accept: 'application/json',
      })
      let rest = ''
      stream.on('data', (data) => {
        const lines = (rest + data).split('\n')
        rest = lines.pop()
        for (const { object } of lines.map((line) => JSON.parse(line))) {
          revision = object.metadata.resourceVersion
          over ||= seen(object)
        }
        if (over) session.destroy()
      })
      stream.on('error', ended)
      stream.on('close', ended)
    })
}
const revision = async () => Number((await get('/api/v1/nodes?limit=1')).metadata.resourceVersion)
/** Requests that write, by verb and resource, as the server counts them. */
async function writes() {
  const counts = new Map()
  for (const line of (await request('GET', '/metrics')).split('\n')) {
    if (!line.startsWith('apiserver_request_total{')) continue
    const label = (name) => new RegExp(`[{,]${name}="([^"]*)"`).exec(line)?.[1] ?? ''
    const [verb, code] = [label('verb'), label('code')]
    if (!/^(POST|PUT|PATCH|DELETE)$/.test(verb) || !code.startsWith('2')) continue
    const of = [verb, [label('resource'), label('subresource')].filter(Boolean).join('/')].join(' ')
    counts.set(of, (counts.get(of) ?? 0) + Number(line.slice(line.lastIndexOf(' '))))
  }
  return counts
}
const now = () => new Date().toISOString().replace(/\.\d+/, '')
const ready = (type) => ({ type, status: 'True', lastTransitionTime: now() })

await Promise.all(
  Array.from({ length: nodes }, async (_, i) => {
    const name = `${tag}-${i}`
    const room = { cpu: '32', memory: '64Gi', pods: '250' }
    const status = { capacity: room, allocatable: room, conditions: [{ ...ready('Ready'), lastHeartbeatTime: now() }] }
    const labels = { sim: tag, 'kubernetes.io/hostname': name }
    await request('POST', '/api/v1/nodes', { apiVersion: 'v1', kind: 'Node', metadata: { name, labels }, status })
    await request('PATCH', `/api/v1/nodes/${name}/status`, { status }, 'application/merge-patch+json')
  }),
)
const until = async (check) => {
  while (!(await check())) await new Promise((done) => setTimeout(done, 100))
}
await until(async () =>
  (await get(`/api/v1/nodes?labelSelector=sim%3D${tag}`)).items.every((n) => !n.spec.taints?.length),
)
await request('POST', '/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: tag } })
await until(() => get(`/api/v1/namespaces/${tag}/serviceaccounts/default`).catch(() => false))

const started = new Set()
const run = async ({ metadata: { name, uid }, spec }) => {
  const statuses = spec.containers.map(({ name: container, image }) => ({
    name: container,
    image,
    imageID: image,
    containerID: `sim://${uid}`,
    ready: true,
    started: true,
    restartCount: 0,
    state: { running: { startedAt: now() } },
  }))
  const types = ['PodReadyToStartContainers', 'Initialized', 'Ready', 'ContainersReady']
  const podIP = `10.9.${started.size >> 8}.${started.size & 255}`
  const status = { phase: 'Running', startTime: now(), podIP, podIPs: [{ ip: podIP }], containerStatuses: statuses }
  const patch = { status: { ...status, conditions: types.map(ready) } }
  await request(
    'PATCH',
    `/api/v1/namespaces/${tag}/pods/${name}/status`,
    patch,
    'application/strategic-merge-patch+json',
  )
}
const pods = `/api/v1/namespaces/${tag}/pods`
const from = (await get(pods)).metadata.resourceVersion
const agents = watch(`${pods}?limit=500`, from, (pod) => {
  if (pod.spec?.nodeName && !started.has(pod.metadata.name)) {
    started.add(pod.metadata.name)
    void run(pod)
  }
  return started.size === replicas
})
const [before, requestsBefore] = [await revision(), await writes()]
const began = performance.now()
const deployments = `/apis/apps/v1/namespaces/${tag}/deployments`
const available = watch(
  `${deployments}?fieldSelector=metadata.name%3Dweb`,
  from,
  ({ status }) => status?.availableReplicas === replicas,
)
const labels = { app: 'web' }
const template = {
  metadata: { labels },
  spec: { nodeSelector: { sim: tag }, containers: [{ name: 'main', image: 'web:1' }] },
}
await request('POST', deployments, {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web' },
  spec: { replicas, selector: { matchLabels: labels }, template },
})
const late = setTimeout(() => {
  console.error(`not rolled out within ${a.timeout} s: ${started.size} pods were bound`)
  process.exit(1)
}, Number(a.timeout) * 1000)
await agents
const bound = performance.now()
await available
clearTimeout(late)
const seconds = (ms) => (ms / 1000).toFixed(2)
const taken = performance.now() - began
// Events are written behind: they belong to the rollout too.
await new Promise((done) => setTimeout(done, 5000))
const perPod = (count) => (count / replicas).toFixed(2)
console.log(
  `pods=${replicas} nodes=${nodes} all_bound_s=${seconds(bound - began)} rolled_out_s=${seconds(taken)}`,
  `pods_per_s=${(replicas / (taken / 1000)).toFixed(0)} writes_per_pod=${perPod((await revision()) - before)}`,
)
const requests = [...(await writes())].map(([of, count]) => [of, count - (requestsBefore.get(of) ?? 0)])
for (const [of, count] of requests.filter(([, count]) => count >= replicas / 100).sort(([, x], [, y]) => y - x))
  console.log(`  ${perPod(count)} ${of}`)
await request('DELETE', `${deployments}/web`)
await request('DELETE', `/api/v1/nodes?labelSelector=sim%3D${tag}`)
await request('DELETE', `/api/v1/namespaces/${tag}`)
process.exit(0)
