// The MVCC core that the memory and LMDB engines share. A transaction is judged and given its revision at once, against
// everything written so far, durable or not; what readers and watchers see is only what is durable. Between the two lies a
// queue: whoever writes while the disk is busy joins the next commit, so one fsync carries many writers.
import type { Clock } from '../ports/clock.ts'
import type { Backend, Commit } from './backend.ts'
import { KeyIndex, type Version } from './key-index.ts'
import { Leases } from './leases.ts'
import { checkOperations } from './operations.ts'
import {
  CompactedError,
  type Compare,
  FutureRevisionError,
  type KeyValue,
  type LeaseId,
  type ListOptions,
  type ListResult,
  type Operation,
  type Store,
  type StoreEvent,
  type TxnResult,
  type Watch,
  type WatchOptions,
} from './store.ts'
import { Watcher, Watchers } from './watchers.ts'

/** Limits of one commit, so that a flood of writers cannot make one disk transaction of any size. */
const maxCommits = 4096
const maxCommitBytes = 16 << 20
/** How much a list reads, or a watch delivers from the past, before other work gets its turn. */
const chunkSize = 1000
/** Removals by a compaction, or deletions by a lease, in one commit. */
const removalsPerCommit = 1000

interface Pending {
  readonly commit: Commit
  readonly bytes: number
  /** The revision this commit makes; undefined for leases and compaction. */
  readonly revision: number | undefined
  readonly events: readonly StoreEvent[]
  readonly done: () => void
  readonly failed: (error: Error) => void
}

const emptyCommit: Commit = { added: [], removed: [] }

export class MvccStore implements Store {
  private readonly backend: Backend
  private readonly index = new KeyIndex()
  private readonly watchers = new Watchers()
  private readonly catchingUp = new Set<Watcher>()
  private readonly leases: Leases
  private queue: Pending[] = []
  /** The commits that the backend is writing now. */
  private writing: readonly Pending[] = []
  private pump: Promise<void> | undefined
  /** The last revision that was given out. */
  private head: number
  private durable: number
  private compacted: number
  private closed = false

  constructor(backend: Backend, clock: Clock) {
    this.backend = backend
    const loaded = backend.load()
    for (const version of loaded.versions) this.index.append(version)
    const { log } = this.index.logFrom(0)
    this.compacted = loaded.compacted
    // A fresh store begins at 1, because clients read a resourceVersion of 0 as "anything".
    this.head = Math.max(log[log.length - 1]?.revision ?? 1, this.compacted, 1)
    this.durable = this.head
    this.leases = new Leases(clock, loaded.leases, (id) => this.expire(id))
    if (loaded.leases.length > 0)
      for (const { key, lease } of this.index.range('', undefined, this.head, Number.POSITIVE_INFINITY).found)
        this.leases.move(key, '', lease)
    // What an interrupted compaction left over. If it cannot be removed now, it can at the next start.
    this.remove(this.index.compact(this.compacted)).catch(() => undefined)
  }

  currentRevision(): number {
    return this.durable
  }
  compactedRevision(): number {
    return this.compacted
  }
  async latestRevision(): Promise<number> {
    this.checkOpen()
    return this.durable
  }

  async get(key: string, revision = this.durable): Promise<KeyValue | undefined> {
    this.checkReadable(revision)
    const version = this.index.at(key, revision)
    return version === undefined ? undefined : this.keyValue(version)
  }

  async list(prefix: string, options: ListOptions = {}): Promise<ListResult> {
    const revision = options.revision ?? this.durable
    this.checkReadable(revision)
    const limit = options.limit === undefined || options.limit <= 0 ? Number.POSITIVE_INFINITY : options.limit
    const { found, remaining } = this.index.range(prefix, options.after, revision, limit)
    const items: KeyValue[] = []
    for (const version of found) {
      items.push(this.keyValue(version))
      if (items.length % chunkSize === 0 && items.length < found.length) {
        await this.backend.turn()
        // What the rest of the list needs may have been forgotten meanwhile.
        if (revision < this.compacted) throw new CompactedError(this.compacted)
      }
    }
    return { items, revision, remaining }
  }

  async count(prefix: string): Promise<number> {
    this.checkOpen()
    return this.index.count(prefix, this.durable)
  }

