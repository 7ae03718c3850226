// Where a program of this machine is.
import { accessSync, constants } from 'node:fs'
import { join } from 'node:path'

/** Daemons are often in folders that an ordinary PATH lacks. */
export const searchPath = (): string =>
  [...new Set([...(process.env['PATH'] ?? '').split(':'), '/usr/local/sbin', '/usr/sbin', '/sbin'])]
    .filter(Boolean)
    .join(':')

export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error) return false
    throw error
  }
}

/** The whole path of `program`; undefined where it is not installed. */
export const programPath = (program: string): string | undefined =>
  searchPath()
    .split(':')
    .map((folder) => join(folder, program))
    .find(isExecutable)
