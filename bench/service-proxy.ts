// How long one change of an endpoint takes from the API to the kernel while there are many, and what a full start costs.
// Rules go into a network namespace of its own. As root: node bench/run.mjs service-proxy [SERVICES] [ENDPOINTS]
import { execFileSync } from 'node:child_process'
import { builtinKinds } from '../src/api/kinds.ts'
import { services } from '../src/api/core/service.ts'
import { endpointSlices } from '../src/api/discovery/endpoint-slice.ts'
import { createApiServer } from '../src/apiserver/server.ts'
import { testIdentity } from '../src/apiserver/testing/server.ts'
import { createClient } from '../src/client/api-client.ts'
import { createInformerFactory } from '../src/client/informer.ts'
import { nftablesDataplane } from '../src/host/nftables/dataplane.ts'
import { createShell } from '../src/host/shell.ts'
import { systemClock as clock, systemRandom as random } from '../src/host/system.ts'
import { silentLog as log } from '../src/ports/log.ts'
import { startProxy } from '../src/proxy/proxy.ts'
import { openMemoryStore } from '../src/store/memory.ts'

const serviceCount = Number(process.argv[2] ?? 5000)
const perService = Number(process.argv[3] ?? 50_000) / serviceCount
const rounds = 30
const netns = `coxbench${process.pid}`
const sh = (command: string) => execFileSync('sh', ['-c', command], { encoding: 'utf8' })
const print = (text: string) => process.stdout.write(`${text}\n`)
const rssMiB = () => Math.round(process.memoryUsage.rss() / 2 ** 20)

const api = await createApiServer({
  store: openMemoryStore({ clock }),
  kinds: builtinKinds,
  clock,
  random,
  log,
  identity: testIdentity(),
  nodes: { connect: () => Promise.reject(new Error('no nodes')) },
  settings: { serviceCidrs: ['10.96.0.0/12'], advertiseAddress: '192.0.2.1' },
})
const client = createClient(api.transport({ name: 'admin', groups: ['system:masters'] }))
const address = (n: number) => `10.${128 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`
const endpoint = (n: number) => ({ addresses: [address(n)], conditions: { ready: true }, nodeName: `n${n % 500}` })
const sliceOf = (i: number, shift = 0) =>
  Array.from({ length: perService }, (_, e) => endpoint(i * perService + e + (e === 3 ? shift : 0)))
async function make(i: number) {
  const metadata = { name: `s${i}`, namespace: 'default' }
  await client.resource(services).create({ metadata, spec: { ports: [{ name: 'http', port: 80 }] } } as never)
  await client.resource(endpointSlices).create({
    metadata: { ...metadata, labels: { 'kubernetes.io/service-name': `s${i}` } },
    addressType: 'IPv4',
    endpoints: sliceOf(i),
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
  } as never)
}
for (let i = 0; i < serviceCount; i += 100)
  await Promise.all(Array.from({ length: Math.min(100, serviceCount - i) }, (_, k) => make(i + k)))
print(`${serviceCount} services, ${serviceCount * perService} endpoints; ${rssMiB()} MiB with the API server`)

sh(`ip netns add ${netns}`)
const shell = createShell(1)
try {
  const dataplane = nftablesDataplane({ table: 'cox_bench', log, shell, netns })
  let applied: () => void = () => {}
  const startMs = performance.now()
  const proxy = startProxy({
    informers: createInformerFactory({ client, clock, random, log, bookmarks: false }),
    dataplane: { ...dataplane, apply: (state) => dataplane.apply(state).then(() => applied()) },
    clock,
    log,
    nodeName: 'n1',
    podCidrs: ['10.128.0.0/9'],
    serviceCidrs: ['10.96.0.0/12'],
    ownAddresses: [],
  })
  await proxy.synced
  print(`full start ${((performance.now() - startMs) / 1000).toFixed(2)} s; ${rssMiB()} MiB with the API server`)
  const times: number[] = []
  for (let round = 0; round < rounds; round++) {
    const kernel = new Promise<void>((done) => {
      applied = done
    })
    const began = performance.now()
    await client.resource(endpointSlices).patch(`s${round}`, 'default', 'merge', { endpoints: sliceOf(round, 60_000) })
    await kernel
    times.push(performance.now() - began)
  }
  times.sort((a, b) => a - b)
  const at = (part: number) => times[Math.min(times.length - 1, Math.floor(times.length * part))]?.toFixed(1)
  print(`one endpoint change from the API to the kernel: p50 ${at(0.5)} ms, p90 ${at(0.9)} ms, best ${at(0)} ms`)
  await proxy.stop()
} finally {
  shell.close()
  sh(`ip netns del ${netns}`)
}
process.exit(0)
