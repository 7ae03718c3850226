// Tables of what the plugins say about a node; texts are what users read in events.
import { describe, expect, test } from 'vitest'
import type { Node } from '../../api/core/node.ts'
import type { Pod } from '../../api/core/pod.ts'
import { asking, bench, nodeOf, podOf, type Some } from '../testing/plugins.ts'

const zone = 'topology.kubernetes.io/zone'
type Case = readonly [what: string, node: Some<Node>, pod: Some<Pod>, reasons: readonly string[]]
const affinity = (expressions: readonly object[]): Some<Pod> => ({
  spec: {
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions: expressions }] },
      },
    },
  } as Some<Pod>['spec'],
})
const wrongNode = ["node(s) didn't match Pod's node affinity/selector"]
const labels = (some: Record<string, string>): Some<Node> => ({ metadata: { labels: some } })
const taints = (...some: readonly object[]): Some<Node> => ({ spec: { taints: some } as Some<Node>['spec'] })
const tolerations = (...some: readonly object[]): Some<Pod> => ({ spec: { tolerations: some } as Some<Pod>['spec'] })
const untolerated = ['node(s) had untolerated taint(s)']

describe('filters that look at one node', () => {
  const cases: readonly Case[] = [
    ['fits', {}, { spec: asking({ cpu: '4', memory: '8Gi' }) }, []],
    ['too much cpu', {}, { spec: asking({ cpu: '4001m' }) }, ['Insufficient cpu']],
    [
      'sum of containers',
      {},
      { spec: asking({ cpu: '3' }, { cpu: '2', memory: '9Gi' }) },
      ['Insufficient cpu', 'Insufficient memory'],
    ],
    ['limits do not count', {}, { spec: { containers: [{ name: 'c', resources: { limits: { cpu: '100' } } }] } }, []],
    ['what the node does not have', {}, { spec: asking({ 'example.com/gpu': '1' }) }, ['Insufficient example.com/gpu']],
    ['a zero request', {}, { spec: asking({ 'example.com/gpu': '0' }) }, []],
    ['pod slots', { status: { allocatable: { cpu: '4', memory: '8Gi', pods: '0' } } }, {}, ['Too many pods']],
    [
      'the largest init container counts',
      {},
      { spec: { ...asking({ cpu: '1' }), initContainers: [{ name: 'i', resources: { requests: { cpu: '5' } } }] } },
      ['Insufficient cpu'],
    ],
    [
      'a sidecar counts beside the others',
      {},
      {
        spec: {
          ...asking({ cpu: '2' }),
          initContainers: [{ name: 's', restartPolicy: 'Always', resources: { requests: { cpu: '2500m' } } }],
        },
      },
      ['Insufficient cpu'],
    ],
    ['overhead counts', {}, { spec: { ...asking({ cpu: '4' }), overhead: { cpu: '1m' } } }, ['Insufficient cpu']],
    ['node name', {}, { spec: { nodeName: 'n1' } }, []],
    ['other node name', {}, { spec: { nodeName: 'n2' } }, ["node(s) didn't match the requested node name"]],
    ['cordoned', { spec: { unschedulable: true } }, {}, ['node(s) were unschedulable']],
    [
      'cordoned and tolerated',
      { spec: { unschedulable: true } },
      tolerations({ key: 'node.kubernetes.io/unschedulable', operator: 'Exists' }),
      [],
    ],
    ['taint', taints({ key: 'a', value: 'b', effect: 'NoSchedule' }), {}, untolerated],
    ['taint NoExecute', taints({ key: 'a', effect: 'NoExecute' }), {}, untolerated],
    ['taint that only repels', taints({ key: 'a', effect: 'PreferNoSchedule' }), {}, []],
    ['toleration', taints({ key: 'a', value: 'b', effect: 'NoSchedule' }), tolerations({ key: 'a', value: 'b' }), []],
    [
      'toleration of another value',
      taints({ key: 'a', value: 'b', effect: 'NoSchedule' }),
      tolerations({ key: 'a', value: 'c' }),
      untolerated,
    ],
    [
      'toleration of another effect',
      taints({ key: 'a', effect: 'NoSchedule' }),
      tolerations({ key: 'a', operator: 'Exists', effect: 'NoExecute' }),
      untolerated,
    ],
    [
      'toleration of everything',
      taints({ key: 'a', effect: 'NoSchedule' }, { key: 'b', effect: 'NoExecute' }),
      tolerations({ operator: 'Exists' }),
      [],
    ],
    ['selector', labels({ disk: 'ssd' }), { spec: { nodeSelector: { disk: 'ssd' } } }, []],
    ['selector without label', {}, { spec: { nodeSelector: { disk: 'ssd' } } }, wrongNode],
    ['selector, one of two', labels({ a: '1' }), { spec: { nodeSelector: { a: '1', b: '1' } } }, wrongNode],
    ['In', labels({ a: '1' }), affinity([{ key: 'a', operator: 'In', values: ['0', '1'] }]), []],
    ['In, other', labels({ a: '2' }), affinity([{ key: 'a', operator: 'In', values: ['0', '1'] }]), wrongNode],
    ['NotIn without label', {}, affinity([{ key: 'a', operator: 'NotIn', values: ['1'] }]), []],
    ['NotIn', labels({ a: '1' }), affinity([{ key: 'a', operator: 'NotIn', values: ['1'] }]), wrongNode],
    ['Exists', labels({ a: '' }), affinity([{ key: 'a', operator: 'Exists' }]), []],
    ['DoesNotExist', labels({ a: '' }), affinity([{ key: 'a', operator: 'DoesNotExist' }]), wrongNode],
    ['Gt', labels({ cores: '8' }), affinity([{ key: 'cores', operator: 'Gt', values: ['7'] }]), []],
    ['Gt, equal', labels({ cores: '7' }), affinity([{ key: 'cores', operator: 'Gt', values: ['7'] }]), wrongNode],
    ['Lt of a word', labels({ cores: 'many' }), affinity([{ key: 'cores', operator: 'Lt', values: ['7'] }]), wrongNode],
    [
      'all of one term',
      labels({ a: '1' }),
      affinity([
        { key: 'a', operator: 'Exists' },
        { key: 'b', operator: 'Exists' },
      ]),
      wrongNode,
    ],
    ['a term without requirements', {}, affinity([]), wrongNode],
    [
      'selector and affinity must both hold',
      labels({ a: '1' }),
      { spec: { ...affinity([{ key: 'a', operator: 'Exists' }]).spec, nodeSelector: { a: '2' } } as Some<Pod>['spec'] },
      wrongNode,
    ],
  ]
  test.each(cases)('%s', (_what, node, pod, reasons) => {
    expect(bench([nodeOf('n1', node)]).refusals(podOf('p', pod))['n1']).toEqual(reasons)
  })
})

