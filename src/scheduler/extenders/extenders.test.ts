// Extenders as their users configure them: the file, a TLS server on loopback, and the scheduler on a real API server.
import { afterEach, expect, test, vi } from 'vitest'
import { pods } from '../../api/core/pod.ts'
import { createOutgoing } from '../../host/outgoing.ts'
import { type WebhookServer, webhookServer } from '../../host/testing/webhook-server.ts'
import { noOutgoing, type Outgoing } from '../../ports/outgoing.ts'
import { readSchedulerConfiguration } from '../../scheduler-configuration.ts'
import { requesting, type SchedulerCluster, schedulerCluster } from '../testing/cluster.ts'

/** What is sent, as far as these tests look at it. */
interface Body {
  readonly Pod: { readonly metadata: { readonly name: string } }
  readonly Nodes: { readonly items: readonly { readonly metadata: { readonly name: string } }[] } | null
  readonly NodeNames: readonly string[] | null
  readonly NodeNameToVictims: object | null
  readonly NodeNameToMetaVictims: Readonly<Record<string, { readonly Pods: readonly { readonly UID: string }[] }>>
}
const namesIn = ({ Nodes }: Body) => Nodes?.items.map(({ metadata }) => metadata.name) ?? []
const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

/** A scheduler with one extender, which says what `answer` says, or nothing for undefined. */
async function start(
  settings: string,
  answer: (verb: string, body: Body) => unknown,
): Promise<{ readonly cluster: SchedulerCluster; readonly server: WebhookServer }> {
  const server = await webhookServer((body, path) => answer(path.split('/').at(-1) ?? '', body as unknown as Body))
  closing.push(() => server.close())
  const { extenders } = await readSchedulerConfiguration(
    `{apiVersion: kubescheduler.config.k8s.io/v1, kind: KubeSchedulerConfiguration, extenders: [{urlPrefix: "${server.url}/ext",
      tlsConfig: {caData: "${server.caBundle}"}, ${settings}}]}`,
    () => Promise.resolve([]),
  )
  const outgoing = createOutgoing()
  const cluster = await schedulerCluster({ outgoing, ...(extenders === undefined ? {} : { extenders }) })
  closing.push(
    () => outgoing.close(),
    () => cluster.stop(),
  )
  return { cluster, server }
}
/** Calls take real time. */
const until = (cluster: SchedulerCluster, check: () => unknown, stepMs = 0) =>
  vi.waitFor(
    async () => {
      await cluster.advance(stepMs)
      await check()
    },
    { timeout: 30_000, interval: 5 },
  )
const placed = (cluster: SchedulerCluster, name: string, node: string, stepMs?: number) =>
  until(cluster, async () => expect((await cluster.get(name)).spec.nodeName ?? '').toBe(node), stepMs)

test('filters and scores: whole nodes are sent, what passes is scored, its weight beats the plugins', async () => {
  const settings = 'filterVerb: filter, prioritizeVerb: prioritize, weight: 100'
  const { cluster, server } = await start(settings, (verb, body) => {
    if (verb === 'prioritize') return namesIn(body).map((Host) => ({ Host, Score: Host === 'n2' ? 10 : 0 }))
    const items = body.Nodes?.items.filter(({ metadata }) => metadata.name !== 'n1')
    return { Nodes: { items }, FailedNodes: { n1: 'bad' } }
  })
  for (const name of ['n1', 'n2', 'n3']) await cluster.node(name)
  // plugins prefer the empty node
  await cluster.pod('before', (pod) => {
    pod.spec.nodeName = 'n2'
    requesting({ cpu: '3' })(pod)
  })
  await cluster.pod('a')
  await placed(cluster, 'a', 'n2')
  const [filter, prioritize] = server.reviews.map(({ body }) => body as unknown as Body)
  expect(server.reviews.map(({ path }) => path)).toEqual(['/ext/filter', '/ext/prioritize'])
  expect(filter).toMatchObject({ Pod: { metadata: { name: 'a' } }, NodeNames: null })
  expect(filter?.Nodes?.items[0]).toMatchObject({ status: { allocatable: { cpu: '4' } } })
  expect(prioritize && namesIn(prioritize).sort()).toEqual(['n2', 'n3'])
})

