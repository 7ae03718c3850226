import { describe, expect, it } from 'vitest'
import { type Event, events } from '../api/core/event.ts'
import { TransportError } from '../ports/transport.ts'
import { createClient } from './api-client.ts'
import { createEventRecorder, EventCorrelator } from './event-recorder.ts'
import { fakeApi } from './testing/fake-api.ts'
import { collectingLog } from './testing/fixtures.ts'
import { manualClock } from './testing/manual-clock.ts'

const pod = { apiVersion: 'v1', kind: 'Pod', name: 'web', namespace: 'ns', uid: 'u1' }
function setup() {
  const api = fakeApi()
  const clock = manualClock()
  const client = createClient(api)
  const recorder = createEventRecorder({ client, clock, log: collectingLog(), component: 'kubelet', host: 'n1' })
  const all = async (): Promise<readonly Event[]> => (await client.resource(events).list()).items
  return { api, clock, recorder, all }
}

describe('event recorder', () => {
  it('writes what describe shows', async () => {
    const { recorder, all } = setup()
    recorder.event(pod, 'Warning', 'BackOff', 'Back-off restarting failed container')
    await recorder.flush()
    const [event] = await all()
    expect(event).toMatchObject({
      metadata: { namespace: 'ns' },
      involvedObject: pod,
      type: 'Warning',
      reason: 'BackOff',
      message: 'Back-off restarting failed container',
      count: 1,
      firstTimestamp: '2026-01-01T00:00:00Z',
      lastTimestamp: '2026-01-01T00:00:00Z',
      source: { component: 'kubelet', host: 'n1' },
      reportingComponent: 'kubelet',
      reportingInstance: 'n1',
    })
    expect(event?.metadata.name).toMatch(/^web\.[0-9a-f]{16}$/)
  })
  it('counts the same event again', async () => {
    const { clock, recorder, all } = setup()
    for (let i = 0; i < 3; i++) {
      recorder.event(pod, 'Normal', 'Pulled', 'pulled')
      await clock.advance(10_000)
    }
    await recorder.flush()
    expect(await all()).toMatchObject([
      { count: 3, firstTimestamp: '2026-01-01T00:00:00Z', lastTimestamp: '2026-01-01T00:00:20Z' },
    ])
  })
  it('an event that has expired begins anew', async () => {
    const { api, recorder, all } = setup()
    recorder.event(pod, 'Normal', 'Pulled', 'pulled')
    await recorder.flush()
    const [first] = await all()
    await createClient(api)
      .resource(events)
      .delete(first?.metadata.name ?? '', 'ns')
    recorder.event(pod, 'Normal', 'Pulled', 'pulled')
    await recorder.flush()
    expect(await all()).toMatchObject([{ count: 2 }])
  })
  it('a burst of thousands is written whole, by one writer at first and by more as the line grows', async () => {
    const { api, recorder, all } = setup()
    let asked = 0
    api.intercept = () => void asked++
    const tell = (from: number, to: number) => {
      for (let i = from; i < to; i++)
        recorder.event({ ...pod, name: `p${i}`, uid: `u${i}` }, 'Normal', 'Scheduled', 'x')
    }
    tell(0, 500)
    expect(asked).toBe(1)
    tell(500, 3000)
    expect(asked).toBe(6)
    await recorder.flush()
    expect(await all()).toHaveLength(3000)
  })
  it('tries again while the server is away, and then gives up', async () => {
    const { api, clock, recorder, all } = setup()
    api.intercept = () => {
      throw new TransportError('refused')
    }
    recorder.event(pod, 'Normal', 'A', 'a')
    await clock.advance(25_000)
    api.intercept = undefined
    await clock.advance(10_000)
    await recorder.flush()
    expect(await all()).toHaveLength(1)
  })
  it('goes to the default namespace for what has none', async () => {
    const { api, recorder } = setup()
    recorder.event({ apiVersion: 'v1', kind: 'Node', name: 'n1' }, 'Normal', 'Starting', 'x')
    await recorder.flush()
    expect(api.requests).toEqual(['POST /api/v1/namespaces/default/events'])
  })
})

describe('event correlator', () => {
  it('combines after ten different messages of one reason', () => {
    const correlator = new EventCorrelator()
    const writes = Array.from({ length: 12 }, (_, i) => correlator.correlate(pod, 'Normal', 'R', `m${i}`, 0))
    expect(writes.map((w) => `${w?.message} ${w?.count}`)).toEqual([
      ...Array.from({ length: 9 }, (_, i) => `m${i} 1`),
      '(combined from similar events): m9 1',
      '(combined from similar events): m10 2',
      '(combined from similar events): m11 3',
    ])
    expect(correlator.correlate(pod, 'Normal', 'R', 'later', 601_000)?.message).toBe('later')
  })
  it('holds a spamming object back: 25 at once, then one in five minutes', () => {
    const correlator = new EventCorrelator()
    const written = (nowMs: number) => correlator.correlate(pod, 'Normal', 'R', 'm', nowMs) !== undefined
    expect(Array.from({ length: 30 }, () => written(0)).filter(Boolean)).toHaveLength(25)
    expect(written(299_000)).toBe(false)
    expect(written(301_000)).toBe(true)
    expect(written(301_000)).toBe(false)
    expect(correlator.correlate({ ...pod, name: 'other', uid: 'u2' }, 'Normal', 'R', 'm', 0)).toBeDefined()
  })
  it('gives events of one instant different names', () => {
    const correlator = new EventCorrelator()
    const names = ['a', 'b', 'c'].map((m) => correlator.correlate(pod, 'Normal', 'R', m, 5)?.name)
    expect(new Set(names).size).toBe(3)
  })
})
