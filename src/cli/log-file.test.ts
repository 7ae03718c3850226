import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { logPath } from './data-dir.ts'
import { openLog } from './log-file.ts'

it.skipIf(process.getuid?.() !== 0)('a full disk costs lines of the log and not the process', () => {
  const directory = mkdtempSync(join(tmpdir(), 'cox-log-file-'))
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', directory])
  try {
    const log = openLog(directory)
    log.info('there is room')
    const filler = join(directory, 'filler')
    expect(() => writeFileSync(filler, new Uint8Array(100_000))).toThrow('ENOSPC')
    for (let i = 0; i < 1000; i++) log.info('x'.repeat(2000))
    rmSync(filler)
    log.info('there is room again')
    expect(readFileSync(logPath(directory), 'utf8')).toContain('there is room')
  } finally {
    execFileSync('umount', ['-l', directory])
    rmSync(directory, { recursive: true })
  }
})
