// What the MVCC core asks of the place where bytes live: remember commits in order, all or nothing each, and say when they
// are durable. Everything else (revisions, compares, watches, leases) is the core's.
import type { Version } from './key-index.ts'

export interface LeaseRecord {
  readonly id: string
  readonly ttlSeconds: number
}

/** One atomic step. Steps are written in the order given; several may share one trip to the disk. */
export interface Commit {
  readonly added: readonly Version[]
  readonly removed: readonly Version[]
  readonly leaseGranted?: LeaseRecord
  readonly leaseRevoked?: string
  /** The new compacted revision; comes before the removals that it allows. */
  readonly compacted?: number
}

/** What an engine found when it opened. */
export interface Loaded {
  /** In revision order; versions that are compacted already may be among them. */
  readonly versions: Iterable<Version>
  readonly leases: readonly LeaseRecord[]
  readonly compacted: number
}

export interface Backend {
  load(): Loaded
  /** The value of a durable version; undefined when it is not there. */
  read(version: Version): Uint8Array | undefined
  /** True where `Version.value` stays set because it is the only copy. */
  readonly keepsValues: boolean
  /** Resolves when everything is durable. Rejects when nothing of it will ever be seen. */
  write(commits: readonly Commit[]): Promise<void>
  /** Lets other work of the host run, and lets writers of the same moment join one commit. */
  turn(): Promise<void>
  close(): Promise<void>
}
