// A log that keeps its records, with the virtual time at which they were made.
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'

export interface LogRecord {
  readonly atMs: number
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
}
export interface SimLog extends Log {
  /** The newest records, oldest first; at most 10,000 and a half more. */
  readonly records: readonly LogRecord[]
}

const maxRecords = 10_000

/** A log for a whole cluster. */
export function simLog(clock: Clock): SimLog {
  const records: LogRecord[] = []
  const make = (inherited: Readonly<Record<string, unknown>>): SimLog => {
    const write =
      (level: LogRecord['level']) =>
      (message: string, fields: Readonly<Record<string, unknown>> = {}) => {
        records.push({ atMs: clock.monotonic(), level, message, fields: { ...inherited, ...fields } })
        if (records.length > maxRecords * 1.5) records.splice(0, records.length - maxRecords)
      }
    return {
      records,
      debug: write('debug'),
      info: write('info'),
      warn: write('warn'),
      error: write('error'),
      child: (fields) => make({ ...inherited, ...fields }),
    }
  }
  return make({})
}

/** One record as a line, for reading and for comparing runs. */
export const lineOfRecord = ({ atMs, level, message, fields }: LogRecord): string =>
  `${(atMs / 1000).toFixed(3)} ${level} ${message} ${JSON.stringify(fields)}`
