import { afterEach, describe, expect, it } from 'vitest'
import { type DaemonSet, daemonSets } from '../api/apps/daemon-set.ts'
import { type Node, nodes } from '../api/core/node.ts'
import { type Pod, pods } from '../api/core/pod.ts'
import { daemonSetController } from './daemon-set.ts'
import { nodeFit } from './daemon-set-plan.ts'
import { type TestCluster, testCluster } from './testing/cluster.ts'

let cluster: TestCluster
afterEach(() => cluster.stop())
const start = async (count: number, runs?: (pod: Pod) => boolean) => {
  cluster = await testCluster([daemonSetController], { nodes: count, ...(runs ? { runs } : {}) })
}
const template = (image: string, spec: object = {}) => ({
  metadata: { labels: { app: 'd' } },
  spec: { containers: [{ name: 'd', image }], ...spec },
})
const create = (spec: Partial<DaemonSet['spec']> = {}) =>
  cluster.client.resource(daemonSets).create({
    metadata: { name: 'd', namespace: 'default' },
    spec: { selector: { matchLabels: { app: 'd' } }, template: template('a:1'), ...spec } as never,
  })
const patch = (spec: object) => cluster.client.resource(daemonSets).patch('d', 'default', 'strategic', { spec })
const setImage = (image: string) => patch({ template: { spec: { containers: [{ name: 'd', image }] } } })
const current = () => cluster.client.resource(daemonSets).get('d', 'default')
const byNode = async () =>
  Object.fromEntries((await cluster.all(pods)).map((p) => [p.spec.nodeName, p.spec.containers[0]?.image]))
const patchNode = (name: string, change: object) =>
  cluster.client.resource(nodes).patch(name, undefined, 'merge', change)

