import { afterEach, describe, expect, it } from 'vitest'
import { deployments } from '../api/apps/deployment.ts'
import { horizontalPodAutoscalers, type HpaSpec } from '../api/autoscaling/horizontal-pod-autoscaler.ts'
import { type Pod, pods } from '../api/core/pod.ts'
import { formatTime } from '../api/machinery/time.ts'
import type { Transport } from '../ports/transport.ts'
import { firstMemory, type Memory, planReplicas, remember } from './autoscaler-plan.ts'
import { durationMs } from './autoscaler-metrics.ts'
import { byAverage, byShareOfValue, byUtilization, byValue, type Observed, requestOf } from './autoscaler-replicas.ts'
import { deploymentController } from './deployment.ts'
import { horizontalPodAutoscalerController } from './horizontal-pod-autoscaler.ts'
import { replicaSetController } from './replica-set.ts'
import { type TestCluster, testCluster } from './testing/cluster.ts'

const nowMs = 1_000_000_000_000
const podOf = (name: string, ready = true, phase = 'Running', startedMs = nowMs - 3_600_000) =>
  ({
    metadata: { name, namespace: 'default', uid: name },
    spec: { containers: [{ name: 'c', resources: { requests: { cpu: '1' } } }] },
    status: {
      phase,
      startTime: formatTime(startedMs),
      conditions: [
        { type: 'Ready', status: ready ? 'True' : 'False', lastTransitionTime: formatTime(startedMs + 1000) },
      ],
    },
  }) as unknown as Pod
const samplesOf = (values: Readonly<Record<string, number>>) =>
  new Map(Object.entries(values).map(([name, value]) => [name, { value, atMs: nowMs, windowMs: 30_000 }]))
const observedOf = (list: readonly Pod[], more: Partial<Observed> = {}): Observed => ({
  pods: list,
  currentReplicas: list.length,
  tolerance: { up: 0.1, down: 0.1 },
  nowMs,
  ...more,
})
const cpu = (percent: number) => ({ resource: 'cpu', percent })

describe('how many replicas a metric asks for', () => {
  const three = [podOf('a'), podOf('b'), podOf('c')]
  it.each([
    ['more', { a: 900, b: 900, c: 900 }, 50, 6],
    ['fewer', { a: 200, b: 200, c: 200 }, 50, 2],
    ['the same within a tenth', { a: 540, b: 540, c: 540 }, 50, 3],
    ['a little more than a tenth', { a: 560, b: 560, c: 560 }, 50, 4],
  ])('%s', (_name, values, percent, replicas) => {
    expect(byUtilization(observedOf(three), samplesOf(values), cpu(percent)).replicas).toBe(replicas)
  })
  it('what says nothing is idle on the way up and busy on the way down', () => {
    expect(byUtilization(observedOf(three), samplesOf({ a: 900, b: 900 }), cpu(50)).replicas).toBe(4)
    expect(byUtilization(observedOf(three), samplesOf({ a: 200, b: 200 }), cpu(50)).replicas).toBe(3)
    expect(byUtilization(observedOf(three), samplesOf({ a: 10, b: 10 }), cpu(80)).replicas).toBe(2)
  })
  it('pods that are not ready count as idle on the way up, and not at all on the way down', () => {
    const mixed = [podOf('a'), podOf('b'), podOf('c', false, 'Pending')]
    expect(byUtilization(observedOf(mixed), samplesOf({ a: 900, b: 900, c: 900 }), cpu(50)).replicas).toBe(4)
    expect(byUtilization(observedOf(mixed), samplesOf({ a: 200, b: 200 }), cpu(50)).replicas).toBe(1)
  })
  it('CPU of a pod that has just started is not its load, memory is', () => {
    const young = [podOf('a'), podOf('b', true, 'Running', nowMs - 20_000)]
    expect(byUtilization(observedOf(young), samplesOf({ a: 500, b: 4000 }), cpu(50)).replicas).toBe(2)
    expect(byAverage(observedOf(young), samplesOf({ a: 500, b: 4000 }), 500, false).replicas).toBe(9)
  })
  it('tells the use, and each pod that cannot have one', () => {
    expect(byUtilization(observedOf(three), samplesOf({ a: 100, b: 200, c: 300 }), cpu(20))).toEqual({
      replicas: 3,
      utilization: 20,
      average: 200,
    })
    expect(() => byUtilization(observedOf(three), new Map(), cpu(50))).toThrow(
      'did not receive metrics for targeted pods (pods might be unready)',
    )
    expect(() => requestOf(podOf('a'), 'memory', undefined)).toThrow(
      'missing request for memory in container c of Pod a',
    )
  })
  it('one value for all, and shared', () => {
    expect(byValue(observedOf(three), 40_000, 20_000)).toEqual({ replicas: 6, usage: 40_000 })
    expect(byValue(observedOf(three), 21_000, 20_000).replicas).toBe(3)
    expect(byShareOfValue(observedOf(three), 3, 100_000, 20_000)).toEqual({ replicas: 5, usage: 33_334 })
    expect(byShareOfValue(observedOf(three), 3, 63_000, 20_000).replicas).toBe(3)
  })
  it.each([
    ['30s', 30_000],
    ['1m0s', 60_000],
    ['15.5s', 15_500],
    ['250ms', 250],
  ])('reads the window %s', (text, ms) => expect(durationMs(text)).toBe(ms))
})

