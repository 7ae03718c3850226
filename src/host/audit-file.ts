// The audit log as files of JSON lines. What comes in one turn of the event loop is written at once; a file that has grown
// to its bound is set aside under the time of its end, and old ones go by number and age.
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { basename, dirname, extname, join } from 'node:path'
import type { AuditEvent, AuditLog } from '../ports/audit.ts'

export interface AuditFileOptions {
  /** '-' is standard output. */
  readonly path: string
  /** A file is set aside before it grows beyond this. Default 100 MB. */
  readonly maxBytes?: number
  /** Old files kept; 0 (default) keeps all. */
  readonly maxBackups?: number
  /** Old files older than this go; 0 (default) keeps all. */
  readonly maxAgeMs?: number
  readonly now?: () => number
  /** Told of a log that cannot be written; the request goes on. */
  readonly onError: (error: Error) => void
}
export interface AuditFile extends AuditLog {
  /** Writes what waits and closes the file; idempotent. */
  close(): void
}

const megabyte = 1024 * 1024
const stdout = 1

/** Opens the log; throws where the file cannot be made. */
export function openAuditFile(options: AuditFileOptions): AuditFile {
  const { path, maxBytes = 100 * megabyte, onError } = options
  let waiting: AuditEvent[] = []
  let scheduled: NodeJS.Immediate | undefined
  let closed = false
  let file = path === '-' ? stdout : openAppending(path)
  let size = path === '-' ? 0 : fstatSync(file).size

  function flush(): void {
    scheduled = undefined
    const events = waiting
    waiting = []
    if (events.length === 0) return
    try {
      for (const batch of batchesOf(events.map((event) => Buffer.from(`${JSON.stringify(event)}\n`)))) {
        if (path !== '-' && size > 0 && size + batch.length > maxBytes) rotate()
        writeAll(file, batch)
        size += batch.length
      }
    } catch (error) {
      onError(error instanceof Error ? error : new Error(String(error)))
    }
  }
  function rotate(): void {
    closeSync(file)
    const now = options.now?.() ?? Date.now()
    renameSync(path, backupPath(path, now))
    file = openAppending(path)
    size = 0
    removeOld(path, now, options.maxBackups ?? 0, options.maxAgeMs ?? 0)
  }
  return {
    write(event) {
      if (closed) return
      waiting.push(event)
      scheduled ??= setImmediate(flush)
    },
    close() {
      if (closed) return
      closed = true
      if (scheduled !== undefined) clearImmediate(scheduled)
      flush()
      if (path !== '-') closeSync(file)
    },
  }
}

function openAppending(path: string): number {
  mkdirSync(dirname(path), { recursive: true })
  return openSync(path, 'a', 0o600)
}
function writeAll(file: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at)
}
/** Lines joined to pieces of about a megabyte, so that a file's bound is kept within a burst too. */
function* batchesOf(lines: readonly Buffer[]): Iterable<Buffer> {
  let batch: Buffer[] = []
  let bytes = 0
  for (const line of lines) {
    if (bytes > 0 && bytes + line.length > megabyte) {
      yield Buffer.concat(batch)
      batch = []
      bytes = 0
    }
    batch.push(line)
    bytes += line.length
  }
  if (bytes > 0) yield Buffer.concat(batch)
}

/** audit.log is set aside as audit-2026-01-31T10-20-30.123.log. */
function backupPath(path: string, nowMs: number): string {
  const ending = extname(path)
  const stem = basename(path, ending)
  for (let ms = nowMs; ; ms++) {
    const time = new Date(ms).toISOString().slice(0, 23).replaceAll(':', '-')
    const candidate = join(dirname(path), `${stem}-${time}${ending}`)
    if (!existsSync(candidate)) return candidate
  }
}
function removeOld(path: string, nowMs: number, maxBackups: number, maxAgeMs: number): void {
  const ending = extname(path)
  const stem = `${basename(path, ending)}-`
  const backups = readdirSync(dirname(path))
    .filter((name) => name.startsWith(stem) && name.endsWith(ending))
    .map((name) => ({ name, ms: timeOf(name.slice(stem.length, name.length - ending.length)) }))
    .filter(({ ms }) => !Number.isNaN(ms))
    .sort((a, b) => b.ms - a.ms)
  backups.forEach(({ name, ms }, i) => {
    const tooMany = maxBackups > 0 && i >= maxBackups
    const tooOld = maxAgeMs > 0 && nowMs - ms > maxAgeMs
    if (tooMany || tooOld) rmSync(join(dirname(path), name), { force: true })
  })
}
const timeOf = (text: string): number =>
  Date.parse(`${text.replace(/^(\d{4}-\d\d-\d\dT)(\d\d)-(\d\d)-(\d\d\.\d{3})$/, '$1$2:$3:$4')}Z`)
