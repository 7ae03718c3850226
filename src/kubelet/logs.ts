// Reading container logs: from the end, from a time, following through rotations. A follower waits for the file to change
// or the container to end; it never polls.
import type { Disk, FileStat, OpenFile } from '../ports/disk.ts'
import type { LogQuery } from '../ports/node-api.ts'
import { concat, LogDecoder } from './log-lines.ts'
import { rotatedLogs } from './log-rotation.ts'

const blockBytes = 64 * 1024

/** The container behind a log. */
export interface LogSource {
  readonly path: string
  readonly running: () => boolean
  /** Calls back when `running` may have changed; answers how to stop that. */
  readonly onChange: (changed: () => void) => () => void
}

/** The offset from which the last `lines` lines of a file go to its end. */
async function tailOffset(file: OpenFile, lines: number): Promise<number> {
  const { sizeBytes } = await file.stat()
  if (lines === 0) return sizeBytes
  let seen = 0
  let end = sizeBytes
  while (end > 0) {
    const start = Math.max(0, end - blockBytes)
    const block = await file.read(start, end - start)
    for (let i = block.length - 1; i >= 0; i--) {
      // The newline that ends the file begins no line.
      if (block[i] !== 10 || start + i === sizeBytes - 1) continue
      if (++seen === lines) return start + i + 1
    }
    end = start
  }
  return 0
}

/** RFC 3339 with nanoseconds in UTC, as the runtime writes it. */
const utcNanos = (time: string): string => {
  const parsed = Date.parse(time)
  const fraction = /\.(\d+)/.exec(time)?.[1] ?? ''
  return `${new Date(parsed).toISOString().slice(0, 19)}.${fraction.padEnd(9, '0')}Z`
}
export const sinceOf = (query: LogQuery, nowMs: number): string | undefined => {
  if (query.sinceTime !== undefined) return utcNanos(query.sinceTime)
  return query.sinceSeconds === undefined
    ? undefined
    : utcNanos(new Date(nowMs - query.sinceSeconds * 1000).toISOString())
}

/** Waits for the next change of file or container, or the end of the request. A change between two waits is not lost. */
class Changes {
  #pending = false
  #wake: (() => void) | undefined
  readonly notify = () => {
    this.#pending = true
    this.#wake?.()
  }
  async next(): Promise<void> {
    if (!this.#pending) await new Promise<void>((done) => (this.#wake = done))
    this.#pending = false
    this.#wake = undefined
  }
}

export async function* readLogs(
  disk: Disk,
  source: LogSource,
  query: LogQuery,
  nowMs: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const stream = query.stream === 'Stdout' ? 'stdout' : query.stream === 'Stderr' ? 'stderr' : undefined
  const decoder = new LogDecoder({ timestamps: query.timestamps === true, since: sinceOf(query, nowMs), stream })
  const changes = new Changes()
  const closers: (() => void)[] = []
  let file = await disk.open(source.path)
  if (query.follow) {
    const watch = disk.watch(source.path, changes.notify)
    closers.push(() => watch.close(), source.onChange(changes.notify))
    signal.addEventListener('abort', changes.notify)
    closers.push(() => signal.removeEventListener('abort', changes.notify))
  }
  /** What is read when `file` has been. */
  let next: OpenFile | undefined
  let left = query.limitBytes ?? Number.POSITIVE_INFINITY
  try {
    let offset = file !== undefined && query.tailLines !== undefined ? await tailOffset(file, query.tailLines) : 0
    while (!signal.aborted && left > 0) {
      const running = source.running()
      const block = (await file?.read(offset, blockBytes)) ?? new Uint8Array()
      offset += block.length
      if (block.length > 0) {
        const text = decoder.push(block)
        const cut = text.length > left ? text.subarray(0, left) : text
        left -= cut.length
        if (cut.length > 0) yield cut
        continue
      }
      if (next !== undefined) {
        await file?.close()
        file = next
        next = undefined
        offset = 0
        continue
      }
      next = query.follow ? await successor(disk, source.path, file) : undefined
      // Once more: what was written between the last look and the rotation.
      if (next !== undefined) continue
      if (!query.follow || !running) return
      await changes.next()
    }
  } finally {
    for (const close of closers) close()
    await file?.close()
    await next?.close()
  }
}

/** The log that follows the one that was read to its end: whoever reads slowly finds several rotations behind it. */
async function successor(disk: Disk, path: string, file: OpenFile | undefined): Promise<OpenFile | undefined> {
  const at = await disk.stat(path)
  if (at === undefined) return undefined
  if (file === undefined) return disk.open(path)
  const { inode, device } = await file.stat()
  const isOurs = (stat: FileStat | undefined) => stat?.inode === inode && stat.device === device
  if (isOurs(at)) return undefined
  const old = await rotatedLogs(disk, path)
  const stats = await Promise.all(old.map((name) => disk.stat(name)))
  // Where ours is gone already, the oldest of the others is the nearest to it.
  const following = old[stats.findIndex(isOurs) + 1]
  return (following === undefined ? undefined : await disk.open(following)) ?? disk.open(path)
}

/** Text of the last lines of a log, at most `maxBytes` from its end. */
export async function lastLines(disk: Disk, path: string, lines: number, maxBytes: number): Promise<string> {
  const file = await disk.open(path)
  if (file === undefined) return ''
  try {
    const decoder = new LogDecoder({ timestamps: false, since: undefined, stream: undefined })
    let offset = await tailOffset(file, lines)
    const pieces: Uint8Array[] = []
    for (
      let block = await file.read(offset, blockBytes);
      block.length > 0;
      block = await file.read(offset, blockBytes)
    ) {
      offset += block.length
      pieces.push(decoder.push(block))
    }
    const text = concat(pieces)
    return new TextDecoder().decode(text.length > maxBytes ? text.subarray(text.length - maxBytes) : text)
  } finally {
    await file.close()
  }
}
