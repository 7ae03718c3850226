// Explanations on the real scheduler: what is said, what a change would bring, and that nothing is touched.
import { afterEach, expect, test } from 'vitest'
import type { Node } from '../api/core/node.ts'
import { requesting, type SchedulerCluster, schedulerCluster } from './testing/cluster.ts'

let cluster: SchedulerCluster | undefined
afterEach(async () => {
  await cluster?.stop()
  cluster = undefined
})
async function start(): Promise<SchedulerCluster> {
  const c = (cluster = await schedulerCluster())
  await c.node('full')
  await c.pod('filler', requesting({ cpu: '3' }))
  await c.advance()
  await c.node('tainted', (node) => {
    ;(node.spec as { taints: unknown }).taints = [{ key: 'gpu', value: 'yes', effect: 'NoSchedule' }]
  })
  await c.node('cordoned', (node) => {
    ;(node.spec as { unschedulable: boolean }).unschedulable = true
  })
  await c.pod('stuck', requesting({ cpu: '2' }))
  await c.advance()
  return c
}

test('every node and every plugin is heard', async () => {
  const c = await start()
  const pod = await c.get('stuck')
  const explained = c.scheduler.explain(pod)
  expect(c.scheduler.whereabouts(pod.metadata.uid)).toBe('unschedulable')
  expect(explained?.fits).toEqual([])
  expect(explained?.nodes).toEqual([
    { node: 'full', refusals: [{ plugin: 'NodeResourcesFit', code: 'Unschedulable', reasons: ['Insufficient cpu'] }] },
    {
      node: 'tainted',
      refusals: [{ plugin: 'TaintToleration', code: 'Unresolvable', reasons: ['node(s) had untolerated taint(s)'] }],
    },
    {
      node: 'cordoned',
      refusals: expect.arrayContaining([
        { plugin: 'NodeUnschedulable', code: 'Unresolvable', reasons: ['node(s) were unschedulable'] },
      ]),
    },
  ])
  expect(explained?.message).toContain('0/3 nodes are available: 1 Insufficient cpu')
})

test('a change is tried without being made', async () => {
  const c = await start()
  const pod = await c.get('stuck')
  const bigger: Node = {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'new', uid: 'new', resourceVersion: '1', creationTimestamp: '2026-01-01T00:00:00Z' },
    spec: {},
    status: { allocatable: { cpu: '4', memory: '8Gi', pods: '10' } },
  } as unknown as Node
  expect(c.scheduler.tryChange(pod, { nodes: [bigger] })?.fits).toEqual(['new'])
  const filler = await c.get('filler')
  expect(c.scheduler.tryChange(pod, { removePods: [filler.metadata.uid] })?.fits).toEqual(['full'])
  expect(c.scheduler.tryChange(pod, { removeNodes: ['full', 'tainted'] })?.nodes).toHaveLength(1)
  expect(c.scheduler.explain(pod)?.nodes).toHaveLength(3)
  expect(await c.placements()).toEqual({ filler: 'full', stuck: '' })
})

test('suggestions were seen to help', async () => {
  const c = await start()
  const pod = await c.get('stuck')
  const suggestions = c.scheduler.suggest(pod, 5)
  expect(suggestions.map(({ node, steps }) => [node, ...steps])).toEqual(
    expect.arrayContaining([
      ['full', 'request at most 1000m of cpu (now 2000m): full has no more left'],
      ['tainted', 'tolerate the taint gpu=yes:NoSchedule of tainted'],
    ]),
  )
  for (const { change, node } of suggestions) expect(c.scheduler.tryChange(pod, change)?.fits).toContain(node)
})

test('a pod that is placed is looked at as if it were not', async () => {
  const c = await start()
  const explained = c.scheduler.explain(await c.get('filler'))
  expect(explained?.fits).toEqual(['full'])
  expect(c.scheduler.whereabouts((await c.get('filler')).metadata.uid)).toBe('placed')
})
