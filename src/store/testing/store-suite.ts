// The contract of a store as tests: every engine passes all of them. What only an engine with a disk can show (reopening,
// damage, crashes) stands in its own test.
import { afterEach, describe, expect, test } from 'vitest'
import {
  CompactedError,
  FutureRevisionError,
  type KeyValue,
  type Operation,
  type Store,
  type StoreEvent,
} from '../store.ts'
import { bytes } from './texts.ts'

export interface StoreUnderTest {
  readonly store: Store
  /** Lets time pass for leases, in milliseconds; resolves when what that expires is gone. */
  advance(ms: number): Promise<void>
  /** Closes the store and removes what it left. */
  dispose(): Promise<void>
}

export const textOf = (kv: KeyValue | undefined): string | undefined =>
  kv === undefined ? undefined : new TextDecoder().decode(kv.value)
export const put = (key: string, value: string): Operation => ({ type: 'put', key, value: bytes(value) })
export const del = (key: string): Operation => ({ type: 'delete', key })

/** Writes without conditions; answers the revision. */
export async function write(store: Store, ...operations: Operation[]): Promise<number> {
  const result = await store.txn([], operations)
  return result.revision
}

/** An event as one short line: `a=x@5 was y`, `-a@8 was x`. */
export function lineOf(event: StoreEvent): string {
  const was = event.previous === undefined ? '' : ` was ${textOf(event.previous)}`
  return event.type === 'put'
    ? `${event.kv.key}=${textOf(event.kv)}@${event.kv.modRevision}${was}`
    : `-${event.key}@${event.revision}${was}`
}

/** A watch that keeps what it was told, and can be waited for. */
export class Recorder {
  readonly lines: string[] = []
  readonly calls: { readonly revision: number; readonly count: number }[] = []
  readonly errors: Error[] = []
  reached = 0
  private waiters: { readonly when: () => boolean; readonly done: () => void }[] = []
  private readonly handle: { close(): void }

  constructor(store: Store, prefix: string, fromRevision?: number) {
    this.handle = store.watch(prefix, {
      ...(fromRevision === undefined ? {} : { fromRevision }),
      onEvents: (events, revision) => {
        this.lines.push(...events.map(lineOf))
        this.calls.push({ revision, count: events.length })
        this.moved(revision)
      },
      onProgress: (revision) => this.moved(revision),
      onError: (error) => {
        this.errors.push(error)
        this.moved(this.reached)
      },
    })
  }
  close(): void {
    this.handle.close()
  }
  /** Resolves when everything up to `revision` was delivered. */
  until(revision: number): Promise<void> {
    return this.wait(() => this.reached >= revision)
  }
  failed(): Promise<void> {
    return this.wait(() => this.errors.length > 0)
  }
  private wait(when: () => boolean): Promise<void> {
    if (when()) return Promise.resolve()
    return new Promise((done) => this.waiters.push({ when, done }))
  }
  private moved(revision: number): void {
    this.reached = Math.max(this.reached, revision)
    const ready = this.waiters.filter((w) => w.when())
    this.waiters = this.waiters.filter((w) => !ready.includes(w))
    for (const waiter of ready) waiter.done()
  }
}

/** Runs the contract against an engine. `countsHistory`: whether its stats tell history from the present. */
export function storeSuite(
  name: string,
  open: () => Promise<StoreUnderTest>,
  options: { readonly countsHistory: boolean } = { countsHistory: true },
): void {
  describe(`store contract: ${name}`, () => {
    let opened: StoreUnderTest | undefined
    const fresh = async (): Promise<Store> => {
      opened = await open()
      return opened.store
    }
    afterEach(async () => {
      await opened?.dispose()
      opened = undefined
    })
    readsAndWrites(fresh)
    transactions(fresh)
    lists(fresh)
    watches(fresh)
    compaction(fresh, options.countsHistory)
    leases(fresh, (ms) => (opened as StoreUnderTest).advance(ms))
  })
}