const spec = (behavior?: object, min = 1, max = 100) =>
  ({
    scaleTargetRef: { kind: 'Deployment', name: 'web' },
    minReplicas: min,
    maxReplicas: max,
    behavior,
  }) as unknown as HpaSpec
const rules = (type: string, value: number, more: object = {}) => ({
  selectPolicy: 'Max',
  policies: [{ type, value, periodSeconds: 60 }],
  stabilizationWindowSeconds: 0,
  ...more,
})
const nothing: Memory = { recommendations: [], ups: [], downs: [] }
const plan = (s: HpaSpec, current: number, proposed: number, memory: Memory = nothing) =>
  planReplicas({ spec: s, current, proposed, memory, nowMs })

describe('what is done about it', () => {
  it.each<[string, HpaSpec, number, number, number, string]>([
    ['doubles at most', spec(), 10, 50, 20, 'ScaleUpLimit'],
    ['to four from one', spec(), 1, 50, 4, 'ScaleUpLimit'],
    ['within the bounds', spec(), 3, 5, 5, 'DesiredWithinRange'],
    ['not above the most', spec(undefined, 1, 5), 3, 9, 5, 'TooManyReplicas'],
    ['by pods', spec({ scaleUp: rules('Pods', 2) }), 3, 9, 5, 'ScaleUpLimit'],
    ['by percent', spec({ scaleUp: rules('Percent', 50) }), 4, 9, 6, 'ScaleUpLimit'],
    ['not at all', spec({ scaleUp: rules('Pods', 2, { selectPolicy: 'Disabled' }) }), 4, 9, 4, 'ScaleUpLimit'],
    ['down by pods', spec({ scaleDown: rules('Pods', 2) }), 9, 1, 7, 'ScaleDownLimit'],
    ['down by percent', spec({ scaleDown: rules('Percent', 10) }), 20, 1, 18, 'ScaleDownLimit'],
    ['never down', spec({ scaleDown: rules('Pods', 2, { selectPolicy: 'Disabled' }) }), 9, 1, 9, 'ScaleDownLimit'],
    ['not below the least', spec({ scaleDown: rules('Percent', 100) }, 2), 9, 1, 2, 'TooFewReplicas'],
  ])('%s', (_name, s, current, proposed, replicas, reason) => {
    expect(plan(s, current, proposed)).toMatchObject({ replicas, limited: { reason } })
  })
  it('what was added within the period counts against the policy', () => {
    const s = spec({ scaleUp: rules('Pods', 4) })
    expect(plan(s, 6, 20, remember(nothing, 3, 6, nowMs - 30_000)).replicas).toBe(7)
    expect(plan(s, 6, 20, remember(nothing, 3, 6, nowMs - 61_000)).replicas).toBe(10)
  })
  it('goes down only to the highest recommendation of five minutes', () => {
    const before = (ms: number): Memory => ({ ...nothing, recommendations: [{ replicas: 5, atMs: nowMs - ms }] })
    expect(plan(spec(), 5, 2, before(299_000))).toMatchObject({ replicas: 5, able: { reason: 'ScaleDownStabilized' } })
    expect(plan(spec(), 5, 2, before(301_000))).toMatchObject({ replicas: 2, able: { reason: 'ReadyForNewScale' } })
    const s = spec({ scaleUp: rules('Pods', 100, { stabilizationWindowSeconds: 60 }) })
    expect(plan(s, 3, 9, firstMemory(3, nowMs - 10_000))).toMatchObject({
      replicas: 3,
      able: { reason: 'ScaleUpStabilized' },
    })
  })
})