test('a refusal is told per node, and the pod is tried again when something happens', async () => {
  let open = false
  const { cluster } = await start('filterVerb: filter, nodeCacheCapable: true', (_verb, body) => {
    const names = body.NodeNames
    return open
      ? { nodenames: names }
      : {
          NodeNames: [],
          FailedNodes: { n1: 'licence is used up' },
          FailedAndUnresolvableNodes: { n2: 'no such licence' },
        }
  })
  for (const name of ['n1', 'n2']) await cluster.node(name)
  await cluster.pod('a')
  await until(cluster, async () =>
    expect((await cluster.eventsOf('a'))[0]).toBe(
      'Warning FailedScheduling: 0/2 nodes are available: 1 licence is used up, 1 no such licence. preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling.',
    ),
  )
  open = true
  await cluster.node('n3')
  await until(cluster, async () => expect((await cluster.get('a')).spec.nodeName).toBeDefined(), 1000)
})

test('what changed while an extender thought is seen: the plugins are asked once more', async () => {
  let answer: () => void = () => {}
  const thinking = new Promise<void>((done) => (answer = done))
  let asked = 0
  const outgoing: Outgoing = {
    ...noOutgoing,
    async send() {
      asked++
      await thinking
      const body = (async function* () {
        yield await Promise.resolve(new TextEncoder().encode('{"NodeNames": ["n1"]}'))
      })()
      return { status: 200, headers: {}, body, trailers: () => ({}) }
    },
  }
  const extenders = [{ urlPrefix: 'http://ext', filterVerb: 'filter', nodeCacheCapable: true }]
  const cluster = await schedulerCluster({ outgoing, extenders })
  closing.push(() => cluster.stop())
  for (const name of ['n1', 'n2']) await cluster.node(name)
  await cluster.pod('a', requesting({ cpu: '3' }))
  await cluster.advance()
  expect(asked).toBe(1)
  await cluster.pod('first', (pod) => {
    pod.spec.nodeName = 'n1'
    requesting({ cpu: '3' })(pod)
  })
  await cluster.advance()
  answer()
  await cluster.advance(500)
  expect((await cluster.get('a')).spec.nodeName).toBeUndefined()
  expect((await cluster.eventsOf('a'))[0]).toContain('0/2 nodes are available: 1 Insufficient cpu.')
})

test.each([
  ['that fails', 'Post "', (): unknown => undefined],
  ['that says so', 'no licence server', (): unknown => ({ Error: 'no licence server' })],
  ['that makes up nodes', 'claims a filtered node "n9"', (): unknown => ({ NodeNames: ['n9'] })],
  ['that answers no JSON', 'the answer is not JSON', (): unknown => '<html>'],
])('an extender %s fails the attempt, unless it is ignorable', async (_name, message, answer) => {
  const settings = 'filterVerb: filter, nodeCacheCapable: true, httpTimeout: 500ms'
  const strict = await start(settings, answer)
  await strict.cluster.node('n1')
  await strict.cluster.pod('a')
  await until(
    strict.cluster,
    () => strict.cluster.eventsOf('a').then(([event]) => expect(event).toContain(message)),
    100,
  )
  const [condition] = (await strict.cluster.get('a')).status.conditions ?? []
  expect(condition).toMatchObject({ type: 'PodScheduled', status: 'False', reason: 'SchedulerError' })
  const lenient = await start(`${settings}, ignorable: true`, answer)
  await lenient.cluster.node('n1')
  await lenient.cluster.pod('a')
  await placed(lenient.cluster, 'a', 'n1', 100)
})

