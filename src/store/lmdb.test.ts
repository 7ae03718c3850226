import { execFileSync } from 'node:child_process'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { isRoot } from '../host/testing/needs.ts'
import { openLmdbStore } from './lmdb.ts'
import type { Store } from './store.ts'
import { bundleWriter, crashRounds, startWriter } from './testing/crash-rounds.ts'
import { modelSuite } from './testing/model-suite.ts'
import { del, put, Recorder, storeSuite, textOf, write } from './testing/store-suite.ts'
import { TestClock } from './testing/test-clock.ts'
import { bytes } from './testing/texts.ts'

const root = mkdtempSync(join(tmpdir(), 'coxswain-store-'))
let count = 0
const newDirectory = () => join(root, String(count++))
afterAll(() => rmSync(root, { recursive: true, force: true }))

async function open(directory = newDirectory()) {
  const clock = new TestClock()
  let store = await openLmdbStore({ directory, clock })
  return {
    store,
    directory,
    advance: async (ms: number) => {
      clock.advance(ms)
      await store.txn([], [{ type: 'delete', key: '/nothing' }])
    },
    reopen: async () => {
      await store.close()
      store = await openLmdbStore({ directory, clock })
      return store
    },
    dispose: () => store.close(),
  }
}
const reopenAt = (directory: string) => openLmdbStore({ directory, clock: new TestClock() })

storeSuite('lmdb', open)
modelSuite('lmdb', open, { runs: 40 })

describe('lmdb on disk', () => {
  test('reopening finds present and past, leases and compaction', async () => {
    const { store, directory } = await open()
    const first = await write(store, put('/a', '1'), put('/b', '1'))
    const lease = await store.grantLease(5)
    await store.txn([], [{ type: 'put', key: '/leased', value: bytes('x'), lease }])
    const third = await write(store, put('/a', '2'))
    const fourth = await write(store, del('/b'))
    const before = await store.stats()
    await store.close()

    const clock = new TestClock()
    const again = await openLmdbStore({ directory, clock })
    expect(again.currentRevision()).toBe(fourth)
    expect((await again.list('/')).items.map((kv) => [kv.key, textOf(kv)])).toEqual([
      ['/a', '2'],
      ['/leased', 'x'],
    ])
    expect((await again.list('/', { revision: first })).items.map(textOf)).toEqual(['1', '1'])
    expect(await again.stats()).toEqual(before)
    const watch = new Recorder(again, '/', third)
    await watch.until(fourth)
    expect(watch.lines).toEqual([`/a=2@${third} was 1`, `-/b@${fourth} was 1`])
    await again.compact(fourth)
    clock.advance(6000)
    await write(again, put('/c', '1'))
    expect((await again.list('/')).items.map((kv) => kv.key)).toEqual(['/a', '/c'])
    expect(await again.grantLease(5)).not.toBe(lease)
    await again.close()

    const last = await reopenAt(directory)
    expect(last.compactedRevision()).toBe(fourth)
    expect(await last.get('/a')).toMatchObject({ createRevision: first, modRevision: third, version: 2 })
    await last.close()
  })

  test('a deletion that was the last revision and is compacted does not turn the revision back', async () => {
    const { store, directory } = await open()
    await write(store, put('/a', '1'))
    const last = await write(store, del('/a'))
    await store.compact(last)
    await store.close()
    const again = await reopenAt(directory)
    expect(again.currentRevision()).toBe(last)
    expect(await write(again, put('/a', '1'))).toBe(last + 1)
    await again.close()
  })

  test('compaction gives the disk space back to later writes', async () => {
    const { store, directory } = await open()
    const value = new Uint8Array(20_000).fill(7)
    const size = () => statSync(join(directory, 'data.mdb')).size
    const fill = async () => {
      for (let i = 0; i < 100; i += 10)
        await Promise.all(
          Array.from({ length: 10 }, (_, j) => store.txn([], [{ type: 'put', key: `/k${(i + j) % 4}`, value }])),
        )
      await store.compact(store.currentRevision())
    }
    await fill()
    const once = size()
    for (let i = 0; i < 5; i++) await fill()
    expect(size()).toBeLessThan(once * 2)
    await store.close()
  })

  test('many writers at once share few commits', async () => {
    const { store } = await open()
    const started = performance.now()
    await write(store, put('/one', 'x'))
    const one = performance.now() - started
    const together = performance.now()
    await Promise.all(Array.from({ length: 1000 }, (_, i) => write(store, put(`/k${i}`, 'x'))))
    // A thousand fsyncs would take a thousand times as long; two orders of magnitude leave room for a busy machine.
    expect(performance.now() - together).toBeLessThan(Math.max(one, 1) * 1000)
    await store.close()
  })
})

