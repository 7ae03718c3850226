// What a hop between threads costs, beside what it would save: calls and watch events of Pod size through a message port, as
// objects (structured clone) and as bytes (copied, then parsed), and the memory of a thread that has loaded the program.
// Microseconds of processor time of both sides together. Run with: npm run build && node bench/threads.mjs [COUNT]
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'

const pod = {
  kind: 'Pod',
  apiVersion: 'v1',
  metadata: {
    name: 'pod-1',
    namespace: 'default',
    uid: '6cd5f7a1-2a8b-4f0e-9d6d-2d1d6a0f7f10',
    labels: { app: 'load', shard: '1' },
    managedFields: [
      {
        manager: 'load',
        operation: 'Update',
        fieldsV1: Object.fromEntries(
          Array.from({ length: 40 }, (_, i) => [`f:field-${i}`, { '.': {}, 'f:name': {}, 'f:value': {} }]),
        ),
      },
    ],
  },
  spec: {
    containers: [
      {
        name: 'c',
        image: 'busybox',
        command: ['sleep', '3600'],
        env: [{ name: 'A', value: '1' }],
        resources: { requests: { cpu: '10m', memory: '16Mi' } },
        volumeMounts: [{ name: 'token', mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' }],
      },
    ],
    tolerations: Array.from({ length: 2 }, () => ({ key: 'a', operator: 'Exists', tolerationSeconds: 300 })),
  },
  status: { phase: 'Pending', qosClass: 'Burstable' },
}
const bytes = new TextEncoder().encode(JSON.stringify(pod))

if (isMainThread) {
  const count = Number(process.argv[2] ?? 20_000)
  const row = (name, us) => console.log(`${name.padEnd(44)} ${us.toFixed(1).padStart(7)} us`)
  const spent = async (work) => {
    const before = process.cpuUsage()
    await work()
    const used = process.cpuUsage(before)
    return (used.user + used.system) / count
  }
  const inFlight = async (call) => {
    let next = 0
    await Promise.all(
      Array.from({ length: 64 }, async () => {
        while (next++ < count) await call()
      }),
    )
  }
  const direct = async () => pod
  row('a call on the same thread', await spent(() => inFlight(direct)))
  for (const form of ['object', 'bytes']) {
    const worker = new Worker(new URL(import.meta.url), { workerData: { form } })
    const waiting = new Map()
    let id = 0
    let events = 0
    let allSeen = () => {}
    worker.on('message', (message) => {
      if (message.id !== undefined) {
        waiting.get(message.id)(
          form === 'bytes' ? JSON.parse(new TextDecoder().decode(message.answer)) : message.answer,
        )
        waiting.delete(message.id)
        return
      }
      if (form === 'bytes') JSON.parse(new TextDecoder().decode(message.event))
      if (++events === count) allSeen()
    })
    await new Promise((ready) => worker.once('online', ready))
    const call = () =>
      new Promise((done) => {
        waiting.set(++id, done)
        worker.postMessage({ id, method: 'GET', path: '/api/v1/namespaces/default/pods/pod-1' })
      })
    row(`a get over a message port, ${form}`, await spent(() => inFlight(call)))
    const seen = new Promise((done) => {
      allSeen = done
    })
    row(
      `a watch event over a message port, ${form}`,
      await spent(() => {
        worker.postMessage({ events: count })
        return seen
      }),
    )
    await worker.terminate()
  }
  const before = process.memoryUsage().rss
  const loaded = new Worker(new URL(import.meta.url), { workerData: { form: 'load' } })
  await new Promise((done) => loaded.once('message', done))
  console.log(`a thread that has loaded the program: ${(process.memoryUsage().rss - before) >> 20} MB`)
  await loaded.terminate()
} else if (workerData.form === 'load') {
  await import(new URL('../dist/index.js', import.meta.url).href)
  parentPort.postMessage('loaded')
} else {
  const answer = workerData.form === 'bytes' ? bytes : pod
  parentPort.on('message', (message) => {
    if (message.events === undefined) parentPort.postMessage({ id: message.id, answer })
    else for (let i = 0; i < message.events; i++) parentPort.postMessage({ event: answer })
  })
}
