// Plugins of one's own, profiles, and bindings that fail.
import { afterEach, describe, expect, test } from 'vitest'
import { pods } from '../api/core/pod.ts'
import { ApiError } from '../api/machinery/errors.ts'
import type { Client } from '../client/client.ts'
import { type PluginFactory, unschedulable, type WaitingPod } from './framework.ts'
import { startScheduler } from './scheduler.ts'
import { requesting, type SchedulerCluster, schedulerCluster } from './testing/cluster.ts'

let cluster: SchedulerCluster | undefined
afterEach(async () => {
  await cluster?.stop()
  cluster = undefined
})
const start = async (...args: Parameters<typeof schedulerCluster>) => (cluster = await schedulerCluster(...args))

describe('plugins of one’s own', () => {
  test('are asked at every point where they have something to say', async () => {
    const asked: string[] = []
    const own: PluginFactory = {
      name: 'Own',
      create: (_handle, args) => ({
        name: 'Own',
        preEnqueue: () => void asked.push('preEnqueue'),
        preFilter: () => void asked.push('preFilter'),
        filter: (_cycle, { name }) => {
          asked.push(`filter ${name}`)
          return name === (args as { avoid: string }).avoid ? unschedulable('node(s) I do not like') : undefined
        },
        preScore: (_cycle, nodes) => void asked.push(`preScore ${nodes.length}`),
        score: (_cycle, { name }) => {
          asked.push(`score ${name}`)
          return name === 'n3' ? 100 : 0
        },
        normalize: () => void asked.push('normalize'),
        reserve: (_cycle, { name }) => void asked.push(`reserve ${name}`),
        permit: () => void asked.push('permit'),
        preBind: async () => void asked.push('preBind'),
        postBind: () => void asked.push('postBind'),
      }),
    }
    const plugins = { multiPoint: { enabled: [{ name: 'Own', weight: 100 }] } }
    const c = await start({
      plugins: [own],
      profiles: [
        { schedulerName: 'default-scheduler', plugins, pluginConfig: [{ name: 'Own', args: { avoid: 'n1' } }] },
      ],
    })
    for (const name of ['n1', 'n2', 'n3']) await c.node(name)
    await c.pod('p')
    await c.advance()
    expect((await c.get('p')).spec.nodeName).toBe('n3')
    expect(asked.filter((point) => !point.startsWith('filter')).join()).toBe(
      'preEnqueue,preFilter,preScore 2,score n2,score n3,normalize,reserve n3,permit,preBind,postBind',
    )
    expect(asked.filter((point) => point.startsWith('filter')).sort()).toEqual(['filter n1', 'filter n2', 'filter n3'])
  })
  test('may hold a pod back until they allow it, or refuse it in the end', async () => {
    let waiting: () => Iterable<WaitingPod> = () => []
    const gang: PluginFactory = {
      name: 'Gang',
      create: (handle) => {
        waiting = () => handle.waitingPods()
        return { name: 'Gang', hints: {}, permit: () => ({ waitMs: 10_000 }) }
      },
    }
    const c = await start({
      plugins: [gang],
      profiles: [{ schedulerName: 'default-scheduler', plugins: { permit: { enabled: [{ name: 'Gang' }] } } }],
    })
    await c.node('n1')
    await c.pod('a', requesting({ cpu: '3' }))
    await c.pod('b', requesting({ cpu: '3' }))
    await c.advance()
    expect([...waiting()].map(({ pod, nodeName }) => [pod.name, nodeName])).toEqual([['a', 'n1']])
    expect(await c.placements()).toEqual({ a: '', b: '' })
    for (const pod of waiting()) pod.allow('Gang')
    await c.advance()
    expect(await c.placements()).toEqual({ a: 'n1', b: '' })
    await c.client.resource(pods).delete('a', 'default', { gracePeriodSeconds: 0 })
    await c.advance()
    await c.advance(11_000)
    expect((await c.get('b')).status.conditions?.[0]?.message).toContain(
      'rejected due to timeout after waiting 10s at plugin Gang',
    )
    expect(c.scheduler.explain(await c.get('b'))?.fits).toEqual(['n1'])
  })
  test('that throw fail the attempt, not the scheduler', async () => {
    let broken = true
    const bad: PluginFactory = {
      name: 'Bad',
      create: () => ({
        name: 'Bad',
        filter: () => {
          if (broken) throw new Error('a defect')
          return undefined
        },
      }),
    }
    const c = await start({
      plugins: [bad],
      profiles: [{ schedulerName: 'default-scheduler', plugins: { filter: { enabled: [{ name: 'Bad' }] } } }],
    })
    await c.node('n1')
    await c.pod('p')
    await c.advance()
    expect((await c.get('p')).status.conditions).toMatchObject([
      { reason: 'SchedulerError', message: 'Error: a defect' },
    ])
    broken = false
    await c.advance(2000)
    expect((await c.get('p')).spec.nodeName).toBe('n1')
  })
})

