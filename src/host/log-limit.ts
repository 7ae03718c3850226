// Keeps a log file within bounds while somebody writes to it: what is there moves to FILE.old, and the file starts anew.
// It must be written in append mode, which goes on at the new end.
import { copyFileSync, existsSync, rmSync, statSync, truncateSync } from 'node:fs'

const defaultBytes = 20 << 20
const periodMs = 60_000

/** Looks now and every minute until closed. What is written while the file is copied may be lost. */
export function limitLog(path: string, maxBytes = defaultBytes): { close(): void } {
  const look = () => {
    if (!existsSync(path) || statSync(path).size <= maxBytes) return
    try {
      copyFileSync(path, `${path}.old`)
    } catch (error) {
      // There is no room for two: the older one goes, and the machine has some again.
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error
      rmSync(`${path}.old`, { force: true })
    }
    truncateSync(path)
  }
  look()
  const timer = setInterval(look, periodMs)
  timer.unref()
  return { close: () => clearInterval(timer) }
}
