import { describe, expect, it } from 'vitest'
import type { Service } from '../api/core/service.ts'
import type { EndpointSlice } from '../api/discovery/endpoint-slice.ts'
import { planService } from './plan-services.ts'

const here = { name: 'here', zone: 'a' }
type Wish = { readonly conditions?: object; readonly nodeName?: string; readonly hints?: object }
/** Endpoints 10.0.0.1, 10.0.0.2 ... of one slice. */
const slice = (...wishes: readonly Wish[]) =>
  ({
    metadata: { name: 's' },
    addressType: 'IPv4',
    ports: [{ name: '', port: 8080, protocol: 'TCP' }],
    endpoints: wishes.map((wish, i) => ({ addresses: [`10.0.0.${i + 1}`], conditions: { ready: true }, ...wish })),
  }) as unknown as EndpointSlice
const service = (spec: object = {}) =>
  ({
    metadata: { name: 'web', namespace: 'default' },
    spec: { type: 'ClusterIP', clusterIP: '10.1.0.1', clusterIPs: ['10.1.0.1'], ports: [{ port: 80 }], ...spec },
    status: { loadBalancer: {} },
  }) as unknown as Service
/** The last numbers of the addresses that the cluster IP leads to. */
const led = (spec: object, ...wishes: readonly Wish[]) =>
  planService(service(spec), [slice(...wishes)], here)[0]?.internalEndpoints.map(({ ip }) => ip.slice('10.0.0.'.length))

const zone = (...names: string[]) => ({ hints: { forZones: names.map((name) => ({ name })) } })
const on = (name: string, ...zones: string[]) => ({
  hints: { ...zone(...zones).hints, forNodes: [{ name }] },
})

describe('endpoints that are near', () => {
  it.each<[string, Wish[], string[]]>([
    ['without hints all', [{}, {}], ['1', '2']],
    ['those for this zone', [zone('a'), zone('b'), zone('a', 'b')], ['1', '3']],
    ['all, while one has no hint', [zone('a'), zone('b'), {}], ['1', '2', '3']],
    ['all, when none is for this zone', [zone('b'), zone('c')], ['1', '2']],
    ['those for this node', [on('here', 'a'), on('there', 'a')], ['1']],
    ['those for this zone, when none is for this node', [on('there', 'a'), on('other', 'b')], ['1']],
    ['all, when neither node nor zone has one', [on('there', 'b'), on('other', 'b')], ['1', '2']],
    ['hints of what is not ready do not count', [zone('b'), { ...zone('a'), conditions: { ready: false } }], ['1']],
  ])('%s', (_name, wishes, expected) => {
    expect(led({}, ...wishes)).toEqual(expected)
  })
})

describe('traffic policies and endings', () => {
  const local = { nodeName: 'here' }
  const going = { conditions: { ready: false, serving: true, terminating: true } }
  it('terminating endpoints serve only when there is no other', () => {
    expect(led({}, going, {})).toEqual(['2'])
    expect(led({}, going, { conditions: { ready: false, serving: false, terminating: true } })).toEqual(['1'])
  })
  it('Local keeps to this node, and drops where only others have endpoints', () => {
    const policy = { internalTrafficPolicy: 'Local' }
    expect(led(policy, local, { nodeName: 'there' })).toEqual(['1'])
    const [rule] = planService(service(policy), [slice({ nodeName: 'there' })], here)
    expect(rule).toMatchObject({ internalEndpoints: [], dropInternal: true, externalEndpoints: [{ ip: '10.0.0.1' }] })
    const [nobody] = planService(service(policy), [slice()], here)
    expect(nobody).toMatchObject({ internalEndpoints: [], dropInternal: false })
  })
  it('headless, ExternalName and foreign Services get no rule', () => {
    expect(led({ clusterIP: 'None', clusterIPs: ['None'] }, {})).toBeUndefined()
    expect(led({ type: 'ExternalName', externalName: 'x.y' }, {})).toBeUndefined()
  })
})
