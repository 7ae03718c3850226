// One cox per data directory: a file that names the process, made in one step. A file whose process is gone is stale.
import { linkSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CliError } from './command.ts'
import { ensureDataDir, startTicksOf } from './data-dir.ts'

const lockPath = (dataDir: string) => join(dataDir, 'cox.lock')

/** Takes the directory; throws CliError when another process has it. Returns what gives it back. */
export function lockDataDir(dataDir: string): () => void {
  const path = lockPath(dataDir)
  const own = `${path}.${process.pid}`
  ensureDataDir(dataDir)
  writeFileSync(own, `${process.pid} ${startTicksOf(process.pid) ?? ''}\n`, { mode: 0o600 })
  try {
    for (let round = 0; ; round++) {
      try {
        // A hard link is made whole or not at all, and never over another.
        linkSync(own, path)
        break
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
        const holder = holderOf(path)
        if (holder !== undefined || round > 3)
          throw new CliError(
            `the data directory ${dataDir} is in use by process ${holder ?? '?'}: "cox status" says more, --data-dir names another`,
          )
        rmSync(path, { force: true })
      }
    }
  } finally {
    unlinkSync(own)
  }
  return () => rmSync(path, { force: true })
}
/** The living process that holds the lock. */
function holderOf(path: string): number | undefined {
  try {
    const [pid, ticks] = readFileSync(path, 'utf8').trim().split(' ')
    return ticks !== '' && startTicksOf(Number(pid)) === ticks ? Number(pid) : undefined
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
