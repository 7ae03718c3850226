// The store against a model of it: a list of whole snapshots, one per revision. Random transactions, in bursts that share
// commits, with reads, watches, compaction and (where the engine can) reopening between them.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CompactedError, type Operation, type Store } from '../store.ts'
import { del, put, Recorder, type StoreUnderTest, textOf } from './store-suite.ts'

type Command =
  | { readonly type: 'burst'; readonly txns: readonly ModelTxn[] }
  | { readonly type: 'read'; readonly back: number; readonly limit: number; readonly prefix: string }
  | { readonly type: 'watch'; readonly back: number; readonly prefix: string }
  | { readonly type: 'compact'; readonly back: number }
  | { readonly type: 'reopen' }
interface ModelTxn {
  /** Compare this key: against its present revision, a stale one or absence. */
  readonly compare: { readonly key: number; readonly kind: 'now' | 'stale' | 'absent' } | undefined
  readonly writes: readonly { readonly key: number; readonly value: number; readonly remove: boolean }[]
}
interface Row {
  readonly value: string
  readonly create: number
  readonly mod: number
  readonly version: number
}
type Snapshot = ReadonlyMap<string, Row>

const keys = ['/a', '/a/1', '/a/2', '/b', '/b/1', '/c/x/1', '/c/x/2', '/c/y/1']
const keyAt = (i: number): string => keys[i % keys.length] ?? '/a'

const index = fc.nat({ max: keys.length - 1 })
const prefix = fc.constantFrom('', '/', '/a', '/a/', '/c/x/', '/none')
const txn: fc.Arbitrary<ModelTxn> = fc.record({
  compare: fc.option(fc.record({ key: index, kind: fc.constantFrom('now', 'stale', 'absent') }), { nil: undefined }),
  writes: fc.uniqueArray(fc.record({ key: index, value: fc.nat(99), remove: fc.boolean() }), {
    maxLength: 3,
    selector: (w) => w.key,
  }),
})
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ type: fc.constant('burst'), txns: fc.array(txn, { maxLength: 8 }) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant('read'),
      back: fc.nat(12),
      limit: fc.integer({ min: 1, max: 5 }),
      prefix,
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('watch'), back: fc.nat(12), prefix }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('compact'), back: fc.nat(12) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('reopen') }) },
)

/** Every revision's whole state, in plain maps. */
class Model {
  readonly base: number
  readonly snapshots: Snapshot[] = [new Map()]
  /** By revision minus base: what a watcher is told. */
  readonly changes: string[][] = [[]]
  compacted = 0
  constructor(base: number) {
    this.base = base
  }
  get revision(): number {
    return this.base + this.snapshots.length - 1
  }
  at(revision: number): Snapshot {
    return this.snapshots[Math.max(0, revision - this.base)] ?? new Map()
  }
  comparedRevision(compare: NonNullable<ModelTxn['compare']>): number {
    const now = this.at(this.revision).get(keyAt(compare.key))?.mod ?? 0
    return compare.kind === 'now' ? now : compare.kind === 'absent' ? 0 : now + 1
  }
  /** Answers whether the compare held. */
  apply(compared: { key: string; modRevision: number } | undefined, operations: readonly Operation[]): boolean {
    const now = this.at(this.revision)
    if (compared !== undefined && (now.get(compared.key)?.mod ?? 0) !== compared.modRevision) return false
    const next = new Map(now)
    const lines: string[] = []
    const revision = this.revision + 1
    for (const operation of operations) {
      const { key } = operation
      const old = now.get(key)
      const was = old === undefined ? '' : ` was ${old.value}`
      if (operation.type === 'delete') {
        if (next.delete(key)) lines.push(`-${key}@${revision}${was}`)
        continue
      }
      const value = new TextDecoder().decode(operation.value)
      next.set(key, { value, create: old?.create ?? revision, mod: revision, version: (old?.version ?? 0) + 1 })
      lines.push(`${key}=${value}@${revision}${was}`)
    }
    if (lines.length === 0) return true
    this.snapshots.push(next)
    this.changes.push(lines)
    return true
  }
}

