// A hundred thousand hostile requests against the API server: no crash, no hang, no 500, no write by a request that was
// refused, and the memory comes back. Run with: node --expose-gc bench/run.mjs siege [COUNT] [SEED]
import fs from 'node:fs'
import { builtinKinds } from '../src/api/kinds.ts'
import { createApiServer } from '../src/apiserver/server.ts'
import { besiege, countWhatIsLeft } from '../src/apiserver/testing/besiege.ts'
import { type HostileRequest, hostileRequests } from '../src/apiserver/testing/hostile-requests.ts'
import { admin, testIdentity } from '../src/apiserver/testing/server.ts'
import { systemClock } from '../src/host/system.ts'
import { openMemoryStore } from '../src/store/memory.ts'

const count = Number(process.argv[2] ?? 100_000)
const seed = Number(process.argv[3] ?? 1)
const slowMs = 5000
const clock = systemClock
const random = {
  float: Math.random,
  bytes: (length: number) => crypto.getRandomValues(new Uint8Array(length)),
  uuid: (): string => crypto.randomUUID(),
}
const store = openMemoryStore({ clock })
const api = await createApiServer({
  store,
  kinds: builtinKinds,
  clock,
  random,
  identity: testIdentity(),
  nodes: { connect: () => Promise.reject(new Error('no nodes')) },
})
const shown = ({ method, path, headers, body }: HostileRequest) =>
  `${method} ${path.slice(0, 300)} ${JSON.stringify(headers).slice(0, 200)} ${new TextDecoder().decode(body?.subarray(0, 400))}`
const memory = () => {
  globalThis.gc?.()
  return Math.round(process.memoryUsage().heapUsed / 1e6)
}

const heapBefore = memory()
const startedMs = performance.now()
let done = 0
let began = 0
let current: HostileRequest | undefined
let slow = 0
// Somebody must see a request that never ends.
const watchdog = setInterval(() => {
  if (current !== undefined && performance.now() - began > 60_000) {
    console.error(`a request hangs: ${shown(current)}`)
    process.exit(1)
  }
}, 1000)
const report = await besiege(
  { api, store, user: admin },
  hostileRequests(builtinKinds, seed, count),
  (request, status) => {
    if (status === undefined) {
      if (process.env['SIEGE_TRACE'] !== undefined) fs.writeFileSync(process.env['SIEGE_TRACE'], shown(request))
      began = performance.now()
      current = request
      return
    }
    current = undefined
    const tookMs = performance.now() - began
    if (tookMs > slowMs) {
      slow++
      console.log(`${Math.round(tookMs)} ms: ${shown(request)}`)
    }
    if (++done % 5000 === 0) console.log(`${done} requests, ${Math.round((performance.now() - startedMs) / 1000)} s`)
  },
)
clearInterval(watchdog)
const lists = builtinKinds.map(({ group, version, plural }) =>
  group === '' ? `/api/${version}/${plural}` : `/apis/${group}/${version}/${plural}`,
)
const left = await countWhatIsLeft({ api, store, user: admin }, lists)
const { bytes } = await store.stats()
const breaches = [...report.breaches, ...left]
const heapAfter = memory()
console.log(`${count} requests in ${Math.round((performance.now() - startedMs) / 1000)} s`)
console.log(
  [...report.byStatus]
    .sort(([a], [b]) => a - b)
    .map(([status, n]) => `${status}: ${n}`)
    .join(', '),
)
console.log(
  `heap ${heapBefore} MB before, ${heapAfter} MB after with ${Math.round(bytes / 1e6)} MB in the store; ${slow} slow`,
)
for (const { request, what } of breaches.slice(0, 40)) console.log(`BREACH ${what.slice(0, 500)}\n  ${shown(request)}`)
console.log(`${breaches.length} breaches`)
await api.close()
process.exit(breaches.length === 0 ? 0 : 1)
