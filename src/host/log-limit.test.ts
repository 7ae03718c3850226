import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { limitLog } from './log-limit.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cox-log-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

test('a log that is too long moves aside and starts anew', () => {
  const path = join(folder, 'log')
  limitLog(path, 10).close()
  expect(existsSync(path)).toBe(false)
  writeFileSync(path, 'short')
  limitLog(path, 10).close()
  expect(readFileSync(path, 'utf8')).toBe('short')
  appendFileSync(path, ', and then longer')
  limitLog(path, 10).close()
  expect(readFileSync(path, 'utf8')).toBe('')
  expect(readFileSync(`${path}.old`, 'utf8')).toBe('short, and then longer')
})