describe('what cannot be opened says so in one line', () => {
  const failure = async (directory: string): Promise<string> => {
    const error: unknown = await reopenAt(directory).then(
      async (store) => {
        await store.close()
        return undefined
      },
      (e: unknown) => e,
    )
    expect(error).toBeInstanceOf(Error)
    const { name, message } = error as Error
    expect(name).toBe('StoreOpenError')
    expect(message).not.toContain('\n')
    expect(message).toContain(directory)
    return message
  }
  /** A closed database with a few thousand keys. */
  const filled = async (): Promise<string> => {
    const { store, directory } = await open()
    for (let i = 0; i < 2000; i += 500)
      await write(store, ...Array.from({ length: 500 }, (_, j) => put(`/k${i + j}`, `${'value '.repeat(40)}${i + j}`)))
    await store.close()
    return directory
  }

  test('a directory in use by this process', async () => {
    const { store, directory } = await open()
    expect(await failure(directory)).toMatch(`is in use by process ${process.pid}: stop it`)
    await write(store, put('/a', '1'))
    await store.close()
    await (await reopenAt(directory)).close()
  })

  test('a directory in use by another process, which is free again once that is killed', async () => {
    const directory = newDirectory()
    const { child, exited } = await startWriter(await bundleWriter(), directory, 1)
    expect(await failure(directory)).toMatch(`is in use by process ${child.pid}: stop it`)
    child.kill('SIGKILL')
    await exited
    await (await reopenAt(directory)).close()
  })

  test('another format', async () => {
    const directory = await filled()
    writeFileSync(join(directory, 'store-format'), '7\n')
    expect(await failure(directory)).toMatch('has format 7, this version reads format 1')
  })

  test.for<[string, (file: string) => void]>([
    ['emptied', (file) => truncateSync(file, 0)],
    ['cut to a hundred bytes', (file) => truncateSync(file, 100)],
    ['cut in half', (file) => truncateSync(file, Math.floor(statSync(file).size / 2))],
    ['without its last page', (file) => truncateSync(file, statSync(file).size - 4096)],
    [
      'filled with noise',
      (file) =>
        writeFileSync(
          file,
          Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7919) & 255),
        ),
    ],
    ['some text', (file) => writeFileSync(file, 'not a database at all\n'.repeat(1000))],
    ['removed', (file) => rmSync(file)],
  ])('damaged: %s', async ([, damage]) => {
    const directory = await filled()
    damage(join(directory, 'data.mdb'))
    expect(await failure(directory)).toMatch(/is damaged \(.*\): restore a backup/)
  })

  test('every page that is overwritten is noticed, at the latest when its value is read', async () => {
    const directory = await filled()
    const good = readFileSync(join(directory, 'data.mdb'))
    for (let page = 0; page < good.length / 4096; page += 7) {
      const copy = newDirectory()
      cpSync(directory, copy, { recursive: true })
      const file = openSync(join(copy, 'data.mdb'), 'r+')
      writeSync(file, new Uint8Array(4096).fill(0xa5), 0, 4096, page * 4096)
      const outcome = await reopenAt(copy).then(
        async (store) => {
          const listed = await store.list('/').catch((e: unknown) => e as Error)
          await store.close()
          return listed instanceof Error ? listed.message : listed.items.length
        },
        (e: unknown) => (e as Error).message,
      )
      if (typeof outcome === 'number') expect(outcome).toBe(2000)
      else expect(outcome).toMatch(/damaged/)
    }
  })

  test('a path that is a file', async () => {
    const path = join(root, 'file')
    writeFileSync(path, 'x')
    expect(await failure(path)).toMatch(/cannot use .* for the store/)
    expect(await failure(join(path, 'below'))).toMatch(/cannot use .* for the store/)
  })

  test('a place where nothing can be made', async () => {
    expect(await failure('/proc/coxswain/store')).toMatch(/cannot use \/proc\/coxswain\/store for the store/)
  })
})

test.skipIf(!isRoot)(
  'a full disk refuses writes, loses nothing, and takes writes again when there is room',
  async () => {
    const directory = newDirectory()
    mkdirSync(directory)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', directory])
    // lmdb prints each failed commit.
    const printed = vi.spyOn(console, 'error').mockImplementation(() => {})
    try {
      const path = join(directory, 'store')
      const store = await reopenAt(path)
      const acknowledged = new Set<string>()
      const messages = new Set<string>()
      await Promise.all(
        Array.from({ length: 16 }, async (_, writer) => {
          for (let i = 0; i < 100; i++) {
            const key = `/${writer}/${i}`
            await store.txn([], [{ type: 'put', key, value: new Uint8Array(2000) }]).then(
              () => acknowledged.add(key),
              (error: unknown) => messages.add((error as Error).message),
            )
          }
        }),
      )
      expect([...messages]).toEqual([`cannot write to ${path}: no space left on device, make room`])
      const keys = async (from: Store) => new Set((await from.list('/')).items.map((kv) => kv.key))
      expect(await keys(store)).toEqual(acknowledged)
      expect(store.currentRevision()).toBe(1 + acknowledged.size)
      await store.close()
      execFileSync('mount', ['-o', 'remount,size=20m', directory])
      const again = await reopenAt(path)
      expect(await keys(again)).toEqual(acknowledged)
      expect(await write(again, put('/room', 'x'))).toBe(2 + acknowledged.size)
      await again.close()
    } finally {
      printed.mockRestore()
      execFileSync('umount', [directory])
    }
  },
)

test('kill -9 under 64 writers loses nothing that was answered and shows no half transaction', async () => {
  const report = await crashRounds({ directory: newDirectory(), rounds: 2, seed: 7 })
  expect(report.faults).toEqual([])
  expect(report.acknowledged).toBeGreaterThan(100)
})