async function burst(store: Store, model: Model, txns: readonly ModelTxn[]): Promise<void> {
  const running = txns.map((t) => {
    const operations = t.writes.map((w) => (w.remove ? del(keyAt(w.key)) : put(keyAt(w.key), String(w.value))))
    const compared =
      t.compare === undefined
        ? undefined
        : { key: keyAt(t.compare.key), modRevision: model.comparedRevision(t.compare) }
    const held = model.apply(compared, operations)
    const expected = model.revision
    const current = compared === undefined ? undefined : model.at(expected).get(compared.key)?.value
    return { result: store.txn(compared === undefined ? [] : [compared], operations), held, expected, current }
  })
  for (const { result, held, expected, current } of running) {
    const answer = await result
    expect([answer.ok, answer.revision]).toEqual([held, expected])
    if (!answer.ok) expect(textOf(answer.current[0])).toBe(current)
    expect(store.currentRevision()).toBeGreaterThanOrEqual(expected)
  }
  expect(store.currentRevision()).toBe(model.revision)
}

async function read(store: Store, model: Model, { back, limit, prefix }: Extract<Command, { type: 'read' }>) {
  const revision = Math.max(model.base, model.revision - back)
  if (revision < model.compacted) {
    await expect(store.list(prefix, { revision })).rejects.toThrow(CompactedError)
    return
  }
  const rows = [...model.at(revision)].filter(([key]) => key.startsWith(prefix)).sort(([a], [b]) => (a < b ? -1 : 1))
  const seen: unknown[] = []
  let after: string | undefined
  do {
    const page = await store.list(prefix, { revision, limit, ...(after === undefined ? {} : { after }) })
    for (const kv of page.items)
      seen.push([kv.key, { value: textOf(kv), create: kv.createRevision, mod: kv.modRevision, version: kv.version }])
    expect(page.remaining).toBe(rows.length - seen.length)
    after = page.remaining > 0 ? page.items[page.items.length - 1]?.key : undefined
  } while (after !== undefined)
  expect(seen).toEqual(rows)
  const first = rows[0]
  if (first !== undefined) expect(textOf(await store.get(first[0], revision))).toBe(first[1].value)
}

async function watch(store: Store, model: Model, back: number, prefix: string): Promise<void> {
  const from = Math.max(model.base + 1, model.revision - back)
  const recorder = new Recorder(store, prefix, from)
  if (from <= model.compacted) {
    await recorder.failed()
    expect(recorder.errors[0]).toBeInstanceOf(CompactedError)
    return
  }
  if (from <= model.revision) await recorder.until(model.revision)
  const expected = model.changes
    .slice(from - model.base)
    .flat()
    .filter((line) => line.replace(/^-/, '').startsWith(prefix))
  expect(recorder.lines).toEqual(expected)
  recorder.close()
}

/** Runs random histories against an engine that orders concurrent transactions as they were called. */
export function modelSuite(
  name: string,
  open: () => Promise<StoreUnderTest & { reopen?(): Promise<Store> }>,
  options: { readonly runs: number },
): void {
  describe(`store model: ${name}`, () => {
    test('random histories', async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(command, { maxLength: 25 }), async (commands) => {
          const opened = await open()
          let { store } = opened
          const model = new Model(store.currentRevision())
          const live = new Recorder(store, '')
          let reopened = false
          try {
            for (const c of commands) {
              if (c.type === 'burst') await burst(store, model, c.txns)
              else if (c.type === 'read') await read(store, model, c)
              else if (c.type === 'watch') await watch(store, model, c.back, c.prefix)
              else if (c.type === 'compact') {
                const revision = Math.max(model.base, model.revision - c.back)
                await store.compact(revision)
                model.compacted = Math.max(model.compacted, revision)
              } else if (opened.reopen !== undefined) {
                store = await opened.reopen()
                reopened = true
              }
              expect(store.currentRevision()).toBe(model.revision)
            }
            if (!reopened) expect(live.lines).toEqual(model.changes.flat())
          } finally {
            await opened.dispose()
          }
        }),
        { numRuns: options.runs },
      )
    })
  })
}
