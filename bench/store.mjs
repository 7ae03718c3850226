// Durable commits per second of the store: 64 writers, 2 KB values, every answer after its fsync. Then what reading costs
// with 100,000 keys there. Usage: node bench/store.mjs [lmdb|memory] [seconds]
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'

const engine = process.argv[2] ?? 'lmdb'
const seconds = Number(process.argv[3] ?? 3)
const project = new URL('..', import.meta.url).pathname
const cache = join(project, 'node_modules/.cache/coxswain')
mkdirSync(cache, { recursive: true })
const entry = join(cache, 'store-engines.ts')
writeFileSync(
  entry,
  `export { openLmdbStore } from '${project}src/store/lmdb.ts'\nexport { openMemoryStore } from '${project}src/store/memory.ts'\n`,
)
const outfile = join(cache, 'store-engines.mjs')
await build({ entryPoints: [entry], bundle: true, platform: 'node', format: 'esm', packages: 'external', outfile })
const { openLmdbStore, openMemoryStore } = await import(outfile)

const clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  // Nobody sets the clock here.
  onSet: () => ({ cancel: () => {} }),
  after: (ms, run) => {
    const timer = setTimeout(() => run(), ms)
    timer.unref()
    return { cancel: () => clearTimeout(timer) }
  },
}
const directory = mkdtempSync(join(project, 'node_modules/.cache/store-'))
const open = () => (engine === 'lmdb' ? openLmdbStore({ directory, clock }) : openMemoryStore({ clock }))
let store = await open()
const report = (what, count, ms) =>
  console.log(
    `${what.padEnd(48)} ${((count / ms) * 1000).toFixed(0).padStart(9)}/s ${((ms / count) * 1000).toFixed(1).padStart(9)} us each`,
  )
const timed = async (what, count, run) => {
  const start = performance.now()
  await run()
  report(what, count, performance.now() - start)
}
const value = (i) => Buffer.from(`${i}`.padEnd(2048, 'x'))
const key = (i) => `/registry/pods/ns-${i % 50}/pod-${String(i).padStart(7, '0')}`

const writers = async (count, write) => {
  const end = performance.now() + seconds * 1000
  const start = performance.now()
  const waits = []
  let next = 0
  await Promise.all(
    Array.from({ length: count }, async () => {
      while (performance.now() < end) {
        const begun = performance.now()
        await write(next++)
        waits.push(performance.now() - begun)
      }
    }),
  )
  report(`${count} writers, 2 KB`, waits.length, performance.now() - start)
  waits.sort((a, b) => a - b)
  console.log(
    `  p50 ${waits[waits.length >> 1].toFixed(2)} ms, p99 ${waits[Math.floor(waits.length * 0.99)].toFixed(2)} ms`,
  )
}
await writers(1, (i) =>
  store.txn([{ key: `/one/${i}`, modRevision: 0 }], [{ type: 'put', key: `/one/${i}`, value: value(i) }]),
)
await writers(64, (i) => store.txn([], [{ type: 'put', key: key(i % 100_000), value: value(i) }]))
await timed('fill to 100,000 keys', 100_000, async () => {
  for (let i = 0; i < 100_000; i += 1000)
    await Promise.all(
      Array.from({ length: 1000 }, (_, j) => store.txn([], [{ type: 'put', key: key(i + j), value: value(i) }])),
    )
})
await writers(64, (i) => store.txn([], [{ type: 'put', key: key(i % 100_000), value: value(i) }]))
await timed('get', 100_000, async () => {
  for (let i = 0; i < 100_000; i++) await store.get(key(i))
})
await timed('list of 500', 200, async () => {
  for (let i = 0; i < 200; i++) await store.list('/registry/pods/', { limit: 500, after: key(i * 400) })
})
await timed('list of all 100,000', 1, () => store.list('/registry/pods/'))
await timed('count of 100,000', 10, async () => {
  for (let i = 0; i < 10; i++) await store.count('/registry/pods/')
})
console.log(
  await store.stats(),
  `rss ${(process.memoryUsage().rss / 1e6).toFixed(0)} MB, heap ${(process.memoryUsage().heapUsed / 1e6).toFixed(0)} MB`,
)
await timed('compact everything', 1, () => store.compact(store.currentRevision()))
if (engine === 'lmdb') {
  await store.close()
  console.log(`file ${(statSync(join(directory, 'data.mdb')).size / 1e6).toFixed(0)} MB`)
  await timed('open again', 1, async () => {
    store = await open()
  })
}
await store.close()
rmSync(directory, { recursive: true })
