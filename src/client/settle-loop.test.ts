import { expect, it } from 'vitest'
import { createSettleLoop } from './settle-loop.ts'
import { manualClock, settle } from './testing/manual-clock.ts'

function loopOf(failures = 0) {
  const clock = manualClock()
  const seen: string[] = []
  const gates: (() => void)[] = []
  const loop = createSettleLoop(
    clock,
    1000,
    async () => {
      seen.push('begin')
      await new Promise<void>((done) => gates.push(done))
      if (failures-- > 0) throw new Error('refused')
      seen.push('end')
    },
    (error) => void seen.push(String(error)),
  )
  return { clock, loop, seen, open: async () => (gates.shift()?.(), settle()) }
}

it('one run at a time, and one more for all that changed meanwhile', async () => {
  const { loop, seen, open } = loopOf()
  for (let i = 0; i < 3; i++) loop.poke()
  await settle()
  expect(seen).toEqual(['begin'])
  for (let i = 0; i < 3; i++) loop.poke()
  await open()
  expect(seen).toEqual(['begin', 'end', 'begin'])
  await open()
  expect(seen).toEqual(['begin', 'end', 'begin', 'end'])
})
it('a failed run is tried again after a while, or at the next change', async () => {
  const { clock, loop, seen, open } = loopOf(2)
  loop.poke()
  await settle()
  await open()
  expect(seen).toEqual(['begin', 'Error: refused'])
  await clock.advance(1000)
  await settle()
  expect(seen).toEqual(['begin', 'Error: refused', 'begin'])
  await open()
  loop.poke()
  await settle()
  await open()
  await clock.advance(5000)
  await settle()
  expect(seen).toEqual(['begin', 'Error: refused', 'begin', 'Error: refused', 'begin', 'end'])
})
it('a failed run that was outdated runs again at once, and only once', async () => {
  const { clock, loop, seen, open } = loopOf(1)
  loop.poke()
  await settle()
  loop.poke()
  await open()
  await open()
  await clock.advance(5000)
  await settle()
  expect(seen).toEqual(['begin', 'Error: refused', 'begin', 'end'])
})
it('stopping waits for the run under way, and no other begins', async () => {
  const { clock, loop, seen, open } = loopOf()
  loop.poke()
  await settle()
  loop.poke()
  let stopped = false
  const stopping = loop.stop().then(() => (stopped = true))
  await settle()
  expect(stopped).toBe(false)
  await open()
  await stopping
  loop.poke()
  await clock.advance(5000)
  await settle()
  expect(seen).toEqual(['begin', 'end'])
})