function readsAndWrites(fresh: () => Promise<Store>): void {
  test('a fresh store is empty and its revision is above 0', async () => {
    const store = await fresh()
    expect(store.currentRevision()).toBeGreaterThan(0)
    expect(await store.latestRevision()).toBe(store.currentRevision())
    expect(store.compactedRevision()).toBe(0)
    expect(await store.get('/a')).toBeUndefined()
    expect((await store.list('')).items).toEqual([])
  })

  test('every write makes the next revision; version and createRevision count from the creation', async () => {
    const store = await fresh()
    const base = store.currentRevision()
    expect(await write(store, put('/a', '1'))).toBe(base + 1)
    expect(await write(store, put('/b', '1'))).toBe(base + 2)
    expect(await write(store, put('/a', '2'))).toBe(base + 3)
    expect(store.currentRevision()).toBe(base + 3)
    const a = await store.get('/a')
    expect(textOf(a)).toBe('2')
    expect(a).toMatchObject({ key: '/a', createRevision: base + 1, modRevision: base + 3, version: 2 })
    await write(store, del('/a'))
    expect(await store.get('/a')).toBeUndefined()
    await write(store, put('/a', '3'))
    expect(await store.get('/a')).toMatchObject({ createRevision: base + 5, modRevision: base + 5, version: 1 })
  })

  test('a past revision stays readable', async () => {
    const store = await fresh()
    const first = await write(store, put('/a', '1'))
    const second = await write(store, put('/a', '2'))
    const third = await write(store, del('/a'))
    expect(await store.get('/a', first - 1)).toBeUndefined()
    expect(textOf(await store.get('/a', first))).toBe('1')
    expect(textOf(await store.get('/a', second))).toBe('2')
    expect(await store.get('/a', third)).toBeUndefined()
    await expect(store.get('/a', third + 1)).rejects.toThrow(FutureRevisionError)
  })

  test('values are bytes: empty, every byte, more than a megabyte', async () => {
    const store = await fresh()
    const every = Uint8Array.from({ length: 256 }, (_, i) => i)
    const large = Uint8Array.from({ length: 1_200_000 }, (_, i) => (i * 31) & 255)
    await store.txn([], [{ type: 'put', key: '/empty', value: new Uint8Array(0) }])
    await store.txn([], [{ type: 'put', key: '/every', value: every }])
    await store.txn([], [{ type: 'put', key: '/large', value: large }])
    expect((await store.get('/empty'))?.value.length).toBe(0)
    expect(Buffer.from((await store.get('/every'))?.value ?? []).equals(every)).toBe(true)
    expect(Buffer.from((await store.get('/large'))?.value ?? []).equals(large)).toBe(true)
  })

  test('stats count what is there', async () => {
    const store = await fresh()
    await write(store, put('/a', '12345'), put('/b', '1'))
    await write(store, put('/a', '123'))
    await write(store, del('/b'))
    const stats = await store.stats()
    expect(stats.keys).toBe(1)
    expect(stats.bytes).toBeGreaterThanOrEqual(3)
    expect(await store.count('/')).toBe(1)
    expect(await store.count('/b')).toBe(0)
  })

  test('after close nothing is answered', async () => {
    const store = await fresh()
    const watch = new Recorder(store, '')
    await store.close()
    expect(watch.errors).toHaveLength(1)
    await expect(store.get('/a')).rejects.toThrow('the store is closed')
    await expect(store.txn([], [put('/a', '1')])).rejects.toThrow('the store is closed')
  })
}

