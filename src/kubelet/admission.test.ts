import { describe, expect, it } from 'vitest'
import type { Node } from '../api/core/node.ts'
import { type AdmissionFacts, refusePod } from './admission.ts'
import { defaultKubeletConfig } from './config.ts'
import { makePod } from './testing/pods.ts'

const node = {
  metadata: { name: 'n', labels: { disk: 'ssd', cores: '8' } },
  spec: { taints: [{ key: 'gone', effect: 'NoExecute' }] },
} as unknown as Node
const container = (parts: Record<string, unknown>) => ({ name: 'c', image: 'x', ...parts })
const cpu = (amount: string) => ({ containers: [container({ resources: { requests: { cpu: amount } } })] })
const port = (hostPort: number, more: Record<string, unknown> = {}) => ({
  containers: [container({ ports: [{ containerPort: 80, hostPort, protocol: 'TCP', ...more }] })],
})
const tolerant = { tolerations: [{ operator: 'Exists' }] }
const facts = (parts: Partial<AdmissionFacts> = {}): AdmissionFacts => ({
  node,
  allocatable: { cpu: '2', memory: '1Gi', pods: '3' },
  others: [],
  pressure: { memory: false, disk: false, pid: false },
  features: { supplementalGroupsPolicy: false, imageVolumes: false, handlers: [] },
  missing: [],
  config: { ...defaultKubeletConfig, allowedUnsafeSysctls: ['net.core.*'] },
  ...parts,
})
const reason = (spec: Record<string, unknown>, parts?: Partial<AdmissionFacts>) =>
  refusePod(makePod({ spec: { ...tolerant, ...spec } }), facts(parts))?.reason
const sysctl = (name: string) => ({ securityContext: { sysctls: [{ name, value: '1' }] } })
const affinity = (operator: string, key: string, values?: string[]) => ({
  affinity: {
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [{ matchExpressions: [{ key, operator, values }] }],
      },
    },
  },
})

it('refuses AppArmor profiles where the kernel has none', () => {
  const withProfile = (type: string) => ({ securityContext: { appArmorProfile: { type } } })
  const on = (spec: object) => reason({ ...spec }, { missing: ['no AppArmor'] })
  expect(on(withProfile('RuntimeDefault'))).toBe('AppArmor')
  expect(on({ containers: [container(withProfile('RuntimeDefault'))], ...withProfile('Unconfined') })).toBe('AppArmor')
  expect(on(withProfile('Unconfined'))).toBeUndefined()
  expect(reason(withProfile('RuntimeDefault'))).toBeUndefined()
})
describe('refusePod', () => {
  it.each([
    ['nothing special', {}, undefined],
    ['not tolerated', { tolerations: [] }, 'TaintToleration'],
    ['a selector that matches', { nodeSelector: { disk: 'ssd' } }, undefined],
    ['a selector that does not', { nodeSelector: { disk: 'hdd' } }, 'NodeAffinity'],
    ['affinity In', affinity('In', 'disk', ['ssd']), undefined],
    ['affinity NotIn', affinity('NotIn', 'disk', ['ssd']), 'NodeAffinity'],
    ['affinity Gt', affinity('Gt', 'cores', ['7']), undefined],
    ['affinity Lt', affinity('Lt', 'cores', ['7']), 'NodeAffinity'],
    ['affinity DoesNotExist', affinity('DoesNotExist', 'gpu'), undefined],
    ['windows', { os: { name: 'windows' } }, 'PodOSNotSupported'],
    ['a safe sysctl', sysctl('net.ipv4.tcp_syncookies'), undefined],
    ['an unsafe sysctl', sysctl('kernel.msgmax'), 'SysctlForbidden'],
    ['an allowed unsafe sysctl', sysctl('net/core/somaxconn'), undefined],
    ['a sysctl of the whole machine', sysctl('vm.swappiness'), 'SysctlForbidden'],
    [
      'a net sysctl on the host network',
      { ...sysctl('net.ipv4.tcp_syncookies'), hostNetwork: true },
      'SysctlForbidden',
    ],
  ])('%s', (_, spec, expected) => expect(reason(spec)).toBe(expected))

  it('counts what runs here', () => {
    const others = [makePod({ spec: cpu('1500m') })]
    expect(reason(cpu('500m'), { others })).toBeUndefined()
    expect(refusePod(makePod({ spec: { ...tolerant, ...cpu('600m') } }), facts({ others }))).toEqual({
      reason: 'OutOfcpu',
      message: "Pod was rejected: Node didn't have enough resource: cpu, requested: 600, used: 1500, capacity: 2000",
    })
    expect(reason({}, { others: [makePod(), makePod(), makePod()] })).toBe('OutOfpods')
    // given to the node through the API: the scheduler counts it
    expect(reason({ containers: [container({ resources: { requests: { 'example.com/gpu': '1' } } })] })).toBeUndefined()
  })
  it('takes nothing that it would throw out again', () => {
    const memory = { pressure: { memory: true, disk: false, pid: false } }
    expect(reason({ tolerations: [], ...cpu('1m') }, { ...memory, node: undefined })).toBeUndefined()
    expect(reason({ tolerations: [] }, { ...memory, node: undefined })).toBe('Evicted')
    expect(reason(cpu('1m'), { pressure: { memory: false, disk: true, pid: false } })).toBe('Evicted')
    expect(reason({ priority: 2_000_000_000 }, { pressure: { memory: false, disk: true, pid: false } })).toBeUndefined()
  })
  it('shares no host port', () => {
    const others = [makePod({ spec: port(8080) })]
    expect(reason(port(8080), { others })).toBe('NodePorts')
    expect(reason(port(8081), { others })).toBeUndefined()
    expect(reason(port(8080, { protocol: 'UDP' }), { others })).toBeUndefined()
    const onAddress = [makePod({ spec: port(8080, { hostIP: '10.0.0.1' }) })]
    expect(reason(port(8080, { hostIP: '10.0.0.2' }), { others: onAddress })).toBeUndefined()
    expect(reason(port(8080), { others: onAddress })).toBe('NodePorts')
  })
  it('asks for a runtime that knows strict supplemental groups', () => {
    const strict = { securityContext: { supplementalGroupsPolicy: 'Strict' } }
    expect(reason(strict)).toBe('SupplementalGroupsPolicyNotSupported')
    expect(reason({ securityContext: { supplementalGroupsPolicy: 'Merge' } })).toBeUndefined()
    const features = { supplementalGroupsPolicy: true, imageVolumes: false, handlers: [] }
    expect(reason(strict, { features })).toBeUndefined()
  })
})
