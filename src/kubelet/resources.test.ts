import { describe, expect, it } from 'vitest'
import { defaultKubeletConfig, type KubeletConfig } from './config.ts'
import {
  containerResources,
  cpuQuotaUs,
  cpuShares,
  oomScoreAdj,
  podAmount,
  podCgroupResources,
  qosOf,
} from './resources.ts'
import { makePod } from './testing/pods.ts'
import type { Container } from './types.ts'

const container = (name: string, requests?: Record<string, string>, limits?: Record<string, string>) => ({
  name,
  image: 'x',
  resources: { ...(requests ? { requests } : {}), ...(limits ? { limits } : {}) },
})
const both = { cpu: '100m', memory: '64Mi' }

describe('qosClassOf', () => {
  it.each([
    ['nothing', [container('a')], 'BestEffort'],
    ['zero', [container('a', { cpu: '0' })], 'BestEffort'],
    ['a request', [container('a', { cpu: '1m' })], 'Burstable'],
    ['limits alone', [container('a', undefined, both)], 'Guaranteed'],
    ['equal', [container('a', both, both)], 'Guaranteed'],
    ['equal in other units', [container('a', { cpu: '0.1', memory: '65536Ki' }, both)], 'Guaranteed'],
    ['memory only', [container('a', { memory: '1Gi' }, { memory: '1Gi' })], 'Burstable'],
    ['one of two', [container('a', both, both), container('b')], 'Burstable'],
  ] as const)('%s', (_, containers, expected) => {
    expect(qosOf(makePod({ spec: { containers: [...containers] } }))).toBe(expected)
  })
})

describe('podAmount', () => {
  const init = (name: string, cpu: string, sidecar = false) => ({
    ...container(name, { cpu }),
    ...(sidecar ? { restartPolicy: 'Always' } : {}),
  })
  it.each([
    ['the sum of the apps', [], [container('a', { cpu: '100m' }), container('b', { cpu: '200m' })], 300],
    ['a larger init', [init('i', '500m')], [container('a', { cpu: '100m' })], 500],
    ['a sidecar adds', [init('s', '50m', true)], [container('a', { cpu: '100m' })], 150],
    [
      'an init beside an earlier sidecar',
      [init('s', '50m', true), init('i', '500m')],
      [container('a', { cpu: '100m' })],
      550,
    ],
    ['an init before a sidecar', [init('i', '120m'), init('s', '50m', true)], [container('a', { cpu: '100m' })], 150],
  ] as const)('%s', (_, initContainers, containers, expected) => {
    const pod = makePod({ spec: { initContainers: [...initContainers], containers: [...containers] } })
    expect(podAmount(pod.spec, 'requests', 'cpu')).toBe(expected)
  })
})

describe('kernel units', () => {
  it('turns millicores into shares and quota', () => {
    expect([0, 1, 100, 1000, 2500, 1e9].map(cpuShares)).toEqual([2, 2, 102, 1024, 2560, 262_144])
    expect([0, 1, 100, 1500].map(cpuQuotaUs)).toEqual([undefined, 1000, 10_000, 150_000])
  })
  it('scores by class and request', () => {
    const gib = 2 ** 30
    const score = (c: ReturnType<typeof container>, priority?: number) => {
      const pod = makePod({ spec: { containers: [c], ...(priority === undefined ? {} : { priority }) } })
      return oomScoreAdj(pod, pod.spec.containers[0] as Container, 8 * gib)
    }
    expect(score(container('a'))).toBe(1000)
    expect(score(container('a', both, both))).toBe(-997)
    expect(score(container('a', { memory: '4Gi' }))).toBe(500)
    expect(score(container('a', { memory: '1' }))).toBe(999)
    expect(score(container('a', { memory: '8Gi' }))).toBe(3)
    expect(score(container('a'), 2_000_001_000)).toBe(-997)
  })
  it('limits the pod only where every container is limited', () => {
    const limited = container('a', both, both)
    const pod = makePod({ spec: { containers: [limited, container('b', { cpu: '100m' }, { cpu: '200m' })] } })
    const config = { ...defaultKubeletConfig, podPidsLimit: 100 }
    expect(podCgroupResources(pod, config)).toMatchObject({ cpuShares: 204, cpuQuotaUs: 30_000, memoryBytes: -1 })
    const one = makePod({ spec: { containers: [limited] } })
    expect(podCgroupResources(one, config)).toMatchObject({ memoryBytes: 64 * 2 ** 20, pidsMax: 100 })
    expect(podCgroupResources(one, { ...config, cpuCfsQuota: false })).toMatchObject({ cpuQuotaUs: -1 })
  })
  it('limits a container as the node is configured', () => {
    const gib = 2 ** 30
    const of = (c: ReturnType<typeof container>, settings: Partial<KubeletConfig> = {}, cgroupVersion: 1 | 2 = 2) => {
      const pod = makePod({ spec: { containers: [c, container('other')] } })
      const config = { ...defaultKubeletConfig, ...settings }
      const node = { memoryBytes: 8 * gib, swapBytes: 4 * gib, cgroupVersion, config }
      return containerResources(pod, pod.spec.containers[0] as Container, node)
    }
    const limited = container('a', both, both)
    const expected = { cpuShares: 102, cpuQuota: 10_000, memoryLimitBytes: 64 * 2 ** 20 }
    expect(of(limited)).toMatchObject({ ...expected, unified: { 'memory.oom.group': '1', 'memory.swap.max': '0' } })
    expect(of(limited, {}, 1)).toMatchObject(expected)
    expect(of(limited, {}, 1).unified).toBeUndefined()
    expect(of(limited, { cpuCfsQuota: false }).cpuQuota).toBeUndefined()
    expect(of(limited, { singleProcessOomKill: true }).unified).toEqual({ 'memory.swap.max': '0' })
    const swapping = container('a', { memory: '2Gi' }, { memory: '4Gi' })
    expect(of(swapping, { swapBehavior: 'LimitedSwap' })).toMatchObject({
      memoryLimitBytes: 4 * gib,
      memorySwapLimitBytes: 5 * gib,
      unified: { 'memory.swap.max': String(gib) },
    })
    expect(of(swapping).memorySwapLimitBytes).toBe(4 * gib)
    expect(of(limited, { swapBehavior: 'LimitedSwap' }).unified).toMatchObject({ 'memory.swap.max': '0' })
  })
})