let cluster: TestCluster | undefined
afterEach(async () => {
  await cluster?.stop()
  cluster = undefined
})
/** CPU use of each pod of "web", in millicores; undefined: there is no metrics API. */
async function start(
  usage: () => number | undefined,
  metrics: readonly object[] = [
    { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 50 } } },
  ],
  /** What aggregated metrics APIs answer, by path. */
  aggregated: (path: string) => readonly object[] | undefined = () => undefined,
) {
  const wire = (inner: Transport): Transport => ({
    async send(request) {
      const answer = aggregated(request.path)
      if (answer !== undefined)
        return { status: 200, headers: {}, body: new TextEncoder().encode(JSON.stringify({ items: answer })) }
      if (!request.path.startsWith('/apis/metrics.k8s.io/')) return inner.send(request)
      const now = usage()
      if (now === undefined) return inner.send(request)
      const list = await inner.send({ method: 'GET', path: '/api/v1/namespaces/default/pods' })
      const items = (list.object as { items: readonly Pod[] }).items.map(({ metadata: { name } }) => ({
        metadata: { name },
        timestamp: formatTime(cluster?.clock.now() ?? 0),
        window: '30s',
        containers: [{ name: 'c', usage: { cpu: `${now}m` } }],
      }))
      return { status: 200, headers: {}, body: new TextEncoder().encode(JSON.stringify({ items })) }
    },
  })
  const controllers = [horizontalPodAutoscalerController, deploymentController, replicaSetController]
  const startTime = () => formatTime((cluster?.clock.now() ?? 0) - 600_000)
  cluster = await testCluster(controllers, { nodes: 2, wire, runs: () => ({ startTime: startTime() }) })
  await cluster.client.resource(deployments).create({
    metadata: { name: 'web', namespace: 'default' },
    spec: {
      replicas: 2,
      selector: { matchLabels: { app: 'web' } },
      template: {
        metadata: { labels: { app: 'web' } },
        spec: { containers: [{ name: 'c', image: 'i', resources: { requests: { cpu: '1' } } }] },
      },
    } as never,
  })
  await cluster.advance()
  await cluster.client.resource(horizontalPodAutoscalers).create({
    metadata: { name: 'web', namespace: 'default' },
    spec: {
      scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' },
      maxReplicas: 10,
      behavior: { scaleDown: { stabilizationWindowSeconds: 60 } },
      metrics,
    } as never,
  })
  await cluster.advance(15_000)
  return cluster
}
const sizeOf = async (test: TestCluster) =>
  (await test.client.resource(deployments).get('web', 'default')).spec.replicas
const statusOf = async (test: TestCluster) =>
  (await test.client.resource(horizontalPodAutoscalers).get('web', 'default')).status