function transactions(fresh: () => Promise<Store>): void {
  test('a compare holds on the exact modRevision, 0 means absent', async () => {
    const store = await fresh()
    const created = await store.txn([{ key: '/a', modRevision: 0 }], [put('/a', '1')])
    expect(created.ok).toBe(true)
    const again = await store.txn([{ key: '/a', modRevision: 0 }], [put('/a', '2')])
    expect(again.ok).toBe(false)
    if (!again.ok) expect(again.current.map(textOf)).toEqual(['1'])
    const updated = await store.txn([{ key: '/a', modRevision: created.revision }], [put('/a', '2')])
    expect(updated.ok).toBe(true)
    const stale = await store.txn([{ key: '/a', modRevision: created.revision }], [del('/a')])
    expect(stale.ok).toBe(false)
    expect(textOf(await store.get('/a'))).toBe('2')
    expect(store.currentRevision()).toBe(updated.revision)
  })

  test('all writes of a transaction share one revision, or none is made', async () => {
    const store = await fresh()
    const seed = await write(store, put('/a', '1'), put('/b', '1'))
    const result = await store.txn(
      [
        { key: '/a', modRevision: seed },
        { key: '/c', modRevision: 0 },
      ],
      [put('/a', '2'), del('/b'), put('/c', '1')],
    )
    expect(result).toMatchObject({ ok: true, revision: seed + 1 })
    const listed = await store.list('/')
    expect(listed.items.map((kv) => [kv.key, textOf(kv), kv.modRevision])).toEqual([
      ['/a', '2', seed + 1],
      ['/c', '1', seed + 1],
    ])
    const refused = await store.txn([{ key: '/c', modRevision: 0 }], [put('/a', '3'), put('/d', '1')])
    expect(refused.ok).toBe(false)
    expect(textOf(await store.get('/a'))).toBe('2')
    expect(await store.get('/d')).toBeUndefined()
  })

  test('a transaction that writes nothing makes no revision', async () => {
    const store = await fresh()
    const revision = await write(store, put('/a', '1'))
    expect(await store.txn([], [del('/none')])).toMatchObject({ ok: true, revision })
    expect(await store.txn([{ key: '/a', modRevision: revision }], [])).toMatchObject({ ok: true, revision })
    expect(store.currentRevision()).toBe(revision)
  })

  test('nonsense is refused: an empty key, a key twice', async () => {
    const store = await fresh()
    const before = store.currentRevision()
    await expect(store.txn([], [put('', '1')])).rejects.toThrow()
    await expect(store.txn([], [put('/a', '1'), del('/a')])).rejects.toThrow()
    expect(store.currentRevision()).toBe(before)
  })

  test('of many that compare the same revision at once exactly one wins, and losers see a durable winner', async () => {
    const store = await fresh()
    let revision = await write(store, put('/a', '0'))
    for (let round = 0; round < 5; round++) {
      const compared = revision
      const results = await Promise.all(
        Array.from({ length: 20 }, async (_, i) => {
          const result = await store.txn([{ key: '/a', modRevision: compared }], [put('/a', `${round}.${i}`)])
          expect(store.currentRevision()).toBeGreaterThan(compared)
          return result
        }),
      )
      const won = results.filter((r) => r.ok)
      expect(won).toHaveLength(1)
      revision = won[0]?.revision ?? 0
      for (const result of results) if (!result.ok) expect(result.current[0]?.modRevision).toBe(revision)
    }
  })

  test('64 writers increment one counter without losing a step', async () => {
    const store = await fresh()
    const each = 3
    await Promise.all(
      Array.from({ length: 64 }, async () => {
        for (let done = 0; done < each; ) {
          const now = await store.get('/n')
          const next = put('/n', String(Number(textOf(now) ?? 0) + 1))
          const result = await store.txn([{ key: '/n', modRevision: now?.modRevision ?? 0 }], [next])
          if (result.ok) done++
        }
      }),
    )
    expect(textOf(await store.get('/n'))).toBe(String(64 * each))
  })
}

function lists(fresh: () => Promise<Store>): void {
  test('a list holds the prefix and nothing else, in key order', async () => {
    const store = await fresh()
    for (const key of ['/b/2', '/a', '/b/1', '/b', '/c', '/b/10', '/bb']) await write(store, put(key, key))
    const keys = async (prefix: string) => (await store.list(prefix)).items.map((kv) => kv.key)
    expect(await keys('/b/')).toEqual(['/b/1', '/b/10', '/b/2'])
    expect(await keys('/b')).toEqual(['/b', '/b/1', '/b/10', '/b/2', '/bb'])
    expect(await keys('/x')).toEqual([])
    expect(await store.count('/b/')).toBe(3)
  })

  test('pages at one revision are a consistent snapshot with an exact remainder', async () => {
    const store = await fresh()
    const count = 2500
    const key = (i: number) => `/k/${String(i).padStart(5, '0')}`
    for (let i = 0; i < count; i += 100)
      await write(store, ...Array.from({ length: 100 }, (_, j) => put(key(i + j), 'old')))
    const first = await store.list('/k/', { limit: 1100 })
    expect(first.items).toHaveLength(1100)
    expect(first.remaining).toBe(1400)
    await write(store, put(key(2000), 'new'))
    await write(store, del(key(2001)))
    await write(store, put(`${key(2001)}x`, 'new'))
    const { revision } = first
    const second = await store.list('/k/', { limit: 1100, revision, after: first.items[1099]?.key ?? '' })
    const third = await store.list('/k/', { limit: 1100, revision, after: second.items[1099]?.key ?? '' })
    expect([second.remaining, third.remaining, second.revision]).toEqual([300, 0, revision])
    const all = [...first.items, ...second.items, ...third.items]
    expect(all.map((kv) => kv.key)).toEqual(Array.from({ length: count }, (_, i) => key(i)))
    expect(all.every((kv) => textOf(kv) === 'old')).toBe(true)
    const now = await store.list('/k/', { after: key(1999), limit: 2 })
    expect(now.items.map(textOf)).toEqual(['new', 'new'])
    expect(now.items[1]?.key).toBe(`${key(2001)}x`)
    await expect(store.list('/k/', { revision: store.currentRevision() + 1 })).rejects.toThrow(FutureRevisionError)
  })
}