describe('host ports', () => {
  const taken = ["node(s) didn't have free ports for the requested pod ports"]
  const port = (hostPort: number, more: object = {}): Some<Pod> => ({
    spec: { containers: [{ name: 'c', ports: [{ containerPort: 80, hostPort, ...more }] }] } as Some<Pod>['spec'],
  })
  test.each([
    ['same', port(80), port(80), taken],
    ['other port', port(80), port(81), []],
    ['other protocol', port(80), port(80, { protocol: 'UDP' }), []],
    ['other address', port(80, { hostIP: '10.0.0.1' }), port(80, { hostIP: '10.0.0.2' }), []],
    ['every address against one', port(80), port(80, { hostIP: '10.0.0.2' }), taken],
    ['one against every address', port(80, { hostIP: '10.0.0.2' }), port(80, { hostIP: '0.0.0.0' }), taken],
  ])('%s', (_what, held, wanted, reasons) => {
    const b = bench([nodeOf('n1')])
    b.put(podOf('held', held), 'n1')
    expect(b.refusals(podOf('p', wanted))['n1']).toEqual(reasons)
  })
})

describe('a pod that names its nodes', () => {
  const naming = (...names: readonly string[]): Some<Pod> => ({
    spec: {
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: names }] }],
          },
        },
      },
    } as Some<Pod>['spec'],
  })
  test('is tried on these alone', () => {
    const b = bench([nodeOf('n1'), nodeOf('n2'), nodeOf('n3')])
    const prepared = b.run.preFilter(b.cycle(podOf('p', naming('n2'))))
    expect(prepared).toEqual({ allowed: new Set(['n2']), restrictedBy: ['NodeAffinity'] })
    expect(b.place(podOf('p', naming('n2')))).toBe('n2')
  })
  test('the others are told apart when it does not fit', () => {
    const b = bench([nodeOf('n1'), nodeOf('n2')])
    const placement = b.run.place(
      b.cycle(podOf('p', { spec: { ...naming('n2').spec, ...asking({ cpu: '9' }) } as Some<Pod>['spec'] })),
    )
    if (placement.node !== undefined) throw new Error('it fits')
    const { verdicts } = placement.failure
    const reasons = b.state.order.map((node) => verdicts.get(node.slot)?.rejection.reasons)
    expect(reasons).toEqual([["node(s) didn't satisfy plugin(s) [NodeAffinity]"], ['Insufficient cpu']])
  })
})