describe('profiles', () => {
  test('leave plugins out, and order differently', async () => {
    const c = await start({
      profiles: [
        { schedulerName: 'default-scheduler' },
        {
          schedulerName: 'blind',
          plugins: { filter: { disabled: [{ name: 'TaintToleration' }] } },
          pluginConfig: [{ name: 'NodeResourcesFit', args: { scoringStrategy: { type: 'MostAllocated' } } }],
        },
      ],
    })
    await c.node('n1', (node) => {
      ;(node.spec as { taints: unknown }).taints = [{ key: 'k', effect: 'NoSchedule' }]
    })
    for (const schedulerName of ['default-scheduler', 'blind'])
      await c.pod(schedulerName, (pod) => {
        pod.spec.schedulerName = schedulerName
      })
    await c.advance()
    expect(await c.placements()).toEqual({ 'default-scheduler': '', blind: 'n1' })
    expect((await c.eventsOf('blind'))[0]).toBe('Normal Scheduled: Successfully assigned default/blind to n1')
  })
  test.each([
    ['does not exist', { filter: { enabled: [{ name: 'Nothing' }] } }],
    ['does not extend score plugin', { score: { enabled: [{ name: 'NodeName' }] } }],
    ['exactly one queue sort plugin', { queueSort: { disabled: [{ name: '*' }] } }],
    ['at least one bind plugin', { bind: { disabled: [{ name: 'DefaultBinder' }] } }],
  ])('that make no sense are refused: %s', async (message, plugins) => {
    const c = await start()
    const { client, informers, clock, log } = c
    const random = { float: () => 0, bytes: (n: number) => new Uint8Array(n), uuid: () => '' }
    const profiles = [{ schedulerName: 'x', plugins }]
    expect(() => startScheduler({ client, informers, clock, random, log, profiles })).toThrow(message)
  })
})

describe('a binding that fails', () => {
  /** A client whose bindings are refused as long as `refuse` says so. */
  const refusing = (inner: Client, refuse: () => ApiError | undefined): Client => ({
    ...inner,
    resource: (kind) => ({
      ...inner.resource(kind),
      post: async (name, namespace, subresource, body) => {
        const error = subresource === 'binding' ? refuse() : undefined
        if (error !== undefined) throw error
        return inner.resource(kind).post(name, namespace, subresource, body)
      },
    }),
  })
  test('frees the node and is tried again after a back-off', async () => {
    const c = await start({ profiles: [{ schedulerName: 'idle' }] })
    let failures = 1
    const { informers, clock, log } = c
    const client = refusing(c.client, () => (failures-- > 0 ? new ApiError('InternalError', 'no') : undefined))
    const random = { float: () => 0, bytes: (n: number) => new Uint8Array(n), uuid: () => '' }
    const scheduler = startScheduler({ client, informers, clock, random, log })
    await scheduler.ready
    await c.node('n1')
    await c.pod('p', requesting({ cpu: '3' }))
    await c.advance()
    expect(await c.placements()).toEqual({ p: '' })
    expect((await c.get('p')).status.conditions).toMatchObject([{ reason: 'SchedulerError' }])
    expect(scheduler.whereabouts((await c.get('p')).metadata.uid)).toBe('backoff')
    await c.advance(2000)
    expect(await c.placements()).toEqual({ p: 'n1' })
    await scheduler.stop()
  })
  test('because the pod is gone is forgotten', async () => {
    const c = await start()
    await c.node('n1')
    const [created] = await Promise.all([
      c.pod('p', requesting({ cpu: '3' })),
      c.client.resource(pods).deleteCollection({ namespace: 'default' }, { gracePeriodSeconds: 0 }),
    ])
    await c.client.resource(pods).deleteCollection({ namespace: 'default' }, { gracePeriodSeconds: 0 })
    await c.advance(2000)
    expect(c.scheduler.whereabouts(created.metadata.uid)).toBe('unknown')
    await c.pod('next', requesting({ cpu: '3' }))
    await c.advance()
    expect((await c.get('next')).spec.nodeName).toBe('n1')
  })
})