function watches(fresh: () => Promise<Store>): void {
  test('a watch tells what happens under its prefix, with what was there before', async () => {
    const store = await fresh()
    const base = await write(store, put('/a/1', 'old'))
    const watch = new Recorder(store, '/a/')
    await write(store, put('/b/1', 'x'))
    await write(store, put('/a/1', 'new'))
    await write(store, put('/a/2', 'x'), del('/a/1'), put('/b/2', 'x'))
    const last = await write(store, del('/a/2'))
    await watch.until(last)
    expect(watch.lines).toEqual([
      `/a/1=new@${base + 2} was old`,
      `/a/2=x@${base + 3}`,
      `-/a/1@${base + 3} was new`,
      `-/a/2@${base + 4} was x`,
    ])
    expect(watch.calls).toEqual([
      { revision: base + 2, count: 1 },
      { revision: base + 3, count: 2 },
      { revision: base + 4, count: 1 },
    ])
    watch.close()
    watch.close()
    const other = new Recorder(store, '/a/')
    await other.until(await write(store, put('/a/3', 'x')))
    expect(watch.lines).toHaveLength(4)
    other.close()
  })

  test('a watch that nothing matches still learns how far the store is', async () => {
    const store = await fresh()
    const watch = new Recorder(store, '/a/')
    await watch.until(await write(store, put('/b/1', 'x')))
    const late = new Recorder(store, '/a/', 1)
    await late.until(store.currentRevision())
    expect([...watch.lines, ...late.lines]).toEqual([])
  })

  test('a watch may begin in the future', async () => {
    const store = await fresh()
    const next = store.currentRevision() + 2
    const watch = new Recorder(store, '/', next)
    await write(store, put('/a', '1'))
    await write(store, put('/b', '1'))
    await watch.until(next)
    expect(watch.lines).toEqual([`/b=1@${next}`])
  })

  test('watches from every past revision, begun amid writes, see everything once and in order', async () => {
    const store = await fresh()
    const start = store.currentRevision()
    const whole = new Recorder(store, '/')
    const past: Recorder[] = []
    const rounds = 30
    for (let i = 0; i < rounds; i++) {
      const writes = Array.from({ length: 30 }, (_, j) => write(store, put(`/k${(i * 7 + j) % 40}`, `${i}.${j}`)))
      past.push(new Recorder(store, '/', start + 1 + i))
      await Promise.all(writes)
    }
    const last = store.currentRevision()
    expect(last).toBe(start + rounds * 30)
    await whole.until(last)
    for (const [i, watch] of past.entries()) {
      await watch.until(last)
      expect(watch.lines).toEqual(whole.lines.slice(i))
    }
  })

  test('what a watch has seen equals a list', async () => {
    const store = await fresh()
    const state = new Map<string, string>()
    const watch = store.watch('/', {
      fromRevision: store.currentRevision() + 1,
      onEvents: (events) => {
        for (const e of events)
          if (e.type === 'put') state.set(e.kv.key, textOf(e.kv) ?? '')
          else state.delete(e.key)
      },
      onError: (error) => {
        throw error
      },
    })
    for (let i = 0; i < 200; i++) await write(store, i % 3 === 2 ? del(`/k${i % 17}`) : put(`/k${i % 17}`, String(i)))
    const progress = new Recorder(store, '/')
    await progress.until(await write(store, put('/end', 'x')))
    const listed = (await store.list('/')).items.map((kv) => [kv.key, textOf(kv)])
    expect([...state].sort(([a], [b]) => (a < b ? -1 : 1))).toEqual(listed)
    watch.close()
  })

  test('a watcher that throws ends itself alone', async () => {
    const store = await fresh()
    const errors: Error[] = []
    const ended = new Promise<void>((done) => {
      store.watch('/', {
        onEvents: () => {
          throw new Error('no appetite')
        },
        onError: (error) => {
          errors.push(error)
          done()
        },
      })
    })
    const other = new Recorder(store, '/')
    await write(store, put('/a', '1'))
    await other.until(await write(store, put('/b', '1')))
    await ended
    expect(errors.map((e) => e.message)).toEqual(['no appetite'])
    expect(other.lines).toHaveLength(2)
  })
}