describe('scores', () => {
  const two = [
    nodeOf('a', { status: { allocatable: { cpu: '4', memory: '10000', pods: '10' } } }),
    nodeOf('b', { status: { allocatable: { cpu: '6', memory: '10000', pods: '10' } } }),
  ]
  const requesting = { spec: asking({ cpu: '1', memory: '2000' }, { cpu: '2', memory: '3000' }) }
  test('least allocated prefers the empty', () => {
    expect(bench(two).scores(podOf('p', requesting), 'NodeResourcesFit')).toEqual({ a: 37, b: 50 })
  })
  test('most allocated prefers the full', () => {
    const profile = {
      pluginConfig: [{ name: 'NodeResourcesFit', args: { scoringStrategy: { type: 'MostAllocated' } } }],
    }
    expect(bench(two, { profile }).scores(podOf('p', requesting), 'NodeResourcesFit')).toEqual({ a: 62, b: 50 })
  })
  test('a shape of one’s own is followed', () => {
    const args = {
      scoringStrategy: {
        type: 'RequestedToCapacityRatio',
        resources: [{ name: 'cpu', weight: 1 }],
        requestedToCapacityRatio: {
          shape: [
            { utilization: 0, score: 0 },
            { utilization: 100, score: 10 },
          ],
        },
      },
    }
    const profile = { pluginConfig: [{ name: 'NodeResourcesFit', args }] }
    expect(bench(two, { profile }).scores(podOf('p', requesting), 'NodeResourcesFit')).toEqual({ a: 75, b: 50 })
  })
  test('balance counts the change that the pod makes', () => {
    expect(bench(two).scores(podOf('p', requesting), 'NodeResourcesBalancedAllocation')).toEqual({ a: 68, b: 75 })
    const b = bench([
      nodeOf('a', { status: { allocatable: { cpu: '3', memory: '5000', pods: '10' } } }),
      nodeOf('b', { status: { allocatable: { cpu: '3', memory: '5000', pods: '10' } } }),
    ])
    b.put(podOf('held', { spec: asking({ cpu: '3' }) }), 'a')
    const pod = podOf('p', { spec: asking({ memory: '5000' }) })
    expect(b.scores(pod, 'NodeResourcesBalancedAllocation')).toEqual({ a: 100, b: 50 })
    expect(b.scores(podOf('p'), 'NodeResourcesBalancedAllocation')).toBeUndefined()
  })
  test('preferred node affinity', () => {
    const b = bench([nodeOf('a', labels({ x: '1' })), nodeOf('b', labels({ x: '1', y: '1' })), nodeOf('c')])
    const preferred = [
      { weight: 2, preference: { matchExpressions: [{ key: 'x', operator: 'Exists' }] } },
      { weight: 6, preference: { matchExpressions: [{ key: 'y', operator: 'Exists' }] } },
    ]
    const pod = podOf('p', {
      spec: {
        affinity: { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: preferred } },
      } as Some<Pod>['spec'],
    })
    expect(b.scores(pod, 'NodeAffinity')).toEqual({ a: 25, b: 100, c: 0 })
    expect(b.scores(podOf('q'), 'NodeAffinity')).toBeUndefined()
  })
  test('taints that repel', () => {
    const repel = (...keys: readonly string[]) => taints(...keys.map((key) => ({ key, effect: 'PreferNoSchedule' })))
    const b = bench([nodeOf('a', repel('x', 'y')), nodeOf('b', repel('x')), nodeOf('c')])
    expect(b.scores(podOf('p'), 'TaintToleration')).toEqual({ a: 0, b: 50, c: 100 })
    expect(b.scores(podOf('q', tolerations({ key: 'x', operator: 'Exists' })), 'TaintToleration')).toEqual({
      a: 0,
      b: 100,
      c: 100,
    })
  })
  test('images that are there', () => {
    const holding = (sizeBytes: number): Some<Node> => ({
      status: {
        allocatable: { cpu: '4', memory: '8Gi', pods: '9' },
        images: [{ names: ['big:1'], sizeBytes }],
      } as Some<Node>['status'],
    })
    const b = bench([nodeOf('a', holding(523 * 1024 * 1024)), nodeOf('b')])
    const pod = podOf('p', { spec: { containers: [{ name: 'c', image: 'big:1' }] } })
    expect(b.scores(pod, 'ImageLocality')).toEqual({ a: 24, b: 0 })
    expect(
      b.scores(podOf('q', { spec: { containers: [{ name: 'c', image: 'other' }] } }), 'ImageLocality'),
    ).toBeUndefined()
  })
})

