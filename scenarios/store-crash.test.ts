// Acknowledged means durable: kill -9 under 64 parallel writers, 20 rounds over one database.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { crashRounds } from '../src/store/testing/crash-rounds.ts'

test('kill -9 under 64 writers, 20 rounds: no acknowledged write is lost, no half transaction is seen', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'coxswain-crash-'))
  try {
    const report = await crashRounds({ directory, rounds: 20, seed: Math.floor(Math.random() * 2 ** 31) })
    expect(report.faults).toEqual([])
    expect(report.acknowledged).toBeGreaterThan(10_000)
  } finally {
    rmSync(directory, { recursive: true })
  }
})
