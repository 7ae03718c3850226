// The queue alone, on a clock that moves by hand.
import { describe, expect, test } from 'vitest'
import { manualClock } from '../../client/testing/manual-clock.ts'
import type { Hints } from '../framework.ts'
import { ClusterState } from '../state/cluster-state.ts'
import type { PodInfo } from '../state/pod-info.ts'
import { nodeOf, podOf, type Some } from '../testing/plugins.ts'
import type { Pod } from '../../api/core/pod.ts'
import type { SchedulingEvent } from './events.ts'
import { SchedulingQueue } from './scheduling-queue.ts'

function setup(hints: Record<string, Hints | undefined> = {}) {
  const clock = manualClock()
  const state = new ClusterState()
  const gated = new Set<string>()
  let activations = 0
  const queue = new SchedulingQueue({
    clock,
    less: (a, b) => (a.info.priority !== b.info.priority ? a.info.priority > b.info.priority : a.sequence < b.sequence),
    gate: (pod) =>
      gated.has(pod.name) ? { plugin: 'Gate', rejection: { code: 'Unresolvable', reasons: ['gated'] } } : undefined,
    hints: (_pod, plugin) => hints[plugin],
    onActive: () => activations++,
  })
  const info = (name: string, pod: Some<Pod> = {}): PodInfo => state.parse(podOf(name, pod))
  const popName = () => queue.pop()?.info.name
  const node = (): SchedulingEvent => {
    state.setNode(nodeOf('n1'))
    const added = state.node('n1')
    if (added === undefined) throw new Error('no node')
    return {
      what: 'node',
      change: 'add',
      node: added,
      differs: { labels: true, taints: true, allocatable: true, other: true },
    }
  }
  return { clock, queue, info, popName, gated, node, activations: () => activations }
}
const refusedBy = (...plugins: readonly string[]) => new Set(plugins)

describe('order', () => {
  test('priority first, then arrival', () => {
    const { queue, info, popName } = setup()
    queue.add(info('a'))
    queue.add(info('b', { spec: { priority: 5 } }))
    queue.add(info('c', { spec: { priority: 5 } }))
    expect([popName(), popName(), popName(), popName()]).toEqual(['b', 'c', 'a', undefined])
  })
})

describe('refused pods', () => {
  test('are woken only by an event that a refusing plugin says may help', () => {
    const { queue, info, popName, node } = setup({ Deaf: {}, Nodes: { node: () => true } })
    for (const [name, plugin] of [
      ['deaf', 'Deaf'],
      ['listening', 'Nodes'],
    ] as const) {
      queue.add(info(name))
      const entry = queue.pop()
      if (entry !== undefined) queue.reject(entry, refusedBy(plugin))
    }
    expect(queue.sizes.unschedulable).toBe(2)
    queue.wake(node())
    expect(popName()).toBe('listening')
    expect(popName()).toBeUndefined()
  })
  test('a plugin without hints is helped by everything', () => {
    const { queue, info, popName, node } = setup({ Unknown: undefined })
    queue.add(info('a'))
    const entry = queue.pop()
    if (entry !== undefined) queue.reject(entry, refusedBy('Unknown'))
    queue.wake(node())
    expect(popName()).toBe('a')
  })
  test('an event that comes while the pod is tried is not missed', () => {
    const { queue, info, popName, node } = setup({ Nodes: { node: () => true } })
    queue.add(info('a'))
    const entry = queue.pop()
    queue.wake(node())
    if (entry !== undefined) queue.reject(entry, refusedBy('Nodes'))
    expect(popName()).toBe('a')
  })
  test('wait for their back-off while others are active: 1 s, doubling, at most 10 s', async () => {
    const { clock, queue, info, node } = setup({ Nodes: { node: () => true } })
    const start = clock.now()
    const delays: number[] = []
    queue.add(info('a'))
    for (let i = 0; i < 6; i++) {
      const entry = queue.pop()
      expect(entry?.info.name).toBe('a')
      if (entry === undefined) return
      queue.reject(entry, refusedBy('Nodes'))
      queue.wake(node())
      delays.push(entry.backoffUntilMs - clock.monotonic())
      await clock.advance(11_000)
    }
    expect(delays).toEqual([1000, 2000, 4000, 8000, 10_000, 10_000])
    expect(clock.now() - start).toBe(66_000)
  })
  test('are tried early when nothing else is active', () => {
    const { queue, info, popName, node } = setup({ Nodes: { node: () => true } })
    queue.add(info('a'))
    const entry = queue.pop()
    if (entry !== undefined) queue.reject(entry, refusedBy('Nodes'))
    queue.wake(node())
    expect(queue.sizes).toMatchObject({ active: 0, backoff: 1 })
    expect(popName()).toBe('a')
  })
  test('after an error the back-off is always waited for', async () => {
    const { clock, queue, info, popName } = setup()
    queue.add(info('a'))
    const entry = queue.pop()
    if (entry !== undefined) queue.fail(entry)
    expect(popName()).toBeUndefined()
    await clock.advance(1000)
    expect(popName()).toBe('a')
  })
  test('are tried again after five minutes whatever happens', async () => {
    const { clock, queue, info, popName } = setup({ Deaf: {} })
    queue.add(info('a'))
    const entry = queue.pop()
    if (entry !== undefined) queue.reject(entry, refusedBy('Deaf'))
    await clock.advance(299_000)
    expect(popName()).toBeUndefined()
    await clock.advance(60_000)
    expect(popName()).toBe('a')
  })
  test('a change of the pod wakes it when the plugin says so', () => {
    const { queue, info, popName } = setup({ P: { pod: (_i, { pod, old }) => pod.labels['x'] !== old.labels['x'] } })
    const first = info('a')
    queue.add(first)
    const entry = queue.pop()
    if (entry !== undefined) queue.reject(entry, refusedBy('P'))
    const same = podOf('a', { metadata: { uid: first.uid, labels: { y: '1' } } })
    queue.update(new ClusterState().parse(same))
    expect(popName()).toBeUndefined()
    queue.update(new ClusterState().parse({ ...same, metadata: { ...same.metadata, labels: { x: '1' } } }))
    expect(popName()).toBe('a')
  })
})

describe('gates', () => {
  test('a gated pod is not queued until the gate opens', () => {
    const { queue, info, popName, gated } = setup()
    gated.add('a')
    const a = info('a')
    queue.add(a)
    expect(queue.sizes.gated).toBe(1)
    expect(popName()).toBeUndefined()
    gated.delete('a')
    queue.ungate(a.uid)
    expect(popName()).toBe('a')
  })
})

describe('removal', () => {
  test('a pod that is removed while it is tried does not come back', () => {
    const { queue, info, popName } = setup()
    const a = info('a')
    queue.add(a)
    const entry = queue.pop()
    queue.remove(a.uid)
    if (entry !== undefined) queue.reject(entry, refusedBy('X'))
    expect(queue.sizes).toEqual({ active: 0, backoff: 0, unschedulable: 0, gated: 0 })
    expect(popName()).toBeUndefined()
  })
  test('a pod whose binding failed is ours again', async () => {
    const { clock, queue, info, popName } = setup()
    queue.add(info('a'))
    const entry = queue.pop()
    if (entry === undefined) throw new Error('nothing to pop')
    queue.done(entry)
    expect([...queue.pods()]).toEqual([])
    queue.fail(entry)
    await clock.advance(1000)
    expect(popName()).toBe('a')
  })
})
