import { describe, expect, it } from 'vitest'
import type { Namespace } from '../api/core/namespace.ts'
import type { Pod } from '../api/core/pod.ts'
import type { NetworkPolicy, NetworkPolicySpec } from '../api/networking/network-policy.ts'
import { planPolicies } from './plan-policies.ts'

const namespace = (name: string, labels: object = {}) => ({ metadata: { name, labels } }) as unknown as Namespace
interface PodWish {
  readonly in?: string
  readonly node?: string
  readonly labels?: object
  readonly ips?: readonly string[]
  readonly phase?: string
  readonly hostNetwork?: boolean
  readonly ports?: readonly object[]
}
let next = 0
const pod = (wish: PodWish = {}) =>
  ({
    metadata: { name: `p${next++}`, namespace: wish.in ?? 'shop', labels: wish.labels ?? {} },
    spec: {
      nodeName: wish.node ?? 'here',
      containers: [{ name: 'c', ports: wish.ports ?? [] }],
      ...(wish.hostNetwork === undefined ? {} : { hostNetwork: wish.hostNetwork }),
    },
    status: { phase: wish.phase ?? 'Running', podIPs: (wish.ips ?? []).map((ip) => ({ ip })) },
  }) as unknown as Pod
const policy = (spec: Partial<NetworkPolicySpec>, name = 'p') =>
  ({ metadata: { name, namespace: 'shop' }, spec: { podSelector: {}, ...spec } }) as unknown as NetworkPolicy

const subject = pod({
  labels: { app: 'web' },
  ips: ['10.0.0.1'],
  ports: [{ name: 'http', containerPort: 8080, protocol: 'TCP' }],
})
const plan = (policies: readonly NetworkPolicy[], pods: readonly Pod[] = [subject], namespaces = [namespace('shop')]) =>
  planPolicies({ policies, namespaces, pods, nodeName: 'here' })
/** The one rule that a policy gives `subject`. */
const allowOf = (spec: Partial<NetworkPolicySpec>, others: readonly Pod[] = [], namespaces?: Namespace[]) => {
  const rules = plan(
    [policy({ podSelector: { matchLabels: { app: 'web' } }, ...spec })],
    [subject, ...others],
    namespaces,
  )
  expect(rules.map(({ podIP }) => podIP)).toEqual(['10.0.0.1'])
  return rules[0]?.allow.map(({ id: _id, ...rest }) => rest)
}

describe('whom a policy selects', () => {
  it('nobody without policies, and pods of this node in its namespace only', () => {
    expect(plan([])).toEqual([])
    const pods = [
      subject,
      pod({ ips: ['10.0.0.2'], node: 'elsewhere' }),
      pod({ ips: ['10.0.0.3'], in: 'other' }),
      pod({ ips: ['10.0.0.4'], hostNetwork: true }),
      pod({ ips: ['10.0.0.5'], phase: 'Succeeded' }),
      pod({ ips: [] }),
      pod({ ips: ['10.0.0.6', 'fd00::6'] }),
    ]
    expect(plan([policy({})], pods)).toEqual([
      { key: 'shop/p', podIP: '10.0.0.1', direction: 'ingress', allow: [] },
      { key: 'shop/p', podIP: '10.0.0.6', direction: 'ingress', allow: [] },
      { key: 'shop/p', podIP: 'fd00::6', direction: 'ingress', allow: [] },
    ])
  })
  it.each<[string, Partial<NetworkPolicySpec>, string[]]>([
    ['no types', {}, ['ingress']],
    ['ingress', { policyTypes: ['Ingress'] }, ['ingress']],
    ['egress', { policyTypes: ['Egress'] }, ['egress']],
    ['both', { policyTypes: ['Ingress', 'Egress'] }, ['ingress', 'egress']],
  ])('isolates the directions of its types: %s', (_name, spec, directions) => {
    expect(plan([policy(spec)]).map(({ direction, allow }) => [direction, allow])).toEqual(
      directions.map((direction) => [direction, []]),
    )
  })
})

