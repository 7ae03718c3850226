import { describe, expect, it } from 'vitest'
import { manualClock, settle } from './testing/manual-clock.ts'
import { createWorkQueue } from './work-queue.ts'

function gate() {
  let open: () => void = () => {}
  const opened = new Promise<void>((done) => (open = done))
  return { open, opened }
}
const crash = (_key: string, error: unknown) => {
  throw error
}

describe('work queue', () => {
  it('runs a key once for a burst of adds', async () => {
    const runs: string[] = []
    const queue = createWorkQueue<string>({ clock: manualClock(), run: async (k) => void runs.push(k), onError: crash })
    for (const key of ['a', 'b', 'a', 'a']) queue.add(key)
    await settle()
    expect(runs).toEqual(['a', 'b'])
    expect(queue.idle).toBe(true)
  })
  it('never runs one key twice at a time, and runs it again when it was added meanwhile', async () => {
    const first = gate()
    let running = 0
    let runs = 0
    const queue = createWorkQueue<string>({
      clock: manualClock(),
      run: async () => {
        expect(++running).toBe(1)
        runs++
        if (runs === 1) await first.opened
        running--
      },
      onError: crash,
    })
    queue.add('a')
    await settle()
    queue.add('a')
    queue.add('a')
    await settle()
    expect(runs).toBe(1)
    first.open()
    await settle()
    expect(runs).toBe(2)
  })
  it('runs at most `parallel` keys at once', async () => {
    const hold = gate()
    const started: string[] = []
    const queue = createWorkQueue<string>({
      clock: manualClock(),
      parallel: 2,
      run: async (key) => {
        started.push(key)
        await hold.opened
      },
      onError: crash,
    })
    for (const key of ['a', 'b', 'c']) queue.add(key)
    await settle()
    expect(started).toEqual(['a', 'b'])
    expect(queue.length).toBe(1)
    hold.open()
    await settle()
    expect(started).toEqual(['a', 'b', 'c'])
  })
  it('backs off 5 ms, 10 ms, 20 ms ... up to the cap and starts over after a success', async () => {
    const clock = manualClock()
    const at: number[] = []
    let failing = 4
    const queue = createWorkQueue<string>({
      clock,
      maxDelayMs: 30,
      run: async () => {
        at.push(clock.monotonic())
        if (failing-- > 0) throw new Error('not yet')
      },
      onError: () => {},
    })
    queue.add('a')
    await clock.advance(200)
    expect(at).toEqual([0, 5, 15, 35, 65])
    failing = 1
    queue.add('a')
    await clock.advance(100)
    expect(at.slice(5)).toEqual([200, 205])
  })
  it('keeps the earliest of several delays', async () => {
    const clock = manualClock()
    const at: number[] = []
    const queue = createWorkQueue<string>({
      clock,
      run: async () => (at.push(clock.monotonic()) === 1 ? 50 : undefined),
      onError: crash,
    })
    queue.addAfter('a', 100)
    queue.addAfter('a', 10)
    queue.addAfter('a', 70)
    await clock.advance(500)
    expect(at).toEqual([10, 60])
  })
  it('slows down a key that keeps coming back at once', async () => {
    const clock = manualClock()
    let runs = 0
    const queue = createWorkQueue<string>({
      clock,
      run: async (key) => {
        runs++
        queue.add(key)
      },
      onError: crash,
    })
    queue.add('a')
    await settle()
    expect(runs).toBe(201)
    await clock.advance(500)
    expect(runs).toBe(251)
    await queue.stop()
  })
  it('stop waits for what runs and drops the rest', async () => {
    const hold = gate()
    const started: string[] = []
    const queue = createWorkQueue<string>({
      clock: manualClock(),
      parallel: 1,
      run: async (key) => {
        started.push(key)
        await hold.opened
      },
      onError: crash,
    })
    queue.add('a')
    queue.add('b')
    await settle()
    let stopped = false
    const stopping = queue.stop().then(() => (stopped = true))
    await settle()
    expect(stopped).toBe(false)
    hold.open()
    await stopping
    expect(started).toEqual(['a'])
  })
})
