import { expect, it } from 'vitest'
import { collectingLog } from '../client/testing/fixtures.ts'
import { manualClock } from '../client/testing/manual-clock.ts'
import { useCertificate } from './certificate-renewal.ts'

const dayMs = 86_400_000

it('a certificate is used when it is new: each day it is looked at, and when the clock was set', async () => {
  const clock = manualClock()
  const log = collectingLog()
  let name = 'first'
  let broken = false
  const used: string[] = []
  const make = () => {
    if (broken) throw new Error('the disk is full')
    return { certificatePem: name, keyPem: 'key' }
  }
  const renewal = useCertificate({ clock, log, make, use: ({ certificatePem }) => used.push(certificatePem) })
  expect(used).toEqual(['first'])
  await clock.advance(dayMs + 1)
  expect(used).toEqual(['first'])
  name = 'second'
  broken = true
  await clock.advance(dayMs + 1)
  expect(log.records).toMatchObject([{ level: 'error', fields: { error: 'Error: the disk is full' } }])
  broken = false
  await clock.advance(dayMs + 1)
  expect(used).toEqual(['first', 'second'])
  name = 'third'
  clock.shift(3_600_000)
  expect(used).toEqual(['first', 'second', 'third'])
  renewal.cancel()
  name = 'fourth'
  clock.shift(-3_600_000)
  await clock.advance(2 * dayMs)
  expect(used).toEqual(['first', 'second', 'third'])
})