describe('what it lets pass', () => {
  const friend = pod({ labels: { role: 'friend' }, ips: ['10.0.1.1'] })
  const far = pod({ in: 'far', labels: { role: 'friend' }, ips: ['10.0.2.1', 'fd00::21'], node: 'elsewhere' })
  const namespaces = [namespace('shop'), namespace('far', { team: 'b' })]
  const friends = { podSelector: { matchLabels: { role: 'friend' } } }
  const all = (peers: readonly string[]) => [{ peers, except: [], ports: [] }]
  it('an empty rule: everybody on every port', () => {
    expect(allowOf({ ingress: [{}] })).toEqual(all([]))
  })
  it('pods of its own namespace, of selected ones, and both selectors together', () => {
    expect(allowOf({ ingress: [{ from: [friends] }] }, [friend, far], namespaces)).toEqual(all(['10.0.1.1']))
    const teamB = { namespaceSelector: { matchLabels: { team: 'b' } } }
    expect(allowOf({ ingress: [{ from: [teamB] }] }, [friend, far], namespaces)).toEqual(all(['10.0.2.1', 'fd00::21']))
    const both = { ...friends, namespaceSelector: {} }
    expect(allowOf({ ingress: [{ from: [both] }] }, [friend, far], namespaces)).toEqual(
      all(['10.0.1.1', '10.0.2.1', 'fd00::21']),
    )
  })
  it('a selector that nobody fits lets nobody pass, which is not everybody', () => {
    expect(allowOf({ ingress: [{ from: [friends] }] }, [])).toEqual([])
  })
  it('blocks, those with exceptions apart', () => {
    const from = [
      { ipBlock: { cidr: '192.0.2.0/24', except: ['192.0.2.128/25'] } },
      { ipBlock: { cidr: '198.51.100.0/24' } },
      friends,
    ]
    expect(allowOf({ ingress: [{ from }] }, [friend])).toEqual([
      { peers: ['10.0.1.1'], except: [], ports: [] },
      { peers: ['198.51.100.0/24'], except: [], ports: [] },
      { peers: ['192.0.2.0/24'], except: ['192.0.2.128/25'], ports: [] },
    ])
  })
  it('ports: numbers, ranges, any of a protocol, and names as the pod declares them', () => {
    const ports = [{ port: 80 }, { port: 3000, endPort: 3010, protocol: 'UDP' }, { protocol: 'SCTP' }, { port: 'http' }]
    expect(allowOf({ ingress: [{ ports }] })).toEqual([
      {
        peers: [],
        except: [],
        ports: [
          { protocol: 'TCP', port: 80 },
          { protocol: 'UDP', port: 3000, endPort: 3010 },
          { protocol: 'SCTP', port: 0, endPort: 65_535 },
          { protocol: 'TCP', port: 8080 },
        ],
      },
    ])
    expect(allowOf({ ingress: [{ ports: [{ port: 'nobody-has-it' }] }] })).toEqual([])
    expect(allowOf({ ingress: [{ ports: [{ port: 'http', protocol: 'UDP' }] }] })).toEqual([])
  })
  it('egress by a named port goes to the pods that declare it, each by its own number', () => {
    const http = (port: number) => [{ name: 'http', containerPort: port, protocol: 'TCP' }]
    const others = [
      pod({ ips: ['10.0.3.1'], ports: http(81) }),
      pod({ ips: ['10.0.3.2'], ports: http(82), in: 'far' }),
      pod({ ips: ['10.0.3.3'] }),
    ]
    const spec: Partial<NetworkPolicySpec> = { policyTypes: ['Egress'], egress: [{ ports: [{ port: 'http' }] }] }
    expect(allowOf(spec, others, namespaces)).toEqual([
      { peers: ['10.0.0.1'], except: [], ports: [{ protocol: 'TCP', port: 8080 }] },
      { peers: ['10.0.3.1'], except: [], ports: [{ protocol: 'TCP', port: 81 }] },
      { peers: ['10.0.3.2'], except: [], ports: [{ protocol: 'TCP', port: 82 }] },
    ])
    const mixed = { policyTypes: ['Egress'], egress: [{ to: [friends], ports: [{ port: 'http' }, { port: 53 }] }] }
    expect(allowOf(mixed, [friend, ...others], namespaces)).toEqual([
      { peers: ['10.0.1.1'], except: [], ports: [{ protocol: 'TCP', port: 53 }] },
    ])
  })
  it('the same peers of one policy have one id in all its pods', () => {
    const second = pod({ labels: { app: 'web' }, ips: ['10.0.0.2'] })
    const spec = { ingress: [{ from: [friends] }, { from: [{ ipBlock: { cidr: '192.0.2.0/24' } }] }] }
    const rules = plan([policy(spec)], [subject, second, friend])
    const ids = rules.map(({ allow }) => allow.map(({ id }) => id))
    expect(ids[1]).toEqual(ids[0])
    expect(new Set(ids[0]).size).toBe(2)
  })
})