test('managed resources: others are not sent, and the scheduler leaves the amount to it', async () => {
  const settings =
    'filterVerb: filter, nodeCacheCapable: true, managedResources: [{name: example.com/licence, ignoredByScheduler: true}]'
  const server = await webhookServer((body) => ({ NodeNames: (body as unknown as Body).NodeNames }))
  closing.push(() => server.close())
  const configuration = await readSchedulerConfiguration(
    `{apiVersion: kubescheduler.config.k8s.io/v1, kind: KubeSchedulerConfiguration,
      extenders: [{urlPrefix: "${server.url}", enableHTTPS: true, ${settings}}]}`,
    () => Promise.resolve([]),
  )
  const outgoing = createOutgoing()
  const cluster = await schedulerCluster({ outgoing, ...configuration })
  closing.push(
    () => outgoing.close(),
    () => cluster.stop(),
  )
  await cluster.node('n1')
  await cluster.pod('plain')
  await placed(cluster, 'plain', 'n1')
  expect(server.reviews).toEqual([])
  await cluster.pod('licensed', (pod) => {
    const amount = { 'example.com/licence': '3' }
    const [container] = pod.spec.containers
    if (container !== undefined) container.resources = { requests: amount, limits: amount }
  })
  await placed(cluster, 'licensed', 'n1')
  expect(server.reviews.map(({ path }) => path)).toEqual(['/filter'])
})

test('an extender that binds does so in the place of the scheduler', async () => {
  const bodies: unknown[] = []
  const { cluster } = await start('bindVerb: bind', (_verb, body) => {
    bodies.push(body)
    return bodies.length === 1 ? { Error: 'not yet' } : {}
  })
  await cluster.node('n1')
  const pod = await cluster.pod('a')
  await until(cluster, () => expect(bodies.length).toBe(1))
  expect(bodies[0]).toEqual({ PodName: 'a', PodNamespace: 'default', PodUID: pod.metadata.uid, Node: 'n1' })
  await until(cluster, () => expect(bodies.length).toBe(2), 1000)
  await until(cluster, async () => expect((await cluster.eventsOf('a')).at(-1)).toContain('Successfully assigned'))
  // it said that it did, and it is the extender's to do
  expect((await cluster.get('a')).spec.nodeName).toBeUndefined()
})

test('an extender takes nodes and victims out of a preemption', async () => {
  const offers: Body[] = []
  const { cluster } = await start('preemptVerb: preempt, nodeCacheCapable: true', (_verb, body) => {
    offers.push(body)
    return { NodeNameToMetaVictims: { n2: { Pods: body.NodeNameToMetaVictims['n2']?.Pods, NumPDBViolations: 0 } } }
  })
  for (const name of ['n1', 'n2']) {
    await cluster.node(name)
    await cluster.pod(`low-${name}`, (pod) => {
      pod.spec.nodeName = name
      requesting({ cpu: '4' })(pod)
    })
  }
  await cluster.advance(100)
  await cluster.pod('high', (pod) => {
    pod.spec.priorityClassName = 'system-node-critical'
    requesting({ cpu: '4' })(pod)
  })
  await until(cluster, async () => expect((await cluster.get('high')).status.nominatedNodeName).toBe('n2'))
  expect(Object.keys(offers[0]?.NodeNameToMetaVictims ?? {}).sort()).toEqual(['n1', 'n2'])
  expect(offers[0]?.NodeNameToVictims).toBeNull()
  const left = (await cluster.client.resource(pods).list({ namespace: 'default' })).items
  expect(
    left.filter(({ metadata }) => metadata.deletionTimestamp === undefined).map(({ metadata }) => metadata.name),
  ).toContain('low-n1')
  await cluster.client
    .resource(pods)
    .delete('low-n2', 'default', { gracePeriodSeconds: 0 })
    .catch(() => undefined)
  await placed(cluster, 'high', 'n2', 500)
})
