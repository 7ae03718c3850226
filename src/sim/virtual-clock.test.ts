import { expect, test } from 'vitest'
import { sleep } from '../ports/clock.ts'
import { simulationEpochMs, VirtualClock } from './virtual-clock.ts'

test('timers fire in order of time, then of setting, with promises drained between them', async () => {
  const clock = new VirtualClock()
  const seen: string[] = []
  const note = (text: string) => seen.push(`${clock.monotonic()} ${text}`)
  clock.after(20, () => note('late'))
  clock.after(10, () => {
    note('first')
    void (async () => {
      for (let i = 0; i < 500; i++) await Promise.resolve()
      note('chain of first')
      clock.after(0, () => note('at once'))
    })()
  })
  clock.after(10, () => note('second'))
  await clock.advance(15)
  expect(seen).toEqual(['10 first', '10 chain of first', '10 second', '10 at once'])
  await clock.advance(5)
  expect(seen.slice(4)).toEqual(['20 late'])
  expect(clock.now()).toBe(simulationEpochMs + 20)
})

test('a cancelled timer does not fire, however many there are', async () => {
  const clock = new VirtualClock()
  let fired = 0
  const timers = Array.from({ length: 5000 }, (_, i) => clock.after((i * 7919) % 1000, () => fired++))
  timers.forEach((timer, i) => {
    if (i % 5 !== 0) timer.cancel()
    timer.cancel()
  })
  expect(clock.pendingTimers).toBe(0)
  for (let i = 0; i < 1000; i++) clock.after((i * 7919) % 1000, () => fired++)
  expect(clock.pendingTimers).toBe(1000)
  await clock.advance(1000)
  expect(fired).toBe(1000)
})

test('run lets as much time pass as a promise needs, also when asked inside another', async () => {
  const clock = new VirtualClock()
  const inner = async () => {
    await clock.run(sleep(clock, 50))
    await clock.run(sleep(clock, 50))
    return 'done'
  }
  expect(await clock.run(inner())).toBe('done')
  expect(clock.monotonic()).toBe(100)
  const [a, b] = await Promise.all([clock.run(sleep(clock, 10)), clock.run(sleep(clock, 30).then(() => 'b'))])
  expect([a, b, clock.monotonic()]).toEqual([undefined, 'b', 130])
  await expect(clock.run(new Promise(() => {}), 1000)).rejects.toThrow('nothing came of it')
  await expect(clock.run(Promise.reject(new Error('no')))).rejects.toThrow('no')
})

test('advanceUntil stops at the step that makes it true', async () => {
  const clock = new VirtualClock()
  let count = 0
  const tick = () => {
    count++
    clock.after(10, tick)
  }
  clock.after(10, tick)
  expect(await clock.advanceUntil(() => count === 3, 1000)).toBe(true)
  expect(clock.monotonic()).toBe(30)
  expect(await clock.advanceUntil(() => count === 100, 100)).toBe(false)
  expect(clock.monotonic()).toBe(130)
})

test('a drain that is given is used', async () => {
  let drained = 0
  const clock = new VirtualClock({
    drain: async () => {
      drained++
      await new Promise((done) => setTimeout(done, 0))
    },
  })
  clock.after(5, () => {})
  await clock.advance(5)
  expect(drained).toBe(2)
})
