// The LMDB engine: two trees, both keyed by (revision, position in the transaction), so that writing is always appending.
// `log` says what happened to which key, `values` holds the bytes. The log is read once, at the start; values are read when
// asked for. Every batch is one LMDB transaction whose fsync comes before its answer.
import {
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  statfsSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { crc32 } from 'node:zlib'
import { type Database, open, type RootDatabase } from 'lmdb'
import type { Clock } from '../ports/clock.ts'
import type { Backend, Commit, LeaseRecord, Loaded } from './backend.ts'
import type { Version } from './key-index.ts'
import { checkDatabaseFile } from './lmdb-check.ts'
import { MvccStore } from './mvcc.ts'
import { type Store, StoreOpenError } from './store.ts'

export interface LmdbStoreOptions {
  /** The directory that holds the database; made when it does not exist. */
  readonly directory: string
  /** For leases. */
  readonly clock: Clock
}

/** What this program writes and the only thing it reads. */
const format = 1
/** Says that there has been a database here, so that a vanished or emptied one is noticed. */
const markerName = 'store-format'

/** Opens the store in a directory. Throws StoreOpenError with one line that says what to do. */
export async function openLmdbStore(options: LmdbStoreOptions): Promise<Store> {
  const { directory } = options
  prepareDirectory(directory)
  const path = realpathSync(directory)
  if (openPaths.has(path)) throw new StoreOpenError(inUse(directory, process.pid))
  openPaths.add(path)
  let backend: LmdbBackend | undefined
  try {
    backend = new LmdbBackend(directory, () => openPaths.delete(path))
    backend.claim()
    await backend.checkFormat()
    return new MvccStore(backend, options.clock)
  } catch (error) {
    if (backend === undefined) openPaths.delete(path)
    else await backend.close()
    throw asOpenError(directory, error)
  }
}

const openPaths = new Set<string>()

function prepareDirectory(directory: string): void {
  try {
    makeDirectory(resolve(directory))
  } catch (error) {
    throw new StoreOpenError(`cannot use ${directory} for the store: ${reasonOf(error)}`)
  }
  const data = join(directory, 'data.mdb')
  const marker = readMarker(directory)
  const size = existsSync(data) ? statSync(data).size : 0
  if (marker !== undefined && marker !== String(format)) throw new StoreOpenError(wrongFormat(directory, marker))
  if (size === 0) {
    if (marker !== undefined) throw new StoreOpenError(damaged(directory, 'data.mdb is missing or empty'))
    return
  }
  const fault = checkDatabaseFile(data)
  if (fault !== undefined) throw new StoreOpenError(damaged(directory, fault))
}

/** With parents. Node's own `recursive` never returns where nothing can be made, such as below /proc. */
function makeDirectory(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return
  const parent = dirname(path)
  if (parent !== path) makeDirectory(parent)
  mkdirSync(path, { mode: 0o700 })
}

function readMarker(directory: string): string | undefined {
  const path = join(directory, markerName)
  return existsSync(path) ? readFileSync(path, 'utf8').trim() : undefined
}

const damaged = (directory: string, fault: string) =>
  `the database in ${directory} is damaged (${fault}): restore a backup, or start anew with another data directory`
const wrongFormat = (directory: string, found: string) =>
  `the database in ${directory} has format ${found}, this version reads format ${format}: use the version that wrote it`
const inUse = (directory: string, pid: number) =>
  `the database in ${directory} is in use by process ${pid}: stop it, or choose another data directory`
const reasonOf = (error: unknown) => (error instanceof Error ? error.message : String(error)).split('\n')[0] ?? ''

function asOpenError(directory: string, error: unknown): StoreOpenError {
  if (error instanceof StoreOpenError) return error
  const reason = reasonOf(error)
  if (/MDB_(INVALID|CORRUPTED|PAGE_NOTFOUND|VERSION_MISMATCH|PANIC)|damaged/.test(reason))
    return new StoreOpenError(damaged(directory, reason))
  return new StoreOpenError(`cannot open the database in ${directory}: ${reason}`)
}

type Bytes = Database<Uint8Array, Uint8Array>

class LmdbBackend implements Backend {
  readonly keepsValues = false
  private readonly directory: string
  private readonly onClose: () => void
  private readonly root: RootDatabase<Uint8Array, Uint8Array>
  private readonly log: Bytes
  private readonly values: Bytes
  private readonly meta: Bytes

  constructor(directory: string, onClose: () => void) {
    this.directory = directory
    this.onClose = onClose
    const binary = { encoding: 'binary', keyEncoding: 'binary' } as const
    // Without overlappingSync a commit resolves when its pages and its root are on disk, in that order. Our own batches
    // make lmdb's (eventTurnBatching) superfluous.
    this.root = open({ path: directory, maxDbs: 8, overlappingSync: false, eventTurnBatching: false, ...binary })
    this.log = this.root.openDB<Uint8Array, Uint8Array>('log', binary)
    this.values = this.root.openDB<Uint8Array, Uint8Array>('values', binary)
    this.meta = this.root.openDB<Uint8Array, Uint8Array>('meta', binary)
  }

  /** Refuses a database that another process has open. LMDB keeps a table of readers whose owners are proved alive by
   * the kernel's file locks, so a killed process never blocks its successor. */
  claim(): void {
    this.root.readerCheck()
    this.readMeta('format')
    for (const line of this.root.readerList().split('\n')) {
      const pid = Number.parseInt(line.trim(), 10)
      if (pid > 0 && pid !== process.pid) throw new StoreOpenError(inUse(this.directory, pid))
    }
  }

  async checkFormat(): Promise<void> {
    const found = this.readMeta('format')
    if (found === undefined) {
      await this.root.batch(() => {
        void this.meta.put(text.encode('format'), text.encode(String(format)))
      })
    } else if (found !== String(format)) throw new StoreOpenError(wrongFormat(this.directory, found))
    if (readMarker(this.directory) !== undefined) return
    const path = join(this.directory, markerName)
    writeFileSync(`${path}.new`, `${format}\n`, { flush: true })
    renameSync(`${path}.new`, path)
  }

  load(): Loaded {
    const leases: LeaseRecord[] = []
    for (const { key, value } of this.meta.getRange({ start: text.encode('lease/'), end: text.encode('lease0') }))
      leases.push({ id: plain.decode(key).slice('lease/'.length), ttlSeconds: Number(plain.decode(value)) })
    return { versions: this.versions(), leases, compacted: Number(this.readMeta('compacted') ?? 0) }
  }

  read(version: Version): Uint8Array | undefined {
    const key = recordKey(version.revision, version.sub)
    let value = this.values.getBinary(key)
    if (value === undefined) {
      // The cached read transaction of this turn may be older than the version.
      this.root.resetReadTxn()
      value = this.values.getBinary(key)
      if (value === undefined) return undefined
    }
    if (version.checksum !== 0 && version.checksum !== crc32(value))
      throw new Error(`the value of ${version.key} at revision ${version.revision} is damaged on disk`)
    return value
  }

  async write(commits: readonly Commit[]): Promise<void> {
    if (commits.length === 0) return
    // LMDB is not asked for what the disk may not take: it can end the process where a write of it falls short.
    if (lacksRoom(this.directory, commits)) throw new Error(`cannot write to ${this.directory}: ${noRoom}`)
    try {
      await this.root.batch(() => {
        for (const commit of commits) this.apply(commit)
      })
    } catch (error) {
      // Asked for in any case: the reason is a rejected promise that nobody else would look at.
      const reason = await commitReason(error)
      const said = lacksRoom(this.directory, commits) ? noRoom : reason
      throw new Error(`cannot write to ${this.directory}: ${said}`, { cause: error })
    }
    this.root.resetReadTxn()
  }

  turn(): Promise<void> {
    return new Promise((done) => setImmediate(done))
  }

  async close(): Promise<void> {
    await this.root.close()
    this.onClose()
  }

  private apply(commit: Commit): void {
    for (const version of commit.added) {
      const key = recordKey(version.revision, version.sub)
      if (version.value !== undefined) {
        version.checksum = crc32(version.value)
        void this.values.put(key, version.value)
      }
      void this.log.put(key, encodeVersion(version))
    }
    for (const version of commit.removed) {
      const key = recordKey(version.revision, version.sub)
      void this.log.remove(key)
      if (!version.deleted) void this.values.remove(key)
    }
    if (commit.compacted !== undefined)
      void this.meta.put(text.encode('compacted'), text.encode(String(commit.compacted)))
    const { leaseGranted, leaseRevoked } = commit
    if (leaseGranted !== undefined)
      void this.meta.put(text.encode(`lease/${leaseGranted.id}`), text.encode(String(leaseGranted.ttlSeconds)))
    if (leaseRevoked !== undefined) void this.meta.remove(text.encode(`lease/${leaseRevoked}`))
  }

  private readMeta(name: string): string | undefined {
    const value = this.meta.getBinary(text.encode(name))
    return value === undefined ? undefined : plain.decode(value)
  }

  private *versions(): Iterable<Version> {
    for (const { key, value } of this.log.getRange({})) yield decodeVersion(this.directory, key, value)
  }
}

const text = new TextEncoder()
const plain = new TextDecoder()

/** 6 bytes of revision, 2 of position, big-endian: the order of bytes is the order of time. */
function recordKey(revision: number, sub: number): Uint8Array {
  const key = Buffer.allocUnsafe(8)
  key.writeUIntBE(revision, 0, 6)
  key.writeUInt16BE(sub, 6)
  return key
}

const headerSize = 22
/** flags, length of the lease, createRevision (6), version (6), size (4), checksum (4), the lease, the key. */
function encodeVersion(version: Version): Uint8Array {
  const keySize = Buffer.byteLength(version.key)
  const record = Buffer.allocUnsafe(headerSize + version.lease.length + keySize)
  record[0] = version.deleted ? 1 : 0
  record[1] = version.lease.length
  record.writeUIntBE(version.createRevision, 2, 6)
  record.writeUIntBE(version.version, 8, 6)
  record.writeUInt32BE(version.size, 14)
  record.writeUInt32BE(version.checksum, 18)
  record.write(version.lease, headerSize, 'latin1')
  record.write(version.key, headerSize + version.lease.length)
  return record
}

function decodeVersion(directory: string, key: Uint8Array, value: Uint8Array): Version {
  const position = Buffer.from(key.buffer, key.byteOffset, key.byteLength)
  const record = Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  const leaseSize = record[1] ?? 0
  if (position.length !== 8 || record.length <= headerSize + leaseSize)
    throw new StoreOpenError(damaged(directory, 'a record of the log makes no sense'))
  return {
    key: record.toString('utf8', headerSize + leaseSize),
    revision: position.readUIntBE(0, 6),
    sub: position.readUInt16BE(6),
    createRevision: record.readUIntBE(2, 6),
    version: record.readUIntBE(8, 6),
    deleted: record[0] === 1,
    lease: record.toString('latin1', headerSize, headerSize + leaseSize),
    size: record.readUInt32BE(14),
    value: undefined,
    checksum: record.readUInt32BE(18),
  }
}

const noRoom = 'no space left on device, make room'
/** Others write to the disk too while a commit is under way. */
const reserveBytes = 4 << 20
/** Whether a commit may meet a full disk: values go to pages of their own, and the pages above them are written anew. */
function lacksRoom(directory: string, commits: readonly Commit[]): boolean {
  const { bavail, bsize, blocks } = statfsSync(directory)
  // A file system that does not count its blocks.
  if (blocks === 0) return false
  let bytes = 0
  for (const { added } of commits) for (const { size } of added) bytes += size
  return bavail * bsize < reserveBytes + 2 * bytes
}

/** lmdb says only that a commit failed; the reason is in a promise that it attaches. */
async function commitReason(error: unknown): Promise<string> {
  if (error instanceof Error && 'commitError' in error) {
    const cause = await Promise.resolve(error.commitError).catch((reason: unknown) => reason)
    if (cause instanceof Error) return reasonOf(cause)
  }
  return reasonOf(error)
}
