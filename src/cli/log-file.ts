// The log file of a data directory. Where the disk is full it misses lines, and nothing else comes of it.
import { pino } from 'pino'
import { limitLog } from '../host/log-limit.ts'
import { pinoLog } from '../host/system.ts'
import type { Log } from '../ports/log.ts'
import { logPath } from './data-dir.ts'

/** What is kept for when there is room again. */
const keptBytes = 1 << 20

export function openLog(dataDir: string): Log {
  const path = logPath(dataDir)
  limitLog(path)
  const destination = pino.destination({ dest: path, sync: true, append: true, maxLength: keptBytes })
  // Whoever hears of no error is ended by it. There is nobody to tell: this is where we would.
  destination.on('error', () => {})
  return pinoLog(pino({ level: process.env['COX_LOG_LEVEL'] ?? 'info', base: null }, destination))
}