  async txn(compares: readonly Compare[], operations: readonly Operation[]): Promise<TxnResult> {
    this.checkOpen()
    checkOperations(operations)
    if (compares.some((c) => (this.index.latest(c.key)?.revision ?? 0) !== c.modRevision)) {
      const revision = this.head
      const current = compares.map((c) => this.latestKeyValue(c.key))
      await this.settled()
      return { ok: false, current, revision }
    }
    for (const operation of operations)
      if (operation.type === 'put' && operation.lease !== undefined && !this.leases.has(operation.lease))
        throw new Error(`requested lease not found: ${operation.lease}`)
    const before = operations.map(({ key }) => this.index.latest(key))
    const added = this.versionsOf(operations)
    if (added.length === 0) {
      const revision = this.head
      await this.settled()
      return { ok: true, revision }
    }
    const revision = ++this.head
    const events: StoreEvent[] = []
    let bytes = 0
    for (const version of added) {
      const previous = before[version.sub]
      if (!version.deleted) events.push(this.putEvent(version, previous))
      else if (previous !== undefined)
        events.push({ type: 'delete', key: version.key, revision, previous: this.keyValue(previous) })
      this.leases.move(version.key, this.index.latest(version.key)?.lease ?? '', version.lease)
      this.index.append(version)
      bytes += version.size
    }
    await this.enqueue({ added, removed: [] }, revision, events, bytes)
    return { ok: true, revision }
  }

  watch(prefix: string, options: WatchOptions): Watch {
    this.checkOpen()
    const next = options.fromRevision ?? this.durable + 1
    const watcher = new Watcher(prefix, options, next, (w) => {
      this.watchers.delete(w)
      this.catchingUp.delete(w)
    })
    if (next > this.durable) this.watchers.add(watcher)
    else {
      this.catchingUp.add(watcher)
      void this.catchUp(watcher)
    }
    return watcher
  }

  async compact(revision: number): Promise<void> {
    this.checkOpen()
    if (revision > this.durable) throw new FutureRevisionError(this.durable)
    if (revision <= this.compacted) return
    this.compacted = revision
    const recorded = this.enqueue({ ...emptyCommit, compacted: revision })
    const removed = this.remove(this.index.compact(revision))
    await recorded
    await removed
  }

  async grantLease(ttlSeconds: number): Promise<LeaseId> {
    this.checkOpen()
    const record = { id: this.leases.newId(), ttlSeconds: Math.max(1, Math.ceil(ttlSeconds)) }
    await this.enqueue({ ...emptyCommit, leaseGranted: record })
    this.leases.add(record)
    return record.id
  }

  async keepAlive(lease: LeaseId): Promise<boolean> {
    this.checkOpen()
    return this.leases.keepAlive(lease)
  }

  async revokeLease(lease: LeaseId): Promise<void> {
    this.checkOpen()
    if (!this.leases.has(lease)) return
    let keys = this.leases.keysOf(lease)
    while (keys.length > 0) {
      await this.txn(
        [],
        keys.slice(0, removalsPerCommit).map((key) => ({ type: 'delete', key })),
      )
      keys = this.leases.keysOf(lease)
    }
    this.leases.remove(lease)
    await this.enqueue({ ...emptyCommit, leaseRevoked: lease })
  }

  async stats(): Promise<{ keys: number; bytes: number; historyBytes: number }> {
    return this.index.stats()
  }

  async close(): Promise<void> {
    if (this.closed) return
    await this.settled()
    this.closed = true
    this.leases.close()
    const error = new Error('the store is closed')
    for (const watcher of this.catchingUp) watcher.fail(error)
    this.watchers.failAll(error)
    await this.pump
    await this.backend.close()
  }

  /** Judges the operations against the newest state; a deletion of nothing makes no version. */
  private versionsOf(operations: readonly Operation[]): Version[] {
    const revision = this.head + 1
    const added: Version[] = []
    operations.forEach((operation, sub) => {
      const { key } = operation
      const latest = this.index.latest(key)
      if (operation.type === 'put') {
        added.push({
          key,
          revision,
          sub,
          createRevision: latest?.createRevision ?? revision,
          version: (latest?.version ?? 0) + 1,
          deleted: false,
          lease: operation.lease ?? '',
          size: operation.value.length,
          value: operation.value,
          checksum: 0,
        })
      } else if (latest !== undefined) {
        const { createRevision } = latest
        added.push({
          key,
          revision,
          sub,
          createRevision,
          version: 0,
          deleted: true,
          lease: '',
          size: 0,
          value: undefined,
          checksum: 0,
        })
      }
    })
    return added
  }

  private latestKeyValue(key: string): KeyValue | undefined {
    const version = this.index.latest(key)
    return version === undefined ? undefined : this.keyValue(version)
  }

  private keyValue(version: Version): KeyValue {
    const value = version.value ?? this.backend.read(version)
    if (value === undefined) throw new Error(`the store has lost the value of ${version.key} at ${version.revision}`)
    const { key, createRevision, revision } = version
    return { key, value, createRevision, modRevision: revision, version: version.version }
  }

  private checkOpen(): void {
    if (this.closed) throw new Error('the store is closed')
  }
  private checkReadable(revision: number): void {
    this.checkOpen()
    if (revision > this.durable) throw new FutureRevisionError(this.durable)
    if (revision < this.compacted) throw new CompactedError(this.compacted)
  }

  /** Resolves when everything written until now is durable. */
  private settled(): Promise<void> {
    if (this.queue.length === 0 && this.writing.length === 0) return Promise.resolve()
    return this.enqueue(emptyCommit)
  }

