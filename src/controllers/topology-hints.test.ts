import { expect, it } from 'vitest'
import type { Node } from '../api/core/node.ts'
import type { Endpoint } from '../api/discovery/endpoint-slice.ts'
import { planZoneHints, zoneShares } from './topology-hints.ts'

const node = (zone: string | undefined, cpu: string | undefined, more: { ready?: boolean; labels?: object } = {}) =>
  ({
    metadata: {
      name: 'n',
      labels: { ...(zone === undefined ? {} : { 'topology.kubernetes.io/zone': zone }), ...more.labels },
    },
    status: {
      allocatable: cpu === undefined ? {} : { cpu },
      conditions: [{ type: 'Ready', status: more.ready === false ? 'False' : 'True' }],
    },
  }) as unknown as Node
const endpoints = (zones: string) =>
  zones.split('').map((zone, i): Endpoint => ({ addresses: [`10.0.0.${i}`], conditions: { ready: true }, zone }))
const never = () => undefined

it('shares follow the CPU of nodes that are ready and no control plane', () => {
  const nodes = [
    node('a', '2'),
    node('a', '1500m'),
    node('b', '500m'),
    node('c', '8', { ready: false }),
    node('c', '8', { labels: { 'node-role.kubernetes.io/control-plane': '' } }),
  ]
  expect([...(zoneShares(nodes) ?? [])]).toEqual([
    ['a', 0.875],
    ['b', 0.125],
  ])
  expect(zoneShares([node('a', '2'), node(undefined, '2')])).toBeUndefined()
  expect(zoneShares([node('a', '2'), node('b', undefined)])).toBeUndefined()
})

const even = new Map([
  ['a', 0.5],
  ['b', 0.5],
])
it.each<[string, ReadonlyMap<string, number> | undefined, string, RegExp]>([
  ['a node that tells too little', undefined, 'ab', /^Insufficient Node information/],
  ['one zone', new Map([['a', 1]]), 'aa', /^Nodes only ready in one zone/],
  ['fewer endpoints than zones', even, 'a', /^Insufficient number of endpoints \(1 endpoints, 2 zones\)/],
  [
    'a zone that would carry a fifth more',
    even,
    'aab',
    /without exceeding overload threshold \(3 endpoints, 2 zones\)/,
  ],
])('no hints: %s', (_name, shares, zones, reason) => {
  expect(planZoneHints(endpoints(zones), shares, never)).toEqual({ refused: expect.stringMatching(reason) })
})
it('endpoints serve their own zone, and the surplus of one zone serves the other', () => {
  const list = endpoints('aaaaab')
  const plan = planZoneHints(list, even, never)
  const zones = 'zoneOf' in plan ? list.map((e) => plan.zoneOf.get(e)).join('') : plan.refused
  expect(zones).toBe('aaabbb')
  // The next plan keeps who serves which zone, although others come first in the list.
  const kept = new Map([
    ['10.0.0.0', 'b'],
    ['10.0.0.1', 'b'],
  ])
  const again = planZoneHints(list, even, ({ addresses }) => kept.get(addresses[0] ?? '') ?? 'a')
  expect('zoneOf' in again ? list.map((e) => again.zoneOf.get(e)).join('') : again.refused).toBe('bbaaab')
})
it('what is not ready gets no hint and does not count', () => {
  const [first, ...rest] = endpoints('abab')
  const going: Endpoint = { ...(first as Endpoint), conditions: { ready: false } }
  expect(planZoneHints([going, ...rest], even, never)).toMatchObject({
    refused: expect.stringContaining('(3 endpoints'),
  })
})