const zones = () => [
  nodeOf('a1', labels({ [zone]: 'a' })),
  nodeOf('a2', labels({ [zone]: 'a' })),
  nodeOf('b1', labels({ [zone]: 'b' })),
  nodeOf('x'),
]
const app = (name: string, more: Some<Pod>['spec'] = {}): Some<Pod> => ({
  metadata: { labels: { app: name } },
  spec: more,
})

describe('pod affinity', () => {
  const term = (name: string, topologyKey = zone, more: object = {}) => ({
    topologyKey,
    labelSelector: { matchLabels: { app: name } },
    ...more,
  })
  const near = (...terms: readonly object[]): Some<Pod>['spec'] =>
    ({ affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: terms } } }) as Some<Pod>['spec']
  const away = (...terms: readonly object[]): Some<Pod>['spec'] =>
    ({ affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: terms } } }) as Some<Pod>['spec']
  const fitting = (reasons: Record<string, readonly string[]>) =>
    Object.keys(reasons)
      .filter((name) => reasons[name]?.length === 0)
      .sort()

  test('near to a pod means its domain, and needs the label', () => {
    const b = bench(zones())
    b.put(podOf('db', app('db')), 'a1')
    const reasons = b.refusals(podOf('p', app('web', near(term('db')))))
    expect(fitting(reasons)).toEqual(['a1', 'a2'])
    expect(reasons['x']).toEqual(["node(s) didn't match pod affinity rules"])
  })
  test('the first of a group joins itself, wherever the label is', () => {
    const b = bench(zones())
    expect(fitting(b.refusals(podOf('p', app('web', near(term('web'))))))).toEqual(['a1', 'a2', 'b1'])
    expect(fitting(b.refusals(podOf('p', app('web', near(term('db'))))))).toEqual([])
  })
  test('all terms must find the same pods', () => {
    const b = bench(zones())
    b.put(podOf('db', app('db')), 'a1')
    const other = { topologyKey: zone, labelSelector: { matchLabels: { tier: 'data' } } }
    expect(fitting(b.refusals(podOf('p', app('web', near(term('db'), other)))))).toEqual([])
    b.put(podOf('both', { metadata: { labels: { app: 'db', tier: 'data' } } }), 'b1')
    expect(fitting(b.refusals(podOf('p', app('web', near(term('db'), other)))))).toEqual(['b1'])
  })
  test('away from pods, and kept away by pods that are there', () => {
    const b = bench(zones())
    b.put(podOf('db', app('db')), 'a1')
    const reasons = b.refusals(podOf('p', app('web', away(term('db')))))
    expect(fitting(reasons)).toEqual(['b1', 'x'])
    expect(reasons['a2']).toEqual(["node(s) didn't match pod anti-affinity rules"])
    b.put(podOf('shy', app('shy', away(term('web', 'kubernetes.io/hostname')))), 'b1')
    const kept = b.refusals(podOf('q', app('web')))
    expect(fitting(kept)).toEqual(['a1', 'a2', 'x'])
    expect(kept['b1']).toEqual(["node(s) didn't satisfy existing pods anti-affinity rules"])
  })
  test('namespaces: its own, named, or by label', () => {
    const b = bench(zones())
    b.state.setNamespace('other', { team: 'x' })
    b.put(podOf('db', { metadata: { namespace: 'other', labels: { app: 'db' } } }), 'a1')
    const where = (more: object) => fitting(b.refusals(podOf('p', app('web', near(term('db', zone, more))))))
    expect(where({})).toEqual([])
    expect(where({ namespaces: ['other'] })).toEqual(['a1', 'a2'])
    expect(where({ namespaceSelector: { matchLabels: { team: 'x' } } })).toEqual(['a1', 'a2'])
    expect(where({ namespaceSelector: {} })).toEqual(['a1', 'a2'])
    b.state.setNamespace('other', { team: 'y' })
    expect(where({ namespaceSelector: { matchLabels: { team: 'x' } } })).toEqual([])
  })
  test('preferences of the pod and of those that are there add up', () => {
    const b = bench(zones().slice(0, 3))
    b.put(podOf('db', app('db')), 'a1')
    b.put(
      podOf(
        'fan',
        app('fan', {
          affinity: {
            podAffinity: {
              preferredDuringSchedulingIgnoredDuringExecution: [
                { weight: 5, podAffinityTerm: term('web', 'kubernetes.io/hostname') },
              ],
            },
          },
        } as Some<Pod>['spec']),
      ),
      'b1',
    )
    const wish = {
      affinity: {
        podAntiAffinity: {
          preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 10, podAffinityTerm: term('db') }],
        },
      },
    } as Some<Pod>['spec']
    expect(b.scores(podOf('p', app('web', wish)), 'InterPodAffinity')).toEqual({ a1: 0, a2: 0, b1: 100 })
    expect(b.scores(podOf('q', app('web')), 'InterPodAffinity')).toEqual({ a1: 0, a2: 0, b1: 100 })
    expect(b.scores(podOf('r', app('none')), 'InterPodAffinity')).toBeUndefined()
  })
})

