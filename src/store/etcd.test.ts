import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { loopbackCert, loopbackKey } from '../host/testing/loopback-cert.ts'
import { openEtcdStore } from './etcd.ts'
import { startHistoryKeeper } from './history.ts'
import type { Store } from './store.ts'
import { type EtcdServer, hasEtcd, startEtcd } from './testing/etcd-server.ts'
import { put, Recorder, storeSuite, textOf, write } from './testing/store-suite.ts'

const clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  // Nobody sets the clock here.
  onSet: () => ({ cancel: () => {} }),
  after: (delayMs: number, run: () => void) => {
    const timer = setTimeout(run, delayMs)
    return { cancel: () => clearTimeout(timer) }
  },
}
const installed = hasEtcd()
/** etcd looks for expired leases twice a second and takes its time to delete. */
const expiryDelayMs = 1500

async function open() {
  const server = await startEtcd()
  const store = await openEtcdStore({ endpoints: [server.url], clock })
  return {
    store,
    advance: (ms: number) => new Promise<void>((done) => setTimeout(done, ms + (ms > 2000 ? expiryDelayMs : 0))),
    async dispose() {
      await store.close()
      await server.stop()
    },
  }
}

describe.skipIf(!installed)('etcd', () => {
  storeSuite('etcd', open, { countsHistory: false })

  let server: EtcdServer | undefined
  const stores: Store[] = []
  const openAt = async (...endpoints: string[]) => {
    const store = await openEtcdStore({ endpoints, clock })
    stores.push(store)
    return store
  }
  afterEach(async () => {
    for (const store of stores.splice(0)) await store.close()
    await server?.stop()
    server = undefined
  })

  test('several servers on one etcd see each other: revisions, compares, watches, compaction', async () => {
    server = await startEtcd()
    const [one, two] = [await openAt(server.url), await openAt(server.url)]
    const watch = new Recorder(two, '/a/')
    const revision = await write(one, put('/a/1', 'one'))
    await watch.until(revision)
    expect(watch.lines).toEqual([`/a/1=one@${revision}`])
    expect(two.currentRevision()).toBe(revision)
    const lost = await two.txn([{ key: '/a/1', modRevision: 0 }], [put('/a/1', 'two')])
    expect(lost.ok).toBe(false)
    if (!lost.ok) expect(textOf(lost.current[0])).toBe('one')
    const next = await write(one, put('/b', 'x'))
    expect(await two.latestRevision()).toBe(next)
    await watch.until(next)
    await one.compact(next)
    await two.compact(next)
    await expect(two.get('/a/1', revision)).rejects.toThrow('required revision has been compacted')
    const third = await openAt(server.url)
    expect(third.compactedRevision()).toBe(next)
  })

  test('a watch ends with the connection and resumes where it was when etcd is back', async () => {
    server = await startEtcd()
    const store = await openAt(server.url)
    const first = await write(store, put('/a', '1'))
    const watch = new Recorder(store, '/')
    await server.kill()
    await watch.failed()
    expect(watch.errors[0]?.message).toContain('the watch broke')
    await expect(store.txn([], [put('/a', '2')])).rejects.toThrow()
    await server.start()
    const second = await write(await openAt(server.url), put('/a', '3'))
    const resumed = new Recorder(store, '/', first + 1)
    await resumed.until(second)
    expect(resumed.lines).toEqual([`/a=3@${second} was 1`])
  })

  test('an endpoint that does not answer is passed over; none at all is said in one line', async () => {
    server = await startEtcd()
    const store = await openAt('http://127.0.0.1:1', server.url)
    expect(await write(store, put('/a', '1'))).toBeGreaterThan(1)
    const failure = await openEtcdStore({ endpoints: ['http://127.0.0.1:1'], clock }).then(
      () => undefined,
      (error: unknown) => error as Error,
    )
    expect(failure?.name).toBe('StoreOpenError')
    expect(failure?.message).toMatch(
      /^cannot use etcd at http:\/\/127\.0\.0\.1:1 \(.+\): start it, or name other endpoints$/,
    )
    expect(failure?.message).not.toContain('\n')
  })

  test('TLS: with the right authority, and refused without', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'coxswain-tls-'))
    const [certFile, keyFile] = [join(directory, 'cert.pem'), join(directory, 'key.pem')]
    writeFileSync(certFile, loopbackCert)
    writeFileSync(keyFile, loopbackKey)
    server = await startEtcd({ certFile, keyFile })
    const store = await openEtcdStore({ endpoints: [server.url], tls: { caFile: certFile }, clock })
    stores.push(store)
    expect(await write(store, put('/a', '1'))).toBeGreaterThan(1)
    await expect(openEtcdStore({ endpoints: [server.url], clock })).rejects.toThrow(/^cannot use etcd at https:/)
    rmSync(directory, { recursive: true })
  })

  test('history is kept by age', async () => {
    server = await startEtcd()
    const store = await openAt(server.url)
    let nowMs = 1_000_000
    const moved = { ...clock, now: () => nowMs, after: () => ({ cancel: () => {} }) }
    const keeper = await startHistoryKeeper({ store, clock: moved, budget: { maxAgeMs: 60_000, maxBytes: 1 << 30 } })
    const old = await write(store, put('/a', '1'))
    await keeper.keep()
    nowMs += 30_000
    const newer = await write(store, put('/a', '2'))
    await keeper.keep()
    nowMs += 40_000
    await keeper.keep()
    expect(store.compactedRevision()).toBe(old)
    expect(keeper.revisionAt(nowMs)).toBeGreaterThanOrEqual(newer)
    keeper.stop()
  })
})
