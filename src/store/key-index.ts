// The key index: every version of every key that has not been compacted, in memory, without the values. It answers which
// version is visible at a revision; where the value's bytes are is the backend's business. `log` is the same versions in
// revision order, above the compacted revision: what a watch from the past reads.
import { SortedKeys } from './sorted-keys.ts'

export interface Version {
  readonly key: string
  readonly revision: number
  /** Position in its transaction, so that (revision, sub) is unique. */
  readonly sub: number
  readonly createRevision: number
  /** Number of writes since creation; of a deletion, 0. */
  readonly version: number
  readonly deleted: boolean
  readonly lease: string
  readonly size: number
  /** The value while it is not durable yet; engines that keep values in memory leave it here. */
  value: Uint8Array | undefined
  /** CRC-32 of the value where the engine keeps one, to notice damage on disk; 0 for none. */
  checksum: number
}

/** What a version costs besides its value, for the history budget: index, log record and tree pages. */
export const versionOverheadBytes = 200

export class KeyIndex {
  private readonly entries = new SortedKeys<Version[]>((versions) => isLive(versions[versions.length - 1]))
  private log: Version[] = []
  private liveKeys = 0
  private liveBytes = 0
  private allBytes = 0

  latest(key: string): Version | undefined {
    const versions = this.entries.get(key)
    const last = versions?.[versions.length - 1]
    return last === undefined || last.deleted ? undefined : last
  }

  /** The version that a reader at `revision` sees. */
  at(key: string, revision: number): Version | undefined {
    const versions = this.entries.get(key)
    return versions === undefined ? undefined : visible(versions, revision)
  }

  /** The version before this one, undefined when the key did not exist then (or that is compacted). */
  before(version: Version): Version | undefined {
    return this.at(version.key, version.revision - 1)
  }

  /** At most `limit` of the versions that a reader at `revision` sees under `prefix` after the key `after`, in key order,
   * and how many follow them. */
  range(
    prefix: string,
    after: string | undefined,
    revision: number,
    limit: number,
  ): { readonly found: Version[]; readonly remaining: number } {
    const found: Version[] = []
    const last = this.entries.visit(prefix, after, (versions) => {
      const version = visible(versions, revision)
      if (version !== undefined) found.push(version)
      return found.length < limit
    })
    return { found, remaining: last === undefined ? 0 : this.count(prefix, revision, last) }
  }

  /** How many keys under `prefix` (and after `after`) a reader at `revision` sees. */
  count(prefix: string, revision: number, after?: string): number {
    return this.entries.count(prefix, after, revision, (versions) => visible(versions, revision) !== undefined)
  }

  /** Adds the newest version of its key; revisions never go back. */
  append(version: Version): void {
    const versions = this.entries.get(version.key)
    const previous = versions?.[versions.length - 1]
    if (versions === undefined) this.entries.set(version.key, [version], version.revision, liveDelta(previous, version))
    else {
      versions.push(version)
      this.entries.touch(version.key, version.revision, liveDelta(previous, version))
    }
    this.log.push(version)
    this.account(previous, version, 1)
  }

  /** Takes back every version above `revision`, writes that turned out not to be durable; the newest comes first. */
  truncate(revision: number): Version[] {
    const taken: Version[] = []
    while (this.log.length > 0 && (this.log[this.log.length - 1] as Version).revision > revision) {
      const version = this.log.pop() as Version
      taken.push(version)
      const versions = this.entries.get(version.key) as Version[]
      versions.pop()
      const previous = versions[versions.length - 1]
      this.entries.touch(version.key, version.revision, -liveDelta(previous, version))
      this.account(previous, version, -1)
      if (versions.length === 0) this.entries.delete(version.key)
    }
    return taken
  }

  /** The log, and where in it the revisions begin that are not below `from`. */
  logFrom(from: number): { readonly log: readonly Version[]; readonly start: number } {
    let low = 0
    let high = this.log.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.log[middle] as Version).revision < from) low = middle + 1
      else high = middle
    }
    return { log: this.log, start: low }
  }

  /** Forgets what no reader at `revision` or later can see and answers it, for the backend to remove. */
  compact(revision: number): Version[] {
    const removed: Version[] = []
    const { log, start } = this.logFrom(revision + 1)
    const passed = start === log.length ? log : log.slice(0, start)
    this.log = log.slice(start)
    for (const { key } of passed) {
      const versions = this.entries.get(key)
      if (versions === undefined) continue
      let keep = 0
      while (keep + 1 < versions.length && (versions[keep + 1] as Version).revision <= revision) keep++
      const first = versions[keep] as Version
      if (first.deleted && first.revision <= revision) keep++
      if (keep === 0) continue
      for (const version of versions.splice(0, keep)) {
        removed.push(version)
        this.allBytes -= version.size + versionOverheadBytes
      }
      if (versions.length === 0) this.entries.delete(key)
    }
    return removed
  }

  /** Figures of the newest state: live keys, bytes of their values, bytes of everything that is only history. */
  stats(): { keys: number; bytes: number; historyBytes: number } {
    return {
      keys: this.liveKeys,
      bytes: this.liveBytes,
      historyBytes: this.allBytes - this.liveBytes - this.liveKeys * versionOverheadBytes,
    }
  }

  private account(previous: Version | undefined, version: Version, sign: 1 | -1): void {
    this.allBytes += sign * (version.size + versionOverheadBytes)
    if (previous !== undefined && !previous.deleted) {
      this.liveKeys -= sign
      this.liveBytes -= sign * previous.size
    }
    if (!version.deleted) {
      this.liveKeys += sign
      this.liveBytes += sign * version.size
    }
  }
}

function visible(versions: readonly Version[], revision: number): Version | undefined {
  for (let i = versions.length - 1; i >= 0; i--) {
    const version = versions[i] as Version
    if (version.revision <= revision) return version.deleted ? undefined : version
  }
  return undefined
}

const isLive = (version: Version | undefined): boolean => version !== undefined && !version.deleted
const liveDelta = (previous: Version | undefined, version: Version): number =>
  Number(!version.deleted) - Number(isLive(previous))