describe('the controller', () => {
  it('scales up at once, and down after a quiet minute', async () => {
    let usage = 900
    const test = await start(() => usage)
    await test.advance(15_000)
    expect(await sizeOf(test)).toBe(10)
    expect(await test.eventsOf('web')).toContain(
      'SuccessfulRescale: New size: 4; reason: cpu resource utilization (percentage of request) above target',
    )
    usage = 100
    await test.advance(15_000)
    expect(await sizeOf(test)).toBe(10)
    expect((await statusOf(test)).conditions).toMatchObject([
      { type: 'AbleToScale', reason: 'ScaleDownStabilized' },
      { type: 'ScalingActive', status: 'True', reason: 'ValidMetricFound' },
      { type: 'ScalingLimited' },
    ])
    for (let i = 0; i < 5; i++) await test.advance(15_000)
    expect(await sizeOf(test)).toBe(2)
    const status = await statusOf(test)
    expect(status).toMatchObject({ desiredReplicas: 2 })
    expect(status.currentMetrics?.[0]?.resource?.current).toEqual({ averageUtilization: 10, averageValue: '100m' })
  })
  it('tells what is missing, and leaves the target alone', async () => {
    const test = await start(() => undefined)
    expect(await sizeOf(test)).toBe(2)
    expect((await statusOf(test)).conditions).toMatchObject([
      { type: 'AbleToScale', status: 'True', reason: 'SucceededGetScale' },
      { type: 'ScalingActive', status: 'False', reason: 'FailedGetResourceMetric' },
    ])
    await test.client.resource(deployments).delete('web', 'default')
    await test.advance(15_000)
    expect((await statusOf(test)).conditions?.[0]).toMatchObject({ type: 'AbleToScale', reason: 'FailedGetScale' })
  })
  it.each<[string, object, string, (name: string) => readonly object[], number, object]>([
    [
      'of its pods',
      { type: 'Pods', pods: { metric: { name: 'queue' }, target: { type: 'AverageValue', averageValue: '1' } } },
      '/apis/custom.metrics.k8s.io/v1beta2/namespaces/default/pods/*/queue?labelSelector=app%3Dweb',
      (name) => [{ describedObject: { name }, value: '2500m' }],
      5,
      { pods: { metric: { name: 'queue' }, current: { averageValue: '2500m' } } },
    ],
    [
      'of an object',
      {
        type: 'Object',
        object: {
          metric: { name: 'rps', selector: { matchLabels: { verb: 'GET' } } },
          describedObject: { apiVersion: 'networking.k8s.io/v1', kind: 'Ingress', name: 'front' },
          target: { type: 'Value', value: '100' },
        },
      },
      '/apis/custom.metrics.k8s.io/v1beta2/namespaces/default/ingresses.networking.k8s.io/front/rps?metricLabelSelector=verb%3DGET',
      () => [{ describedObject: { name: 'front' }, value: '300' }],
      // three times as many at each look, up to the most
      10,
      { object: { describedObject: { kind: 'Ingress' }, current: { value: '300' } } },
    ],
    [
      'that is nobody’s here',
      { type: 'External', external: { metric: { name: 'jobs' }, target: { type: 'AverageValue', averageValue: '5' } } },
      '/apis/external.metrics.k8s.io/v1beta1/namespaces/default/jobs',
      () => [{ value: '12' }, { value: '8' }],
      4,
      { external: { metric: { name: 'jobs' }, current: { averageValue: '5' } } },
    ],
  ])('follows a metric %s', async (_name, metric, path, values, size, current) => {
    const asked = new Set<string>()
    let named: readonly Pod[] = []
    const test = await start(
      () => undefined,
      [metric],
      (at) => {
        if (!at.startsWith('/apis/custom.metrics') && !at.startsWith('/apis/external.metrics')) return undefined
        asked.add(at)
        const timestamp = formatTime(cluster?.clock.now() ?? 0)
        const items = path.includes('/pods/') ? named.flatMap(({ metadata: { name } }) => values(name)) : values('')
        return items.map((item) => ({ ...item, timestamp }))
      },
    )
    named = await test.all(pods)
    await test.advance(15_000)
    expect([...asked]).toEqual([path])
    expect(await sizeOf(test)).toBe(size)
    expect((await statusOf(test)).conditions?.[1]).toMatchObject({ status: 'True', reason: 'ValidMetricFound' })
    expect((await statusOf(test)).currentMetrics).toMatchObject([current])
  })
  it('keeps the target within its bounds without metrics, and leaves zero alone', async () => {
    const test = await start(() => undefined)
    const set = (replicas: number) =>
      test.client.resource(deployments).patch('web', 'default', 'merge', { spec: { replicas } })
    await set(12)
    await test.advance(15_000)
    expect(await sizeOf(test)).toBe(10)
    await set(0)
    await test.advance(15_000)
    expect(await sizeOf(test)).toBe(0)
    expect((await statusOf(test)).conditions?.[1]).toMatchObject({ reason: 'ScalingDisabled' })
  })
  it('refuses a target whose pods another one scales', async () => {
    const test = await start(() => 500)
    const first = await test.client.resource(horizontalPodAutoscalers).get('web', 'default')
    await test.client
      .resource(horizontalPodAutoscalers)
      .create({ metadata: { name: 'two', namespace: 'default' }, spec: first.spec })
    await test.advance(30_000)
    const second = await test.client.resource(horizontalPodAutoscalers).get('two', 'default')
    expect(second.status.conditions?.[1]).toMatchObject({
      status: 'False',
      reason: 'AmbiguousSelector',
      message: 'pods by selector app=web are controlled by multiple HPAs: [default/two default/web]',
    })
    expect(await test.all(pods)).toHaveLength(2)
  })
})