describe('daemon set', () => {
  it('runs one pod on each node, also on those that join, and counts them', async () => {
    await start(2)
    await create()
    await cluster.advance()
    expect(await byNode()).toEqual({ n1: 'a:1', n2: 'a:1' })
    await cluster.client.resource(nodes).create({ metadata: { name: 'n3' }, spec: {} })
    await patchNode('n3', { spec: { taints: null } })
    await cluster.advance()
    expect(Object.keys(await byNode())).toEqual(expect.arrayContaining(['n1', 'n2', 'n3']))
    expect((await current()).status).toMatchObject({
      desiredNumberScheduled: 3,
      currentNumberScheduled: 3,
      numberReady: 3,
      numberAvailable: 3,
      updatedNumberScheduled: 3,
      numberMisscheduled: 0,
    })
    const [pod] = await cluster.all(pods)
    expect(pod?.spec.tolerations?.map((t) => t.key)).toContain('node.kubernetes.io/unschedulable')
    expect(await cluster.all(pods)).toHaveLength(3)
  })
  it('follows node labels', async () => {
    await start(2)
    await create({ template: template('a:1', { nodeSelector: { disk: 'ssd' } }) as never })
    await cluster.advance()
    expect(await byNode()).toEqual({})
    await patchNode('n1', { metadata: { labels: { disk: 'ssd' } } })
    await cluster.advance()
    expect(await byNode()).toEqual({ n1: 'a:1' })
    await patchNode('n1', { metadata: { labels: { disk: null } } })
    await cluster.advance()
    expect(await byNode()).toEqual({})
  })
  it('a NoSchedule taint keeps pods that run, a NoExecute taint does not', async () => {
    await start(2)
    await create()
    await cluster.advance()
    await patchNode('n1', { spec: { taints: [{ key: 'x', effect: 'NoSchedule' }] } })
    await patchNode('n2', { spec: { taints: [{ key: 'x', effect: 'NoExecute' }] } })
    await cluster.advance()
    expect(await byNode()).toEqual({ n1: 'a:1' })
    expect((await current()).status).toMatchObject({ desiredNumberScheduled: 0, numberMisscheduled: 1 })
  })
  it('updates as many nodes at a time as may be unavailable', async () => {
    let slow = false
    await start(4, (pod) => !slow || pod.spec.containers[0]?.image === 'a:1')
    await create()
    await cluster.advance()
    slow = true
    await setImage('a:2')
    await cluster.advance()
    expect(Object.values(await byNode()).filter((image) => image === 'a:2')).toHaveLength(1)
    slow = false
    const [waiting] = (await cluster.all(pods)).filter((p) => p.status.phase === 'Pending')
    await cluster.client
      .resource(pods)
      .patch(waiting?.metadata.name ?? '', 'default', 'merge', { metadata: { annotations: { go: '' } } })
    await cluster.advance()
    expect(Object.values(await byNode())).toEqual(['a:2', 'a:2', 'a:2', 'a:2'])
    expect((await current()).status).toMatchObject({ updatedNumberScheduled: 4, numberAvailable: 4 })
  })
  it('with surge the new pod stands beside the old one until it serves', async () => {
    await start(2)
    await create({ updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } } })
    await cluster.advance()
    let least = 99
    const cache = cluster.informers.informer(pods)
    cache.handle({
      delete: () => {
        const serving = new Set(
          [...cache.list()].filter((p) => p.status.phase === 'Running').map((p) => p.spec.nodeName),
        )
        least = Math.min(least, serving.size)
      },
    })
    await setImage('a:2')
    await cluster.advance()
    expect(await byNode()).toEqual({ n1: 'a:2', n2: 'a:2' })
    expect(await cluster.all(pods)).toHaveLength(2)
    expect(least).toBe(2)
  })
  it('replaces a failed pod, ever more slowly', async () => {
    await start(1)
    await create()
    await cluster.advance()
    const fail = async () => {
      const [pod] = await cluster.all(pods)
      if (pod === undefined) throw new Error('no pod')
      await cluster.client.resource(pods).updateStatus({ ...pod, status: { ...pod.status, phase: 'Failed' } })
      await cluster.advance()
      return (await cluster.all(pods))[0]?.metadata.uid !== pod.metadata.uid
    }
    expect(await fail()).toBe(true)
    expect(await fail()).toBe(false)
    await cluster.advance(1000)
    expect((await cluster.all(pods))[0]?.status.phase).toBe('Running')
    expect(await cluster.eventsOf('d')).toContainEqual(
      expect.stringMatching(
        /^FailedDaemonPod: Found failed daemon pod default\/d-\w+ on node n1, will try to kill it$/,
      ),
    )
  })
  it('OnDelete leaves old pods until the user deletes them', async () => {
    await start(2)
    await create({ updateStrategy: { type: 'OnDelete' } })
    await cluster.advance()
    await setImage('a:2')
    await cluster.advance()
    expect(await byNode()).toEqual({ n1: 'a:1', n2: 'a:1' })
    const [pod] = (await cluster.all(pods)).filter((p) => p.spec.nodeName === 'n2')
    await cluster.client.resource(pods).delete(pod?.metadata.name ?? '', 'default')
    await cluster.advance()
    expect(await byNode()).toEqual({ n1: 'a:1', n2: 'a:2' })
  })
})

describe('nodeFit', () => {
  it.each([
    ['a plain node', {}, {}, { run: true, stay: true }],
    [
      'not ready',
      { taints: [{ key: 'node.kubernetes.io/not-ready', effect: 'NoExecute' }] },
      {},
      { run: true, stay: true },
    ],
    [
      'cordoned',
      { taints: [{ key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' }] },
      {},
      { run: true, stay: true },
    ],
    ['a foreign NoSchedule taint', { taints: [{ key: 'x', effect: 'NoSchedule' }] }, {}, { run: false, stay: true }],
    ['a foreign NoExecute taint', { taints: [{ key: 'x', effect: 'NoExecute' }] }, {}, { run: false, stay: false }],
    [
      'the network is down',
      { taints: [{ key: 'node.kubernetes.io/network-unavailable', effect: 'NoSchedule' }] },
      {},
      { run: false, stay: true },
    ],
    [
      'the network is down, on the host network',
      { taints: [{ key: 'node.kubernetes.io/network-unavailable', effect: 'NoSchedule' }] },
      { hostNetwork: true },
      { run: true, stay: true },
    ],
    ['meant for another node', {}, { nodeName: 'other' }, { run: false, stay: false }],
  ])('%s', async (_, nodeSpec, podSpec, fit) => {
    await start(0)
    const node = { metadata: { name: 'n' }, spec: nodeSpec } as unknown as Node
    const set = { spec: { template: template('i', podSpec) } } as unknown as DaemonSet
    expect(nodeFit(set, node)).toEqual(fit)
  })
})