function compaction(fresh: () => Promise<Store>, countsHistory: boolean): void {
  test('compaction forgets what no later reader sees, and says so', async () => {
    const store = await fresh()
    const first = await write(store, put('/a', '1'))
    await write(store, put('/b', '1'))
    const third = await write(store, put('/a', '2'))
    const fourth = await write(store, del('/b'))
    await store.compact(third)
    expect(store.compactedRevision()).toBe(third)
    await expect(store.get('/a', first)).rejects.toThrow(CompactedError)
    await expect(store.list('/', { revision: third - 1 })).rejects.toThrow(CompactedError)
    expect((await store.list('/', { revision: third })).items.map(textOf)).toEqual(['2', '1'])
    expect((await store.list('/')).items.map(textOf)).toEqual(['2'])
    const late = new Recorder(store, '/', third)
    await late.failed()
    expect(late.errors[0]).toBeInstanceOf(CompactedError)
    const rest = new Recorder(store, '/', third + 1)
    await rest.until(fourth)
    expect(rest.lines).toEqual([`-/b@${fourth} was 1`])
    await expect(store.compact(fourth + 10)).rejects.toThrow(FutureRevisionError)
    await store.compact(first)
    expect(store.compactedRevision()).toBe(third)
  })

  test('compaction frees history and keeps the present', async () => {
    const store = await fresh()
    for (let i = 0; i < 300; i++) await write(store, put(`/k${i % 10}`, `value ${i}`))
    for (let i = 0; i < 5; i++) await write(store, del(`/k${i}`))
    const before = await store.stats()
    const listed = await store.list('/')
    await store.compact(store.currentRevision())
    const after = await store.stats()
    if (countsHistory) expect(before.historyBytes).toBeGreaterThan(0)
    expect(after.historyBytes).toBe(0)
    expect((await store.list('/')).items).toEqual(listed.items)
    expect(listed.items.map(textOf)).toEqual(['value 295', 'value 296', 'value 297', 'value 298', 'value 299'])
    await write(store, put('/k0', 'again'))
    expect(await store.get('/k0')).toMatchObject({ version: 1 })
  })
}

function leases(fresh: () => Promise<Store>, advance: (ms: number) => Promise<void>): void {
  test('keys vanish with their lease unless it is kept alive', async () => {
    const store = await fresh()
    const [short, long] = [await store.grantLease(2), await store.grantLease(600)]
    await store.txn([], [{ type: 'put', key: '/short', value: bytes('x'), lease: short }])
    await store.txn([], [{ type: 'put', key: '/long', value: bytes('x'), lease: long }])
    await store.txn([], [{ type: 'put', key: '/freed', value: bytes('x'), lease: short }])
    await write(store, put('/freed', 'y'))
    const watch = new Recorder(store, '/')
    await advance(1000)
    expect(await store.keepAlive(short)).toBe(true)
    await advance(1200)
    expect(await store.get('/short')).toBeDefined()
    await advance(2500)
    expect((await store.list('/')).items.map((kv) => kv.key)).toEqual(['/freed', '/long'])
    await watch.until(store.currentRevision())
    expect(watch.lines.map((line) => line.replace(/@\d+/, ''))).toEqual(['-/short was x'])
    expect(await store.keepAlive(short)).toBe(false)
    await store.revokeLease(long)
    expect((await store.list('/')).items.map((kv) => kv.key)).toEqual(['/freed'])
    await expect(store.txn([], [{ type: 'put', key: '/x', value: bytes('x'), lease: long }])).rejects.toThrow(
      'requested lease not found',
    )
  })
}