describe('topology spread', () => {
  const spread = (...constraints: readonly object[]): Some<Pod>['spec'] =>
    ({
      topologySpreadConstraints: constraints.map((c) => ({
        maxSkew: 1,
        topologyKey: zone,
        whenUnsatisfiable: 'DoNotSchedule',
        labelSelector: { matchLabels: { app: 'web' } },
        ...c,
      })),
    }) as Some<Pod>['spec']
  const fitting = (reasons: Record<string, readonly string[]>) =>
    Object.keys(reasons)
      .filter((name) => reasons[name]?.length === 0)
      .sort()

  test('no domain may be fuller than the emptiest by more than the skew', () => {
    const b = bench(zones())
    b.put(podOf('w1', app('web')), 'a1')
    const reasons = b.refusals(podOf('p', app('web', spread({}))))
    expect(fitting(reasons)).toEqual(['b1'])
    expect(reasons['a2']).toEqual(["node(s) didn't match pod topology spread constraints"])
    expect(reasons['x']).toEqual(["node(s) didn't match pod topology spread constraints (missing required label)"])
    expect(fitting(b.refusals(podOf('p', app('web', spread({ maxSkew: 2 })))))).toEqual(['a1', 'a2', 'b1'])
  })
  test('a pod that does not match its own selector does not count itself', () => {
    const b = bench(zones())
    b.put(podOf('w1', app('web')), 'a1')
    expect(fitting(b.refusals(podOf('p', app('other', spread({})))))).toEqual(['a1', 'a2', 'b1'])
  })
  test('terminating pods and pods of other namespaces do not count', () => {
    const b = bench(zones())
    b.put(podOf('w1', { metadata: { labels: { app: 'web' }, deletionTimestamp: '2026-01-01T00:00:00Z' } }), 'a1')
    b.put(podOf('w2', { metadata: { labels: { app: 'web' }, namespace: 'other' } }), 'a1')
    expect(fitting(b.refusals(podOf('p', app('web', spread({})))))).toEqual(['a1', 'a2', 'b1'])
  })
  test('with too few domains the emptiest counts as empty', () => {
    const b = bench(zones())
    for (const [i, node] of ['a1', 'b1'].entries()) b.put(podOf(`w${i}`, app('web')), node)
    expect(fitting(b.refusals(podOf('p', app('web', spread({})))))).toEqual(['a1', 'a2', 'b1'])
    expect(fitting(b.refusals(podOf('p', app('web', spread({ minDomains: 3 })))))).toEqual([])
  })
  test('nodes that the pod cannot use are no domains, unless the policy says so', () => {
    const b = bench([...zones(), nodeOf('c1', labels({ [zone]: 'c' }))])
    for (const [i, node] of ['a1', 'b1'].entries()) b.put(podOf(`w${i}`, app('web')), node)
    const notC = {
      nodeSelector: undefined,
      affinity: affinity([{ key: zone, operator: 'NotIn', values: ['c'] }]).spec?.affinity,
    }
    const asked = (policy: object) => podOf('p', app('web', { ...spread(policy), ...notC } as Some<Pod>['spec']))
    expect(fitting(b.refusals(asked({})))).toEqual(['a1', 'a2', 'b1'])
    expect(fitting(b.refusals(asked({ nodeAffinityPolicy: 'Ignore' })))).toEqual([])
  })
  test('tainted nodes count unless the policy honours taints', () => {
    const b = bench([
      ...zones(),
      nodeOf('c1', { metadata: { labels: { [zone]: 'c' } }, ...taints({ key: 'k', effect: 'NoSchedule' }) }),
    ])
    for (const [i, node] of ['a1', 'b1'].entries()) b.put(podOf(`w${i}`, app('web')), node)
    expect(fitting(b.refusals(podOf('p', app('web', spread({})))))).toEqual([])
    expect(fitting(b.refusals(podOf('p', app('web', spread({ nodeTaintsPolicy: 'Honor' })))))).toEqual([
      'a1',
      'a2',
      'b1',
    ])
  })
  test('matchLabelKeys tells revisions apart', () => {
    const b = bench(zones())
    b.put(podOf('old', { metadata: { labels: { app: 'web', rev: '1' } } }), 'a1')
    const pod = (rev: string) =>
      podOf('p', { metadata: { labels: { app: 'web', rev } }, spec: spread({ matchLabelKeys: ['rev'] }) })
    expect(fitting(b.refusals(pod('1')))).toEqual(['b1'])
    expect(fitting(b.refusals(pod('2')))).toEqual(['a1', 'a2', 'b1'])
  })
  test('soft constraints prefer the emptier domain', () => {
    const b = bench(zones().slice(0, 3))
    for (const [i, node] of ['a1', 'a1', 'b1'].entries()) b.put(podOf(`w${i}`, app('web')), node)
    const scores = b.scores(
      podOf('p', app('web', spread({ whenUnsatisfiable: 'ScheduleAnyway' }))),
      'PodTopologySpread',
    )
    expect(scores).toMatchObject({ b1: 100 })
    expect(scores?.['a1']).toBe(scores?.['a2'])
    expect(scores?.['a1']).toBeLessThan(100)
  })
  test('pods of a service are spread by default', () => {
    const service = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 's', namespace: 'default', uid: 's', resourceVersion: '1', creationTimestamp: '' },
      spec: { selector: { app: 'web' } },
    }
    const b = bench(zones().slice(0, 3), { objects: [service] })
    b.put(podOf('w', app('web')), 'a1')
    const scores = b.scores(podOf('p', app('web')), 'PodTopologySpread')
    expect(scores?.['b1']).toBe(100)
    expect(scores?.['a1']).toBeLessThan(scores?.['a2'] ?? 0)
    expect(b.scores(podOf('q', app('alone')), 'PodTopologySpread')).toBeUndefined()
  })
})

describe('nominated pods', () => {
  test('count for pods of lower priority and not for those of higher', () => {
    const b = bench([nodeOf('n1')])
    b.nominator.set(b.state.parse(podOf('promised', { spec: { ...asking({ cpu: '3' }), priority: 10 } })), 'n1')
    const asked = (priority: number) => b.place(podOf('p', { spec: { ...asking({ cpu: '2' }), priority } }))
    expect(asked(5)).toBeUndefined()
    expect(asked(20)).toBe('n1')
    expect(b.state.node('n1')?.pods.size).toBe(0)
  })
})
