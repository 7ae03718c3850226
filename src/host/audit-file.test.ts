import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { AuditEvent } from '../ports/audit.ts'
import { openAuditFile } from './audit-file.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cox-audit-'))
})
afterEach(() => rmSync(folder, { recursive: true }))
const event = (auditID: string): AuditEvent => ({
  kind: 'Event',
  apiVersion: 'audit.k8s.io/v1',
  level: 'Metadata',
  auditID,
  stage: 'ResponseComplete',
  requestURI: '/version',
  verb: 'get',
  user: { username: 'joe', groups: [] },
  requestReceivedTimestamp: '2026-01-01T00:00:00.000000Z',
  stageTimestamp: '2026-01-01T00:00:00.000000Z',
})
const idsIn = (file: string) =>
  readFileSync(join(folder, file), 'utf8')
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as AuditEvent).auditID)

it('writes a line an event, goes on where it ended, and keeps the file to itself', () => {
  const path = join(folder, 'logs', 'audit.log')
  for (const id of ['a', 'b']) {
    const log = openAuditFile({ path, onError: (error) => expect.unreachable(String(error)) })
    log.write(event(id))
    log.write(event(`${id}2`))
    log.close()
  }
  expect(idsIn('logs/audit.log')).toEqual(['a', 'a2', 'b', 'b2'])
  expect(statSync(path).mode & 0o777).toBe(0o600)
})
it('sets a full file aside and forgets the oldest', async () => {
  let now = Date.parse('2026-01-01T00:00:00Z')
  const log = openAuditFile({
    path: join(folder, 'audit.log'),
    maxBytes: 600,
    maxBackups: 2,
    now: () => (now += 1000),
    onError: (error) => expect.unreachable(String(error)),
  })
  for (let i = 0; i < 12; i++) {
    log.write(event(`e${i}`))
    await new Promise((done) => setImmediate(done))
  }
  log.close()
  const files = readdirSync(folder).sort()
  expect(files).toHaveLength(3)
  expect(files[0]).toMatch(/^audit-2026-01-01T00-00-\d\d\.000\.log$/)
  // What is left is the end of the story, without a gap.
  const left = files.flatMap((file) => idsIn(file))
  expect(left).toEqual(Array.from({ length: left.length }, (_, i) => `e${12 - left.length + i}`))
})
it('removes old files by age', async () => {
  let now = Date.parse('2026-01-01T00:00:00Z')
  const log = openAuditFile({
    path: join(folder, 'audit.log'),
    maxBytes: 1,
    maxAgeMs: 2500,
    now: () => (now += 1000),
    onError: (error) => expect.unreachable(String(error)),
  })
  for (let i = 0; i < 8; i++) {
    log.write(event(`e${i}`))
    await new Promise((done) => setImmediate(done))
  }
  log.close()
  expect(readdirSync(folder)).toHaveLength(4)
})
it('tells of a log that cannot be opened', () => {
  expect(() => openAuditFile({ path: folder, onError: () => {} })).toThrow('EISDIR')
})