  private enqueue(commit: Commit, revision?: number, events: readonly StoreEvent[] = [], bytes = 0): Promise<void> {
    return new Promise((done, failed) => {
      this.queue.push({ commit, bytes, revision, events, done, failed })
      this.pump ??= this.runPump()
    })
  }

  private async runPump(): Promise<void> {
    while (this.queue.length > 0) {
      await this.backend.turn()
      this.writing = this.takeBatch()
      try {
        await this.backend.write(this.writing.map((p) => p.commit).filter((c) => c !== emptyCommit))
      } catch (error) {
        this.rollBack(error instanceof Error ? error : new Error(String(error)))
        continue
      }
      this.publish(this.writing)
      this.writing = []
    }
    this.pump = undefined
  }

  private takeBatch(): Pending[] {
    let bytes = 0
    let count = 0
    for (const pending of this.queue) {
      if (count > 0 && (count >= maxCommits || bytes + pending.bytes > maxCommitBytes)) break
      bytes += pending.bytes
      count++
    }
    return this.queue.splice(0, count)
  }

  /** The batch is durable: show it to watchers, then answer its writers. */
  private publish(batch: readonly Pending[]): void {
    for (const { revision, commit, events } of batch) {
      if (revision === undefined) continue
      this.durable = revision
      if (!this.backend.keepsValues) for (const version of commit.added) version.value = undefined
      this.watchers.publish(events, revision)
    }
    this.watchers.progress(this.durable)
    for (const pending of batch) pending.done()
  }

  /** Nothing of the batch will be seen, and what was queued behind it was judged on top of it: all of it fails. */
  private rollBack(error: Error): void {
    const failed = [...this.writing, ...this.queue]
    this.writing = []
    this.queue = []
    for (const version of this.index.truncate(this.durable))
      this.leases.move(version.key, version.lease, this.index.latest(version.key)?.lease ?? '')
    this.head = this.durable
    for (const pending of failed) pending.failed(error)
  }

  /** Removes versions from the backend, a little at a time. */
  private async remove(versions: readonly Version[]): Promise<void> {
    const steps: Promise<void>[] = []
    for (let i = 0; i < versions.length; i += removalsPerCommit) {
      const removed = versions.slice(i, i + removalsPerCommit)
      // Each step counts as a megabyte, so that writers are not held up behind all of them at once.
      steps.push(this.enqueue({ added: [], removed }, undefined, [], 1 << 20))
    }
    await Promise.all(steps)
  }

  private expire(id: string): void {
    this.revokeLease(id).catch(() => this.leases.postpone(id))
  }

  /** Delivers the past in chunks; in the turn in which nothing durable is missing the watch goes live. */
  private async catchUp(watcher: Watcher): Promise<void> {
    await this.backend.turn()
    while (!watcher.closed && !watcher.checkCompacted(this.compacted)) {
      const from = watcher.next
      try {
        this.deliverPast(watcher)
      } catch (error) {
        watcher.fail(error instanceof Error ? error : new Error(String(error)))
      }
      if (watcher.closed) return
      if (watcher.next > this.durable) {
        this.catchingUp.delete(watcher)
        this.watchers.add(watcher)
        return
      }
      if (watcher.next === from) throw new Error('a watch does not advance')
      await this.backend.turn()
    }
  }

  private deliverPast(watcher: Watcher): void {
    const { log, start } = this.index.logFrom(watcher.next)
    let events: StoreEvent[] = []
    let revision = 0
    let delivered = 0
    for (let i = start; i < log.length; i++) {
      const version = log[i] as Version
      if (version.revision !== revision) {
        if (events.length > 0) watcher.deliver(events, revision)
        if (watcher.closed) return
        events = []
        if (version.revision > this.durable) break
        if (delivered >= chunkSize) {
          watcher.next = version.revision
          return
        }
        revision = version.revision
      }
      if (!version.key.startsWith(watcher.prefix)) continue
      events.push(this.eventOf(version))
      delivered++
    }
    if (events.length > 0) watcher.deliver(events, revision)
    if (!watcher.closed) {
      watcher.progress(this.durable)
      watcher.next = Math.max(watcher.next, this.durable + 1)
    }
  }

  private eventOf(version: Version): StoreEvent {
    const before = this.index.before(version)
    if (!version.deleted) return this.putEvent(version, before)
    if (before === undefined) throw new Error(`the store has a deletion of ${version.key} without what it deleted`)
    return { type: 'delete', key: version.key, revision: version.revision, previous: this.keyValue(before) }
  }
  /** Few ask what was there before, and it may have to be read from the disk. */
  private putEvent(version: Version, before: Version | undefined): StoreEvent {
    const read = () => (before === undefined ? undefined : this.keyValue(before))
    return {
      type: 'put',
      kv: this.keyValue(version),
      get previous() {
        return read()
      },
    }
  }
}
